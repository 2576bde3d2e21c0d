/* bench: what the screen costs an answer: the same question answered with the front end fed and drawn into a grid in memory (the
 * experts' panel open, frames at the shell's own pace) and with events thrown away, in one process and in turn, so
 * that a busy machine disturbs both alike. Shares of decode, median and quartiles of pairs; where the kernel counts them, also
 * instructions of all threads, which no neighbour disturbs. usage: panel_bench MODEL.gguf [TOKENS [ROUNDS [WIDTH HEIGHT]]] */
#include "tui/model/app.h"

#include <linux/perf_event.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 99 };
static tui_app app;                      /* large */
typedef struct made { double rate, cpu_s; long long instructions; int tokens, frames, whole; } made;

/* Of this thread and all that it makes from now on; -1: the kernel does not say. */
static int counter(void)
{
    struct perf_event_attr p = { .type = PERF_TYPE_HARDWARE, .size = sizeof p, .config = PERF_COUNT_HW_INSTRUCTIONS, .inherit = 1, .exclude_kernel = 1, .exclude_hv = 1 };
    return (int)syscall(SYS_perf_event_open, &p, 0, -1, -1, 0);
}

static long long counted(int fd)
{
    long long n = 0;
    return fd >= 0 && read(fd, &n, sizeof n) == (ssize_t)sizeof n ? n : 0;
}

static double thread_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int64_t now_ms(void) { return q_now_ns() / 1000000; }

/* One event; true: the answer's last. */
static bool take(agt_event *e, bool shown, made *m)
{
    bool done = e->kind == AGT_EV_DONE;
    if (done) {
        m->rate = e->rate;
        m->tokens = e->message ? e->message->n_tokens : 0;
    }
    if (shown) tui_app_event(&app, e);
    agt_event_free(e);
    return done;
}

static made answer(agt *a, bool shown, int fd)
{
    static const char question[] = "Tell me a long story about the sea, a ship, and a captain who was lost for many years.";
    made m = { 0 };
    agt_submit(a, "/new");
    agt_submit(a, question);
    long long from = counted(fd);
    double cpu = thread_s();
    for (bool done = false; !done;) {
        agt_event e;
        app.now = now_ms();
        while (!done && agt_next(a, &e)) done = take(&e, shown, &m);
        if (shown && tui_app_due(&app) == 0) {
            tui_app_frame(&app);
            m.frames++;
            m.whole += app.owed.all_at == app.now;
            continue;
        }
        int quiet = shown ? tui_app_rest(&app) : 0, due = shown ? tui_app_due(&app) : -1, wait = due < 0 ? 100 : due;
        struct pollfd p = { .fd = quiet > 0 ? -1 : agt_wake_fd(a), .events = POLLIN };
        if (!done) poll(&p, 1, quiet > 0 && quiet < wait ? quiet : wait);
    }
    m.cpu_s = thread_s() - cpu;
    m.instructions = counted(fd) - from;
    return m;
}

static void say(const char *what, double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, q_by_number);
    printf("%s: %+.2f%% (quartiles %+.2f%% to %+.2f%%, %d pairs)\n", what, 100 * x[n / 2], 100 * x[n / 4], 100 * x[n - 1 - n / 4], n);
}

int main(int argc, char **argv)
{
    char err[Q_ERRLEN], max[64];
    int n = argc > 2 ? atoi(argv[2]) : 150, rounds = argc > 3 ? atoi(argv[3]) : 9, w = argc > 5 ? atoi(argv[4]) : 200, h = argc > 5 ? atoi(argv[5]) : 50;
    if (argc < 2 || n < 1 || rounds < 1 || rounds > ROUNDS || w < 20 || w > 400 || h < 5 || h > 200) {
        fprintf(stderr, "usage: panel_bench MODEL.gguf [TOKENS [ROUNDS [WIDTH HEIGHT]]]\n");
        return 2;
    }
    snprintf(max, sizeof max, "sampler.max_tokens=%d", n);
    const char *set[] = { max, "memory.on=off", "sampler.seed=5", "sampler.loop_stop=off" };
    agt_options o = { .model = argv[1], .db = ":memory:", .set = set, .n_set = 4, .fresh = true };
    agt *a;
    int fd = counter();                  /* before any thread is made */
    if (agt_open(&o, &a, err) < 0) {
        fprintf(stderr, "%s\n", err);
        return 1;
    }
    tui_app_init(&app, a, w, h);
    tui_key experts = { .code = K_F3 };
    tui_app_key(&app, &experts);
    answer(a, true, fd);                 /* both warm */
    answer(a, false, fd);
    double slower[ROUNDS], more[ROUNDS], core[ROUNDS];
    made m[2];
    for (int i = 0; i < rounds; i++) {
        for (int k = 0; k < 2; k++) {    /* in turn, and the first one in turn */
            bool shown = (k + i) % 2;
            m[shown] = answer(a, shown, fd);
        }
        slower[i] = 1 - m[1].rate / m[0].rate;
        more[i] = m[0].instructions ? (double)m[1].instructions / (double)m[0].instructions - 1 : 0;
        core[i] = (m[1].cpu_s - m[0].cpu_s) * m[1].rate / (m[1].tokens ? m[1].tokens : 1);
    }
    printf("%d tokens an answer, %d x %d cells, %d frames in the last, %d of them whole; %.1f tokens/s with the screen, %.1f without\n", m[1].tokens, w, h, m[1].frames, m[1].whole, m[1].rate, m[0].rate);
    say("decode is slower by", slower, rounds);
    say("the screen's thread takes of one core", core, rounds);
    if (fd >= 0 && m[0].instructions) say("instructions of all threads", more, rounds);
    else printf("instructions: this kernel does not count them for us\n");
    tui_app_free(&app);
    agt_close(a);
    if (fd >= 0) close(fd);
    return 0;
}
