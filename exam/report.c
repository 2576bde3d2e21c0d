/* exam/report: what a run came to, for the terminal and for programs. Pure; any thread. */
#include "base/say.h"
#include "exam/parts.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *mark_name(enum exam_mark m)
{
    static const char *const names[] = { "wrong", "right", "unread", "cut", "failed", "skipped" };
    return names[m];
}

int exam_asked(const exam_sheet *s)
{
    int n = s->n_item;
    for (int i = 0; i < s->n_seat; i++) n = s->seat[i].done < n ? s->seat[i].done : n;
    return n;
}

tally tally_of(const exam_sheet *s, const exam_seat *seat, const char *task, int level)
{
    tally t = { 0 };
    for (int i = 0; i < seat->done; i++) {
        const exam_reply *r = &seat->reply[i];
        if ((task && strcmp(task, s->item[i].task)) || (level && level != s->item[i].level)) continue;
        t.right += r->mark == EXAM_RIGHT;
        t.wrong += r->mark == EXAM_WRONG;
        t.unread += r->mark == EXAM_UNREAD;
        t.cut += r->mark == EXAM_CUT;
        t.failed += r->mark == EXAM_FAILED;
        t.skipped += r->mark == EXAM_SKIPPED;
        t.n += r->mark != EXAM_SKIPPED;
        t.tokens += r->tokens;
        t.prompt_tokens += r->prompt_tokens;
    }
    return t;
}

/* Where the marks show nothing because they could not. */
static void say_ends(const exam_sheet *s, judged j, q_buf *out)
{
    if (j.verdict == V_CUT) q_buf_say(out, _("hardly any right on either side, and most replies were cut at %d tokens: give more with --max-tokens, or --think off\n"), s->max_tokens);
    else if (j.verdict == V_UNREAD) q_buf_puts(out, _("hardly any right on either side, and most replies could not be read: see what they say with --json; --base asks by examples\n"));
    else if (j.verdict == V_HARD && j.level) q_buf_say(out, _("too hard for both: these questions cannot show a difference; take --level %d\n"), j.level);
    else if (j.verdict == V_HARD) q_buf_puts(out, _("too hard for both: these questions cannot show a difference, and no level is easier; take other --tasks\n"));
    else if (j.level) q_buf_say(out, _("too easy for both: these questions cannot show a difference; take --level %d\n"), j.level);
    else q_buf_puts(out, _("too easy for both: these questions cannot show a difference, and no level is harder; take other --tasks\n"));
}

static void say_shift(const exam_sheet *s, int b, q_buf *out)
{
    exam_shift x = shift_of(s, &s->seat[0], &s->seat[b]);
    if (!x.n) return;
    if (x.low == 0 && x.high == 0) {
        q_buf_say(out, ngettext("odds of the right answer: the same in %d question\n", "odds of the right answer: the same in each of %d questions\n", (unsigned long)x.n), x.n);
        return;
    }
    q_buf_say(out, _("odds of the right answer among %d: times %.3g (95%%: %.3g to %.3g), sign-flip p = %.2g, n = %d: "), EXAM_OTHERS + 1, exp(x.nats), exp(x.low), exp(x.high), x.p, x.n);
    if (x.different) q_buf_puts(out, x.nats > 0 ? _("tells it better, more than chance\n") : _("tells it worse, more than chance\n"));
    else q_buf_say(out, _("within chance; about %d would be needed\n"), x.need);
}

static void say_pair(const exam_sheet *s, int b, q_buf *out)
{
    exam_pair p = pair_of(s, &s->seat[0], &s->seat[b], NULL);
    judged j = judge_pair(s, &s->seat[0], &s->seat[b]);
    q_buf_say(out, _("\n%s over %s: %+.1f points (95%%: %+.1f to %+.1f), McNemar p = %.3g; only the first right: %d, only the second: %d\n"), s->seat[b].label, s->seat[0].label,
              100 * p.difference, 100 * p.low, 100 * p.high, p.p, p.only_a, p.only_b);
    if (j.verdict == V_BETTER || j.verdict == V_WORSE) q_buf_say(out, p.difference > 0 ? _("%s answers better: more than chance\n") : _("%s answers worse: more than chance\n"), s->seat[b].label);
    else if (j.verdict == V_NONE) q_buf_puts(out, _("no question was asked of both\n"));
    else if (j.verdict == V_ALIKE) q_buf_say(out, ngettext("no difference: %d question, judged the same by both\n", "no difference: %d questions, each judged the same by both\n", (unsigned long)p.n), p.n);
    else if (j.verdict == V_UNSEEN)
        q_buf_say(out, ngettext("no difference at this n (%d question); to find one of %.1f points about %d would be needed\n",
                                "no difference at this n (%d questions); to find one of %.1f points about %d would be needed\n", (unsigned long)p.n),
                  p.n, 100 * (p.difference != 0 ? p.difference < 0 ? -p.difference : p.difference : 0.05), p.need);
    else say_ends(s, j, out);
    say_shift(s, b, out);
}

static void say_tasks(const exam_sheet *s, const exam_seat *seat, q_buf *out)
{
    int n;
    const exam_task *task = exam_tasks(&n);
    for (int i = 0; i < n; i++) {
        tally t = tally_of(s, seat, task[i].name, 0);
        exam_rate r = exam_rate_of(t.right, t.n);
        if (t.n) q_buf_say(out, "  %-11s %4d/%-4d %5.1f%%  (%.1f – %.1f)", task[i].name, t.right, t.n, 100 * r.share, 100 * r.low, 100 * r.high);
        if (t.n && t.unread + t.cut + t.failed) q_buf_say(out, _("   unreadable %d, cut %d, no room %d"), t.unread, t.cut, t.failed);
        if (t.skipped && !t.n) q_buf_say(out, _("  %-11s skipped: %d"), task[i].name, t.skipped);
        if (t.n || t.skipped) q_buf_puts(out, "\n");
    }
}

void exam_report_text(const exam_sheet *s, q_buf *out)
{
    char w[32];
    if (s->stopped) q_buf_puts(out, _("stopped early: the rates are of what each was asked, the differences of what both were\n"));
    for (int i = 0; i < s->n_seat; i++) {
        const exam_seat *seat = &s->seat[i];
        tally t = tally_of(s, seat, NULL, 0);
        exam_rate r = exam_rate_of(t.right, t.n);
        q_buf_puts(out, i ? "\n" : "");
        q_buf_say(out, _("%s: %d of %d right, %.1f%% (95%%: %.1f to %.1f)\n"), seat->label, t.right, t.n, 100 * r.share, 100 * r.low, 100 * r.high);
        q_buf_say(out, _("  unreadable %d, cut at %d tokens %d, no room %d, skipped %d; %.0f tokens, %.1f s"), t.unread, s->max_tokens, t.cut, t.failed, t.skipped, t.tokens, seat->seconds);
        if (seat->bytes_a_token) q_buf_say(out, _(", %s a token"), q_bytes_words(seat->bytes_a_token, w));
        q_buf_puts(out, "\n");
        say_tasks(s, seat, out);
    }
    for (int i = 1; i < s->n_seat; i++) say_pair(s, i, out);
}

/* ---- for programs ---- */
static cJSON *tally_json(const tally *t)
{
    exam_rate r = exam_rate_of(t->right, t->n);
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "n", t->n);
    cJSON_AddNumberToObject(o, "right", t->right);
    cJSON_AddNumberToObject(o, "wrong", t->wrong);
    cJSON_AddNumberToObject(o, "unread", t->unread);
    cJSON_AddNumberToObject(o, "cut", t->cut);
    cJSON_AddNumberToObject(o, "failed", t->failed);
    cJSON_AddNumberToObject(o, "skipped", t->skipped);
    cJSON_AddNumberToObject(o, "share", r.share);
    cJSON_AddItemToObject(o, "ci", cJSON_CreateDoubleArray((double[]){ r.low, r.high }, 2));
    cJSON_AddNumberToObject(o, "tokens", t->tokens);
    cJSON_AddNumberToObject(o, "prompt_tokens", t->prompt_tokens);
    return o;
}

static cJSON *seat_json(const exam_sheet *s, const exam_seat *seat)
{
    int n;
    const exam_task *task = exam_tasks(&n);
    tally all = tally_of(s, seat, NULL, 0);
    cJSON *o = cJSON_CreateObject(), *tasks, *list;
    cJSON_AddStringToObject(o, "label", seat->label);
    cJSON_AddItemToObject(o, "all", tally_json(&all));
    cJSON_AddNumberToObject(o, "asked", seat->done);
    cJSON_AddNumberToObject(o, "seconds", seat->seconds);
    cJSON_AddNumberToObject(o, "bytes_per_token", (double)seat->bytes_a_token);
    tasks = cJSON_AddObjectToObject(o, "tasks");
    for (int i = 0; i < n; i++) {
        tally t = tally_of(s, seat, task[i].name, 0);
        if (t.n || t.skipped) cJSON_AddItemToObject(tasks, task[i].name, tally_json(&t));
    }
    list = cJSON_AddArrayToObject(o, "answers");
    for (int i = 0; i < seat->done; i++) {
        const exam_reply *r = &seat->reply[i];
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "task", s->item[i].task);
        cJSON_AddNumberToObject(one, "number", s->item[i].number);
        cJSON_AddNumberToObject(one, "level", s->item[i].level);
        cJSON_AddStringToObject(one, "mark", mark_name(r->mark));
        cJSON_AddStringToObject(one, "want", s->item[i].answer);
        if (r->read) cJSON_AddStringToObject(one, "read", r->read);
        cJSON_AddStringToObject(one, "reply", r->text);
        cJSON_AddNumberToObject(one, "tokens", r->tokens);
        if (s->score && isfinite(r->log_odds)) cJSON_AddNumberToObject(one, "log_odds", r->log_odds);
        cJSON_AddItemToArray(list, one);
    }
    return o;
}

static cJSON *pair_json(const exam_sheet *s, int i)
{
    exam_pair p = pair_of(s, &s->seat[0], &s->seat[i], NULL);
    exam_shift x = shift_of(s, &s->seat[0], &s->seat[i]);
    judged j = judge_pair(s, &s->seat[0], &s->seat[i]);
    cJSON *one = cJSON_CreateObject(), *odds;
    cJSON_AddStringToObject(one, "a", s->seat[0].label);
    cJSON_AddStringToObject(one, "b", s->seat[i].label);
    cJSON_AddNumberToObject(one, "n", p.n);
    cJSON_AddNumberToObject(one, "only_a", p.only_a);
    cJSON_AddNumberToObject(one, "only_b", p.only_b);
    cJSON_AddNumberToObject(one, "difference", p.difference);
    cJSON_AddItemToObject(one, "ci", cJSON_CreateDoubleArray((double[]){ p.low, p.high }, 2));
    cJSON_AddNumberToObject(one, "p", p.p);
    cJSON_AddBoolToObject(one, "different", p.different);
    cJSON_AddStringToObject(one, "verdict", verdict_name(j.verdict));
    if (j.level) cJSON_AddNumberToObject(one, "take_level", j.level);
    cJSON_AddNumberToObject(one, "need", p.need);
    if (!x.n) return one;
    odds = cJSON_AddObjectToObject(one, "log_odds");
    cJSON_AddNumberToObject(odds, "n", x.n);
    cJSON_AddNumberToObject(odds, "difference", x.nats);
    cJSON_AddItemToObject(odds, "ci", cJSON_CreateDoubleArray((double[]){ x.low, x.high }, 2));
    cJSON_AddNumberToObject(odds, "p", x.p);
    cJSON_AddBoolToObject(odds, "different", x.different);
    cJSON_AddNumberToObject(odds, "need", x.need);
    return one;
}

cJSON *exam_report_json(const exam_sheet *s, const exam_about *a)
{
    cJSON *o = cJSON_CreateObject(), *seats, *pairs;
    cJSON_AddNumberToObject(o, "v", 1);
    cJSON_AddStringToObject(o, "event", "reasoning");
    cJSON_AddStringToObject(o, "command", a->command);
    cJSON_AddNumberToObject(o, "seed", (double)a->seed);
    cJSON_AddNumberToObject(o, "questions", s->n_item);
    cJSON_AddNumberToObject(o, "asked", exam_asked(s));
    cJSON_AddBoolToObject(o, "stopped", s->stopped);
    seats = cJSON_AddArrayToObject(o, "models");
    for (int i = 0; i < s->n_seat; i++) cJSON_AddItemToArray(seats, seat_json(s, &s->seat[i]));
    pairs = cJSON_AddArrayToObject(o, "pairs");
    for (int i = 1; i < s->n_seat; i++)
        cJSON_AddItemToArray(pairs, pair_json(s, i));
    return o;
}
