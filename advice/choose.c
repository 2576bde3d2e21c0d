/* advice/choose: which of the published models for a machine, in which order, and why not the others. See advice.h. */
#include "advice/room.h"

#include <stdlib.h>
#include <string.h>

static bool word_in(const char *word, const char *list)
{
    size_t n = strlen(word);
    for (const char *p = list; n && (p = strstr(p, word)) != NULL; p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == 0 || p[n] == ' ')) return true;
    return false;
}

static bool of_family(const char *family, const char *has) { return !family || strcmp(family, "all") == 0 || word_in(family, has); }

/* A hybrid model thinks or not, as it is asked; a base is for those who ask for one. The last that fits is the newest. */
static const eng_variant *wanted(const eng_known *k, const char *want)
{
    const eng_variant *found = NULL;
    for (int i = 0; i < k->n_variant; i++) {
        const eng_variant *v = &k->variant[i];
        bool base = strcmp(v->kind, "base") == 0, exact = want && strcmp(v->kind, want) == 0;
        bool hybrid = want && strcmp(want, "base") != 0 && strcmp(v->kind, "hybrid") == 0;
        if (exact || (!want && !base) || (hybrid && (!found || strcmp(found->kind, want) != 0))) found = v;
    }
    return found;
}

static bool fast(const adv_fit *f) { return f->place <= ADV_RAM && f->decode >= ADV_PACE; }

static int fit_as(const char *type, int k, const adv_ask *ask, const adv_machine *m, const eng_known *known, adv_fit *out, char *err)
{
    return adv_fit_known(known, &(adv_wish){.type = type, .context = ask->context, .users = ask->users, .k = k}, m, out, err);
}

/* Q4_K_M, or a better type that lies in the same place and is fast enough still, or a smaller one where only that lies in memory. */
static int choose_type(const adv_ask *ask, const adv_machine *m, adv_choice *c, char *err)
{
    static const char *const better[] = {"Q5_K_M", "Q6_K", "Q8_0"}, *const smaller[] = {"Q3_K_M", "Q2_K"};
    const bool oss = strcmp(c->known->arch, "gpt-oss") == 0;       /* published in one type, whatever a file is called */
    c->type = oss ? "MXFP4" : "Q4_K_M";
    int rc = fit_as(c->type, 0, ask, m, c->known, &c->fit, err);
    const bool usual = rc == Q_OK && c->fit.place <= ADV_RAM;
    adv_fit f;
    for (int i = 0; rc == Q_OK && !oss && !usual && c->fit.place > ADV_RAM && i < 2; i++)
        if ((rc = fit_as(smaller[i], 0, ask, m, c->known, &f, err)) == Q_OK && f.place <= ADV_RAM) c->fit = f, c->type = smaller[i];
    for (int i = 0; rc == Q_OK && !oss && usual && i < 3; i++) {
        if ((rc = fit_as(better[i], 0, ask, m, c->known, &f, err)) != Q_OK || f.place != c->fit.place || !fast(&f)) break;
        c->fit = f, c->type = better[i];
    }
    return rc;
}

static int rates(const adv_ask *ask, const adv_machine *m, adv_choice *c, char *err)
{
    static const int ks[] = {1, 8, 16};
    int rc = Q_OK;
    for (int i = 0; rc == Q_OK && i < 3; i++) {
        adv_fit f;
        c->k[i] = ks[i] <= c->fit.costs.n_expert ? ks[i] : 0;
        if (c->k[i] && (rc = fit_as(c->type, c->k[i], ask, m, c->known, &f, err)) == Q_OK) c->decode[i] = f.decode;
    }
    return rc;
}

static int month(const char *released) { return atoi(released) * 12 + (strlen(released) > 5 ? atoi(released + 5) : 0); }

double adv_counts_for(const eng_known *k) { return k->n_expert && 5 * k->active_b < k->params_b ? 5 * k->active_b : k->params_b; }

static int by_rank(const void *a, const void *b)
{
    const adv_choice *x = a, *y = b;
    if (x->why != y->why) return x->why < y->why ? -1 : 1;
    double p = adv_counts_for(x->known), q = adv_counts_for(y->known);
    return p > q ? -1 : p < q;
}

static int nothing(const adv_ask *ask, const eng_known *all, int n, char *err)
{
    bool family = false;
    q_buf known = {0};
    for (int i = 0; i < n; i++) {
        family = family || of_family(ask->family, all[i].family);
        for (const char *w = all[i].family; *w;) {             /* a row may be of several families */
            char one[64];
            const size_t n_word = strcspn(w, " ");
            memcpy(one, w, n_word < sizeof one ? n_word : sizeof one - 1);
            one[n_word < sizeof one ? n_word : sizeof one - 1] = 0;
            if (*one && (!known.p || !word_in(one, known.p))) q_buf_printf(&known, "%s%s", known.len ? " " : "", one);
            w += n_word + (w[n_word] != 0);
        }
    }
    int rc = family ? q_fail(err, Q_NOTFOUND, _("nothing of %s is published as %s; leave --want or --family out, or take another"), ask->family ? ask->family : "all",
                             ask->want ? ask->want : "instruct, thinking, hybrid")
                    : q_fail(err, Q_NOTFOUND, _("no family called %s is in the list; it has %s, or all"), ask->family, known.p ? known.p : "");
    q_buf_free(&known);
    return rc;
}

int adv_choose(const adv_ask *ask, const adv_machine *m, adv_choice **out, int *n, char *err)
{
    const eng_known *all;
    int n_all, rc = eng_catalog(&all, &n_all, err), newest = 0;
    *out = NULL;
    *n = 0;
    if (rc) return rc;
    adv_choice *v = q_alloc((size_t)n_all * sizeof *v);
    for (int i = 0; i < n_all; i++)
        if (month(all[i].released) > newest) newest = month(all[i].released);
    for (int i = 0; rc == Q_OK && i < n_all; i++) {
        adv_choice c = {.known = &all[i], .variant = wanted(&all[i], ask->want)};
        if (!c.variant || !of_family(ask->family, all[i].family)) continue;
        rc = choose_type(ask, m, &c, err);
        const bool here = eng_runs(all[i].arch);
        if (rc == Q_OK && here) rc = rates(ask, m, &c, err);
        if (!here) c.fit.decode = c.fit.prefill = 0;           /* what is foretold is foretold of this engine */
        c.why = !here ? ADV_ELSEWHERE : c.fit.place > ADV_RAM ? ADV_BIG : !fast(&c.fit) ? ADV_SLOW : newest - month(all[i].released) > ADV_NEW ? ADV_OLD : ADV_FITS;
        v[(*n)++] = c;
    }
    if (rc == Q_OK && *n == 0) rc = nothing(ask, all, n_all, err);
    if (rc) {
        free(v);
        *n = 0;
        return rc;
    }
    qsort(v, (size_t)*n, sizeof *v, by_rank);
    if (v[0].why <= ADV_OLD) v[0].why = ADV_BEST;      /* where all are old, what counts for most of them */
    *out = v;
    return Q_OK;
}
