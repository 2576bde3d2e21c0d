/* tools/guarded: see guarded.h. What stands here is what somebody runs, or obeys, who was not told to: git at any of its commands, a shell or an
 * editor that opens the folder, direnv that sees one come in, another model's shell. What a person runs by name (Makefile, package.json, build.rs,
 * linters' settings) is the project's own, which is what a model is to change; and .github is obeyed by a server after a push that shows it: it is
 * asked about by name, but git may move it from branch to branch. */
#include "tools/guarded.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

enum { ASK = GUARDED_ASK, KEEP = GUARDED_ASK | GUARDED_KEEP };
static const struct row {
    const char *parent, *name;          /* NULL: any; patterns of fnmatch */
    unsigned how;
} rows[] = {
    /* repositories: what stands in .git is looked at by name (sandbox_guard.c) */
    { NULL, ".git", ASK }, { NULL, ".hg", ASK }, { NULL, ".svn", ASK }, { NULL, ".gitconfig", KEEP }, { NULL, ".gitmodules", KEEP }, { NULL, ".gitattributes", ASK },
    { NULL, "commondir", ASK }, { NULL, "HEAD", ASK },
    /* what git's hooks run */
    { NULL, ".githooks", KEEP }, { NULL, ".husky", KEEP }, { NULL, ".huskyrc*", KEEP }, { NULL, ".pre-commit-config.y*ml", KEEP }, { NULL, "lefthook*.y*ml", KEEP },
    { NULL, ".lefthook*.y*ml", KEEP }, { NULL, ".overcommit.yml", KEEP },
    /* shells, and what looks on when one comes into a folder */
    { NULL, ".bashrc", KEEP }, { NULL, ".bash_aliases", KEEP }, { NULL, ".bash_profile", KEEP }, { NULL, ".bash_login", KEEP }, { NULL, ".bash_logout", KEEP },
    { NULL, ".profile", KEEP }, { NULL, ".zshrc", KEEP }, { NULL, ".zshenv", KEEP }, { NULL, ".zprofile", KEEP }, { NULL, ".zlogin", KEEP }, { NULL, ".zlogout", KEEP },
    { NULL, ".kshrc", KEEP }, { NULL, ".cshrc", KEEP }, { NULL, ".tcshrc", KEEP }, { NULL, ".login", KEEP }, { NULL, ".inputrc", KEEP }, { NULL, ".envrc", KEEP },
    { NULL, ".direnvrc", KEEP }, { ".direnv", "*.rc", KEEP }, { NULL, ".rvmrc", KEEP }, { NULL, ".autoenv*", KEEP }, { NULL, ".env", ASK }, { NULL, ".tmux.conf", KEEP },
    { NULL, ".screenrc", KEEP }, { NULL, ".xinitrc", KEEP }, { NULL, ".xsession", KEEP }, { NULL, ".xsessionrc", KEEP }, { NULL, ".xprofile", KEEP },
    { NULL, ".pam_environment", KEEP }, { NULL, "mise*.toml", ASK }, { NULL, ".mise*.toml", ASK }, { NULL, ".tool-versions", ASK },
    /* editors */
    { NULL, ".vimrc", KEEP }, { NULL, ".gvimrc", KEEP }, { NULL, ".exrc", KEEP }, { NULL, ".nvimrc", KEEP }, { NULL, ".nvim.lua", KEEP }, { NULL, ".lvimrc", KEEP },
    { NULL, ".emacs", KEEP }, { NULL, ".emacs.d", ASK }, { NULL, ".dir-locals*.el", KEEP }, { NULL, ".vscode", KEEP }, { NULL, "*.code-workspace", KEEP },
    { NULL, ".idea", KEEP }, { NULL, ".fleet", KEEP }, { NULL, ".zed", KEEP }, { NULL, ".devcontainer", KEEP }, { NULL, ".devcontainer.json", KEEP },
    /* other shells of models: hooks, servers that they start */
    { NULL, ".mcp.json", KEEP }, { ".claude", "settings*.json", KEEP }, { ".claude", "hooks", KEEP }, { ".claude", "commands", KEEP }, { ".claude", "agents", KEEP },
    { ".claude", "skills", KEEP }, { ".cursor", "*.json", KEEP }, { ".cursor", "rules", KEEP }, { ".cursor", "hooks", KEEP }, { NULL, ".codex", KEEP }, { NULL, ".gemini", KEEP },
    { ".opencode", "*.json*", KEEP }, { ".opencode", "plugin*", KEEP }, { ".opencode", "agent*", KEEP }, { ".opencode", "command*", KEEP }, { ".opencode", "tool*", KEEP },
    { NULL, "opencode.json*", KEEP }, { NULL, ".windsurf", KEEP }, { NULL, ".kiro", KEEP }, { NULL, ".continue", KEEP }, { NULL, ".aider.conf.yml", KEEP },
    /* programs that read settings with commands in them from where they are started */
    { NULL, ".gdbinit", KEEP }, { NULL, ".lldbinit", KEEP }, { NULL, ".pdbrc*", KEEP }, { NULL, ".pythonrc*", ASK }, { NULL, "sitecustomize.py", ASK }, { NULL, "usercustomize.py", ASK },
    { NULL, ".irbrc", KEEP }, { NULL, ".pryrc", KEEP }, { NULL, ".Rprofile", KEEP }, { NULL, ".Renviron", KEEP }, { NULL, ".octaverc", KEEP }, { NULL, ".ghci", KEEP },
    { NULL, ".ocamlinit", KEEP }, { NULL, ".npmrc", KEEP }, { NULL, ".yarnrc*", KEEP }, { NULL, ".pnpmfile.*js", KEEP }, { NULL, ".pypirc", ASK }, { NULL, ".curlrc", KEEP },
    { NULL, ".wgetrc", KEEP }, { NULL, ".netrc", KEEP }, { ".cargo", "config*", KEEP }, { NULL, ".mvn", KEEP },
    /* what a home, a system or a server obeys */
    { NULL, ".config", ASK }, { NULL, ".local", ASK }, { NULL, ".ssh", ASK }, { NULL, ".gnupg", ASK }, { NULL, ".github", ASK }, { NULL, ".gitlab-ci.yml", ASK },
    { NULL, "crontab", ASK }, { NULL, "cron.*", ASK }, { NULL, "autostart", ASK }, { NULL, "systemd", ASK } };

static bool is(const char *pattern, const char *name)
{
    if (*pattern != '*' && tolower((unsigned char)*pattern) != tolower((unsigned char)*name)) return false;
    return strchr(pattern, '*') ? fnmatch(pattern, name, FNM_CASEFOLD) == 0 : strcasecmp(pattern, name) == 0;
}

unsigned guarded(const char *parent, const char *name)
{
    unsigned how = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (is(rows[i].name, name) && (!rows[i].parent || is(rows[i].parent, parent))) how |= rows[i].how;
    return how;
}
