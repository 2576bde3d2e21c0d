/* provider: one set of tests over everybody who answers: a script, a model in this process (the small golden one), and the same behind a server.
 * Nothing here depends on time; what only a script can show is in test_scripted.c. */
#include "serve/serve.h"
#include "tests/unit/provider_help.h"

#include <math.h>
#include <pthread.h>
#include <unistd.h>

/* ---- for everybody ---- */
static void answers_and_counts(void)
{
    seen s = { 0 };
    int all = prov_count_request(p, &plain, err);
    prov_result r = ask(&plain, &s);
    CHECK_MSG(r.tokens >= 25 && r.tokens == s.tokens && s.told == r.tokens && s.in_order, "%s: %d tokens, %d seen, %d told", who, r.tokens, s.tokens, s.told);
    CHECK(r.finish == PROV_ENDED || r.finish == PROV_MAX_TOKENS);
    CHECK_INT(r.prompt_tokens, all);
    CHECK(r.evaluated && s.prefills > 0 && s.done == s.total && r.cached_tokens == 0);
    CHECK_INT(s.positions, r.tokens);
    CHECK(s.prompt_positions >= all);
    prov_room room = prov_context(p);
    CHECK(room.used == all + r.tokens && room.text == room.used && room.size > room.used);
    CHECK_INT(prov_count(p, "", 0), 0);
    CHECK(prov_count(p, "three little words", 18) >= 3);
    prov_mix m[4];
    prov_config *c = prov_present(p);
    CHECK_INT(prov_mixture(p, m, 4), 1);
    CHECK(m[0].cells == room.used && m[0].config == prov_config_hash(c));
    prov_config_free(c);
    seen again = { 0 };
    prov_result r2 = ask(&plain, &again);
    CHECK_STR(text(&again), text(&s));
    CHECK_MSG(r2.cached_tokens == all && again.prompt_positions == 1, "%s: %d cached of %d, %d evaluated", who, r2.cached_tokens, all, again.prompt_positions);
    seen_clear(&again);
    prov_request other = plain;
    other.seed = 4;
    r2 = ask(&other, &again);
    CHECK(strcmp(text(&again), text(&s)) != 0);
    seen_clear(&again);
    seen_clear(&s);
    prov_result none;                    /* without hooks */
    CHECK(prov_ask(p, &plain, NULL, &none, err) == Q_OK && none.tokens == r.tokens);
}

/* What is forgotten needs no room: a context that was too short for it is taken, and the same question has the same answer. */
static void forgets(void)
{
    seen s = { 0 }, again = { 0 };
    prov_config *was = prov_present(p), *c = prov_config_copy(was);
    prov_result r = ask(&plain, &s);
    char few[24];
    snprintf(few, sizeof few, "%d", r.prompt_tokens + r.tokens - 1);
    CHECK(prov_config_set(c, "context.length", few, err) == Q_OK && prov_set(p, c, PROV_CONTINUE, err) < 0);
    prov_forget(p);
    prov_room room = prov_context(p);
    CHECK_MSG(room.used == 0 && room.text == 0, "%s: %d used, %d of text", who, room.used, room.text);
    CHECK_MSG(prov_set(p, c, PROV_CONTINUE, err) == Q_OK && prov_set(p, was, PROV_CONTINUE, err) == Q_OK, "%s: %s", who, err);
    ask(&plain, &again);
    CHECK_STR(text(&again), text(&s));
    prov_config_free(c);
    prov_config_free(was);
    seen_clear(&again);
    seen_clear(&s);
}

static bool stop_saving(void *user, int done, int total) { return done > total; }

/* Saved, forgotten and loaded again it is as if nothing had been; who cannot do that says so. */
static void keeps_what_is_evaluated(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/quorum-provider-%ld.state", (long)getpid());
    seen s = { 0 }, again = { 0 };
    prov_forget(p);
    CHECK_INT(prov_state_bytes(p, 0), 0);
    CHECK_INT(prov_state_save(p, path, "", 0, NULL, NULL, err), Q_RANGE);
    ask(&plain, &s);
    prov_room had = prov_context(p);
    if (!(prov_about(p)->can & PROV_STATE)) {
        CHECK_INT(prov_state_bytes(p, 0), 0);
        CHECK_MSG(prov_state_save(p, path, "", 0, NULL, NULL, err) == Q_RANGE && prov_state_load(p, path, NULL, NULL, err) == Q_RANGE && strstr(err, "saved"), "%s", err);
        CHECK(access(path, F_OK) != 0);
        seen_clear(&s);
        return;
    }
    CHECK_INT(prov_state_save(p, path, "a note", 6, stop_saving, NULL, err), Q_CANCEL);
    CHECK_MSG(access(path, F_OK) != 0 && prov_state_save(p, path, "a note", 6, NULL, NULL, err) == Q_OK, "%s: %s", who, err);
    prov_state look;
    prov_config *c = prov_present(p);
    CHECK(prov_state_look(path, &look, err) == Q_OK && look.bytes == prov_state_bytes(p, 6) && look.tokens == had.used && strcmp(look.note, "a note") == 0);
    CHECK(look.model == prov_about(p)->id && look.config == prov_config_hash(c) && strcmp(look.name, prov_about(p)->name) == 0);
    prov_state_free(&look);
    prov_config_free(c);
    prov_forget(p);
    set("experts.k", "1");
    CHECK_MSG(prov_state_load(p, path, NULL, NULL, err) == Q_RANGE && strstr(err, "(k 1)") && prov_context(p).used == 0, "%s: %s", who, err);
    set("experts.k", "default");
    CHECK_MSG(prov_state_load(p, path, NULL, NULL, err) == Q_OK, "%s: %s", who, err);
    prov_room now = prov_context(p);
    prov_mix m[4];
    CHECK(now.used == had.used && now.text == had.text && prov_mixture(p, m, 4) == 1 && m[0].cells == had.used);
    prov_result r = ask(&plain, &again);
    CHECK_STR(text(&again), text(&s));
    CHECK_MSG(r.cached_tokens == r.prompt_tokens && again.prompt_positions == 1, "%s: %d of %d were there, %d evaluated", who, r.cached_tokens, r.prompt_tokens,
              again.prompt_positions);
    CHECK(prov_state_look("LICENSE", &look, err) == Q_FORMAT && !look.note);
    unlink(path);
    seen_clear(&again);
    seen_clear(&s);
}

static void stops_between_two_tokens(void)
{
    seen whole = { 0 }, s = { .stop_at = 7 };
    ask(&plain, &whole);
    prov_result r = ask(&plain, &s);
    CHECK(r.finish == PROV_STOPPED && r.tokens == 7);
    CHECK(strncmp(text(&whole), text(&s), strlen(text(&s))) == 0);
    seen_clear(&s);
    s.cancel_at = 5;                     /* from elsewhere, while the fifth token is about to be evaluated */
    r = ask(&plain, &s);
    CHECK_MSG(r.finish == PROV_STOPPED && r.tokens == 5, "%s: finish %d after %d", who, r.finish, r.tokens);
    seen_clear(&s);
    prov_request longer = plain;         /* still on: what is asked next ends before its first token */
    prov_message m[] = { hello[0], { PROV_USER, "Say something else instead.", 27, NULL } };
    longer.message = m;
    r = ask(&longer, &s);
    CHECK(r.finish == PROV_STOPPED && r.tokens == 0 && !r.evaluated);
    prov_cancel(p, false);
    seen_clear(&s);
    r = ask(&plain, &s);
    CHECK_STR(text(&s), text(&whole));
    seen_clear(&s);
    seen_clear(&whole);
}

static void knobs_are_heard_in_mid_answer(void)
{
    seen s = { .set_at = 20, .knob = "experts.k", .value = "1" };
    prov_result r = ask(&plain, &s);
    CHECK(r.tokens > 22 && s.positions == r.tokens);
    for (int i = 0; i < s.positions; i++)
        CHECK_MSG(s.k[i] == (i < 20 ? s.k[0] : 1) && (s.config[i] == s.config[0]) == (i < 20), "%s: token %d: k %d", who, i + 1, s.k[i]);
    CHECK(s.k[0] > 1);
    prov_mix m[4];
    CHECK_INT(prov_mixture(p, m, 4), 2);
    prov_hooks h = hooks(&s);
    CHECK_INT(prov_renew(p, &h, err), Q_OK);             /* and then all of it is of one */
    CHECK_INT(prov_mixture(p, m, 4), 1);
    CHECK_INT(m[0].cells, prov_context(p).text);
    set("experts.k", "default");
    seen_clear(&s);
    prov_request fresh = plain;
    fresh.policy = PROV_RECOMPUTE;
    r = ask(&fresh, &s);
    CHECK(prov_mixture(p, m, 4) == 1);
    seen_clear(&s);
    /* A knob that takes the cells away: they are made again, and the answer goes on. */
    s = (seen){ .set_at = 10, .knob = "rope.theta", .value = "50000" };
    r = ask(&plain, &s);
    CHECK_MSG(r.tokens > 12 && s.tokens == r.tokens && s.prefills > 0 && s.total >= r.prompt_tokens + 10 && r.finish != PROV_FAILED,
              "%s: %d tokens, the last evaluation of %d", who, r.tokens, s.total);
    set("rope.theta", "default");
    seen_clear(&s);
}

static void ends_where_it_is_told(void)
{
    seen whole = { 0 }, s = { 0 };
    ask(&plain, &whole);
    set("sampler.max_tokens", "9");
    prov_result r = ask(&plain, &s);
    CHECK(r.finish == PROV_MAX_TOKENS && r.tokens == 9);
    set("sampler.max_tokens", "40");
    seen_clear(&s);
    /* Some bytes out of the middle of what it will say. */
    size_t n = whole.text.len, at = q_utf8_whole(text(&whole), n / 2), len = q_utf8_whole(text(&whole) + at, n - at > 6 ? 6 : n - at);
    char *stop = q_strndup(text(&whole) + at, len);
    bool usable = !strchr(stop, ',') && !strchr(stop, '\\') && *stop && stop[0] != ' ' && stop[len - 1] != ' ';
    const char *first = strstr(text(&whole), stop);
    if (usable) {
        set("sampler.stop", stop);
        r = ask(&plain, &s);
        CHECK_MSG(r.finish == PROV_STOP_STRING && s.text.len == (size_t)(first - text(&whole)) && strncmp(text(&s), text(&whole), s.text.len) == 0,
                  "%s: stop \"%s\": finish %d, \"%s\"", who, stop, r.finish, text(&s));
        set("sampler.stop", "default");
    } else
        printf("# %s: \"%s\" cannot be a stop string\n", who, stop);
    free(stop);
    seen_clear(&s);
    char size[16];
    set("sampler.max_tokens", "1");
    ask(&(prov_request){ .raw = "x", .n_raw = 1 }, &s);  /* a short text, so that the context may shrink */
    set("sampler.max_tokens", "40");
    seen_clear(&s);
    snprintf(size, sizeof size, "%d", prov_count_request(p, &plain, err) + 12);
    set("context.length", size);
    r = ask(&plain, &s);
    CHECK_MSG(r.finish == PROV_FULL && r.tokens == 12, "%s: finish %d after %d", who, r.finish, r.tokens);
    seen_clear(&s);
    char big[4096];
    memset(big, 'x', sizeof big);
    for (size_t i = 4; i < sizeof big; i += 5)
        big[i] = ' ';
    prov_message m = { PROV_USER, big, sizeof big, NULL };
    prov_request much = { .message = &m, .n_message = 1 };
    prov_result f;
    CHECK(prov_ask(p, &much, NULL, &f, err) == Q_RANGE && f.finish == PROV_FAILED && strstr(err, "context"));
    r = ask(&plain, &s);                 /* and it answers on */
    CHECK_INT(r.finish, PROV_FULL);
    set("context.length", "default");
    seen_clear(&s);
    seen_clear(&whole);
}

static void raw_text_goes_on(void)
{
    seen s = { 0 };
    prov_request r = { .raw = "Once upon a time", .n_raw = 16, .seed = 3 };
    int n = prov_count(p, r.raw, r.n_raw), all = prov_count_request(p, &r, err);
    CHECK_MSG(all == n || all == n + 1, "%s: %d of %d", who, all, n);      /* a family's opening token */
    prov_result out = ask(&r, &s);
    CHECK(out.tokens > 5 && out.prompt_tokens == all);
    seen_clear(&s);
}

/* The prompt: as it is without, under `think off`, then the beginning. */
static void shows_the_beginning(const char *begin)
{
    q_buf with = { 0 }, without = { 0 };
    prov_request r = plain, own = plain;
    r.begin = begin;
    r.n_begin = strlen(begin);
    set("think", "off");
    CHECK(prov_show(p, &own, &without, err) == Q_OK);
    int n = prov_count_request(p, &own, err);
    set("think", "default");
    CHECK(prov_show(p, &r, &with, err) == Q_OK);
    CHECK_INT(prov_count_request(p, &r, err), n + prov_count(p, r.begin, r.n_begin));
    CHECK_MSG(with.len >= without.len + r.n_begin && memcmp(with.p, without.p, without.len) == 0 &&
              memcmp(with.p + with.len - r.n_begin, r.begin, r.n_begin) == 0, "%s: \"%s\", then \"%s\"", who, without.p, with.p);
    seen s = { 0 };
    CHECK_INT(ask(&r, &s).prompt_tokens, n + prov_count(p, r.begin, r.n_begin));
    seen_clear(&s);
    q_buf_free(&with);
    q_buf_free(&without);
}

/* Would its text be cut into the very tokens that the answer began with? Who has no ids cuts at words. */
static bool same_ids(const prov_request *r, const seen *whole, int n)
{
    int32_t *id = NULL;
    int all = prov_ids(p, r, &id, err);
    bool same = all == Q_RANGE || (all > n && memcmp(id + all - n, whole->token, sizeof *id * (size_t)n) == 0);
    free(id);
    return same;
}

/* An answer that is cut behind any of its tokens goes on with the tokens that it had. */
static int goes_on_alike(const char *penalty)
{
    seen whole = { 0 };
    q_buf begin = { 0 };
    int cuts = 0;
    set("sampler.temperature", "0");
    set("think", "off");
    set("sampler.repeat_penalty", penalty);
    ask(&plain, &whole);
    for (int i = 1; i < whole.tokens && i < 30; i++) {
        seen s = { 0 };
        q_buf_clear(&begin);
        for (int t = 0; t < i; t++)
            prov_spell(p, whole.token[t], &begin);
        prov_request r = plain;
        r.begin = begin.p;
        r.n_begin = begin.len;
        if (!same_ids(&r, &whole, i))
            continue;
        cuts++;
        prov_result out = ask(&r, &s);
        int alike = 0;
        while (alike < s.tokens && i + alike < whole.tokens && s.token[alike] == whole.token[i + alike])
            alike++;
        CHECK_MSG(i + alike == whole.tokens && out.prompt_tokens + whole.tokens - i <= prov_context(p).used,
                  "%s, penalty %s: cut behind token %d it goes on alike for %d of %d", who, penalty, i, alike, whole.tokens - i);
        CHECK_MSG(s.thought.len == 0 && s.last_number == out.tokens, "%s: the beginning's tokens are not counted as its own", who);
        seen_clear(&s);
    }
    seen_clear(&whole);
    q_buf_free(&begin);
    set("sampler.repeat_penalty", "default");
    set("think", "default");
    set("sampler.temperature", "default");
    return cuts;
}

static void a_beginning_is_gone_on_from(void)
{
    int cuts = goes_on_alike("1"), others = goes_on_alike("1.7");
    CHECK_MSG(cuts >= 3 && others >= 3, "%s: only %d and %d cuts could be compared", who, cuts, others);
    printf("# %s: %d and %d cuts were compared\n", who, cuts, others);
    shows_the_beginning("One two");
    shows_the_beginning(" blanks  stay,\n\nlines too \n");
    shows_the_beginning("По-русски, <|im_end|> is no mark of the frame");
    seen s = { 0 };                      /* it is another prompt than the one that was rendered last */
    prov_request r = plain, other = plain;
    r.begin = "One two";
    r.n_begin = 7;
    other.begin = "One ten";
    other.n_begin = 7;
    int32_t *a = NULL, *b = NULL;
    int n = prov_ids(p, &r, &a, err), m = prov_ids(p, &other, &b, err);
    CHECK(n == Q_RANGE || (n > 2 && m > 2 && (n != m || memcmp(a, b, sizeof *a * (size_t)n) != 0)));
    free(a);
    free(b);
    prov_request raw = { .raw = "Once upon", .n_raw = 9, .begin = " a time", .n_begin = 7, .seed = 3 };
    CHECK_INT(prov_count_request(p, &raw, err), prov_count_request(p, &(prov_request){ .raw = "Once upon", .n_raw = 9 }, err) + prov_count(p, " a time", 7));
    CHECK(ask(&raw, &s).tokens > 5);
    seen_clear(&s);
}

static void several_answers(void)
{
    char *one[3];
    seen s = { 0 };
    for (int i = 0; i < 3; i++) {
        prov_request r = plain;
        r.seed = 3 + (uint64_t)i;
        ask(&r, &s);
        one[i] = q_strdup(text(&s));
        seen_clear(&s);
    }
    prov_request r = plain;
    r.n = 3;
    prov_result out[3];
    prov_hooks h = hooks(&s);
    CHECK_INT(prov_ask(p, &r, &h, out, err), Q_OK);
    q_buf all = { 0 };
    for (int i = 0; i < 3; i++) {
        q_buf_puts(&all, one[i]);
        free(one[i]);
        CHECK(out[i].tokens > 5 && out[i].prompt_tokens == out[0].prompt_tokens);
    }
    CHECK_STR(text(&s), all.p);
    q_buf_free(&all);
    seen_clear(&s);
    s.stop_at = 4;                       /* a stop is meant for all */
    CHECK_INT(prov_ask(p, &r, &h, out, err), Q_OK);
    CHECK(out[0].finish == PROV_STOPPED && out[1].finish == PROV_STOPPED && out[2].finish == PROV_STOPPED && out[1].tokens == 0);
    seen_clear(&s);
}

typedef struct asker { prov_request r; seen s; pthread_t t; } asker;
static void *ask_in_thread(void *user)
{
    asker *a = user;
    prov_result out;
    prov_hooks h = hooks(&a->s);
    prov_ask(p, &a->r, &h, &out, err);
    return NULL;
}

static void requests_take_turns(void)
{
    enum { N = 4 };
    asker a[N];
    seen alone[N];
    memset(alone, 0, sizeof alone);
    memset(a, 0, sizeof a);
    for (int i = 0; i < N; i++) {
        a[i].r = plain;
        a[i].r.seed = 10 + (uint64_t)i;
        ask(&a[i].r, &alone[i]);
    }
    for (int i = 0; i < N; i++)
        pthread_create(&a[i].t, NULL, ask_in_thread, &a[i]);
    for (int i = 0; i < N; i++) {
        pthread_join(a[i].t, NULL);
        CHECK_STR(text(&a[i].s), text(&alone[i]));
        seen_clear(&a[i].s);
        seen_clear(&alone[i]);
    }
}

/* The first token, chosen under no penalty and under a great one. */
static void first_token(const prov_message *m, int n, uint64_t seed, bool greedy, prov_result out[2], int32_t first[2])
{
    static const char *const penalty[] = { "1", "2" };
    set("sampler.max_tokens", "1");
    set("sampler.temperature", greedy ? "0" : "1");
    set("sampler.top_k", "0");
    set("sampler.top_p", "1");
    set("sampler.repeat_last_n", "1024");
    for (int i = 0; i < 2; i++) {
        seen s = { 0 };
        set("sampler.repeat_penalty", penalty[i]);
        set("sampler.presence_penalty", i ? "2" : "0");
        out[i] = ask(&(prov_request){ .message = m, .n_message = n, .seed = seed }, &s);
        first[i] = s.tokens ? s.token[0] : -1;
        seen_clear(&s);
    }
    set("sampler.temperature", "default");
    set("sampler.top_k", "default");
    set("sampler.top_p", "default");
    set("sampler.repeat_last_n", "default");
    set("sampler.repeat_penalty", "default");
    set("sampler.presence_penalty", "default");
    set("sampler.max_tokens", "40");
}

static void add_score(void *user, const prov_piece *t);

/* Is the token among a text's? */
static bool holds(const char *said, int32_t token)
{
    seen s = { 0 };
    bool found = false;
    CHECK_INT(prov_score(p, NULL, said, strlen(said), add_score, &s, err), Q_OK);
    for (int i = 0; i < s.tokens; i++)
        found |= s.token[i] == token;
    seen_clear(&s);
    return found;
}

/* Passages whose own tokens a model would go on with are quoted under any penalty. */
static void penalties_let_a_passage_be_quoted(void)
{
    int quoted = 0;
    for (int i = 0; i < 200 && quoted < 3; i++) {
        char said[256];
        snprintf(said, sizeof said, "Passages follow.\n> berth %d, the boat %d, a fox, brown bread, %c and %c and %c, lazy dogs, 27 %d\n\nWhich berth?", i, i * 7,
                 'a' + i % 26, 'b' + i % 25, 'c' + i % 24, i * i);
        prov_message m = { PROV_USER, said, strlen(said), NULL };
        prov_result out[2];
        int32_t first[2];
        first_token(&m, 1, 1, true, out, first);
        CHECK_MSG(first[0] == first[1], "%s, passage %d: token %d, under penalties %d", who, i, (int)first[0], (int)first[1]);
        quoted += first[0] >= 0 && holds(said, first[0]);
    }
    if (strcmp(who, "a script") != 0)
        CHECK_MSG(quoted > 0, "%s goes on with no passage's token", who);
}

/* A prompt that is only shown has no bound and is remembered; asked next, it is too long all the same. */
static void what_is_remembered_is_bounded_too(void)
{
    q_buf text = { 0 }, shown = { 0 };
    for (int i = 0; i < 6 * prov_context(p).size; i++)
        q_buf_printf(&text, "%d ", i % 10);
    prov_request r = { .raw = text.p, .n_raw = text.len };
    CHECK_INT(prov_count_request(p, &r, err), Q_RANGE);
    CHECK_INT(prov_show(p, &r, &shown, err), Q_OK);
    CHECK_INT(prov_count_request(p, &r, err), Q_RANGE);
    q_buf_free(&text);
    q_buf_free(&shown);
}

/* A model that would end its turn ends it, however many turns ended before. */
static void ends_of_earlier_turns_are_not_penalised(void)
{
    static const prov_message m[] = { { PROV_USER, "a", 1, NULL }, { PROV_ASSISTANT, "b", 1, NULL }, { PROV_USER, "c", 1, NULL },
                                      { PROV_ASSISTANT, "d", 1, NULL }, { PROV_USER, "e", 1, NULL } };
    int ended = 0;
    for (uint64_t seed = 1; seed <= 3000 && ended < 12; seed++) {
        prov_result out[2];
        int32_t first[2];
        first_token(m, 5, seed, false, out, first);
        CHECK_MSG(out[0].finish == out[1].finish && first[0] == first[1], "%s, seed %d: ends as %d, under penalties as %d", who, (int)seed,
                  out[0].finish, out[1].finish);
        ended += out[0].tokens == 0;
        if (strcmp(who, "a script") == 0)
            return;
    }
    CHECK_MSG(ended > 0, "%s ends no answer at once", who);
}

static void add_score(void *user, const prov_piece *t)
{
    seen *s = user;
    q_buf_add(&s->text, t->text, t->n);
    CHECK_INT(t->number, s->tokens + 1);
    s->token[s->tokens] = t->token;
    s->logprob[s->tokens++] = t->logprob;
}

/* A request's own settings hold for what is weighed behind it too: as if they were the present ones, which stay. */
static void own_settings_weigh(void)
{
    static const char words[] = " over the lazy dog";
    const char *const texts[] = { " dog", " fox" };
    seen now = { 0 }, own = { 0 }, later = { 0 };
    double share[3][2];
    prov_config *was = prov_present(p), *c = prov_present(p);
    prov_request r = plain;
    CHECK_INT(prov_config_set(c, "experts.k", "1", err), Q_OK);
    CHECK_INT(prov_score(p, &r, words, sizeof words - 1, add_score, &now, err), Q_OK);
    CHECK_INT(prov_judge(p, &r, 1, texts, 2, share[0], NULL, NULL, err), Q_OK);
    r.config = c;
    CHECK_INT(prov_score(p, &r, words, sizeof words - 1, add_score, &own, err), Q_OK);
    CHECK_INT(prov_judge(p, &r, 1, texts, 2, share[1], NULL, NULL, err), Q_OK);
    CHECK_INT(prov_set(p, c, PROV_CONTINUE, err), Q_OK);
    r.config = NULL;
    CHECK_INT(prov_score(p, &r, words, sizeof words - 1, add_score, &later, err), Q_OK);
    CHECK_INT(prov_judge(p, &r, 1, texts, 2, share[2], NULL, NULL, err), Q_OK);
    CHECK(now.tokens > 1 && own.tokens == now.tokens && later.tokens == now.tokens);
    for (int i = 0; i < own.tokens; i++) CHECK(own.logprob[i] == later.logprob[i]);
    CHECK(own.logprob[0] != now.logprob[0] && share[1][0] == share[2][0] && share[1][0] != share[0][0]);
    CHECK_INT(prov_set(p, was, PROV_CONTINUE, err), Q_OK);
    prov_config_free(was);
    prov_config_free(c);
    seen_clear(&now);
    seen_clear(&own);
    seen_clear(&later);
}

static void given_text_is_scored(void)
{
    seen s = { 0 }, g = { 0 }, t = { 0 };
    prov_room was = { 0 };
    bool compared = false;
    set("sampler.max_tokens", "1");
    for (uint64_t seed = 1; seed < 60 && !compared; seed++) {        /* an answer whose first token is read as one again */
        prov_request r = plain;
        r.seed = seed;
        seen_clear(&s);
        seen_clear(&g);
        ask(&r, &g);
        was = prov_context(p);
        CHECK_INT(prov_score(p, &r, text(&g), g.text.len, add_score, &s, err), Q_OK);
        CHECK_STR(text(&s), text(&g));
        compared = s.tokens == 1 && s.token[0] == g.token[0];
    }
    set("sampler.max_tokens", "40");
    CHECK_MSG(compared && fabs(s.logprob[0] - g.logprob[0]) < 1e-4, "%s: %g when asked, %g when given", who, g.logprob[0], s.logprob[0]);
    seen_clear(&s);
    static const char words[] = "The quick brown fox jumps over the lazy dog. Съешь ещё этих булок.";
    CHECK_INT(prov_score(p, NULL, words, sizeof words - 1, add_score, &s, err), Q_OK);
    CHECK_STR(text(&s), words);
    CHECK_INT(s.tokens, prov_count(p, words, sizeof words - 1));
    for (int i = 1; i < s.tokens; i++)
        CHECK_MSG(s.logprob[i] <= 0 && s.logprob[i] > -100, "%s: token %d: %g", who, i, s.logprob[i]);
    CHECK_INT(prov_score(p, NULL, words, sizeof words - 1, add_score, &t, err), Q_OK);
    for (int i = 1; i < s.tokens; i++)
        CHECK(s.logprob[i] == t.logprob[i]);
    prov_room now = prov_context(p);
    CHECK(now.used == was.used && now.size == was.size && now.text == was.text);
    CHECK_INT(prov_score(p, NULL, "", 0, add_score, &t, err), Q_OK);
    seen_clear(&s);
    seen_clear(&g);
    seen_clear(&t);
}

static void texts_become_vectors(void)
{
    const prov_info *i = prov_about(p);
    float *a = q_alloc(sizeof *a * (size_t)i->n_embd), *b = q_alloc(sizeof *b * (size_t)i->n_embd), *c = q_alloc(sizeof *c * (size_t)i->n_embd);
    if (!(i->can & PROV_EMBED)) {
        CHECK(prov_embed(p, "a lens", 6, a, err) == Q_RANGE && strstr(err, "vector"));
    } else {
        prov_room was = prov_context(p);
        CHECK_INT(prov_embed(p, "a lens bends light", 18, a, err), Q_OK);
        CHECK_INT(prov_embed(p, "the cat sleeps", 14, b, err), Q_OK);
        CHECK_INT(prov_embed(p, "a lens bends light", 18, c, err), Q_OK);
        double aa = 0, ab = 0;
        for (int e = 0; e < i->n_embd; e++) {
            aa += (double)a[e] * (double)a[e];
            ab += (double)a[e] * (double)b[e];
        }
        CHECK_MSG(fabs(aa - 1) < 1e-4 && ab < .9999 && memcmp(a, c, sizeof *a * (size_t)i->n_embd) == 0, "%s: %g, %g", who, aa, ab);
        CHECK(prov_context(p).used == was.used);
    }
    free(a);
    free(b);
    free(c);
}

static void configurations_are_text(void)
{
    q_buf b = { 0 };
    prov_config *c = prov_config_new(p), *d = prov_config_copy(c);
    double lo, hi;
    CHECK(prov_config_hash_all(c) == prov_config_hash_all(d) && prov_config_diff(c, d) == Q_EFFECT_SAMPLING);
    CHECK_STR(prov_config_label(c, &b), "");
    char *json = prov_config_json(c);
    CHECK_STR(json, "{}");
    free(json);
    CHECK(prov_config_range(c, "experts.k", &lo, &hi) && lo == 1 && hi == prov_about(p)->n_expert);
    CHECK(prov_config_set(c, "experts.k", "1", err) == Q_OK && prov_config_k(c) == 1 && !prov_config_is_default(c, "experts.k"));
    CHECK_STR(prov_config_get(c, "experts.k", &b), "1");
    CHECK_STR(prov_config_label(c, &b), "k 1");
    CHECK(prov_config_hash(c) != prov_config_hash(d) && prov_config_diff(d, c) == Q_EFFECT_ROUTING);
    CHECK(prov_config_set(c, "experts.k", "99999", err) < 0 && prov_config_set(c, "no.knob", "1", err) < 0);
    CHECK_STR(prov_config_get(c, "experts.k", &b), "1");
    prov_config *cold = prov_config_copy(d);
    CHECK(prov_config_set(cold, "sampler.temperature", "0.25", err) == Q_OK && prov_config_diff(d, cold) == Q_EFFECT_SAMPLING);
    CHECK(prov_config_hash(d) == prov_config_hash(cold) && prov_config_hash_all(d) != prov_config_hash_all(cold));
    prov_config_free(cold);
    uint64_t forward = prov_config_hash(c);
    CHECK(prov_config_set(c, "sampler.seed", "12", err) == Q_OK && prov_config_hash(c) == forward);
    json = prov_config_json(c);
    prov_config *e = prov_config_new(p);
    CHECK(prov_config_from_json(e, json, err) == Q_OK && prov_config_hash_all(e) == prov_config_hash_all(c));
    CHECK(prov_config_from_json(e, "{", err) < 0);
    CHECK(prov_config_cost(c).params < prov_config_cost(d).params && prov_config_cost(c).bytes > 0);
    free(json);
    prov_config_free(c);
    prov_config_free(d);
    prov_config_free(e);
    prov_config_free(NULL);
    prov_close(NULL);
    q_buf_free(&b);
}

static void what_it_cannot_is_said(void)
{
    static const prov_tool tool = { "search", "looks things up", "{}" };
    seen s = { 0 };
    prov_request r = plain;
    r.tool = &tool;
    r.n_tool = 1;
    prov_result out;
    if (prov_about(p)->can & PROV_TOOLS)
        return;
    CHECK(prov_ask(p, &r, NULL, &out, err) == Q_RANGE && out.finish == PROV_FAILED && strstr(err, "tools"));
    CHECK(prov_count_request(p, &r, err) == Q_RANGE);
    ask(&plain, &s);
    CHECK(s.tokens > 0);
    seen_clear(&s);
}

/* needs: without these of its flags it is none of its tests; those of who has them all are looked at by number. */
static void everybody(int all)
{
    enum { HERE = PROV_LIVE, TELLS = PROV_LOGPROBS | PROV_RAW };
    static const struct { const char *name; void (*test)(void); unsigned needs; } rows[] = {
        { "answers_and_counts", answers_and_counts, HERE }, { "forgets", forgets, HERE }, { "keeps_what_is_evaluated", keeps_what_is_evaluated, HERE },
        { "stops_between_two_tokens", stops_between_two_tokens, 0 }, { "knobs_are_heard_in_mid_answer", knobs_are_heard_in_mid_answer, HERE },
        { "ends_where_it_is_told", ends_where_it_is_told, PROV_RAW }, { "raw_text_goes_on", raw_text_goes_on, PROV_RAW },
        { "a_beginning_is_gone_on_from", a_beginning_is_gone_on_from, PROV_BEGIN | PROV_RAW }, { "several_answers", several_answers, PROV_N },
        { "requests_take_turns", requests_take_turns, 0 }, { "given_text_is_scored", given_text_is_scored, TELLS }, { "own_settings_weigh", own_settings_weigh, TELLS | PROV_PER_REQUEST },
        { "penalties_let_a_passage_be_quoted", penalties_let_a_passage_be_quoted, TELLS },
        { "ends_of_earlier_turns_are_not_penalised", ends_of_earlier_turns_are_not_penalised, TELLS }, { "texts_become_vectors", texts_become_vectors, PROV_EMBED },
        { "configurations_are_text", configurations_are_text, HERE }, { "what_it_cannot_is_said", what_it_cannot_is_said, 0 } };
    int ran = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (rows[i].needs & ~prov_about(p)->can)
            continue;
        ran++;
        test_bad = 0;
        rows[i].test();
        test_failed += test_bad > 0;
        printf("%s %s, by %s\n", test_bad ? "not ok" : "ok", rows[i].name, who);
        fflush(stdout);
    }
    test_failed += ran != all;
    printf("%s%d of %zu tests are for %s\n", ran == all ? "# " : "not ok ", ran, sizeof rows / sizeof *rows, who);
}

/* ---- a model of this machine behind a server, which is our own ---- */
static void the_same_by_a_server(const char *model)
{
    char dir[] = "/tmp/quorum-behind-XXXXXX", *path;
    prov *behind = NULL;
    serve *s = NULL;
    seen here = { 0 }, there = { 0 };
    test_bad = 0;
    CHECK(mkdtemp(dir));
    path = q_printf("%s/s", dir);
    CHECK_MSG(prov_open(model, &(prov_opts){ .configure = brief, .streams = 4 }, &behind, err) == Q_OK, "%s", err);
    CHECK_MSG(serve_start(&(serve_opts){ .p = behind, .unix_path = path, .streams = 4 }, &s, err) == Q_OK, "%s", err);
    prov_servers *list = prov_servers_new();
    CHECK(prov_servers_put(list, "own", "url", "http://localhost/v1", err) == Q_OK && prov_servers_put(list, "own", "socket", path, err) == Q_OK);
    CHECK_MSG(prov_open("@own", &(prov_opts){ .servers = list }, &p, err) == Q_OK, "%s", err);
    prov_servers_free(list);
    if (!test_bad) {
        everybody(4);
        test_bad = 0;
        ask(&plain, &there);
        prov *server = p;
        p = behind;
        ask(&plain, &here);
        p = server;
        CHECK_INT(there.tokens, here.tokens);
        for (int i = 0; i < here.tokens && i < there.tokens; i++)
            CHECK_MSG(there.token[i] == here.token[i] && fabs(there.logprob[i] - here.logprob[i]) < 1e-6, "token %d", i + 1);
        prov_close(p);
    }
    test_failed += test_bad > 0;
    printf("%s the_same_by_a_server\n", test_bad ? "not ok" : "ok");
    seen_clear(&here);
    seen_clear(&there);
    serve_stop(s);
    prov_close(behind);
    rmdir(dir);
    free(path);
}

int main(void)
{
    who = "a script";
    open_script(by_lines);
    everybody(16);
    prov_close(p);
    const char *build = getenv("BUILD");
    char path[256];
    snprintf(path, sizeof path, "%s/golden/qwen3moe/model.gguf", build ? build : "build");
    who = "a model here";
    if (access(path, R_OK) != 0) {
        SKIP("by a model here", "tests/run.sh unpacks it");
        return TEST_END();
    }
    if (prov_open(path, &(prov_opts){ .configure = brief }, &p, err) < 0) {
        printf("not ok by a model here: %s\n", err);
        return 1;
    }
    everybody(17);
    RUN(what_is_remembered_is_bounded_too);
    prov_close(p);
    who = "a server";
    the_same_by_a_server(path);
    return TEST_END();
}
