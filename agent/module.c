/* agent/module: see module.h. */
#include "agent/module.h"
#include "lab/lab.h"
#include "memory/memory.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LIST_MOST = 64 /* of words, knobs, collections */, FIELD_MOST = 1024 };

void module_free(module *m)
{
    free(m->name);
    free(m->title);
    free(m->text);
    free(m->path);
    free(m->adapter);
    free(m->problem);
    strings_free(&m->when);
    strings_free(&m->knobs);
    strings_free(&m->memory);
    *m = (module){ .order = 0 };
}

void modules_free(module *m, int n)
{
    for (int i = 0; i < n; i++)
        module_free(&m[i]);
    free(m);
}

/* ---- one file ---- */
static char *trimmed(const char *p, size_t n)
{
    while (n && isspace((unsigned char)*p))
        p++, n--;
    while (n && isspace((unsigned char)p[n - 1]))
        n--;
    return q_strndup(p, n);
}

/* Parts between commas; of knobs only commas behind which another setting begins. */
static int parts(const char *value, bool settings, strings *out)
{
    for (const char *p = value; *p;) {
        size_t n = 0;
        while (p[n] && !(p[n] == ',' && (!settings || lab_spec_begins(p + n + 1 + strspn(p + n + 1, " \t")))))
            n++;
        char *one = trimmed(p, n);
        p += n + (p[n] == ',');
        if (!*one) {
            free(one);
            continue;
        }
        strings_add(out, one);
        if (out->n > LIST_MOST)
            return Q_RANGE;
    }
    return Q_OK;
}

static int field(module *m, const char *key, const char *value, char *err)
{
    int rc = Q_OK;
    if (strcmp(key, "title") == 0) {
        free(m->title);
        m->title = q_strdup(value);
    } else if (strcmp(key, "order") == 0) {
        char *end;
        long n = strtol(value, &end, 10);
        if (!*value || *end || n < 0 || n > 999)
            return q_fail(err, Q_RANGE, _("%s: order is a number from 0 to 999, not \"%.40s\""), m->path, value);
        m->order = (int)n;
    } else if (strcmp(key, "when") == 0)
        rc = parts(value, false, &m->when);
    else if (strcmp(key, "knobs") == 0) {
        rc = parts(value, true, &m->knobs);
        for (int i = 0; i < m->knobs.n && rc == Q_OK; i++)
            if (!lab_spec_begins(m->knobs.v[i]))
                return q_fail(err, Q_FORMAT, _("%s: %.60s is no knob: write knobs: sampler.temperature=0.3, experts.k=8"), m->path, m->knobs.v[i]);
    } else if (strcmp(key, "memory") == 0)
        rc = parts(value, false, &m->memory);
    else if (strcmp(key, "adapter") == 0) {
        free(m->adapter);
        m->adapter = *value ? q_strdup(value) : NULL;
    } else
        return q_fail(err, Q_FORMAT, _("%s: a module has no \"%.40s\"; there are title, order, when, knobs, adapter, memory"), m->path, key);
    return rc == Q_OK ? rc : q_fail(err, Q_RANGE, _("%s: %s has more than %d parts"), m->path, key, LIST_MOST);
}

/* One line of the front matter. */
static int line_of(module *m, const char *p, size_t n, char *err)
{
    const char *colon = memchr(p, ':', n);
    char *all = trimmed(p, n);
    bool nothing = !*all || *all == '#';
    int rc = Q_OK;
    if (!nothing && (!colon || n > FIELD_MOST))
        rc = q_fail(err, Q_FORMAT, colon ? _("%s: a line of the front matter is longer than 1024 bytes: %.40s") : _("%s: a line of the front matter is not NAME: VALUE: %.40s"),
                    m->path, all);
    if (!nothing && rc == Q_OK) {
        char *key = trimmed(p, (size_t)(colon - p)), *value = trimmed(colon + 1, n - (size_t)(colon + 1 - p));
        rc = field(m, key, value, err);
        free(key);
        free(value);
    }
    free(all);
    return rc;
}

static bool rule(const char *p, size_t n)        /* "---", with blanks or a carriage return behind it */
{
    while (n && isspace((unsigned char)p[n - 1]))
        n--;
    return n == 3 && memcmp(p, "---", 3) == 0;
}

int module_parse(const char *name, const char *path, const char *text, size_t n, module *out, char *err)
{
    size_t at = n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    int rc = Q_OK;
    bool open = false, closed = false;
    char hex[65];
    *out = (module){ .name = q_strdup(name), .path = q_strdup(path), .order = MODULE_ORDER };
    q_sha256(text, n, hex);
    memcpy(out->hash, hex, MODULE_HASH);
    if (n > MODULE_BYTES)
        rc = q_fail(err, Q_RANGE, _("%s has %zu bytes: a module is %d at most, shorten it"), path, n, MODULE_BYTES);
    else if (!q_utf8_valid(text, n) || memchr(text, 0, n))
        rc = q_fail(err, Q_FORMAT, _("%s is not UTF-8 text: iconv turns other encodings into it"), path);
    while (rc == Q_OK && at < n && !closed) {
        const char *p = text + at, *end = memchr(p, '\n', n - at);
        size_t len = end ? (size_t)(end - p) : n - at;
        if (!open && !rule(p, len))
            break;
        closed = open && rule(p, len);
        if (open && !closed)
            rc = line_of(out, p, len, err);
        open = true;
        at += len + (end != NULL);
    }
    if (rc == Q_OK && !closed)
        rc = q_fail(err, Q_FORMAT, open ? _("%s: the front matter has no --- at its end; /module edit %s") : _("%s has no front matter: it begins with a line ---, then title: …, then ---; /module edit %s"),
                    path, name);
    if (rc == Q_OK) {
        out->text = trimmed(text + at, n - at);
        if (!out->title || !*out->title) {
            free(out->title);
            out->title = q_strdup(name);
        }
    } else {
        char hash[MODULE_HASH + 1];
        memcpy(hash, out->hash, sizeof hash);
        module_free(out);
        memcpy(out->hash, hash, sizeof hash);
    }
    return rc;
}

/* ---- places ---- */
static int check_name(const char *name, char *err)
{
    return lab_is_name(name) ? Q_OK : q_fail(err, Q_RANGE, _("a module's name is up to %d letters, digits, dots, dashes and underscores, not \"%.80s\""), 64, name);
}

static char *own_path(const char *name, char *err)       /* NULL: there is no home */
{
    char *in = q_printf("modules/%s.md", name), *path = q_user_path(Q_DIR_CONFIG, in);
    free(in);
    if (!path)
        q_no_home(err);
    return path;
}

/* The folder of the shipped ones that speak the interface's language; the translation names another. */
static char *shipped_path(const char *name)
{
    char *in = q_printf("agent/%s/%s.md", _("modules/en"), name), *path = q_share_path(in);
    free(in);
    return path;
}

static bool there(const char *path) { return path && access(path, F_OK) == 0; }

static int read_at(const char *name, const char *path, bool shipped, module *out, char *err)
{
    q_buf text = { 0 };
    int rc = q_read_file(path, &text, MODULE_BYTES, err);
    *out = (module){ .order = 0 };
    if (rc == Q_RANGE)
        rc = q_fail(err, Q_RANGE, _("%s is longer than a module may be, %d bytes: shorten it"), path, MODULE_BYTES);
    if (rc == Q_OK)
        rc = module_parse(name, path, text.p ? text.p : "", text.len, out, err);
    out->shipped = shipped;
    q_buf_free(&text);
    return rc;
}

bool module_known(const char *name)
{
    char err[Q_ERRLEN], *own = lab_is_name(name) ? own_path(name, err) : NULL, *ship = lab_is_name(name) ? shipped_path(name) : NULL;
    bool yes = there(own) || ship;
    free(own);
    free(ship);
    return yes;
}

int module_read(const char *name, module *out, char *err)
{
    int rc = check_name(name, err);
    *out = (module){ .order = 0 };
    if (rc < 0)
        return rc;
    char *own = own_path(name, err), *ship = shipped_path(name);
    if (there(own))
        rc = read_at(name, own, false, out, err);
    else if (ship)
        rc = read_at(name, ship, true, out, err);
    else
        rc = q_fail(err, Q_NOTFOUND, _("there is no module %s: /module lists them, /module new %s makes one"), name, name);
    free(own);
    free(ship);
    return rc;
}

/* ---- all ---- */
static int by_order(const void *a, const void *b)
{
    const module *x = a, *y = b;
    return x->order != y->order ? x->order - y->order : strcmp(x->name, y->name);
}

static bool listed(const module *v, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0)
            return true;
    return false;
}

/* The modules of a folder, those that are there already left out. */
static int take_folder(const char *folder, bool shipped, module **v, int *n, char *err)
{
    DIR *d = folder ? opendir(folder) : NULL;
    if (!d)
        return folder && errno != ENOENT ? q_fail(err, Q_IO, _("cannot open %s: %s"), folder, strerror(errno)) : Q_OK;
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        size_t len = strlen(e->d_name);
        char *name = len > 3 && strcmp(e->d_name + len - 3, ".md") == 0 ? q_strndup(e->d_name, len - 3) : NULL, why[Q_ERRLEN];
        if (name && lab_is_name(name) && !listed(*v, *n, name)) {
            char *path = q_printf("%s/%s", folder, e->d_name);
            module m;
            if (read_at(name, path, shipped, &m, why) < 0)
                m = (module){ .name = q_strdup(name), .title = q_strdup(name), .text = q_strdup(""), .path = q_strdup(path), .order = 999, .problem = q_strdup(why), .shipped = shipped };
            *v = q_realloc(*v, sizeof **v * (size_t)(*n + 1));
            (*v)[(*n)++] = m;
            free(path);
        }
        free(name);
    }
    closedir(d);
    return Q_OK;
}

int module_list(module **out, int *n, int *over, char *err)
{
    char *own = q_user_path(Q_DIR_CONFIG, "modules"), *in = q_printf("agent/%s", _("modules/en")), *ship = q_share_path(in);
    *out = q_alloc(sizeof **out);
    *n = *over = 0;
    int rc = take_folder(own, false, out, n, err);
    if (*n)
        qsort(*out, (size_t)*n, sizeof **out, by_order);
    while (*n > MODULES_MOST) {
        module_free(&(*out)[--*n]);
        ++*over;
    }
    if (rc == Q_OK)
        rc = take_folder(ship, true, out, n, err);
    while (*n > MODULES_MOST)
        module_free(&(*out)[--*n]);
    if (*n)
        qsort(*out, (size_t)*n, sizeof **out, by_order);
    free(own);
    free(in);
    free(ship);
    if (rc < 0) {
        modules_free(*out, *n);
        *out = NULL;
        *n = 0;
    }
    return rc;
}

/* ---- a file for the editor ---- */
static int with_folder(const char *path, char *err)
{
    char *folder = q_strdup(path), *slash = strrchr(folder, '/');
    *slash = 0;
    int rc = q_mkdirs(folder, err);
    free(folder);
    return rc;
}

int module_new(const char *name, char **path, char *err)
{
    module *all;
    int n, over, own = 0, rc = check_name(name, err);
    *path = rc == Q_OK ? own_path(name, err) : NULL;
    if (rc == Q_OK && !*path)
        rc = Q_NOTFOUND;
    if (rc == Q_OK && module_known(name))
        rc = q_fail(err, Q_RANGE, _("there is a module %s already: /module edit %s, or take another name"), name, name);
    if (rc == Q_OK && (rc = module_list(&all, &n, &over, err)) == Q_OK) {
        for (int i = 0; i < n; i++)
            own += !all[i].shipped;
        modules_free(all, n);
        if (own >= MODULES_MOST)
            rc = q_fail(err, Q_RANGE, _("there are %d modules of yours already, and no more are shown: remove a file from the folder of %s first"), MODULES_MOST, *path);
    }
    if (rc == Q_OK && (rc = with_folder(*path, err)) == Q_OK) {
        char *text = q_printf("---\ntitle: %s\norder: %d\n# when: %s\n# knobs: sampler.temperature=0.5\n---\n%s\n", name, MODULE_ORDER, _("words of a question that switch it on, with commas between"),
                              _("Write here how the model is to think."));
        rc = q_write_file_new(*path, text, strlen(text), err);
        free(text);
    }
    if (rc < 0) {
        free(*path);
        *path = NULL;
    }
    return rc;
}

int module_open(const char *name, char **path, char *err)
{
    int rc = check_name(name, err);
    *path = rc == Q_OK ? own_path(name, err) : NULL;
    char *ship = rc == Q_OK ? shipped_path(name) : NULL;
    if (rc == Q_OK && !*path)
        rc = Q_NOTFOUND;
    if (rc == Q_OK && !there(*path) && !ship)
        rc = q_fail(err, Q_NOTFOUND, _("there is no module %s: /module lists them, /module new %s makes one"), name, name);
    else if (rc == Q_OK && !there(*path)) {
        q_buf text = { 0 };
        rc = q_read_file(ship, &text, MODULE_BYTES, err);
        if (rc == Q_OK)
            rc = with_folder(*path, err);
        if (rc == Q_OK)
            rc = q_write_file_new(*path, text.p, text.len, err);
        q_buf_free(&text);
    }
    free(ship);
    if (rc < 0) {
        free(*path);
        *path = NULL;
    }
    return rc;
}

/* ---- versions ---- */
static char *kept_path(const char *name, const char *hash)
{
    char *in = q_printf("modules/%s-%s.md", name, hash), *path = q_user_path(Q_DIR_DATA, in);
    free(in);
    return path;
}

int module_keep(const module *m, char *err)
{
    char *path = kept_path(m->name, m->hash);
    q_buf text = { 0 };
    module now = { .order = 0 };
    if (!path)
        return q_no_home(err);
    int rc = Q_OK;
    if (!there(path) && (rc = q_read_file(m->path, &text, MODULE_BYTES, err)) == Q_OK) {
        /* what lies there by now may be another version: that is kept when it is used */
        if (module_parse(m->name, m->path, text.p ? text.p : "", text.len, &now, err) == Q_OK && strcmp(now.hash, m->hash) == 0 && (rc = with_folder(path, err)) == Q_OK)
            rc = q_write_file_atomic(path, text.p ? text.p : "", text.len, err);
        module_free(&now);
    }
    q_buf_free(&text);
    free(path);
    return rc;
}

/* "NAME-HASH.md" of this name with another hash: it. */
static const char *version_of(const char *file, const char *name, const char *hash)
{
    size_t n = strlen(name);
    const char *h = file + n + 1;
    bool good = strncmp(file, name, n) == 0 && file[n] == '-' && strlen(h) == MODULE_HASH + 3 && strcmp(h + MODULE_HASH, ".md") == 0 && strncmp(h, hash, MODULE_HASH) != 0;
    return good ? h : NULL;
}

int module_before(const char *name, const char *hash, q_buf *text, char was[MODULE_HASH + 1], char *err)
{
    char *folder = q_user_path(Q_DIR_DATA, "modules"), *best = NULL, *ship = NULL;
    DIR *d = folder && lab_is_name(name) ? opendir(folder) : NULL;
    struct timespec newest = { 0 };
    for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
        const char *h = version_of(e->d_name, name, hash);
        char *path = h ? q_printf("%s/%s", folder, e->d_name) : NULL;
        struct stat st;
        if (path && stat(path, &st) == 0 && (!best || st.st_mtim.tv_sec > newest.tv_sec || (st.st_mtim.tv_sec == newest.tv_sec && st.st_mtim.tv_nsec > newest.tv_nsec))) {
            newest = st.st_mtim;
            free(best);
            best = path;
            path = NULL;
        }
        free(path);
    }
    if (d)
        closedir(d);
    free(folder);
    if (!best)
        ship = shipped_path(name);
    int rc = best || ship ? q_read_file(best ? best : ship, text, MODULE_BYTES, err) : Q_NOTFOUND;
    if (rc == Q_OK) {
        char hex[65];
        q_sha256(text->p ? text->p : "", text->len, hex);
        memcpy(was, hex, MODULE_HASH);
        was[MODULE_HASH] = 0;
        if (strcmp(was, hash) == 0)
            rc = Q_NOTFOUND;             /* the shipped one is what there is */
    }
    if (rc == Q_NOTFOUND)
        q_fail(err, rc, _("no other version of %s is known: versions are kept when they make an answer"), name);
    free(best);
    free(ship);
    return rc;
}

/* ---- when ---- */
static bool stem(void *user, const mem_word *w)
{
    if (!(w->flags & (MEM_WORD_SAME | MEM_WORD_EXACT)))
        strings_add(user, q_strdup(w->stem));
    return true;
}

static bool in_a_row(const strings *of, const strings *words)
{
    for (int i = 0; words->n && i + words->n <= of->n; i++) {
        int k = 0;
        while (k < words->n && strcmp(of->v[i + k], words->v[k]) == 0)
            k++;
        if (k == words->n)
            return true;
    }
    return false;
}

bool module_wanted(const module *m, const char *question)
{
    strings of = { 0 };
    bool yes = !m->when.n;
    mem_words(question, strlen(question), stem, &of);
    for (int i = 0; i < m->when.n && !yes; i++) {
        strings words = { 0 };
        mem_words(m->when.v[i], strlen(m->when.v[i]), stem, &words);
        yes = in_a_row(&of, &words);
        strings_free(&words);
    }
    strings_free(&of);
    return yes;
}
