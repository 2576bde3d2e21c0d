/* advice/pull: model files from a hub (Hugging Face, ModelScope, a mirror of the first) or any address to this machine. Listed with
 * sizes and hashes, fetched over several lines at once, gone on with where it stopped, and put in its place only when all bytes are
 * there and are those that the hub names.
 *
 * Hugging Face: GET /api/models/OWNER/NAME/tree/REV?recursive=true, pages by a header Link; /OWNER/NAME/resolve/REV/FILE answers with a
 * redirect and X-Linked-Etag (the SHA-256), X-Linked-Size; refusals say X-Error-Code. Source: huggingface_hub,
 * src/huggingface_hub/file_download.py (get_hf_file_metadata) and hf_api.py (list_repo_tree). ModelScope: GET
 * /api/v1/models/OWNER/NAME/repo/files?Revision=REV&Recursive=true, /models/OWNER/NAME/resolve/REV/FILE. Source: modelscope,
 * modelscope/hub/api.py (get_model_files), hub/file_download.py. Both read on 2026-11-28.
 *
 * A file NAME that is on its way is NAME.part, locked by who fetches it, with a journal NAME.part.log beside it (pull_part.h); neither
 * ends in .gguf, so nobody takes it for a model. The token of the hub goes to the hub's own host alone, over https or to this machine.
 * Names that come from a hub are checked before one becomes a path: what could leave the folder, hide or steer a terminal is left out.
 *
 * Threads: adv_pull_get starts as many as there are lines, and one that hashes; its callbacks come in the caller's thread. Errors: base.h. */
#ifndef QUORUM_ADVICE_PULL_H
#define QUORUM_ADVICE_PULL_H

#include "advice/advice.h"

enum { ADV_PULL_LINES = 8 };             /* at once, at most */

typedef struct adv_pull_file {
    char *path;                          /* below the repository, with '/'; checked */
    uint64_t bytes;                      /* UINT64_MAX: not said before it comes */
    char sha256[65], git[41];            /* of its bytes; of git's blob of it, for small ones; "": not said */
} adv_pull_file;
typedef struct adv_pull_set {            /* what is one model: a file, or all parts of a split one */
    char *name;                          /* path without .gguf and part */
    char quant[24];                      /* "Q4_K_M", "UD-Q4_K_XL", "BF16"; "": its name does not say */
    int first, n, of;                    /* its files; parts that there should be */
    uint64_t bytes;
} adv_pull_set;
typedef struct adv_pull_repo {
    char *what, *title;                  /* "hf:OWNER/NAME" or the address; "OWNER/NAME" or its host */
    adv_pull_file *file; int n_file;     /* by path */
    adv_pull_set *set; int n_set;        /* GGUF models, smallest first */
    int refused;                         /* files whose names no file here may have */
    const eng_known *known;              /* the catalogue's row of it, and which of its variants; NULL */
    const eng_variant *variant;
    struct pull_source *source;          /* private */
} adv_pull_repo;

typedef struct adv_pull_news {           /* how far it is */
    const char *path;                    /* the file that is brought now */
    uint64_t done, total;                /* bytes of all that was asked for */
    bool hashing;                        /* all bytes of this file are here, the hash is being made */
    const char *note;                    /* NULL, or a sentence: a server asked to wait, a file begins anew */
} adv_pull_news;
typedef struct adv_pull_way {            /* 0 and NULL: the default in brackets */
    int lines;                           /* at once [4] */
    int stall_s;                         /* a line that brings nothing for so long is opened anew [30] */
    int pause_ms;                        /* before the first try again, doubled each time [500] */
    const char *token_file;              /* of mode 0600; [HF_TOKEN, HUGGING_FACE_HUB_TOKEN, then the file that `hf auth login` writes] */
    bool force;                          /* writes over files that are there and are others */
    bool (*go)(void *user);              /* false: Q_CANCEL; what is there stays and is gone on with. NULL: always */
    void (*tell)(void *user, const adv_pull_news *);     /* a few times a second, in the caller's thread. NULL: nobody */
    void *user;
} adv_pull_way;

/* what: "hf:OWNER/NAME", behind it @REVISION, and /FILE, :QUANT, :auto (the largest that fits) or :all; "ms:…" likewise; the address of a
 * page or file of these hubs; any other address of a file, with #sha256=HEX behind it where that is known. Asks the hub. Q_FORMAT, Q_NOTFOUND:
 * no such thing, or a hub that is not reached; Q_RANGE: a token is wanted, or one is not safe. [any] */
int adv_pull_list(const char *what, const adv_pull_way *, adv_pull_repo **out, char *err);
void adv_pull_free(adv_pull_repo *);

/* Which hub hf: means here, whether it answers, and whether there is a token for it, which it is not told and which is said to nobody. */
typedef struct adv_hub {
    char url[256];                       /* "https://huggingface.co" */
    const char *from;                    /* the variable that names it: static; "": it is the usual one */
    bool asked, answers;
    int status, ms;                      /* of its answer */
    char why[Q_ERRLEN];                  /* why it does not answer, with what to do next; "" */
    bool token, safe;                    /* there is one; and the hub would be told it when one is wanted: it is spoken to over TLS, or is this machine */
    char no_token[Q_ERRLEN];             /* why one that is there is not taken; "" */
} adv_hub;
enum { ADV_HUB_S = 3 };                  /* it is waited for so long, and no longer */
/* ask: false: without the network. Q_FORMAT: the environment names no address. [any] */
int adv_hub_look(bool ask, adv_hub *out, char *err);
/* Where a set would lie on a machine: by its own bytes, and where the catalogue knows the model by its experts, cells and states; else as something
 * dense with 512 MiB beside it. *context_max: as adv_fit has it, 0 where the model is not known; may be NULL. [pure] */
enum adv_place adv_pull_place(const adv_pull_repo *, const adv_pull_set *, const adv_machine *, int *context_max);
bool adv_pull_fits(enum adv_place);      /* all of it in memory, a GPU's or the machine's */
/* Which files what meant: from *first on, *n of them; the machine is asked by :auto alone. Q_RANGE: several models are meant, err names them with
 * sizes; Q_NOTFOUND: none, err names what there is. */
int adv_pull_choose(const adv_pull_repo *, const adv_machine *, int *first, int *n, char *err);
/* Where they go without a folder named: quorum's own, models/OWNER/NAME; malloc'ed, NULL without a home. */
char *adv_pull_folder(const adv_pull_repo *);
/* Brings these files into dir, made where there is none. A file that is there with the same hash (or, where none is known, the same size) is
 * left as it is. checked: how many of them were held against a hash; may be NULL. Q_OK; Q_CANCEL; Q_IO: the line or the disk; Q_FORMAT: the
 * bytes are not those that the hub names (they are gone); Q_RANGE: another file is there, another quorum brings it now. */
int adv_pull_get(const adv_pull_repo *, int first, int n, const char *dir, const adv_pull_way *, int *checked, char *err);

#endif
