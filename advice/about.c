/* advice/about: one file on a machine, at several numbers of experts, and the published models beside it. See advice.h. */
#include "advice/room.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* 1, 8, 16 and the model's own among them, in order, as far as there are so many. */
static void ks_of(const eng_energy *e, adv_about *out)
{
    static const int usual[] = {1, 8, 16, INT_MAX};
    const int own = e->n_expert ? e->n_used : 0;
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++) {
        const int next = usual[i], last = out->n_k ? out->k[out->n_k - 1] : 0;
        if (own > last && own < next) out->k[out->n_k++] = own;
        if (next <= e->n_expert) out->k[out->n_k++] = next;
    }
}

int adv_about_read(const char *path, const char *name, const adv_machine *m, adv_about *out, char *err)
{
    *out = (adv_about){.machine = *m};
    int rc = path ? adv_fit_file(path, &(adv_wish){.k = 0}, m, &out->fit, err) : Q_OK;
    if (rc == Q_OK && path) {
        snprintf(out->name, sizeof out->name, "%s", name);
        ks_of(&out->fit.costs, out);
        out->token = eng_energy_bytes(&out->fit.costs, out->fit.costs.n_used);
    }
    for (int i = 0; rc == Q_OK && i < out->n_k; i++) {
        adv_fit at;
        rc = adv_fit_file(path, &(adv_wish){.k = out->k[i]}, m, &at, err);
        out->decode[i] = at.decode;
        out->read[i] = eng_energy_bytes(&at.costs, out->k[i]);
    }
    if (rc == Q_OK) rc = adv_choose(&(adv_ask){.context = 0}, m, &out->choice, &out->n, err);
    return rc;
}

void adv_about_copy(const adv_about *a, adv_about *out)
{
    *out = *a;
    out->choice = a->n ? q_alloc((size_t)a->n * sizeof *out->choice) : NULL;
    if (a->n) memcpy(out->choice, a->choice, (size_t)a->n * sizeof *out->choice);
}

void adv_about_free(adv_about *a)
{
    free(a->choice);
    a->choice = NULL;
    a->n = 0;
}
