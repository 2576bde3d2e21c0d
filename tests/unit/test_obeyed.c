/* tools/guarded, guard_git, guard_look, sandbox_guard: what other programs obey in a project stays as it was behind a command, at any depth, and what
 * is the command's own work is left to it. Each case is a project made by a script, a command that wants to plant something, and what must hold
 * afterwards. It is done without a sandbox, so that nothing but the guard stands in the way, and in each that this machine has. */
#include "tests/test.h"
#include "tools/guard.h"
#include "tools/guarded.h"
#include "tools/sandbox.h"

#include <unistd.h>

static char err[Q_ERRLEN];
static char *root, *project;

/* repo FOLDER: a repository made by hand. */
#define SHELL "repo() { mkdir -p $1/objects $1/refs $1/hooks $1/info && echo 'ref: refs/heads/main' > $1/HEAD && printf '[core]\\n\\tbare = false\\n' > $1/config; }\n" \
              "evil='[core]\n\tfsmonitor = evil\n'; "
#define NO(file, word) "! grep -qs " word " " file

typedef struct planted {
    const char *name, *before, *command, *after, *says; /* shell; says: in what is said without a sandbox; "" nothing is said */
} planted;
static const planted rows[] = {
    { "a nested repository's hook", "repo sub/.git", "echo evil > sub/.git/hooks/pre-commit; chmod +x sub/.git/hooks/pre-commit", "! test -e sub/.git/hooks/pre-commit", "pre-commit.by-command beside it" },
    { "a nested repository's settings", "repo sub/.git", "printf \"$evil\" >> sub/.git/config", NO("sub/.git/config", "evil") " && grep -q bare sub/.git/config", "sub/.git/config was put back" },
    { "a submodule's hook", "repo .git; repo .git/modules/a/b", "echo evil > .git/modules/a/b/hooks/post-checkout", "! test -e .git/modules/a/b/hooks/post-checkout", ".by-command" },
    { "a submodule's settings", "repo .git; repo .git/modules/a; repo .git/modules/a/modules/c", "printf \"$evil\" >> .git/modules/a/modules/c/config", NO(".git/modules/a/modules/c/config", "evil"), "put back" },
    { "a submodule that comes", "repo .git", "repo .git/modules/a; printf '[core]\\n\\tworktree = ../../../sub\\n' > .git/modules/a/config; echo 'gitdir: ../.git/modules/a' > sub/.git",
      "grep -q worktree .git/modules/a/config && test -e sub/.git", "sub/.git: look at" },
    { "a worktree led to other settings", "repo .git; mkdir -p .git/worktrees/w; echo ../.. > .git/worktrees/w/commondir; cp .git/HEAD .git/worktrees/w",
      "repo sub/x; printf \"$evil\" > sub/x/config; echo ../../../sub/x > .git/worktrees/w/commondir", "grep -qx ../.. .git/worktrees/w/commondir && " NO("sub/x/config", "evil"), "commondir was put back" },
    { "settings of a worktree", "repo .git; mkdir -p .git/worktrees/w; echo ../.. > .git/worktrees/w/commondir; cp .git/HEAD .git/worktrees/w", "printf \"$evil\" > .git/worktrees/w/config.worktree",
      "! test -e .git/worktrees/w/config.worktree", "config.worktree.by-command" },
    { "a worktree that comes", "repo .git", "mkdir -p .git/worktrees/w sub/w; echo ../.. > .git/worktrees/w/commondir; cp .git/HEAD .git/worktrees/w; echo /x > .git/worktrees/w/gitdir",
      "test -e .git/worktrees/w/commondir && test -e .git/worktrees/w/gitdir", "" },
    { "where a repository lies", "repo .git/modules/a; mkdir -p s; echo 'gitdir: ../.git/modules/a' > s/.git; repo .git", "repo sub/x; printf \"$evil\" > sub/x/config; echo 'gitdir: ../sub/x' > s/.git",
      "grep -qx 'gitdir: ../.git/modules/a' s/.git && " NO("sub/x/config", "evil"), "s/.git was put back" },
    { "a repository where nobody looks", "repo .git; mkdir -p .git/objects/aa", "repo .git/objects/aa; printf \"$evil\" > .git/objects/aa/config; echo 'gitdir: ../.git/objects/aa' > sub/.git",
      NO(".git/objects/aa/config", "evil"), ".git/objects/aa/config was not there" },
    { "a repository without a tree", "mkdir -p sub", "repo sub; printf \"$evil\" > sub/config", NO("sub/config", "evil"), "sub/config was not there" },
    { "its hook", "repo sub", "echo evil > sub/hooks/pre-commit", "! test -e sub/hooks/pre-commit", "pre-commit.by-command beside it" },
    { "settings that lay there before it was one", "mkdir -p sub/refs sub/objects; printf \"$evil\" > sub/config; mv sub/refs sub/r", "mv sub/r sub/refs; echo 'ref: refs/heads/x' > sub/HEAD", NO("sub/config", "evil"), "sub/config" },
    { "settings shared with another repository", "mkdir -p sub/g", "mkdir -p sub/c/objects sub/c/refs; printf \"$evil\" > sub/c/config; cp .keep sub/g/HEAD; echo ../c > sub/g/commondir", NO("sub/c/config", "evil"), "sub/c/config" },
    { "another folder for the repository", "repo .git", "mv .git old; mkdir .git; cp -r old/. .git; printf \"$evil\" >> .git/config; echo evil > .git/hooks/pre-commit", "! test -e .git/hooks/pre-commit && " NO(".git/config", "evil"),
      ".git is another folder" },
    { "a file for the repository", "repo .git", "mv .git old; repo sub/x; printf \"$evil\" > sub/x/config; echo 'gitdir: sub/x' > .git", "test -d .git && grep -q bare .git/config && " NO("sub/x/config", "evil"), ".git was put back" },
    { "a link for the repository", "repo .git", "mv .git old; repo sub/x; ln -s sub/x .git", "test -d .git && ! test -L .git && grep -q bare .git/config", ".git was put back" },
    { "a nested repository moved away", "repo sub/.git", "mv sub/.git sub/old; ln -s old sub/.git", "test -d sub/.git && ! test -L sub/.git", "sub/.git was put back" },
    { "an editor's tasks, deep", "mkdir -p a/b/c/d/.vscode; echo mine > a/b/c/d/.vscode/tasks.json", "echo evil > a/b/c/d/.vscode/tasks.json", "grep -qx mine a/b/c/d/.vscode/tasks.json", "tasks.json was put back" },
    { "a new task beside them", "mkdir -p a/.vscode; echo mine > a/.vscode/tasks.json", "echo evil > a/.vscode/settings.json; mkdir -p a/.vscode/more; echo evil > a/.vscode/more/x", "! test -e a/.vscode/settings.json && ! test -e a/.vscode/more",
      "more.by-command beside it" },
    { "another folder of tasks", "mkdir -p a/.vscode; echo mine > a/.vscode/tasks.json", "rm -rf a/.vscode; mkdir a/.vscode; echo evil > a/.vscode/launch.json", "grep -qx mine a/.vscode/tasks.json && ! test -e a/.vscode/launch.json", "put back" },
    { "tasks removed", "mkdir -p a/.vscode; echo mine > a/.vscode/tasks.json", "rm -rf a/.vscode", "grep -qx mine a/.vscode/tasks.json", "had removed it" },
    { "tasks where there were none", "mkdir -p a/b", "mkdir a/b/.vscode; echo evil > a/b/.vscode/tasks.json", "! test -e a/b/.vscode && grep -qx evil a/b/.vscode.by-command/tasks.json", ".vscode.by-command beside it" },
    { "what git's hooks run", "mkdir -p .husky/_; echo mine > .husky/_/h; echo mine > .husky/pre-commit", "echo evil >> .husky/_/h; echo evil > .husky/pre-push; chmod +x .husky/pre-push", NO(".husky/_/h", "evil") " && ! test -e .husky/pre-push", ".husky/_/h was put back" },
    { "hooks that lie elsewhere", "repo .git; printf '[core]\\n\\thooksPath = scripts/git\\n' > .git/config; mkdir -p scripts/git; echo mine > scripts/git/pre-commit", "echo evil >> scripts/git/pre-commit; echo evil > scripts/git/pre-push",
      NO("scripts/git/pre-commit", "evil") " && ! test -e scripts/git/pre-push", "scripts/git/pre-commit was put back" },
    { "settings that lie elsewhere", "repo .git; printf '[include]\\n\\tpath = ../shared.config\\n' > .git/config; echo > shared.config", "printf \"$evil\" > shared.config", NO("shared.config", "evil"), "shared.config was put back" },
    { "what runs when one comes in", "mkdir -p a/b; echo mine > a/b/.envrc", "echo evil > a/b/.envrc; echo evil > a/.envrc", "grep -qx mine a/b/.envrc && ! test -e a/.envrc && grep -qx evil a/.envrc.by-command", ".envrc.by-command beside it" },
    { "a mode", "echo mine > .envrc; chmod 644 .envrc", "chmod 777 .envrc", "test $(stat -c %a .envrc) = 644", ".envrc was put back" },
    { "through a link", "mkdir -p editor; echo mine > editor/tasks.json; ln -s editor .vscode", "echo evil > editor/tasks.json", "grep -qx mine editor/tasks.json && test -L .vscode", "editor/tasks.json was put back" },
    { "a link out of the project", "ln -s ../../out .vscode", "ls .vscode; true", "test $(readlink .vscode) = ../../out", "" },
    { "a link led elsewhere", "mkdir -p editor; echo mine > editor/tasks.json; ln -s editor .vscode", "mkdir e; echo evil > e/tasks.json; rm .vscode; ln -s e .vscode", "test $(readlink .vscode) = editor", ".vscode was put back" },
    { "a folder that became a link", "mkdir -p a/b", "mkdir -p e/.vscode; echo evil > e/.vscode/tasks.json; rmdir a/b; ln -s ../e a/b", "true", "a/b was a folder and is a link now" },
    { "a folder made anew", "mkdir -p a/b; echo x > a/b/x", "rm -rf a/b; mkdir -p a/b/.vscode; echo evil > a/b/.vscode/tasks.json", "! test -e a/b/.vscode", ".vscode.by-command beside it" },
    { "a folder moved", "mkdir -p a/.vscode; echo mine > a/.vscode/tasks.json", "mv a old; mkdir -p a/.vscode; echo evil > a/.vscode/tasks.json", "grep -qx mine a/.vscode/tasks.json", "put back" },
    { "more files than are looked at", "mkdir -p .githooks; for i in $(seq 600); do echo > .githooks/f$i; done", "for i in $(seq 601 700); do echo > .githooks/f$i; done", "true", ".githooks holds more files" },
    { "deeper than is looked at", "d=.; for i in $(seq 45); do d=$d/d; done; mkdir -p $d", "true", "true", "more than is looked at" },
    /* the command's own work */
    { "a clone", "mkdir -p src", "repo src/lib/.git; printf '[remote \"origin\"]\\n\\turl = https://example.com/x\\n[branch \"main\"]\\n\\tremote = origin\\n' >> src/lib/.git/config; echo x > src/lib/.git/hooks/update.sample",
      "grep -q origin src/lib/.git/config", "" },
    { "a clone that would run something", "mkdir -p src", "repo src/lib/.git; printf \"$evil\" >> src/lib/.git/config; echo evil > src/lib/.git/hooks/post-merge; chmod +x src/lib/.git/hooks/post-merge",
      "! test -e src/lib/.git/config && grep -q evil src/lib/.git/config.by-command && ! test -e src/lib/.git/hooks/post-merge", "config.by-command beside it" },
    { "a package", "mkdir -p node_modules", "mkdir -p node_modules/p/.vscode; echo x > node_modules/p/.npmrc", "test -e node_modules/p/.npmrc && test -e node_modules/p/.vscode", "(node_modules/p/" },
    { "a folder removed", "mkdir -p a/.vscode; echo mine > a/.vscode/tasks.json; repo a/.git", "rm -rf a", "true", NULL },
    { "a repository made", "true", "repo .git", "grep -q bare .git/config", "a repository, .git" },
    { "ordinary work", "repo .git; mkdir -p .vscode a; echo mine > .vscode/tasks.json", "echo x > a/x; mkdir -p a/b; echo x > a/b/config; echo x > .git/index; mkdir -p .git/refs/heads; echo x > .git/refs/heads/main; echo Makefile > a/Makefile",
      "test -e a/b/config && test -e .git/index", "" },
};

enum { N = sizeof rows / sizeof *rows };

static bool shell(const char *script)
{
    char *s = q_printf("cd %s && { " SHELL "%s\n}", project, script);
    int rc = system(s);
    free(s);
    return rc == 0;
}

static void begin(const planted *p)
{
    char *anew = q_printf("chmod -R u+w %s 2> /dev/null; rm -rf %s && mkdir -p %s/sub", project, project, project);
    CHECK_MSG(system(anew) == 0, "%s", p->name);
    free(anew);
    CHECK_MSG(shell("echo 'ref: refs/heads/main' > .keep") && shell(p->before), "%s", p->name);
}

static void what_is_obeyed_stays_as_it_was(void)
{
    for (size_t i = 0; i < N; i++) {
        const planted *p = &rows[i];
        guard *g = NULL;
        q_buf said = { 0 };
        begin(p);
        CHECK_MSG(guard_take(project, &g, err) == Q_OK, "%s", err);
        shell(p->command);
        guard_back(g, &said);
        guard_free(g);
        CHECK_MSG(shell(p->after), "%s: %s", p->name, said.p ? said.p : "(nothing said)");
        if (p->says && *p->says) CHECK_MSG(said.p && strstr(said.p, p->says), "%s: %s", p->name, said.p ? said.p : "(nothing said)");
        if (p->says && !*p->says) CHECK_MSG(!said.len, "%s: %s", p->name, said.p);
        q_buf_clear(&said);              /* what is as it was is found so */
        CHECK_MSG(guard_take(project, &g, err) == Q_OK, "%s", err);
        guard_back(g, &said);
        guard_free(g);
        CHECK_MSG(!said.len || strstr(said.p, "more"), "%s: %s", p->name, said.p);
        q_buf_free(&said);
    }
    printf("# %d cases\n", N);
}

static void in_each_sandbox_too(enum sandbox_kind kind, const char *name)
{
    sandbox box;
    if (sandbox_find(kind, &box, err) != Q_OK || box.kind != kind) {
        char *skip = q_printf("obeyed_in_%s", name);
        SKIP(skip, *box.why ? box.why : err);
        free(skip);
        sandbox_free(&box);
        return;
    }
    q_buf command = { 0 };
    begin(&(planted){ .name = name, .before = "true" });
    for (size_t i = 0; i < N; i++) { /* each in a folder of its own, all by one command */
        char *in = q_printf("mkdir -p r%zu/sub && cd r%zu && cp ../.keep . && { %s\n}", i, i, rows[i].before);
        CHECK_MSG(shell(in), "%s", rows[i].name);
        free(in);
        q_buf_printf(&command, "(" SHELL "cd r%zu && { %s\n})\n", i, rows[i].command);
    }
    sandbox_job j = { .command = command.p, .folder = project, .limits = sandbox_limits_default() };
    sandbox_done d = { 0 };
    j.limits.left = 0;
    CHECK_MSG(sandbox_run(&box, &j, &d, err) == Q_OK, "%s", err);
    for (size_t i = 0; i < N; i++) {
        if (kind == SANDBOX_BWRAP && strstr(rows[i].after, "by-command")) continue; /* what could not be written lies nowhere */
        char *in = q_printf("cd r%zu && { %s\n}", i, rows[i].after);
        CHECK_MSG(shell(in), "%s in %s", rows[i].name, name);
        free(in);
    }
    if (test_bad) printf("# %s%s", d.output.p ? d.output.p : "", d.back.p ? d.back.p : "");
    sandbox_done_free(&d);
    q_buf_free(&command);
    sandbox_free(&box);
}
static void in_bubblewrap(void) { in_each_sandbox_too(SANDBOX_BWRAP, "bubblewrap"); }
static void in_landlock(void) { in_each_sandbox_too(SANDBOX_LANDLOCK, "Landlock"); }

static void names_are_known(void)
{
    static const struct { const char *parent, *name; unsigned how; } v[] = {
        { "", ".git", GUARDED_ASK }, { "", ".BASHRC", GUARDED_ASK | GUARDED_KEEP }, { "x", ".vscode", GUARDED_ASK | GUARDED_KEEP }, { "", "x.code-workspace", GUARDED_ASK | GUARDED_KEEP },
        { "", ".github", GUARDED_ASK }, { ".cargo", "config.toml", GUARDED_ASK | GUARDED_KEEP }, { "x", "config.toml", 0 }, { ".direnv", "flake-profile-1.rc", GUARDED_ASK | GUARDED_KEEP },
        { ".direnv", "bin", 0 }, { ".claude", "settings.local.json", GUARDED_ASK | GUARDED_KEEP }, { "", ".claude", 0 }, { "", "Makefile", 0 }, { "", "package.json", 0 }, { "", "", 0 },
        { "", ".yarnrc.yml", GUARDED_ASK | GUARDED_KEEP }, { "", "sitecustomize.py", GUARDED_ASK }, { "", "HEAD", GUARDED_ASK }, { "", "gitconfig", 0 } };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) CHECK_MSG(guarded(v[i].parent, v[i].name) == v[i].how, "%s/%s: %u", v[i].parent, v[i].name, guarded(v[i].parent, v[i].name));
}

static void settings_are_read(void)
{
    static const struct { const char *text; bool harmless; } v[] = {
        { "", true }, { "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n", true }, { "[core] bare = true\r\n", true },
        { "[remote \"origin\"]\n\turl = https://example.com/a.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n", true },
        { "# [core]\n; fsmonitor = x\n", true }, { "[submodule]\n\tactive = .\n[submodule \"a/b\"]\n\turl = ../b\n", true },
        { "[core]\n\tfsmonitor = x\n", false }, { "[CORE]\n\tFSMonitor = x\n", false }, { "[core]fsmonitor=x", false }, { "[core]\n\thooksPath = x\n", false }, { "[core]\n\tsshCommand\n", false },
        { "[alias]\n\tst = !x\n", false }, { "[include]\n\tpath = x\n", false }, { "[includeIf \"gitdir:x\"]\n\tpath = x\n", false }, { "[filter \"x\"]\n\tclean = x\n", false },
        { "[core]\n\tbare = false \\\n\tfsmonitor = x\n", false }, { "[core]\n\tbare = \"a\nb\"\n", false }, { "[remote \"x\"]\n\turl = ext::sh -c x\n", false },
        { "[remote \"x\"]\n\turl = ext\":\":sh\n", false }, { "[remote \"x\"]\n\turl = --upload-pack=x\n", false }, { "[remote \"x\"]\n\tuploadpack = x\n", false }, { "[submodule \"x\"]\n\tupdate = !x\n", false },
        { "[core", false }, { "core]\n", false }, { "[core] [alias] x = y\n", false }, { "\xEF\xBB\xBF[core]\n", false }, { "[core]\n\tbare = false\v\n", false }, { "[diff \"core\"]\n\tcommand = x\n", false },
        { "[core \"bare\"]\n\teditor = x\n", false }, { "=\n", false } };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++) CHECK_MSG(git_harmless(v[i].text, strlen(v[i].text)) == v[i].harmless, "%s", v[i].text);
    CHECK(!git_harmless("[core]\n\0\n", 9));
    char *out[2];
    const char *text = "[core]\n\thooksPath = \"a b\"\n[other]\n\thooksPath = no\n[core] hookspath=c\n[core]\n\thookspath = d\n";
    int n = git_values(text, strlen(text), "core.hookspath", out, 2);
    CHECK_INT(n, 2);
    for (int i = 0; i < n; i++) {
        CHECK_STR(out[i], i ? "c" : "a b");
        free(out[i]);
    }
}

int main(void)
{
    char *made = q_strdup("/tmp/obeyed-test-XXXXXX");
    if (!mkdtemp(made) || !(root = realpath(made, NULL))) abort();
    free(made);
    project = q_printf("%s/project", root);
    setenv("HOME", root, 1);
    RUN(names_are_known);
    RUN(settings_are_read);
    RUN(what_is_obeyed_stays_as_it_was);
    RUN(in_bubblewrap);
    RUN(in_landlock);
    char *rm = q_printf("rm -rf %s", root);
    if (system(rm) != 0) printf("# %s stays\n", root);
    free(rm);
    free(project);
    free(root);
    return TEST_END();
}
