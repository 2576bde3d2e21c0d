/* advice/machine: the machine at hand, and those of advice/machines.ini. See advice.h and room.h. */
#include "advice/room.h"
#include "kernels/kernels.h"

#include <ini.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const double gib = 1 << 30;
enum { TRIES = 4, LONG_NS = 1500000000 };

/* ---- here ---- */
static void cpu_name(char *out, size_t n)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    *out = 0;
    while (f && !*out && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || (strncmp(line, "model name", 10) != 0 && strncmp(line, "Model", 5) != 0)) continue;
        snprintf(out, n, "%s", colon + 1 + strspn(colon + 1, " \t"));
        out[strcspn(out, "\n")] = 0;
    }
    if (f) fclose(f);
}

void adv_machine_here(bool measure, adv_machine *out)
{
    *out = (adv_machine){.cores = q_cores(), .source = "", .date = ""};
    snprintf(out->name, sizeof out->name, "here");
    cpu_name(out->cpu, sizeof out->cpu);
    snprintf(out->isa, sizeof out->isa, "%s", ker_cpu_features());
    uint64_t total = q_mem_total();
    out->ram = total != UINT64_MAX ? total : 0;
    out->ram_free = q_mem_available();
    if (out->ram_free > out->ram) out->ram_free = out->ram;
    out->n_gpu = gpu_look("libnvidia-ml.so.1", out->gpu);
    out->no_plugin = out->n_gpu && !ker_plugin_there();
    char *models = q_user_path(Q_DIR_DATA, ""), *home = q_home();
    struct statvfs v;
    if ((models && statvfs(models, &v) == 0) || (home && statvfs(home, &v) == 0)) out->disk_free = (uint64_t)v.f_bavail * v.f_frsize;
    free(models);
    free(home);
    snprintf(out->title, sizeof out->title, "%s", out->cpu);
    if (!measure) return;
    int64_t until = q_now_ns() + LONG_NS;
    for (int i = 0; i < TRIES && (i == 0 || q_now_ns() < until); i++) {       /* the best: what a neighbour took of one is no property of the machine */
        double rate = eng_read_bandwidth();
        if (rate > out->ram_bandwidth) out->ram_bandwidth = rate;
    }
    char *model = eng_default_model();                     /* experts lie where it does, as a rule */
    out->disk = model && access(model, R_OK) == 0 ? eng_disk_speed(model, 1 << 20) : 0;
    free(model);
    out->madds = ker_cpu_madds(out->cores, .3);
    out->measured = out->ram_bandwidth > 0;
}

/* ---- the table ---- */
void adv_machine_told(adv_machine *m, double n)
{
    m->ram = (uint64_t)(n * gib);
    m->ram_free = (uint64_t)(n * gib * .9);
    m->told = true;
}

typedef struct reader { adv_machine *v; int n; const char *name; char *err; int rc; } reader;

static int value_of(reader *r, adv_machine *m, const char *key, const char *value)
{
    char *end;
    double number = strtod(value, &end);
    bool plain = number > 0 && number < 1e7 && !*end;      /* also "inf" is a number, and "64x" begins with one */
    adv_gpu *g = &m->gpu[0];
    if (strcmp(key, "title") == 0) snprintf(m->title, sizeof m->title, "%s", value);
    else if (strcmp(key, "source") == 0) m->source = q_strdup(value);
    else if (strcmp(key, "date") == 0) m->date = q_strdup(value);
    else if (strcmp(key, "gpu") == 0) snprintf(g->name, sizeof g->name, "%s", value), m->n_gpu = 1;
    else if (!plain) return q_fail(r->err, Q_FORMAT, _("%s: [%s] %s = %s is not understood"), r->name, m->name, key, value);
    else if (strcmp(key, "gpu_gb") == 0) g->bytes = (uint64_t)(number * gib), g->free = (uint64_t)(number * gib * .985);      /* the driver's share */
    else if (strcmp(key, "gpu_bandwidth") == 0) g->bandwidth = number * 1e9;
    else if (strcmp(key, "ram_gb") == 0) adv_machine_told(m, number);
    else if (strcmp(key, "ram_bandwidth") == 0) m->ram_bandwidth = number * 1e9;
    else return q_fail(r->err, Q_FORMAT, _("%s: [%s] %s = %s is not understood"), r->name, m->name, key, value);
    return Q_OK;
}

static int on_line(void *user, const char *section, const char *key, const char *value)
{
    reader *r = user;
    if (r->rc) return 1;
    if (!r->n || strcmp(r->v[r->n - 1].name, section) != 0) {
        r->v = q_realloc(r->v, (size_t)(r->n + 1) * sizeof *r->v);
        r->v[r->n] = (adv_machine){.source = "", .date = ""};
        snprintf(r->v[r->n].name, sizeof r->v->name, "%s", section);
        r->n++;
    }
    r->rc = value_of(r, &r->v[r->n - 1], key, value);
    return 1;
}

void machines_free(adv_machine *v, int n)
{
    for (int i = 0; i < n; i++) {
        if (*v[i].source) free((void *)v[i].source);
        if (*v[i].date) free((void *)v[i].date);
    }
    free(v);
}

int machines_read(const char *text, const char *name, adv_machine **out, int *n, char *err)
{
    reader r = {.name = name, .err = err};
    int line = ini_parse_string(text, on_line, &r), rc = r.rc;
    if (rc == Q_OK && line) rc = q_fail(err, Q_FORMAT, _("%s: line %d is not understood"), name, line);
    for (int i = 0; rc == Q_OK && i < r.n; i++) {
        const adv_machine *m = &r.v[i];
        const char *lacks = !*m->source ? "source" : !*m->date ? "date" : !m->ram ? "ram_gb" : !(m->ram_bandwidth > 0) ? "ram_bandwidth"
                          : m->n_gpu && (!m->gpu[0].bytes || !(m->gpu[0].bandwidth > 0)) ? "gpu_gb, gpu_bandwidth" : NULL;
        if (lacks) rc = q_fail(err, Q_FORMAT, _("%s: %s lacks its %s"), name, m->name, lacks);
    }
    if (rc) machines_free(r.v, r.n), r.v = NULL, r.n = 0;
    *out = r.v;
    *n = r.n;
    return rc;
}

static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
static adv_machine *table;
static int n_table;

int adv_machines(const adv_machine **out, int *n, char *err)
{
    int rc = Q_OK;
    pthread_mutex_lock(&once);
    if (!n_table) {
        char *path = q_share_path("advice/machines.ini");
        q_buf text = {0};
        if (!path) rc = q_fail(err, Q_NOTFOUND, _("advice/machines.ini is not beside the program: install quorum again"));
        if (rc == Q_OK) rc = q_read_file(path, &text, 1 << 20, err);
        adv_machine *v = NULL;
        int found = 0;
        if (rc == Q_OK) rc = machines_read(text.p ? text.p : "", path, &v, &found, err);
        if (rc == Q_OK) table = v, n_table = found;
        q_buf_free(&text);
        free(path);
    }
    *out = table;
    *n = n_table;
    pthread_mutex_unlock(&once);
    return rc;
}

int adv_machine_find(const char *name, adv_machine *out, char *err)
{
    const adv_machine *all;
    int n, rc = adv_machines(&all, &n, err);
    if (rc) return rc;
    char *end;
    long many = strtol(name, &end, 10);
    const char *one = end != name && (*end == 'x' || *end == 'X') ? end + 1 : name;
    if (one == name) many = 1;
    q_buf known = {0};
    const adv_machine *m = NULL;
    for (int i = 0; i < n; i++) {
        if (strcasecmp(all[i].name, one) == 0) m = &all[i];
        q_buf_printf(&known, "%s%s", i ? ", " : "", all[i].name);
    }
    if (!m) rc = q_fail(err, Q_NOTFOUND, _("no machine called %s is in the list; it has %s, and 4x4090 means four"), name, known.p);
    else if (many < 1 || many > ADV_GPUS || (many > 1 && !m->n_gpu))
        rc = q_fail(err, Q_RANGE, _("%s: several of a machine are 2 to %d GPUs, as 4x4090"), name, ADV_GPUS);
    else {
        *out = *m;
        for (int i = 1; i < many; i++) out->gpu[i] = m->gpu[0];
        out->n_gpu = m->n_gpu ? (int)many : 0;
        if (many > 1) snprintf(out->name, sizeof out->name, "%ldx%.48s", many, m->name), snprintf(out->title, sizeof out->title, "%ld x %.110s", many, m->title);
    }
    q_buf_free(&known);
    return rc;
}
