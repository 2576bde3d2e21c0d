/* Configurations under a name: shipped ones, a person's files, hostile files and names. In a folder of its own. */
#include "engine/engine.h"
#include "lab/lab.h"
#include "tests/engine_util.h"
#include "tests/test.h"

#include <locale.h>
#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/quorum-brain-XXXXXX", err[Q_ERRLEN];

static void put_file(const char *name, const char *text, size_t n)
{
    char *path = q_printf("%s/quorum/brains/%s", home, name);
    CHECK(q_write_file_atomic(path, text, n, err) == 0);
    free(path);
}

static bool has(const char *name)
{
    lab_brain *all;
    int n;
    bool any = false;
    CHECK(lab_brain_list(&all, &n, err) == 0);
    for (int i = 0; i < n; i++)
        any |= strcmp(all[i].name, name) == 0;
    lab_brains_free(all, n);
    return any;
}

static void saved_ones_come_back(void)
{
    lab_brain b = { 0 };
    CHECK(lab_brain_save("mine-1.0_x", "{\"experts.k\":\"4\",\"rope.theta\":\"500000\"}", "a model", false, err) == 0);
    CHECK(lab_brain_save("mine-1.0_x", "{}", "", false, err) == Q_RANGE && strstr(err, "already"));
    CHECK(lab_brain_read("mine-1.0_x", &b, err) == 0 && b.n == 2 && !b.shipped);
    CHECK_STR(b.knob[0], "experts.k");
    CHECK_STR(b.value[1], "500000");
    CHECK_STR(b.model, "a model");
    lab_brain_free(&b);
    CHECK(lab_brain_save("mine-1.0_x", "{}", "", true, err) == 0 && lab_brain_read("mine-1.0_x", &b, err) == 0 && b.n == 0);
    lab_brain_free(&b);
    CHECK(lab_brain_save("имя", "{}", "", false, err) == 0 && has("имя"));
    CHECK(lab_brain_rename("mine-1.0_x", "имя", err) == Q_RANGE && has("mine-1.0_x"));
    CHECK(lab_brain_rename("mine-1.0_x", "other", err) == 0 && has("other") && !has("mine-1.0_x"));
    CHECK(lab_brain_taken("other") && !lab_brain_taken("mine-1.0_x") && !lab_brain_taken("../other"));
    CHECK(lab_brain_delete("other", err) == 0 && !has("other"));
    CHECK(lab_brain_delete("other", err) == Q_NOTFOUND && lab_brain_rename("other", "x", err) == Q_NOTFOUND);
    CHECK(lab_brain_delete("имя", err) == 0);
}

static void names_are_no_paths(void)
{
    static const char *const bad[] = { "", ".", "..", "../x", "a/b", "/etc/passwd", ".hidden", "-x", "a b", "a\nb", "a\x1b[0m", "\xff", ("a\xe2\x80\xae" "b"),
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a%n", "a\"b" };
    lab_brain b;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_MSG(lab_brain_save(bad[i], "{}", "", true, err) == Q_RANGE && strstr(err, "letters, digits"), "saved as \"%s\"", bad[i]);
        CHECK_MSG(lab_brain_read(bad[i], &b, err) == Q_RANGE, "read \"%s\"", bad[i]);
        CHECK(lab_brain_delete(bad[i], err) == Q_RANGE && lab_brain_rename("x", bad[i], err) < 0);
    }
    static const char *const ours[] = { "standard", "fast", "deep", "agi", "solo" };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        CHECK(lab_brain_save(ours[i], "{}", "", true, err) == Q_RANGE && strstr(err, "another name"));
        CHECK(lab_brain_delete(ours[i], err) == Q_RANGE);
        CHECK(lab_brain_read(ours[i], &b, err) == 0 && b.shipped && *b.note);
        lab_brain_free(&b);
    }
}

static void bad_files_are_refused_and_listed(void)
{
    static const char *const bad[] = { "", "{", "[]", "null", "{\"quorum_brain\":1}", "{\"set\":{}}", "{\"quorum_brain\":2,\"set\":{}}", "{\"quorum_brain\":\"1\",\"set\":{}}",
        "{\"quorum_brain\":1,\"set\":[]}", "{\"quorum_brain\":1,\"set\":{\"experts.k\":[1]}}", "{\"quorum_brain\":1,\"set\":{\"experts.k\":null}}",
        "{\"quorum_brain\":1,\"set\":{\"a\\nb\":\"1\"}}", "{\"quorum_brain\":1,\"set\":{\"a\":\"1\\n2\"}}", "\xff\xfe{}",
        "{\"quorum_brain\":1,\"set\":{}}x", "{\"quorum_brain\":1,\"set\":{}}{\"quorum_brain\":1,\"set\":{}}" };
    lab_brain b;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put_file("bad.json", bad[i], strlen(bad[i]));
        CHECK_MSG(lab_brain_read("bad", &b, err) == Q_FORMAT && strstr(err, "bad.json"), "%s was read", bad[i]);
        lab_brain *all;
        int n, said = 0;
        CHECK(lab_brain_list(&all, &n, err) == 0);
        for (int k = 0; k < n; k++)
            said += all[k].problem != NULL;
        CHECK_INT(said, 1);
        lab_brains_free(all, n);
    }
    static const char good[] = "{\"quorum_brain\":1,\"later\":{},\"set\":{\"experts.k\":3,\"think\":true,\"rope.theta\":5e5}}";
    put_file("bad.json", good, sizeof good - 1);
    CHECK(lab_brain_read("bad", &b, err) == 0 && b.n == 3);
    CHECK_STR(b.value[0], "3");
    CHECK_STR(b.value[1], "on");
    CHECK_STR(b.value[2], "500000");
    lab_brain_free(&b);
    CHECK(lab_brain_delete("bad", err) == 0);
}

/* Links that lead nowhere or round, a pipe, a folder: each is said of in the list, none ends or holds up the program. */
static void what_is_no_file_is_listed(void)
{
    static const struct { const char *name, *says; } odd[] = { { "nowhere", "No such file" }, { "round", "symbolic links" }, { "pipe", "pipe" }, { "folder", "directory" } };
    char *in = q_printf("%s/quorum/brains", home), *path[4];
    for (int i = 0; i < 4; i++)
        path[i] = q_printf("%s/%s.json", in, odd[i].name);
    CHECK(symlink("/nonexistent/file", path[0]) == 0 && symlink("round.json", path[1]) == 0 && mkfifo(path[2], 0600) == 0 && mkdir(path[3], 0700) == 0);
    lab_brain *all, b;
    int n, said = 0;
    CHECK(lab_brain_list(&all, &n, err) == 0);
    for (int k = 0; k < n; k++)
        for (int i = 0; i < 4; i++)
            if (strcmp(all[k].name, odd[i].name) == 0)
                said += all[k].problem && strstr(all[k].problem, odd[i].says);
    CHECK_INT(said, 4);
    lab_brains_free(all, n);
    CHECK(lab_brain_read("nonesuch", &b, err) == Q_NOTFOUND && strstr(err, "nowhere"));
    CHECK(lab_brain_read("nowhere", &b, err) == Q_NOTFOUND && lab_brain_read("round", &b, err) == Q_NOTFOUND);
    CHECK(lab_brain_read("pipe", &b, err) == Q_IO && strstr(err, "pipe"));
    CHECK(lab_brain_read("folder", &b, err) == Q_IO);
    for (int i = 0; i < 4; i++) {
        remove(path[i]);
        free(path[i]);
    }
    free(in);
}

/* Every shipped one on every kind of model: never an error, and what does nothing here is said. */
static void shipped_ones_load_everywhere(void)
{
    static const char *const models[] = { "qwen3moe", "glm4moe" }, *const ours[] = { "standard", "fast", "deep", "agi", "solo" };
    for (size_t i = 0; i < 2; i++) {
        char *path = util_model(models[i]);
        eng_model *m = NULL;
        CHECK(eng_model_open(path, NULL, &m, err) == 0);
        remove(path);
        free(path);
        if (!m)
            continue;
        eng_config *first = eng_config_new(m);
        int own = eng_config_k(first), want[] = { own, (own + 1) / 2, own * 2, own * 2, 1 };
        eng_config_free(first);
        for (size_t k = 0; k < 5; k++) {
            eng_config *c = eng_config_new(m);
            q_buf said = { 0 }, v = { 0 };
            int rc = lab_spec(c, ours[k], &said, err);
            CHECK_MSG(rc == 0 && said.len == 0, "%s on %s: %s%s", ours[k], models[i], rc ? err : "", said.p ? said.p : "");
            CHECK_INT(eng_config_k(c), want[k]);
            CHECK(strcmp(eng_config_get(c, "rope.scaling", &v), strcmp(ours[k], "agi") ? "none" : "yarn") == 0);
            q_buf_free(&said);
            q_buf_free(&v);
            eng_config_free(c);
        }
        eng_config *c = eng_config_new(m);
        q_buf said = { 0 };
        CHECK(lab_brain_save("far", "{\"experts.k\":\"99\",\"nonesuch\":\"1\",\"norm.eps\":\"0.01\"}", "another", true, err) == 0);
        CHECK(lab_spec(c, "far", &said, err) == 0 && strstr(said.p, "1 to 12") && strstr(said.p, "nonesuch") && !eng_config_is_default(c, "norm.eps"));
        CHECK(lab_brain_delete("far", err) == 0);
        q_buf_free(&said);
        eng_config_free(c);
        eng_model_free(m);
    }
}

int main(void)
{
    setlocale(LC_CTYPE, "C.UTF-8");
    if (!mkdtemp(home))
        return 1;
    setenv("XDG_CONFIG_HOME", home, 1);
    RUN(saved_ones_come_back);
    RUN(names_are_no_paths);
    RUN(bad_files_are_refused_and_listed);
    RUN(what_is_no_file_is_listed);
    RUN(shipped_ones_load_everywhere);
    char *in = q_printf("%s/quorum/brains", home), *up = q_printf("%s/quorum", home);
    rmdir(in);
    rmdir(up);
    CHECK(rmdir(home) == 0);
    free(in);
    free(up);
    return TEST_END();
}
