/* base/seccomp: a filter of system calls, put together rule by rule (Linux's Documentation/userspace-api/seccomp_filter.rst). Each rule is of one
 * call; the first that speaks of a call decides, and what no rule speaks of falls under the last word. Calls of another machine, or of the other
 * numbers of the same one (x32), end the process. An action is one of SECCOMP_RET_*. Nothing is allocated; any thread, and between fork and exec. */
#ifndef QUORUM_BASE_SECCOMP_H
#define QUORUM_BASE_SECCOMP_H

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdint.h>

enum { Q_SECCOMP_MAX = 640 };
typedef struct q_seccomp {
    struct sock_filter v[Q_SECCOMP_MAX];
    int n;                              /* above Q_SECCOMP_MAX: too many rules, and q_seccomp_hold says so */
} q_seccomp;

/* false: nothing is known of this machine's calls, no filter can be made (errno: ENOSYS). */
bool q_seccomp_begin(q_seccomp *);
/* A call, whatever its arguments are. A negative number is a call that this machine lacks: no rule. So in all of these. */
void q_seccomp_call(q_seccomp *, int call, uint32_t action);
/* By the low 32 bits of argument `arg` (0 to 5): (it & mask) == value, then `is`, else `otherwise`. */
void q_seccomp_where(q_seccomp *, int call, int arg, uint32_t mask, uint32_t value, uint32_t is, uint32_t otherwise);
/* The argument is one of n (1 to 16) values. */
void q_seccomp_one_of(q_seccomp *, int call, int arg, const uint32_t *value, int n, uint32_t is, uint32_t otherwise);
/* Both (argument a & mask_a) and (argument b & mask_b) have a bit: `action`; else the next rules are asked. */
void q_seccomp_bits(q_seccomp *, int call, int a, uint32_t mask_a, int b, uint32_t mask_b, uint32_t action);
/* The last word, and from now on it holds, for the caller and all it starts, which gain no rights any more. false: errno; E2BIG: too many rules. */
bool q_seccomp_hold(q_seccomp *, uint32_t otherwise);
/* The same, and calls that got SECCOMP_RET_USER_NOTIF wait for whoever reads the descriptor (seccomp_unotify(2)). -1: errno. */
int q_seccomp_listen(q_seccomp *, uint32_t otherwise);

#endif
