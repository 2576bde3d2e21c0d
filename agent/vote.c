/* agent/vote: /vote: one question answered several times at several values of a knob, and what most of the short answers say.
 * In caches of its own: neither the question nor the answers become part of the conversation. Engine thread. */
#include "base/say.h"
#include "agent/errands.h"
#include "agent/talk.h"
#include "lab/lab.h"
#include "provider/provider.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 16, SHOWN = 56 };

typedef struct asked {
    char *line, *question;               /* question lies in line */
    char *spec[VALUES]; int n_spec;      /* "k=4"; none: one, NULL: as it is set now */
    long each;
} asked;

static int usage(char *err)
{
    return q_fail(err, Q_RANGE, _("/vote [k=4,8,16] [n=3] QUESTION: one knob with up to %d values, n answers at each, %d in all"), VALUES, LAB_VOICES);
}

static int read_values(asked *q, const char *word, char *err)
{
    const char *eq = strchr(word, '=');
    if (q->n_spec)
        return usage(err);
    for (const char *p = eq + 1;; p++) {
        size_t n = strcspn(p, ",");
        if (n == 0 || q->n_spec == VALUES)
            return usage(err);
        q->spec[q->n_spec++] = q_printf("%.*s=%.*s", (int)(eq - word), word, (int)n, p);
        p += n;
        if (!*p)
            return Q_OK;
    }
}

static int read_line(const char *text, asked *q, char *err)
{
    *q = (asked){ .line = q_strdup(text), .each = 3 };
    char *p = q->line;
    for (int rc = Q_OK; rc == Q_OK;) {
        p += strspn(p, " \t\n");
        size_t n = strcspn(p, " \t\n"), name = strspn(p, "abcdefghijklmnopqrstuvwxyz_.");
        if (name == 0 || p[name] != '=' || name > n)
            break;
        char *word = q_strndup(p, n), *end;
        if (strncmp(word, "n=", 2) == 0) {
            q->each = strtol(word + 2, &end, 10);
            rc = *end || end == word + 2 || q->each < 1 || q->each > LAB_VOICES ? usage(err) : Q_OK;
        } else
            rc = read_values(q, word, err);
        free(word);
        p += n;
        if (rc)
            return rc;
    }
    q->question = p;
    q->n_spec = q->n_spec ? q->n_spec : 1;
    return *p && q->n_spec * q->each <= LAB_VOICES ? Q_OK : usage(err);
}

static const char *name_of(const asked *q, int i) { return q->spec[i] ? q->spec[i] : _("now"); }

/* What it will cost, said before anything is evaluated. */
static int foretell(agt *a, struct eng_cache *beside, const asked *q, const char *now, int most, char *err)
{
    q_buf b = { 0 };
    char w[32];
    uint64_t bytes, all = 0;
    int rc = Q_OK, answers = q->n_spec * (int)q->each;
    for (int i = 0; i < q->n_spec && rc == Q_OK; i++) {
        rc = lab_spec_cost(beside, now, q->spec[i], &bytes, err);
        q_buf_say(&b, _("%s%s reads %s a token"), i ? ", " : "", name_of(q, i), q_bytes_words(bytes, w));
        all += bytes * (uint64_t)q->each * (uint64_t)most;
    }
    if (rc == Q_OK)
        note(&a->events, AGT_INFO, ngettext("/vote: %d answer of up to %d tokens; %s; at most %s of weights in all",
                                            "/vote: %d answers of up to %d tokens; %s; at most %s of weights in all", (unsigned long)answers),
             answers, most, b.p, q_bytes_words(all, w));
    q_buf_free(&b);
    return rc;
}

static void first_line(q_buf *out, const char *s)
{
    s += strspn(s, " \t\r\n");
    size_t n = strcspn(s, "\r\n"), fit = n < SHOWN ? n : SHOWN;
    fit = fit < n ? q_utf8_whole(s, fit) : fit;
    char *part = q_strndup(s, fit);
    q_buf_say(out, "%s%s", part, s[fit] ? "…" : "");
    free(part);
}

static char *as_json(const asked *q, const lab_voice *voice, const lab_answer *v, char *const *key, int best, int votes, int most, bool majority)
{
    cJSON *j = cJSON_CreateObject(), *all = cJSON_CreateArray();
    cJSON_AddStringToObject(j, "question", q->question);
    cJSON_AddItemToObject(j, "answers", all);
    for (int i = 0; i < q->n_spec * (int)q->each; i++) {
        cJSON *one = cJSON_CreateObject();
        char seed[24];
        cJSON_AddStringToObject(one, "settings", q->spec[i / q->each] ? q->spec[i / q->each] : "now");
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)voice[i].seed);
        cJSON_AddRawToObject(one, "seed", seed);         /* cJSON writes 15 digits of a number */
        cJSON_AddStringToObject(one, "text", v[i].text);
        cJSON_AddItemToObject(one, "counted_as", key[i] ? cJSON_CreateString(key[i]) : cJSON_CreateNull());
        cJSON_AddNumberToObject(one, "tokens", v[i].n);
        cJSON_AddBoolToObject(one, "ended", v[i].ended);
        cJSON_AddNumberToObject(one, "bytes_per_token", (double)v[i].bytes);
        cJSON_AddItemToArray(all, one);
    }
    cJSON_AddItemToObject(j, "most", best >= 0 ? cJSON_CreateString(key[best]) : cJSON_CreateNull());
    cJSON_AddNumberToObject(j, "for_it", most);
    cJSON_AddNumberToObject(j, "votes", votes);
    cJSON_AddBoolToObject(j, "majority", majority);
    char *s = cJSON_PrintUnformatted(j), *own = q_strdup(s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(j);
    return own;
}

static void tell(agt *a, const asked *q, const lab_voice *voice, const lab_answer *v, double seconds)
{
    int n = q->n_spec * (int)q->each, best, votes, tokens = 0, long_ones = 0;
    bool majority;
    char **key = q_alloc(sizeof *key * (size_t)n), w[32];
    uint64_t bytes = 0;
    q_buf b = { 0 };
    for (int i = 0; i < n; i++) {
        key[i] = v[i].ended ? lab_vote_key(v[i].text) : NULL;        /* one that was cut off is no answer yet */
        tokens += v[i].n;
        bytes += v[i].bytes * (uint64_t)v[i].n;
        long_ones += !key[i];
    }
    int most = lab_vote_count(key, n, &best, &votes, &majority);
    q_buf_say(&b, "%s\n\n", q->question);
    for (int s = 0; s < q->n_spec; s++)
        for (int i = s * (int)q->each; i < (s + 1) * (int)q->each; i++) {
            bool with = best >= 0 && key[i] && strcmp(key[i], key[best]) == 0;
            q_buf_say(&b, "%-14s %s ", i % q->each ? "" : name_of(q, s), with ? "*" : key[i] ? " " : "-");
            first_line(&b, v[i].text);
            q_buf_putc(&b, '\n');
        }
    q_buf_putc(&b, '\n');
    if (best < 0)
        q_buf_say(&b, _("no vote: none of the answers is short; ask for one word or a number\n"));
    else {
        q_buf_say(&b, majority ? _("majority: %s, %d of %d") : _("no majority; most often: %s, %d of %d"), key[best], most, votes);
        for (int s = 0; s < q->n_spec && q->n_spec > 1; s++) {
            int same = 0;
            for (int i = s * (int)q->each; i < (s + 1) * (int)q->each; i++)
                same += key[i] && strcmp(key[i], key[best]) == 0;
            q_buf_say(&b, "%s%s %d/%ld", s ? ", " : " (", name_of(q, s), same, q->each);
        }
        q_buf_puts(&b, q->n_spec > 1 ? ")\n" : "\n");
    }
    if (long_ones)
        q_buf_say(&b, _("- not counted: long, or cut off (%d)\n"), long_ones);
    q_buf_say(&b, _("cost: %d tokens in %.1f s together; given one by one they read %s of weights\n"), tokens, seconds, q_bytes_words(bytes, w));
    q_buf_say(&b, _("\nA varied k gives diversity, and a majority is agreement, not truth. No\n"
                    "controlled study shows that more experts than the trained number improve\na model like Qwen3-30B.\n"));
    note_page(&a->events, "/vote", q_buf_take(&b), as_json(q, voice, v, key, best, votes, most, majority));
    for (int i = 0; i < n; i++)
        free(key[i]);
    free(key);
}

/* The question after what was said so far, as the model reads it; nothing is searched in memory. */
static int ids_of(agt *a, const char *question, int32_t **ids, char *err)
{
    mem_messages path = { q_alloc(sizeof *path.v * (size_t)(a->chat.path.n + 1)), a->chat.path.n + 1 };
    for (int i = 0; i < path.n - 1; i++)
        path.v[i] = a->chat.path.v[i];
    path.v[path.n - 1] = (mem_message){ .role = MEM_USER, .text = (char *)(uintptr_t)question };
    int n = measure_ids(a, &path, ids, err);
    free(path.v);
    return n;
}

static int ask_all(agt *a, struct eng_cache *beside, const asked *q, const char *now, char *err)
{
    int32_t *ids = NULL;
    int most = measure_most(a), n = ids_of(a, q->question, &ids, err), answers = q->n_spec * (int)q->each;
    int rc = n < 0 ? n : foretell(a, beside, q, now, most, err);
    lab_voice voice[LAB_VOICES];
    lab_answer said[LAB_VOICES];
    uint64_t seed = measure_seed(a);
    const uint64_t largest = UINT64_C(1) << 53;      /* of sampler.seed; behind it comes 1 */
    for (int i = 0; i < answers; i++)
        voice[i] = (lab_voice){ .spec = q->spec[i / q->each], .seed = (seed - 1 + (uint64_t)(i % q->each)) % largest + 1 };
    if (rc == Q_OK) {
        measuring work = measure_begin(a, "/vote");
        lab_ask ask = { .prompt = ids, .n = n, .now = now, .voice = voice, .n_voice = answers, .most = most };
        rc = lab_answer_beside(beside, &ask, &(lab_terms){ .go_on = measure_go_on, .user = &work }, said, err);
        measure_end(&work);
        if (rc == Q_OK)
            tell(a, q, voice, said, (double)(q_now_ns() - work.from_ns) / 1e9);
        lab_answers_free(said, answers);
    }
    free(ids);
    return rc;
}

static void vote(agt *a, const job *j)
{
    char err[Q_ERRLEN], *now = NULL;
    asked q;
    struct eng_cache *beside = NULL;
    int rc = read_line(j->text, &q, err);
    if (rc == Q_OK && !(beside = measure_cache(a, err)))
        rc = Q_NOTFOUND;
    if (rc == Q_OK) {
        now = prov_config_json(a->seat.cfg);
        rc = ask_all(a, beside, &q, now, err);
    }
    if (rc < 0)
        note(&a->events, rc == Q_CANCEL ? AGT_WARN : AGT_ERROR, "%s", err);
    for (int i = 0; i < VALUES; i++)
        free(q.spec[i]);
    free(q.line);
    free(now);
}

const job_row job_vote = { .name = "vote", .lane = LANE_ENGINE, .end = END_DROPPED, .answers = true, .run = vote };
