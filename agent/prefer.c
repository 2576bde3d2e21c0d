/* agent/prefer: see prefer.h. What was chosen is kept as settings "prefer.MODEL.SIDE|SIDE", sides in the order of their letters,
 * worth six counts: the first one liked more, the second, neither; then the same of those that were blind. */
#include "base/say.h"
#include "agent/room.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COUNTS = 6, KEY = 400 };
static const char prefix[] = "prefer.";

void prefer_open(prefer *p)
{
    pthread_mutex_init(&p->mu, NULL);
    p->pair.first = -1;
}

static void drop(prefer *p)
{
    lab_columns_free(&p->pair);
    free(p->side[0]);
    free(p->side[1]);
    p->side[0] = p->side[1] = NULL;
    p->there = p->chosen = false;
}

void prefer_close(prefer *p)
{
    drop(p);
    pthread_mutex_destroy(&p->mu);
}

static void tell(agt *a, const lab_columns *c)
{
    agt_event e = { .kind = AGT_EV_COLUMNS, .columns = q_alloc(sizeof *e.columns) };
    lab_columns_copy(c, e.columns);
    evq_push(&a->events, &e);
}

void prefer_show(agt *a, lab_columns *pair, const char *const side[2], uint64_t model, bool blind)
{
    prefer *p = &a->prefer;
    lab_columns seen;
    bool swap = blind && (q_mix64(q_salt(), (uint64_t)q_now_ns()) & 1);
    if (swap) {
        lab_column x = pair->side[0];
        pair->side[0] = pair->side[1];
        pair->side[1] = x;
    }
    lab_columns_copy(pair, &seen);
    free(seen.note);
    seen.note = q_strdup(pair->first < 0 ? _("both answers are the same") : blind ? _("which is better? /prefer 1, /prefer 2 or /prefer same shows which is which")
                                                                                 : _("/prefer 1, /prefer 2 or /prefer same keeps which you like more; --blind hides which is which"));
    for (int s = 0; s < 2 && blind && pair->first >= 0; s++) {
        free(seen.side[s].name);
        seen.side[s].name = NULL;
        for (int i = 0; i < seen.side[s].n; i++)         /* whose tokens are the unlikelier ones tells which is which */
            seen.side[s].piece[i].over = NAN;
    }
    seen.blind = blind && pair->first >= 0;
    pthread_mutex_lock(&p->mu);
    drop(p);
    p->pair = *pair;
    *pair = (lab_columns){ .first = -1 };
    p->there = p->pair.first >= 0;
    p->blind = blind;
    p->model = model;
    for (int s = 0; s < 2; s++)
        p->side[s] = q_strdup(side[swap ? 1 - s : s]);
    pthread_mutex_unlock(&p->mu);
    tell(a, &seen);
    lab_columns_free(&seen);
}

static void read_counts(const char *text, int n[COUNTS])
{
    for (int i = 0; i < COUNTS; i++) {
        char *end;
        long v = text ? strtol(text, &end, 10) : 0;
        n[i] = v > 0 && v < 1000000 ? (int)v : 0;
        text = text ? end : NULL;
    }
}

static const char *chance(int more, int less) { return lab_sign_test(more, less) < .05 ? _("more than chance") : _("within chance"); }

static void one_count(q_buf *out, const char *a, const char *b, const int n[3])
{
    q_buf_say(out, _("%s %d, %s %d, neither %d; sign test p %.2g: %s"), a, n[0], b, n[1], n[2], lab_sign_test(n[0], n[1]), chance(n[0], n[1]));
}

/* ---- what was chosen so far ---- */
typedef struct listing { q_buf out; const char *model; } listing;
static void one_pair(void *user, const char *key, const char *value)
{
    listing *l = user;
    const char *names = strchr(key + sizeof prefix - 1, '.'), *bar = names ? strchr(names, '|') : NULL;
    int n[COUNTS];
    if (!bar)
        return;
    char *a = q_strndup(names + 1, (size_t)(bar - names - 1));
    read_counts(value, n);
    one_count(&l->out, a, bar + 1, n);
    if (n[3] + n[4] + n[5]) {
        q_buf_say(&l->out, _("\n  of these blind: "));
        one_count(&l->out, a, bar + 1, n + 3);
    }
    q_buf_putc(&l->out, '\n');
    free(a);
}

static void list(agt *a)
{
    listing l = { { 0 }, NULL };
    settings_each(&a->settings, prefix, one_pair, &l);
    if (l.out.len)
        note_text(&a->events, "/prefer", q_buf_take(&l.out));
    else
        note(&a->events, AGT_INFO, _("nothing was chosen yet: /compare A B free --blind shows two answers to choose from"));
    q_buf_free(&l.out);
}

/* ---- choosing ---- */
/* Of a side's name in a key, whole characters. */
static int side_bytes(const char *name)
{
    enum { SIDE = 150 };
    size_t n = strlen(name);
    return (int)(n > SIDE ? q_utf8_whole(name, SIDE) : n);
}

static void count(agt *a, prefer *p, int choice /* the side, 2: neither */)
{
    bool turned = strcmp(p->side[0], p->side[1]) > 0;
    const char *first = p->side[turned], *second = p->side[!turned];
    int n[COUNTS], at = choice == 2 ? 2 : turned ? 1 - choice : choice;
    char key[KEY];
    snprintf(key, sizeof key, "%s%016llx.%.*s|%.*s", prefix, (unsigned long long)p->model, side_bytes(first), first, side_bytes(second), second);
    char *had = agt_setting_get(a, key), value[COUNTS * 12];
    read_counts(had, n);
    n[at]++;
    if (p->blind)
        n[3 + at]++;
    snprintf(value, sizeof value, "%d %d %d %d %d %d", n[0], n[1], n[2], n[3], n[4], n[5]);
    agt_setting_put(a, key, value);
    q_buf b = { 0 };
    if (choice < 2)
        q_buf_say(&b, _("you chose %s · "), p->side[choice]);
    one_count(&b, first, second, n);
    free(p->pair.note);
    p->pair.note = q_buf_take(&b);
    p->chosen = true;
    free(had);
}

void prefer_choose(agt *a, const char *word)
{
    static const struct { const char *word; int choice; } words[] = { { "1", 0 }, { "2", 1 }, { "same", 2 }, { "поровну", 2 } };
    prefer *p = &a->prefer;
    int choice = -1;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        choice = strcmp(word, words[i].word) == 0 ? words[i].choice : choice;
    if (!*word) {
        list(a);
        return;
    }
    pthread_mutex_lock(&p->mu);
    bool good = choice >= 0 && p->there && !p->chosen, chosen = p->chosen;
    if (good) {
        count(a, p, choice);
        tell(a, &p->pair);
    }
    pthread_mutex_unlock(&p->mu);
    if (good)
        return;
    note(&a->events, AGT_ERROR, "%s", choice < 0 ? _("/prefer 1, /prefer 2 or /prefer same; alone it lists what was chosen")
                                    : chosen ? _("these two were chosen from already: /compare A B free --blind makes new ones")
                                             : _("there are no two answers to choose from: /compare A B free --blind makes some"));
}
