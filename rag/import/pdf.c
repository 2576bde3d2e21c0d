/* rag/import/pdf: has pdftotext (poppler-utils) read a PDF, in a process of its own that is held in. A hostile file costs its own reading.
 * Owns the process while the call lasts; any thread. */
#include "rag/import/pdf.h"

#include "rag/import/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const held_limits pdf_ordinary = {.cpu_s = 30, .stall_ms = 60000, .memory = (size_t)1 << 30, .out = 16 << 20};
enum { PIECE = 1 << 16 };

/* What it says, until its end. NULL, or why it was ended. */
static const char *listen_to(rag_child *c, int fd, const held_limits *l, q_buf *out)
{
    char *piece = q_alloc(PIECE);
    const char *why = NULL;
    for (bool more = true; more;) {
        why = rag_child_wait(c, fd, l->stall_ms);
        ssize_t k = why ? 0 : read(fd, piece, PIECE);
        if (k < 0 && errno == EINTR) continue;
        if (k > 0) q_buf_add(out, piece, (size_t)k);
        if (out->len > l->out) why = read_words(READ_MUCH);
        more = k > 0 && !why;
    }
    free(piece);
    return why;
}

static const char *run(rag_child *c, const char *program, const q_buf *pdf, const held_limits *l, q_buf *out)
{
    char *const argv[] = {(char *)"pdftotext", (char *)"-q", (char *)"-enc", (char *)"UTF-8", (char *)"-eol", (char *)"unix", (char *)"/dev/fd/3", (char *)"-", NULL};
    int ends[2] = {-1, -1}, file = held_file(pdf->p, pdf->len);
    const char *why = NULL;
    pid_t pid = -1;
    if (file >= 0 && pipe2(ends, O_CLOEXEC) == 0 && (ends[1] = held_above(ends[1])) >= 0) pid = held_start(program, argv, file, ends[1], l);
    if (ends[1] >= 0) close(ends[1]);
    if (pid > 0) {
        why = listen_to(c, ends[0], l, out);
        int status = held_end(pid, why != NULL);
        if (!why && WIFSIGNALED(status)) why = held_killed();
        else if (!why && WIFEXITED(status) && WEXITSTATUS(status) != 0 && out->len == 0) why = _("it is damaged, or locked with a password");
    } else why = _("the program that reads it could not be started");
    if (ends[0] >= 0) close(ends[0]);
    if (file >= 0) close(file);
    return why;
}

const char *rag_pdf(rag_child *c, q_buf *b, const held_limits *l)
{
    char *program = q_find_program("pdftotext");
    if (!program) return _("it is a PDF, which pdftotext reads: install poppler-utils, then add it again");
    q_buf out = {0};
    const char *why = run(c, program, b, l, &out);
    size_t words = 0;
    for (size_t i = 0; i < out.len; i++) {
        if (out.p[i] == '\f') out.p[i] = '\n';          /* pages */
        words += out.p[i] != '\n' && out.p[i] != ' ' && out.p[i] != 0;
    }
    free(program);
    if (!why && !words) why = _("there are no words in it: it may be pictures of pages");
    if (!why) {
        q_buf_clear(b);
        q_buf_puts_clean(b, &out);
    }
    q_buf_free(&out);
    return why;
}
