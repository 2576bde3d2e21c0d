/* lab/spec: what a person writes for a configuration; see lab.h. Any thread. */
#include "lab/text.h"

#include <stdlib.h>
#include <string.h>

bool lab_spec_begins(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz_.0123456789");
    return n > 0 && s[0] >= 'a' && s[0] <= 'z' && s[n] == '=';
}

static bool also(const char *aka, const char *name)
{
    size_t n = strlen(name);
    for (const char *p = aka; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && strncmp(p, name, n) == 0)
            return true;
    return false;
}

const q_knob *spec_knob(const char *name)
{
    int n, hits = 0;
    const q_knob *row = eng_knobs(&n), *hit = NULL;
    for (int i = 0; i < n; i++)
        if (strcmp(row[i].name, name) == 0 || also(row[i].aka, name))
            return &row[i];
    for (int i = 0; i < n; i++) {
        const char *dot = strrchr(row[i].name, '.');
        if (row[i].effect != Q_EFFECT_FIXED && dot && strcmp(dot + 1, name) == 0)
            hit = &row[i], hits++;
    }
    return hits == 1 ? hit : NULL;       /* several end so */
}

const char *lab_spec_name(const char *name)
{
    const q_knob *row = spec_knob(name);
    return row ? row->name : NULL;
}

int lab_spec_lists(const q_knob *knob, const char *setting, char **out, char *err)
{
    const char *eq = strchr(setting, '=');
    char *list = NULL;
    bool saved = eq && eq[1] == '@' && knob && (knob->type == Q_KNOB_PAIRS || knob->type == Q_KNOB_PAIR_VALUES);
    int rc = saved ? lab_brain_list_of(eq + 2, knob->name, &list, err) : Q_OK;
    *out = rc ? NULL : saved ? q_printf("%.*s=%s", (int)(eq - setting), setting, list) : q_strdup(setting);
    free(list);
    return rc;
}

static int set_one(eng_config *c, const char *item, size_t n, char *err)
{
    char *text = q_strndup(item, n), *eq = strchr(text, '=');
    if (!eq || eq == text) {
        int rc = q_fail(err, Q_NOTFOUND, _("\"%s\" names no configuration: a brain's name, or settings like k=4,rope.theta=5e5"), text);
        free(text);
        return rc;
    }
    char *whole = NULL;
    *eq = 0;
    const q_knob *row = spec_knob(text);
    *eq = '=';
    int rc = lab_spec_lists(row, text, &whole, err);
    if (rc == Q_OK) {
        char *value = strchr(whole, '=') + 1;
        value[-1] = 0;
        rc = eng_config_set(c, row ? row->name : whole, value, err);
    }
    free(whole);
    free(text);
    return rc;
}

static int set_all(eng_config *c, const char *spec, char *err)
{
    int rc = Q_OK;
    for (const char *p = spec; *p && rc == Q_OK;) {
        const char *end = p;
        while (*end && !(*end == ',' && lab_spec_begins(end + 1)))
            end++;
        rc = set_one(c, p, (size_t)(end - p), err);
        p = *end ? end + 1 : end;
    }
    return rc;
}

int spec_one(const char *spec, char **name, char **value, char *err)
{
    const char *eq = strchr(spec, '=');
    bool more = false;
    for (const char *p = spec; *p; p++)
        more |= *p == ',' && lab_spec_begins(p + 1);
    *name = *value = NULL;
    if (!eq || eq == spec || !eq[1])
        return q_fail(err, Q_RANGE, _("\"%s\" is no change: one knob and its value, like experts.k=4"), spec);
    if (more)
        return q_fail(err, Q_RANGE, _("\"%s\" changes several knobs: which of them made a difference could not be told; one at a time"), spec);
    char *word = q_strndup(spec, (size_t)(eq - spec));
    const q_knob *row = spec_knob(word);
    int rc = row ? Q_OK : q_fail(err, Q_NOTFOUND, _("there is no knob %s; /set in the shell lists them all"), word);
    char *whole = NULL;
    if (row && (rc = lab_spec_lists(row, spec, &whole, err)) == Q_OK) {
        *name = q_strdup(row->name);
        *value = q_strdup(strchr(whole, '=') + 1);
    }
    free(whole);
    free(word);
    return rc;
}

/* What does nothing here is said and left out: a brain is for many models. */
static int take_brain(eng_config *c, const char *name, q_buf *said, char *err)
{
    lab_brain b;
    char why[Q_ERRLEN];
    int rc = lab_brain_read(name, &b, err);
    for (int i = 0; i < b.n && rc == Q_OK; i++)
        if (eng_config_set(c, b.knob[i], b.value[i], why) < 0)
            q_buf_printf(said, "%s: %s\n", name, why);
    lab_brain_free(&b);
    return rc;
}

int lab_spec(eng_config *c, const char *spec, q_buf *said, char *err)
{
    if (*spec && !strchr(spec, '='))
        return take_brain(c, spec, said, err);
    eng_config *tried = eng_config_copy(c);          /* whole or not at all */
    int rc = set_all(tried, spec, err);
    eng_config_free(tried);
    return rc ? rc : set_all(c, spec, err);
}
