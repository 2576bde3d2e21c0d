/* tools/command: run_command: a shell command in the project folder, in the sandbox that this machine allows (sandbox.h). Words in it only
 * choose when a person is asked each time; what it can do the kernel says. Any thread. */
#include "tools/inside.h"
#include "tools/sandbox.h"
#include "base/say.h"

#include <stdlib.h>
#include <string.h>

/* A word of the command that takes something away, or sends something out. */
static const char *const takes_away[] = { "rm", "rmdir", "unlink", "shred", "truncate", "dd", "mkfs", "wipefs", "fdisk", "kill", "pkill", "killall", "clean", "reset", "restore", "checkout",
                                          "push", "stash", "rebase", "prune", "purge", "delete", "uninstall", "drop", "distclean", "mrproper", "sudo", "su", "doas", "chmod", "chown" };

static bool takes(const char *command)
{
    char word[32];
    for (const char *p = command; *p;) {
        size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
        if (n && n < sizeof word) {
            memcpy(word, p, n);
            word[n] = 0;
            for (size_t i = 0; i < sizeof takes_away / sizeof *takes_away; i++)
                if (strcasecmp(word, takes_away[i]) == 0)
                    return true;
        }
        p += n + (n == 0);
    }
    return false;
}

/* A project that the person's home lies in: what holds commands to the project keeps them from nothing that is the person's. The home
 * itself is covered by bubblewrap where it holds keys, which Landlock cannot do. */
static bool holds_home(const char *folder, const sandbox *box)
{
    char *said = q_home(), *home = said ? realpath(said, NULL) : NULL;
    size_t n = strcmp(folder, "/") == 0 ? 0 : strlen(folder);
    bool yes = !n || (home && strncmp(home, folder, n) == 0 && (home[n] == '/' || (!home[n] && box->kind != SANDBOX_BWRAP)));
    free(home);
    free(said);
    return yes;
}

int command_look(const tool_place *p, tool_plan *plan, char *err)
{
    char words[Q_ERRLEN];
    const sandbox *box = place_box(p, err);
    if (!box)
        return Q_NOTFOUND;
    const char *command = argument_text(plan->args, "command");
    if (box->kind == SANDBOX_NONE || (box->kind == SANDBOX_LANDLOCK && !box->modes) || holds_home(tool_place_folder(p), box))
        plan->risk |= TOOL_BARE;
    if (argument_true(plan->args, "network"))
        plan->risk |= TOOL_NETWORK;
    if (takes(command))
        plan->risk |= TOOL_TAKES;
    q_buf b = { 0 };
    q_buf_puts(&b, "$ ");
    q_say_clean(&b, command, strlen(command), false);
    q_buf_say(&b, "\n\n%s\n", sandbox_words(box, words));
    free(plan->shown);
    plan->shown = q_buf_take(&b);
    return Q_OK;
}

int command_run(const tool_place *p, const tool_host *h, const tool_plan *plan, tool_result *out, char *err)
{
    char words[Q_ERRLEN];
    const sandbox *box = place_box(p, err);
    if (!box)
        return Q_NOTFOUND;
    sandbox_job job = { .command = argument_text(plan->args, "command"), .folder = tool_place_folder(p), .network = argument_true(plan->args, "network"),
                        .limits = sandbox_limits_default(), .user = h ? h->user : NULL, .go = h ? h->go : NULL };
    double wall = argument_number(plan->args, "seconds", 0);
    if (wall > 0)
        job.limits.wall_s = (int)wall;
    sandbox_done done = { 0 };
    int rc = sandbox_run(box, &job, &done, err);
    if (rc == Q_OK) {                    /* what it said until a person ended it is kept too */
        q_buf_add(&out->text, done.output.p ? done.output.p : "", done.output.len);
        if (done.output.len && done.output.p[done.output.len - 1] != '\n')
            q_buf_putc(&out->text, '\n');
        q_buf_add(&out->text, done.back.p ? done.back.p : "", done.back.len);
        q_buf_printf(&out->text, "[%s]\n", sandbox_end_words(&done, &job.limits, words));
    }
    if (rc == Q_OK && done.end == SANDBOX_STOPPED)
        rc = q_fail(err, Q_CANCEL, "stopped");
    sandbox_done_free(&done);
    return rc;
}
