/* agent/wishes: what a person wants of memory: /pin and /ban, the same from the panel, and a passage shown where it stands. Quick
 * lane. What comes of a wish is rag's, with the next search. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/front.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum mem_kind kind_of(enum agt_of of) { return of == AGT_OF_CHAT ? MEM_CHAT : MEM_CHUNK; }
static const char *kind_word(enum mem_kind k) { return k == MEM_CHAT ? "chat" : "document"; }

/* "notes/optics.md § Rayleigh" */
static char *pin_title(const mem_pin *p)
{
    const char *last = strrchr(p->heading, '\xBA');      /* the end of " › " */
    const char *own = last ? last + 1 + (last[1] == ' ') : p->heading;
    return *own ? q_printf("%s § %s", p->title, own) : q_strdup(*p->title ? p->title : _("untitled"));
}

static void tell(agt *a, int64_t chat)
{
    char err[Q_ERRLEN];
    mem_pins pins = { 0 };
    mem_bans bans = { 0 };
    if ((chat && mem_pin_list(a->store, chat, &pins, err) < 0) || mem_ban_list(a->store, &bans, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        mem_pins_free(&pins);
        return;
    }
    agt_event e = { .kind = AGT_EV_WISHES, .retrieval = q_alloc(sizeof *e.retrieval) };
    agt_wishes *w = &e.retrieval->wishes;
    w->pin = q_alloc(sizeof *w->pin * (size_t)(pins.n + 1));
    w->ban = q_alloc(sizeof *w->ban * (size_t)(bans.n + 1));
    for (int i = 0; i < pins.n; i++)
        w->pin[w->n_pin++] = (agt_wish){ pins.v[i].kind == MEM_CHAT ? AGT_OF_CHAT : AGT_OF_DOCUMENT, pins.v[i].ref, pin_title(&pins.v[i]) };
    for (int i = 0; i < bans.n; i++)
        w->ban[w->n_ban++] = (agt_wish){ bans.v[i].kind == MEM_CHAT ? AGT_OF_CHAT : AGT_OF_DOCUMENT, bans.v[i].source, q_strdup(bans.v[i].title) };
    mem_pins_free(&pins);
    mem_bans_free(&bans);
    evq_push(&a->events, &e);
}

static void wishes(agt *a, const job *j) { tell(a, j->id); }

/* ---- passage [n] of the conversation's last answer ---- */
/* As the last search knows it, which is the part of a long text that was fed; else as the log does. */
int wishes_numbered(agt *a, int64_t chat, int number, mem_pin *pin, int64_t *source, char *err)
{
    mem_messages path = { 0 };
    mem_logs l = { 0 };
    mem_passage p = { 0 };
    int rc = chat ? mem_branch(a->store, chat, 0, &path, err) : Q_OK, last = path.n - 1;
    while (last >= 0 && path.v[last].role != MEM_ASSISTANT)
        last--;
    if (rc == Q_OK && last >= 0)
        rc = mem_log_get(a->store, path.v[last].id, &l, err);
    *pin = (mem_pin){ .ref = 0, .n = -1 };
    for (int i = 0; i < l.n && rc == Q_OK; i++)
        if (l.v[i].number == number)
            *pin = (mem_pin){ .kind = (enum mem_kind)l.v[i].kind, .ref = l.v[i].ref, .n = -1 };
    pthread_mutex_lock(&a->shown.mu);
    const rag_result *r = a->shown.why;
    for (int i = 0; pin->ref && pin->kind == MEM_CHAT && r && i < r->n; i++)
        if (r->v[i].kind == pin->kind && r->v[i].id == pin->ref) {
            pin->from = r->v[i].offset;
            pin->n = (int64_t)strlen(r->v[i].text);
        }
    pthread_mutex_unlock(&a->shown.mu);
    if (rc == Q_OK && last < 0)
        rc = q_fail(err, Q_NOTFOUND, _("nothing is answered in this conversation yet"));
    if (rc == Q_OK && !pin->ref)
        rc = q_fail(err, Q_NOTFOUND, _("passage [%d] was not fed to the last answer: /why lists what was"), number);
    if (rc == Q_OK)
        rc = mem_passage_get(a->store, pin->kind, pin->ref, &p, err);
    *source = p.source;
    mem_passage_free(&p);
    mem_logs_free(&l);
    mem_messages_free(&path);
    return rc;
}

/* ---- pins ---- */
/* Turns that a summary leaves word for word. */
static int pinned_turns(agt *a, int64_t chat, q_buf *b, cJSON *list)
{
    enum { SHOWN = 60 };
    char err[Q_ERRLEN];
    mem_messages path = { 0 };
    int nth = 0, n = 0;
    if (chat && mem_branch(a->store, chat, 0, &path, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    for (int i = 0; i < path.n; i++) {
        bool pinned = false;
        const mem_message *m = &path.v[i];
        if (m->role != MEM_ASSISTANT)
            continue;
        nth++;
        if (mem_turn_pinned(a->store, m->id, &pinned, err) < 0 || !pinned)
            continue;
        size_t all = strcspn(m->text, "\n"), cut = all > SHOWN ? q_utf8_whole(m->text, SHOWN) : all;
        q_buf_say(b, " @%d  %.*s%s\n", nth, (int)cut, m->text, m->text[cut] ? "…" : "");
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "answer", nth);
        cJSON_AddNumberToObject(one, "message", (double)m->id);
        cJSON_AddItemToArray(list, one);
        n++;
    }
    if (n)
        q_buf_puts(b, _("\nTurns of these answers stay word for word when older ones are summarised (/compact). /unpin @N takes one off.\n"));
    mem_messages_free(&path);
    return n;
}

static void pins_page(agt *a, int64_t chat)
{
    char err[Q_ERRLEN];
    mem_pins l = { 0 };
    if (chat && mem_pin_list(a->store, chat, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    q_buf b = { 0 };
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "pins");
    for (int i = 0; i < l.n; i++) {
        char *title = pin_title(&l.v[i]);
        cJSON *one = cJSON_CreateObject();
        q_buf_say(&b, "%3d  %s\n", i + 1, title);
        cJSON_AddNumberToObject(one, "n", i + 1);
        cJSON_AddStringToObject(one, "kind", kind_word(l.v[i].kind));
        cJSON_AddNumberToObject(one, "passage", (double)l.v[i].ref);
        cJSON_AddStringToObject(one, "title", title);
        cJSON_AddItemToArray(list, one);
        free(title);
    }
    if (l.n)
        q_buf_puts(&b, _("\nThese are fed first in this conversation while they fit. /pin off NUMBER takes one off.\n"));
    if (!pinned_turns(a, chat, &b, cJSON_AddArrayToObject(o, "turns")) && !l.n)
        q_buf_puts(&b, _("Nothing is pinned in this conversation: /pin 2 pins passage [2] of the last answer, /pin @1 the turn of answer 1.\n"));
    mem_pins_free(&l);
    note_page(&a->events, "/pin", q_buf_take(&b), cJSON_PrintUnformatted(o));
    cJSON_Delete(o);
}

static int unpin(agt *a, int64_t chat, int number, char *err)
{
    mem_pins l = { 0 };
    int rc = mem_pin_list(a->store, chat, &l, err);
    if (rc == Q_OK && (number < 1 || number > l.n))
        rc = q_fail(err, Q_RANGE, _("there is no pin %d here: /pin lists them"), number);
    if (rc == Q_OK && (rc = mem_pin_drop(a->store, chat, l.v[number - 1].kind, l.v[number - 1].ref, err)) == Q_OK)
        note(&a->events, AGT_INFO, _("not pinned any more: %s"), l.v[number - 1].title);
    mem_pins_free(&l);
    return rc;
}

static bool is_banned(agt *a, enum mem_kind kind, int64_t source)
{
    char err[Q_ERRLEN];
    mem_bans l = { 0 };
    bool yes = false;
    if (mem_ban_list(a->store, &l, err) == Q_OK)
        for (int i = 0; i < l.n; i++)
            yes |= l.v[i].kind == kind && l.v[i].source == source;
    mem_bans_free(&l);
    return yes;
}

static int pin(agt *a, int64_t chat, const mem_pin *p, char *err)
{
    mem_passage m = { 0 };
    int rc = mem_passage_get(a->store, p->kind, p->ref, &m, err);
    if (rc == Q_OK && is_banned(a, p->kind, m.source))
        rc = q_fail(err, Q_RANGE, _("%s is banned, so that nothing of it is fed: /ban lists what is, and /ban off takes it back"), m.title);
    if (rc == Q_OK && (rc = mem_pin_put(a->store, chat, p, err)) == Q_OK)
        note(&a->events, AGT_INFO, _("pinned: %s is fed first in this conversation, while it fits"), *m.title ? m.title : _("untitled"));
    mem_passage_free(&m);
    return rc;
}

/* id: the conversation; text: "on KIND REF FROM N" or "off KIND REF", else number: passage, below 0: place in the list; 0: the list. */
static void pin_job(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t source;
    long long ref, from, n;
    int kind, rc;
    mem_pin p;
    if (!j->text && j->number == 0) {
        pins_page(a, j->id);
        return;
    }
    if (j->text && sscanf(j->text, "on %d %lld %lld %lld", &kind, &ref, &from, &n) == 4)
        rc = pin(a, j->id, &(mem_pin){ .kind = (enum mem_kind)kind, .ref = ref, .from = from, .n = n }, err);
    else if (j->text && sscanf(j->text, "off %d %lld", &kind, &ref) == 2)
        rc = mem_pin_drop(a->store, j->id, (enum mem_kind)kind, ref, err);
    else if (j->number < 0)
        rc = unpin(a, j->id, (int)-j->number, err);
    else if ((rc = wishes_numbered(a, j->id, (int)j->number, &p, &source, err)) == Q_OK)
        rc = pin(a, j->id, &p, err);
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    tell(a, j->id);
}

/* ---- bans ---- */
static void bans_page(agt *a)
{
    char err[Q_ERRLEN];
    mem_bans l = { 0 };
    if (mem_ban_list(a->store, &l, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    q_buf b = { 0 };
    cJSON *o = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(o, "bans");
    for (int i = 0; i < l.n; i++) {
        cJSON *one = cJSON_CreateObject();
        q_buf_say(&b, "%3d  %s\n", i + 1, *l.v[i].title ? l.v[i].title : _("untitled"));
        cJSON_AddNumberToObject(one, "n", i + 1);
        cJSON_AddStringToObject(one, "kind", kind_word(l.v[i].kind));
        cJSON_AddNumberToObject(one, "source", (double)l.v[i].source);
        cJSON_AddStringToObject(one, "title", l.v[i].title);
        cJSON_AddItemToArray(list, one);
    }
    q_buf_puts(&b, l.n ? _("\nNothing of these is ever fed. /ban off NUMBER takes one back.\n")
                       : _("No source is banned: /ban 2 bans what passage [2] of the last answer is of.\n"));
    mem_bans_free(&l);
    note_page(&a->events, "/ban", q_buf_take(&b), cJSON_PrintUnformatted(o));
    cJSON_Delete(o);
}

static int ban(agt *a, enum mem_kind kind, int64_t source, bool on, char *err)
{
    mem_bans l = { 0 };
    char *title = NULL;
    int rc = Q_OK;
    if (on)
        rc = mem_ban_put(a->store, kind, source, true, err);
    if (rc == Q_OK)
        rc = mem_ban_list(a->store, &l, err);
    for (int i = 0; i < l.n; i++)
        if (l.v[i].kind == kind && l.v[i].source == source && !title)
            title = q_strdup(*l.v[i].title ? l.v[i].title : _("untitled"));
    mem_bans_free(&l);
    if (rc == Q_OK && !on)
        rc = mem_ban_put(a->store, kind, source, false, err);
    if (rc == Q_OK && title)
        note(&a->events, AGT_INFO, on ? _("banned: nothing of %s is fed any more; /ban lists what is banned, and takes it back") : _("not banned any more: %s"), title);
    free(title);
    return rc;
}

static int unban(agt *a, int number, char *err)
{
    mem_bans l = { 0 };
    int rc = mem_ban_list(a->store, &l, err);
    if (rc == Q_OK && (number < 1 || number > l.n))
        rc = q_fail(err, Q_RANGE, _("there is no banned source %d: /ban lists them"), number);
    if (rc == Q_OK)
        rc = ban(a, l.v[number - 1].kind, l.v[number - 1].source, false, err);
    mem_bans_free(&l);
    return rc;
}

/* As pin_job; text: "on KIND SOURCE" or "off KIND SOURCE". */
static void ban_job(agt *a, const job *j)
{
    char err[Q_ERRLEN];
    int64_t source;
    long long of;
    int kind, rc;
    mem_pin p;
    if (!j->text && j->number == 0) {
        bans_page(a);
        return;
    }
    if (j->text && sscanf(j->text, "on %d %lld", &kind, &of) == 2)
        rc = ban(a, (enum mem_kind)kind, of, true, err);
    else if (j->text && sscanf(j->text, "off %d %lld", &kind, &of) == 2)
        rc = ban(a, (enum mem_kind)kind, of, false, err);
    else if (j->number < 0)
        rc = unban(a, (int)-j->number, err);
    else if ((rc = wishes_numbered(a, j->id, (int)j->number, &p, &source, err)) == Q_OK)
        rc = ban(a, p.kind, source, true, err);
    if (rc < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    tell(a, j->id);
}

static const job_row job_wishes = { .name = "wishes", .lane = LANE_QUICK, .end = END_DROPPED, .run = wishes };
static const job_row job_pin = { .name = "pin", .lane = LANE_QUICK, .end = END_CARRIED, .run = pin_job };
static const job_row job_ban = { .name = "ban", .lane = LANE_QUICK, .end = END_CARRIED, .run = ban_job };

/* ---- the front end's side ---- */
void agt_ask_wishes(agt *a) { desk_post(&a->desk, &job_wishes, front_present(a), 0, NULL, NULL); }

void agt_pin(agt *a, const agt_passage *p, bool on)
{
    char *text = on ? q_printf("on %d %lld %lld %lld", kind_of(p->of), (long long)p->chunk, (long long)p->from, (long long)p->n)
                    : q_printf("off %d %lld", kind_of(p->of), (long long)p->chunk);
    desk_post(&a->desk, &job_pin, front_present(a), 0, text, NULL);
    free(text);
}

void agt_ban(agt *a, enum agt_of of, int64_t owner, bool on)
{
    char *text = q_printf("%s %d %lld", on ? "on" : "off", kind_of(of), (long long)owner);
    desk_post(&a->desk, &job_ban, front_present(a), 0, text, NULL);
    free(text);
}

bool wishes_command(agt *a, bool bans, const char *args)
{
    static const char *const off[] = { "off ", "снять " };
    int sign = 1;
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (strncmp(args, off[i], strlen(off[i])) == 0) {
            sign = -1;
            args += strlen(off[i]);
            break;
        }
    char *end;
    if (*args == '@' && !bans) {
        desk_post(&a->desk, &job_pin_turn, sign > 0, 0, args, NULL);
        return true;
    }
    long n = *args ? strtol(args, &end, 10) : 0;
    if ((*args && (*end || n < 1 || n > 10000)) || (sign < 0 && n < 1))
        return false;
    desk_post(&a->desk, bans ? &job_ban : &job_pin, front_present(a), sign * n, NULL, NULL);
    return true;
}
