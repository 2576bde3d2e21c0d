/* engine/run/state: a timeline as a file, written and read page by page. One thread, that of the cache; eng_state_look any.
 *
 * The file, every number little-endian: `head`; the configuration as JSON, the model's name and the caller's note, each with
 * the length that the head says; tokens, int32 each; of each cell the configuration and the hash of forced routing, uint64
 * both; the logits, float each; the cells, a page of 64 after another as ker_cells_bytes has them; of models with recurrent
 * layers the last states along the text, each behind how many cells it covers, int64, the last one's all; and a hash of all before
 * it. The head ends in a hash of its own. Chains are made again from what they are made of, and must come out as they were.
 * It never evaluates anything. */
#include "engine/run/config.h"
#include "engine/run/session.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char MAGIC[8] = "QSTATE\r\n";
enum { VERSION = 4, NAME_MOST = 4096, JSON_MOST = 1 << 20, DEVICE_MOST = 104, STATES_MOST = 4 };

typedef struct head {
    char magic[8];
    uint32_t version, bytes;           /* of the head */
    uint64_t model, weights;           /* eng_info.id; a hash of parts of the weights */
    uint64_t config, seed, chain;      /* of the configuration, of its position knobs, of the last cell */
    int32_t n_layer, n_kv_head, head_dim;      /* layers with cells */
    int16_t kv;
    uint16_t n_states;                 /* 0: no layer is recurrent */
    int32_t n_vocab, n_tokens, n_cells, n_logits;
    uint32_t n_json, n_name, n_note, state_floats;
    char device[DEVICE_MOST];
    int32_t centred;                   /* 1: keys may lie about the mean of their segment (kernels/cpu/centre.h). Zeros of device before version 4 */
    int32_t kv_rank;                   /* latent attention: numbers of V, which are the first of K's; 0: V is kept beside K. Zeros of device before version 3 */
    uint64_t hash;
} head;
typedef struct provenance { uint64_t config, forced; } provenance;
_Static_assert(sizeof(head) == 224 && sizeof(provenance) == 16, "no holes in what is written");

static uint64_t head_hash(const head *h) { return q_hash64(h, offsetof(head, hash), 1); }
/* The fourth version has keys about a centre, the third says of latent cells that V is not beside K, the second has cells of four bits; what has neither is written as the first, which earlier
 * programs read. Latent cells of the earlier versions have as much again behind them, which nobody reads. */
static uint32_t version_of(int kv, int kv_rank, bool centred) { return centred ? 4 : kv_rank ? 3 : kv == KER_KV_Q4_0 ? 2 : 1; }

/* A few hundred bytes at places all over the weights: a model of the same shape with other weights is another one. */
static uint64_t weights_hash(const eng_model *m)
{
    enum { PLACES = 64, PART = 256 };
    size_t n;
    const uint8_t *p;
    uint64_t h = m->info.id;
    for (int file = 0; (p = eng_model_pages(m, file, &n)); file++) {
        h = q_mix64(h, n);
        for (size_t i = 0; i < PLACES && n > PART; i++)
            h = q_hash64(p + (n - PART) * i / (PLACES - 1), PART, h);
    }
    return h;
}

/* The CPU's cells of blocks where layers add a bias to K. */
static bool centred(const eng_cache *k)
{
    bool biased = false;
    for (int l = 0; l < k->m->ker.n_layer; l++) biased |= k->m->layers[l].mixer == KER_MIX_GQA && k->m->layers[l].biases & KER_BIAS_QKV;
    return biased && k->m->on.be == ker_cpu() && (k->type == KER_KV_Q8_0 || k->type == KER_KV_Q4_0);
}

static ker_model shape(const head *h) { return (ker_model){ .n_layer = h->n_layer, .n_kv_head = h->n_kv_head, .head_dim = h->head_dim, .latent.kv_rank = h->kv_rank }; }
static uint64_t cells_bytes(const head *h, int n)
{
    ker_model m = shape(h);
    return (uint64_t)ker_cells_bytes(&m, (enum ker_kv_type)h->kv, n);
}

/* Of the whole file; the head's numbers are within bounds. */
static uint64_t file_bytes(const head *h)
{
    return sizeof *h + (uint64_t)h->n_json + h->n_name + h->n_note + 4 * (uint64_t)h->n_tokens + sizeof(provenance) * (uint64_t)h->n_cells +
           4 * (uint64_t)h->n_logits + cells_bytes(h, h->n_cells) + h->n_states * (sizeof(int64_t) + 4 * (uint64_t)h->state_floats) + sizeof(uint64_t);
}

static head head_of(const eng_session *s, size_t n_json, size_t n_note)
{
    const eng_model *m = s->cache->m;
    head h = { .version = version_of(s->cache->type, m->ker.latent.kv_rank, centred(s->cache)), .centred = centred(s->cache), .kv_rank = m->ker.latent.kv_rank, .bytes = sizeof h, .model = m->info.id, .config = s->hash, .seed = s->seed,
               .chain = s->line.n ? kv_cell_chain(s->cache->pool, &s->line, s->line.n - 1) : s->seed, .n_layer = ker_cell_layers(&m->ker),
               .n_kv_head = m->ker.n_kv_head, .head_dim = m->ker.head_dim, .kv = (int16_t)s->cache->type, .state_floats = (uint32_t)ker_state_floats(&m->ker), .n_vocab = m->ker.n_vocab,
               .n_tokens = s->n_tokens, .n_cells = s->line.n, .n_logits = step_logits_fit(s) ? m->ker.n_vocab : 0,
               .n_json = (uint32_t)n_json, .n_name = (uint32_t)strnlen(m->info.name, NAME_MOST), .n_note = (uint32_t)n_note };
    const char *on = eng_model_device(m), *colon = strchr(on, ':');        /* which of several alike is not asked */
    snprintf(h.device, sizeof h.device, "%.*s%s", colon ? (int)(colon - on) : (int)strlen(on), on, colon ? colon + 1 + strcspn(colon + 1, " ") : "");
    memcpy(h.magic, MAGIC, sizeof h.magic);
    int state[STATES_MOST];
    h.n_states = (uint16_t)kv_line_states(s->cache->pool, &s->line, state, STATES_MOST);
    return h;
}

uint64_t eng_state_bytes(const eng_session *s, size_t n_note)
{
    char *json = eng_config_json(s->config);
    head h = head_of(s, strlen(json), n_note);
    free(json);
    return s->line.n ? file_bytes(&h) : 0;
}

/* ---- writing ---- */
typedef struct writing { int fd; const char *path; uint64_t hash; eng_state_go *go; void *user; } writing;

static int put(writing *w, const void *p, size_t n, char *err)
{
    const char *s = p;
    w->hash = q_hash64(p, n, w->hash);
    while (n) {
        ssize_t k = write(w->fd, s, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return q_fail(err, Q_IO, _("cannot write %s: %s"), w->path, strerror(errno));
        s += k;
        n -= (size_t)k;
    }
    return Q_OK;
}

static int put_cells(eng_session *s, const head *h, writing *w, char *err)
{
    kv_pool *pool = s->cache->pool;
    int rc = Q_OK;
    provenance *made = q_alloc(sizeof *made * KER_PAGE);
    char *page = malloc((size_t)cells_bytes(h, KER_PAGE));
    if (!page)
        rc = q_fail(err, Q_NOMEM, _("no memory for a page of the cache: close other programs and try again"));
    for (int at = 0, n; at < h->n_cells && !rc; at += n) {
        n = h->n_cells - at < KER_PAGE ? h->n_cells - at : KER_PAGE;
        for (int i = 0; i < n; i++)
            made[i] = (provenance){ kv_cell_config(pool, &s->line, at + i), kv_cell_forced(pool, &s->line, at + i) };
        rc = put(w, made, sizeof *made * (size_t)n, err);
    }
    if (!rc && h->n_logits)
        rc = put(w, s->user.logits, sizeof(float) * (size_t)h->n_logits, err);
    for (int at = 0, n; at < h->n_cells && !rc; at += n) {
        n = h->n_cells - at < KER_PAGE ? h->n_cells - at : KER_PAGE;
        if ((rc = kv_line_save(pool, &s->line, at / KER_PAGE, page)))
            rc = q_fail(err, rc, _("the cells cannot be read from the device (code %d): /recompute makes them anew"), rc);
        else if (!(rc = put(w, page, (size_t)cells_bytes(h, n), err)) && w->go && !w->go(w->user, at + n, h->n_cells))
            rc = q_fail(err, Q_CANCEL, _("stopped: nothing is saved"));
    }
    free(page);
    free(made);
    return rc;
}

static int put_states(eng_session *s, const head *h, writing *w, char *err)
{
    kv_pool *pool = s->cache->pool;
    int state[STATES_MOST], rc = Q_OK;
    char *p = h->n_states ? malloc(4 * (size_t)h->state_floats) : NULL;
    if (h->n_states && (!p || kv_line_states(pool, &s->line, state, h->n_states) != h->n_states))
        rc = q_fail(err, Q_NOMEM, _("no memory for a state of the recurrent layers: lower state.memory or context.length"));
    for (int i = 0; i < h->n_states && !rc; i++) {
        int64_t cells = kv_state_cells(pool, state[i]);
        if ((rc = kv_state_save(pool, state[i], p)))
            rc = q_fail(err, rc, _("the cells cannot be read from the device (code %d): /recompute makes them anew"), rc);
        else if (!(rc = put(w, &cells, sizeof cells, err)))
            rc = put(w, p, 4 * (size_t)h->state_floats, err);
    }
    free(p);
    return rc;
}

static int write_all(eng_session *s, head *h, const char *json, const char *note, writing *w, char *err)
{
    h->weights = weights_hash(s->cache->m);
    h->hash = head_hash(h);
    int rc = put(w, h, sizeof *h, err);
    if (!rc)
        rc = put(w, json, h->n_json, err);
    if (!rc)
        rc = put(w, s->cache->m->info.name, h->n_name, err);
    if (!rc)
        rc = put(w, note, h->n_note, err);
    if (!rc)
        rc = put(w, s->tokens, sizeof *s->tokens * (size_t)h->n_tokens, err);
    if (!rc)
        rc = put_cells(s, h, w, err);
    if (!rc)
        rc = put_states(s, h, w, err);
    uint64_t hash = w->hash;
    return rc ? rc : put(w, &hash, sizeof hash, err);
}

/* The disk is asked for the room first: a full one is a sentence at the start. */
static int begin(writing *w, uint64_t bytes, char *err)
{
    unlink(w->path);                     /* left by a kill, or a link that somebody laid there */
    w->fd = open(w->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (w->fd < 0)
        return q_fail(err, Q_IO, _("cannot write %s: %s"), w->path, strerror(errno));
    if (posix_fallocate(w->fd, 0, (off_t)bytes) == ENOSPC) {
        char words[32];
        return q_fail(err, Q_IO, _("cannot write %s: %s are needed and the disk has less"), w->path, q_bytes_words(bytes, words));
    }
    return Q_OK;
}

int eng_state_save(eng_session *s, const char *path, const char *note, size_t n_note, eng_state_go *go, void *user, char *err)
{
    if (!s->line.n)
        return q_fail(err, Q_RANGE, _("nothing is evaluated yet, so there is nothing to save: ask something first"));
    if (q_no_device(path, err) != Q_OK)
        return Q_RANGE;
    char *json = eng_config_json(s->config), *part = q_printf("%s.%ld.part", path, (long)getpid());
    head h = head_of(s, strlen(json), n_note);
    writing w = { .fd = -1, .path = part, .go = go, .user = user };
    int rc = h.n_json > JSON_MOST || n_note > ENG_STATE_NOTE
        ? q_fail(err, Q_RANGE, _("the settings or the note of this state are too long to be saved")) : begin(&w, file_bytes(&h), err);
    if (!rc)
        rc = write_all(s, &h, json, note, &w, err);
    if (!rc && fsync(w.fd) != 0)
        rc = q_fail(err, Q_IO, _("cannot write %s: %s"), part, strerror(errno));
    int old = rc ? -1 : open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (!rc && rename(part, path) != 0)
        rc = q_fail(err, Q_IO, _("cannot rename %s to %s: %s"), part, path, strerror(errno));
    else if (old >= 0)
        q_wipe_fd(old);                  /* the words of what was replaced */
    if (old >= 0)
        close(old);
    if (rc && w.fd >= 0) {
        q_wipe_fd(w.fd);
        unlink(part);
    }
    if (w.fd >= 0)
        close(w.fd);
    free(json);
    free(part);
    return rc;
}

/* ---- reading ---- */
typedef struct reading { int fd; const char *path; uint64_t hash, left; } reading;     /* left: bytes of the file */

static int damaged(const reading *r, char *err)
{
    return q_fail(err, Q_FORMAT, _("the saved state %s is damaged: save it again, the conversation itself is whole"), r->path);
}

static int take(reading *r, void *p, size_t n, char *err)
{
    char *s = p;
    if (n > r->left)
        return damaged(r, err);
    r->left -= n;
    for (size_t got = 0; got < n;) {
        ssize_t k = read(r->fd, s + got, n - got);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return q_fail(err, Q_IO, _("cannot read %s: %s"), r->path, strerror(errno));
        if (k == 0)
            return damaged(r, err);      /* cut off meanwhile */
        got += (size_t)k;
    }
    r->hash = q_hash64(p, n, r->hash);
    return Q_OK;
}

/* Every number that a length is made of, and the file's length against all of them. */
static bool within(const head *h, uint64_t bytes)
{
    enum { MOST = 1 << 24, WIDE = 1 << 14 };
    bool recurrent = h->n_states > 0;
    if (recurrent != (h->state_floats > 0) || h->n_states > STATES_MOST || h->state_floats > 1u << 28)
        return false;
    if (h->n_layer < !recurrent || h->n_layer > WIDE || h->n_kv_head < 1 || h->n_kv_head > WIDE || h->head_dim < 1 || h->head_dim > WIDE || h->kv < KER_KV_F16 ||
        h->kv >= KER_KV_TYPES || h->version != version_of(h->kv, h->kv_rank, h->centred) || h->centred < 0 || h->centred > 1 || h->kv_rank < 0 || h->kv_rank > h->head_dim || h->n_vocab < 1 || h->n_tokens < 1 || h->n_tokens > MOST || h->n_cells < 1 || h->n_cells > h->n_tokens ||
        (h->n_logits != 0 && (h->n_logits != h->n_vocab || h->n_cells != h->n_tokens)) || h->n_json > JSON_MOST || h->n_name > NAME_MOST ||
        h->n_note > ENG_STATE_NOTE || memchr(h->device, 0, sizeof h->device) == NULL)
        return false;
    double cells = (double)h->n_layer * h->n_kv_head * h->head_dim * 8.5 * h->n_cells;     /* more than any type's */
    return cells < 9e17 && file_bytes(h) == bytes;
}

static int open_state(const char *path, reading *r, head *h, char *err)
{
    struct stat st;
    *r = (reading){ .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), .path = path };
    if (r->fd < 0)
        return q_fail(err, errno == ENOENT ? Q_NOTFOUND : Q_IO, _("cannot open %s: %s"), path, strerror(errno));
    if (fstat(r->fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)sizeof *h)
        return q_fail(err, Q_FORMAT, _("%s is no saved state: give a file that /save state wrote"), path);
    r->left = (uint64_t)st.st_size;
    int rc = take(r, h, sizeof *h, err);
    if (rc)
        return rc;
    if (memcmp(h->magic, MAGIC, sizeof h->magic) != 0)
        return q_fail(err, Q_FORMAT, _("%s is no saved state: give a file that /save state wrote"), path);
    if (h->version < 1 || h->version > VERSION)
        return q_fail(err, Q_FORMAT, _("%s was saved by another version of quorum (format %u, this one reads %d): save it again"), path, h->version, VERSION);
    return h->bytes == sizeof *h && h->hash == head_hash(h) && within(h, (uint64_t)st.st_size) ? Q_OK : damaged(r, err);
}

/* A text of n bytes, malloc'ed, followed by a 0. */
static int take_text(reading *r, size_t n, char **out, char *err)
{
    *out = q_alloc(n + 1);
    int rc = take(r, *out, n, err);
    return rc;
}

int eng_state_look(const char *path, eng_state *out, char *err)
{
    reading r;
    head h;
    *out = (eng_state){ 0 };
    int rc = open_state(path, &r, &h, err);
    if (!rc) {
        *out = (eng_state){ .model = h.model, .config = h.config, .bytes = file_bytes(&h), .tokens = h.n_tokens, .cells = h.n_cells,
                            .device = q_strdup(h.device), .n_note = h.n_note };
        rc = take_text(&r, h.n_json, &out->settings, err);
    }
    if (!rc)
        rc = take_text(&r, h.n_name, &out->name, err);
    if (!rc)
        rc = take_text(&r, h.n_note, &out->note, err);
    if (r.fd >= 0)
        close(r.fd);
    if (rc)
        eng_state_free(out);
    return rc;
}

void eng_state_free(eng_state *s)
{
    free(s->name);
    free(s->device);
    free(s->settings);
    free(s->note);
    *s = (eng_state){ 0 };
}

/* ---- does it fit ---- */
/* What a configuration is called, or why it cannot be had here (an adapter that is not loaded); malloc'ed. */
static char *called(const eng_session *s, const char *json)
{
    char err[Q_ERRLEN];
    q_buf b = { 0 };
    eng_config *c = json ? eng_config_new(s->cache->m) : eng_config_copy(s->config);
    bool known = !json || eng_config_from_json(c, json, err) == Q_OK;
    char *label = q_strdup(!known ? err : *eng_config_label(c, &b) ? b.p : _("the model's own settings"));
    eng_config_free(c);
    q_buf_free(&b);
    return label;
}

static int other_settings(const eng_session *s, const char *json, char *err)
{
    char *theirs = called(s, json), *ours = called(s, NULL);
    int rc = q_fail(err, Q_RANGE, _("this state was made under other settings (%.150s) than those in effect (%.150s): set the same first"), theirs, ours);
    free(theirs);
    free(ours);
    return rc;
}

static int fits(const eng_session *s, const head *h, const char *json, const char *name, char *err)
{
    const eng_model *m = s->cache->m;
    head own = head_of(s, 0, 0);
    if (h->model != own.model || h->weights != weights_hash(m) || h->n_vocab != own.n_vocab || h->n_layer != own.n_layer ||
        h->n_kv_head != own.n_kv_head || h->head_dim != own.head_dim || (h->kv_rank && h->kv_rank != own.kv_rank) || h->state_floats != own.state_floats)
        return q_fail(err, Q_RANGE, strcmp(name, m->info.name) == 0 ? _("this state is of another file of %.200s: its cells do not fit this one's weights")
                      : _("this state is of another model, %.200s: /model loads that"), name);
    if (strcmp(h->device, own.device) != 0)
        return q_fail(err, Q_RANGE, _("this state was made on another device (%s) than this one (%s), which rounds otherwise: start with the same --device"),
                      h->device, own.device);
    if (h->config != own.config || h->seed != own.seed || h->kv != own.kv)
        return other_settings(s, json, err);
    if (h->centred != own.centred)
        return q_fail(err, Q_RANGE, _("this state was saved when %s cells still held the bias of keys, as these do not: let the conversation be read again, then save it anew"), ker_kv_name((enum ker_kv_type)h->kv));
    if (h->n_tokens > s->context)
        return q_fail(err, Q_RANGE, _("this state holds %d tokens, the context %d: raise context.length"), h->n_tokens, s->context);
    return Q_OK;
}

/* ---- loading ---- */
typedef struct loaded { kv_line line; int32_t *tokens; kv_cell *cells; float *logits; int n_border, border[STATES_MOST], covers[STATES_MOST]; } loaded;

static int take_front(eng_session *s, reading *r, const head *h, loaded *l, char *err)
{
    char *json = NULL, *name = NULL, *note = NULL;
    int rc = take_text(r, h->n_json, &json, err);
    if (!rc)
        rc = take_text(r, h->n_name, &name, err);
    if (!rc)
        rc = take_text(r, h->n_note, &note, err);
    if (!rc)
        rc = fits(s, h, json, name, err);
    free(json);
    free(name);
    free(note);
    l->tokens = q_alloc(sizeof *l->tokens * (size_t)h->n_tokens);
    l->cells = q_alloc(sizeof *l->cells * (size_t)h->n_cells);
    if (!rc)
        rc = take(r, l->tokens, sizeof *l->tokens * (size_t)h->n_tokens, err);
    if (!rc && step_check_tokens(s, l->tokens, h->n_tokens, err))
        rc = damaged(r, err);
    uint64_t chain = s->seed;
    for (int at = 0, n; at < h->n_cells && !rc; at += n) {
        provenance made[KER_PAGE];
        n = h->n_cells - at < KER_PAGE ? h->n_cells - at : KER_PAGE;
        rc = take(r, made, sizeof *made * (size_t)n, err);
        for (int i = 0; i < n && !rc; i++) {
            l->cells[at + i] = (kv_cell){ l->tokens[at + i], made[i].config, made[i].forced };
            chain = kv_chain(chain, l->tokens[at + i], at + i, made[i].config, made[i].forced);
        }
    }
    return rc ? rc : chain == h->chain ? Q_OK : damaged(r, err);
}

static int take_logits(reading *r, const head *h, loaded *l, char *err)
{
    if (!h->n_logits)
        return Q_OK;
    l->logits = q_alloc(sizeof(float) * (size_t)h->n_logits);
    int rc = take(r, l->logits, sizeof(float) * (size_t)h->n_logits, err);
    for (int i = 0; i < h->n_logits && !rc; i++)
        rc = isfinite(l->logits[i]) ? Q_OK : damaged(r, err);
    return rc;
}

static int take_states(eng_session *s, reading *r, const head *h, loaded *l, char *err)
{
    int rc = Q_OK;
    int64_t before = 0, cells;
    char *p = h->n_states ? malloc(4 * (size_t)h->state_floats) : NULL;
    if (h->n_states && !p)
        rc = q_fail(err, Q_NOMEM, _("no memory for a state of the recurrent layers: lower state.memory or context.length"));
    for (int i = 0; i < h->n_states && !rc; i++) {
        if ((rc = take(r, &cells, sizeof cells, err)) || (rc = take(r, p, 4 * (size_t)h->state_floats, err)))
            break;
        if (cells <= before || cells > h->n_cells || (cells == h->n_cells) != (i == h->n_states - 1)) {
            rc = damaged(r, err);
            break;
        }
        int state = kv_state_load(s->cache->pool, &l->line, p, err);
        if (state < 0)
            rc = state == Q_FORMAT ? damaged(r, err) : state;
        else if (i == h->n_states - 1)
            l->line.next = state;
        else {
            l->border[l->n_border] = state;
            l->covers[l->n_border++] = (int)cells;
        }
        before = cells;
    }
    free(p);
    return rc;
}

static int take_cells(eng_session *s, reading *r, const head *h, loaded *l, eng_state_go *go, void *user, char *err)
{
    int rc = Q_OK;
    char *page = malloc((size_t)cells_bytes(h, KER_PAGE));
    if (!page)
        rc = q_fail(err, Q_NOMEM, _("no memory for a page of the cache: close other programs and try again"));
    for (int at = 0, n; at < h->n_cells && !rc; at += n) {
        n = h->n_cells - at < KER_PAGE ? h->n_cells - at : KER_PAGE;
        if ((rc = take(r, page, (size_t)cells_bytes(h, n), err)))
            break;
        if ((rc = kv_line_load(s->cache->pool, &l->line, at / KER_PAGE, n, page)) == Q_FORMAT)
            rc = damaged(r, err);
        else if (rc)
            rc = q_fail(err, rc, _("the cells cannot be brought to the device (code %d): load the model again with /model or start again, or use --device cpu"), rc);
        else if (go && !go(user, at + n, h->n_cells))
            rc = q_fail(err, Q_CANCEL, _("stopped: the state is not taken"));
    }
    free(page);
    if (!rc)
        rc = take_states(s, r, h, l, err);
    uint64_t said, hash = r->hash;
    if (!rc)
        rc = take(r, &said, sizeof said, err);
    return rc ? rc : said == hash && !r->left ? Q_OK : damaged(r, err);
}

/* Pages for the file's cells, beside the timeline's own where there is room, else in their stead. */
static int make_room(eng_session *s, int n, kv_line *to, char *err)
{
    if (kv_extend(s->cache->pool, to, n) == Q_OK)
        return Q_OK;
    kv_release(s->cache->pool, to);
    kv_release(s->cache->pool, &s->line);
    return kv_extend(s->cache->pool, to, n) ? cache_failed(s->cache, Q_NOMEM, err) : Q_OK;
}

static void become(eng_session *s, const head *h, loaded *l)
{
    kv_pool *pool = s->cache->pool;
    step_ahead_drop(s);
    kv_commit(pool, &l->line, l->cells, h->n_cells, s->seed);
    for (int i = 0; i < l->n_border; i++)
        kv_state_settle(pool, &l->line, l->border[i], l->covers[i]);
    l->n_border = 0;
    kv_release(pool, &s->line);
    s->line = l->line;
    l->line = (kv_line){ 0 };
    memcpy(s->tokens, l->tokens, sizeof *s->tokens * (size_t)h->n_tokens);
    s->n_tokens = h->n_tokens;
    step_logits(s, NULL);
    if (l->logits) {
        free(s->user.kept);
        step_logits(s, s->user.kept = l->logits);
        l->logits = NULL;
    }
}

int eng_state_load(eng_session *s, const char *path, eng_state_go *go, void *user, char *err)
{
    reading r;
    head h;
    loaded l = { .tokens = NULL };
    int had = s->line.n, rc = open_state(path, &r, &h, err);
    if (!rc)
        rc = take_front(s, &r, &h, &l, err);
    if (!rc)
        rc = take_logits(&r, &h, &l, err);
    if (!rc)
        rc = make_room(s, h.n_cells, &l.line, err);
    if (!rc)
        rc = take_cells(s, &r, &h, &l, go, user, err);
    if (!rc)
        become(s, &h, &l);
    for (int i = 0; i < l.n_border; i++)
        kv_state_drop(s->cache->pool, l.border[i]);
    kv_release(s->cache->pool, &l.line);             /* what was not committed is nobody's */
    if (rc && had && !s->line.n)                     /* it had made room: what of it was not overwritten is found again */
        kv_reuse(s->cache->pool, &s->line, s->tokens, s->n_tokens, s->seed, s->hash, ENG_CONTINUE);
    free(l.tokens);
    free(l.cells);
    free(l.logits);
    if (r.fd >= 0)
        close(r.fd);
    return rc;
}
