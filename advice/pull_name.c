/* advice/pull_name: see pull_name.h. */
#include "advice/pull_name.h"
#include "base/say.h"
#include "engine/models.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool pull_hex(const char *s, size_t n)
{
    return strlen(s) == n && strspn(s, "0123456789abcdefABCDEF") == n;
}

/* ---- addresses ---- */
static char *decode(const char *s, size_t n)
{
    char *out = q_alloc(n + 1), *p = out;
    for (size_t i = 0; i < n; i++) {
        int byte = q_percent(s + i, n - i);
        if (byte > 0) {
            *p++ = (char)byte;
            i += 2;
        } else
            *p++ = s[i];
    }
    return out;
}

char *pull_encode(const char *path)
{
    q_buf b = { 0 };
    for (const char *p = path; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c < 128 && (isalnum(c) || strchr("/-._~", c)))
            q_buf_putc(&b, *p);
        else
            q_buf_printf(&b, "%%%02X", c);
    }
    return q_buf_take(&b);
}

char *pull_last_of(const char *url)
{
    const char *scheme = strstr(url, "://"), *path = scheme ? scheme + 3 : url, *last;
    path += strcspn(path, "/?#");
    size_t n = strcspn(path, "?#");
    last = memrchr(path, '/', n);
    return last ? decode(last + 1, n - (size_t)(last + 1 - path)) : q_strdup("");
}

char *pull_join(const char *base, const char *location)
{
    const char *scheme = strstr(base, "://"), *host = scheme ? scheme + 3 : base, *path = host + strcspn(host, "/?#");
    size_t n = strcspn(location, ":/?#");
    if (n && location[n] == ':')
        return q_strdup(location);
    if (location[0] == '/' && location[1] == '/')
        return q_printf("%.*s:%s", scheme ? (int)(scheme - base) : 0, base, location);
    if (*location == '/')
        return q_printf("%.*s%s", (int)(path - base), base, location);
    size_t own = strcspn(path, "?#");
    const char *last = memrchr(path, '/', own);
    if (*location == '?')
        return q_printf("%.*s%s", (int)(path - base) + (int)own, base, location);
    return q_printf("%.*s%s%s", (int)(last ? last + 1 - base : path - base), base, last ? "" : "/", location);
}

/* ---- what a person writes ---- */
void pull_source_free(pull_source *s)
{
    char *const all[] = { s->owner, s->name, s->rev, s->file, s->quant, s->url, s->sha256, s->hub };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        free(all[i]);
    *s = (pull_source){ .kind = PULL_URL };
}

static size_t word(const char *s) { return strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"); }

static bool begins(const char *s, const char *with, const char **rest)
{
    size_t n = strlen(with);
    if (strncasecmp(s, with, n) != 0)
        return false;
    *rest = s + n;
    return true;
}

int pull_hub_name(enum pull_kind kind, char **out, const char **from, char *err)
{
    static const char *const hf[] = { "QUORUM_HUB", "HF_ENDPOINT", NULL }, *const ms[] = { "MODELSCOPE_DOMAIN", NULL };
    const char *v = NULL, *var = NULL;
    for (const char *const *vars = kind == PULL_MS ? ms : hf; *vars && !(v && *v); vars++)
        v = getenv(var = *vars);
    *out = NULL;
    *from = v && *v ? var : "";
    if (!**from) {
        *out = q_strdup(kind == PULL_MS ? "https://www.modelscope.cn" : "https://huggingface.co");
        return Q_OK;
    }
    const char *rest;
    bool named = begins(v, "https://", &rest) || begins(v, "http://", &rest);
    if (!named && strstr(v, "://"))
        return q_fail(err, Q_FORMAT, _("%s is to name a hub, such as https://huggingface.co: mend it, or leave it out"), var);
    *out = named ? q_strdup(v) : q_printf("https://%s", v);
    for (size_t n = strlen(*out); n && (*out)[n - 1] == '/'; n--)
        (*out)[n - 1] = 0;
    return Q_OK;
}

static int hub_name(pull_source *s, char *err)
{
    const char *from;
    return pull_hub_name(s->kind, &s->hub, &from, err);
}

/* OWNER/NAME, @REVISION, then /FILE or :QUANT. page: as the hub's own pages have it, /resolve/REVISION/FILE. */
static int repo(const char *what, const char *rest, bool page, pull_source *s, char *err)
{
    size_t n = word(rest), m = rest[n] == '/' ? word(rest + n + 1) : 0;
    const char *at = rest + n + 1 + m;
    if (!n || !m || *rest == '.' || rest[n + 1] == '.')
        return q_fail(err, Q_FORMAT, _("%s names no model: write hf:OWNER/NAME, behind it :QUANT or /FILE"), what);
    s->owner = q_strndup(rest, n);
    s->name = q_strndup(rest + n + 1, m);
    if (page && *at == '/') {
        static const char *const kind[] = { "/resolve/", "/blob/", "/tree/", "/file/view/" };
        const char *more = NULL;
        for (size_t i = 0; i < sizeof kind / sizeof *kind && !more; i++)
            begins(at, kind[i], &more);
        at = more ? more - 1 : strcmp(at, "/") == 0 ? at + 1 : at;
        size_t w = more ? word(more) : 0;
        if (w) {
            s->rev = q_strndup(more, w);
            at = more + w;
        }
        if (at[0] == '/' && at[1] && at[1] != '?')
            s->file = decode(at + 1, strcspn(at + 1, "?#"));
        at += strlen(at);
    } else if (*at == '@') {
        size_t w = word(at + 1);
        s->rev = q_strndup(at + 1, w);
        at += 1 + w;
        if (!w)
            return q_fail(err, Q_FORMAT, _("%s: behind @ stands the name of a revision, such as @main"), what);
    }
    if (*at == ':') {
        s->quant = q_strdup(at + 1);
        if (!at[1] || word(at + 1) != strlen(at + 1))
            return q_fail(err, Q_FORMAT, _("%s: behind : stands a quantisation, such as :Q4_K_M, or :auto, or :all"), what);
    } else if (*at == '/' && at[1])
        s->file = q_strdup(at + 1);
    else if (*at)
        return q_fail(err, Q_FORMAT, _("%s names no model: write hf:OWNER/NAME, behind it :QUANT or /FILE"), what);
    if (!s->rev)
        s->rev = q_strdup(s->kind == PULL_MS ? "master" : "main");
    if (s->file && !pull_path_safe(s->file))
        return q_fail(err, Q_FORMAT, _("%s: no file here may be called so; --list shows the names there are"), what);
    return Q_OK;
}

static int address(const char *what, pull_source *s, char *err)
{
    const char *hash = strchr(what, '#'), *rest;
    s->url = q_strndup(what, hash ? (size_t)(hash - what) : strlen(what));
    if (hash && begins(hash, "#sha256=", &rest)) {
        s->sha256 = q_strdup(rest);
        q_fold_bytes(s->sha256, strlen(s->sha256));
        if (!pull_hex(s->sha256, 64))
            return q_fail(err, Q_FORMAT, _("%s: behind #sha256= stand the 64 digits of a SHA-256"), what);
    }
    s->file = pull_last_of(s->url);
    return pull_path_safe(s->file) && !strchr(s->file, '/')
        ? Q_OK : q_fail(err, Q_FORMAT, _("%s ends in no name that a file here may have: give the address of one file"), what);
}

int pull_source_read(const char *what, pull_source *s, char *err)
{
    static const struct { const char *begin; enum pull_kind kind; bool page; } form[] = {
        { "hf:", PULL_HF, false }, { "ms:", PULL_MS, false }, { "https://huggingface.co/", PULL_HF, true }, { "https://hf.co/", PULL_HF, true },
        { "https://www.modelscope.cn/models/", PULL_MS, true }, { "https://modelscope.cn/models/", PULL_MS, true } };
    const char *rest;
    *s = (pull_source){ .kind = PULL_URL };
    for (size_t i = 0; i < sizeof form / sizeof *form; i++)
        if (begins(what, form[i].begin, &rest)) {
            s->kind = form[i].kind;
            int rc = hub_name(s, err);
            return rc < 0 ? rc : repo(what, rest, form[i].page, s, err);
        }
    if (!begins(what, "https://", &rest) && !begins(what, "http://", &rest))
        return q_fail(err, Q_FORMAT, _("%s does not say where from: write hf:OWNER/NAME (Hugging Face), ms:OWNER/NAME (ModelScope), or the address of a file"), what);
    int rc = hub_name(s, err);
    return rc < 0 ? rc : address(what, s, err);
}

char *pull_page(const pull_source *s)
{
    return s->kind == PULL_URL ? q_strdup(s->url) : s->kind == PULL_MS ? q_printf("%s/models/%s/%s", s->hub, s->owner, s->name) : q_printf("%s/%s/%s", s->hub, s->owner, s->name);
}

char *pull_address(const pull_source *s, const char *path)
{
    char *page = pull_page(s), *file = pull_encode(path), *out = s->kind == PULL_URL ? q_strdup(s->url) : q_printf("%s/resolve/%s/%s", page, s->rev, file);
    free(page);
    free(file);
    return out;
}

/* ---- names of files ---- */
static bool part_safe(const char *p, size_t n)
{
    static const char *const ours[] = { ".part", ".part.log", ".part.log.new" };
    if (!n || n > 200 || *p == '.' || *p == '-' || *p == '~')
        return false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        size_t m = strlen(ours[i]);
        if (n >= m && strncasecmp(p + n - m, ours[i], m) == 0)
            return false;
    }
    for (size_t at = 0; at < n;) {
        uint32_t cp;
        at += (size_t)q_utf8_next(p + at, n - at, &cp);
        if (q_char_kind(cp) != Q_CHAR_FINE || cp == '\\')
            return false;
    }
    return true;
}

bool pull_path_safe(const char *path)
{
    int parts = 0;
    if (!q_utf8_valid(path, strlen(path)))
        return false;
    for (const char *p = path;; p++) {
        size_t n = strcspn(p, "/");
        if (!part_safe(p, n) || ++parts > 8)
            return false;
        p += n;
        if (!*p)
            return true;
    }
}

/* Bytes of a quantisation's name at s, which ends at a separator or at n; 0: none begins here. Names: ggml's types and llama.cpp's mixes
 * (Q4_K_M, IQ2_XXS, TQ1_0, Q4_0_4_4), BF16 and its like, Unsloth's UD- before them. */
static size_t quant_at(const char *s, size_t n)
{
    static const char *const plain[] = { "BF16", "F16", "F32", "FP16", "MXFP4_MOE", "MXFP4", "NVFP4" };
    size_t ud = n > 3 && strncasecmp(s, "UD-", 3) == 0 ? 3 : 0, at = ud, w = 0;
    for (size_t i = 0; i < sizeof plain / sizeof *plain && !w; i++) {
        size_t m = strlen(plain[i]);
        w = n - at >= m && strncasecmp(s + at, plain[i], m) == 0 ? m : 0;
    }
    if (!w) {
        size_t p = at + (at < n && strchr("iItT", s[at]) ? 1 : 0);
        if (p + 3 < n && (s[p] | 32) == 'q' && s[p + 1] >= '1' && s[p + 1] <= '8' && s[p + 2] == '_')
            for (w = p + 3 - at; at + w < n && (isalnum((unsigned char)s[at + w]) || s[at + w] == '_');)
                w++;
    }
    return w && (at + w == n || strchr("-. ", s[at + w])) ? at + w : 0;
}

static bool quant_in(const char *s, size_t n, char out[24])
{
    for (size_t i = 0; i < n; i++) {     /* the last one: a name may begin with what it was made of */
        size_t w = i == 0 || strchr("-._ ", s[i - 1]) ? quant_at(s + i, n - i) : 0;
        if (!w || w >= 24)
            continue;
        for (size_t k = 0; k < w; k++)
            out[k] = (char)toupper((unsigned char)s[i + k]);
        out[w] = 0;
        i += w - 1;
    }
    return *out;
}

void pull_quant_of(const char *path, char out[24])
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t n = strlen(path), name;
    if (eng_split_name(path, NULL, NULL, &name))
        n = name;
    else if (n > 5 && strcasecmp(path + n - 5, ".gguf") == 0)
        n -= 5;
    *out = 0;
    if ((size_t)(base - path) <= n && quant_in(base, n - (size_t)(base - path), out))
        return;
    const char *before = slash ? memrchr(path, '/', (size_t)(slash - path)) : NULL;
    before = before ? before + 1 : path;
    if (slash)
        quant_in(before, (size_t)(slash - before), out);
}
