/* advice/pull_choose: where a model of a list would lie on a machine, and which files are meant. See pull.h. Any thread. */
#include "advice/pull.h"
#include "advice/pull_name.h"
#include "advice/room.h"
#include "base/say.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NAMED_MOST = 12 };

/* Costs of the model in this file: its own bytes, in the shares that the shape has in this type or, where the type is nobody's, in Q8_0. */
static void costs(const adv_pull_repo *r, const adv_pull_set *s, eng_energy *e)
{
    const char *const type[] = { s->quant, strncmp(s->quant, "UD-", 3) == 0 ? s->quant + 3 : "", "Q8_0" };
    char err[Q_ERRLEN];
    int rc = Q_NOTFOUND;
    for (size_t i = 0; r->known && rc < 0 && i < sizeof type / sizeof *type; i++)
        if (*type[i])
            rc = eng_energy_like(r->known->arch, r->known->like, type[i], 0, e, err);
    if (rc < 0) {
        *e = (eng_energy){ .bytes[ENG_ENERGY_DENSE] = s->bytes, .state_bytes = (uint64_t)512 << 20 };
        return;
    }
    double sum = 0;
    for (int i = 0; i < ENG_ENERGY_PARTS; i++)
        sum += (double)e->bytes[i];
    for (int i = 0; i < ENG_ENERGY_PARTS; i++)
        e->bytes[i] = (uint64_t)((double)e->bytes[i] / sum * (double)s->bytes);
}

enum adv_place adv_pull_place(const adv_pull_repo *r, const adv_pull_set *s, const adv_machine *m, int *context_max)
{
    eng_energy e;
    adv_fit f;
    costs(r, s, &e);
    fit_costs(&e, &(adv_wish){ .context = 0 }, m, r->known ? r->known->n_ctx : e.n_ctx, &f);
    if (context_max)
        *context_max = r->known ? f.context_max : 0;
    return f.place;
}

bool adv_pull_fits(enum adv_place p) { return p == ADV_GPU || p == ADV_SPLIT || p == ADV_RAM; }

/* "Q4_K_M (17.3 GiB), Q8_0 (30.3 GiB), ...": those that hit. */
static char *names(const adv_pull_repo *r, bool (*hit)(const adv_pull_set *, const char *), const char *quant, bool paths)
{
    q_buf b = { 0 };
    char w[32];
    int n = 0;
    q_buf_puts(&b, "");
    for (int i = 0; i < r->n_set; i++) {
        const adv_pull_set *s = &r->set[i];
        if (hit && !hit(s, quant))
            continue;
        if (n++ < NAMED_MOST && b.len < Q_ERRLEN / 2)
            q_buf_say(&b, "%s%s (%s)", n > 1 ? ", " : "", *s->quant && !paths ? s->quant : s->n > 1 ? s->name : r->file[s->first].path, q_bytes_words(s->bytes, w));
        else if (n == NAMED_MOST + 1 || b.p[b.len - 1] != '.')
            q_buf_puts(&b, ", ...");
    }
    return q_buf_take(&b);
}

static bool same_quant(const adv_pull_set *s, const char *quant) { return strcasecmp(s->quant, quant) == 0; }
static bool near_quant(const adv_pull_set *s, const char *quant) { return strncmp(s->quant, "UD-", 3) == 0 && strcasecmp(s->quant + 3, quant) == 0; }
static bool named_so(const adv_pull_set *s, const char *name) { return strcmp(s->name, name) == 0; }

/* Of how many sets `hit` says yes; *set: the first of them. */
static int count(const adv_pull_repo *r, bool (*hit)(const adv_pull_set *, const char *), const char *x, const adv_pull_set **set)
{
    int n = 0;
    for (int i = 0; i < r->n_set; i++)
        if (hit(&r->set[i], x) && !n++)
            *set = &r->set[i];
    return n;
}

static int choose_quant(const adv_pull_repo *r, const char *quant, const adv_pull_set **set, char *err)
{
    bool (*hit)(const adv_pull_set *, const char *) = same_quant;
    int n = count(r, hit, quant, set);
    if (!n)
        n = count(r, hit = near_quant, quant, set);
    if (n == 1)
        return Q_OK;
    char *there = names(r, n ? hit : NULL, quant, n > 0);
    int rc = n ? q_fail(err, Q_RANGE, _("%s has several models in %s: name one with /FILE: %s"), r->what, quant, there)
               : q_fail(err, Q_NOTFOUND, _("%s has no %s: it has %s"), r->what, quant, there);
    free(there);
    return rc;
}

static int choose_auto(const adv_pull_repo *r, const adv_machine *m, const adv_pull_set **set, char *err)
{
    char a[32], b[32];
    for (int i = 0; i < r->n_set; i++)
        if (adv_pull_fits(adv_pull_place(r, &r->set[i], m, NULL)))
            *set = &r->set[i];
    return *set ? Q_OK : q_fail(err, Q_NOTFOUND, _("nothing of %s fits into the memory that is free (%s): the smallest takes %s; name it with :QUANT if it is to come all the same"), r->what,
                                q_bytes_words(m->ram_free, a), q_bytes_words(r->set[0].bytes, b));
}

/* A file by its path, or by its last part where that is the only one; any part of a split model means all of it. */
static int choose_file(const adv_pull_repo *r, const char *file, int *first, int *n, const adv_pull_set **set, char *err)
{
    int hit = -1, hits = 0;
    for (int i = 0; i < r->n_file; i++) {
        const char *slash = strrchr(r->file[i].path, '/');
        if (strcmp(r->file[i].path, file) == 0) {
            hit = i;
            hits = 1;
            break;
        }
        if (slash && strcmp(slash + 1, file) == 0 && !hits++)
            hit = i;
    }
    if (!hits && count(r, named_so, file, set) == 1)
        return Q_OK;
    if (hits != 1)
        return q_fail(err, Q_NOTFOUND, hits ? _("%s has several files called %s: write the whole path; --list shows them") : _("%s has no file %s: --list shows those it has"), r->what, file);
    for (int i = 0; i < r->n_set && !*set; i++)
        if (hit >= r->set[i].first && hit < r->set[i].first + r->set[i].n)
            *set = &r->set[i];
    *first = hit;
    *n = 1;
    return Q_OK;
}

int adv_pull_choose(const adv_pull_repo *r, const adv_machine *m, int *first, int *n, char *err)
{
    const pull_source *s = r->source;
    const adv_pull_set *set = NULL;
    int rc = Q_OK;
    *first = 0;
    *n = r->n_file;
    if (s->quant && strcasecmp(s->quant, "all") == 0)
        return r->n_file ? Q_OK : q_fail(err, Q_NOTFOUND, _("%s holds no files that can be taken: check the name and the revision"), r->what);
    if (s->file && s->kind != PULL_URL)
        rc = choose_file(r, s->file, first, n, &set, err);
    else if (s->kind == PULL_URL)
        *n = 1;
    else if (!r->n_set && r->variant && *r->variant->gguf && strcasecmp(r->variant->gguf, r->title) != 0)
        rc = q_fail(err, Q_NOTFOUND, _("%s holds no GGUF files, those are in hf:%s: take that, or :all for all %d files as they are"), r->what, r->variant->gguf, r->n_file);
    else if (!r->n_set)
        rc = q_fail(err, Q_NOTFOUND, _("%s holds no GGUF files: take a repository of GGUFs, or :all for all %d files as they are"), r->what, r->n_file);
    else if (s->quant && strcasecmp(s->quant, "auto") == 0)
        rc = choose_auto(r, m, &set, err);
    else if (s->quant)
        rc = choose_quant(r, s->quant, &set, err);
    else if (r->n_set == 1)
        set = r->set;
    else {
        char *there = names(r, NULL, NULL, false);
        rc = q_fail(err, Q_RANGE, _("%s has several: %s; write one of them behind a colon, as %s:%s, or :auto for the largest that fits"), r->what, there, r->what,
                    *r->set[0].quant ? r->set[0].quant : "Q4_K_M");
        free(there);
    }
    if (rc < 0 || !set)
        return rc;
    *first = set->first;
    *n = set->n;
    return set->n == set->of ? Q_OK : q_fail(err, Q_NOTFOUND, _("%s has only %d of the %d parts of %s: whoever put it there has to mend that"), r->what, set->n, set->of, set->name);
}
