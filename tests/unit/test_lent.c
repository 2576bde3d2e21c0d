/* tests: tools that other programs lend: names, what is cut of their words, schemas that a stranger wrote, rules, results. Nothing is started. */
#include "tools/inside.h"
#include "tests/test.h"

#include <sys/stat.h>
#include <unistd.h>

static char home[] = "/tmp/quorum-lent-XXXXXX", err[Q_ERRLEN];
static tool_place *place;
#define ANY "{\"type\":\"object\"}"

/* ---- names ---- */
static void names_hold_in_every_format(void)
{
    static const struct { const char *server, *tool, *name; } row[] = {         /* name NULL: one with an end of its own */
        { "time", "now", "time__now" }, { "time", "get-now_2", "time__get-now_2" }, { "a_b", "c__d", "a_b__c__d" }, { "a", "b.c/d", NULL }, { "a", "b c", NULL },
        { "a", "\xd0\xb2\xd1\x80\xd0\xb5\xd0\xbc\xd1\x8f", NULL }, { "a", "x\x1b[31m", NULL }, { "a__b", "c", NULL }, { "_a", "c", NULL }, { "a_", "c", NULL }, { "a", "", NULL },
        { "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL },
        { "ssssssssssssssssssssssssssssssss", "t", NULL }, { "<|im_end|>", "<tool_call>", NULL } };
    tool_lent *l = tool_lent_new();
    int n, rows = sizeof row / sizeof *row;
    for (int i = 0; i < rows; i++)
        CHECK_MSG(tool_lent_add(l, row[i].server, row[i].tool, "", ANY, false, err) == Q_OK, "%s: %s", row[i].tool, err);
    const tool_row *r = tool_lent_rows(l, &n);
    CHECK_INT(n, rows);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(r[i].name), good = strspn(r[i].name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
        CHECK_MSG(good == len && len <= TOOL_NAME_MAX && len > 3, "%s", r[i].name);
        if (row[i].name)
            CHECK_STR(r[i].name, row[i].name);
        char *prefix = tool_lent_prefix(row[i].server);
        CHECK_MSG(strncmp(r[i].name, prefix, strlen(prefix)) == 0 && strstr(prefix, "__") == prefix + strlen(prefix) - 2, "%s of %s", r[i].name, prefix);
        free(prefix);
        CHECK_STR(r[i].server, row[i].server);
        CHECK_STR(r[i].tool, row[i].tool);
        CHECK(r[i].class == TOOL_MCP && !tool_find(r[i].name));
        for (int k = 0; k < i; k++)
            CHECK(strcmp(r[k].name, r[i].name) != 0);
    }
    tool_lent_free(l);
}

/* A name does not hang on who else is there, or in which order: a rule of today means the same tool tomorrow. */
static void a_name_is_its_own(void)
{
    static const char *const tool[] = { "a.b", "a_b", "a b", "a/b" };
    char *names[2][4];
    int n;
    for (int turn = 0; turn < 2; turn++) {
        tool_lent *l = tool_lent_new();
        for (int i = 0; i < 4; i++)
            CHECK_INT(tool_lent_add(l, "s", tool[turn ? 3 - i : i], "", ANY, false, err), Q_OK);
        const tool_row *r = tool_lent_rows(l, &n);
        for (int i = 0; i < 4; i++)
            names[turn][i] = q_strdup(r[turn ? 3 - i : i].name);
        tool_lent_free(l);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_STR(names[0][i], names[1][i]);
        free(names[0][i]);
        free(names[1][i]);
    }
}

static void what_cannot_be_lent_is_left_out(void)
{
    static const struct { const char *schema, *why; } row[] = { { "", "none of an object" }, { "null", "none of an object" }, { "[]", "none of an object" }, { "{\"type\":\"string\"}", "none of an object" },
        { "{\"type\":[\"object\"]}", "none of an object" }, { "{}", "none of an object" }, { "{\"type\":\"object\"", "none of an object" }, { "{\"type\":\"object\"} x", "none of an object" } };
    tool_lent *l = tool_lent_new();
    int n;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        CHECK_INT(tool_lent_add(l, "s", "t", "", row[i].schema, false, err), Q_FORMAT);
        CHECK_MSG(strstr(err, row[i].why), "%s: %s", row[i].schema, err);
    }
    q_buf big = { 0 };
    q_buf_puts(&big, "{\"type\":\"object\",\"x\":\"");
    for (int i = 0; i < TOOL_SCHEMA_MAX; i++)
        q_buf_putc(&big, 'x');
    q_buf_puts(&big, "\"}");
    CHECK_INT(tool_lent_add(l, "s", "t", "", big.p, false, err), Q_RANGE);
    q_buf_clear(&big);
    q_buf_puts(&big, "{\"type\":\"object\",\"x\":");
    for (int i = 0; i < 1000; i++)
        q_buf_putc(&big, '[');
    CHECK_INT(tool_lent_add(l, "s", "t", "", big.p, false, err), Q_FORMAT);
    q_buf_free(&big);
    CHECK_INT(tool_lent_add(l, "s", "t", "", ANY, false, err), Q_OK);
    CHECK(tool_lent_add(l, "s", "t", "", ANY, false, err) == Q_RANGE && strstr(err, "same name"));
    for (int i = 1; i < TOOL_LENT_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "t%d", i);
        CHECK_INT(tool_lent_add(l, "s", name, "", ANY, false, err), Q_OK);
    }
    CHECK(tool_lent_add(l, "s", "more", "", ANY, false, err) == Q_RANGE && strstr(err, "256"));
    tool_lent_rows(l, &n);
    CHECK_INT(n, TOOL_LENT_MAX);
    tool_lent_free(l);
}

static void words_of_strangers_are_cut_and_marked(void)
{
    tool_lent *l = tool_lent_new();
    q_buf long_ = { 0 }, schema = { 0 };
    int n;
    q_buf_puts(&long_, "first\nsecond \x1b[31mred\xe2\x80\xae ");
    while (long_.len < 5000)
        q_buf_puts(&long_, "\xd1\x8f");
    q_buf_puts(&schema, "{\"type\":\"object\",\"properties\":{\"description\":{\"type\":\"string\",\"description\":\"\\u001b[2J");
    while (schema.len < 5000)
        q_buf_puts(&schema, "more ");
    q_buf_puts(&schema, "\",\"enum\":[\"\\u001b\"]}}}");
    CHECK_INT(tool_lent_add(l, "s", "t", long_.p, schema.p, true, err), Q_OK);
    const tool_row *r = tool_lent_rows(l, &n);
    CHECK(strncmp(r->help, "[server s says:] first", 22) == 0 && strlen(r->help) < TOOL_HELP_MAX + 64 && q_utf8_valid(r->help, strlen(r->help)));
    CHECK(!strchr(r->help, '\n') && !strchr(r->help, '\x1b') && !strstr(r->help, "\xe2\x80\xae"));
    cJSON *j = cJSON_Parse(r->schema), *p = cJSON_GetObjectItem(cJSON_GetObjectItem(j, "properties"), "description");
    CHECK(strlen(r->schema) < 1024 && p && strlen(argument_text(p, "description")) < 600 && !strchr(argument_text(p, "description"), '\x1b'));
    CHECK_STR(cJSON_GetStringValue(cJSON_GetArrayItem(cJSON_GetObjectItem(p, "enum"), 0)), "\x1b");        /* what is compared stays */
    CHECK(r->reads && r->class == TOOL_MCP);
    cJSON_Delete(j);
    q_buf_free(&long_);
    q_buf_free(&schema);
    tool_lent_free(l);
}

/* ---- arguments ---- */
static void strangers_schemas_are_held_as_far_as_they_are_known(void)
{
    static const struct { const char *schema, *arguments, *says; } row[] = {    /* says: the error, "+" nothing, "+words" what was not looked at */
        { ANY, "{}", "+" }, { ANY, "{\"x\":1}", "+" }, { ANY, "[]", "one JSON object" },
        { "{\"type\":\"object\",\"additionalProperties\":false}", "{\"x\":1}", "no argument x" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"]}", "{}", "x is missing" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"]}", "{\"x\":\"1\"}", "x must be a whole number, not a string" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":[\"string\",\"null\"]}}}", "{\"x\":null}", "+" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":[\"string\",\"null\"]}}}", "{\"x\":1}", "x must be a string" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"null\"}}}", "{\"x\":1}", "x must be null" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"date\"}}}", "{\"x\":1}", "+type" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":5}}}", "{\"x\":1}", "+type" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"$ref\":\"#/$defs/y\"}},\"$defs\":{\"y\":{}}}", "{\"x\":1}", "+$ref" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"anyOf\":[{\"type\":\"string\"}],\"pattern\":\"a\"}}}", "{\"x\":1}", "+anyOf, pattern" },
        { "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"string\"}}", "{\"x\":1}", "x must be a string" },
        { "{\"type\":\"object\",\"additionalProperties\":false,\"patternProperties\":{\"^x\":{}}}", "{\"x\":1}", "+patternProperties" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"maxLength\":2}}}", "{\"x\":\"\xd1\x8f\xd1\x8f\"}", "+" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"maxLength\":2}}}", "{\"x\":\"abc\"}", "at most 2 letters" },
        { "{\"type\":\"object\",\"properties\":{\"x\":{\"enum\":[1,\"b\"]}}}", "{\"x\":2}", "x must be one of" },
        { "{\"type\":\"object\",\"properties\":{\"x\":true,\"y\":false}}", "{\"x\":2,\"y\":1}", "+a schema that is no object" },
        { "{\"type\":\"object\",\"properties\":5,\"required\":[5,{}],\"enum\":7,\"items\":1}", "{\"x\":[2]}", "" },
        { "{\"type\":\"object\",\"properties\":{\"a\\u001b[31m\":{\"type\":\"string\"}}}", "{\"a\\u001b[31m\":1}", "must be a string" },
        { "{\"type\":\"object\",\"\\u001b[31m\":1}", "{}", "+ [31m" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"items\":{\"type\":\"string\"}}}}}}}}}}", "{\"a\":[[[[[[[1]]]]]]]}", "+what is nested deeper" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        cJSON *schema = cJSON_Parse(row[i].schema), *v = cJSON_Parse(row[i].arguments);
        q_buf told = { 0 };
        int rc = check_lent(schema, v, &told, err);
        const char *said = rc < 0 ? err : told.p ? told.p : "", *want = row[i].says;
        if (*want == '+')
            CHECK_MSG(rc == Q_OK && strcmp(said, want + 1) == 0, "%s with %s: %s", row[i].schema, row[i].arguments, said);
        else
            CHECK_MSG((rc == Q_FORMAT || !*want) && strstr(said, want), "%s with %s: %s", row[i].schema, row[i].arguments, said);
        CHECK(!strchr(said, '\x1b') && q_utf8_valid(said, strlen(said)));
        q_buf_free(&told);
        cJSON_Delete(schema);
        cJSON_Delete(v);
    }
}

/* ---- a call ---- */
typedef struct lender { int calls; const char *say; int rc; bool failed; char who[64]; } lender;

static int lent(void *user, const tool_plan *p, tool_result *out, char *e)
{
    lender *l = user;
    l->calls++;
    snprintf(l->who, sizeof l->who, "%s/%s", p->row->server, p->row->tool);
    q_buf_puts(&out->text, l->say);
    out->failed = l->failed;
    return l->rc < 0 ? q_fail(e, l->rc, "the server is gone") : Q_OK;
}

static int never(void *user, enum tool_act act, const cJSON *args, q_buf *out, char *e) { return q_fail(e, Q_ERR, "it was taken for another"); }

static void a_lent_tool_is_called_by_who_lent_it(void)
{
    tool_lent *l = tool_lent_new();
    tool_plan p;
    tool_result r;
    lender who = { .say = "it is\x1b[2J noon" };
    tool_host host = { .user = &who, .lent = lent, .act = never };
    CHECK_INT(tool_lent_add(l, "time", "now", "tells the time", "{\"type\":\"object\",\"properties\":{\"zone\":{\"type\":\"string\",\"pattern\":\"x\"}}}", false, err), Q_OK);
    tool_place_lend(place, l);
    CHECK_INT(tool_plan_make(place, "time__then", "{}", &p, err), Q_NOTFOUND);
    CHECK(strstr(err, "read_file") && strstr(err, "time__now"));
    tool_plan_free(&p);
    CHECK_INT(tool_plan_make(place, "time__now", "{\"zone\":5}", &p, err), Q_FORMAT);
    tool_plan_free(&p);
    CHECK_INT(tool_plan_make(place, "time__now", "{\"zone\":\"UTC\"}", &p, err), Q_OK);
    CHECK_STR(p.title, "time__now UTC");
    CHECK_STR(p.shown, "zone: UTC\n(not looked at here, left to the server: pattern)\n");
    CHECK(p.risk == 0 && !*p.path);
    CHECK(tool_run(place, &host, &p, &r) == Q_OK && !r.failed && who.calls == 1);
    CHECK_STR(who.who, "time/now");
    CHECK(strncmp(r.text.p, "it is", 5) == 0 && !strchr(r.text.p, '\x1b'));
    tool_result_free(&r);
    who = (lender){ .say = "no such zone", .failed = true };
    CHECK(tool_run(place, &host, &p, &r) == Q_OK && r.failed);
    CHECK_STR(r.text.p, "no such zone");
    tool_result_free(&r);
    who = (lender){ .say = "half", .rc = Q_IO };
    CHECK(tool_run(place, &host, &p, &r) == Q_OK && r.failed);
    CHECK_STR(r.text.p, "the server is gone");
    tool_result_free(&r);
    CHECK(tool_run(place, &(tool_host){ .act = never }, &p, &r) == Q_OK && r.failed);
    CHECK_STR(r.text.p, "time__now cannot be done here");
    tool_result_free(&r);
    who = (lender){ .say = "", .rc = Q_CANCEL };
    CHECK_INT(tool_run(place, &host, &p, &r), Q_CANCEL);
    tool_result_free(&r);
    tool_plan_free(&p);
    tool_place_lend(place, NULL);
    CHECK_INT(tool_plan_make(place, "time__now", "{}", &p, err), Q_NOTFOUND);
    tool_plan_free(&p);
    tool_lent_free(l);
}

static void rules_know_servers(void)
{
    static const struct { const char *rules; enum tool_say say; } row[] = {
        { "", TOOL_ASK }, { "read,write,run,knob,recall,remember,pure", TOOL_ASK }, { "mcp", TOOL_ALLOW }, { "time__*", TOOL_ALLOW }, { "time__now", TOOL_ALLOW }, { "time__no", TOOL_ASK },
        { "tim__*", TOOL_ASK }, { "time__n*", TOOL_ALLOW }, { "clock__*", TOOL_ASK }, { "mcp,-time__*", TOOL_DENY }, { "-mcp,time__now", TOOL_DENY }, { "all", TOOL_ALLOW } };
    static const char *const bad[] = { "time__", "__*", "*", "time*", "time__now:x", "ti me__*x", "time__*:src", "mcpp", "read*", "time__*__*" };
    tool_lent *l = tool_lent_new();
    tool_plan p;
    CHECK_INT(tool_lent_add(l, "time", "now", "", ANY, false, err), Q_OK);
    tool_place_lend(place, l);
    CHECK_INT(tool_plan_make(place, "time__now", "{}", &p, err), Q_OK);
    char *rule = tool_rule_for(&p);
    CHECK_STR(rule, "time__now");
    free(rule);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        tool_rules r = { 0 };
        const tool_rules *set[] = { &r };
        CHECK_MSG(tool_rules_add(&r, row[i].rules, err) == Q_OK, "%s", err);
        CHECK_MSG(tool_judge(&p, set, 1, NULL) == row[i].say, "under %s", row[i].rules);
        char *back = tool_rules_text(&r);
        CHECK_STR(back, row[i].rules);
        free(back);
        tool_rules_free(&r);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        tool_rules r = { 0 };
        CHECK_MSG(tool_rules_add(&r, bad[i], err) == Q_FORMAT && r.n == 0, "%s is a rule", bad[i]);
        tool_rules_free(&r);
    }
    tool_plan_free(&p);
    CHECK_INT(tool_plan_make(place, "read_file", "{\"path\":\"a__b\"}", &p, err), Q_OK);        /* a rule of a server's names nothing else */
    tool_rules r = { 0 };
    const tool_rules *set[] = { &r };
    CHECK_INT(tool_rules_add(&r, "read__*,mcp", err), Q_OK);
    CHECK_INT(tool_judge(&p, set, 1, NULL), TOOL_ASK);
    tool_rules_free(&r);
    tool_plan_free(&p);
    tool_place_lend(place, NULL);
    tool_lent_free(l);
}

int main(void)
{
    if (!mkdtemp(home) || tool_place_open(home, &place, err) < 0)
        return 1;
    setenv("HOME", home, 1);
    RUN(names_hold_in_every_format);
    RUN(a_name_is_its_own);
    RUN(what_cannot_be_lent_is_left_out);
    RUN(words_of_strangers_are_cut_and_marked);
    RUN(strangers_schemas_are_held_as_far_as_they_are_known);
    RUN(a_lent_tool_is_called_by_who_lent_it);
    RUN(rules_know_servers);
    tool_place_close(place);
    rmdir(home);
    return TEST_END();
}
