/* agent/complete: what Tab offers: commands, knobs and their values, files, models, conversations. Front-end thread. */
#include "agent/front.h"
#include "base/say.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

typedef struct list { char **v; int n, cap; } list;
static void offer(list *l, const char *s, const char *prefix, const char *tail)
{
    size_t n = strlen(prefix);
    if (strncasecmp(s, prefix, n) != 0 || l->n >= 200)
        return;
    if (l->n == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->v = q_realloc(l->v, sizeof *l->v * (size_t)l->cap);
    }
    l->v[l->n++] = q_printf("%s%s", s, tail);
}

static int by_text(const void *a, const void *b)         /* numbers as numbers, and before words */
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    char *ex, *ey;
    double dx = strtod(x, &ex), dy = strtod(y, &ey);
    if (ex != x && ey != y && dx != dy)
        return dx < dy ? -1 : 1;
    return strcmp(x, y);
}

static void paths(list *l, const char *word)
{
    const char *slash = strrchr(word, '/');
    char *dir = slash ? q_strndup(word, (size_t)(slash - word) + 1) : q_strdup("");
    char *real = strncmp(dir, "~/", 2) == 0 && getenv("HOME") ? q_printf("%s/%s", getenv("HOME"), dir + 2) : q_strdup(*dir ? dir : ".");
    DIR *d = opendir(real);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.' && (slash ? slash[1] : word[0]) != '.')
            continue;
        char *full = q_printf("%s/%s", real, e->d_name), *path = q_printf("%s%s", dir, e->d_name);
        struct stat st;
        bool folder = stat(full, &st) == 0 && S_ISDIR(st.st_mode);
        offer(l, path, word, folder ? "/" : "");
        free(full);
        free(path);
    }
    if (d)
        closedir(d);
    free(dir);
    free(real);
}

/* One of a list of words with commas between. */
static void words(list *l, const char *all, const char *word, const char *tail)
{
    for (const char *p = all; p && *p;) {
        size_t w = strcspn(p, ",");
        char *one = q_strndup(p, w);
        offer(l, one, word, tail);
        free(one);
        p += w + (p[w] == ',');
    }
}

static void knob_words(agt *a, list *l, const char *word, const char *tail)
{
    for (int i = 0; i < a->settings.n_knob; i++)
        if (a->settings.knob[i]->effect != Q_EFFECT_FIXED)
            offer(l, a->settings.knob[i]->name, word, tail);
    if (!l->n && *word)                  /* names of config.json only when nothing else fits */
        for (int i = 0; i < a->settings.n_knob; i++)
            words(l, a->settings.knob[i]->aka, word, tail);
}

static void knob_values(agt *a, list *l, const char *name, const char *word)
{
    int i = settings_find(&a->settings, name);
    if (i < 0)
        return;
    const q_knob *k = a->settings.knob[i];
    q_buf b = { 0 };
    if (k->type == Q_KNOB_BOOL) {
        offer(l, "on", word, "");
        offer(l, "off", word, "");
    } else if (k->type == Q_KNOB_CHOICE)
        words(l, k->choices, word, "");
    else {
        const char *v = agt_knob_value(a, k, &b);
        double lo, hi;
        bool listed = k->type != Q_KNOB_FLOAT && agt_knob_range(a, k, &lo, &hi) && hi - lo < 32;
        for (int x = listed ? (int)lo : 1; listed && x <= (int)hi; x++) {
            char one[16];
            snprintf(one, sizeof one, "%d", x);
            offer(l, one, word, "");
        }
        words(l, k->choices, word, "");
        if (*v && !(listed && !strchr(v, ',')))
            offer(l, v, word, "");
        if (strcmp(k->name, "ui.theme") == 0) {
            offer(l, "dark", word, "");
            offer(l, "light", word, "");
        }
    }
    offer(l, "default", word, "");
    q_buf_free(&b);
}

static void names(agt *a, list *l, enum agt_complete what, const char *word)
{
    pthread_mutex_lock(&a->shown.mu);
    const strings *s = what == AGT_COMPLETE_MODEL ? &a->shown.models : &a->shown.chats;
    for (int i = 0; i < s->n; i++)
        offer(l, s->v[i], word, "");
    pthread_mutex_unlock(&a->shown.mu);
    if (!l->n && what == AGT_COMPLETE_MODEL && strchr(word, '/'))
        paths(l, word);
}

/* "NAME VALUE" of /set, or "NAME=VALUE NAME=VALUE" of /again; w: where the word begins. */
static void knob_or_value(agt *a, list *l, const char *line, size_t first, size_t w, const char *word, bool assign)
{
    size_t s = first + strspn(line + first, " \t"), from = w;
    if (!(w > 0 && (line[w - 1] == '=' || (!assign && w > s)))) {
        knob_words(a, l, word, assign ? "=" : " ");
        return;
    }
    if (!assign)
        from = s;
    else
        for (from = w - 1; from > 0 && line[from - 1] != ' ';)
            from--;
    char *name = q_strndup(line + from, strcspn(line + from, " ="));
    knob_values(a, l, name, word);
    free(name);
}

/* A stranger's name that can be typed: no blank, nothing that steers a terminal. */
static bool one_word(const char *s)
{
    bool fine = true;
    for (size_t n = strlen(s), at = 0; at < n && fine;) {
        uint32_t cp;
        int w = q_utf8_next(s + at, n - at, &cp);
        fine = q_char_kind(cp) == Q_CHAR_FINE && cp != ' ' && cp != 0xA0 && cp != 0xFFFD;
        at += (size_t)w;
    }
    return fine;
}

/* Whether "@…" is the beginning of the server's name, or goes on behind it. */
static bool may_name(const char *word, const char *name)
{
    size_t n = strlen(name), w = strcspn(word + 1, ":");
    return strncmp(word + 1, name, w < n ? w : n) == 0 && (word[1 + w] ? w == n : w <= n);
}

/* "@NAME:URI" of servers that are meant and whose resources are known; those that are not there begin to start. */
static void resources(agt *a, list *l, const char *word)
{
    const mcphub *h = &a->toolbox.hub;
    for (int i = 0; i < h->n; i++) {
        mcp_server *s = h->v[i].is;
        mcp_list items = { 0 };
        if (!may_name(word, mcp_name(s)))
            continue;                    /* "@maria" starts nobody's program */
        mcp_start(s);
        mcp_items(s, MCP_RESOURCES, &items);
        for (int k = 0; k < items.n; k++) {
            char *one = q_printf("@%s:%s", mcp_name(s), items.v[k].uri);
            if (one_word(one))
                offer(l, one, word, "");
            free(one);
        }
        mcp_list_free(&items);
    }
}

/* "mcp:NAME/URI" of /add: names of servers, then what the one that is named has. */
static void resources_to_add(agt *a, list *l, const char *word)
{
    const mcphub *h = &a->toolbox.hub;
    const char *name = strncmp(word, "mcp:", 4) == 0 ? word + 4 : NULL, *slash = name ? strchr(name, '/') : NULL;
    for (int i = 0; i < h->n && *word; i++) {
        mcp_server *s = h->v[i].is;
        mcp_list items = { 0 };
        bool named = slash && strlen(mcp_name(s)) == (size_t)(slash - name) && strncmp(name, mcp_name(s), (size_t)(slash - name)) == 0;
        char *begin = q_printf("mcp:%s/", mcp_name(s));
        if (named) {
            mcp_start(s);
            mcp_items(s, MCP_RESOURCES, &items);
        } else if (!slash)
            offer(l, begin, word, "");
        for (int k = 0; k < items.n; k++) {
            char *one = q_printf("%s%s", begin, items.v[k].uri);
            if (one_word(one))
                offer(l, one, word, "");
            free(one);
        }
        mcp_list_free(&items);
        free(begin);
    }
}

static void servers(agt *a, list *l, const char *word)
{
    for (int i = 0; i < a->toolbox.hub.n; i++)
        offer(l, mcp_name(a->toolbox.hub.v[i].is), word, "");
}

static void prompts(agt *a, list *l, const char *word)
{
    const mcphub *h = &a->toolbox.hub;
    for (int i = 0; i < h->n; i++) {
        mcp_list items = { 0 };
        mcp_items(h->v[i].is, MCP_PROMPTS, &items);
        for (int k = 0; k < items.n; k++) {
            char *one = q_printf("/%s:%s", mcp_name(h->v[i].is), items.v[k].name);
            if (one_word(one))
                offer(l, one, word, "");
            free(one);
        }
        mcp_list_free(&items);
    }
}

static void modules_named(agt *a, list *l, const char *word)
{
    agt_modules all;
    agt_get_modules(a, &all);
    for (int i = 0; i < all.n; i++)
        offer(l, all.v[i].name, word, "");
    agt_modules_free(&all);
}

char **agt_completions(agt *a, const char *line, size_t at, size_t *start, int *n)
{
    list l = { 0 };
    *n = 0;
    *start = at;
    if (at == 0)
        return NULL;
    size_t w = at, first = strcspn(line, " \t\n");
    while (w > 0 && line[w - 1] != ' ' && line[w - 1] != '\t' && line[w - 1] != '=')
        w--;
    if (line[0] != '/' && line[w] != '@')
        return NULL;
    char *word = q_strndup(line + w, at - w), *name = q_strndup(line + 1, first - 1);
    const agt_command *c = command_find(name);
    bool one = at > first && !memchr(line + first + 1, ' ', at - first - 1);     /* the first word behind the command */
    if (*word == '@' && line[0] != '/')
        resources(a, &l, word);
    else if (at <= first) {
        int all;
        c = agt_commands(&all);
        for (int i = 0; i < all; i++) {
            char *en = q_printf("/%s", c[i].name), *ru = q_printf("/%s", c[i].ru);
            offer(&l, en, word, "");
            if (word[1] && (unsigned char)word[1] >= 0x80)
                offer(&l, ru, word, "");
            free(en);
            free(ru);
        }
        prompts(a, &l, word);
    } else if (c && strcmp(c->name, "mcp") == 0) {
        words(&l, one ? c->words : NULL, word, " ");
        servers(a, &l, word);
    } else if (c && c->words && one)
        words(&l, c->words, word, c->complete ? " " : "");
    else if (c && c->knob)
        knob_values(a, &l, c->knob, word);
    else if (c && c->complete == AGT_COMPLETE_PATH) {
        if (strcmp(c->name, "add") == 0)
            resources_to_add(a, &l, word);
        paths(&l, word);
    }
    else if (c && (c->complete == AGT_COMPLETE_MODEL || c->complete == AGT_COMPLETE_CHAT))
        names(a, &l, c->complete, word);
    else if (c && c->complete == AGT_COMPLETE_MODULE)
        modules_named(a, &l, word);
    else if (c && (c->complete == AGT_COMPLETE_KNOB || c->complete == AGT_COMPLETE_ASSIGN))
        knob_or_value(a, &l, line, first, w, word, c->complete == AGT_COMPLETE_ASSIGN);
    free(word);
    free(name);
    *start = w;
    *n = l.n;
    if (l.n)
        qsort(l.v, (size_t)l.n, sizeof *l.v, by_text);
    return l.v;
}
