/* advice/examples_file: files of examples: read one at a time, turned into another form. See examples.h. */
#include "advice/examples_file.h"
#include "base/place.h"
#include "base/say.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXAMPLE_MOST = 256 << 20, LOOK = 64 /* examples between two looks whether to go on; a form is known after as many */, DEEP = 256 };

/* ---- reading ---- */
struct adv_reader {
    FILE *f;
    char *path;
    enum adv_form want;
    bool array, begun, ended;           /* one JSON array, not lines */
    int64_t line, at;                   /* where it is; where the last example began */
    q_buf b;
};

int adv_reader_open(const char *path, enum adv_form want, adv_reader **out, char *err)
{
    *out = NULL;
    FILE *f = fopen(path, "re");
    struct stat st;
    if (!f) return q_fail(err, Q_IO, "%s: %s", path, strerror(errno));
    if (fstat(fileno(f), &st) == 0 && S_ISDIR(st.st_mode)) {
        fclose(f);
        return q_fail(err, Q_IO, _("%s is a folder: give the files in it"), path);
    }
    *out = q_alloc(sizeof **out);
    **out = (adv_reader){ .f = f, .path = q_strdup(path), .want = want, .line = 1 };
    return Q_OK;
}

void adv_reader_close(adv_reader *r)
{
    if (!r) return;
    fclose(r->f);
    free(r->path);
    q_buf_free(&r->b);
    free(r);
}

int64_t adv_reader_line(const adv_reader *r) { return r->at; }

static int next_char(adv_reader *r)
{
    int c = getc_unlocked(r->f);
    r->line += c == '\n';
    return c;
}

static void back(adv_reader *r, int c)
{
    if (c == EOF) return;
    ungetc(c, r->f);
    r->line -= c == '\n';
}

static int skip_blank(adv_reader *r, bool commas)
{
    int c;
    do c = next_char(r);
    while (c == ' ' || c == '\t' || c == '\r' || c == '\n' || (commas && c == ','));
    return c;
}

static void begin(adv_reader *r)
{
    int c = next_char(r);
    r->begun = true;
    if (c == 0xEF) {                    /* a byte order mark; else no JSON begins so, and the line will say it */
        for (int i = 0; i < 2; i++) next_char(r);
    } else back(r, c);
    c = skip_blank(r, false);
    r->array = c == '[';
    if (!r->array) back(r, c);
}

/* A bracket closes the last one of its kind, and with it those that are open within: what is broken so costs itself alone. */
static int closed(const char *open, int depth, int c)
{
    int i = depth - 1;
    while (i >= 0 && open[i] != (c == '}' ? '{' : '[')) i--;
    return i >= 0 ? i : depth;
}

/* The next element of an array to its end. A line's end within a string is in no JSON: such an element goes to the next brace, whatever stands between. */
static void take_element(adv_reader *r)
{
    char open[DEEP];
    int c = skip_blank(r, true), depth = 0;
    bool string = false, escaped = false, torn = false;
    q_buf_clear(&r->b);
    r->at = r->line;
    if (c == EOF || c == ']') {
        r->ended = true;
        return;
    }
    for (; c != EOF && r->b.len <= EXAMPLE_MOST; c = next_char(r)) {
        if (!string && depth == 0 && r->b.len && (c == ',' || c == ']')) {
            back(r, c);
            return;
        }
        q_buf_putc(&r->b, (char)c);
        if (string) {
            torn |= c == '\n';
            string = !torn && (escaped || c != '"');
            escaped = string && !escaped && c == '\\';
        } else if (torn) depth = c != '}';
        else if (c == '"') string = true;
        else if ((c == '{' || c == '[') && depth < DEEP) open[depth++] = (char)c;
        else if (c == '}' || c == ']') depth = closed(open, depth, c);
        if (!string && depth == 0 && c == '}') return;
    }
}

static void take_line(adv_reader *r)
{
    int c = skip_blank(r, false);
    q_buf_clear(&r->b);
    r->at = r->line;
    r->ended = c == EOF;
    for (; c != EOF && c != '\n' && r->b.len <= EXAMPLE_MOST; c = next_char(r)) q_buf_putc(&r->b, (char)c);
}

int adv_reader_next(adv_reader *r, adv_example *out, enum adv_form *was, char *err)
{
    char why[Q_ERRLEN];
    *out = (adv_example){0};
    if (!r->begun) begin(r);
    if (r->ended) return 0;
    if (r->array) take_element(r);
    else take_line(r);
    if (ferror(r->f)) {
        r->ended = true;
        return q_fail(err, Q_IO, "%s: %s", r->path, strerror(errno));
    }
    if (r->ended) return 0;
    if (r->b.len > EXAMPLE_MOST) {
        r->ended = true;
        return q_fail(err, Q_IO, _("%s:%lld: an example is longer than 256 MiB: the file is read up to there"), r->path, (long long)r->at);
    }
    int rc = adv_example_read(r->b.p, r->b.len, r->want, out, was, why);
    return rc == Q_OK ? 1 : q_fail(err, rc, "%s:%lld: %s", r->path, (long long)r->at, why);
}

int adv_form_of(const char *path, enum adv_form *out, char *err)
{
    adv_reader *r;
    int rc = adv_reader_open(path, ADV_AS_FOUND, &r, err), got = 0;
    if (rc != Q_OK) return rc;
    char why[Q_ERRLEN] = "";
    for (int i = 0; i < LOOK && got != 1; i++) {
        adv_example e;
        got = adv_reader_next(r, &e, out, why);
        adv_example_free(&e);
        if (got == 0 || got == Q_IO) break;
    }
    if (got != 1) rc = *why ? q_fail(err, Q_FORMAT, _("no example could be read; the last reason: %s"), why) : q_fail(err, Q_FORMAT, _("%s holds no example"), path);
    adv_reader_close(r);
    return rc;
}

/* ---- writing ---- */
int lines_begin(lines_out *o, const char *path, bool force, char *err)
{
    *o = (lines_out){0};
    if (q_no_folder(path, "train.jsonl", err) != Q_OK || q_no_device(path, err) != Q_OK) return Q_RANGE;
    if (!force && q_taken(path)) return q_fail(err, Q_RANGE, _("%s is there already: give another name, or --force writes over it"), path);
    o->path = q_strdup(path);
    o->part = q_printf("%s.%ld.part", path, (long)getpid());
    unlink(o->part);
    int fd = open(o->part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    o->f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (o->f) return Q_OK;
    int rc = q_fail(err, Q_IO, "%s: %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    free(o->path);
    free(o->part);
    return rc;
}

int lines_put(lines_out *o, const q_buf *line, char *err)
{
    if (fwrite(line->p, 1, line->len, o->f) == line->len && fwrite("\n", 1, 1, o->f) == 1) return Q_OK;
    return q_fail(err, Q_IO, _("%s could not be written: %s"), o->path, strerror(errno));
}

int lines_end(lines_out *o, bool keep, bool force, char *err)
{
    int rc = Q_OK;
    if (keep && (fflush(o->f) != 0 || fsync(fileno(o->f)) != 0)) rc = q_fail(err, Q_IO, _("%s could not be written: %s"), o->path, strerror(errno));
    fclose(o->f);
    if (keep && rc == Q_OK && (force ? rename(o->part, o->path) : q_move_new(o->part, o->path)) != 0) rc = q_fail(err, errno == EEXIST ? Q_RANGE : Q_IO, "%s: %s", o->path, strerror(errno));
    if (!keep || rc != Q_OK) unlink(o->part);
    free(o->path);
    free(o->part);
    *o = (lines_out){0};
    return rc;
}

/* ---- what came of it ---- */
void adv_tally_broken(adv_tally *t, const char *why)
{
    if (t->n_why < ADV_BROKEN_KEPT) t->why[t->n_why++] = q_strdup(why);
}

void adv_tally_free(adv_tally *t)
{
    for (int i = 0; i < t->n_why; i++) free(t->why[i]);
    *t = (adv_tally){0};
}

void adv_tally_say(const adv_tally *t, q_buf *b)
{
    q_buf_say(b, ngettext("%lld example was read", "%lld examples were read", (unsigned long)t->read), (long long)t->read);
    for (int i = 0, n = 0; i < ADV_FORMS; i++)
        if (t->of[i]) q_buf_say(b, "%s%s: %lld", n++ ? ", " : " (", adv_form_name((enum adv_form)i), (long long)t->of[i]);
    q_buf_puts(b, t->read ? "), " : ", ");
    q_buf_say(b, ngettext("%lld was written\n", "%lld were written\n", (unsigned long)t->written), (long long)t->written);
    if (t->broken) q_buf_say(b, ngettext("%lld example is broken and was left out\n", "%lld examples are broken and were left out\n", (unsigned long)t->broken), (long long)t->broken);
    if (t->unfit) q_buf_say(b, ngettext("%lld example has nothing of this form and was left out\n", "%lld examples have nothing of this form and were left out\n", (unsigned long)t->unfit), (long long)t->unfit);
    for (int i = 0; i < t->n_why; i++) q_buf_say(b, "  %s\n", t->why[i]);
    if (t->broken + t->unfit > t->n_why) q_buf_say(b, _("  and %lld more\n"), (long long)(t->broken + t->unfit - t->n_why));
    for (int i = 0; i < ADV_LOSSES; i++)
        if (t->lost[i]) q_buf_say(b, ngettext("in %lld example: %s\n", "in %lld examples: %s\n", (unsigned long)t->lost[i]), (long long)t->lost[i], adv_loss_words((enum adv_loss)i));
}

/* One file's examples behind those that are written already. */
static int convert(const char *path, const adv_convert *c, lines_out *o, adv_tally *t, char *err)
{
    adv_reader *r;
    q_buf line = {0};
    int rc = adv_reader_open(path, c->from, &r, err);
    for (int64_t i = 1; rc == Q_OK; i++) {
        adv_example e;
        enum adv_form was;
        unsigned lost = 0;
        char why[Q_ERRLEN];
        int got = adv_reader_next(r, &e, &was, err);
        if (got == 0) break;
        if (got == Q_FORMAT) t->broken++, adv_tally_broken(t, err);
        else if (got < 0) rc = got;
        else {
            t->read++;
            t->of[was]++;
            int fit = adv_example_write(&e, c->to, !c->drop_thinking, &line, &lost, why);
            if (fit == Q_OK) rc = lines_put(o, &line, err);
            else if (fit != Q_RANGE) rc = q_fail(err, fit, "%s:%lld: %s", path, (long long)adv_reader_line(r), why);
            else {
                char *sentence = q_printf("%s:%lld: %s", path, (long long)adv_reader_line(r), why);
                t->unfit++;
                adv_tally_broken(t, sentence);
                free(sentence);
            }
            t->written += fit == Q_OK;
            for (int k = 0; k < ADV_LOSSES && fit == Q_OK; k++) t->lost[k] += (lost >> k) & 1;
        }
        adv_example_free(&e);
        if (rc == Q_OK && i % LOOK == 0 && c->go && !c->go(c->user)) rc = q_fail(err, Q_CANCEL, _("stopped: nothing was written"));
    }
    if (r) adv_reader_close(r);
    q_buf_free(&line);
    return rc;
}

int adv_convert_files(const char *const *path, int n, const char *out, const adv_convert *c, adv_tally *t, char *err)
{
    char why[Q_ERRLEN];
    lines_out o;
    *t = (adv_tally){0};
    int rc = lines_begin(&o, out, c->force, err);
    if (rc != Q_OK) return rc;
    for (int i = 0; i < n && rc == Q_OK; i++) rc = convert(path[i], c, &o, t, err);
    if (rc == Q_OK && !t->written) rc = q_fail(err, Q_FORMAT, _("nothing was written: %s"), t->n_why ? t->why[0] : _("the files hold no example"));
    int end = lines_end(&o, rc == Q_OK, c->force, rc == Q_OK ? err : why);
    return rc == Q_OK ? end : rc;
}
