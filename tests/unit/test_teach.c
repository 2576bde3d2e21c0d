/* teach: sets of examples made of files, dialogues, archives and of what memory releases; examples as tokens with masks; what is held out;
 * settings. On a checked-in model. */
#include "memory/memory.h"
#include "teach/parts.h"
#include "tests/adapter_help.h"
#include "tests/memory_help.h"
#include "tests/vocab_fixture.h"

#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

static eng_model *m;

static const char *put(const char *name, const char *text)
{
    OK(q_write_file_atomic(file(name), text, strlen(text), err));
    return file(name);
}

static tch_added add(const char *what, const char *name, int want)
{
    tch_added a;
    int rc = tch_add(what, name, NULL, NULL, &a, err);
    CHECK_MSG(rc == want, "%s: %d %s", what, rc, rc ? err : "");
    return a;
}

static tch_set *find(tch_set *v, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(v[i].name, name) == 0)
            return &v[i];
    return NULL;
}

static const char SOME[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Name a colour.\"},{\"role\":\"assistant\",\"content\":\"Aye, blue.\"}]}\n"
                           "{\"messages\":[{\"role\":\"user\",\"content\":\"Name a city.\"},{\"role\":\"assistant\",\"content\":\"Aye, Paris.\"}]}\n"
                           "{\"messages\":[{\"role\":\"user\",\"content\":\"Name a city.\"},{\"role\":\"assistant\",\"content\":\"Aye, Paris.\"}]}\n"
                           "{\"prompt\":\"Name a tree.\",\"chosen\":\"Aye, an oak.\",\"rejected\":\"Oak.\"}\n{\"broken\":\n";

static void files_become_examples(void)
{
    tch_added a = add(put("some.jsonl", SOME), NULL, Q_OK);
    CHECK(a.examples == 2 && a.pairs == 1 && a.same == 1 && a.broken == 1 && a.first_broken && strstr(a.first_broken, "some.jsonl:5"));
    tch_added_free(&a);
    a = add(file("some.jsonl"), NULL, Q_OK);                 /* a second time nothing is new */
    CHECK(a.examples == 0 && a.pairs == 0 && a.same == 4);
    tch_added_free(&a);
    a = add(put("talk.md", "**User:** Hello\n\n**Assistant:** Aye, ahoy.\n\n**User:** And you?\n\n**Assistant:** Aye, well.\n"), "sea", Q_OK);
    CHECK(a.examples == 1 && a.pairs == 0);
    tch_added_free(&a);
    a = add("tests/golden/chats/chatgpt.json", "old-chats", Q_OK);
    CHECK(a.examples > 0);
    tch_added_free(&a);
    q_buf lines = { 0 };
    OK(set_lines(NULL, "sea", &lines, err));
    CHECK_MSG(strstr(lines.p, "Aye, well.") && strstr(lines.p, "\"role\":\"user\""), "%s", lines.p);
    q_buf_free(&lines);
}

static void what_is_no_set_is_refused(void)
{
    static const struct { const char *what, *name, *says; int rc; } rows[] = {
        { "nowhere.jsonl", NULL, "no file", Q_NOTFOUND }, { "some.jsonl", "../up", "no name", Q_RANGE }, { "some.jsonl", ".hidden", "no name", Q_RANGE },
        { "plain.txt", "x", "holds no conversation", Q_NOTFOUND }, { "empty.jsonl", "x", "", Q_FORMAT }, { "mute.jsonl", "x", "no example with an answer", Q_NOTFOUND } };
    put("plain.txt", "Nothing that anybody said to anybody.\n");
    put("empty.jsonl", "");
    put("mute.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"Anybody there?\"}]}\n");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        tch_added a;
        int rc = tch_add(file(rows[i].what), rows[i].name, NULL, NULL, &a, err);
        CHECK_MSG(rc < 0 && (rows[i].rc == Q_FORMAT || rc == rows[i].rc) && strstr(err, rows[i].says), "%s: %d %s", rows[i].what, rc, rc ? err : "");
    }
    q_buf lines = { 0 };
    CHECK_INT(set_lines(NULL, "x", &lines, err), Q_NOTFOUND);        /* nothing was made by these */
    CHECK(strstr(err, "/teach add") != NULL);
    CHECK_INT(tch_drop("x", err), Q_NOTFOUND);
    q_buf_free(&lines);
}

static void windows_add_one_after_the_other(void)
{
    enum { WINDOWS = 6 };
    pid_t child[WINDOWS];
    for (int i = 0; i < WINDOWS; i++) {
        char *path = q_printf("%s/window%d.jsonl", dir, i), *text = q_printf("{\"messages\":[{\"role\":\"user\",\"content\":\"Window %d?\"},{\"role\":\"assistant\",\"content\":\"Open.\"}]}\n", i);
        OK(q_write_file_atomic(path, text, strlen(text), err));
        if ((child[i] = fork()) == 0) {
            tch_added a;
            _exit(tch_add(path, "windows", NULL, NULL, &a, err) == Q_OK ? 0 : 1);
        }
        free(path);
        free(text);
    }
    for (int i = 0; i < WINDOWS; i++) {
        int status = -1;
        CHECK(waitpid(child[i], &status, 0) == child[i] && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    tch_set *v;
    int n, lock;
    OK(tch_list(NULL, NULL, &v, &n, err));
    tch_set *all = find(v, n, "windows");
    CHECK_MSG(all && all->examples == WINDOWS && all->n == WINDOWS, "%d of %d", all ? (int)all->examples : -1, WINDOWS);
    tch_sets_free(v, n);
    OK(tch_drop("windows", err));
    OK(shelf_lock_sets(&lock, err));
    tch_added a;
    CHECK(tch_add(file("some.jsonl"), "windows", NULL, NULL, &a, err) == Q_RANGE && strstr(err, "another window"));
    shelf_unlock(lock);
    /* a pipe is not waited for */
    CHECK(mkfifo(file("pipe.jsonl"), 0600) == 0 && tch_add(file("pipe.jsonl"), "windows", NULL, NULL, &a, err) == Q_NOTFOUND && strstr(err, "no file"));
    unlink(file("pipe.jsonl"));
}

static void the_list_says_what_there_is(void)
{
    tch_set *v;
    int n;
    OK(tch_list(NULL, NULL, &v, &n, err));
    tch_set *own = find(v, n, "own"), *sea = find(v, n, "sea"), *chats = find(v, n, "chats");
    CHECK(n == 4 && own && sea && chats && chats->chats && chats->problem);
    CHECK(own && own->examples == 2 && own->pairs == 1 && own->n == 1 && strcmp(own->source[0].what, "some.jsonl") == 0 && strlen(own->source[0].sha) == 64);
    CHECK(own && !own->adapter && !*own->state && own->tokens == -1);
    q_buf b = { 0 };
    tch_list_say(v, n, &b);
    char *json = tch_list_json(v, n);
    CHECK(strstr(b.p, "some.jsonl: added by you") && strstr(json, "\"consent\":\"added\""));
    free(json);
    q_buf_free(&b);
    tch_sets_free(v, n);
    OK(tch_drop("sea", err));
    OK(tch_list(NULL, NULL, &v, &n, err));
    CHECK(n == 3 && !find(v, n, "sea"));
    tch_sets_free(v, n);
}

/* ---- memory ---- */
static mem_store *s;
static int64_t say(int64_t c, int64_t under, bool model, const char *text)
{
    int64_t id;
    OK(mem_message_add(s, c, under, model ? MEM_ASSISTANT : MEM_USER, text, strlen(text), &id, err));
    return id;
}

static void only_what_was_released_and_marked_is_read(void)
{
    int64_t c, other;
    OK(mem_open(file("memory.db"), &s, err));
    OK(mem_conversation_new(s, "one", &c, err));
    OK(mem_conversation_new(s, "two", &other, err));
    int64_t q = say(c, 0, false, "Name a river."), worse = say(c, q, true, "The Thames."), good = say(c, q, true, "Aye, the Thames it be.");
    OK(mem_answer_mark(s, good, 1, err));
    OK(mem_answer_mark(s, say(other, say(other, 0, false, "A secret?"), true, "Aye, secret it be."), 1, err));
    (void)worse;
    q_buf lines = { 0 };
    CHECK_INT(set_lines(s, TCH_CHATS, &lines, err), Q_NOTFOUND);
    CHECK(strstr(err, "/train on") != NULL);
    OK(mem_conversation_release(s, c, true, err));
    q_buf_clear(&lines);
    OK(set_lines(s, TCH_CHATS, &lines, err));
    CHECK(strstr(lines.p, "Aye, the Thames") && strstr(lines.p, "\"rejected\":") && !strstr(lines.p, "secret"));
    tch_added a = add("chats", NULL, Q_OK);
    tch_added_free(&a);
    q_buf_clear(&lines);
    OK(set_lines(s, "own", &lines, err));                    /* what was of files, and these */
    CHECK(strstr(lines.p, "Name a colour.") && strstr(lines.p, "Name a river."));
    OK(mem_conversation_delete(s, c, err));                  /* what is forgotten is not taught */
    q_buf_clear(&lines);
    OK(set_lines(s, "own", &lines, err));
    CHECK(strstr(lines.p, "Name a colour.") && !strstr(lines.p, "Name a river."));
    tch_set *v;
    int n;
    OK(tch_list(s, NULL, &v, &n, err));
    tch_set *chats = find(v, n, TCH_CHATS);
    CHECK(chats && chats->released == 0 && chats->unreleased == 1);
    tch_sets_free(v, n);
    q_buf_free(&lines);
    /* nor of what a kill left; another window's that is at work stays */
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    char *dead = q_printf("%s/data/quorum/teach/.work-%ld-0", dir, (long)gone), *alive = q_printf("%s/data/quorum/teach/.work-%ld-0", dir, (long)getppid());
    char *said = q_printf("%s/train.jsonl", dead);
    CHECK(mkdir(dead, 0700) == 0 && mkdir(alive, 0700) == 0 && q_write_file_atomic(said, "secret", 6, err) == Q_OK);
    OK(tch_list(s, NULL, &v, &n, err));
    tch_sets_free(v, n);
    CHECK(access(dead, F_OK) != 0 && access(alive, F_OK) == 0);
    rmdir(alive);
    free(dead);
    free(alive);
    free(said);
    char *left = q_printf("ls -a '%s/data/quorum/teach' | grep -c work", dir);
    CHECK(system(left) != 0);                                /* no copy of what was said stays */
    free(left);
    mem_close(s);
}

/* ---- tokens ---- */
static void spell(const trn_text *t, bool target, q_buf *out)
{
    q_buf_clear(out);
    q_buf_puts(out, "");
    for (int i = 0; i < t->n; i++)
        if (!target || t->mask[i]) {
            size_t n;
            const char *p = eng_token_bytes(m, t->token[i], &n);
            q_buf_add(out, p, n);
            if (eng_token_control(m, t->token[i]))
                q_buf_printf(out, "%s", eng_token_name(m, t->token[i]));
        }
}

static void answers_alone_are_targets(void)
{
    adv_example e = { 0 };
    static const struct { enum adv_speaker who; const char *text; } turn[] = { { ADV_SAYS_SYSTEM, "Be brief." }, { ADV_SAYS_USER, "One?" }, { ADV_SAYS_ASSISTANT, "First answer" },
        { ADV_SAYS_USER, "Two?" }, { ADV_SAYS_ASSISTANT, "Second answer" } };
    for (size_t i = 0; i < sizeof turn / sizeof *turn; i++)
        adv_example_add(&e, turn[i].who, turn[i].text, strlen(turn[i].text), false);
    trn_text t;
    q_buf b = { 0 };
    OK(tokens_of_talk(m, e.v, e.n, false, &t, err));
    spell(&t, true, &b);
    CHECK_MSG(strstr(b.p, "First answer") && strstr(b.p, "Second answer") && !strstr(b.p, "One") && !strstr(b.p, "Two") && !strstr(b.p, "brief") && !strstr(b.p, "assistant"), "%s", b.p);
    /* each answer ends with the token that ends a reply, which is learnt; what follows it is not */
    int ends = 0;
    for (int i = 0; i < t.n; i++)
        ends += t.mask[i] && eng_token_end(m, t.token[i]);
    CHECK_INT(ends, 2);
    CHECK_INT(t.mask[0], 0);
    /* the same as the template writes for a prompt, up to where the last answer begins */
    eng_message msg[4];
    for (int i = 0; i < 4; i++)
        msg[i] = (eng_message){ (enum eng_role)turn[i].who, turn[i].text, strlen(turn[i].text), NULL };
    eng_tokens p = { 0 };
    OK(eng_template(m, msg, 4, true, -1, &p, err));
    CHECK(p.n < t.n && memcmp(p.id, t.token, sizeof *p.id * (size_t)p.n) == 0 && t.mask[p.n] && !t.mask[p.n - 1]);
    eng_tokens_free(&p);
    tokens_text_free(&t);
    CHECK_INT(tokens_of_talk(m, e.v, 2, false, &t, err), Q_RANGE);   /* a question alone */
    adv_example_free(&e);
    q_buf_free(&b);
}

/* A vocabulary with this template (NULL: none), opened. */
static eng_model *worded(const char *name, const char *template_text)
{
    fixture f;
    eng_model *w = NULL;
    CHECK(fixture_make(&f, "glm4", template_text, false));
    OK(q_write_file_atomic(file(name), f.file.p, f.file.len, err));
    OK(eng_model_open(file(name), &(eng_open_opts){ .vocab_only = true, .ignore_memory = true }, &w, err));
    q_buf_free(&f.file);
    return w;
}

/* GLM's template writes nothing behind an answer: the next turn's mark ends it, and behind the last one there is none. Without a template the
 * vocabulary's own end stands behind what is learnt. */
static void the_last_answer_learns_its_end(void)
{
    static const char glm[] = "[gMASK]<sop>{% for m in messages %}{{ '<|observation|>' if m.role == 'tool' else '<|' + m.role + '|>' }}\n{{ m.content }}{% endfor %}"
                              "{% if add_generation_prompt %}<|assistant|>\n{% endif %}";
    static const struct { enum adv_speaker who; const char *text; } turn[] = { { ADV_SAYS_USER, "One?" }, { ADV_SAYS_ASSISTANT, "First" }, { ADV_SAYS_USER, "Two?" }, { ADV_SAYS_ASSISTANT, "Second" } };
    adv_example e = { 0 };
    for (size_t i = 0; i < sizeof turn / sizeof *turn; i++)
        adv_example_add(&e, turn[i].who, turn[i].text, strlen(turn[i].text), false);
    eng_model *framed = worded("glm.gguf", glm), *plain = worded("plain.gguf", NULL);
    const struct { const eng_model *m; bool bare; int n, ends; const char *end; } rows[] = {
        { framed, false, 4, 2, "<|user|>" }, { framed, false, 2, 1, "<|user|>" }, { framed, true, 2, 1, "<|im_end|>" }, { plain, false, 4, 1, "<|im_end|>" },
        { plain, true, 1, 1, "<|im_end|>" }, { plain, false, 3, 0, "" } };                /* the last ends with a question, which is not learnt */
    for (size_t i = 0; i < sizeof rows / sizeof *rows && framed && plain; i++) {
        trn_text t;
        int ends = 0;
        OK(tokens_of_talk(rows[i].m, e.v, rows[i].n, rows[i].bare, &t, err));
        for (int k = 0; k < t.n; k++)
            ends += t.mask[k] && eng_token_end(rows[i].m, t.token[k]);
        CHECK_MSG(ends == rows[i].ends, "%d: %d ends are learnt", (int)i, ends);
        CHECK_MSG(!rows[i].ends || (t.mask[t.n - 1] && strcmp(eng_token_name(rows[i].m, t.token[t.n - 1]), rows[i].end) == 0), "%d: %s", (int)i, eng_token_name(rows[i].m, t.token[t.n - 1]));
        tokens_text_free(&t);
    }
    adv_example_free(&e);
    eng_model_free(framed);
    eng_model_free(plain);
}

static void a_tenth_of_the_conversations_is_held_out(void)
{
    q_buf lines = { 0 };
    lessons t;
    for (int i = 0; i < 40; i++)         /* 40 conversations, two answers to each first question */
        for (int k = 0; k < 2; k++)
            q_buf_printf(&lines, "{\"messages\":[{\"role\":\"user\",\"content\":\"Question %d?\"},{\"role\":\"assistant\",\"content\":\"Answer %d %d.\"}]}\n", i, i, k);
    q_buf_puts(&lines, "{\"messages\":[{\"role\":\"user\",\"content\":\"long\"},{\"role\":\"assistant\",\"content\":\"");
    for (int i = 0; i < 300; i++)
        q_buf_printf(&lines, "w%d ", i);
    q_buf_puts(&lines, "\"}]}\n{\"prompt\":\"P?\",\"chosen\":\"yes indeed\",\"rejected\":\"no\"}\n");
    OK(tokens_read(m, &lines, TOKENS_SFT, 200, true, &t, err));
    CHECK_INT(t.n_train + t.n_held, 81);
    CHECK_INT(t.long_ones, 1);
    CHECK_INT(t.sources, 41);
    CHECK_MSG(t.n_held >= 9 && t.n_held <= 10, "%d", t.n_held);       /* five conversations, of one or two */
    for (int i = 0; i < t.n_held; i++)
        for (int k = 0; k < t.n_train; k++)
            CHECK(t.held[i].source != t.train[k].source);
    for (int i = 0; i < t.n_train; i++)
        CHECK(t.train[i].rejected.n == 0);
    tokens_free(&t);
    OK(tokens_read(m, &lines, TOKENS_DPO, 200, true, &t, err));
    CHECK(t.n_train + t.n_held == 1 && t.n_held == 0 && t.train[0].rejected.n > 0);
    tokens_free(&t);
    q_buf_free(&lines);
}

static void settings_are_taken_or_refused_by_name(void)
{
    static const struct { const char *words, *says; } bad[] = { { "stepps=3", "stepps" }, { "steps=0", "steps" }, { "steps=1.5", "steps" }, { "lr=2", "lr" }, { "experts=3:x", "experts" },
        { "experts=", "experts" }, { "layers=5-2", "layers" }, { "layers=-1", "layers" }, { "loss=mse", "loss" }, { "attention=maybe", "attention" }, { "rank", "rank" }, { "seed=-1", "seed" }, { "seed=18446744073709551616", "seed" } };
    tch_settings t;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tch_settings_begin(&t);
        CHECK_MSG(tch_settings_set(&t, bad[i].words, err) == Q_RANGE && strstr(err, bad[i].says), "%s: %s", bad[i].words, err);
    }
    tch_settings_begin(&t);
    OK(tch_settings_set(&t, "steps=20 rank=4 lr=2e-4 experts=3:5,0:1 layers=2-9 attention=on by=tokens loss=dpo seed=7", err));
    CHECK(t.steps == 20 && t.rank == 4 && t.lr == 2e-4 && t.experts == TCH_LIST && strcmp(t.list, "3:5,0:1") == 0 && t.first_layer == 2 && t.n_layer == 8);
    tch_settings first;
    tch_settings_begin(&first);
    CHECK(!first.n_layer);
    OK(tch_settings_set(&first, "layers=0", err));                    /* the first layer alone is not all of them */
    CHECK(first.first_layer == 0 && first.n_layer == 1);
    CHECK(t.attention && !t.shared && t.by_tokens && t.dpo && t.seed == 7);
    char *json = tch_settings_json(&t);
    CHECK(strstr(json, "\"layers\":\"2-9\"") && strstr(json, "\"experts\":\"3:5,0:1\""));
    free(json);
    /* a run that is gone on with has the seed that it was begun with, however large, and 0 too */
    static const uint64_t seeds[] = { 0, 1, UINT64_C(9007199254740993), UINT64_MAX };
    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        tch_settings back;
        t.seed = seeds[i];
        json = tch_settings_json(&t);
        CHECK_MSG(settings_from_json(&back, json, err) == Q_OK && back.seed == t.seed, "%s", err);
        free(json);
    }
    OK(settings_from_json(&t, "{\"seed\":7}", err));        /* as runs before this had it */
    CHECK(t.seed == 7);
}

static void the_curve_keeps_its_mean(void)
{
    tch_state st = { .phase = TCH_TRAINING };
    double sum = 0;
    enum { STEPS = TCH_CURVE * 5 + 3 };
    for (int i = 0; i < STEPS; i++) {
        tch_state_point(&st, 3 - i * .001);
        CHECK(st.n_curve <= TCH_CURVE);
    }
    for (int i = 0; i < st.n_curve; i++)
        sum += (double)st.curve[i] * (i + 1 < st.n_curve ? st.per_point : st.in_last) / STEPS;
    CHECK_MSG(fabs(sum - (3 - (STEPS - 1) * .0005)) < 1e-4, "%g", sum);
    CHECK(st.curve[0] > st.curve[st.n_curve - 1]);
}

int main(void)
{
    if (!memory_begin("teach"))
        return 1;
    setenv("XDG_DATA_HOME", file("data"), 1);
    m = help_model("qwen3moe");
    if (!m)
        return 1;
    RUN(files_become_examples);
    RUN(what_is_no_set_is_refused);
    RUN(windows_add_one_after_the_other);
    RUN(the_list_says_what_there_is);
    RUN(only_what_was_released_and_marked_is_read);
    RUN(answers_alone_are_targets);
    RUN(the_last_answer_learns_its_end);
    RUN(a_tenth_of_the_conversations_is_held_out);
    RUN(settings_are_taken_or_refused_by_name);
    RUN(the_curve_keeps_its_mean);
    eng_model_free(m);
    return memory_end();
}
