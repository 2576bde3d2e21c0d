/* advice/say: the answer in words and as JSON. See advice.h. */
#include "advice/launch.h"
#include "advice/room.h"
#include "base/say.h"

#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double gib = 1 << 30;
static const char *const place_key[] = {"gpu", "split", "ram", "disk", "nowhere"};
static const char *const place_words[] = {N_("GPU"), N_("GPU+RAM"), N_("RAM"), N_("disk"), N_("too large")};
static const char *const why_key[] = {"best", "fits", "old", "slow", "large", "elsewhere"};

static void wrap(q_buf *out, const char *text, int width)
{
    q_say_wrapped(out, text, width);
    q_buf_putc(out, '\n');
}

static void wrap_take(q_buf *out, char *text, int width)
{
    wrap(out, text, width);
    free(text);
}

static void cell(q_buf *out, const char *text, int width, bool right)
{
    int cells = q_utf8_points(text);
    for (int i = cells; right && i < width; i++) q_buf_putc(out, ' ');
    q_buf_puts(out, text);
    for (int i = cells; !right && i < width; i++) q_buf_putc(out, ' ');
}

static const char *number(char out[16], double v)
{
    snprintf(out, 16, v <= 0 ? "-" : v < 10 ? "%.1f" : "%.0f", v);
    return out;
}

static void say_machine(const adv_machine *m, int width, q_buf *out)
{
    q_buf b = {0};
    q_buf_printf(&b, m->told ? _("Machine: %s; %.1f of %.1f GiB of memory, a tenth left to the system") : _("Machine: %s; %.1f of %.1f GiB of memory free"), *m->title ? m->title : m->name, (double)m->ram_free / gib, (double)m->ram / gib);
    if (m->ram_bandwidth > 0) q_buf_printf(&b, m->measured ? _(", read at %.1f GiB/s (measured now)") : _(", read at %.1f GiB/s (not measured)"), m->ram_bandwidth / gib);
    if (*m->isa) q_buf_printf(&b, _("; %d cores, %s"), m->cores, m->isa);
    for (int i = 0; i < m->n_gpu; i++)
        q_buf_printf(&b, _("; %s with %.1f GiB, %.0f GiB/s"), m->gpu[i].name, (double)m->gpu[i].free / gib, m->gpu[i].bandwidth / gib);
    if (m->no_plugin) q_buf_puts(&b, _(" (quorum computes there once its plugin is built: make cuda)"));
    if (!m->n_gpu) q_buf_puts(&b, _("; no GPU"));
    if (*m->source) q_buf_printf(&b, _(" (%s, %s)"), m->source, m->date);
    q_buf_putc(&b, '.');
    wrap(out, b.p, width);
    q_buf_free(&b);
}

/* "vllm|sglang|llama-server", as far as there are weights for them; malloc'ed. */
static char *servers_of(const adv_choice *c)
{
    q_buf b = {0};
    int n;
    const adv_launch_server *all = adv_launch_servers(&n);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < c->known->n_elsewhere; j++)
            if (strcmp(all[i].name, c->known->elsewhere[j].server) == 0 && (!all[i].gguf || *c->variant->gguf)) q_buf_printf(&b, "%s%s", b.len ? "|" : "", all[i].name);
    return q_buf_take(&b);
}

const char *adv_place_words(enum adv_place p) { return _(place_words[p]); }

char *adv_why_words(const adv_choice *c, const adv_choice *best)
{
    char rate[16];
    number(rate, c->fit.decode);
    double needs = (double)(c->fit.weights + c->fit.kv + c->fit.state) / gib;
    switch (c->why) {
    case ADV_FITS:
        if (best && c->known->params_b > best->known->params_b)
            return q_printf(_("%s in %s: %s tokens/s; of its %.1fB a token reads %.1fB, so that it counts for %.1fB"), c->variant->name, c->type, rate, c->known->params_b, c->known->active_b,
                            adv_counts_for(c->known));
        return best && c->fit.decode > best->fit.decode ? q_printf(_("%s in %s: %s tokens/s, faster, with fewer weights (%.1fB)"), c->variant->name, c->type, rate, c->known->params_b)
                                                        : q_printf(_("%s in %s: %s tokens/s, and fewer weights (%.1fB)"), c->variant->name, c->type, rate, c->known->params_b);
    case ADV_OLD: return q_printf(_("%s in %s: %s tokens/s, but of %s: newer ones of its size answer better as a rule"), c->variant->name, c->type, rate, c->known->released);
    case ADV_SLOW: return q_printf(_("%s in %s: %s tokens/s, below %d"), c->variant->name, c->type, rate, ADV_PACE);
    case ADV_BIG:
        return c->fit.place == ADV_DISK && c->fit.decode > 0
                   ? q_printf(_("%s: even in %s it needs %.1f GiB; with --weights-ram %.1f experts are read from the disk when they are chosen, some %s tokens/s"), c->variant->name, c->type, needs, c->fit.weights_ram, rate)
               : c->fit.place == ADV_DISK
                   ? q_printf(_("%s: even in %s it needs %.1f GiB; with --weights-ram %.1f experts would be read from the disk as they are asked for"), c->variant->name, c->type, needs, c->fit.weights_ram)
                   : q_printf(_("%s: needs %.1f GiB in %s, more than there is"), c->variant->name, needs, c->type);
    case ADV_ELSEWHERE: {
        char *servers = servers_of(c), *s = q_printf(_("%s runs elsewhere: quorum does not compute its architecture (%s); quorum launch %s --model %s --machine NAME writes how a server is started that does"),
                                                             c->variant->name, c->known->arch, servers, c->variant->name);
        free(servers);
        return s;
    }
    case ADV_BEST: break;
    }
    return q_strdup(c->variant->name);
}

char *adv_best_words(const adv_ask *ask, const adv_choice *list, int n)
{
    const adv_choice *c = &list[0], *least = c;
    char rate[16];
    if (c->why == ADV_BEST)
        return q_printf(c->known->n_expert
            ? _("Take %s in %s: %.1f GiB, %s, some %s tokens/s. Of what answers at %d tokens/s or faster here it counts for most (%.1fB, %.1fB of them a token), and %d tokens of context fit.")
            : _("Take %s in %s: %.1f GiB, %s, some %s tokens/s. Of what answers at %d tokens/s or faster here it has most weights (%.1fB, %.1fB of them a token), and %d tokens of context fit."),
                        c->variant->name, c->type, (double)c->fit.weights / gib, adv_place_words(c->fit.place), number(rate, c->fit.decode), ADV_PACE, c->known->params_b,
                        c->known->active_b, c->fit.context_max);
    for (int i = 0; i < n; i++)
        if (list[i].why == ADV_ELSEWHERE) continue;
        else if (least->why == ADV_ELSEWHERE || list[i].fit.decode > least->fit.decode || (least->fit.decode <= 0 && list[i].known->params_b < least->known->params_b)) least = &list[i];
    if (least->why == ADV_ELSEWHERE) return adv_why_words(least, NULL);
    if (least->fit.place <= ADV_RAM)
        return q_printf(_("Nothing of this reaches %d tokens/s here; %s in %s comes nearest with %s. A shorter context (--context), a smaller model (--family all) or a faster machine would do."),
                        ADV_PACE, least->variant->name, least->type, number(rate, least->fit.decode));
    return q_printf(_("Nothing of this fits here: the smallest, %s, needs %.1f GiB. Free memory, ask for less context (--context), or look for a smaller one (--family all)."),
                    least->variant->name, (double)(least->fit.weights + least->fit.kv + least->fit.state) / gib);
}

char *adv_get_words(const adv_choice *c)
{
    const char *agree = c->variant->gated ? _("; asks for an agreement first") : "";
    if (*c->variant->gguf) return q_printf(_("Get it: quorum model pull hf:%s:%s (%s%s)"), c->variant->gguf, c->type, c->variant->licence, agree);
    return q_printf(_("Its weights: hf:%s (%s%s); no GGUF of it is in the list: convert it with llama.cpp's convert_hf_to_gguf.py"), c->variant->repo, c->variant->licence, agree);
}

static void say_best(const adv_ask *ask, const adv_choice *list, int n, int width, q_buf *out)
{
    const adv_choice *c = &list[0];
    wrap_take(out, adv_best_words(ask, list, n), width);
    if (c->why != ADV_BEST) return;
    wrap_take(out, adv_get_words(c), width);
    if (*c->variant->sampling) wrap_take(out, q_printf(_("Its makers' sampling: %s"), c->variant->sampling), width);
    if (*c->known->note) wrap_take(out, q_printf(_("Note: %s."), _(c->known->note)), width);
    if (c->known->partly) wrap_take(out, q_printf(_("Note: not every number of its shape was found in print (%s): sizes and speed are a guess."), c->known->source), width);
    if (ask->context > c->fit.context_max) wrap_take(out, q_printf(_("%d tokens of context are more than it takes here."), ask->context), width);
}

int adv_others(const adv_choice *list, int n, int most, int *out)
{
    int found = 0;
    for (int kind = ADV_FITS; kind <= ADV_ELSEWHERE; kind++)
        for (int i = list[0].why == ADV_BEST, said = 0; i < n && found < most && said < (kind == ADV_FITS ? 3 : 2); i++)
            if ((int)list[i].why == kind) out[found++] = i, said++;
    return found;
}

enum { SHOWN = 24 };

static const char *where(const adv_choice *c) { return c->why == ADV_ELSEWHERE ? _("other") : adv_place_words(c->fit.place); }

static void say_table(const adv_choice *list, int n, int width, q_buf *out)
{
    const bool wide = width >= 100, tight = width < 76;        /* tight: the k that most models have stands for the others */
    int place = 7, more = 0;                                     /* columns of the longest place, beyond those that every table has */
    for (int i = 0; i < n && i < SHOWN; i++)
        if (q_utf8_points(where(&list[i])) > place + more) more = q_utf8_points(where(&list[i])) - place;
    const struct { const char *head; int width; bool narrow, left; } columns[] = {
        {_("model"), wide ? 36 : tight ? 26 - more : 29, true, true}, {_("type"), 6, true, true}, {_("GiB"), 5, true, false},   {_("KV KiB"), 7, false, false}, {_("where"), place + more, true, true},
        {_("context"), 8, false, false},          {"k=1", 5, !tight, false},     {"k=8", 5, true, false},      {"k=16", 5, !tight, false},        {_("own k"), 5, true, false},
    };
    enum { N = sizeof columns / sizeof *columns };
    for (int row = -1; row < n && row < SHOWN; row++) {
        char text[N][64];
        const adv_choice *c = row < 0 ? NULL : &list[row];
        for (int j = 0; j < N; j++) snprintf(text[j], sizeof text[j], "%s", columns[j].head);
        if (c) {
            snprintf(text[0], sizeof text[0], "%.*s", columns[0].width, c->variant->name);
            snprintf(text[1], sizeof text[1], "%s", c->type);
            snprintf(text[2], sizeof text[2], "%.1f", (double)c->fit.weights / gib);
            snprintf(text[3], sizeof text[3], "%.0f", (double)c->fit.kv_token / 1024);
            snprintf(text[4], sizeof text[4], "%s", where(c));
            snprintf(text[5], sizeof text[5], c->fit.context_max ? "%d" : "-", c->fit.context_max);
            for (int j = 0; j < 3; j++) number(text[6 + j], c->decode[j]);
            number(text[9], c->fit.decode);
        }
        for (int j = 0; j < N; j++)
            if (wide || columns[j].narrow) {
                if (j) q_buf_putc(out, ' ');
                cell(out, text[j], columns[j].width, !columns[j].left);
            }
        while (out->len && out->p[out->len - 1] == ' ') out->p[--out->len] = 0;
        q_buf_putc(out, '\n');
    }
}

static void say_others(const adv_choice *list, int n, int width, q_buf *out)
{
    int other[ADV_OTHERS], found = adv_others(list, n, ADV_OTHERS, other);
    if (found) q_buf_printf(out, "%s\n", _("Why not another:"));
    for (int i = 0; i < found; i++) wrap_take(out, adv_why_words(&list[other[i]], list[0].why == ADV_BEST ? &list[0] : NULL), width);
}

void adv_say(const adv_ask *ask, const adv_machine *m, const adv_choice *list, int n, int width, q_buf *out)
{
    say_best(ask, list, n, width, out);
    q_buf_putc(out, '\n');
    say_others(list, n, width, out);
    q_buf_putc(out, '\n');
    say_table(list, n, width, out);
    q_buf_putc(out, '\n');
    say_machine(m, width, out);
    wrap(out, _("Tokens a second are foretold from the bytes that a token reads (measured speeds beat printed ones; a GPU's is not measured). "
                "That more weights answer better is a rule of thumb, and a mixture counts for no more than five times what a token reads of it "
                "(so it was with Qwen3: Technical Report, arXiv 2505.09388): quorum bench reasoning -m A -m B measures it."), width);
    wrap(out, _("Does a 30B-A3B with other settings (more experts a token, another brain) come near a dense 70B? "
                "No controlled study that we know shows it. Measured here: quorum bench reasoning -m MODEL --against experts.k=16, and quorum sweep -m MODEL experts.k 4..16/4 -f TEXT for perplexity."), width);
}

/* ---- JSON ---- */
static cJSON *json_machine(const adv_machine *m)
{
    cJSON *j = cJSON_CreateObject(), *gpus = cJSON_AddArrayToObject(j, "gpus");
    cJSON_AddStringToObject(j, "name", m->name);
    cJSON_AddStringToObject(j, "title", m->title);
    cJSON_AddNumberToObject(j, "ram", (double)m->ram);
    cJSON_AddNumberToObject(j, "ram_free", (double)m->ram_free);
    cJSON_AddNumberToObject(j, "ram_bandwidth", m->ram_bandwidth);
    cJSON_AddNumberToObject(j, "multiply_adds", m->madds);
    cJSON_AddNumberToObject(j, "disk_bandwidth", m->disk);
    cJSON_AddNumberToObject(j, "cores", m->cores);
    cJSON_AddBoolToObject(j, "measured", m->measured);
    cJSON_AddStringToObject(j, "source", m->source);
    for (int i = 0; i < m->n_gpu; i++) {
        cJSON *g = cJSON_CreateObject();
        cJSON_AddStringToObject(g, "name", m->gpu[i].name);
        cJSON_AddNumberToObject(g, "bytes", (double)m->gpu[i].bytes);
        cJSON_AddNumberToObject(g, "free", (double)m->gpu[i].free);
        cJSON_AddNumberToObject(g, "bandwidth", m->gpu[i].bandwidth);
        cJSON_AddItemToArray(gpus, g);
    }
    return j;
}

static void json_fit(cJSON *j, const adv_fit *f)
{
    const struct { const char *key; double v; } numbers[] = {
        {"weights", (double)f->weights}, {"kv", (double)f->kv}, {"kv_token", (double)f->kv_token}, {"state", (double)f->state}, {"on_gpu", (double)f->on_gpu},
        {"in_ram", (double)f->in_ram}, {"on_disk", (double)f->on_disk}, {"weights_ram", f->weights_ram}, {"context_max", f->context_max}, {"decode", f->decode}, {"prefill", f->prefill},
    };
    cJSON_AddStringToObject(j, "place", place_key[f->place]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) cJSON_AddNumberToObject(j, numbers[i].key, numbers[i].v);
    cJSON_AddBoolToObject(j, "guess", f->guess);
}

static void put_json(cJSON *j, q_buf *out)
{
    char *s = cJSON_PrintUnformatted(j);
    q_buf_puts(out, s ? s : "{}");
    free(s);
    cJSON_Delete(j);
}

static void json_list(cJSON *j, const adv_choice *list, int n)
{
    if (list[0].why == ADV_BEST) cJSON_AddStringToObject(j, "take", list[0].variant->name);
    else cJSON_AddNullToObject(j, "take");
    cJSON *rows = cJSON_AddArrayToObject(j, "models");
    for (int i = 0; i < n; i++) {
        cJSON *r = cJSON_CreateObject(), *k = NULL;
        const adv_choice *c = &list[i];
        const struct { const char *key, *v; } texts[] = {
            {"name", c->variant->name}, {"shape", c->known->like}, {"kind", c->variant->kind}, {"repo", c->variant->repo}, {"gguf", c->variant->gguf},
            {"licence", c->variant->licence}, {"sampling", c->variant->sampling}, {"source", c->variant->source}, {"date", c->variant->date}, {"source_opened", c->variant->opened}, {"type", c->type},
            {"why", why_key[c->why]}, {"note", c->known->note},
        };
        for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) cJSON_AddStringToObject(r, texts[t].key, texts[t].v);
        cJSON_AddStringToObject(r, "shape_source", c->known->source);
        cJSON_AddBoolToObject(r, "shape_partly_from_memory", c->known->partly);
        cJSON_AddNumberToObject(r, "parameters_b", c->known->params_b);
        cJSON_AddNumberToObject(r, "active_b", c->known->active_b);
        cJSON_AddNumberToObject(r, "context", c->variant->context);
        json_fit(r, &c->fit);
        k = cJSON_AddObjectToObject(r, "decode_at_k");
        for (int t = 0; t < 3; t++) {
            char key[16];
            snprintf(key, sizeof key, "%d", c->k[t]);
            if (c->k[t]) cJSON_AddNumberToObject(k, key, c->decode[t]);
        }
        cJSON *others = cJSON_AddArrayToObject(r, "elsewhere");
        for (int t = 0; t < c->known->n_elsewhere; t++) {
            cJSON *one = cJSON_CreateObject();
            cJSON_AddStringToObject(one, "server", c->known->elsewhere[t].server);
            cJSON_AddStringToObject(one, "source", c->known->elsewhere[t].source);
            cJSON_AddStringToObject(one, "date", c->known->elsewhere[t].date);
            cJSON_AddItemToArray(others, one);
        }
        cJSON_AddItemToArray(rows, r);
    }
}

void adv_json(const adv_ask *ask, const adv_machine *m, const adv_choice *list, int n, q_buf *out)
{
    cJSON *j = cJSON_CreateObject();
    cJSON_AddItemToObject(j, "machine", json_machine(m));
    cJSON_AddNumberToObject(j, "context", ask->context);
    json_list(j, list, n);
    put_json(j, out);
}

/* ---- one file, and what else there is ---- */
static void say_file(const adv_about *a, int width, q_buf *out)
{
    char rate[16];
    const adv_fit *f = &a->fit;
    wrap_take(out, q_printf(_("%s lies in %s here: %.1f GiB of weights, %.0f KiB of cells a token; some %s tokens/s, and %d tokens of context would fit."), a->name,
                            adv_place_words(f->place), (double)f->weights / gib, (double)f->kv_token / 1024, number(rate, f->decode), f->context_max), width);
    if (f->place == ADV_DISK)
        wrap_take(out, q_printf(_("It is larger than the memory that is free: --weights-ram %.1f (weights.ram) keeps what every token uses there and the experts that are chosen often; the others come from the disk."), f->weights_ram), width);
    if (!eng_runs(f->costs.arch))
        wrap_take(out, q_printf(_("But quorum does not compute its architecture (%s): it runs elsewhere, in llama-server for one."), f->costs.arch), width);
    if (a->measured > 0) wrap_take(out, q_printf(_("Its last answer ran at %s tokens/s."), number(rate, a->measured)), width);
    for (int i = 0; i < a->n_k; i++)
        q_buf_printf(out, _("  k = %-3d %7s tokens/s, %6.2f GiB read a token%s\n"), a->k[i], number(rate, a->decode[i]), (double)a->read[i] / gib, a->k[i] == f->costs.n_used ? _(" (own)") : "");
    if (f->costs.n_expert) wrap(out, _("Fewer experts a token are faster and answer worse, more are slower and seldom better: /sweep experts.k 1..16 measures both."), width);
}

void adv_say_about(const adv_about *a, bool whole, int width, q_buf *out)
{
    const adv_ask ask = {.context = 0};
    char rate[16], own[16];
    const int columns = width > 0 ? width : 80;
    if (width <= 0) width = INT_MAX;
    if (whole) say_best(&ask, a->choice, a->n, width, out), q_buf_putc(out, '\n');
    if (*a->name) say_file(a, width, out);
    if (!whole && a->n && a->choice[0].why == ADV_BEST)
        wrap_take(out, q_printf(_("Of the published models %s in %s suits this machine best, some %s tokens/s (this one: %s). quorum advise shows all."), a->choice[0].variant->name,
                                a->choice[0].type, number(rate, a->choice[0].fit.decode), number(own, a->fit.decode)), width);
    if (!whole) return;
    if (*a->name) q_buf_putc(out, '\n');
    say_others(a->choice, a->n, width, out);
    q_buf_putc(out, '\n');
    say_table(a->choice, a->n, columns, out);
    q_buf_putc(out, '\n');
    say_machine(&a->machine, width, out);
}

void adv_json_about(const adv_about *a, bool whole, q_buf *out)
{
    cJSON *j = cJSON_CreateObject(), *rates = NULL, *read = NULL;
    if (*a->name) cJSON_AddStringToObject(j, "model", a->name);
    else cJSON_AddNullToObject(j, "model");
    cJSON_AddItemToObject(j, "machine", json_machine(&a->machine));
    if (*a->name) {
        json_fit(j, &a->fit);
        cJSON_AddNumberToObject(j, "read_token", (double)a->token);
        cJSON_AddNumberToObject(j, "measured", a->measured);
        rates = cJSON_AddObjectToObject(j, "decode_at_k");
        read = cJSON_AddObjectToObject(j, "read_at_k");
    }
    for (int i = 0; i < a->n_k; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", a->k[i]);
        cJSON_AddNumberToObject(rates, key, a->decode[i]);
        cJSON_AddNumberToObject(read, key, (double)a->read[i]);
    }
    if (whole) json_list(j, a->choice, a->n);
    put_json(j, out);
}
