/* rag/import/serve: the other side of child.c, in a process of its own: takes what is asked, has the libraries read it, answers. One file at
 * a time; it opens nothing and writes nothing. */
#include "rag/import/serve.h"

#include "rag/import/held.h"
#include "rag/import/markup.h"
#include "rag/import/office.h"
#include "rag/import/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { DOCUMENT_MAX = 64 << 20 };

struct serving {
    int fd, given;                      /* the pair; the file at hand, -1 */
    q_buf text; size_t at;              /* what a document became; so much is said */
    unpack *archive;
    bool member;                        /* one is at hand */
    int cpu_s, archive_s;
    char *piece;                        /* [WIRE_PIECE + 1] */
};

/* A question's letter, and the file beside it; 0: there are no more. */
static char question(struct serving *s)
{
    union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } u;
    char letter = 0;
    struct iovec io = {&letter, 1};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = u.room, .msg_controllen = sizeof u.room};
    ssize_t k;
    do k = recvmsg(s->fd, &m, MSG_CMSG_CLOEXEC);
    while (k < 0 && errno == EINTR);
    struct cmsghdr *h = k == 1 ? CMSG_FIRSTHDR(&m) : NULL;
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int))) {
        if (s->given >= 0) close(s->given);
        memcpy(&s->given, CMSG_DATA(h), sizeof(int));
    }
    return k == 1 ? letter : 0;
}

/* n bytes stand in piece behind the letter. */
static void say(struct serving *s, char letter, size_t n)
{
    ssize_t k;
    *s->piece = letter;
    do k = send(s->fd, s->piece, n + 1, MSG_NOSIGNAL);
    while (k < 0 && errno == EINTR);
}

static void no(struct serving *s, enum read_why why)
{
    s->piece[1] = (char)why;
    say(s, WIRE_NO, 1);
}

static void forget(struct serving *s)
{
    unpack_free(s->archive);
    s->archive = NULL;
    s->member = false;
    q_buf_free(&s->text);
    s->at = 0;
}

static void document(struct serving *s, bool html)
{
    q_buf b = {0};
    char err[Q_ERRLEN];
    enum read_why why = s->given < 0 || q_read_fd(s->given, "", &b, DOCUMENT_MAX, err) != Q_OK ? READ_DAMAGED : READ_END;
    if (!why && html) markup_html(b.p ? b.p : "", b.len, &s->text);
    else if (!why) why = office_read(b.p ? b.p : "", b.len, &s->text);
    if (!why && !s->text.len) why = READ_NO_WORDS;
    q_buf_free(&b);
    if (why) no(s, why);
    else say(s, WIRE_YES, 0);
}

static void next(struct serving *s)
{
    enum read_why why = READ_END;
    const char *name = s->archive ? unpack_next(s->archive, &why) : NULL;
    s->member = name != NULL;
    if (!name) no(s, why);
    else {
        size_t n = strlen(name);
        if (n > WIRE_NAME) n = q_utf8_whole(name, WIRE_NAME);
        memcpy(s->piece + 1, name, n);
        say(s, WIRE_ENTRY, n);
    }
}

static void more(struct serving *s)
{
    enum read_why why = READ_END;
    size_t n = s->text.len - s->at < WIRE_PIECE ? s->text.len - s->at : WIRE_PIECE;
    if (s->archive) n = s->member ? unpack_read(s->archive, s->piece + 1, WIRE_PIECE, &why) : 0;
    else if (n) {
        memcpy(s->piece + 1, s->text.p + s->at, n);
        s->at += n;
    }
    if (n) say(s, WIRE_DATA, n);
    else no(s, why);
}

void serve(int fd, int cpu_s, int archive_s)
{
    struct serving s = {.fd = fd, .given = -1, .cpu_s = cpu_s, .archive_s = archive_s, .piece = q_alloc(WIRE_PIECE + 1)};
    s.piece[1] = WIRE_VERSION;
    say(&s, WIRE_HELLO, 1);
    for (char letter; (letter = question(&s)) != 0;) {
        if (letter == WIRE_NEXT) next(&s);
        else if (letter == WIRE_MORE) more(&s);
        else {
            enum read_why why = READ_DAMAGED;
            forget(&s);
            held_work(letter == WIRE_ARCHIVE ? s.archive_s : s.cpu_s);
            if (letter == WIRE_HTML || letter == WIRE_OFFICE) document(&s, letter == WIRE_HTML);
            else if (letter != WIRE_ARCHIVE || s.given < 0 || !(s.archive = unpack_open(s.given, NULL, 0, &unpack_archive, &why))) no(&s, why);
            else say(&s, WIRE_YES, 0);
        }
    }
    forget(&s);
    if (s.given >= 0) close(s.given);
    free(s.piece);
}
