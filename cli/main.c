/* cli/main: finds the subcommand and runs it. Owns the table of subcommands, the program's locale, its three standard
 * streams and what happens when a mapped file shrinks. Numbers are always written with a point, whatever the locale:
 * others script us. */
#include "base/say.h"
#include "cli/cli.h"
#include "cli/common.h"
#include "tui/tui.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A model file that is cut short or whose disk is gone while it is mapped: reading it raises SIGBUS. The full screen's
 * own handler has given the terminal back by now. Translated at the start: looking up may not run in a handler. */
static const char *bus_words;
static atomic_flag bus_told = ATOMIC_FLAG_INIT;

static void on_bus(int sig, siginfo_t *info, void *context)
{
    char path[4096];
    if (atomic_flag_test_and_set(&bus_told))
        for (;;) pause();                /* threads may fault together: the first one says it, and ends the process */
    size_t n = info->si_code > 0 ? q_fault_file(info->si_addr, path, sizeof path) : 0;
    if (n == 0) {
        signal(sig, SIG_DFL);
        raise(sig);
        return;
    }
    n = q_say_plain(path, n);
    const struct { const char *p; size_t n; } part[] = { { "\nquorum: ", 9 }, { path, n }, { bus_words, strlen(bus_words) }, { "\n", 1 } };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (write(STDERR_FILENO, part[i].p, part[i].n) < 0) break;
    _exit(1);
}

static void set_up_signals(void)
{
    bus_words = _(" became shorter or unreadable while it was in use: fetch or copy it again");
    struct sigaction sa = { .sa_sigaction = on_bus, .sa_flags = SA_SIGINFO };
    sigemptyset(&sa.sa_mask);
    sigaction(SIGBUS, &sa, NULL);
    signal(SIGXFSZ, SIG_IGN);            /* a file at its size limit is an error of write, as a full disk is */
}

/* A standard descriptor that is closed would become the next file opened, and a message would be written into it.
 * Standard output stands on a read-only one then, so that writing to it still fails. */
static void hold_standard_descriptors(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_RDWR) < 0)
            _exit(1);
}

/* A reader that has gone away (quorum … | head) wants no sentence; a full disk does. */
static int finish(int status)
{
    bool failed = ferror(stdout) != 0;
    int e = 0;
    if (fflush(stdout) != 0) failed = true, e = errno;
    if (!failed) return status;
    if (!e) {                                                          /* the failure was an earlier one, its reason lost: it is met again */
        clearerr(stdout);
        q_say_own(stdout, "\n");
        if (fflush(stdout) != 0 || ferror(stdout)) e = errno;
    }
    struct pollfd p = { .fd = STDOUT_FILENO, .events = POLLOUT };       /* the error may be an earlier one, its errno lost */
    bool gone = e == EPIPE || (poll(&p, 1, 0) > 0 && p.revents & (POLLERR | POLLHUP));
    if (!gone)
        q_say(stderr, _("quorum: standard output could not be written%s%s\n"), e ? ": " : "", e ? strerror(e) : "");
    return status ? status : 1;
}

static const cli_command *const table[] = { &cli_chat, &cli_eval, &cli_tokenize, &cli_detokenize, &cli_bench, &cli_compare, &cli_sweep, &cli_routing,
                                            &cli_trace, &cli_embed, &cli_template, &cli_serve, &cli_launch, &cli_train, &cli_train_config,
                                            &cli_train_plan, &cli_teach, &cli_model, &cli_advise, &cli_memory, &cli_export, &cli_doctor };
enum { N_COMMAND = sizeof table / sizeof *table };

static int dispatch(int argc, char **argv)
{
    tui_lang(NULL);
    set_up_signals();
    char why[Q_ERRLEN];
    if (cli_device(&argc, argv, why) < 0) {
        q_say(stderr, "quorum: %s\n", why);
        return 2;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        q_say(stdout, "quorum %s\n", QUORUM_VERSION);
        return 0;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
        q_say(stdout, "%s\n\n", _("quorum: talk with a mixture-of-experts model and watch its experts"));
        for (int i = 0; i < N_COMMAND; i++) {
            cli_help(table[i]);
            q_say(stdout, "\n");
        }
        q_say_text(stdout, _("Where a model computes, with every subcommand that opens one:\n"
            "    --device cpu|cuda|cuda:N|auto   auto, the default, takes a GPU where the plugin (make cuda) and a driver are\n"
            "    --gpu-layers N|auto             routed experts of so many layers on the GPU, the others' are the CPU's work\n"
            "    --gpu-budget GIB                of the GPU's memory; without it all that is free\n"
            "    --gpu-experts cpu|fetch         who has experts that do not fit: the CPU computes them, or they are brought when asked for\n"
            "    --weights-ram GIB|least         of memory for weights on the CPU: experts beyond it are read from the disk when they are chosen"));
        q_say(stdout, "\n\n");
        q_say_text(stdout, _("Adapters (LoRA) on that model, likewise:\n"
            "    --lora FILE[=SCALE[@WHERE]]     a GGUF adapter or a PEFT folder, several times if need be; WHERE: layers 0-11, or one expert 17e90"));
        q_say(stdout, "\n\n");
        q_say(stdout, "%s\n", _("quorum SUBCOMMAND --help shows one of these."));
        return 0;
    }
    bool bare = argc == 1 || argv[1][0] == '-';
    const cli_command *c = bare ? &cli_chat : NULL;
    for (int i = 0; i < N_COMMAND && !c; i++)
        if (strcmp(table[i]->name, argv[1]) == 0)
            c = table[i];
    for (int i = bare ? 1 : 2; c && i < argc; i++) {
        int skip = cli_somebodys(argv[i]);
        if (strcmp(argv[i], "--help") == 0) {
            cli_help(c);
            return 0;
        }
        i = skip < argc - i ? i + skip : argc;
    }
    if (c == &cli_chat) bus_words = _(" became shorter or unreadable while it was in use: fetch or copy it again; what was said is kept");
    if (c)
        return bare ? c->run(argc, argv) : c->run(argc - 1, argv + 1);
    char err[Q_ERRLEN];
    if (cli_is_model(argv[1])) q_fail(err, Q_NOTFOUND, _("a model's file is given by -m: -m %s"), argv[1]);
    else q_fail(err, Q_NOTFOUND, _("there is no subcommand \"%s\"; quorum --help lists them"), argv[1]);
    return cli_fail(err), 2;
}

int main(int argc, char **argv)
{
    hold_standard_descriptors();
    q_clean_environment();
    return finish(dispatch(argc, argv));
}
