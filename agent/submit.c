/* agent/submit: what is typed: the command table and what its rows do, completion, and messages. /help, Tab, the
 * manual page and the key help all read the table. Front-end thread; long work is posted to the two others.
 * It never draws: what only a front end can do leaves as AGT_EV_UI. */
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/talk.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum command_id {
    C_HELP, C_SET, C_K, C_AGAIN, C_STOP, C_PAUSE, C_STEP, C_TOGGLE, C_RECOMPUTE, C_CONTEXT, C_WHY, C_NEW, C_CHATS, C_OPEN,
    C_RENAME, C_DELETE, C_FIND, C_ADD, C_FORGET, C_MEMORY, C_SEARCH, C_EXPERTS, C_CONFIG, C_MODEL, C_TRACE, C_COPY, C_EDIT,
    C_BRANCH, C_EDITOR, C_SCREENSHOT, C_THEME, C_LANG, C_LOG, C_CLEAR, C_QUIT, C_COUNT
};
#define K AGT_COMPLETE_KNOB
static const agt_command table[C_COUNT] = {
    [C_HELP] = { "help", "помощь", "", N_("keys and commands"), "F1", 0, AGT_UI_HELP },
    [C_SET] = { "set", "задать", N_("[NAME [VALUE]]"), N_("change a knob; without a name: list them all"), NULL, K, 0 },
    [C_K] = { "k", "к", N_("N"), N_("experts for each token, from the next token on"), "F7 F8", 0, 0 },
    [C_AGAIN] = { "again", "снова", N_("[NAME=VALUE …]"), N_("answer again beside the old answer, with other settings if given"), NULL, K, 0 },
    [C_STOP] = { "stop", "стоп", "", N_("stop the answer and keep what was said"), "Ctrl-C", 0, 0 },
    [C_PAUSE] = { "pause", "пауза", "", N_("pause the answer, or go on"), "F6", 0, 0 },
    [C_STEP] = { "step", "шаг", N_("[N]"), N_("while paused: N tokens"), "→", 0, 0 },
    [C_TOGGLE] = { "toggle", "туда-сюда", "", N_("the previous configuration and back"), "F9", 0, 0 },
    [C_RECOMPUTE] = { "recompute", "пересчитать", "", N_("evaluate the context anew under the present configuration"), NULL, 0, 0 },
    [C_CONTEXT] = { "context", "контекст", "", N_("what is in the context, by configuration"), NULL, 0, 0 },
    [C_WHY] = { "why", "почему", "", N_("why these passages were fed"), NULL, 0, 0 },
    [C_NEW] = { "new", "новая", N_("[TITLE]"), N_("a new conversation"), NULL, 0, 0 },
    [C_CHATS] = { "chats", "беседы", "", N_("the list of conversations"), "F2", 0, AGT_UI_CHATS },
    [C_OPEN] = { "open", "открыть", N_("NUMBER"), N_("open a conversation by its number"), NULL, AGT_COMPLETE_CHAT, 0 },
    [C_RENAME] = { "rename", "назвать", N_("TITLE"), N_("rename this conversation"), NULL, 0, 0 },
    [C_DELETE] = { "delete", "удалить", N_("[NUMBER]"), N_("delete this conversation, or the one with this number, for good"), NULL, AGT_COMPLETE_CHAT, 0 },
    [C_FIND] = { "find", "найти", N_("WORDS"), N_("find messages in all conversations"), NULL, 0, 0 },
    [C_ADD] = { "add", "добавить", N_("PATH"), N_("take a file or folder of text into memory"), NULL, AGT_COMPLETE_PATH, 0 },
    [C_FORGET] = { "forget", "забыть", N_("NUMBER or PATH"), N_("remove a document from memory"), NULL, 0, 0 },
    [C_MEMORY] = { "memory", "память", N_("[list]"), N_("what was fed; list: the documents in memory"), "F4", 0, AGT_UI_MEMORY },
    [C_SEARCH] = { "search", "поиск", N_("WORDS"), N_("what memory would feed for these words"), NULL, 0, 0 },
    [C_EXPERTS] = { "experts", "эксперты", "", N_("which experts run, and how unusual that is"), "F3", 0, AGT_UI_EXPERTS },
    [C_CONFIG] = { "config", "настройки", "", N_("the knobs as a panel"), "F5", 0, AGT_UI_CONFIG },
    [C_MODEL] = { "model", "модель", N_("[NAME or FILE]"), N_("load another model; without a name: list those at hand"), NULL, AGT_COMPLETE_MODEL, 0 },
    [C_TRACE] = { "trace", "след", N_("save FILE"), N_("write the last answer's routing as CSV, with its configuration as JSON beside it"), NULL, AGT_COMPLETE_PATH, 0 },
    [C_COPY] = { "copy", "копировать", "", N_("copy the last answer to the clipboard"), "y", 0, AGT_UI_COPY },
    [C_EDIT] = { "edit", "правка", N_("[TEXT]"), N_("edit the last question: a branch; the old one is kept"), "e", 0, 0 },
    [C_BRANCH] = { "branch", "ветка", N_("[next|prev]"), N_("to the next or previous version of the last answer or question"), "[ ]", 0, 0 },
    [C_EDITOR] = { "editor", "редактор", "", N_("write the message in $EDITOR"), "Ctrl-X Ctrl-E", 0, AGT_UI_EDITOR },
    [C_SCREENSHOT] = { "screenshot", "снимок", N_("FILE.svg"), N_("write the present screen to a file"), NULL, AGT_COMPLETE_PATH, AGT_UI_SCREENSHOT },
    [C_THEME] = { "theme", "тема", N_("dark|light"), N_("colours"), NULL, 0, AGT_UI_THEME },
    [C_LANG] = { "lang", "язык", N_("auto|en|ru"), N_("language of the interface"), NULL, 0, AGT_UI_LANG },
    [C_LOG] = { "log", "журнал", "", N_("notes and errors so far"), NULL, 0, AGT_UI_LOG },
    [C_CLEAR] = { "clear", "очистить", "", N_("clear the screen"), NULL, 0, AGT_UI_CLEAR },
    [C_QUIT] = { "quit", "выход", "", N_("leave; everything is kept"), "Ctrl-D", 0, AGT_UI_QUIT },
};

const agt_command *agt_commands(int *n)
{
    *n = C_COUNT;
    return table;
}

static int find(const char *name)
{
    for (int i = 0; i < C_COUNT; i++)
        if (strcmp(table[i].name, name) == 0 || strcmp(table[i].ru, name) == 0)
            return i;
    return -1;
}

static int nearest(const char *name)
{
    int best = -1, least = 3;
    for (int i = 0; i < C_COUNT; i++) {
        int d = text_distance(name, table[i].name), r = text_distance(name, table[i].ru);
        d = r < d ? r : d;
        if (d < least && d < (int)strlen(name))
            least = d, best = i;
    }
    return best;
}

/* ---- acts ---- */
static char *trim(const char *s)
{
    while (*s == ' ' || *s == '\t' || *s == '\n')
        s++;
    size_t n = strlen(s);
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\n' || s[n - 1] == '\r'))
        n--;
    return q_strndup(s, n);
}

static bool number(const char *s, long *out)
{
    char *end;
    *out = strtol(s, &end, 10);
    return *s && !*end;
}

static void usage(agt *a, int c)
{
    note(&a->events, AGT_ERROR, "/%s %s: %s", table[c].name, _(table[c].args), _(table[c].help));
}

static void set(agt *a, char *args)
{
    if (!*args) {
        knobs_page(a, NULL);
        return;
    }
    size_t n = strcspn(args, " \t=");
    char *name = q_strndup(args, n), *value = trim(args + n);
    if (*value == '=') {
        char *v = trim(value + 1);
        free(value);
        value = v;
    }
    if (*value || args[n] == '=')
        knobs_set(a, name, *value ? value : "");
    else
        knobs_page(a, name);
    free(name);
    free(value);
}

static void ui(agt *a, int c, const char *args)
{
    if (c == C_THEME || c == C_LANG) {
        if (!*args) {
            usage(a, c);
            return;
        }
        knobs_set(a, c == C_THEME ? "ui.theme" : "ui.lang", args);
    }
    note_ui(&a->events, table[c].action, args);
}

static void run(agt *a, int c, char *args)
{
    long n = 0;
    switch ((enum command_id)c) {
    case C_SET: set(a, args); break;
    case C_K:
        if (*args) knobs_set(a, "experts.k", args);
        else knobs_page(a, "experts.k");
        break;
    case C_AGAIN: agt_again(a, 0, args); break;
    case C_STOP: agt_stop(a); break;
    case C_PAUSE: {
        agt_status s;
        agt_get_status(a, &s);
        agt_pause(a, !s.paused);
        break;
    }
    case C_STEP:
        if (*args && !number(args, &n)) { usage(a, c); break; }
        for (long i = 0; i < (n > 0 && n < 10000 ? n : 1); i++)
            agt_step(a);
        break;
    case C_TOGGLE: agt_toggle(a); break;
    case C_RECOMPUTE: desk_post(&a->desk, &job_recompute, 0, 0, NULL, NULL); break;
    case C_CONTEXT: page_context(a); break;
    case C_WHY: page_why(a); break;
    case C_NEW: desk_post(&a->desk, &job_open, 0, 0, *args ? args : NULL, NULL); break;
    case C_CHATS: agt_ask_chats(a); ui(a, c, args); break;
    case C_OPEN:
        if (!number(args, &n) || n <= 0) usage(a, c);
        else agt_open_chat(a, n);
        break;
    case C_RENAME:
        if (*args) agt_rename(a, 0, args);
        else usage(a, c);
        break;
    case C_DELETE:
        if (*args && !number(args, &n)) usage(a, c);
        else agt_delete_chat(a, n);
        break;
    case C_FIND:
        if (*args) desk_post(&a->desk, &job_find, 0, 0, args, NULL);
        else usage(a, c);
        break;
    case C_ADD:
        if (*args) desk_post(&a->desk, &job_add, 0, 0, args, NULL);
        else usage(a, c);
        break;
    case C_FORGET:
        if (*args) desk_post(&a->desk, &job_forget, 0, 0, args, NULL);
        else usage(a, c);
        break;
    case C_MEMORY:
        if (strcmp(args, "list") == 0 || strcmp(args, "список") == 0) desk_post(&a->desk, &job_documents, 0, 0, NULL, NULL);
        else ui(a, c, args);
        break;
    case C_SEARCH:
        if (*args) desk_post(&a->desk, &job_search, 0, 0, args, NULL);
        else usage(a, c);
        break;
    case C_EXPERTS:
        if (strcmp(args, "text") == 0) page_experts(a);
        else ui(a, c, args);
        break;
    case C_MODEL: desk_post(&a->desk, &job_model, 0, 0, *args ? args : NULL, NULL); break;
    case C_TRACE:
        if (strncmp(args, "save ", 5) == 0 && args[5]) {
            char *f = trim(args + 5);
            desk_post(&a->desk, &job_trace, 0, 0, f, NULL);
            free(f);
        } else usage(a, c);
        break;
    case C_EDIT:
        if (*args) agt_edit(a, 0, args);
        else note_ui(&a->events, AGT_UI_EDIT, "");
        break;
    case C_BRANCH: agt_branch(a, 0, strncmp(args, "p", 1) == 0 ? -1 : 1); break;
    case C_SCREENSHOT:
        if (*args) ui(a, c, args);
        else usage(a, c);
        break;
    default: ui(a, c, args);
    }
}

static bool command_run(agt *a, const char *text)
{
    if (*text == '.') {                  /* "/" is "." on a Cyrillic layout */
        size_t n = strcspn(text + 1, " \t\n");
        char *word = q_strndup(text + 1, n), *latin = layout_to_latin(word);
        int c = strcmp(word, latin) ? find(latin) : -1;
        if (c >= 0)
            note(&a->events, AGT_WARN, _("%.*s looks like /%s on the other keyboard layout: send /%s%s, or begin the message with a space to say it"),
                      (int)n + 1, text, table[c].name, table[c].name, text + 1 + n);
        free(word);
        free(latin);
        return c >= 0;
    }
    if (*text != '/')
        return false;
    size_t n = strcspn(text + 1, " \t\n");
    if (memchr(text + 1, '/', n))        /* /etc/passwd is no command */
        return false;
    char *word = q_strndup(text + 1, n), *args = trim(text + 1 + n);
    int c = find(word);
    if (c < 0) {
        char *latin = layout_to_latin(word), *russian = layout_to_cyrillic(word);
        int slip = find(latin) >= 0 ? find(latin) : find(russian);
        int near = slip >= 0 ? slip : nearest(word);
        if (near >= 0)
            note(&a->events, AGT_ERROR, _("there is no command /%s; did you mean /%s?"), word, table[near].name);
        else
            note(&a->events, AGT_ERROR, _("there is no command /%s; /help lists them"), word);
        free(latin);
        free(russian);
    } else
        run(a, c, args);
    free(word);
    free(args);
    return true;
}

void agt_submit(agt *a, const char *text)
{
    char *clean = q_utf8_clean(text, strlen(text));
    size_t n = strspn(clean, " \t\r\n");
    if (clean[n] && !command_run(a, clean))      /* a space before "/" makes it a message */
        desk_post(&a->desk, &job_send, 0, waits_ticket(a, -1, clean + n), clean + n, NULL);
    free(clean);
}

/* ---- completion ---- */
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

static void knob_words(agt *a, list *l, const char *word, const char *tail)
{
    for (int i = 0; i < a->settings.n_knob; i++)
        if (a->settings.knob[i]->effect != Q_EFFECT_FIXED)
            offer(l, a->settings.knob[i]->name, word, tail);
    if (!l->n && *word)                  /* names of config.json only when nothing else fits */
        for (int i = 0; i < a->settings.n_knob; i++)
            for (const char *p = a->settings.knob[i]->aka; p && *p;) {
                size_t w = strcspn(p, ",");
                char *one = q_strndup(p, w);
                offer(l, one, word, tail);
                free(one);
                p += w + (p[w] == ',');
            }
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
    } else if (k->type == Q_KNOB_CHOICE) {
        for (const char *p = k->choices; *p;) {
            size_t w = strcspn(p, ",");
            char *one = q_strndup(p, w);
            offer(l, one, word, "");
            free(one);
            p += w + (p[w] == ',');
        }
    } else {
        const char *v = agt_knob_value(a, k, &b);
        double lo, hi;
        bool listed = k->type != Q_KNOB_FLOAT && agt_knob_range(a, k, &lo, &hi) && hi - lo < 32;
        for (int x = listed ? (int)lo : 1; listed && x <= (int)hi; x++) {
            char one[16];
            snprintf(one, sizeof one, "%d", x);
            offer(l, one, word, "");
        }
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

char **agt_completions(agt *a, const char *line, size_t at, size_t *start, int *n)
{
    list l = { 0 };
    *n = 0;
    *start = at;
    if (line[0] != '/' || at == 0)
        return NULL;
    size_t w = at;
    while (w > 0 && line[w - 1] != ' ' && line[w - 1] != '\t' && line[w - 1] != '=')
        w--;
    char *word = q_strndup(line + w, at - w);
    size_t first = strcspn(line, " \t\n");
    if (at <= first) {                   /* the command itself */
        for (int i = 0; i < C_COUNT; i++) {
            char *en = q_printf("/%s", table[i].name), *ru = q_printf("/%s", table[i].ru);
            offer(&l, en, word, "");
            if (word[1] && (unsigned char)word[1] >= 0x80)
                offer(&l, ru, word, "");
            free(en);
            free(ru);
        }
    } else {
        char *name = q_strndup(line + 1, first - 1);
        int c = find(name);
        free(name);
        if (c == C_THEME || c == C_LANG)
            knob_values(a, &l, c == C_THEME ? "ui.theme" : "ui.lang", word);
        else if (c == C_TRACE && !memchr(line + first + 1, ' ', at - first - 1))
            offer(&l, "save", word, " ");
        else if (c >= 0 && table[c].complete == AGT_COMPLETE_PATH)
            paths(&l, word);
        else if (c >= 0 && (table[c].complete == AGT_COMPLETE_MODEL || table[c].complete == AGT_COMPLETE_CHAT)) {
            pthread_mutex_lock(&a->shown.mu);
            const strings *s = table[c].complete == AGT_COMPLETE_MODEL ? &a->shown.models : &a->shown.chats;
            for (int i = 0; i < s->n; i++)
                offer(&l, s->v[i], word, "");
            pthread_mutex_unlock(&a->shown.mu);
            if (!l.n && table[c].complete == AGT_COMPLETE_MODEL && strchr(word, '/'))
                paths(&l, word);
        } else if (c >= 0 && table[c].complete == AGT_COMPLETE_KNOB) {
            size_t s = first;
            while (line[s] == ' ' || line[s] == '\t')
                s++;
            bool value = w > 0 && (line[w - 1] == '=' || (c == C_SET && w > s));
            if (value) {
                size_t from = c == C_SET ? s : w - 1, to;
                if (c != C_SET)
                    while (from > 0 && line[from - 1] != ' ')
                        from--;
                to = from + strcspn(line + from, " =");
                char *knob = q_strndup(line + from, to - from);
                knob_values(a, &l, knob, word);
                free(knob);
            } else
                knob_words(a, &l, word, c == C_AGAIN ? "=" : " ");
        }
    }
    free(word);
    *start = w;
    *n = l.n;
    if (l.n)
        qsort(l.v, (size_t)l.n, sizeof *l.v, by_text);
    return l.v;
}
