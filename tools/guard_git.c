/* tools/guard_git: what git obeys in a repository (gitrepository-layout(5), githooks(5), git-config(1)). See guard.h. */
#include "tools/guard.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const git_obeys[] = { "config", "config.worktree", "commondir", "gitdir", "info/attributes", NULL };
const char *const git_hooks[] = { "applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg", "commit-msg", "post-commit",
                                  "pre-rebase", "post-checkout", "post-merge", "pre-push", "pre-receive", "update", "proc-receive", "post-receive", "post-update",
                                  "reference-transaction", "push-to-checkout", "pre-auto-gc", "post-rewrite", "sendemail-validate", "fsmonitor-watchman",
                                  "p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit", "post-index-change", NULL };

bool git_hook_name(const char *name)
{
    size_t n = strlen(name);
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !(n > 7 && strcmp(name + n - 7, ".sample") == 0) && !strstr(name, ".by-command");
}

/* ---- settings ---- */
typedef struct setting {
    char section[64], key[64];          /* small letters; a subsection is left out */
    char value[1024];
} setting;

static bool of_name(char c) { return isalnum((unsigned char)c) || c == '-'; }

static const char *past_space(const char *p, const char *end)
{
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* "[name]" or "[name "other"]": what is behind it, NULL where it is neither. */
static const char *section_of(const char *p, const char *end, setting *s)
{
    size_t n = 0;
    for (p++; p < end && (of_name(*p) || *p == '.'); p++)
        if (n + 1 < sizeof s->section) s->section[n++] = (char)tolower((unsigned char)*p);
    s->section[n] = 0;
    s->section[strcspn(s->section, ".")] = 0;
    p = past_space(p, end);
    if (p < end && *p == '"') {
        for (p++; p < end && *p != '"'; p++)
            if (*p == '\\') p++;
        p++;
    }
    return n && p < end && *p == ']' ? p + 1 : NULL;
}

/* Each line; false: one of them is no plain setting (two lines long, in quotes with more behind, no name). each: false says so too. */
static bool settings(const char *p, size_t size, bool (*each)(void *user, const setting *), void *user)
{
    bool plain = true;
    setting s = { "", "", "" };
    for (const char *end = p + size, *next; p < end; p = next) {
        const char *line = memchr(p, '\n', (size_t)(end - p));
        next = line ? line + 1 : end;
        if (!line) line = end;
        for (const char *c = p; c < line; c++)
            if (((unsigned char)*c < ' ' && *c != '\t' && !(*c == '\r' && c + 1 == line)) || *c == 127) plain = false;
        p = past_space(p, line);
        if (p < line && *p == '[') {
            const char *behind = section_of(p, line, &s);
            plain = plain && behind;
            p = past_space(behind ? behind : line, line);
        }
        if (p == line || *p == '#' || *p == ';') continue;
        size_t n = 0;
        for (; p < line && of_name(*p); p++)
            if (n + 1 < sizeof s.key) s.key[n++] = (char)tolower((unsigned char)*p);
        s.key[n] = 0;
        p = past_space(p, line);
        if (!n || (p < line && *p != '=' && *p != '#' && *p != ';')) plain = false;
        p = past_space(p < line ? p + 1 : p, line);
        while (line > p && isspace((unsigned char)line[-1])) line--;
        if (memchr(p, '\\', (size_t)(line - p)) || (size_t)(line - p) >= sizeof s.value) plain = false;
        if (line - p > 1 && *p == '"' && line[-1] == '"') p++, line--;
        n = (size_t)(line - p) < sizeof s.value ? (size_t)(line - p) : sizeof s.value - 1;
        memcpy(s.value, p, n);
        s.value[n] = 0;
        if (!each(user, &s)) plain = false;
    }
    return plain;
}

static bool harmless(void *user, const setting *s)
{
    static const char *const rows[] = { "core.repositoryformatversion", "core.filemode", "core.bare", "core.logallrefupdates", "core.ignorecase", "core.precomposeunicode", "core.symlinks",
                                        "core.autocrlf", "core.eol", "core.longpaths", "core.worktree", "core.sharedrepository", "extensions.objectformat", "extensions.refstorage",
                                        "extensions.partialclone", "extensions.worktreeconfig", "remote.url", "remote.pushurl", "remote.fetch", "remote.tagopt", "remote.promisor",
                                        "remote.partialclonefilter", "branch.remote", "branch.merge", "branch.rebase", "user.name", "user.email", "submodule.active", "submodule.url",
                                        "gc.auto", "init.defaultbranch", "lfs.repositoryformatversion" };
    (void)user;
    char name[160];
    snprintf(name, sizeof name, "%s.%s", s->section, s->key);
    if (strstr(s->value, "::") || strchr(s->value, '"') || *s->value == '-') return false; /* a transport that is a command; an option of one */
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i], name) == 0) return true;
    return false;
}

bool git_harmless(const char *p, size_t n) { return settings(p, n, harmless, NULL); }

typedef struct asked {
    const char *key;
    char **out;
    int n, most;
} asked;
static bool take(void *user, const setting *s)
{
    asked *a = user;
    char name[160];
    snprintf(name, sizeof name, "%s.%s", s->section, s->key);
    if (strcmp(name, a->key) == 0 && a->n < a->most) a->out[a->n++] = q_strdup(s->value);
    return true;
}

int git_values(const char *p, size_t n, const char *key, char **out, int most)
{
    asked a = { key, out, 0, most };
    settings(p, n, take, &a);
    return a.n;
}
