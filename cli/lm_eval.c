/* cli/lm_eval: `quorum bench reasoning --lm-eval TASKS`: the person's own lm_eval, asking a model of this machine through quorum's server for as long as it runs. */
#include "base/child.h"
#include "base/say.h"
#include "cli/common.h"
#include "cli/lm_eval.h"
#include "exam/exam.h"
#include "provider/provider.h"
#include "serve/serve.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 4096, MOST_ARGS = 64 };
extern char **environ;

static int start(const cli_lm_eval *w, const char *program, const char *address, const char *model, pid_t *pid, char *err)
{
    if (model[strcspn(model, ",= ")]) model = "default";      /* NAME=VALUE, and so on: a file's own name might add some; the server answers to this too */
    char *args = q_printf("model=%s,base_url=%s/v1/completions,tokenizer_backend=remote,num_concurrent=%d,max_length=%d", model, address, w->streams, ROOM);
    const char *argv[MOST_ARGS] = { program, "--model", "local-completions", "--tasks", w->tasks, "--model_args", args };
    int n = 7, out = dup(STDOUT_FILENO), said = dup(STDERR_FILENO);
    for (int i = 0; i < w->n_more && n < MOST_ARGS - 1; i++) argv[n++] = w->more[i];
    const q_child c = { .program = program, .argv = (char *const *)(uintptr_t)argv, .env = environ, .fd = { -1, out, said, -1 }, .dies_with_us = true, .cannot = 127 };
    *pid = q_child_start(&c);
    int e = errno;
    if (out >= 0) close(out);
    if (said >= 0) close(said);
    free(args);
    return *pid < 0 ? q_fail(err, Q_IO, _("lm_eval cannot be started: %s"), strerror(e)) : Q_OK;
}

/* Until it ends by itself, or somebody presses Ctrl-C: its wait status. */
static int until_ended(pid_t pid, serve *s)
{
    int status = 0;
    for (int64_t ticked = q_now_ns();;) {
        pid_t done = waitpid(pid, &status, WNOHANG);
        if (done == pid || (done < 0 && errno != EINTR)) return status;
        if (!cli_go(NULL)) return q_child_end(pid, true);
        nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL);
        if (q_now_ns() - ticked > 1000000000) {
            serve_tick(s);
            ticked = q_now_ns();
        }
    }
}

int cli_run_lm_eval(const cli_lm_eval *w, char *err)
{
    char *program = q_find_program("lm_eval");
    if (!program) return q_fail(err, Q_NOTFOUND, _("there is no lm_eval in the PATH: python3 -m venv env && env/bin/pip install 'lm-eval[api]', then put env/bin into the PATH"));
    const exam_sheet none = { .n_item = 0 };
    const exam_open o = { .model = w->model, .set = w->set, .n_set = w->n_set, .streams = w->streams, .room = ROOM };
    prov *p = NULL;
    serve *s = NULL;
    pid_t pid = -1;
    int rc = w->model && *w->model == '@' ? q_fail(err, Q_RANGE, _("--lm-eval serves a model of this machine: give -m a file, and lm_eval the server's own address")) : exam_seat_open(&none, &o, &p, err);
    if (rc == Q_OK) {
        cli_said_of(p);
        const serve_opts so = { .p = p, .listen = "127.0.0.1:0", .streams = w->streams };
        rc = serve_start(&so, &s, err);
    }
    if (rc == Q_OK) rc = start(w, program, serve_address(s), prov_about(p)->name, &pid, err);
    if (rc == Q_OK) {
        int status = until_ended(pid, s);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) rc = q_fail(err, Q_ERR, _("lm_eval ended with status %d: its own words above say why"), WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
    }
    if (s) serve_stop(s);
    prov_close(p);
    free(program);
    return rc;
}
