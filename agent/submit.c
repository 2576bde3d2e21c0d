/* agent/submit: what is typed: messages, and commands (commands.h) with the functions of those that are neither a job nor a
 * front end's. /help, Tab, the manual page and the key help all read the table. Front-end thread.
 * It never draws: what only a front end can do leaves as AGT_EV_UI. */
#include "agent/errands.h"
#include "agent/front.h"
#include "agent/talk.h"

#include <stdlib.h>
#include <string.h>

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

static void usage(agt *a, const agt_command *c)
{
    note(&a->events, AGT_ERROR, "/%s %s: %s", c->name, _(c->args), _(c->help));
}

static void set(agt *a, const agt_command *c, char *args)
{
    if (!*args) {
        knobs_page(a, NULL);
        return;
    }
    if (knobs_set_several(a, args))
        return;
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

static void knob(agt *a, const agt_command *c, char *args)
{
    if (!*args) {
        knobs_page(a, c->knob);
        return;
    }
    knobs_set(a, c->knob, args);
    if (c->action)
        note_ui(&a->events, c->action, args);
}

static void again(agt *a, const agt_command *c, char *args) { agt_again(a, 0, args); }
static void stop(agt *a, const agt_command *c, char *args)
{
    if (!agt_busy(a) && !desk_paused(&a->desk))
        note(&a->events, AGT_INFO, _("nothing runs that could be stopped"));
    agt_stop(a);
}

static void think(agt *a, const agt_command *c, char *args)
{
    if (!*args || strcmp(args, "end") == 0)
        agt_end_thinking(a);
    else
        knobs_set(a, "think", args);
}

static void pause(agt *a, const agt_command *c, char *args) { agt_pause(a, !desk_paused(&a->desk)); }
static void toggle(agt *a, const agt_command *c, char *args) { agt_toggle(a); }
static void diff(agt *a, const agt_command *c, char *args) { configs_diff(a); }

static void history_page(agt *a, const agt_command *c, char *args)
{
    long n = 0;
    if (!*args)
        configs_history(a);
    else if (!number(args, &n) || n < 1 || n > AGT_HISTORY_MAX)
        usage(a, c);
    else
        desk_edit(&a->desk, EDIT_PAST, (int)n, NULL, NULL);
}

static void context(agt *a, const agt_command *c, char *args) { page_context(a); }
static void without(agt *a, const agt_command *c, char *args) { agt_without(a, 0, args); }

static void source(agt *a, const agt_command *c, char *args)
{
    long n = 0;
    char *at = *args == '[' ? args + 1 : args;
    at[strcspn(at, "]")] = 0;
    if (!number(at, &n) || n < 1 || n > 1000)
        usage(a, c);
    else
        desk_post(&a->desk, &job_source, front_present(a), n, NULL, NULL);
}

static void pin(agt *a, const agt_command *c, char *args)
{
    if (!wishes_command(a, false, args))
        usage(a, c);
}

static void unpin(agt *a, const agt_command *c, char *args)
{
    char *off = q_printf("off %s", args);
    if (!wishes_command(a, false, off))
        usage(a, c);
    free(off);
}

static void ban(agt *a, const agt_command *c, char *args)
{
    if (!wishes_command(a, true, args))
        usage(a, c);
}

static void why(agt *a, const agt_command *c, char *args) { page_why(a); }

static void step(agt *a, const agt_command *c, char *args)
{
    long n = 1;
    if (*args && !number(args, &n))
        usage(a, c);
    else if (!desk_paused(&a->desk))
        note(&a->events, AGT_INFO, _("nothing is paused: /pause first, then /step brings one token"));
    else
        for (long i = 0; i < (n > 0 && n < 10000 ? n : 1); i++)
            agt_step(a);
}

static void new(agt *a, const agt_command *c, char *args)
{
    desk_post(&a->desk, &job_open, 0, 0, *args ? args : NULL, NULL);
}

static void chats(agt *a, const agt_command *c, char *args)
{
    note_ui(&a->events, c->action, args);    /* first: the list may come at once, and is shown to whoever asked */
    agt_ask_chats(a);
}

static void open_chat(agt *a, const agt_command *c, char *args)
{
    long n, at = 0;
    char *colon = strchr(args, ':');     /* CONVERSATION:MESSAGE, as line mode lists what it found */
    if (colon)
        *colon = 0;
    if (!number(args, &n) || n <= 0 || (colon && (!number(colon + 1, &at) || at <= 0)))
        usage(a, c);
    else if (at)
        agt_open_at(a, n, at);
    else
        agt_open_chat(a, n);
}

static void rename_chat(agt *a, const agt_command *c, char *args) { agt_rename(a, 0, args); }

static void delete_chat(agt *a, const agt_command *c, char *args)
{
    long n = 0;
    if (*args && (!number(args, &n) || n <= 0))
        usage(a, c);
    else
    {
        int64_t chat = n ? n : front_present(a);
        desk_post(&a->desk, chat ? &job_delete : &job_delete_here, chat, 0, NULL, NULL);
    }
}

/* "state [NAME]". */
static void state(agt *a, const agt_command *c, char *args, const job_row *row)
{
    size_t n = strcspn(args, " \t\n");
    char *word = q_strndup(args, n), *name = trim(args + n);
    if (strcmp(word, "state") != 0 && strcmp(word, "состояние") != 0)
        usage(a, c);
    else {
        if (desk_waits(&a->desk, LANE_ENGINE))
            note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), c->name);
        desk_post(&a->desk, row, 0, 0, *name ? name : NULL, NULL);
    }
    free(word);
    free(name);
}

static void save_state(agt *a, const agt_command *c, char *args) { state(a, c, args, &job_state_save); }
static void load_state(agt *a, const agt_command *c, char *args) { state(a, c, args, &job_state_load); }

static void memory(agt *a, const agt_command *c, char *args)
{
    if (strcmp(args, "list") == 0 || strcmp(args, "список") == 0)
        desk_post(&a->desk, &job_documents, 0, 0, NULL, NULL);
    else if (strcmp(args, "map") == 0 || strcmp(args, "карта") == 0)
        desk_post(&a->desk, &job_memory_map, 0, 0, NULL, NULL);
    else if (strncmp(args, "drop ", 5) == 0)
        desk_post(&a->desk, &job_vectors, 0, 0, args + 5 + strspn(args + 5, " "), NULL);
    else
        note_ui(&a->events, c->action, args);
}

static void experts(agt *a, const agt_command *c, char *args)
{
    if (strcmp(args, "text") == 0)
        page_experts(a);
    else if (!*args)
        note_ui(&a->events, c->action, args);
    else if (!zoom_page(a, args))
        usage(a, c);
}

static void guard(agt *a, const agt_command *c, char *args) { page_guard(a); }

static void teach(agt *a, const agt_command *c, char *args) { teach_command(a, c, args); }

static void lora(agt *a, const agt_command *c, char *args)
{
    if (desk_waits(&a->desk, LANE_ENGINE) && strncmp(args, "scale", 5) != 0)
        note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), c->name);
    if (!adapters_command(a, args))
        note(&a->events, AGT_ERROR, _("/lora lists; /lora load FILE[=SCALE], scale NAME NUMBER, scale NAME@LAYERS NUMBER, off NAME"));
}

/* A page of what is named, else the panel. */
static void page_or_panel(agt *a, const agt_command *c, const job_row *page, char *args)
{
    if (*args)
        desk_post(&a->desk, page, 0, 0, args, NULL);
    else
        note_ui(&a->events, c->action, args);
}

static void energy(agt *a, const agt_command *c, char *args) { page_or_panel(a, c, &job_energy, args); }
static void advise(agt *a, const agt_command *c, char *args) { page_or_panel(a, c, &job_advise, args); }

static void experiment(agt *a, const agt_command *c, char *args)
{
    static const char *const lists[] = { "list", "список", "show", "показать" };
    bool list = !*args;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        list |= strncmp(args, lists[i], strlen(lists[i])) == 0 && strcspn(args, " \t\n") == strlen(lists[i]);
    if (!list && desk_waits(&a->desk, LANE_ENGINE))
        note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), c->name);
    desk_post(&a->desk, list ? &job_experiments : &job_experiment, 0, 0, args, NULL);
}

static void of_module(agt *a, const agt_command *c, char *args)
{
    if (!*args) {
        note_ui(&a->events, c->action, args);
        return;
    }
    if (desk_waits(&a->desk, LANE_ENGINE))
        note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), c->name);
    modules_command(a, args);
}

static void map(agt *a, const agt_command *c, char *args)
{
    char *file = strncmp(args, "--svg", 5) == 0 && (args[5] == ' ' || args[5] == '=') ? trim(args + 6) : q_strdup("");
    if (*file)
        desk_post(&a->desk, &job_map, 0, 0, file, NULL);
    else if (!*args)
        note_ui(&a->events, c->action, args);
    else if (strcmp(args, "text") == 0)
        map_page(a);
    else
        usage(a, c);
    free(file);
}

static void choose(agt *a, const agt_command *c, char *args) { prefer_choose(a, args); }

static void tools(agt *a, const agt_command *c, char *args)
{
    if (!tools_command(a, args))
        usage(a, c);
}

static void mcp(agt *a, const agt_command *c, char *args)
{
    if (!mcp_command(a, args))
        usage(a, c);
}

static void trace(agt *a, const agt_command *c, char *args)
{
    char *file = strncmp(args, "save ", 5) == 0 ? trim(args + 5) : q_strdup("");
    if (*file) {
        if (desk_waits(&a->desk, LANE_ENGINE))
            note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), c->name);
        desk_post(&a->desk, &job_trace, 0, 0, file, NULL);
    } else
        usage(a, c);
    free(file);
}

static void edit_question(agt *a, const agt_command *c, char *args)
{
    if (*args)
        agt_edit(a, 0, args);
    else
        note_ui(&a->events, AGT_UI_EDIT, "");
}

static void amend_answer(agt *a, const agt_command *c, char *args)
{
    if (*args)
        agt_amend(a, 0, args);
    else
        note_ui(&a->events, c->action, "");
}

static void branch(agt *a, const agt_command *c, char *args) { agt_branch(a, 0, *args == 'p' ? -1 : 1); }

/* ---- the table ---- */
#define DOES_JOB(name) .job = &job_##name
#define DOES_RUN(f) .run = f
#define DOES_UI(action_) .action = AGT_UI_##action_
#define DOES_BOTH(action_, f) .action = AGT_UI_##action_, .run = f
#define ROW(name_, does, ru_, args_, ...) { .name = #name_, .ru = ru_, .args = args_, DOES_##does, .help = __VA_ARGS__ },
static const agt_command table[] = { AGT_COMMANDS(ROW) };
#undef ROW
enum { N_TABLE = sizeof table / sizeof *table };

const agt_command *agt_commands(int *n)
{
    *n = N_TABLE;
    return table;
}

const agt_command *command_find(const char *name)
{
    for (int i = 0; i < N_TABLE; i++)
        if (strcmp(table[i].name, name) == 0 || strcmp(table[i].ru, name) == 0)
            return &table[i];
    return NULL;
}

static const agt_command *nearest(const char *name)
{
    const agt_command *best = NULL;
    int least = NEAR_NOT;
    for (int i = 0; i < N_TABLE; i++) {
        int d = text_near(name, table[i].name), r = text_near(name, table[i].ru);
        d = r < d ? r : d;
        if (d < least)
            least = d, best = &table[i];
    }
    return best;
}

static void run(agt *a, const agt_command *c, char *args)
{
    if (c->needs && !*args)
        usage(a, c);
    else if (c->job) {
        enum desk_lane lane = c->job->then ? c->job->then->lane : c->job->lane;
        if (lane != LANE_QUICK && desk_waits(&a->desk, lane))
            note(&a->events, AGT_INFO, _("/%s is done when the present work ends"), c->name);
        desk_post(&a->desk, c->job, 0, 0, *args ? args : NULL, NULL);
    } else if (c->run)
        c->run(a, c, args);
    else
        note_ui(&a->events, c->action, args);
}

static bool command_run(agt *a, const char *text)
{
    if (*text == '.') {                  /* "/" is "." on a Cyrillic layout */
        size_t n = strcspn(text + 1, " \t\n");
        char *word = q_strndup(text + 1, n), *latin = layout_to_latin(word);
        const agt_command *c = strcmp(word, latin) ? command_find(latin) : NULL;
        if (c)
            note(&a->events, AGT_WARN, _("%.*s looks like /%s on the other keyboard layout: send /%s%s, or begin the message with a space to say it"),
                      (int)n + 1, text, c->name, c->name, text + 1 + n);
        free(word);
        free(latin);
        return c != NULL;
    }
    if (*text != '/')
        return false;
    size_t n = strcspn(text + 1, " \t\n");
    if (memchr(text + 1, '/', n))        /* /etc/passwd is no command */
        return false;
    char *word = q_strndup(text + 1, n), *args = trim(text + 1 + n);
    if (n > 1 && word[n - 1] == '?' && !*args) {         /* /remember? */
        word[n - 1] = 0;
        free(args);
        args = q_strdup("?");
    }
    const agt_command *c = command_find(word);
    if (!c && prompt_command(a, word, args)) {
        free(word);
        free(args);
        return true;
    }
    if (!c) {
        char *latin = layout_to_latin(word), *russian = layout_to_cyrillic(word);
        const agt_command *near = command_find(latin) ? command_find(latin) : command_find(russian) ? command_find(russian) : nearest(word);
        if (near)
            note(&a->events, AGT_ERROR, _("there is no command /%s; did you mean /%s?"), word, near->name);
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
    if (clean[n] && !command_run(a, clean)) {    /* a space before "/" makes it a message */
        hub_start(a);
        desk_post(&a->desk, &job_send, 0, waits_ticket(a, WAITS_SEND, clean + n), clean + n, NULL);
    }
    free(clean);
}
