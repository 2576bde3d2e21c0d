/* agent/routing: /routing: recorded routing under names, and what two names differ by. Quick lane: it reads the store and asks
 * lab/; no model is needed. */
#include "agent/errands.h"
#include "base/say.h"
#include "lab/lab.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

static void list(agt *a)
{
    char err[Q_ERRLEN];
    mem_tags t = { 0 };
    q_buf b = { 0 };
    if (mem_tag_list(a->store, &t, err) < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    if (t.n == 0)
        note(&a->events, AGT_INFO, _("no routing has a name yet: /routing tag NAME gives one to the last answer, /routing compare A B compares two"));
    else {
        q_buf_say(&b, "%-20s %8s %8s %8s\n", _("name"), _("answers"), _("chats"), _("tokens"));
        cJSON *all = cJSON_CreateArray();
        for (int i = 0; i < t.n; i++) {
            cJSON *one = cJSON_CreateObject();
            cJSON_AddStringToObject(one, "name", t.v[i].name);
            cJSON_AddNumberToObject(one, "answers", t.v[i].n);
            cJSON_AddNumberToObject(one, "chats", t.v[i].chats);
            cJSON_AddNumberToObject(one, "tokens", (double)t.v[i].tokens);
            cJSON_AddItemToArray(all, one);
            q_buf_say(&b, "%-20s %8d %8d %8lld\n", t.v[i].name, t.v[i].n, t.v[i].chats, (long long)t.v[i].tokens);
        }
        q_buf_say(&b, "\n%s\n", _("/routing compare A B says which experts differ."));
        note_page(&a->events, "/routing", q_buf_take(&b), cJSON_PrintUnformatted(all));
        cJSON_Delete(all);
    }
    mem_tags_free(&t);
}

/* How much stands under a name. */
static mem_tag under(agt *a, const char *name)
{
    char err[Q_ERRLEN];
    mem_tags t = { 0 };
    mem_tag out = { 0 };
    if (mem_tag_list(a->store, &t, err) == Q_OK)
        for (int i = 0; i < t.n; i++)
            if (strcmp(t.v[i].name, name) == 0)
                out = (mem_tag){ NULL, t.v[i].n, t.v[i].chats, t.v[i].tokens };
    mem_tags_free(&t);
    return out;
}

/* all: every answer of the branch that has routing; else the last one. */
static void tag(agt *a, const char *name, bool all)
{
    char err[Q_ERRLEN];
    int64_t chat;
    int n = 0, rc = Q_OK;
    mem_messages path = { 0 };
    pthread_mutex_lock(&a->shown.mu);
    chat = a->shown.st.chat;
    pthread_mutex_unlock(&a->shown.mu);
    if (!lab_is_name(name))
        rc = q_fail(err, Q_RANGE, _("a name for routing is up to 64 letters, digits, dots, dashes and underscores, not \"%s\""), name);
    if (rc == Q_OK && chat)
        rc = mem_branch(a->store, chat, 0, &path, err);
    for (int i = path.n - 1; i >= 0 && rc == Q_OK && (all || n == 0); i--)
        if (path.v[i].has_trace && (rc = mem_tag_add(a->store, name, path.v[i].id, err)) == Q_OK)
            n++;
    mem_messages_free(&path);
    if (rc == Q_OK && n == 0)
        rc = q_fail(err, Q_NOTFOUND, _("this conversation has no recorded routing yet: ask something first"));
    if (rc < 0) {
        note(&a->events, AGT_ERROR, "%s", err);
        return;
    }
    mem_tag has = under(a, name);
    note(&a->events, AGT_INFO, ngettext("%s holds the routing of %d answer now, %lld tokens", "%s holds the routing of %d answers now, %lld tokens", (unsigned long)has.n),
         name, has.n, (long long)has.tokens);
}

static void untag(agt *a, const char *name, bool agreed)
{
    char err[Q_ERRLEN];
    mem_tag has = under(a, name);
    if (has.n && !agreed) {
        char *again = q_printf("untag %s", name);
        asks_put(a, q_printf(ngettext("Forget the name %s for %d answer? The routing itself stays with it.",
                                      "Forget the name %s for %d answers? The routing itself stays with them.", (unsigned long)has.n), name, has.n), &job_routing, 0, 1, again);
        free(again);
    } else if (mem_tag_drop(a->store, name, err) < 0)
        note(&a->events, AGT_ERROR, "%s", err);
    else
        note(&a->events, AGT_INFO, _("no routing is called %s any more"), name);
}

static bool goes_on(void *user, int done, int total)
{
    (void)done, (void)total;
    return !desk_stopped(&((agt *)user)->desk, LANE_LONG);
}

/* text and value: the two names. In the long lane, since many experts take many seconds. */
static void compare(agt *a, const job *j)
{
    const char *const name[2] = { j->text, j->value };
    char err[Q_ERRLEN];
    lab_routes *r[2] = { NULL, NULL };
    uint64_t model[2] = { 0, 0 };
    lab_differ d = { .n_layer = 0 };
    int rc = Q_OK;
    for (int i = 0; i < 2 && rc == Q_OK; i++)
        rc = lab_routes_tag(a->store, name[i], 0, &r[i], &model[i], err);
    if (rc == Q_OK && model[0] != model[1])
        rc = q_fail(err, Q_RANGE, _("%s and %s are of two models: experts are numbered anew in each, so they cannot be compared"), name[0], name[1]);
    if (rc == Q_OK)
        rc = lab_differ_of(r[0], r[1], &(lab_terms){ .go_on = goes_on, .user = a }, &d, err);
    if (rc == Q_OK) {
        q_buf out = { 0 };
        lab_differ_say(&d, name[0], name[1], &out);
        cJSON *data = lab_differ_json(&d);
        note_page(&a->events, "/routing compare", q_buf_take(&out), cJSON_PrintUnformatted(data));
        cJSON_Delete(data);
    } else
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    lab_differ_free(&d);
    lab_routes_free(r[0]);
    lab_routes_free(r[1]);
}

static const job_row job_routing_compare = { .name = "routing compare", .lane = LANE_LONG, .end = END_DROPPED, .run = compare };

static void routing(agt *a, const job *j)
{
    char *text = q_strdup(j->text ? j->text : ""), *word[4] = { NULL, NULL, NULL, NULL }, *at = NULL;
    int n = 0;
    for (char *p = strtok_r(text, " \t\n", &at); p; p = strtok_r(NULL, " \t\n", &at), n++)
        if (n < 4)
            word[n] = p;
    bool all = n == 3 && (strcmp(word[2], "all") == 0 || strcmp(word[2], "все") == 0);
    if (n == 0 || (n == 1 && (strcmp(word[0], "list") == 0 || strcmp(word[0], "список") == 0)))
        list(a);
    else if ((n == 2 || all) && (strcmp(word[0], "tag") == 0 || strcmp(word[0], "имя") == 0))
        tag(a, word[1], all);
    else if (n == 2 && strcmp(word[0], "untag") == 0)
        untag(a, word[1], j->number == 1);
    else if (n == 3 && (strcmp(word[0], "compare") == 0 || strcmp(word[0], "сравнить") == 0))
        desk_post(&a->desk, &job_routing_compare, 0, 0, word[1], word[2]);
    else
        note(&a->events, AGT_ERROR, _("/routing lists; /routing tag NAME names the last answer's routing, tag NAME all that of the whole conversation, untag NAME, compare A B"));
    free(text);
}

const job_row job_routing = { .name = "routing", .lane = LANE_QUICK, .end = END_CARRIED, .run = routing };
