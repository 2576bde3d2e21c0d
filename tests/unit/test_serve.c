/* serve against a scripted model: what happens while an answer runs (a stop, a cut, a full queue, a reader that goes or does not read),
 * and what a thought, a call and a failure look like. A gate holds the script at a token until the test says so: nothing here depends
 * on who is faster. */
#include "tests/script_provider.h"
#include "tests/test.h"
#include "serve/serve.h"

#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char err[Q_ERRLEN], dir[] = "/tmp/quorum-serve-XXXXXX", path[100];

/* ---- the gate ---- */
typedef struct gate { pthread_mutex_t mu; pthread_cond_t cond; int token; bool reached, open; } gate;
static gate door = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false, false };

static void at_token(void *user, int token)
{
    gate *g = user;
    pthread_mutex_lock(&g->mu);
    if (token == g->token && g->token > 0) {
        g->reached = true;
        pthread_cond_broadcast(&g->cond);
        while (!g->open)
            pthread_cond_wait(&g->cond, &g->mu);
    }
    pthread_mutex_unlock(&g->mu);
}

static void shut(int token) { door = (gate){ PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, token, false, false }; }

static void wait_gate(void)
{
    pthread_mutex_lock(&door.mu);
    while (!door.reached)
        pthread_cond_wait(&door.cond, &door.mu);
    pthread_mutex_unlock(&door.mu);
}

static void open_gate(void)
{
    pthread_mutex_lock(&door.mu);
    door.open = true;
    pthread_cond_broadcast(&door.cond);
    pthread_mutex_unlock(&door.mu);
}

/* ---- a server ---- */
typedef struct told { pthread_mutex_t mu; int n; serve_event first; } told;
static told events = { PTHREAD_MUTEX_INITIALIZER, 0, { 0 } };

static void on_event(void *user, const serve_event *e)
{
    told *t = user;
    pthread_mutex_lock(&t->mu);
    if (t->n++ == 0)
        t->first = *e;
    pthread_mutex_unlock(&t->mu);
}

static prov *p;
static serve *start(const script_line *line, int fail_at, serve_limits limit)
{
    const script s = { .line = line, .at = at_token, .user = &door, .fail_at = fail_at };
    serve *out = NULL;
    CHECK_INT(script_open(&s, NULL, &p, err), Q_OK);
    ((script_prov *)p)->base.info.can |= PROV_PER_REQUEST;     /* it takes them, and they change nothing of what it says */
    events.n = 0;
    const serve_opts o = { .p = p, .unix_path = path, .streams = 1, .limit = limit, .said = on_event, .user = &events };
    CHECK_MSG(serve_start(&o, &out, err) == Q_OK, "%s", err);
    return out;
}

static void stop(serve *s)
{
    serve_stop(s);
    prov_close(p);
    CHECK(access(path, F_OK) != 0);
}

static int dial(void)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

static void say(int fd, const char *text)
{
    for (size_t at = 0, n = strlen(text); at < n;) {
        ssize_t w = send(fd, text + at, n - at, MSG_NOSIGNAL);
        if (w <= 0)
            break;
        at += (size_t)w;
    }
}

/* Asks, and closes the line behind the answer. */
static int ask(const char *where, const char *body)
{
    int fd = dial();
    CHECK(fd >= 0);
    char *text = body ? q_printf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s", where, strlen(body), body)
                      : q_printf("GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", where);
    say(fd, text);
    free(text);
    return fd;
}

/* All that comes until the other end closes; the head too. */
static const char *hear(int fd, q_buf *b)
{
    char part[4096];
    ssize_t n;
    q_buf_clear(b);
    q_buf_puts(b, "");
    while ((n = recv(fd, part, sizeof part, 0)) > 0)
        q_buf_add(b, part, (size_t)n);
    close(fd);
    return b->p;
}

static int count(const char *s, const char *what)
{
    int n = 0;
    for (; (s = strstr(s, what)); s += strlen(what))
        n++;
    return n;
}

static bool begins(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

#define STREAM "{\"messages\":[{\"role\":\"user\",\"content\":\"go\"}],\"stream\":true}"
#define WHOLE "{\"messages\":[{\"role\":\"user\",\"content\":\"go\"}]}"
static const char CHAT[] = "/v1/chat/completions";
static const script_line words[] = { { NULL, "one two three four five six seven eight nine ten" }, { NULL, NULL } };
static const serve_limits none;

/* ---- stopping ---- */
static void a_running_answer_ends_while_it_stops(void)
{
    q_buf b = { 0 };
    shut(3);
    serve *s = start(words, 0, none);
    int fd = ask(CHAT, STREAM);
    wait_gate();
    serve_drain(s);
    serve_drain(s);
    CHECK_INT(serve_busy(s), 1);
    CHECK_INT(dial(), -1);
    open_gate();
    hear(fd, &b);
    CHECK_MSG(begins(b.p, "HTTP/1.1 200") && strstr(b.p, "\" ten\"") && strstr(b.p, "\"finish_reason\":\"stop\"") && strstr(b.p, "[DONE]") && !strstr(b.p, "\"error\""), "%s", b.p);
    stop(s);
    q_buf_free(&b);
}

static void a_cut_answer_says_so(void)
{
    q_buf b = { 0 };
    for (int stream = 0; stream < 2; stream++) {
        shut(3);
        serve *s = start(words, 0, none);
        int fd = ask(CHAT, stream ? STREAM : WHOLE);
        wait_gate();
        serve_drain(s);
        serve_cut(s);
        open_gate();
        hear(fd, &b);
        CHECK_MSG(begins(b.p, stream ? "HTTP/1.1 200" : "HTTP/1.1 503") && strstr(b.p, "stopping") && !strstr(b.p, "\" ten\""), "%s", b.p);
        CHECK(!stream || (strstr(b.p, "\"error\"") && strstr(b.p, "[DONE]")));
        stop(s);
    }
    q_buf_free(&b);
}

/* ---- too many ---- */
static bool waits(int n)
{
    q_buf b = { 0 };
    char *line = q_printf("\nquorum_requests_waiting %d\n", n);
    bool there = strstr(hear(ask("/metrics", NULL), &b), line) != NULL;
    free(line);
    q_buf_free(&b);
    return there;
}

static void a_full_queue_says_when_to_come_back(void)
{
    q_buf b = { 0 };
    shut(3);
    serve *s = start(words, 0, (serve_limits){ .queue = 1 });
    int first = ask(CHAT, WHOLE), second;
    wait_gate();
    second = ask(CHAT, WHOLE);
    for (int i = 0; i < 600 && !waits(1); i++)
        usleep(50000);
    hear(ask(CHAT, WHOLE), &b);
    CHECK_MSG(begins(b.p, "HTTP/1.1 503") && strcasestr(b.p, "\nRetry-After: 1\r") && strstr(b.p, "overloaded_error"), "%s", b.p);
    CHECK(begins(hear(ask("/health", NULL), &b), "HTTP/1.1 200"));
    open_gate();
    CHECK(begins(hear(first, &b), "HTTP/1.1 200") && strstr(b.p, "nine ten"));
    CHECK(begins(hear(second, &b), "HTTP/1.1 200") && strstr(b.p, "nine ten"));
    stop(s);
    q_buf_free(&b);
}

/* ---- readers ---- */
static void nobody_computes_for_who_is_gone(void)
{
    q_buf b = { 0 };
    for (int stream = 0; stream < 2; stream++) {
        shut(3);
        serve *s = start(words, 0, none);
        int fd = ask(CHAT, stream ? STREAM : WHOLE);
        wait_gate();
        close(fd);
        open_gate();
        CHECK(begins(hear(ask(CHAT, WHOLE), &b), "HTTP/1.1 200"));
        stop(s);
        CHECK_INT(events.n, 2);
        CHECK(strstr(b.p, "nine ten") && events.first.cut && events.first.tokens == 3);
    }
    q_buf_free(&b);
}

static void who_is_too_far_behind_is_cut(void)
{
    q_buf b = { 0 };
    shut(0);
    serve *s = start(words, 0, (serve_limits){ .behind = 16 });
    hear(ask(CHAT, STREAM), &b);
    CHECK_MSG(!strstr(b.p, "[DONE]") && !strstr(b.p, "\" ten\""), "%s", b.p);
    CHECK(begins(hear(ask(CHAT, WHOLE), &b), "HTTP/1.1 200"));
    stop(s);
    CHECK(events.n == 2 && events.first.cut && events.first.tokens < 10);
    q_buf_free(&b);
}

static void a_request_that_does_not_come_is_let_go(void)
{
    static const char *const half[] = { "", "GET /health HTTP/1.1\r\nHos", "POST /tokenize HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{" };
    shut(0);
    serve *s = start(words, 0, (serve_limits){ .arrive_s = 1 });
    enum { N = sizeof half / sizeof *half };
    int fd[N], left = N;
    ssize_t got[N];
    for (int i = 0; i < N; i++) {
        fd[i] = dial();
        got[i] = -1;
        say(fd[i], half[i]);
    }
    for (int k = 0; k < 600 && left > 0; k++) {
        char c;
        serve_tick(s);
        usleep(50000);
        for (int i = 0; i < N; i++)
            if (got[i] < 0 && (got[i] = recv(fd[i], &c, 1, MSG_DONTWAIT)) >= 0)
                left--;
    }
    for (int i = 0; i < N; i++) {
        CHECK_MSG(got[i] == 0, "line %d: %zd", i, got[i]);
        close(fd[i]);
    }
    stop(s);
}

static void who_finds_all_lines_taken_waits(void)
{
    q_buf b = { 0 };
    shut(0);
    serve *s = start(words, 0, (serve_limits){ .connections = 1 });
    int first = dial(), second = -1;
    char c;
    say(first, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(recv(first, &c, 1, 0), 1);             /* it is the one that is let in */
    second = ask(CHAT, WHOLE);
    CHECK(recv(second, &c, 1, MSG_DONTWAIT) < 0 && serve_busy(s) <= 1);
    close(first);
    CHECK(begins(hear(second, &b), "HTTP/1.1 200"));
    stop(s);
    q_buf_free(&b);
}

static int free_number(void)
{
    int fd = dup(STDOUT_FILENO);
    close(fd);
    return fd;
}

/* The daemon's thread may look at its socket until it ends: the number is nobody else's before. */
static void the_socket_is_closed_behind_the_daemon(void)
{
    shut(0);
    serve *s = start(words, 0, (serve_limits){ .connections = 1 });
    int first = dial(), second = -1;
    char c;
    say(first, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n");
    CHECK_INT(recv(first, &c, 1, 0), 1);
    second = dial();
    CHECK(second >= 0 && setsockopt(second, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ .tv_sec = 30 }, sizeof(struct timeval)) == 0);
    int number = free_number();
    serve_drain(s);
    CHECK_INT(free_number(), number);
    ssize_t n = recv(second, &c, 1, 0);
    CHECK_MSG(n == 0 || (n < 0 && errno == ECONNRESET), "%zd: %s", n, strerror(errno));
    CHECK_INT(dial(), -1);
    close(first);
    close(second);
    stop(s);
    CHECK_MSG(free_number() < number, "it is closed then");
}

/* ---- the socket in the file system ---- */
static void a_start_that_fails_leaves_no_socket(void)
{
    const script sc = { .line = words };
    serve *s = NULL;
    struct rlimit was, few;
    CHECK_INT(script_open(&sc, NULL, &p, err), Q_OK);
    const serve_opts o = { .p = p, .unix_path = path, .streams = 1 };
    CHECK(getrlimit(RLIMIT_NOFILE, &was) == 0);
    few = was;
    few.rlim_cur = (rlim_t)free_number() + 1;            /* for the socket, and for nothing of the daemon's */
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    int rc = serve_start(&o, &s, err);
    CHECK(setrlimit(RLIMIT_NOFILE, &was) == 0);
    CHECK_MSG(rc < 0 && !s, "it starts with one file");
    CHECK(access(path, F_OK) != 0);
    prov_close(p);
}

/* Somebody took ours away and put another's there. */
static void the_socket_of_another_stays(void)
{
    shut(0);
    serve *s = start(words, 0, none);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    int other = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(a.sun_path, sizeof a.sun_path, "%s", path);
    CHECK(unlink(path) == 0 && bind(other, (struct sockaddr *)&a, sizeof a) == 0);
    serve_stop(s);
    prov_close(p);
    CHECK(access(path, F_OK) == 0);
    CHECK(unlink(path) == 0);
    close(other);
}

/* ---- what an answer is made of ---- */
static void thoughts_and_calls_have_their_places(void)
{
    static const script_line line[] = { { "look", "I look. {call f {\"a\":1}}{call g {}}" }, { NULL, "<think>so so</think>All well." }, { NULL, NULL } };
#define TOOLS "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}},{\"type\":\"function\",\"function\":{\"name\":\"g\"}}]"
    q_buf b = { 0 };
    shut(0);
    serve *s = start(line, 0, none);
    hear(ask(CHAT, WHOLE), &b);
    CHECK_MSG(strstr(b.p, "\"content\":\"All well.\",\"reasoning_content\":\"so so\"") && strstr(b.p, "\"reasoning_tokens\":"), "%s", b.p);
    hear(ask(CHAT, STREAM), &b);
    CHECK_MSG(strstr(b.p, "\"delta\":{\"role\":\"assistant\",\"reasoning_content\":\"so") && strstr(b.p, "\"delta\":{\"content\":\"All\""), "%s", b.p);
    hear(ask(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"look\"}]," TOOLS "}"), &b);
    CHECK_MSG(strstr(b.p, "\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1}\"") && strstr(b.p, "\"name\":\"g\"") && strstr(b.p, "\"finish_reason\":\"tool_calls\"") && strstr(b.p, "I look."), "%s", b.p);
    hear(ask(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"look\"}],\"stream\":true," TOOLS "}"), &b);
    CHECK_MSG(strstr(b.p, "\"tool_calls\":[{\"index\":0,") && strstr(b.p, "\"tool_calls\":[{\"index\":1,") && strstr(b.p, "\"finish_reason\":\"tool_calls\""), "%s", b.p);
    hear(ask(CHAT, "{\"messages\":[{\"role\":\"user\",\"content\":\"look\"}],\"parallel_tool_calls\":false," TOOLS "}"), &b);
    CHECK_MSG(strstr(b.p, "\"name\":\"f\"") && !strstr(b.p, "\"name\":\"g\""), "%s", b.p);
    for (int stream = 0; stream < 2; stream++) {
        char *body = q_printf("{\"messages\":[{\"role\":\"user\",\"content\":\"look\"}],\"parallel_tool_calls\":false,\"n\":3,\"stream\":%s," TOOLS "}", stream ? "true" : "false");
        hear(ask(CHAT, body), &b);
        CHECK_MSG(count(b.p, "\"name\":\"f\"") == 3 && !strstr(b.p, "\"name\":\"g\"") && count(b.p, "\"finish_reason\":\"tool_calls\"") == 3, "%s", b.p);
        free(body);
    }
    stop(s);
    q_buf_free(&b);
}

static void a_failure_is_told(void)
{
    q_buf b = { 0 };
    shut(0);
    serve *s = start(words, 3, none);
    hear(ask(CHAT, WHOLE), &b);
    CHECK_MSG(begins(b.p, "HTTP/1.1 500") && strstr(b.p, "the script fails here") && strstr(b.p, "server_error"), "%s", b.p);
    hear(ask(CHAT, STREAM), &b);
    CHECK_MSG(begins(b.p, "HTTP/1.1 200") && strstr(b.p, "the script fails here") && strstr(b.p, "[DONE]"), "%s", b.p);
    stop(s);
    s = start(words, 0, none);
    hear(ask("/v1/completions", "{\"prompt\":\"a\",\"echo\":true,\"grammar\":\"root ::= \\\"a\\\"\"}"), &b);
    CHECK_MSG(begins(b.p, "HTTP/1.1 400") && strstr(b.p, "grammar"), "%s", b.p);      /* what this one cannot do */
    stop(s);
    q_buf_free(&b);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    snprintf(path, sizeof path, "%s/s", dir);
    RUN(a_running_answer_ends_while_it_stops);
    RUN(a_cut_answer_says_so);
    RUN(a_full_queue_says_when_to_come_back);
    RUN(nobody_computes_for_who_is_gone);
    RUN(who_is_too_far_behind_is_cut);
    RUN(a_request_that_does_not_come_is_let_go);
    RUN(who_finds_all_lines_taken_waits);
    RUN(the_socket_is_closed_behind_the_daemon);
    RUN(a_start_that_fails_leaves_no_socket);
    RUN(the_socket_of_another_stays);
    RUN(thoughts_and_calls_have_their_places);
    RUN(a_failure_is_told);
    rmdir(dir);
    return TEST_END();
}
