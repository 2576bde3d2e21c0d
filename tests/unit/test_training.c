/* advice: memory as examples: only what was released, good answers, pairs by marks and by what was gone on with, nothing that was forgotten, no
 * duplicates, no names; whole or not at all, also where it is killed. */
#include "advice/examples.h"
#include "memory/memory.h"
#include "tests/memory_help.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static mem_store *s;

static int64_t chat(const char *title) { int64_t id; OK(mem_conversation_new(s, title, &id, err)); return id; }
static int64_t ask(int64_t c, int64_t under, const char *text) { int64_t id; OK(mem_message_add(s, c, under, MEM_USER, text, strlen(text), &id, err)); return id; }

static int64_t answer(int64_t c, int64_t under, const char *text, enum mem_status status)
{
    int64_t id;
    const char *thought = "Hm, Anna Smith.";
    OK(mem_reply_begin(s, c, under, "m", 1, 1, "{}", "", &id, err));
    OK(mem_reply_end(s, id, status, "eos", text, strlen(text), thought, strlen(thought), &(mem_stats){ 0 }, NULL, err));
    return id;
}

/* What a file of the folder holds; static. */
static const char *held(const char *folder, const char *name)
{
    static q_buf b[4];
    static int i;
    i = (i + 1) % 4;
    q_buf_clear(&b[i]);
    q_buf_puts(&b[i], "");
    char *path = q_printf("%s/%s", file(folder), name), why[Q_ERRLEN];
    q_read_file(path, &b[i], 1 << 24, why);
    free(path);
    return b[i].p;
}

static adv_exported leave(adv_export x, const char *folder, int want)
{
    adv_exported out;
    char *place = q_strdup(file(folder));
    x.dir = place;
    int rc = adv_export_memory(s, &x, &out, err);
    CHECK_MSG(rc == want, "%s: %d %s", folder, rc, rc ? err : "");
    free(place);
    return out;
}

static int64_t first, second, liked, disliked, left;

static void fill(void)
{
    first = chat("one");
    int64_t q = ask(first, 0, "Where does Anna Smith live?"), a = answer(first, q, "At 12 Baker Street; write to anna@example.com.", MEM_DONE), b = answer(first, q, "I do not know.", MEM_DONE);
    int64_t q2 = ask(first, a, "And Smith's phone?");
    answer(first, q2, "+44 20 7946 0958", MEM_DONE);
    int64_t q3 = ask(first, b, "Why?");
    answer(first, q3, "cut off", MEM_STOPPED);
    liked = a;
    disliked = b;
    second = chat("two");
    for (int64_t i = 0, under = 0; i < 2; i++) {
        under = ask(second, under, i ? "And why is that so, in a few words?" : "Why is the sky blue on a clear summer day at noon?");
        under = answer(second, under, i ? "Because short waves are scattered far more than long ones are." : "The air scatters blue light more than red light, so it comes from all sides.", MEM_DONE);
    }
    left = chat("three");
    answer(left, ask(left, 0, "private words"), "a private answer", MEM_DONE);
}

static void nothing_leaves_that_was_not_released(void)
{
    adv_exported o = leave((adv_export){ .to = ADV_AS_MESSAGES }, "a", Q_NOTFOUND);
    CHECK(strstr(err, "/train on") != NULL && access(file("a"), F_OK) != 0);
    adv_exported_free(&o);
    OK(mem_conversation_release(s, first, true, err));
    OK(mem_conversation_release(s, second, true, err));
    o = leave((adv_export){ .to = ADV_AS_MESSAGES }, "a", Q_OK);
    CHECK_INT(o.chats, 2);
    CHECK(!strstr(held("a", "train.jsonl"), "private") && strstr(held("a", "train.jsonl"), "sky blue") && strstr(held("a", "train.jsonl"), "\"reasoning_content\":\"Hm, Anna Smith.\""));
    CHECK(strstr(held("a", "report.md"), "Nothing was taken out") && strstr(held("a", "report.json"), "\"form\":\"messages\""));
    struct stat st;
    char *path = q_printf("%s/train.jsonl", file("a"));
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600 && stat(file("a"), &st) == 0 && (st.st_mode & 0777) == 0700);
    free(path);
    adv_exported_free(&o);
    o = leave((adv_export){ .to = ADV_AS_MESSAGES }, "a", Q_RANGE);         /* never over one that is there */
    adv_exported_free(&o);
    mem_outsides l;
    OK(mem_outside_list(s, &l, err));
    CHECK(l.n == 1 && strcmp(l.v[0].kind, "training") == 0);
    mem_outsides_free(&l);
    o = leave((adv_export){ .to = ADV_AS_MESSAGES, .all = true }, "all", Q_OK);
    CHECK(o.chats == 3 && strstr(held("all", "train.jsonl"), "a private answer"));
    adv_exported_free(&o);
    OK(mem_conversation_release(s, second, false, err));
    o = leave((adv_export){ .to = ADV_AS_MESSAGES, .drop_thinking = true }, "b", Q_OK);
    CHECK(o.chats == 1 && !strstr(held("b", "train.jsonl"), "sky blue") && !strstr(held("b", "train.jsonl"), "Hm, "));
    adv_exported_free(&o);
    OK(mem_conversation_release(s, second, true, err));
    CHECK_INT(mem_conversation_release(s, 999, true, err), Q_NOTFOUND);
}

static void names_and_numbers_stay_here(void)
{
    adv_exported o = leave((adv_export){ .to = ADV_AS_SHAREGPT, .redact = true, .only_good = false }, "c", Q_OK);
    const char *t = held("c", "train.jsonl");
    CHECK(!strstr(t, "Smith") && !strstr(t, "Baker") && !strstr(t, "anna@") && !strstr(t, "7946") && strstr(t, "sky blue"));
    CHECK(strstr(held("c", "report.md"), "names of people") && !strstr(held("c", "report.md"), "Smith") && !strstr(held("c", "report.json"), "Smith"));
    adv_exported_free(&o);
}

static void marks_choose(void)
{
    adv_exported o = leave((adv_export){ .to = ADV_AS_MESSAGES, .only_good = true }, "d", Q_NOTFOUND);
    CHECK(strstr(err, "/good") != NULL);
    adv_exported_free(&o);
    o = leave((adv_export){ .to = ADV_AS_PAIRS }, "e", Q_NOTFOUND);          /* both were gone on with, none is marked */
    adv_exported_free(&o);
    OK(mem_answer_mark(s, liked, 1, err));
    OK(mem_answer_mark(s, disliked, -1, err));
    int mark;
    OK(mem_answer_marked(s, disliked, &mark, err));
    CHECK_INT(mark, -1);
    CHECK_INT(mem_answer_mark(s, 1, 1, err), Q_NOTFOUND);        /* a question */
    o = leave((adv_export){ .to = ADV_AS_MESSAGES, .only_good = true }, "d", Q_OK);
    CHECK(o.train == 1 && strstr(held("d", "train.jsonl"), "Baker") && !strstr(held("d", "train.jsonl"), "7946"));
    adv_exported_free(&o);
    o = leave((adv_export){ .to = ADV_AS_PAIRS }, "e", Q_OK);
    CHECK(o.train == 1 && o.by_mark == 1 && o.by_going_on == 0);
    adv_example e;
    const char *t = held("e", "train.jsonl");
    OK(adv_example_read(t, strcspn(t, "\n"), ADV_AS_PAIRS, &e, NULL, err));
    CHECK(e.n == 2 && e.n_other == 1 && strstr(e.v[1].text, "Baker") && strcmp(e.other[0].text, "I do not know.") == 0);
    adv_example_free(&e);
    adv_exported_free(&o);
    OK(mem_answer_mark(s, liked, 0, err));
    OK(mem_answer_mark(s, disliked, 0, err));
    /* A pair whose prompt holds an answer that is marked bad is none. */
    int64_t id = chat("bad before"), wrong = answer(id, ask(id, 0, "How many legs has a spider of the usual kind?"), "Six of them, as every insect.", MEM_DONE);
    int64_t under = ask(id, wrong, "And how many has an ant, then?"), better = answer(id, under, "Six, as an insect has.", MEM_DONE);
    answer(id, under, "Eight or so, I would guess.", MEM_DONE);
    OK(mem_conversation_release(s, id, true, err));
    OK(mem_answer_mark(s, better, 1, err));
    OK(mem_answer_mark(s, wrong, -1, err));
    o = leave((adv_export){ .to = ADV_AS_PAIRS }, "marked", Q_NOTFOUND);
    adv_exported_free(&o);
    OK(mem_answer_mark(s, wrong, 0, err));
    o = leave((adv_export){ .to = ADV_AS_PAIRS }, "marked", Q_OK);
    CHECK(o.train == 1 && strstr(held("marked", "train.jsonl"), "spider"));
    adv_exported_free(&o);
    OK(mem_conversation_release(s, id, false, err));
}

/* Calls leave with what came back, redacted as all else, in the forms that hold them; of the others it is said. */
static void calls_of_tools_leave(void)
{
    int64_t id = chat("tools"), a = answer(id, ask(id, 0, "What do my notes say, the ones in the folder of letters?"), "I will look.It greets Anna Smith, and that is all there is in it.", MEM_DONE), call;
    mem_call c = { .message = a, .round = 0, .at = 12, .name = "read_file", .arguments = "{\"path\":\"notes.txt\",\"card\":4111111111111111}", .result = "Dear Anna Smith, write to anna@example.com", .policy = "",
                   .state = MEM_CALL_DONE, .path = "", .became = "" };
    OK(mem_call_put(s, &c, NULL, 0, NULL, 0, &call, err));
    OK(mem_conversation_release(s, id, true, err));
    adv_exported o = leave((adv_export){ .to = ADV_AS_MESSAGES, .redact = true, .all = false }, "calls", Q_OK);
    const char *all = held("calls", "train.jsonl"), *t = strstr(all, "I will look.");
    char *id_text = q_printf("call_%lld", (long long)call);
    CHECK_INT(o.tools, 1);
    CHECK_MSG(t && strstr(t, "\"name\":\"read_file\"") && strstr(t, id_text) && strstr(t, "\"role\":\"tool\"") && strstr(t, "\"content\":\"It greets "), "%s", t ? t : "");
    CHECK_MSG(t && !strstr(t, "Smith") && !strstr(t, "anna@") && !strstr(t, "41111") && strstr(t, "\\\"card\\\":\\\"[CARD-"), "%s", t ? t : "");
    adv_example e;
    unsigned lost = 0;
    size_t n = t ? strcspn(t, "\n") : 0;
    const char *line = t;
    while (line && line > all && line[-1] != '\n') line--;
    if (line) {
        OK(adv_example_read(line, n + (size_t)(t - line), ADV_AS_MESSAGES, &e, NULL, err));
        q_buf again = {0};
        CHECK(e.n == 4 && e.v[1].n_use == 1 && e.v[2].who == ADV_SAYS_TOOL && strcmp(e.v[2].answers, e.v[1].use[0].id) == 0);
        OK(adv_example_write(&e, ADV_AS_SHAREGPT, true, &again, &lost, err));
        q_buf_free(&again);
        adv_example_free(&e);
    }
    free(id_text);
    adv_exported_free(&o);
    o = leave((adv_export){ .to = ADV_AS_SHAREGPT }, "calls_s", Q_OK);
    CHECK(strstr(held("calls_s", "train.jsonl"), "function_call") && strstr(held("calls_s", "train.jsonl"), "observation") && o.lost[ADV_LOST_IDS] == 0);
    adv_exported_free(&o);
    o = leave((adv_export){ .to = ADV_AS_ALPACA }, "calls_a", Q_OK);
    CHECK(o.tools == 0 && o.lost[ADV_LOST_CALLS] == 1 && o.lost[ADV_LOST_RESULTS] == 1 && strstr(held("calls_a", "report.md"), "calls of tools were left out"));
    CHECK(!strstr(held("calls_a", "train.jsonl"), "Dear Anna"));
    adv_exported_free(&o);
    OK(mem_conversation_release(s, id, false, err));
}

static void duplicates_stay_out_and_what_is_held_out_is_so_again(void)
{
    int64_t id = chat("again");
    int64_t under = ask(id, 0, "Why is the sky blue on a clear summer day at noon?");
    under = answer(id, under, "The air scatters blue light more than red light, so it comes from all sides.", MEM_DONE);
    under = answer(id, ask(id, under, "And why is that so, in a few words?"), "Because short waves are scattered far more than long ones are, I think.", MEM_DONE);
    OK(mem_conversation_release(s, id, true, err));
    adv_exported o = leave((adv_export){ .to = ADV_AS_MESSAGES }, "f", Q_OK);
    CHECK_MSG(o.near == 1 && o.same == 0, "%d %d", (int)o.near, (int)o.same);
    adv_exported_free(&o);
    for (int i = 0; i < 60; i++) {
        char *q = q_printf("What is %d times %d?", i, i + 1), *a = q_printf("%d", i * (i + 1));
        int64_t c = chat("sum");
        answer(c, ask(c, 0, q), a, MEM_DONE);
        OK(mem_conversation_release(s, c, true, err));
        free(q);
        free(a);
    }
    o = leave((adv_export){ .to = ADV_AS_ALPACA, .heldout = .25 }, "g", Q_OK);
    adv_exported again = leave((adv_export){ .to = ADV_AS_ALPACA, .heldout = .25 }, "h", Q_OK);
    CHECK_MSG(o.heldout > 4 && o.heldout < 30 && o.train + o.heldout == 62, "%d %d", (int)o.heldout, (int)o.train);
    CHECK_STR(held("g", "heldout.jsonl"), held("h", "heldout.jsonl"));
    adv_exported_free(&o);
    adv_exported_free(&again);
}

/* What a limit or a repetition ended is no whole answer, unless somebody calls it good. */
static void cut_answers_stay_out(void)
{
    static const struct { const char *finish; bool goes; } rows[] = { { "", true }, { "eos", true }, { "stop string", true }, { "max_tokens", false }, { "context", false }, { "loop", false } };
    mem_store *old = s;
    OK(mem_open(":memory:", &s, err));
    int64_t last = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t c = chat("cut"), id;
        char *question = q_printf("Question %d about something else?", (int)i), *text = q_printf("Answer-%d", (int)i);
        int64_t q = ask(c, 0, question);
        OK(mem_reply_begin(s, c, q, "m", 1, 1, "{}", "", &id, err));
        OK(mem_reply_end(s, id, MEM_DONE, rows[i].finish, text, strlen(text), "", 0, &(mem_stats){ 0 }, NULL, err));
        OK(mem_conversation_release(s, c, true, err));
        last = id;
        free(question);
        free(text);
    }
    adv_exported o = leave((adv_export){ .to = ADV_AS_MESSAGES }, "cut", Q_OK);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char *text = q_printf("Answer-%d", (int)i);
        CHECK_MSG((strstr(held("cut", "train.jsonl"), text) != NULL) == rows[i].goes, "%s", rows[i].finish);
        free(text);
    }
    adv_exported_free(&o);
    OK(mem_answer_mark(s, last, 1, err));
    o = leave((adv_export){ .to = ADV_AS_MESSAGES }, "cut2", Q_OK);
    CHECK(strstr(held("cut2", "train.jsonl"), "Answer-5") && !strstr(held("cut2", "train.jsonl"), "Answer-4"));
    adv_exported_free(&o);
    mem_close(s);
    s = old;
}

static void what_was_forgotten_does_not_leave(void)
{
    OK(mem_messages_delete(s, &liked, 1, NULL, err));
    OK(mem_conversation_delete(s, second, err));
    adv_exported o = leave((adv_export){ .to = ADV_AS_MESSAGES, .all = true }, "i", Q_OK);
    const char *t = held("i", "train.jsonl");
    CHECK(!strstr(t, "Baker") && strstr(t, "a private answer"));
    adv_exported_free(&o);
}

/* Killed at any moment: the folder is there whole or not at all, and the next one needs nothing cleared away. */
static void a_kill_leaves_nothing_half(void)
{
    int whole = 0;
    for (int i = 0; i < 25; i++) {
        char *name = q_printf("k%d", i), *place = q_strdup(file(name));
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            mem_store *mine;
            adv_exported o;
            adv_export x = { .to = ADV_AS_MESSAGES, .redact = true, .dir = place };
            char why[Q_ERRLEN];
            if (mem_open(file("m.db"), &mine, why) == Q_OK) adv_export_memory(mine, &x, &o, why);
            _exit(0);
        }
        usleep((useconds_t)(i * i * 500));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        if (access(place, F_OK) == 0) {
            whole++;
            CHECK(*held(name, "train.jsonl") && *held(name, "report.md") && *held(name, "report.json"));
        } else {
            adv_exported o = leave((adv_export){ .to = ADV_AS_MESSAGES }, name, Q_OK);
            adv_exported_free(&o);
        }
        char *part = q_printf("%s.part", place);
        CHECK(access(part, F_OK) != 0);
        free(part);
        free(place);
        free(name);
    }
    printf("# %d of 25 were whole before the kill\n", whole);
}

int main(void)
{
    if (!memory_begin("training")) return 1;
    OK(mem_open(file("m.db"), &s, err));
    RUN(fill);
    RUN(nothing_leaves_that_was_not_released);
    RUN(names_and_numbers_stay_here);
    RUN(marks_choose);
    RUN(calls_of_tools_leave);
    RUN(duplicates_stay_out_and_what_is_held_out_is_so_again);
    RUN(cut_answers_stay_out);
    RUN(what_was_forgotten_does_not_leave);
    RUN(a_kill_leaves_nothing_half);
    mem_close(s);
    return memory_end();
}
