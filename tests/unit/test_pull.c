/* advice/pull without a network but our own: names read and checked, quantisations in names, what a list becomes, which is meant; the journal of a file on its
 * way, whole and damaged; when a server is asked again, and several lines of which some are cut. What goes over a line: tests/advice/pull.test. */
#include "tests/test.h"

#include "advice/pull.h"
#include "advice/pull_ask.h"
#include "advice/pull_hash.h"
#include "advice/pull_name.h"
#include "advice/pull_part.h"
#include "tests/play_server.h"

#include <fcntl.h>
#include <sys/stat.h>

static char dir[] = "/tmp/test-pull-XXXXXX";
static char *at(const char *name) { static char p[4][512]; static int i; i = (i + 1) % 4; snprintf(p[i], sizeof p[i], "%s/%s", dir, name); return p[i]; }

/* ---- names ---- */
static void a_source_is_read(void)
{
    static const struct { const char *what; int kind; const char *owner, *name, *rev, *file, *quant; } row[] = {
        { "hf:Qwen/Qwen3-8B-GGUF", PULL_HF, "Qwen", "Qwen3-8B-GGUF", "main", NULL, NULL },
        { "hf:Qwen/Qwen3-8B-GGUF:Q4_K_M", PULL_HF, "Qwen", "Qwen3-8B-GGUF", "main", NULL, "Q4_K_M" },
        { "HF:a/b@v1.0:auto", PULL_HF, "a", "b", "v1.0", NULL, "auto" },
        { "hf:a/b@0123abc/x/y z.gguf", PULL_HF, "a", "b", "0123abc", "x/y z.gguf", NULL },
        { "hf:a/b/x:y.gguf", PULL_HF, "a", "b", "main", "x:y.gguf", NULL },
        { "ms:a/b/c.gguf", PULL_MS, "a", "b", "master", "c.gguf", NULL },
        { "https://huggingface.co/a/b", PULL_HF, "a", "b", "main", NULL, NULL },
        { "https://huggingface.co/a/b/", PULL_HF, "a", "b", "main", NULL, NULL },
        { "https://huggingface.co/a/b/tree/dev", PULL_HF, "a", "b", "dev", NULL, NULL },
        { "https://huggingface.co/a/b/blob/main/x%20y.gguf?download=true", PULL_HF, "a", "b", "main", "x y.gguf", NULL },
        { "https://hf.co/a/b/resolve/main/x.gguf", PULL_HF, "a", "b", "main", "x.gguf", NULL },
        { "https://modelscope.cn/models/a/b/resolve/master/x.gguf", PULL_MS, "a", "b", "master", "x.gguf", NULL },
        { "http://example.org/d/x%2Dy.gguf?key=1", PULL_URL, NULL, NULL, NULL, "x-y.gguf", NULL } };
    char err[Q_ERRLEN];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        pull_source s;
        int rc = pull_source_read(row[i].what, &s, err);
        CHECK_MSG(rc == Q_OK, "%s: %s", row[i].what, rc < 0 ? err : "");
        if (rc == Q_OK) {
            const char *got[] = { s.owner, s.name, s.rev, s.file, s.quant }, *want[] = { row[i].owner, row[i].name, row[i].rev, row[i].file, row[i].quant };
            CHECK_INT((int)s.kind, row[i].kind);
            for (int k = 0; k < 5; k++)
                CHECK_MSG((!got[k] && !want[k]) || (got[k] && want[k] && strcmp(got[k], want[k]) == 0), "%s: %d is %s", row[i].what, k, got[k] ? got[k] : "-");
        }
        pull_source_free(&s);
    }
    static const char *const no[] = { "", "x", "a/b", "hf:", "hf:a", "hf:a/", "hf:/b", "hf:../b", "hf:a/..", "hf:a/b:", "hf:a/b:x y", "hf:a/b@", "hf:a/b/../c", "hf:a/b/.x", "hf:a/b//c", "hf:a/b\\c",
        "hf:a/b/\xff", "hf:a/b/x\n", "ftp://x/y", "http://x", "http://x/", "http://x/%2e%2e", "http://x/a%2Fb", "http://x/%0a", "http://x/y#sha256=0", "https://huggingface.co/a" };
    for (size_t i = 0; i < sizeof no / sizeof *no; i++) {
        pull_source s;
        *err = 0;
        CHECK_MSG(pull_source_read(no[i], &s, err) == Q_FORMAT && *err, "%s", no[i]);
        pull_source_free(&s);
    }
}

static void quantisations_are_found_in_names(void)
{
    static const struct { const char *path, *quant; } row[] = { { "Qwen3-30B-A3B-Q4_K_M.gguf", "Q4_K_M" }, { "Qwen3-30B-A3B-UD-Q4_K_XL.gguf", "UD-Q4_K_XL" },
        { "m.Q8_0.gguf", "Q8_0" }, { "m-iq2_xxs.gguf", "IQ2_XXS" }, { "gpt-oss-20b-mxfp4.gguf", "MXFP4" }, { "m-MXFP4_MOE.gguf", "MXFP4_MOE" }, { "BF16/m-00001-of-00002.gguf", "BF16" },
        { "UD-Q2_K_XL/m-UD-Q2_K_XL-00003-of-00009.gguf", "UD-Q2_K_XL" }, { "Llama-3.2-1B-Instruct-f16.gguf", "F16" }, { "f16-to-Q4_0.gguf", "Q4_0" }, { "m-TQ1_0.gguf", "TQ1_0" },
        { "m_q5_k_s.gguf", "Q5_K_S" }, { "m-Q4_0_4_4.gguf", "Q4_0_4_4" }, { "model.gguf", "" }, { "Q4.gguf", "" }, { "m-Q9_0.gguf", "" }, { "BF16x.gguf", "" }, { "", "" } };
    char q[24];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        pull_quant_of(row[i].path, q);
        CHECK_MSG(strcmp(q, row[i].quant) == 0, "%s: %s", row[i].path, q);
    }
}

static void locations_are_joined(void)
{
    static const struct { const char *base, *to, *want; } row[] = { { "https://h:1/a/b?q", "https://x/y", "https://x/y" }, { "https://h:1/a/b", "/c", "https://h:1/c" }, { "https://h/a/b?x=/y", "c", "https://h/a/c" },
        { "http://h", "c", "http://h/c" }, { "https://h/a", "//x/y", "https://x/y" }, { "https://h/a/b?q", "?r", "https://h/a/b?r" }, { "https://h/a", "/c?u=http://z", "https://h/c?u=http://z" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char *got = pull_join(row[i].base, row[i].to);
        CHECK_STR(got, row[i].want);
        free(got);
    }
    char *e = pull_encode("папка/a b%.gguf");
    CHECK_STR(e, "%D0%BF%D0%B0%D0%BF%D0%BA%D0%B0/a%20b%25.gguf");
    free(e);
}

/* ---- the journal ---- */
enum { MIB = 1 << 20 };
static const char *const SHA = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static uint64_t begun(const char *name, uint64_t bytes, const char *sha, const char *validator, bool anew)
{
    char err[Q_ERRLEN] = "";
    pull_part p;
    uint64_t had = 77;
    CHECK_INT(pull_part_open(at(name), &p, err), Q_OK);
    CHECK_INT(pull_part_begin(&p, &(pull_mark){ bytes, sha, validator }, anew, &had, err), Q_OK);
    CHECK_STR(err, "");
    pull_part_close(&p);
    return had;
}

static void written(const char *name, uint64_t bytes, const char *sha, const char *validator)
{
    char err[Q_ERRLEN];
    pull_part p;
    uint64_t had;
    pull_part_open(at(name), &p, err);
    pull_part_begin(&p, &(pull_mark){ bytes, sha, validator }, true, &had, err);
    atomic_store(&p.got[0], MIB);
    atomic_store(&p.got[2], 12345);
    CHECK_INT(pull_part_note(&p, err), Q_OK);
    atomic_store(&p.got[2], 23456);
    CHECK_INT(pull_part_note(&p, err), Q_OK);
    atomic_store(&p.got[1], 5);          /* not noted: not there */
    pull_part_close(&p);
}

static void a_journal_is_gone_on_with(void)
{
    enum { BYTES = 5 * MIB + 3 };
    written("f", BYTES, SHA, "");
    CHECK_INT(pull_part_peek(at("f"), &(pull_mark){ BYTES, SHA, "" }), MIB + 23456);
    CHECK_INT(pull_part_peek(at("f"), &(pull_mark){ BYTES, SHA, NULL }), MIB + 23456);
    CHECK_INT(begun("f", BYTES, SHA, "\"other\"", false), MIB + 23456);        /* a hash says more than a validator */
    CHECK_INT(begun("f", BYTES, SHA, "", false), MIB + 23456);
    CHECK_INT(begun("f", BYTES, SHA, "", true), 0);
    written("f", BYTES, SHA, "");
    CHECK_INT(begun("f", BYTES + 1, SHA, "", false), 0);
    written("f", BYTES, SHA, "");
    CHECK_INT(begun("f", BYTES, "", "\"v\"", false), 0);
    written("f", BYTES, "", "\"v\"");
    CHECK_INT(pull_part_peek(at("f"), &(pull_mark){ BYTES, "", NULL }), MIB + 23456);
    CHECK_INT(begun("f", BYTES, "", "\"v\"", false), MIB + 23456);
    CHECK_INT(begun("f", BYTES, "", "\"w\"", false), 0);
    written("f", BYTES, "", "");
    CHECK_INT(begun("f", BYTES, "", "", false), 0);          /* nothing says that it is the same file */
    written("f", BYTES, SHA, "");
    CHECK_INT(truncate(at("f.part"), BYTES - 1), 0);
    CHECK_INT(begun("f", BYTES, SHA, "", false), 0);
}

/* Whatever stands in a journal, no chunk has more than it holds. */
static void a_damaged_journal_does_no_harm(void)
{
    enum { BYTES = 5 * MIB + 3 };
    char err[Q_ERRLEN];
    q_buf good = { 0 };
    written("d", BYTES, SHA, "");
    CHECK_INT(q_read_file(at("d.part.log"), &good, MIB, err), Q_OK);
    uint64_t r[4] = { 1, 2, 3, 4 };
    for (int i = 0; i < 3000; i++) {
        q_buf bad = { 0 };
        q_buf_add(&bad, good.p, good.len);
        for (int k = 0; k < 1 + i % 3; k++)
            bad.p[q_random(r) % bad.len] = "0123456789 \n-\xff"[q_random(r) % 14];
        bad.len -= q_random(r) % (i % 2 ? 1 : bad.len);
        FILE *f = fopen(at("d.part.log"), "w");
        CHECK(f && fwrite(bad.p, 1, bad.len, f) == bad.len && fclose(f) == 0);
        uint64_t had = pull_part_peek(at("d"), &(pull_mark){ BYTES, SHA, "" });
        CHECK(had <= BYTES);
        q_buf_free(&bad);
    }
    q_buf half = { 0 };                  /* half a line does not count, a later line of a chunk does */
    q_buf_add(&half, good.p, good.len);
    q_buf_puts(&half, "2 1\n3 77\n99 5\n4 999999999\n1 1048");
    q_write_file_atomic(at("d.part.log"), half.p, half.len, err);
    CHECK_INT(pull_part_peek(at("d"), &(pull_mark){ BYTES, SHA, "" }), MIB + 1 + 77);
    q_buf_free(&half);
    q_buf_free(&good);
}

static void one_brings_a_file_at_a_time(void)
{
    char err[Q_ERRLEN] = "";
    pull_part a, b;
    uint64_t had;
    CHECK_INT(pull_part_open(at("l"), &a, err), Q_OK);
    CHECK_INT(pull_part_open(at("l"), &b, err), Q_RANGE);
    CHECK(strstr(err, "another quorum") != NULL);
    pull_part_close(&b);
    pull_part_begin(&a, &(pull_mark){ 3, SHA, "" }, false, &had, err);
    CHECK_INT(pwrite(a.fd, "abc", 3, 0), 3);
    CHECK_INT(q_write_file_atomic(at("l"), "x", 1, err), Q_OK);
    CHECK_INT(pull_part_put(&a, false, err), Q_RANGE);       /* somebody else's file is not written over */
    unlink(at("l"));
    CHECK_INT(pull_part_put(&a, false, err), Q_OK);
    pull_part_close(&a);
    q_buf text = { 0 };
    CHECK_INT(q_read_file(at("l"), &text, 10, err), Q_OK);
    CHECK_STR(text.p, "abc");
    q_buf_free(&text);
    CHECK(access(at("l.part"), F_OK) && access(at("l.part.log"), F_OK));
    CHECK_INT(symlink("/etc/passwd", at("s.part")), 0);      /* a link that lies there is not written through */
    CHECK_INT(pull_part_open(at("s"), &b, err), Q_IO);
    pull_part_close(&b);
}

/* ---- patience ---- */
static void servers_are_asked_again_with_patience(void)
{
    pull_answer a = { .retry_after = -1 };
    CHECK_INT(pull_pause(0, 500, &a), 500);
    CHECK_INT(pull_pause(3, 500, &a), 4000);
    CHECK_INT(pull_pause(7, 500, &a), 30000);
    CHECK_INT(pull_pause(PULL_TRIES, 500, &a), -1);
    a.retry_after = 60;
    CHECK_INT(pull_pause(0, 500, &a), 60000);
    a.retry_after = 0;
    CHECK_INT(pull_pause(1, 500, &a), 1000);
    a.retry_after = PULL_PATIENCE_S + 1;
    CHECK_INT(pull_pause(0, 500, &a), -1);
    static const int again[] = { 408, 425, 429, 500, 502, 503, 504 }, never[] = { 200, 206, 400, 401, 403, 404, 416 };
    for (size_t i = 0; i < sizeof again / sizeof *again; i++)
        CHECK(pull_again(Q_OK, &(pull_answer){ .status = again[i] }));
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        CHECK(!pull_again(Q_OK, &(pull_answer){ .status = never[i] }));
    CHECK(pull_again(Q_IO, &(pull_answer){ .status = 0 }) && !pull_again(Q_CANCEL, &(pull_answer){ .status = 0 }));
}

/* The blob of "hello\n" as git hash-object has it, and the SHA-256 of the same bytes. */
static void both_hashes_are_known(void)
{
    adv_pull_file git = { .bytes = 6, .git = "ce013625030ba8dba906f756967f9e9ca394464a" };
    adv_pull_file sha = { .bytes = 6, .sha256 = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03" };
    for (int i = 0; i < 2; i++) {
        pull_hash h;
        pull_hash_begin(&h, i ? &git : &sha);
        pull_hash_add(&h, "hel", 3);
        pull_hash_add(&h, "lo\n", 3);
        CHECK(pull_hash_right(&h, i ? &git : &sha));
        pull_hash_begin(&h, i ? &git : &sha);
        pull_hash_add(&h, "hello!", 6);
        CHECK(!pull_hash_right(&h, i ? &git : &sha));
    }
}

/* ---- answers that no server should give ---- */
static const char *const odd[] = {
    "HTTP/1.1 302 F\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 302 F\r\nLocation: javascript:x\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 302 F\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 302 F\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 302 F\r\nLocation: \r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 302 F\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 206 P\r\nContent-Range: bytes 5-3/9\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/99999999999999999999999\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 206 P\r\nContent-Range: lines 0-0/9\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 206 P\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 200 O\r\nContent-Length: -5\r\n\r\n", "HTTP/1.1 200 O\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/36028797018963968\r\nContent-Length: 1\r\n\r\nx", "HTTP/1.1 206 P\r\nContent-Range: bytes 0-0/4611686018427387903\r\nContent-Length: 1\r\n\r\nx",
    "HTTP/1.1 200 O\r\nContent-Length: 36028797018963968\r\n\r\nx", "SSH-2.0-x\r\n", "HTTP/1.1 204 N\r\n\r\n", "HTTP/1.1 416 R\r\nContent-Range: bytes */0\r\nContent-Length: 0\r\n\r\n" };

static bool answer_odd(play *p, int fd, const char *request, const char *body, int number)
{
    play_text(fd, odd[*(int *)p->user]);
    return false;
}

static void odd_answers_end_in_a_sentence_or_a_file(void)
{
    int i = 0;
    play *p = play_open(answer_odd, &i, NULL);
    for (; i < (int)(sizeof odd / sizeof *odd); i++) {
        char err[Q_ERRLEN] = "", *url = q_printf("%s/f%d.bin", p->url, i);
        adv_pull_repo *r = NULL;
        adv_pull_way w = { .pause_ms = 1, .stall_s = 2 };
        int rc = adv_pull_list(url, &w, &r, err), checked;
        if (rc == Q_OK)
            rc = adv_pull_get(r, 0, 1, at("odd"), &w, &checked, err);
        bool empty = i == (int)(sizeof odd / sizeof *odd) - 1;
        CHECK_MSG(empty ? rc == Q_OK : rc < 0 && *err, "%d: %d %s", i, rc, err);
        adv_pull_free(r);
        free(url);
    }
    play_close(p);
}

/* ---- several lines at once ---- */
typedef struct store { char *data; size_t n; bool again; atomic_int cuts; } store;

static bool answer_ranges(play *p, int fd, const char *request, const char *body, int number)
{
    store *s = p->user;
    unsigned long long from, to;
    const char *range = strstr(request, "Range: bytes=");
    if (!range || sscanf(range, "Range: bytes=%llu-%llu", &from, &to) != 2 || from >= s->n)
        return play_reply(fd, 400, "text/plain", "", "") && false;
    if (to >= s->n)
        to = s->n - 1;
    size_t n = (size_t)(to - from + 1);
    bool cut = s->again && n > 1000 && number % 3 == 1;
    char *head = q_printf("HTTP/1.1 206 P\r\nETag: \"e\"\r\nContent-Range: bytes %llu-%llu/%zu\r\nContent-Length: %zu\r\n\r\n", from, to, s->n, n);
    bool ok = play_text(fd, head) && play_bytes(fd, s->data + from, cut ? n / 3 : n);
    free(head);
    atomic_fetch_add(&s->cuts, cut);
    return ok && !cut;
}

static void several_lines_bring_the_same_bytes(void)
{
    store s = { .data = q_alloc(11 * MIB), .n = 10 * MIB + 321 };
    uint64_t r[4] = { 5, 6, 7, 8 };
    for (size_t i = 0; i + 8 <= s.n; i += 8) {
        uint64_t x = q_random(r);
        memcpy(s.data + i, &x, 8);
    }
    char hex[65];
    q_sha256(s.data, s.n, hex);
    play *p = play_open(answer_ranges, &s, NULL);
    for (int lines = 1; lines <= ADV_PULL_LINES; lines += 7)
        for (int again = 0; again < 2; again++) {
            char err[Q_ERRLEN] = "", *url = q_printf("%s/f-%d-%d.bin#sha256=%s", p->url, lines, again, hex), *file = q_printf("%s/f-%d-%d.bin", at("lines"), lines, again);
            adv_pull_repo *repo = NULL;
            adv_pull_way w = { .pause_ms = 1, .lines = lines };
            int checked = 0;
            s.again = again;
            CHECK_INT(adv_pull_list(url, &w, &repo, err), Q_OK);
            CHECK_MSG(repo && adv_pull_get(repo, 0, 1, at("lines"), &w, &checked, err) == Q_OK, "%s", err);
            CHECK_INT(checked, 1);
            q_buf got = { 0 };
            CHECK_INT(q_read_file(file, &got, 11 * MIB, err), Q_OK);
            CHECK(got.len == s.n && memcmp(got.p, s.data, s.n) == 0);
            q_buf_free(&got);
            adv_pull_free(repo);
            free(url);
            free(file);
        }
    CHECK(atomic_load(&s.cuts) > 3);
    play_close(p);
    free(s.data);
}

/* A list, and what is meant of it. */
static bool answer_list(play *p, int fd, const char *request, const char *body, int number)
{
    return play_json(fd, p->user);
}

static void what_is_meant_is_chosen(void)
{
    static char list[] = "[{\"type\":\"file\",\"path\":\"a-Q8_0.gguf\",\"size\":9000000000},{\"type\":\"file\",\"path\":\"a-Q4_K_M.gguf\",\"size\":5000000000},"
        "{\"type\":\"file\",\"path\":\"UD/a-UD-Q2_K-00002-of-00002.gguf\",\"size\":1},{\"type\":\"file\",\"path\":\"UD/a-UD-Q2_K-00001-of-00002.gguf\",\"size\":2},"
        "{\"type\":\"file\",\"path\":\"b-Q4_K_M.gguf\",\"size\":4000000000},{\"type\":\"file\",\"path\":\"mmproj-F16.gguf\",\"size\":7},{\"type\":\"directory\",\"path\":\"UD\",\"size\":0}]";
    static const uint64_t GB = 1000000000;
    static const struct { const char *behind; uint64_t gb; int rc; const char *first; int n; } row[] = { { "", 99, Q_RANGE, NULL, 0 }, { ":Q8_0", 0, Q_OK, "a-Q8_0.gguf", 1 }, { ":Q4_K_M", 99, Q_RANGE, NULL, 0 },
        { ":Q2_K", 99, Q_OK, "UD/a-UD-Q2_K-00001-of-00002.gguf", 2 }, { ":auto", 99, Q_OK, "a-Q8_0.gguf", 1 }, { ":auto", 7, Q_OK, "a-Q4_K_M.gguf", 1 }, { ":AUTO", 6, Q_OK, "b-Q4_K_M.gguf", 1 }, { ":auto", 0, Q_NOTFOUND, NULL, 0 },
        { ":Q3_K", 99, Q_NOTFOUND, NULL, 0 }, { "/a-UD-Q2_K-00002-of-00002.gguf", 0, Q_OK, "UD/a-UD-Q2_K-00001-of-00002.gguf", 2 }, { "/UD/a-UD-Q2_K", 0, Q_OK, "UD/a-UD-Q2_K-00001-of-00002.gguf", 2 },
        { "/mmproj-F16.gguf", 0, Q_OK, "mmproj-F16.gguf", 1 }, { "/x.gguf", 0, Q_NOTFOUND, NULL, 0 }, { ":all", 0, Q_OK, "UD/a-UD-Q2_K-00001-of-00002.gguf", 6 } };
    play *p = play_open(answer_list, list, NULL);
    setenv("QUORUM_HUB", p->url, 1);
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        char err[Q_ERRLEN] = "", *what = q_printf("hf:o/n%s", row[i].behind);
        adv_pull_repo *r = NULL;
        int first = -1, n = -1;
        CHECK_INT(adv_pull_list(what, NULL, &r, err), Q_OK);
        int rc = r ? adv_pull_choose(r, &(adv_machine){ .ram_free = row[i].gb * GB }, &first, &n, err) : Q_ERR;
        CHECK_MSG(rc == row[i].rc, "%s: %d %s", what, rc, err);
        if (rc == Q_OK && row[i].rc == Q_OK) {
            CHECK_STR(r->file[first].path, row[i].first);
            CHECK_INT(n, row[i].n);
        }
        adv_pull_free(r);
        free(what);
    }
    unsetenv("QUORUM_HUB");
    play_close(p);
}

/* What the catalogue knows of a model decides with its bytes: of 30B-A3B routed experts may lie in RAM beside a small GPU, or on the disk; of a stranger's
 * file of the same size nobody knows that. Numbers: catalogue's shape of 30b-a3b, 48 layers, 128 experts, 96 KiB a token in f16. */
static void what_fits_is_known_by_shape(void)
{
    static const char *const title[] = { "Qwen/Qwen3-30B-A3B-GGUF", "o/stranger" };
    static char list[] = "[{\"type\":\"file\",\"path\":\"x-Q4_K_M.gguf\",\"size\":18556689568},{\"type\":\"file\",\"path\":\"x-UD-Q5_K_XL.gguf\",\"size\":21740000000}]";
    static const uint64_t GIB = (uint64_t)1 << 30;
    static const struct { uint64_t ram, gpu; enum adv_place known, stranger; } row[] = { { 64, 0, ADV_RAM, ADV_RAM }, { 12, 0, ADV_DISK, ADV_NOWHERE }, { 16, 8, ADV_SPLIT, ADV_SPLIT },
        { 4, 32, ADV_GPU, ADV_GPU }, { 1, 0, ADV_NOWHERE, ADV_NOWHERE } };
    play *p = play_open(answer_list, list, NULL);
    setenv("QUORUM_HUB", p->url, 1);
    for (int t = 0; t < 2; t++) {
        char err[Q_ERRLEN] = "", *what = q_printf("hf:%s", title[t]);
        adv_pull_repo *r = NULL;
        CHECK_INT(adv_pull_list(what, NULL, &r, err), Q_OK);
        CHECK(r && (r->known != NULL) == !t && (r->variant != NULL) == !t);
        for (size_t i = 0; r && i < sizeof row / sizeof *row; i++) {
            adv_machine m = { .ram_free = row[i].ram * GIB, .n_gpu = row[i].gpu > 0, .gpu[0].free = row[i].gpu * GIB };
            int context;
            for (int k = 0; k < r->n_set; k++) {
                enum adv_place got = adv_pull_place(r, &r->set[k], &m, &context);
                CHECK_MSG(got == (t ? row[i].stranger : row[i].known), "%s, %d GiB: %d", r->set[k].quant, (int)row[i].ram, (int)got);
                CHECK((context > 0) == (!t && got != ADV_NOWHERE));
            }
        }
        adv_pull_free(r);
        free(what);
    }
    unsetenv("QUORUM_HUB");
    play_close(p);
    char err[Q_ERRLEN] = "";
    adv_pull_repo *r;
    CHECK_INT(adv_pull_list("Qwen3-4B-Instruct-2507:Q4_K_M", NULL, &r, err), Q_FORMAT);
    CHECK_MSG(strstr(err, "hf:unsloth/Qwen3-4B-Instruct-2507-GGUF:Q4_K_M") != NULL, "%s", err);
}

int main(void)
{
    static const char *const others[] = { "QUORUM_HUB", "HF_ENDPOINT", "MODELSCOPE_DOMAIN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "http_proxy", "https_proxy" };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        unsetenv(others[i]);
    if (!mkdtemp(dir))
        return 1;
    setenv("HOME", dir, 1);
    RUN(a_source_is_read);
    RUN(quantisations_are_found_in_names);
    RUN(locations_are_joined);
    RUN(a_journal_is_gone_on_with);
    RUN(a_damaged_journal_does_no_harm);
    RUN(one_brings_a_file_at_a_time);
    RUN(servers_are_asked_again_with_patience);
    RUN(both_hashes_are_known);
    RUN(odd_answers_end_in_a_sentence_or_a_file);
    RUN(several_lines_bring_the_same_bytes);
    RUN(what_is_meant_is_chosen);
    RUN(what_fits_is_known_by_shape);
    char *rm = q_printf("rm -rf '%s'", dir);
    if (system(rm))
        return 1;
    free(rm);
    return TEST_END();
}
