/* cli/template: `quorum template`: a conversation as a model's chat template writes it, control tokens by their names. A file with
 * a vocabulary and no tensors is enough, or the template alone. Owns its options; it never runs a model. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "engine/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

const cli_command cli_template = { "template", N_(
    "quorum template (-m F | --template FILE [--bos T] [--eos T]) [--messages FILE] [--tools FILE] [--thinking on|off] [--no-reply] [--date YYYY-MM-DD]\n"
    "    a conversation as the chat template of a model, or one in a file, writes it; nothing is evaluated;\n"
    "    --messages, --tools: JSON as OpenAI's protocol has it (a list of messages; a list of functions); without messages\n"
    "    one question is taken; --bos, --eos: the tokens that the template is given; --no-reply: an answer is not opened;\n"
    "    --date: what the template is told of today"), cmd_template };

enum { FILE_MOST = 64 << 20 };
typedef struct options { const char *model, *template, *bos, *eos, *messages, *tools, *thinking, *date; bool no_reply; } options;

static char *read_options(int argc, char **argv, options *o)
{
    const struct { const char *name; const char **to; } rows[] = { { "-m", &o->model }, { "--template", &o->template }, { "--bos", &o->bos }, { "--eos", &o->eos },
        { "--messages", &o->messages }, { "--tools", &o->tools }, { "--thinking", &o->thinking }, { "--date", &o->date } };
    for (int i = 1; i < argc; i++) {
        bool known = strcmp(argv[i], "--no-reply") == 0;
        o->no_reply |= known;
        for (size_t k = 0; k < sizeof rows / sizeof *rows && !known; k++) {
            const char *v = cli_opt(argc, argv, &i, rows[k].name);
            if (v) *rows[k].to = v;
            else if (strcmp(argv[i], rows[k].name) == 0) return q_printf(_("%s wants a value behind it"), rows[k].name);
            known = v != NULL;
        }
        if (!known) return q_printf(_("unknown option %s"), argv[i]);
    }
    if (o->model && o->template) return q_printf(_("-m has a template of its own: give it or --template"));
    if ((o->bos || o->eos) && !o->template) return q_printf(_("--bos and --eos belong to --template: a model names its own tokens"));
    if (o->thinking && strcmp(o->thinking, "on") != 0 && strcmp(o->thinking, "off") != 0) return q_printf(_("--thinking is on or off"));
    return NULL;
}

/* Noon of that day, so that no time zone changes it. */
static int date(const char *s, int64_t *out, char *err)
{
    struct tm tm = { .tm_hour = 12, .tm_isdst = -1 };
    int n = 0;
    if (sscanf(s, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &n) != 3 || s[n]) return q_fail(err, Q_RANGE, _("\"%s\" is no day; write it as 2026-11-27"), s);
    struct tm same = { .tm_year = tm.tm_year - 1900, .tm_mon = tm.tm_mon - 1, .tm_mday = tm.tm_mday, .tm_hour = 12, .tm_isdst = -1 }, asked = same;
    time_t t = mktime(&same);
    if (t == (time_t)-1 || same.tm_mday != asked.tm_mday || same.tm_mon != asked.tm_mon) return q_fail(err, Q_RANGE, _("\"%s\" is no day; write it as 2026-11-27"), s);
    *out = (int64_t)t * 1000;
    return Q_OK;
}

static int open_model(const options *o, eng_model **m, eng_render *r, char *err)
{
    char *path = NULL;
    eng_open_opts open = { .vocab_only = true };
    int rc = cli_model_path(o->model, &path, err);
    if (rc == Q_OK) rc = eng_model_open(path, &open, m, err);
    free(path);
    if (rc < 0) return rc;
    r->text = eng_template_text(*m, &r->n);
    r->bos = eng_template_token(*m, false);
    r->eos = eng_template_token(*m, true);
    return r->text ? Q_OK : q_fail(err, Q_NOTFOUND, _("this model's file has no chat template; --template takes one from a file"));
}

int cmd_template(int argc, char **argv)
{
    static const char question[] = "[{\"role\":\"user\",\"content\":\"Hello\"}]";
    options o = { 0 };
    char *problem = read_options(argc, argv, &o), err[Q_ERRLEN];
    if (problem) return cli_usage_take(&cli_template, problem);
    eng_model *m = NULL;
    q_buf text = { 0 }, messages = { 0 }, tools = { 0 }, out = { 0 };
    eng_render r = { .bos = o.bos, .eos = o.eos, .think = !o.thinking ? -1 : strcmp(o.thinking, "on") == 0, .reply = !o.no_reply, .now = q_wall_ms(),
                     .messages = question, .n_messages = sizeof question - 1 };
    int rc = o.date ? date(o.date, &r.now, err) : Q_OK;
    if (rc == Q_OK && !o.template) rc = open_model(&o, &m, &r, err);
    else if (rc == Q_OK && (rc = q_read_input(o.template, &text, FILE_MOST, err)) == Q_OK) {
        r.text = text.p ? text.p : "";
        r.n = text.len;
    }
    if (rc == Q_OK && o.messages && (rc = q_read_input(o.messages, &messages, FILE_MOST, err)) == Q_OK) {
        r.messages = messages.p ? messages.p : "";
        r.n_messages = messages.len;
    }
    if (rc == Q_OK && o.tools && (rc = q_read_input(o.tools, &tools, FILE_MOST, err)) == Q_OK) {
        r.tools = tools.p ? tools.p : "";
        r.n_tools = tools.len;
    }
    if (rc == Q_OK) rc = eng_template_render(&r, &out, err);
    if (rc == Q_OK) q_say_data(stdout, out.p ? out.p : "", out.len);      /* main says when that fails */
    int status = rc == Q_OK ? 0 : cli_fail(err);
    eng_model_free(m);
    q_buf_free(&text);
    q_buf_free(&messages);
    q_buf_free(&tools);
    q_buf_free(&out);
    return status;
}
