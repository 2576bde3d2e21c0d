/* agent: where an answer first differs from its sibling, however the pieces cut it; a conversation's name. Reaches into
 * generate.c; how pieces come to be is provider/'s affair (test_provider). */
#include "agent/generate.c"
#include "tests/unit/agent_help.h"

typedef struct outcome { q_buf text; int differs_at; } outcome;
static agt room;

/* Feeds the reply in pieces of n bytes. */
static void feed(const char *reply, size_t n, const char *against, outcome *o)
{
    char *compare = q_strdup(against);
    turn t = { .a = &room, .differs_at = -1, .compare = compare };
    size_t len = strlen(reply);
    int differs_seen = 0;
    for (size_t i = 0; i < len; i += n)
        piece(&t, &(prov_piece){ .number = (int)(i / n) + 1, .text = reply + i, .n = i + n < len ? n : len - i, .token = 1 });
    memset(o, 0, sizeof *o);
    agt_event e;
    while (evq_pop(&room.events, &e)) {
        q_buf_puts(&o->text, e.text);
        differs_seen += e.differs;
        agt_event_free(&e);
    }
    CHECK_STR(o->text.p, reply);
    CHECK_STR(t.text.p, reply);
    CHECK_INT(differs_seen, t.differs_at >= 0);
    o->differs_at = t.differs_at;
    q_buf_free(&t.text);
    q_buf_free(&o->text);
    free(compare);
}

static void first_difference(void)
{
    outcome o;
    feed("The sky is red.", 3, "The sky is blue.", &o);
    CHECK_INT(o.differs_at, 11);
    feed("The sky is blue.", 3, "The sky is blue.", &o);
    CHECK_INT(o.differs_at, -1);
    feed("The sky is blue, and more", 3, "The sky is blue", &o);
    CHECK_INT(o.differs_at, 15);
    for (size_t n = 1; n < 8; n++) {                /* the word, however the pieces cut it, and as a reload would say */
        feed("The sky is bluish today.", n, "The sky is blue today.", &o);
        CHECK_INT(o.differs_at, 11);
        CHECK_INT(view_differs("The sky is bluish today.", "The sky is blue today."), 11);
    }
    feed("Синее небо", 64, "Синяя туча", &o);
    CHECK_INT(o.differs_at, 0);
    CHECK_INT(view_differs("The", "The sky"), -1);
    CHECK_INT(view_differs("", "The sky"), -1);
    CHECK_INT(view_differs("The sky", "The"), 3);
    char one[400], two[400];                        /* without an end of a word in reach: the character itself */
    for (int i = 0; i < 390; i += 3)
        strcpy(one + i, "日"), strcpy(two + i, "日");
    strcpy(two + 300, "月月");
    strcpy(one + 300, "火火");
    CHECK_INT(view_differs(one, two), 300);
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

int main(void)
{
    char err[Q_ERRLEN];
    if (evq_open(&room.events, err) < 0) {
        printf("not ok agent text: %s\n", err);
        return 1;
    }
    RUN(first_difference);
    RUN(titles);
    evq_close(&room.events);
    return TEST_END();
}
