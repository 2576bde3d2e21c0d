/* serve/exchange: see exchange.h. */
#include "serve/exchange.h"
#include "base/say.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

exchange *exchange_new(const mhd *lib, struct MHD_Connection *conn, void *server, const atomic_bool *cut, size_t behind)
{
    exchange *x = q_alloc(sizeof *x);
    *x = (exchange){ .lib = lib, .conn = conn, .server = server, .cut = cut, .behind = behind, .refs = 1, .type = "application/json" };
    pthread_mutex_init(&x->mu, NULL);
    return x;
}

void exchange_share(exchange *x)
{
    pthread_mutex_lock(&x->mu);
    x->refs++;
    pthread_mutex_unlock(&x->mu);
}

void exchange_drop(exchange *x)
{
    pthread_mutex_lock(&x->mu);
    bool last = --x->refs == 0;
    pthread_mutex_unlock(&x->mu);
    if (!last)
        return;
    pthread_mutex_destroy(&x->mu);
    q_buf_free(&x->body);
    q_buf_free(&x->out);
    free(x);
}

/* ---- the worker's ---- */
/* Under mu. */
static void wake(exchange *x)
{
    if (x->aside && x->conn)
        x->lib->resume_connection(x->conn);
    x->aside = false;
}

void exchange_answer(exchange *x, int status, const char *type, q_buf *text)
{
    pthread_mutex_lock(&x->mu);
    q_buf_free(&x->out);
    x->out = *text;
    *text = (q_buf){ .p = NULL };
    x->status = status;
    x->type = type;
    x->done = true;
    wake(x);
    pthread_mutex_unlock(&x->mu);
}

void exchange_json(exchange *x, cJSON *j)
{
    q_buf b = { 0 };
    char *text = cJSON_PrintUnformatted(j);
    q_json_safe(&b, text, strlen(text));
    q_buf_putc(&b, '\n');
    exchange_answer(x, 200, "application/json", &b);
    free(text);
    cJSON_Delete(j);
}

void exchange_refuse(exchange *x, const fault *f)
{
    q_buf b = { 0 };
    fault_json(f, &b);
    q_buf_putc(&b, '\n');
    x->retry_after = f->status == 503 ? 1 : 0;
    exchange_answer(x, f->status, "application/json", &b);
}

void exchange_stream(exchange *x)
{
    pthread_mutex_lock(&x->mu);
    x->status = 200;
    x->type = "text/event-stream; charset=utf-8";
    x->stream = true;
    wake(x);
    pthread_mutex_unlock(&x->mu);
}

void exchange_send(exchange *x, const char *p, size_t n)
{
    pthread_mutex_lock(&x->mu);
    if (x->at > 0 && x->at == x->out.len) {
        q_buf_clear(&x->out);
        x->at = 0;
    }
    x->gone |= x->out.len - x->at + n > x->behind;
    if (!x->gone)
        q_buf_add(&x->out, p, n);
    wake(x);
    pthread_mutex_unlock(&x->mu);
}

void exchange_end(exchange *x)
{
    pthread_mutex_lock(&x->mu);
    x->done = true;
    wake(x);
    pthread_mutex_unlock(&x->mu);
}

/* A connection that is set aside is watched by nobody: has its other end been closed? Under mu: it is not closed before exchange_over. */
static bool left(const exchange *x)
{
    const union MHD_ConnectionInfo *info = x->lib->get_connection_info(x->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd p = { .fd = info ? info->connect_fd : -1, .events = POLLRDHUP };
    return p.fd >= 0 && poll(&p, 1, 0) > 0 && p.revents & (POLLRDHUP | POLLHUP | POLLERR);
}

bool exchange_wanted(exchange *x)
{
    pthread_mutex_lock(&x->mu);
    x->gone |= !x->conn || left(x);
    bool gone = x->gone;
    pthread_mutex_unlock(&x->mu);
    return !gone && !atomic_load(x->cut);
}

/* ---- the network's thread ---- */
void exchange_aside(exchange *x)
{
    pthread_mutex_lock(&x->mu);
    x->aside = true;
    x->lib->suspend_connection(x->conn);
    pthread_mutex_unlock(&x->mu);
}

static ssize_t more(void *user, uint64_t pos, char *to, size_t max)
{
    exchange *x = user;
    (void)pos;
    pthread_mutex_lock(&x->mu);
    size_t n = x->out.len - x->at;
    ssize_t rc = (ssize_t)(n < max ? n : max);
    if (rc > 0) {
        memcpy(to, x->out.p + x->at, (size_t)rc);
        x->at += (size_t)rc;
    } else if (x->gone)
        rc = MHD_CONTENT_READER_END_WITH_ERROR;
    else if (x->done)
        rc = MHD_CONTENT_READER_END_OF_STREAM;
    else {
        x->aside = true;
        x->lib->suspend_connection(x->conn);
    }
    pthread_mutex_unlock(&x->mu);
    return rc;
}

static void headers(const exchange *x, struct MHD_Response *r, bool end)
{
    char seconds[16];
    snprintf(seconds, sizeof seconds, "%d", x->retry_after);
    x->lib->add_response_header(r, "Content-Type", x->type);
    x->lib->add_response_header(r, "Cache-Control", "no-store");
    x->lib->add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (x->retry_after)
        x->lib->add_response_header(r, "Retry-After", seconds);
    if (x->status == 401)
        x->lib->add_response_header(r, "WWW-Authenticate", "Bearer");
    if (end)
        x->lib->add_response_header(r, "Connection", "close");
}

bool exchange_reply(exchange *x, bool end)
{
    enum { BLOCK = 16 << 10 };
    pthread_mutex_lock(&x->mu);
    struct MHD_Response *r = x->stream ? x->lib->create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK, more, x, NULL)
        : x->lib->create_response_from_buffer(x->out.len, x->out.p ? x->out.p : "", MHD_RESPMEM_MUST_COPY);
    if (r)
        headers(x, r, end);
    int status = x->status;
    pthread_mutex_unlock(&x->mu);
    if (!r)
        return false;
    bool fine = x->lib->queue_response(x->conn, (unsigned)status, r) == MHD_YES;
    x->lib->destroy_response(r);
    return fine;
}

void exchange_over(exchange *x)
{
    pthread_mutex_lock(&x->mu);
    x->conn = NULL;
    x->gone |= !x->done;
    pthread_mutex_unlock(&x->mu);
    exchange_drop(x);
}
