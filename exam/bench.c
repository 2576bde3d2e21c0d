/* exam/bench: programs of a reply, run in the sandbox (tools/sandbox.h) in a folder of their own without the network, on each of a question's inputs.
 * Threads: read-only once it is made; every run has a folder of its own. */
#include "exam/parts.h"
#include "tools/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALL_S = 30, CPU_S = 10 };           /* a busy machine is no wrong answer */
struct exam_bench { sandbox box; };

exam_bench *exam_bench_new(char *why)
{
    exam_bench *b = q_alloc(sizeof *b);
    char *python = q_find_program("python3");
    int rc = python ? sandbox_find(SANDBOX_BWRAP, &b->box, why) : q_fail(why, Q_NOTFOUND, _("there is no python3 in the PATH: install it, and programs can be checked"));
    if (rc == Q_OK && b->box.kind == SANDBOX_NONE) {       /* what a model wrote is not run bare */
        q_fail(why, Q_NOTFOUND, _("no sandbox works here, so programs are not run: install bubblewrap"));
        sandbox_free(&b->box);
        rc = Q_NOTFOUND;
    }
    free(python);
    if (rc == Q_OK) return b;
    free(b);
    return NULL;
}

void exam_bench_free(exam_bench *b)
{
    if (!b) return;
    sandbox_free(&b->box);
    free(b);
}

/* The same words in the same order: blanks and a line's end more do not count. */
static bool same_output(const q_buf *said, const char *want)
{
    char *a = q_strndup(said->p ? said->p : "", said->len), *b = q_strdup(want), *sa = NULL, *sb = NULL;
    char *x = strtok_r(a, " \t\r\n", &sa), *y = strtok_r(b, " \t\r\n", &sb);
    while (x && y && !strcmp(x, y)) {
        x = strtok_r(NULL, " \t\r\n", &sa);
        y = strtok_r(NULL, " \t\r\n", &sb);
    }
    bool same = !x && !y;
    free(a);
    free(b);
    return same;
}

static bool one(const exam_bench *b, const char *folder, const char *input, const char *want, bool *ran)
{
    char *in = q_printf("%s/in", folder), why[Q_ERRLEN];
    sandbox_job j = { .command = "python3 -I -B program.py < in", .folder = folder, .read_only = true, .limits = sandbox_limits_default() };
    sandbox_done d = { 0 };
    j.limits.wall_s = WALL_S;
    j.limits.cpu_s = CPU_S;
    *ran = q_write_file_atomic(in, input, strlen(input), why) == Q_OK && sandbox_run(&b->box, &j, &d, why) == Q_OK;
    bool good = *ran && d.end == SANDBOX_ENDED && d.code == 0 && same_output(&d.output, want);
    if (*ran) sandbox_done_free(&d);
    unlink(in);
    free(in);
    return good;
}

enum exam_mark bench_run(const exam_bench *b, const exam_item *i, const char *program)
{
    const char *tmp = getenv("TMPDIR");
    char *made = q_printf("%s/quorum-exam-XXXXXX", tmp && *tmp == '/' ? tmp : "/tmp"), *folder = mkdtemp(made) ? realpath(made, NULL) : NULL, why[Q_ERRLEN];
    char *file = folder ? q_printf("%s/program.py", folder) : NULL;
    bool ran = file && q_write_file_atomic(file, program, strlen(program), why) == Q_OK, good = ran;
    for (int r = 0; good && ran && r < EXAM_RUNS; r++) good = one(b, folder, i->in[r], i->out[r], &ran);
    if (file) unlink(file);
    if (folder) rmdir(folder);
    free(file);
    free(folder);
    free(made);
    return !ran ? EXAM_SKIPPED : good ? EXAM_RIGHT : EXAM_WRONG;
}
