/* Experts that a model cannot do without: a loss with one of them missing is bit for bit that of a whole evaluation under
 * experts.ban, whatever stopped on the way; what is kept is bounded; a ban is warned of before it holds. */
#include "engine/text.h"
#include "lab/parts.h"
#include "memory/memory.h"
#include "tests/engine_util.h"
#include "tests/unit/agent_help.h"

#include <math.h>

static char err[Q_ERRLEN];

/* ---- against whole evaluations ---- */
typedef struct whole { const int32_t *token; int n, n_vocab; double sum; } whole;
static int one_row(void *user, int pos, const float *x, const uint16_t *ids, const float *weights, int max_k)
{
    whole *w = user;
    if (pos + 1 == w->n)
        return 0;
    double most = (double)x[0], all = 0;
    for (int i = 1; i < w->n_vocab; i++)
        most = (double)x[i] > most ? (double)x[i] : most;
    for (int i = 0; i < w->n_vocab; i++)
        all += exp((double)x[i] - most);
    w->sum -= (double)x[w->token[pos + 1]] - most - log(all);
    return 0;
}

static double loss_under(eng_model *m, const eng_config *c, const int32_t *token, int n)
{
    eng_session *s = NULL;
    whole w = { token, n, eng_model_info(m)->n_vocab, 0 };
    CHECK_MSG(eng_session_new(m, c, &s, err) == 0 && eng_session_eval(s, token, n, 7, NULL, 0, one_row, &w, err) == 0, "%s", err);
    eng_session_free(s);
    return w.sum / (n - 1);
}

static eng_config *with(eng_model *m, const char *settings)
{
    eng_config *c = eng_config_new(m);
    CHECK_MSG(lab_spec(c, settings, NULL, err) == 0, "%s", err);
    return c;
}

static void equal_to_whole_evaluations(void)
{
    static const char *const arch[] = { "qwen3moe", "glm4moe" }, *const base[] = { "", "k=2,experts.ban=1:0,norm.eps=1e-4", "rope.theta=1e4,experts.min_p=0.2" };
    for (int a = 0; a < 2; a++) {
        char *path = util_model(arch[a]);
        eng_model *m = NULL;
        CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .n_threads = 2 }, &m, err) == 0, "%s", err);
        const eng_info *info = eng_model_info(m);
        eng_tokens t = { 0 };
        CHECK(eng_tokenize(m, lab_baseline_text, 200, false, &t, err) == 0);
        for (int b = 0; b < 3; b++) {
            eng_config *c = with(m, base[b]);
            eng_probe *p = NULL;
            CHECK_MSG(eng_probe_new(m, c, t.id, 40, NULL, NULL, &p, err) == 0, "%s", err);
            CHECK_MSG(eng_probe_loss(p) == loss_under(m, c, t.id, 40), "%s %s: %.17g", arch[a], base[b], eng_probe_loss(p));
            int differ = 0;
            /* upwards and down again: no pass leaves anything behind for the next */
            for (int i = 0; i < 2 * info->n_moe_layer * info->n_expert; i++) {
                int all = info->n_moe_layer * info->n_expert, at = i < all ? i : 2 * all - 1 - i;
                int l = info->first_moe_layer + at / info->n_expert, e = at % info->n_expert;
                q_buf now = { 0 };
                const char *ban = eng_config_get(c, "experts.ban", &now);
                bool some = *ban && strcmp(ban, "none") != 0;
                char *list = q_printf("%s%s%d:%d", some ? ban : "", some ? "," : "", l, e);
                eng_config *less = eng_config_copy(c);
                double got = 0;
                CHECK_MSG(eng_config_set(less, "experts.ban", list, err) == 0, "%s", err);
                CHECK_MSG(eng_probe_without(p, l, e, &got, err) == 0, "%s", err);
                double want = i < all || i % 5 == 0 ? loss_under(m, less, t.id, 40) : got;
                CHECK_MSG(got == want, "%s %s without L%de%d: %.17g, whole %.17g", arch[a], base[b], l, e, got, want);
                differ += got != eng_probe_loss(p);
                eng_config_free(less);
                q_buf_free(&now);
                free(list);
            }
            CHECK_MSG(differ > info->n_moe_layer, "only %d change anything", differ);
            CHECK(eng_probe_without(p, info->n_layer, 0, &(double){ 0 }, err) == Q_NOTFOUND && eng_probe_without(p, info->first_moe_layer, -1, &(double){ 0 }, err) == Q_NOTFOUND);
            eng_probe_free(p);
            eng_config_free(c);
        }
        eng_config *c = eng_config_new(m);
        eng_probe *p = NULL;
        CHECK(eng_probe_new(m, c, t.id, 1, NULL, NULL, &p, err) == Q_RANGE && eng_probe_new(m, c, &(int32_t[]){ 1, 1 << 30 }[0], 2, NULL, NULL, &p, err) == Q_RANGE && !p);
        eng_config_free(c);
        eng_tokens_free(&t);
        eng_model_free(m);
        unlink(path);
        free(path);
    }
}

/* ---- stopped and continued ---- */
typedef struct stopper { int left; } stopper;
static bool until(void *user, int done, int total) { return ((stopper *)user)->left-- > 0; }

static void stopped_anywhere_goes_on(void)
{
    char *path = util_model("qwen3moe"), *db = q_printf("%s.db", path);
    eng_model *m = NULL;
    mem_store *s = NULL;
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .n_threads = 2 }, &m, err) == 0 && mem_open(db, &s, err) == 0, "%s", err);
    lab_guard want = { 0 }, g = { 0 };
    CHECK_MSG(lab_guard_model(m, NULL, &want, err) == 0, "%s", err);
    CHECK(want.n == 36 && want.tried == 36 && isfinite(want.loss));
    for (int i = 1; i < want.n; i++)
        CHECK(want.row[i - 1].strength >= want.row[i].strength);
    uint64_t id = eng_model_info(m)->id;
    CHECK(!lab_guard_read(s, id, &g) && g.n == 0);
    int rounds = 0, rc = Q_CANCEL;
    for (int left = 1; rc == Q_CANCEL && rounds < 500; left = left * 7 / 5 + 3, rounds++) {
        stopper at = { left };
        lab_guard_read(s, id, &g);                   /* as if the program had ended in between */
        rc = lab_guard_model(m, &(lab_guard_terms){ .store = s, .go_on = until, .user = &at }, &g, err);
        CHECK_MSG(rc == Q_OK || rc == Q_CANCEL, "%s", err);
        for (int i = 0; i < g.tried; i++)
            CHECK(g.row[i].rise == want.row[i].rise);
    }
    CHECK_MSG(rc == Q_OK && rounds > 3, "%d rounds, code %d", rounds, rc);
    CHECK(lab_guard_read(s, id, &g) && g.n == want.n && g.tried == want.tried && g.loss == want.loss && memcmp(g.row, want.row, sizeof g.row[0] * (size_t)g.n) == 0);
    double rise = 0;
    CHECK(lab_guard_of(&g, g.row[3].layer, g.row[3].expert, &rise) != LAB_UNTRIED && rise == g.row[3].rise);
    g.tried = 3;
    CHECK(lab_guard_of(&g, g.row[3].layer, g.row[3].expert, &rise) == LAB_UNTRIED && lab_guard_of(&g, 1 << 20, 0, &rise) == LAB_UNTRIED);
    /* What somebody wrote into the file is as if it were not there. */
    static const char *const bad[] = {
        "", "{", "[]", "{\"v\":2}", "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":2,\"rows\":[[0,1,1,1]]}",
        "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":1,\"rows\":[[3,1,1,1]]}", "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":1,\"rows\":[[0,-1,1,1]]}",
        "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":1,\"rows\":[[0,1e99,1,1]]}", "{\"v\":1,\"loss\":1,\"tokens\":1e300,\"layers\":3,\"experts\":12,\"tried\":0,\"rows\":[[0,1,1,1]]}",
        "{\"v\":1,\"loss\":null,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":1,\"rows\":[[0,1,1,1]]}", "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":1,\"rows\":[[0,1,1]]}",
        "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":1,\"rows\":{\"a\":1}}", "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":3,\"experts\":12,\"tried\":1.5,\"rows\":[[0,1,1,1],[0,2,1,1]]}" };
    char *key = q_printf("guard.%016llx", (unsigned long long)id);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK(mem_setting_put(s, key, bad[i], err) == 0);
        CHECK_MSG(!lab_guard_read(s, id, &g) && g.n == 0 && g.tried == 0, "%s was believed", bad[i]);
    }
    CHECK(mem_setting_put(s, key, "{\"v\":1,\"loss\":1,\"tokens\":96,\"layers\":900,\"experts\":12,\"tried\":1,\"rows\":[[899,1,1,1]]}", err) == 0);
    CHECK(lab_guard_read(s, id, &g) && g.n == 1);     /* sound, but of another model: looked at anew */
    CHECK(lab_guard_model(m, &(lab_guard_terms){ .store = s }, &g, err) == 0 && g.n == want.n && g.row[0].rise == want.row[0].rise);
    free(key);
    mem_close(s);
    eng_model_free(m);
    unlink_db(db);
    unlink(path);
    free(path);
    free(db);
}

/* ---- before a ban holds ---- */
static bool marked(agt *a, agt_routing *r, int layer, int expert)
{
    agt_get_routing(a, r);
    int l = layer - r->first_layer;
    return l >= 0 && l < r->n_layer && expert < r->n_expert && r->cell[l * r->n_expert + expert].breaks;
}

static void a_ban_is_warned_of(void)
{
    char *path = util_model("qwen3moe");
    eng_model *m = NULL;
    lab_guard g = { 0 };
    CHECK(eng_model_open(path, &(eng_open_opts){ .n_threads = 2 }, &m, err) == 0 && lab_guard_model(m, NULL, &g, err) == 0);
    int worst = 0, least = 0;
    for (int i = 0; i < g.n; i++) {
        worst = g.row[i].rise > g.row[worst].rise ? i : worst;
        least = g.row[i].rise < g.row[least].rise ? i : least;
    }
    CHECK_MSG(g.row[worst].rise >= LAB_GUARD_BREAKS && g.row[least].rise < LAB_GUARD_BREAKS, "no such experts here");
    eng_model_free(m);
    seen s = { 0 };
    agt_routing r = { 0 };
    agt *a = NULL;
    CHECK_MSG(agt_open(&(agt_options){ .model = path, .db = ":memory:" }, &a, err) == 0, "%s", err);
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 60000));
    agt_submit(a, "/guard");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    CHECK(said(a, &s, "when one is missing"));       /* learnt while nothing is asked */
    CHECK(marked(a, &r, g.row[worst].layer, g.row[worst].expert) && !marked(a, &r, g.row[least].layer, g.row[least].expert));
    agt_submit(a, "/guard");
    CHECK(wait_for(a, &s, AGT_EV_TEXT, 0, 60000));
    char *name = q_printf("L%de%d ", g.row[worst].layer, g.row[worst].expert);
    CHECK_MSG(s.page && strstr(s.page, "36 of the 36") && strstr(s.page, name) && strstr(s.page, "breaks the model"), "%s", s.page ? s.page : "");
    q_buf_clear(&s.notes);
    q_buf_puts(&s.notes, "");
    char *line = q_printf("/set experts.ban %d:%d", g.row[least].layer, g.row[least].expert);
    agt_submit(a, line);
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    CHECK_MSG(!strstr(s.notes.p, "breaks") && !strstr(s.notes.p, "not looked at"), "%s", s.notes.p);
    free(line);
    line = q_printf("/set experts.ban %d:%d,%d:%d", g.row[least].layer, g.row[least].expert, g.row[worst].layer, g.row[worst].expert);
    int notes = s.n;
    agt_submit(a, line);
    CHECK(wait_for(a, &s, AGT_EV_KNOB, 0, 60000));
    char *figure = q_printf("rose by %.2f nats", g.row[worst].rise);
    CHECK_MSG(strstr(s.notes.p, figure) && strstr(s.notes.p, "breaks the model"), "%s", s.notes.p);
    int note_at = -1, knob_at = -1;
    for (int i = notes; i < s.n; i++) {
        note_at = s.kind[i] == AGT_EV_NOTE && note_at < 0 ? i : note_at;
        knob_at = s.kind[i] == AGT_EV_KNOB ? i : knob_at;
    }
    CHECK_MSG(note_at >= 0 && note_at < knob_at, "the warning comes first: note %d, knob %d", note_at, knob_at);
    agt_status st;
    agt_get_status(a, &st);
    CHECK_MSG(strstr(st.label, "ban"), "it was not refused: %s", st.label);
    free(name);
    free(line);
    free(figure);
    agt_routing_free(&r);
    seen_clear(&s);
    agt_close(a);
    unlink(path);
    free(path);
}

/* What is not known is said: nothing is looked at here, for the model is loaded with the ban. */
static void unknown_is_said(void)
{
    seen s = { 0 };
    agt *a = NULL;
    char *path = util_model("qwen3moe");
    const char *set[] = { "experts.ban=0:3" };
    CHECK_MSG(agt_open(&(agt_options){ .model = path, .db = ":memory:", .set = set, .n_set = 1 }, &a, err) == 0, "%s", err);
    CHECK(wait_for(a, &s, AGT_EV_READY, 0, 60000));
    CHECK_MSG(s.notes.p && strstr(s.notes.p, "not looked at yet") && strstr(s.notes.p, "L0e3"), "%s", s.notes.p ? s.notes.p : "");
    seen_clear(&s);
    agt_close(a);
    unlink(path);
    free(path);
}

/* On the default model: all experts left out, one at a time. Who breaks it is among the 64. */
static void the_default_model(void)
{
    char *path = util_default_model();
    if (!path || !getenv("QUORUM_LONG")) {
        SKIP("guard of the default model", path ? "takes a minute: QUORUM_LONG=1" : "the default model is not here");
        free(path);
        return;
    }
    eng_model *m = NULL;
    lab_guard g = { 0 };
    eng_tokens t = { 0 };
    eng_probe *p = NULL;
    CHECK_MSG(eng_model_open(path, &(eng_open_opts){ .n_threads = 0 }, &m, err) == 0 && lab_guard_model(m, NULL, &g, err) == 0, "%s", err);
    const eng_info *info = eng_model_info(m);
    eng_config *c = eng_config_new(m);
    if (eng_token_begin(m) >= 0)
        eng_tokens_add(&t, eng_token_begin(m));
    CHECK(eng_tokenize(m, lab_baseline_text, strlen(lab_baseline_text), false, &t, err) == 0 && eng_probe_new(m, c, t.id, g.tokens, NULL, NULL, &p, err) == 0);
    struct { double rise; bool among; } best[10] = { { 0, false } };
    for (int l = info->first_moe_layer; l < info->n_layer; l++)
        for (int e = 0; e < info->n_expert; e++) {
            double loss, rise;
            CHECK(eng_probe_without(p, l, e, &loss, err) == 0);
            bool among = lab_guard_of(&g, l, e, &rise) != LAB_UNTRIED;
            CHECK_MSG(!among || rise == loss - g.loss, "L%de%d", l, e);
            CHECK_MSG(among || loss - g.loss < LAB_GUARD_BREAKS, "L%de%d breaks the model by %.3f nats and is not among the 64", l, e, loss - g.loss);
            int at = 9;
            if (loss - g.loss <= best[9].rise)
                continue;
            for (; at > 0 && best[at - 1].rise < loss - g.loss; at--)
                best[at] = best[at - 1];
            best[at].rise = loss - g.loss;
            best[at].among = among;
        }
    int hold = 0;
    for (int i = 0; i < 10; i++) {
        hold += best[i].among;
        printf("# worst %d: %+.3f nats, %s\n", i + 1, best[i].rise, best[i].among ? "among the 64" : "not among them");
    }
    printf("# of the ten worst of %d experts %d are among the 64\n", info->n_moe_layer * info->n_expert, hold);
    eng_probe_free(p);
    eng_config_free(c);
    eng_tokens_free(&t);
    eng_model_free(m);
    free(path);
}

int main(void)
{
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    RUN(equal_to_whole_evaluations);
    RUN(stopped_anywhere_goes_on);
    RUN(a_ban_is_warned_of);
    RUN(unknown_is_said);
    RUN(the_default_model);
    return TEST_END();
}
