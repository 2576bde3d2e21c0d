/* agent: a reply's text however the tokens cut it: thinking apart from the reply, stop strings never shown, the first
 * difference from a sibling. Reaches into generate.c, because no small model thinks. */
#include "agent/generate.c"
#include "tests/unit/agent_help.h"

typedef struct outcome { q_buf text, think; int differs_at; bool stopped; } outcome;

/* Feeds the reply in pieces of n bytes. */
static void feed(agt *a, const char *reply, size_t n, const char *compare, outcome *o)
{
    turn t = { .a = a, .differs_at = -1, .compare = compare };
    size_t len = strlen(reply);
    eng_choice c = { .token = 1 };
    for (size_t i = 0; i < len && !t.hit_stop; i += n) {
        q_buf_add(&t.pending, reply + i, i + n < len ? n : len - i);
        t.n++;
        sort_out(&t, false);
        emit(&t, &c);
    }
    if (!t.hit_stop) {
        sort_out(&t, true);
        emit(&t, NULL);
    }
    memset(o, 0, sizeof *o);
    agt_event e;
    while (evq_pop(&a->events, &e)) {
        q_buf_puts(e.thinking ? &o->think : &o->text, e.text);
        agt_event_free(&e);
    }
    q_buf_puts(&o->text, "");
    q_buf_puts(&o->think, "");
    CHECK_STR(o->text.p, t.text.p ? t.text.p : "");
    CHECK_STR(o->think.p, t.think.p ? t.think.p : "");
    o->differs_at = t.differs_at;
    o->stopped = t.hit_stop;
    q_buf_free(&t.text);
    q_buf_free(&t.think);
    q_buf_free(&t.pending);
    q_buf_free(&t.out_text);
    q_buf_free(&t.out_think);
}

static agt room;

static void cuts_do_not_matter(void)
{
    static const struct { const char *reply, *text, *think; bool stopped; } want[] = {
        { "Hello there.", "Hello there.", "", false },
        { "\n Hello", "Hello", "", false },
        { "<think>\nhm, a < b\n</think>\n\nHello", "Hello", "\nhm, a < b\n", false },
        { "\n<think>never closed", "", "never closed", false },
        { "<thin ice>", "<thin ice>", "", false },
        { "a <think> inside is text", "a <think> inside is text", "", false },
        { "one STOP two", "one ", "", true },
        { "one STO", "one STO", "", false },
        { "<think>STOP</think>x", "x", "STOP", false },
        { "Привет STOP", "Привет ", "", true },
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        for (size_t n = 1; n <= 12; n++) {
            outcome o;
            feed(&room, want[i].reply, n, NULL, &o);
            CHECK_STR(o.text.p, want[i].text);
            CHECK_STR(o.think.p, want[i].think);
            CHECK_INT(o.stopped, want[i].stopped);
            q_buf_free(&o.text);
            q_buf_free(&o.think);
        }
}

static void first_difference(void)
{
    outcome o;
    feed(&room, "The sky is red.", 3, "The sky is blue.", &o);
    CHECK(o.differs_at <= 11 && o.differs_at > 11 - 3);          /* the piece that holds byte 11 */
    q_buf_free(&o.text);
    q_buf_free(&o.think);
    feed(&room, "The sky is blue.", 3, "The sky is blue.", &o);
    CHECK_INT(o.differs_at, -1);
    q_buf_free(&o.text);
    q_buf_free(&o.think);
    feed(&room, "The sky is blue, and more", 3, "The sky is blue", &o);
    CHECK_INT(o.differs_at, 15);
    q_buf_free(&o.text);
    q_buf_free(&o.think);
}

static void titles(void)
{
    char *t = chat_title("  short\nsecond"), *l = chat_title("a rather long first question that goes on and on and on, for quite a while indeed"),
         *r = chat_title("оченьдлинноесловобезпробеловкотороенигдененельзяразорватьпополам");
    CHECK_STR(t, "short");
    CHECK(strlen(l) < 70 && strstr(l, "…") && q_utf8_valid(r, strlen(r)));
    free(t);
    free(l);
    free(r);
}

/* The n-th of a period of p tokens; a stray token at `stray`. Returns after how many tokens the guard speaks, 0 = never. */
static int caught(int p, int stray, int lead)
{
    turn t = { 0 };
    for (int i = 0; i < 1500; i++) {
        t.n++;
        int32_t token = i < lead ? 1000 + i : i == stray ? 7777 : (i - lead) % p;
        if (loops(&t, token))
            return t.n;
    }
    return 0;
}

static void loops_are_found(void)
{
    CHECK_INT(caught(2, -1, 0), 257);    /* more than 256 tokens of it */
    CHECK_INT(caught(1, -1, 0), 257);    /* one token for ever is a period of two as well */
    CHECK_INT(caught(30, -1, 100), 357);
    CHECK_INT(caught(64, -1, 0), 512);   /* eight times */
    CHECK_INT(caught(65, -1, 0), 260);   /* a longer one four times: a paragraph said again and again */
    CHECK_INT(caught(256, -1, 0), 1024);
    CHECK_INT(caught(257, -1, 0), 0);    /* longer still is a text with a refrain */
    CHECK_INT(caught(100, 250, 0), 250 + 1 + 400);
    CHECK_INT(caught(30, 200, 0), 200 + 1 + 257);    /* a stray token begins the count anew */
}

int main(void)
{
    char err[Q_ERRLEN];
    eng_open_opts o = { .n_threads = 1 };
    if (!help_model()) {
        SKIP("agent text", "no golden model");
        return 0;
    }
    if (evq_open(&room.events, err) < 0 || eng_model_open(help_model(), &o, &room.seat.model, err) < 0) {
        printf("not ok agent text: %s\n", err);
        return 1;
    }
    room.seat.cfg = eng_config_new(room.seat.model);
    eng_config_set(room.seat.cfg, "sampler.stop", "STOP", err);
    RUN(cuts_do_not_matter);
    RUN(first_difference);
    RUN(titles);
    RUN(loops_are_found);
    eng_config_free(room.seat.cfg);
    eng_model_free(room.seat.model);
    evq_close(&room.events);
    return TEST_END();
}
