/* Training folders: what is counted, what is held out, the order of examples, plans, and every refusal with its sentence. What the trainers say of
 * the folders: tests/cli/train.test and tests/course/trainers.sh. */
#include "advice/course.h"
#include "tests/test.h"

#include <signal.h>
#include <sys/resource.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static adv_machine cpu = { .name = "cpu", .title = "a processor", .ram = (uint64_t)64 << 30 };
static adv_machine two = { .name = "two", .title = "two GPUs", .n_gpu = 2, .gpu = { { "g", (uint64_t)24 << 30, 0, 0 }, { "g", (uint64_t)24 << 30, 0, 0 } } };

static char *in(const char *name) { return q_printf("%s/%s", dir, name); }

static void put(const char *name, const char *text)
{
    char *path = in(name), err[Q_ERRLEN];
    CHECK_INT(q_write_file_atomic(path, text, strlen(text), err), 0);
    free(path);
}

static char *get(const char *name)
{
    char *path = in(name), err[Q_ERRLEN];
    q_buf b = { 0 };
    if (q_read_file(path, &b, 1 << 24, err) != 0) printf("# %s\n", err);
    free(path);
    return q_buf_take(&b);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (const char *p = text; (p = strstr(p, what)); p += strlen(what)) n++;
    return n;
}

/* The model of tests/course/tiny.py: 97,184 numbers, of which its own trainer counted 7,168 of experts and 14,336 of attention in an adapter of ranks
 * 2 and 16 (tests/course/trainers.sh). */
static void set_up(void)
{
    strcpy(dir, "/tmp/quorum_course_XXXXXX");
    CHECK(mkdtemp(dir) != NULL);
    char *model = in("model"), err[Q_ERRLEN];
    CHECK_INT(q_mkdirs(model, err), 0);
    free(model);
    put("model/config.json", "{\"model_type\":\"qwen3_moe\",\"vocab_size\":288,\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
        "\"num_key_value_heads\":2,\"head_dim\":16,\"moe_intermediate_size\":32,\"num_experts\":8,\"num_experts_per_tok\":2,\"tie_word_embeddings\":false}");
    q_buf b = { 0 };
    for (int i = 0; i < 40; i++)
        q_buf_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"question %d\"},{\"role\":\"assistant\",\"content\":\"answer %d\"}]}\n", i, i);
    put("talk.jsonl", b.p);
    q_buf_clear(&b);
    for (int i = 39; i >= 0; i--)
        q_buf_printf(&b, "{\"messages\":[{\"role\":\"user\",\"content\":\"question %d\"},{\"role\":\"assistant\",\"content\":\"answer %d\"}]}\n", i, i);
    put("turned.jsonl", b.p);
    put("text.jsonl", "{\"text\":\"one\"}\n{\"text\":\"two\"}\n{\"text\":\"three\"}\n");
    put("one.jsonl", "{\"text\":\"one\"}\n");
    put("broken.jsonl", "{\"text\":\"one\"}\nnot json\n{\"text\":\"two\"}\n{\"text\":\"\xff\"}\n{\"text\":\"three\"}\n");
    put("none.jsonl", "not json\n");
    q_buf_free(&b);
}

static int write_one(adv_course c, const char *data, const char *to, bool force, adv_coursed *out, char *err)
{
    char *model = in("model"), *file = in(data), *folder = in(to);
    const char *files[] = { file };
    if (!c.model) c.model = model;
    if (!c.machine) c.machine = &cpu;
    c.data = files;
    c.n_data = 1;
    int rc = adv_course_write(&c, folder, force, out, err);
    free(model);
    free(file);
    free(folder);
    return rc;
}

static void counts_are_exact(void)
{
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    CHECK_INT(write_one((adv_course){ .rank = 16, .rank_expert = 2, .steps = 3 }, "talk.jsonl", "lora", false, &d, err), 0);
    CHECK_INT(d.load.trained, 7168 + 14336);
    CHECK_INT(d.load.adapter, 4 * (7168 + 14336));
    CHECK_INT(d.load.optimiser, 8 * (7168 + 14336));
    uint64_t attention = 2 * (2 * 64 * 64 + 2 * 64 * 32 + 2 * 64) + 64, experts = 2 * 8 * 3 * 64 * 32, routers = 2 * 8 * 64, table = 288 * 64;
    CHECK_INT(d.load.params, attention + experts + routers + 2 * table);
    CHECK_INT(d.examples + d.heldout, 40);
    CHECK(d.heldout >= 1 && d.heldout < 10 && d.load.fits && d.task == ADV_TALK);
    adv_coursed_free(&d);
    CHECK_INT(write_one((adv_course){ .method = ADV_FULL, .machine = &two, .shard = ADV_ZERO3 }, "talk.jsonl", "full", false, &d, err), 0);
    CHECK_INT(d.load.trained, attention + experts + 2 * table);            /* routers stay frozen */
    CHECK_INT(d.load.optimiser, d.load.trained * 12 / 2);
    CHECK_INT(d.load.weights, d.load.params * 2 / 2);
    adv_coursed_free(&d);
    char *yaml = get("lora/config.yaml"), *desk = get("lora/desk.json");
    CHECK(strstr(yaml, "lora_target_parameters: [\"mlp.experts.gate_up_proj\", \"mlp.experts.down_proj\"]\n") && strstr(yaml, "lora_dropout: 0.0\n"));
    CHECK(strstr(yaml, "max_steps: 3\n") && strstr(yaml, "use_cpu: true\n") && strstr(yaml, "learning_rate: 0.0002\n"));
    CHECK(count(desk, "mlp.experts.down_proj") == 2 && count(desk, "\"routers\"") == 1);       /* a part, and not trained */
    free(yaml);
    free(desk);
}

static void held_out_whatever_the_order(void)
{
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    CHECK_INT(write_one((adv_course){ .heldout = "0.2" }, "talk.jsonl", "a", false, &d, err), 0);
    adv_coursed_free(&d);
    CHECK_INT(write_one((adv_course){ .heldout = "0.2" }, "turned.jsonl", "b", false, &d, err), 0);
    CHECK(d.heldout > 2 && d.heldout < 20);
    char *a = get("a/data/test.jsonl"), *b = get("b/data/test.jsonl"), *train = get("a/data/train.jsonl");
    CHECK(strlen(a) == strlen(b));
    for (char *line = strtok(a, "\n"); line; line = strtok(NULL, "\n"))
        CHECK(strstr(b, line) && !strstr(train, line));
    adv_coursed_free(&d);
    free(a);
    free(b);
    free(train);
}

static void broken_lines_are_named(void)
{
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    CHECK_INT(write_one((adv_course){ .heldout = "0" }, "broken.jsonl", "left", false, &d, err), 0);
    CHECK_INT(d.examples, 3);
    CHECK_INT(d.broken, 2);
    CHECK(d.said && strstr(d.said, "broken.jsonl:2: ") && strstr(d.said, "broken.jsonl:4: ") && strstr(d.said, "Nothing is held out"));
    adv_coursed_free(&d);
}

/* What LLaMA-Factory skips with a line in its log is left out by name, and what it would not read of a thought stands in the text. */
static void llamafactory_gets_what_it_reads(void)
{
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    put("turns.jsonl", "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"b\",\"reasoning_content\":\"hm\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"two\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"three\"},{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"four\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"five\"},{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"name\":\"f\"}]},{\"role\":\"tool\",\"content\":\"t\"},"
        "{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"six\"},{\"role\":\"assistant\",\"content\":\"b\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"seven\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}\n");
    CHECK_INT(write_one((adv_course){ .trainer = ADV_LLAMAFACTORY, .trained = ADV_ATTENTION, .heldout = "0" }, "turns.jsonl", "turns", false, &d, err), 0);
    CHECK_INT(d.examples, 2);
    CHECK_INT(d.broken, 5);
    char *text = get("turns/data/train.jsonl");
    CHECK(strstr(text, "<think>\\nhm\\n</think>\\n\\nb") && strstr(text, "seven") && !strstr(text, "reasoning_content") && !strstr(text, "two") && !strstr(text, "tool"));
    CHECK(d.said && strstr(d.said, "turns.jsonl:2: questions and answers do not take turns") && strstr(d.said, "turns.jsonl:4: it does not end") && strstr(d.said, "turns.jsonl:5: it calls tools"));
    adv_coursed_free(&d);
    free(text);
    CHECK_INT(write_one((adv_course){ .trainer = ADV_TRL, .heldout = "0" }, "turns.jsonl", "turns", true, &d, err), 0);       /* TRL takes them all */
    CHECK_INT(d.examples, 7);
    adv_coursed_free(&d);
    put("pairs.jsonl", "{\"prompt\":\"one\",\"chosen\":\"a\",\"rejected\":\"b\"}\n{\"prompt\":[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"user\",\"content\":\"two\"}],\"chosen\":\"a\",\"rejected\":\"b\"}\n");
    CHECK_INT(write_one((adv_course){ .trainer = ADV_LLAMAFACTORY, .trained = ADV_ATTENTION, .heldout = "0" }, "pairs.jsonl", "pairs", false, &d, err), 0);
    CHECK(d.examples == 1 && d.broken == 1);
    adv_coursed_free(&d);
}

static void refused(adv_course c, const char *data, const char *words)
{
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    CHECK(write_one(c, data, "refused", false, &d, err) < 0);
    CHECK_MSG(strstr(err, words) && !strchr(err, '\n'), "%s", err);
    adv_coursed_free(&d);
    char *folder = in("refused/run.sh");
    CHECK(access(folder, F_OK) != 0);
    free(folder);
}

static void what_cannot_be_is_refused(void)
{
    refused((adv_course){ .trainer = ADV_LLAMAFACTORY, .trained = ADV_EXPERTS }, "talk.jsonl", "take trl or axolotl");
    refused((adv_course){ .trainer = ADV_LLAMAFACTORY, .method = ADV_FULL, .trained = ADV_EXPERTS }, "talk.jsonl", "leave --train out");
    refused((adv_course){ .trained = ADV_DENSE }, "talk.jsonl", "has no dense of its own");
    refused((adv_course){ .trained = ADV_EMBEDDINGS }, "talk.jsonl", "take --method full");
    refused((adv_course){ .method = ADV_QLORA }, "talk.jsonl", "qlora needs a GPU");
    refused((adv_course){ .trainer = ADV_AXOLOTL }, "talk.jsonl", "axolotl needs a GPU");
    refused((adv_course){ .shard = ADV_FSDP }, "talk.jsonl", "share a model among GPUs");
    refused((adv_course){ .heldout = "0.7" }, "talk.jsonl", "a share from 0 to 0.5");
    refused((adv_course){ .heldout = "nowhere.jsonl" }, "talk.jsonl", "nowhere.jsonl");
    refused((adv_course){ .model = "no-such-model-of-anybody" }, "talk.jsonl", "no-such-model-of-anybody");
    refused((adv_course){ .trainer = ADV_TRL }, "none.jsonl", "no line can be used");
    refused((adv_course){ .trainer = ADV_TRL }, "one.jsonl", "one example is too few");
    char *talk = in("talk.jsonl");
    refused((adv_course){ .heldout = talk }, "text.jsonl", "hold out the same kind");
    free(talk);
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    put("keep", "mine");
    CHECK(write_one((adv_course){ .trainer = ADV_TRL }, "talk.jsonl", "keep", true, &d, err) == Q_RANGE && strstr(err, "is no folder"));
    CHECK(write_one((adv_course){ .trainer = ADV_TRL }, "talk.jsonl", "model", true, &d, err) == Q_RANGE && strstr(err, "something else"));
    CHECK(write_one((adv_course){ .trainer = ADV_TRL }, "talk.jsonl", "a", false, &d, err) == Q_RANGE && strstr(err, "--force"));
    CHECK_INT(write_one((adv_course){ .trainer = ADV_TRL }, "talk.jsonl", "a", true, &d, err), 0);
    adv_coursed_free(&d);
}

static void examples_in_their_order(void)
{
    char err[Q_ERRLEN] = "", *folder = in("order");
    adv_coursed d;
    CHECK_INT(write_one((adv_course){ .heldout = "0" }, "text.jsonl", "order", false, &d, err), 0);
    adv_coursed_free(&d);
    double loss[3] = { 2, NAN, 1 };
    CHECK_INT(adv_course_order(folder, loss, 3, ADV_EASY_FIRST, err), 0);
    char *text = get("order/data/train.jsonl"), *csv = get("order/difficulty.csv"), *svg = get("order/difficulty.svg");
    CHECK_STR(text, "{\"text\":\"three\"}\n{\"text\":\"one\"}\n{\"text\":\"two\"}\n");
    CHECK_STR(csv, "place,line,loss\n1,3,1.000000\n2,1,2.000000\n3,2,\n");
    CHECK(strstr(svg, "<polyline") && strstr(svg, "48.0,252.0 672.0,48.0"));
    free(text);
    CHECK_INT(adv_course_order(folder, (double[]){ 1, 1, 2 }, 3, ADV_HARD_FIRST, err), 0);
    text = get("order/data/train.jsonl");
    CHECK_STR(text, "{\"text\":\"two\"}\n{\"text\":\"three\"}\n{\"text\":\"one\"}\n");
    CHECK(adv_course_order(folder, loss, 2, ADV_EASY_FIRST, err) == Q_FORMAT && strstr(err, "make the folder anew"));
    adv_course_sorted(loss, 3, ADV_EASY_FIRST);
    CHECK(loss[0] == 1 && loss[1] == 2 && isnan(loss[2]));
    q_buf plot = { 0 };
    adv_course_plot(loss, 3, 80, &plot);
    CHECK(strstr(plot.p, "  2.000 | #\n") && strstr(plot.p, "  1.000 |##\n"));
    q_buf_free(&plot);
    free(text);
    free(csv);
    free(svg);
    free(folder);
}

static void wrong_plan(const char *text, const char *words)
{
    char err[Q_ERRLEN] = "", *path = in("plan.ini");
    adv_plan *p = NULL;
    put("plan.ini", text);
    CHECK(adv_plan_read(path, &p, err) < 0 && !p);
    CHECK_MSG(strstr(err, words) && !strchr(err, '\n'), "%s", err);
    adv_plan_free(p);
    free(path);
}

static void plans_are_read(void)
{
    char err[Q_ERRLEN] = "", *path = in("plan.ini"), *folder = in("plan");
    const adv_stage *s;
    adv_plan *p = NULL;
    wrong_plan("[plan]\nmodel = model\n", "has no [stage NAME]");
    wrong_plan("[stage a]\ndata = talk.jsonl\n", "names no model");
    wrong_plan("[plan]\nmodel = model\n[stage a]\nlr = 1\n", "line 4: there is no key \"lr\"");
    wrong_plan("[plan]\nmodel = model\n[stage a]\nrate = fast\n", "line 4: rate cannot be \"fast\"");
    wrong_plan("[plan]\nmodel = model\n[stage a/b]\nrate = 1\n", "line 4: a part of a plan is");
    wrong_plan("[plan]\nmodel = model\n[stage a]\ndata = talk.jsonl\n[stage b]\ndata=x\n[stage a]\ndata = x\n", "two stages \"a\"");
    char longs[256], a[41];
    memset(a, 'x', 40);
    a[40] = 0;
    snprintf(longs, sizeof longs, "[plan]\nmodel = model\n[stage %sxxxx1]\ndata = talk.jsonl\n[stage %sxxxx2]\ndata = talk.jsonl\n", a, a);      /* not one stage of both */
    wrong_plan(longs, "line 4: the name of a stage has 40 letters at most");
    wrong_plan("[plan]\nmodel = model\n[a]\nrate = 0.1\n", "line 4: a part of a plan is");
    wrong_plan("[plan]\nmodel = model\n[stage a]\nrate = 0.1\n", "names no data");
    wrong_plan("[plan]\nmodel = model\n[stage a]\ndata = talk.jsonl\norder = easy-first\n", "names no judge");
    wrong_plan("[plan]\nmodel = model\n[stage a]\ntrainer = axolotl\n", "no key \"trainer\" here");
    put("plan.ini", "[plan]\ntrainer = trl\nmodel = model\nforget = 2%\nrate = 0.001\n[stage first]\ndata = text.jsonl\nmethod = full\nheldout = 0.3\n"
        "[stage second]\ndata = talk.jsonl\ndata = turned.jsonl\nrank = 4\ngain = 0.5%\n");
    CHECK_INT(adv_plan_read(path, &p, err), 0);
    CHECK_INT(p ? adv_plan_stages(p, &s) : 0, 2);
    CHECK(p && s[1].course.n_data == 2 && s[0].course.method == ADV_FULL && s[1].course.method == ADV_LORA && s[1].course.rank == 4);
    CHECK(p && fabs(s[1].forget - .02) < 1e-12 && fabs(s[1].gain - .005) < 1e-12 && s[1].course.rate == .001);
    adv_coursed d[2];
    adv_plan_on(p, &cpu);
    CHECK_INT(adv_plan_write(p, folder, false, d, err), 0);
    char *run = get("plan/run.sh"), *config = get("plan/02-second/config.yaml");
    CHECK(strstr(run, "once '02-second keeps 01-first' check 02-second/keeps-first.json 01-first/model.gguf 02-second/model.gguf 01-first/heldout.txt --most 0.02\n"));
    CHECK(strstr(config, "model_name_or_path: \"../01-first/output\"\n"));
    CHECK_INT(d[1].examples + d[1].heldout, 80);
    for (int i = 0; i < 2; i++) adv_coursed_free(&d[i]);
    adv_plan_free(p);
    free(run);
    free(config);
    free(folder);
    free(path);
}

/* A limit on the length of a file stands in for a full disk: data and small files come, the script that TRL runs does not. */
static void half_a_folder_is_none(void)
{
    struct rlimit was, now;
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    char *folder = in("half");
    CHECK(getrlimit(RLIMIT_FSIZE, &was) == 0);
    signal(SIGXFSZ, SIG_IGN);
    now = (struct rlimit){ 3000, was.rlim_max };
    CHECK(setrlimit(RLIMIT_FSIZE, &now) == 0);
    int rc = write_one((adv_course){ .trainer = ADV_TRL }, "text.jsonl", "half", false, &d, err);
    CHECK(setrlimit(RLIMIT_FSIZE, &was) == 0);
    CHECK_MSG(rc == Q_IO && strstr(err, "trl_train.py"), "%d %s", rc, err);
    CHECK(access(folder, F_OK) != 0);
    CHECK_INT(write_one((adv_course){ .trainer = ADV_TRL }, "text.jsonl", "half", false, &d, err), 0);
    adv_coursed_free(&d);
    free(folder);
}

static void what_is_too_large_says_what_would_do(void)
{
    char err[Q_ERRLEN] = "";
    adv_coursed d;
    CHECK_INT(write_one((adv_course){ .model = "14b", .method = ADV_FULL, .machine = &two, .shard = ADV_ZERO3 }, "text.jsonl", "huge", false, &d, err), 0);
    q_buf b = { 0 };
    adv_coursed_say(NULL, &d, &b);
    CHECK_MSG(!d.load.fits && strncmp(b.p, "It does not fit: ", 17) == 0 && count(b.p, "It does not fit") == 1, "%s", b.p);
    CHECK_MSG(strstr(b.p, "What would do: --method qlora") && strstr(b.p, "14b is several models: Qwen3-14B-Base was taken"), "%s", b.p);
    q_buf_free(&b);
    adv_coursed_free(&d);
    CHECK_INT(write_one((adv_course){ .model = "Qwen3-14B", .method = ADV_LORA, .machine = &two, .shard = ADV_ZERO3 }, "text.jsonl", "named", false, &d, err), 0);
    adv_coursed_say(NULL, &d, &b);
    CHECK_MSG(!strstr(b.p, "several models"), "%s", b.p);
    q_buf_free(&b);
    adv_coursed_free(&d);
    char *yaml = get("named/config.yaml");
    CHECK(strstr(yaml, "\"Qwen/Qwen3-14B\""));
    free(yaml);
    char *odd = in("odd");
    CHECK_INT(q_mkdirs(odd, err), 0);
    put("odd/config.json", "{\"model_type\":\"qwen3_moe\",\"vocab_size\":999999999,\"hidden_size\":999999999,\"intermediate_size\":999999999,\"num_hidden_layers\":999999999,\"num_attention_heads\":999999999,"
        "\"num_key_value_heads\":2,\"head_dim\":999999999,\"moe_intermediate_size\":999999999,\"num_experts\":999999999,\"num_experts_per_tok\":2}");
    refused((adv_course){ .model = odd }, "text.jsonl", "larger than any that is");
    free(odd);
}

static void clean_up(void)
{
    char *rm = q_printf("rm -rf %s", dir);
    CHECK_INT(system(rm), 0);
    free(rm);
}

int main(void)
{
    set_up();
    RUN(counts_are_exact);
    RUN(held_out_whatever_the_order);
    RUN(broken_lines_are_named);
    RUN(llamafactory_gets_what_it_reads);
    RUN(what_cannot_be_is_refused);
    RUN(half_a_folder_is_none);
    RUN(what_is_too_large_says_what_would_do);
    RUN(examples_in_their_order);
    RUN(plans_are_read);
    clean_up();
    return TEST_END();
}
