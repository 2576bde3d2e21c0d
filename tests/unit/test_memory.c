/* memory: the tree of messages, replies, settings, traces, migrations, deletion down to the bytes, and what
 * happens when the file is damaged, locked, read-only or the disk is full. */
#include "cli/cli.h"
#include "memory/memory.h"
#include "memory/store.h"
#include "tests/memory_help.h"
#include "tests/store_help.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static mem_store *open_at(const char *path)
{
    mem_store *s = NULL;
    int rc = mem_open(path, &s, err);
    CHECK_MSG(rc == Q_OK, "%s", rc ? err : "");
    if (!s) exit(1);
    return s;
}

static int64_t say(mem_store *s, int64_t c, int64_t parent, enum mem_role r, const char *t)
{
    int64_t id = 0;
    OK(mem_message_add(s, c, parent, r, t, strlen(t), &id, err));
    return id;
}

/* More turns than one step takes come in order, with who said them and when, and are found; under no conversation none. */
static void turns_said_elsewhere_become_messages(void)
{
    enum { TURNS = 70 };
    mem_store *s = open_at(":memory:");
    mem_turn v[TURNS];
    char text[TURNS][48];
    int64_t c, leaf, more;
    for (int i = 0; i < TURNS; i++) {
        int n = snprintf(text[i], sizeof text[i], i == 68 ? "Is the quetzal number %d?" : "quetzal number %d", i);
        v[i] = (mem_turn){MEM_USER, i % 2 ? "Bo" : "Ada", text[i], (size_t)n, 1683554160000 + i};
    }
    OK(mem_conversation_new(s, "birds", &c, err));
    OK(mem_turns_add(s, c, 0, v, TURNS, &leaf, err));
    mem_messages b;
    OK(mem_branch(s, c, 0, &b, err));
    CHECK_INT(b.n, TURNS);
    for (int i = 0; i < b.n; i++) {
        CHECK_STR(b.v[i].text, text[i]);
        CHECK(b.v[i].created_ms == v[i].created_ms && b.v[i].parent == (i ? b.v[i - 1].id : 0));
    }
    if (b.n) CHECK_INT(leaf, b.v[b.n - 1].id);
    mem_messages_free(&b);
    const char *words[] = {"69", "68"};
    mem_passages p;
    OK(mem_candidates(s, MEM_CHAT, words, 2, 0, 9, &p, err));      /* what others asked is no question of the person here */
    CHECK_INT(p.n, 2);
    for (int i = 0; i < p.n; i++) CHECK_STR(p.v[i].author, strchr(p.v[i].text, '?') ? "Ada" : "Bo");
    mem_passages_free(&p);
    OK(mem_turns_add(s, c, leaf, v, 0, &more, err));
    CHECK_INT(more, leaf);
    CHECK_INT(mem_turns_add(s, c + 1, 0, v, 1, &more, err), Q_NOTFOUND);
    CHECK_INT(mem_turns_add(s, c, leaf + 1, v, 1, &more, err), Q_NOTFOUND);
    OK(mem_check(s, err));
    mem_close(s);
}

static void a_tree_keeps_every_branch(void)
{
    mem_store *s = open_at(":memory:");
    int64_t c, d, id;
    OK(mem_conversation_new(s, "light", &c, err));
    OK(mem_conversation_new(s, "other", &d, err));
    int64_t q1 = say(s, c, 0, MEM_USER, "Why is the sky blue?");
    int64_t a1 = say(s, c, q1, MEM_ASSISTANT, "Scattering.");
    int64_t q2 = say(s, c, a1, MEM_USER, "And at sunset?");
    int64_t a1b = say(s, c, q1, MEM_ASSISTANT, "Rayleigh.");        /* regenerated */
    int64_t q1b = say(s, c, 0, MEM_USER, "Why is the sea blue?");   /* edited */
    CHECK_INT(mem_message_add(s, d, q1, MEM_USER, "x", 1, &id, err), Q_NOTFOUND);   /* parent of another conversation */
    CHECK_INT(mem_message_add(s, 99, 0, MEM_USER, "x", 1, &id, err), Q_NOTFOUND);

    mem_messages b;
    OK(mem_branch(s, c, q2, &b, err));
    CHECK_INT(b.n, 3);
    CHECK_STR(b.v[0].text, "Why is the sky blue?");
    CHECK_INT(b.v[0].sibling, 1); CHECK_INT(b.v[0].siblings, 2);
    CHECK_INT(b.v[1].id, a1); CHECK_INT(b.v[1].siblings, 2);
    CHECK_INT(b.v[2].siblings, 1);
    mem_messages_free(&b);
    OK(mem_branch(s, c, 0, &b, err));                               /* the active leaf: what was added last */
    CHECK_INT(b.n, 1);
    CHECK_INT(b.v[0].id, q1b); CHECK_INT(b.v[0].sibling, 2);
    mem_messages_free(&b);
    CHECK_INT(mem_branch(s, d, q2, &b, err), Q_NOTFOUND);
    OK(mem_branch(s, d, 0, &b, err));
    CHECK_INT(b.n, 0);

    mem_messages sib;
    OK(mem_siblings(s, a1, &sib, err));
    CHECK_INT(sib.n, 2);
    CHECK_INT(sib.v[1].id, a1b);
    mem_messages_free(&sib);
    OK(mem_leaf_below(s, q1, &id, err)); CHECK_INT(id, a1b);
    OK(mem_leaf_below(s, a1, &id, err)); CHECK_INT(id, q2);
    OK(mem_leaf_below(s, q2, &id, err)); CHECK_INT(id, q2);
    CHECK_INT(mem_leaf_below(s, 999, &id, err), Q_NOTFOUND);

    OK(mem_conversation_leaf(s, c, a1, err));
    CHECK_INT(mem_conversation_leaf(s, d, a1, err), Q_NOTFOUND);
    OK(mem_conversation_view(s, c, "half a tho", 17, err));
    OK(mem_conversation_title(s, c, "Свет", err));
    mem_conversation v;
    OK(mem_conversation_get(s, c, &v, err));
    CHECK_INT(v.leaf, a1); CHECK_INT(v.scroll, 17); CHECK_INT(v.n_messages, 5);
    CHECK_STR(v.draft, "half a tho"); CHECK_STR(v.title, "Свет");
    mem_conversation_free(&v);
    mem_conversations l;
    OK(mem_conversation_opened(s, c, err));
    OK(mem_conversation_list(s, &l, err));
    CHECK_INT(l.n, 2); CHECK_INT(l.v[0].id, c);
    mem_conversations_free(&l);
    OK(mem_conversation_opened(s, d, err));
    OK(mem_conversation_last(s, &id, err)); CHECK_INT(id, d);
    OK(mem_check(s, err));
    mem_close(s);
}

static void a_long_branch_can_be_deleted(void)
{
    mem_store *s = open_at(":memory:");
    int64_t c, at = 0;
    OK(mem_conversation_new(s, "long", &c, err));
    for (int i = 0; i < 1500; i++) at = say(s, c, at, i & 1 ? MEM_ASSISTANT : MEM_USER, "w");
    mem_messages b;
    OK(mem_branch(s, c, 0, &b, err));
    CHECK_INT(b.n, 1500);
    mem_messages_free(&b);
    OK(mem_conversation_delete(s, c, err));
    CHECK_INT(mem_conversation_delete(s, c, err), Q_NOTFOUND);
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(raw(s, "SELECT count(*) FROM message"), 0);
    CHECK_INT(raw(s, "SELECT count(*) FROM conversation"), 0);
    mem_close(s);
}

static void a_reply_grows_and_ends_once(void)
{
    mem_store *s = open_at(":memory:");
    int64_t c, r;
    OK(mem_conversation_new(s, "", &c, err));
    int64_t q = say(s, c, 0, MEM_USER, "question");
    OK(mem_reply_begin(s, c, q, "SmolLM2 carved", 0xF0F1F2F3F4F5F6F7u, 11, "{}", "standard", &r, err));
    OK(mem_reply_save(s, r, "One", 3, "hm", 2, err));
    OK(mem_reply_config(s, r, &(mem_message_config){ .from = 21, .at = 40, .hash = 12, .json = (char[]){ "{\"experts.k\":\"11\"}" }, .label = (char[]){ "k 11" }, .mark = (char[]){ "k 12→11" } }, err));
    mem_message m;
    OK(mem_message_get(s, r, &m, err));
    CHECK_INT(m.status, MEM_PARTIAL); CHECK_STR(m.text, "One"); CHECK_STR(m.thinking, "hm");
    CHECK(m.model_id == 0xF0F1F2F3F4F5F6F7u);
    mem_message_free(&m);
    mem_hits h;
    OK(mem_find(s, "one", 9, &h, err)); CHECK_INT(h.n, 0);         /* not findable before it ends */
    mem_stats st = {.prompt_tokens = 100, .cached_tokens = 40, .tokens = 30, .prefill_s = .5, .decode_s = .25};
    uint16_t ids[2] = {3, 5};
    float w[2] = {.75f, .25f}, e[1] = {.9f}, g[1] = {NAN};
    mem_trace *t = mem_trace_new(1, 2);
    mem_trace_add(t, 42, 7, 11, false, 2, ids, w, e, g);
    OK(mem_reply_end(s, r, MEM_DONE, "eos", "One two", 7, "", 0, &st, t, err));
    mem_trace_free(t);
    CHECK_INT(mem_reply_end(s, r, MEM_DONE, "eos", "x", 1, "", 0, &st, NULL, err), Q_NOTFOUND);
    CHECK_INT(mem_reply_save(s, r, "x", 1, "", 0, err), Q_NOTFOUND);
    OK(mem_message_get(s, r, &m, err));
    CHECK_INT(m.status, MEM_DONE); CHECK_STR(m.text, "One two"); CHECK_STR(m.finish, "eos");
    CHECK_INT(m.stats.tokens, 30); CHECK(m.stats.decode_s == .25); CHECK(m.has_trace);
    CHECK_INT(m.n_config, 2);
    if (m.n_config == 2) { CHECK_INT(m.config[1].from, 21); CHECK_INT(m.config[1].hash, 12); CHECK_STR(m.config[1].label, "k 11"); CHECK_INT(m.config[1].at, 40); CHECK_STR(m.config[1].mark, "k 12→11"); CHECK_STR(m.config[0].mark, ""); }
    mem_message_free(&m);
    OK(mem_find(s, "one", 9, &h, err)); CHECK_INT(h.n, 1);
    mem_hits_free(&h);
    OK(mem_trace_get(s, r, &t, err));
    if (t) { CHECK_INT(t->n, 1); CHECK_INT(t->ids[1], 5); CHECK(t->weights[0] == .75f); CHECK(isnan(t->margin[0])); CHECK_INT(t->pos[0], 7); }
    mem_trace_free(t);
    CHECK_INT(mem_trace_get(s, q, &t, err), Q_NOTFOUND);
    OK(mem_check(s, err));
    mem_close(s);
}

static void a_reply_of_a_dead_process_is_kept_as_stopped(void)
{
    char *path = file("dead.db");
    pid_t p = fork();
    if (p == 0) {
        mem_store *s;
        int64_t c, r;
        if (mem_open(path, &s, err) || mem_conversation_new(s, "", &c, err) ||
            mem_reply_begin(s, c, 0, "m", 1, 1, "{}", "", &r, err) || mem_reply_save(s, r, "половина", 16, "", 0, err)) _exit(1);
        kill(getpid(), SIGKILL);
    }
    int st;
    waitpid(p, &st, 0);
    CHECK(WIFSIGNALED(st));
    mem_store *s = open_at(path);
    mem_messages b;
    OK(mem_branch(s, 1, 0, &b, err));
    CHECK_INT(b.n, 1);
    if (b.n) { CHECK_INT(b.v[0].status, MEM_STOPPED); CHECK_STR(b.v[0].text, "половина"); CHECK_STR(b.v[0].finish, "interrupted"); }
    mem_messages_free(&b);
    mem_hits h;
    OK(mem_find(s, "половины", 9, &h, err)); CHECK_INT(h.n, 1);
    mem_hits_free(&h);
    OK(mem_check(s, err));
    /* one that is being written by a living process stays partial when another opens the file */
    int64_t r;
    OK(mem_reply_begin(s, 1, 0, "m", 1, 1, "{}", "", &r, err));
    mem_store *s2 = open_at(path);
    mem_message m;
    OK(mem_message_get(s2, r, &m, err)); CHECK_INT(m.status, MEM_PARTIAL);
    mem_message_free(&m);
    mem_close(s2);
    mem_close(s);
}

static void find_matches_stems_prefixes_and_nothing_typed_is_syntax(void)
{
    mem_store *s = open_at(":memory:");
    int64_t c;
    OK(mem_conversation_new(s, "t", &c, err));
    say(s, c, 0, MEM_USER, "Измерения показали, что ёжики бегают быстрее");
    say(s, c, 0, MEM_USER, "The experiments were running; num_experts_per_tok and rope.theta changed");
    say(s, c, 0, MEM_USER, "Café naïve: 3.14 and getUserName");
    static const struct { const char *q; int n; } t[] = {
        {"измерение", 1}, {"ежик", 1}, {"ёжик ", 1}, {"быстрее ежики", 1}, {"experiment", 1}, {"experim", 1}, {"experim ", 0},
        {"ran ", 0}, {"run ", 1}, {"num_experts_per_tok ", 1}, {"experts ", 1}, {"rope.theta", 1}, {"theta", 1}, {"cafe", 1},
        {"naive CAFÉ ", 1}, {"3.14", 1}, {"username ", 0}, {"getUserName ", 1}, {"user", 1}, {"и", 1}, {"\" OR \"", 0},
        {"NOT * ( NEAR", 0}, {"", 0}, {"***", 0}, {"text:experiments", 0}, {"missing experiments ", 0},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        mem_hits h;
        OK(mem_find(s, t[i].q, 10, &h, err));
        CHECK_MSG(h.n == t[i].n, "\"%s\" found %d", t[i].q, h.n);
        if (h.n && i == 0) CHECK_STR(h.v[0].snippet, "\x01Измерения\x02 показали, что ёжики бегают быстрее");
        mem_hits_free(&h);
    }
    mem_close(s);
}

static bool join(void *user, const mem_word *w)
{
    q_buf_printf(user, "%s%s%s", ((q_buf *)user)->len ? (w->flags & MEM_WORD_SAME ? "=" : " ") : "", w->stem,
                 w->flags & MEM_WORD_WHOLE ? "!" : w->flags & MEM_WORD_NUMBER ? "#" : "");
    return true;
}

static void words_fold_stem_and_split(void)
{
    static const struct { const char *text, *words; } t[] = {
        {"Running ran", "run=running ran"}, {"ещё ЁЛКИ", "ещ=еще елк=елки"}, {"Новый й", "нов=новый й"},
        {"и\xCC\x86", "й"}, {"experts.k", "expert=experts=experts.k! k"}, {"getHTTPUser", "get=getHTTPUser!"},
        {"num_experts_per_tok", ""}, {"what's", "what=what's"}, {"a-b", "a b"}, {"end. Next", "end next"}, {"3.14", "3#=3.14! 14#"},
        {"Q4_K_M", "q4=q4_k_m! k m"}, {"日本", "日 本"}, {"__init__", "init"}, {"\xFFxy\xC3", "xy"}, {"", ""}, {"ﬁx ½", "fix 12#"},
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        q_buf b = {0};
        mem_words(t[i].text, strlen(t[i].text), join, &b);
        const char *want = t[i].words;
        if (i == 5) want = "get=gethttpuser! http user";
        if (i == 6) want = "num=num_experts_per_tok! expert=experts per tok";
        CHECK_STR(b.len ? b.p : "", want);
        q_buf_free(&b);
    }
}

static int fuzz_words;
static bool bounded(void *user, const mem_word *w)
{
    size_t n = *(size_t *)user;
    fuzz_words++;
    CHECK(w->start <= w->end && w->end <= n && strlen(w->stem) > 0 && strlen(w->stem) <= 200);
    CHECK(q_utf8_valid(w->word, strlen(w->word)));
    return !test_bad;
}

static void words_of_random_bytes_stay_inside(void)
{
    uint64_t x = 88172645463325252u;
    for (int round = 0; round < (getenv("QUORUM_LONG") ? 100000 : 3000); round++) {
        char b[400];
        x ^= x << 13; x ^= x >> 7; x ^= x << 17;
        size_t n = x % sizeof b;
        int mode = (int)(x >> 32) % 4;
        for (size_t i = 0; i < n;) {
            x ^= x << 13; x ^= x >> 7; x ^= x << 17;
            if (mode == 0) b[i++] = (char)x;
            else if (mode == 1) b[i++] = "aB_.'1 \xD0\xB9\xCC\x86"[x % 11];
            else {
                char u[4];
                uint32_t cp = (uint32_t)(x >> 11) % (mode == 2 ? 0x600 : 0x110000);
                int k = cp >= 0xD800 && cp < 0xE000 ? 0 : q_utf8_put(u, cp);
                for (int j = 0; j < k && i < n; j++) b[i++] = u[j];
            }
        }
        mem_words(b, n, bounded, &n);
        if (test_bad) break;
    }
    CHECK(fuzz_words > 10000);
}

static void traces_survive_packing_and_lies_are_refused(void)
{
    mem_trace *t = mem_trace_new(5, 2), *u = NULL;
    uint64_t x = 7;
    for (int i = 0; i < 300; i++) {
        uint16_t ids[20]; float w[20], e[5], m[5];
        int k = i < 100 ? 2 : 4;
        for (int j = 0; j < 5 * k; j++) { x = x * 6364136223846793005u + 1; ids[j] = (uint16_t)(x >> 60); w[j] = (float)(x >> 40) / 1e7f; }
        for (int j = 0; j < 5; j++) { e[j] = w[j]; m[j] = j == 2 ? NAN : -w[j]; }
        bool prompt = i % 7 == 0;
        mem_trace_add(t, i, i * 2, x, prompt, k, ids, prompt ? NULL : w, prompt ? NULL : e, prompt ? NULL : m);
    }
    CHECK_INT(t->max_k, 4);
    CHECK_INT(t->ids[3], 0xFFFF);                                   /* widened */
    unsigned char *b;
    size_t n;
    CHECK_INT(store_trace_pack(t, &b, &n), Q_OK);
    CHECK_INT(store_trace_unpack(b, n, &u), Q_OK);
    if (u) {
        size_t cells = 300 * 5 * 4;
        CHECK(u->n == 300 && u->n_layer == 5 && u->max_k == 4);
        CHECK(memcmp(u->ids, t->ids, cells * 2) == 0 && memcmp(u->weights, t->weights, cells * 4) == 0);
        CHECK(memcmp(u->margin, t->margin, 300 * 5 * 4) == 0 && memcmp(u->config, t->config, 300 * 8) == 0);
        CHECK(memcmp(u->token, t->token, 1200) == 0 && memcmp(u->prompt, t->prompt, 300) == 0);
        mem_trace_free(u);
    }
    int refused = 0;
    for (size_t i = 0; i < n && i < 400; i++) {
        b[i] ^= 0x55;
        if (store_trace_unpack(b, n, &u) == Q_OK) mem_trace_free(u); else refused++;
        b[i] ^= 0x55;
    }
    CHECK(refused > 350);
    for (size_t i = 0; i < n; i += 37) CHECK(store_trace_unpack(b, i, &u) != Q_OK);
    CHECK(b[4] == 1 && b[20] == 0);                                 /* as it was stored before there was anything else to say */
    free(b);
    t->made = q_strdup("{\"system\":\"Отвечай коротко.\"}");
    CHECK_INT(store_trace_pack(t, &b, &n), Q_OK);
    CHECK_INT(store_trace_unpack(b, n, &u), Q_OK);
    if (u) {
        CHECK_STR(u->made ? u->made : "", t->made);
        CHECK(u->n == 300 && memcmp(u->margin, t->margin, 300 * 5 * 4) == 0);
        mem_trace_free(u);
    }
    static const uint8_t lie[][2] = {{20, 1}, {22, 0xFF}, {23, 0x80}, {4, 1}, {24, 3}};
    for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
        b[lie[i][0]] ^= lie[i][1];
        CHECK_INT(store_trace_unpack(b, n, &u), Q_FORMAT);
        b[lie[i][0]] ^= lie[i][1];
    }
    free(b);
    static const int32_t nowhere[] = {-1, INT32_MIN, INT32_MAX, (1 << 29) + 1};        /* one more of it is no number */
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        int32_t was = t->pos[7];
        t->pos[7] = nowhere[i];
        CHECK_INT(store_trace_pack(t, &b, &n), Q_OK);
        CHECK_INT(store_trace_unpack(b, n, &u), Q_FORMAT);
        free(b);
        t->pos[7] = was;
    }
    t->made[3] = (char)0xFF;                                        /* no text */
    CHECK_INT(store_trace_pack(t, &b, &n), Q_OK);
    CHECK_INT(store_trace_unpack(b, n, &u), Q_FORMAT);
    free(b);
    mem_trace_free(t);
}

/* An answer of n tokens in conversation c, with routing or without. */
static int64_t routed(mem_store *s, int64_t c, int n, bool with)
{
    int64_t id = 0;
    static const uint16_t ids[] = {3, 1, 0, 2};
    static const float weights[] = {.6f, .4f, .7f, .3f}, two[] = {.5f, .25f};
    mem_trace *t = with ? mem_trace_new(2, 2) : NULL;
    for (int i = 0; i < n && t; i++) mem_trace_add(t, i, i, 1, false, 2, ids, weights, two, two);
    mem_stats stats = {.tokens = n};
    OK(mem_reply_begin(s, c, 0, "m", 1, 7, "{}", "standard", &id, err));
    OK(mem_reply_end(s, id, MEM_DONE, "", "text", 4, "", 0, &stats, t, err));
    mem_trace_free(t);
    return id;
}

static void routing_stands_under_names_and_goes_with_its_answer(void)
{
    char *path = file("tags.db");
    mem_store *s = open_at(path);
    int64_t one, two, a, b, c, *id = NULL;
    int n;
    mem_tags t;
    OK(mem_conversation_new(s, "one", &one, err));
    OK(mem_conversation_new(s, "two", &two, err));
    a = routed(s, one, 5, true);
    b = routed(s, two, 7, true);
    c = routed(s, two, 9, false);
    CHECK_INT(mem_tag_add(s, "code", c, err), Q_NOTFOUND);
    CHECK_INT(mem_tag_add(s, "code", 999, err), Q_NOTFOUND);
    CHECK_INT(mem_tag_messages(s, "code", &id, &n, err), Q_NOTFOUND);
    CHECK(id == NULL && strstr(err, "code"));
    OK(mem_tag_add(s, "code", a, err));
    OK(mem_tag_add(s, "code", a, err));          /* once is enough */
    OK(mem_tag_add(s, "code", b, err));
    OK(mem_tag_add(s, "проза", b, err));
    OK(mem_tag_list(s, &t, err));
    CHECK_INT(t.n, 2);
    if (t.n == 2) {
        CHECK_STR(t.v[0].name, "code");
        CHECK(t.v[0].n == 2 && t.v[0].chats == 2 && t.v[0].tokens == 12 && t.v[1].n == 1 && t.v[1].tokens == 7);
    }
    mem_tags_free(&t);
    mem_close(s);
    s = open_at(path);
    OK(mem_tag_messages(s, "code", &id, &n, err));
    CHECK(n == 2 && id[0] == a && id[1] == b);
    free(id);
    OK(mem_conversation_delete(s, two, err));    /* hidden at once */
    CHECK_INT(mem_tag_messages(s, "проза", &id, &n, err), Q_NOTFOUND);
    CHECK_INT(mem_tag_add(s, "code", b, err), Q_NOTFOUND);
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(raw(s, "SELECT count(*) FROM routing_tag"), 1);
    OK(mem_tag_drop(s, "code", err));
    CHECK_INT(mem_tag_drop(s, "code", err), Q_NOTFOUND);
    mem_trace *left = NULL;
    OK(mem_trace_get(s, a, &left, err));
    mem_trace_free(left);
    OK(mem_check(s, err));
    mem_close(s);
}

static bool bytes_hold(const char *path, const char *needle)
{
    q_buf b = {0};
    bool found = false;
    if (q_read_file(path, &b, 1 << 28, err) == Q_OK) found = b.len && memmem(b.p, b.len, needle, strlen(needle)) != NULL;
    q_buf_free(&b);
    return found;
}

static int64_t vocabulary(mem_store *s, const char *fts, const char *like)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM temp.%s WHERE term LIKE ?", fts);
    int64_t n = -1;
    store_lock(s);
    OK(store_int(s, &n, err, sql, "s", like));
    store_unlock(s);
    return n;
}

static void deletion_clears_rows_indexes_and_bytes(void)
{
    char *path = file("delete.db");
    mem_store *s = open_at(path);
    int64_t keep, gone, r, doc;
    OK(mem_conversation_new(s, "keep", &keep, err));
    OK(mem_conversation_new(s, "zzqtitle", &gone, err));
    say(s, keep, 0, MEM_USER, "ordinary words about kestrels");
    q_buf big = {0};
    for (int i = 0; i < 400; i++) q_buf_printf(&big, "zzqsecret%d ordinary ", i);
    int64_t q = say(s, gone, 0, MEM_USER, big.p);
    OK(mem_conversation_view(s, gone, "zzqdraft", 0, err));
    OK(mem_reply_begin(s, gone, q, "m", 1, 1, "{}", "", &r, err));
    for (int i = 1; i < 6; i++) OK(mem_reply_save(s, r, big.p, big.len / 6 * (size_t)i, "zzqthought", 10, err));
    OK(mem_reply_end(s, r, MEM_DONE, "eos", "zzqanswer", 9, "zzqthought", 10, NULL, NULL, err));
    mem_chunk c[2] = {{0, big.len, big.p, (char *)"zzqheading"}, {big.len, 9, "zzqchunk2", (char *)""}};
    mem_document d = {.path = (char *)"/zzqpath", .title = (char *)"zzqtitle.md", .bytes = 5};
    OK(mem_document_put(s, &d, c, 2, &doc, err));
    const char *w[] = {"zzqchunk2"};
    mem_passages p;
    OK(mem_candidates(s, MEM_CHUNK, w, 1, 0, 5, &p, err));
    CHECK_INT(p.n, 1);
    mem_passage again;
    OK(mem_passage_get(s, MEM_CHUNK, p.v[0].id, &again, err));
    CHECK_STR(again.text, "zzqchunk2");
    mem_passage_free(&again);
    OK(mem_passage_get(s, MEM_CHAT, r, &again, err));
    CHECK_INT(again.trust, MEM_TRUST_MODEL);
    mem_passage_free(&again);
    mem_log log[2] = {{.rank = 1, .kind = MEM_CHUNK, .ref = p.n ? p.v[0].id : 0, .label = (char *)"zzqtitle.md", .terms = (char *)"zzqchunk2", .score = .5},
                      {.rank = 2, .kind = MEM_CHAT, .ref = r, .label = (char *)"chat: zzqtitle", .terms = (char *)"zzqanswer", .score = .4}};
    mem_passages_free(&p);
    int64_t other = say(s, keep, 0, MEM_USER, "asks");
    OK(mem_log_put(s, other, log, 2, err));
    CHECK(bytes_hold(path, "zzq"));
    CHECK(vocabulary(s, "chunk_words", "zzq%") > 400);
    CHECK(vocabulary(s, "message_words", "zzq%") > 400);

    OK(mem_conversation_delete(s, gone, err));
    OK(mem_document_delete(s, doc, err));
    CHECK_INT(mem_document_delete(s, doc, err), Q_NOTFOUND);
    CHECK_INT(mem_passage_get(s, MEM_CHAT, r, &again, err), Q_NOTFOUND);     /* before anything is tidied */
    OK(mem_candidates(s, MEM_CHUNK, w, 1, 0, 5, &p, err));
    CHECK_INT(p.n, 0);
    OK(mem_tidy(s, NULL, NULL, err));
    CHECK_INT(vocabulary(s, "chunk_words", "zzq%"), 0);
    CHECK_INT(vocabulary(s, "message_words", "zzq%"), 0);
    CHECK_INT(mem_passage_get(s, MEM_CHAT, r, &again, err), Q_NOTFOUND);
    mem_logs l;
    OK(mem_log_get(s, other, &l, err));
    CHECK_INT(l.n, 2);
    if (l.n == 2) { CHECK_STR(l.v[0].label, ""); CHECK_STR(l.v[1].terms, ""); CHECK(l.v[0].score == .5); }
    mem_logs_free(&l);
    CHECK(!bytes_hold(path, "zzq"));                                /* while open: and after closing */
    CHECK(!bytes_hold(path, "qsecret"));                            /* an index shares prefixes: look for tails too */
    CHECK(!bytes_hold(path, "secret39"));
    CHECK(!bytes_hold(path, "qanswer") && !bytes_hold(path, "qhead") && !bytes_hold(path, "qchunk"));
    OK(mem_check(s, err));
    mem_hits h;
    OK(mem_find(s, "kestrel ", 9, &h, err)); CHECK_INT(h.n, 1);
    mem_hits_free(&h);
    mem_close(s);
    CHECK(!bytes_hold(path, "zzq"));
    char *journal = q_printf("%s-journal", path);
    CHECK(!bytes_hold(journal, "zzq"));
    free(journal);
    q_buf_free(&big);
}

static void a_changed_document_replaces_its_chunks(void)
{
    char *path = file("replace.db");
    mem_store *s = open_at(path);
    int64_t a, b;
    mem_chunk c1[2] = {{0, 8, "old text", NULL}, {9, 8, "xqzstale", NULL}}, c2[1] = {{0, 8, "new text", NULL}};
    mem_document d = {.path = (char *)"/n.md", .title = (char *)"n.md", .bytes = 17};
    OK(mem_document_put(s, &d, c1, 2, &a, err));
    OK(mem_document_put(s, &d, c2, 1, &b, err));
    OK(mem_tidy(s, NULL, NULL, err));
    mem_documents l;
    OK(mem_document_list(s, &l, err));
    CHECK_INT(l.n, 1);
    if (l.n) { CHECK_INT(l.v[0].id, b); CHECK_INT(l.v[0].n_chunks, 1); CHECK_STR(l.v[0].path, "/n.md"); }
    mem_documents_free(&l);
    CHECK_INT(raw(s, "SELECT count(*) FROM chunk"), 1);
    CHECK(!bytes_hold(path, "xqzstale") && !bytes_hold(path, "qzstal"));
    int64_t with, of;
    OK(mem_frequency(s, MEM_CHUNK, "text", "text", 0, &with, &of, err));
    CHECK_INT(with, 1); CHECK_INT(of, 1);
    OK(mem_check(s, err));
    mem_close(s);
}

static void settings_are_kept(void)
{
    char *path = file("settings.db");
    mem_store *s = open_at(path);
    CHECK(mem_setting_get(s, "ui.theme") == NULL);
    OK(mem_setting_put(s, "ui.theme", "dark", err));
    OK(mem_setting_put(s, "ui.theme", "light", err));
    mem_close(s);
    struct stat st;
    CHECK(stat(path, &st) == 0 && (st.st_mode & 0777) == 0600);
    s = open_at(path);
    char *v = mem_setting_get(s, "ui.theme");
    CHECK_STR(v, "light");
    free(v);
    OK(mem_setting_put(s, "ui.theme", NULL, err));
    CHECK(mem_setting_get(s, "ui.theme") == NULL);
    mem_close(s);
}

/* A file as an older quorum left it: migrated to `v` only, with rows. */
static void old_file(const char *path, int v)
{
    mem_store old = {.path = (char *)path, .owner = (char *)"1:1"};
    pthread_mutex_init(&old.mutex, NULL);
    pthread_cond_init(&old.turn, NULL);
    CHECK(sqlite3_open(path, &old.db) == SQLITE_OK);
    OK(store_register_words(&old, err));
    OK(store_register_titles(&old, err));
    OK(store_migrate(&old, v, err));
    if (v >= 1) {
        OK(store_run(&old, NULL, err, "INSERT INTO conversation(title, created, opened) VALUES('old', 1, 1)", ""));
        OK(store_run(&old, NULL, err, "INSERT INTO message(conversation, role, status, created, updated, text) VALUES(1, 1, 1, 1, 1, 'kingfisher')", ""));
    }
    if (v == 2) {
        OK(store_run(&old, NULL, err, "UPDATE message SET indexed=1", ""));
        OK(store_run(&old, NULL, err, "INSERT INTO message_fts(rowid, text) SELECT id, text FROM message", ""));
    }
    store_close(&old);
}

static void every_older_schema_is_brought_up(void)
{
    for (int v = 0; v <= store_schema_version; v++) {
        char name[32];
        snprintf(name, sizeof name, "v%d.db", v);
        char *path = file(name);
        old_file(path, v);
        mem_store *s = open_at(path);
        CHECK_INT(raw(s, "PRAGMA user_version"), store_schema_version);
        mem_hits h;
        OK(mem_find(s, "kingfishers ", 5, &h, err));
        CHECK_MSG(h.n == (v == 1 || v == 2), "from %d found %d", v, h.n);
        mem_hits_free(&h);
        if (v != 3) OK(mem_check(s, err));
        int64_t id;
        mem_chunk c = {0, 4, "text", NULL};
        mem_document d = {.path = (char *)"p", .title = (char *)"t"};
        OK(mem_document_put(s, &d, &c, 1, &id, err));
        mem_close(s);
    }
    char *path = file("newer.db");
    mem_close(open_at(path));
    sqlite3 *db;
    sqlite3_open(path, &db);
    sqlite3_exec(db, "PRAGMA user_version=9999", NULL, NULL, NULL);
    sqlite3_close(db);
    mem_store *s;
    CHECK_INT(mem_open(path, &s, err), Q_FORMAT);
    CHECK(strstr(err, "newer") && strstr(err, "9999"));
}

static void bad_files_give_a_sentence(void)
{
    mem_store *s;
    char *path = file("text.db");
    OK(q_write_file_atomic(path, "this is not a database, but it is long enough to be read as one.......................", 80, err));
    CHECK_INT(mem_open(path, &s, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "--db"), "%s", err);
    path = file("foreign.db");
    sqlite3 *db;
    sqlite3_open(path, &db);
    sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL);
    sqlite3_close(db);
    CHECK_INT(mem_open(path, &s, err), Q_FORMAT);
    CHECK(strstr(err, "another program"));
    CHECK_INT(mem_open(dir, &s, err), Q_IO);
    CHECK(mem_open(file("foreign.db/x"), &s, err) != Q_OK);

    /* a page of garbage in the middle: an error or an empty answer, never a crash */
    path = file("corrupt.db");
    s = open_at(path);
    int64_t c;
    OK(mem_conversation_new(s, "t", &c, err));
    for (int i = 0; i < 200; i++) say(s, c, 0, MEM_USER, "some words that fill the pages of this file with text");
    mem_close(s);
    q_buf b = {0};
    OK(q_read_file(path, &b, 1 << 26, err));
    int sentences = 0;
    for (size_t page = 0; page < b.len / 4096; page += 3) {
        q_buf d = {0};
        q_buf_add(&d, b.p, b.len);
        memset(d.p + page * 4096 + (page ? 0 : 30), 0xA5, page ? 4096 : 60);
        OK(q_write_file_atomic(path, d.p, d.len, err));
        q_buf_free(&d);
        err[0] = 0;
        if (mem_open(path, &s, err) != Q_OK) { sentences += err[0] != 0; continue; }
        mem_messages m;
        mem_hits h;
        if (mem_branch(s, c, 0, &m, err) == Q_OK) mem_messages_free(&m);
        if (mem_find(s, "words", 5, &h, err) == Q_OK) mem_hits_free(&h);
        if (mem_check(s, err) != Q_OK) sentences += err[0] != 0;
        mem_close(s);
    }
    CHECK_MSG(sentences > 3, "%d", sentences);
    q_buf_free(&b);
}

static void a_read_only_file_is_refused_unchanged(void)
{
    char *path = file("ro.db");
    mem_close(open_at(path));
    char before[65], after[65];
    OK(q_sha256_file(path, before, err));
    chmod(path, 0444);
    chmod(dir, 0755);
    pid_t p = fork();
    if (p == 0) {
        if (geteuid() == 0 && setuid(65534)) _exit(9);      /* root may write anything */
        mem_store *s;
        _exit(mem_open(path, &s, err) == Q_IO && strstr(err, "permissions") ? 0 : 1);
    }
    int st;
    waitpid(p, &st, 0);
    CHECK_INT(st, 0);
    chmod(dir, 0700);
    OK(q_sha256_file(path, after, err));
    CHECK_STR(after, before);
}

static void a_file_open_to_others_is_closed_to_them(void)
{
    static const struct { mode_t had, has; bool said; } t[] = {{0600, 0600, false}, {0666, 0600, true}, {0640, 0600, true}, {0604, 0600, true}, {0700, 0700, false}};
    char *path = file("modes.db");
    mem_close(open_at(path));
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct stat st;
        CHECK(chmod(path, t[i].had) == 0);
        mem_store *s = open_at(path);
        CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == t[i].has);
        char *said = mem_note(s);
        CHECK_MSG((said != NULL) == t[i].said, "%o: %s", (unsigned)t[i].had, said ? said : "nothing");
        if (said) CHECK(strstr(said, "others") && strstr(said, path));
        free(said);
        CHECK(mem_note(s) == NULL);                     /* once */
        int64_t id;
        OK(mem_conversation_new(s, "t", &id, err));
        mem_close(s);
    }
}

static int open_here(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) {
        char link[64], to[512];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t k = readlink(link, to, sizeof to - 1);
        if (k < 0) continue;
        to[k] = 0;
        n += strstr(to, dir) != NULL;
    }
    return n;
}

/* Every act of `quorum memory`, well and badly used, in this process: none leaves the file open. */
static void the_store_is_closed_on_every_path(void)
{
    char *db = q_strdup(file("cli.db")), *bad = q_strdup(file("clibad.db")), *note = q_strdup(file("n.md")), *below = q_strdup(file("n.md/x.db"));
    OK(q_write_file_atomic(note, "# A\nkestrel\n", 12, err));
    OK(q_write_file_atomic(bad, "no database, but long enough to be taken for one by anybody who only looks at its size..................", 100, err));
    char *t[][7] = {
        {"add", note}, {"add", below}, {"add", dir}, {"search", "kestrel"}, {"search", "kestrel", "--json"}, {"search", "???"},
        {"list"}, {"list", "too", "many"}, {"delete", "999", "--yes"}, {"delete", "1"}, {"delete", "1", "--yes"}, {"delete", "1", "--yes"},
        {"delete", "x"}, {"export"}, {"nothing"}, {"list", "--db", bad}, {"export", "--db", bad}, {"add", note, "--db", bad},
        {"list", "--db", below}, {"list", "--db", dir},
    };
    fflush(stdout);
    int out = dup(1), er = dup(2), in = dup(0), null = open("/dev/null", O_RDWR);
    dup2(null, 0), dup2(null, 1), dup2(null, 2);
    int left[sizeof t / sizeof *t];
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        char *argv[12] = {"memory"};
        int n = 1;
        for (int k = 0; k < 7 && t[i][k]; k++) argv[n++] = t[i][k];
        if (n < 4 || strcmp(argv[n - 2], "--db") != 0) argv[n++] = "--db", argv[n++] = db;
        cmd_memory(n, argv);
        left[i] = open_here();
    }
    fflush(stdout);
    dup2(in, 0), dup2(out, 1), dup2(er, 2);
    close(in), close(out), close(er), close(null);
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) CHECK_MSG(left[i] == 0, "%s %s: %d left open", t[i][0], t[i][1] ? t[i][1] : "", left[i]);
    free(db);
    free(bad);
    free(note), free(below);
}

static bool no_row(void *user, const char *table, const mem_export_value *v, int n)
{
    (void)user, (void)table, (void)v, (void)n;
    return true;
}

/* What cannot be exported does not send to the export. */
static void an_export_does_not_name_itself(void)
{
    char *path = file("rubbish.db"), *bytes = q_alloc(8192);
    int unread;
    memset(bytes, 'x', 8192);
    for (int headed = 0; headed < 2; headed++) {
        if (headed) memcpy(bytes, "SQLite format 3", 16);
        OK(q_write_file_atomic(path, bytes, 8192, err));
        CHECK_INT(mem_export(path, no_row, NULL, &unread, err), Q_FORMAT);
        CHECK_MSG(!strstr(err, "memory export") && strstr(err, "rubbish.db"), "%s", err);
    }
    free(bytes);
}

static void a_full_disk_loses_nothing(void)
{
    char *path = file("full.db");
    mem_store *s = open_at(path);
    int64_t c, id;
    OK(mem_conversation_new(s, "t", &c, err));
    int64_t first = say(s, c, 0, MEM_USER, "kept before");
    struct stat st;
    stat(path, &st);
    pid_t p = fork();
    if (p == 0) {                                       /* the limit cannot be raised again: in a child */
        struct rlimit r = {(rlim_t)st.st_size + 8192, (rlim_t)st.st_size + 8192};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &r);
        mem_store *w;
        if (mem_open(path, &w, err)) _exit(2);
        char *big = q_alloc(200001);
        for (int i = 0; i < 200000; i++) big[i] = (char)('a' + i * 7 % 26);
        if (mem_message_add(w, c, first, MEM_USER, big, 200000, &id, err) == Q_OK) _exit(3);
        if (!strstr(err, "safe") || id != 0) _exit(4);
        mem_messages b;                                 /* still usable for reading */
        if (mem_branch(w, c, 0, &b, err) || b.n != 1) _exit(5);
        if (mem_conversation_title(w, c, "small still fits", err)) _exit(6);
        mem_close(w);
        _exit(0);
    }
    int status;
    waitpid(p, &status, 0);
    CHECK_INT(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0);
    OK(mem_check(s, err));
    mem_messages b;
    OK(mem_branch(s, c, 0, &b, err));
    CHECK_INT(b.n, 1);
    mem_messages_free(&b);
    mem_close(s);
}

static void many_processes_make_one_file(void)
{
    char *path = file("fresh.db");
    int fd[2];
    CHECK(pipe(fd) == 0);
    pid_t p[6];
    for (int k = 0; k < 6; k++)
        if ((p[k] = fork()) == 0) {
            char c;
            int64_t id;
            mem_store *s;
            close(fd[1]);
            if (read(fd[0], &c, 1) != 0) _exit(4);      /* all start when the parent closes its end */
            if (mem_open(path, &s, err)) { fprintf(stderr, "%s\n", err); _exit(2); }
            if (mem_conversation_new(s, "mine", &id, err)) { fprintf(stderr, "%s\n", err); _exit(3); }
            mem_close(s);
            _exit(0);
        }
    close(fd[0]);
    close(fd[1]);
    for (int k = 0; k < 6; k++) {
        int st;
        waitpid(p[k], &st, 0);
        CHECK_INT(st, 0);
    }
    mem_store *s = open_at(path);
    CHECK_INT(raw(s, "SELECT count(*) FROM conversation"), 6);
    OK(mem_check(s, err));
    mem_close(s);
}

struct writer { mem_store *s; int64_t c; int bad; };
static void *write_some(void *user)
{
    struct writer *w = user;
    char e[Q_ERRLEN];
    int64_t id;
    for (int i = 0; i < 25; i++) {
        w->bad += mem_message_add(w->s, w->c, 0, MEM_USER, "thread", 6, &id, e) != Q_OK;
        mem_messages b;
        w->bad += mem_branch(w->s, w->c, 0, &b, e) != Q_OK;
        mem_messages_free(&b);
    }
    return NULL;
}

static void any_thread_may_call(void)
{
    mem_store *s = open_at(file("threads.db"));
    struct writer w[4];
    pthread_t t[4];
    for (int i = 0; i < 4; i++) {
        w[i].s = s, w[i].bad = 0;
        OK(mem_conversation_new(s, "t", &w[i].c, err));
    }
    for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, write_some, &w[i]);
    for (int i = 0; i < 4; i++) { pthread_join(t[i], NULL); CHECK_INT(w[i].bad, 0); }
    CHECK_INT(raw(s, "SELECT count(*) FROM message"), 100);
    mem_close(s);
}

int main(void)
{
    if (!memory_begin("memory")) return 1;
    RUN(a_tree_keeps_every_branch);
    RUN(turns_said_elsewhere_become_messages);
    RUN(a_long_branch_can_be_deleted);
    RUN(a_reply_grows_and_ends_once);
    RUN(a_reply_of_a_dead_process_is_kept_as_stopped);
    RUN(find_matches_stems_prefixes_and_nothing_typed_is_syntax);
    RUN(words_fold_stem_and_split);
    RUN(words_of_random_bytes_stay_inside);
    RUN(traces_survive_packing_and_lies_are_refused);
    RUN(routing_stands_under_names_and_goes_with_its_answer);
    RUN(deletion_clears_rows_indexes_and_bytes);
    RUN(a_changed_document_replaces_its_chunks);
    RUN(settings_are_kept);
    RUN(every_older_schema_is_brought_up);
    RUN(bad_files_give_a_sentence);
    RUN(a_read_only_file_is_refused_unchanged);
    RUN(a_file_open_to_others_is_closed_to_them);
    RUN(the_store_is_closed_on_every_path);
    RUN(an_export_does_not_name_itself);
    RUN(a_full_disk_loses_nothing);
    RUN(many_processes_make_one_file);
    RUN(any_thread_may_call);
    return memory_end();
}
