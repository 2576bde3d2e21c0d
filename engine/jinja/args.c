/* engine/jinja/args: see args.h. */
#include "engine/jinja/args.h"

#include <string.h>

bool ja_get(const jargs *a, int i, const char *name, jv *out)
{
    if (i >= 0 && i < a->n) { *out = a->v[i]; return true; }
    for (int k = 0; name && k < a->n_named; k++)
        if (strcmp(a->name[k], name) == 0) { *out = a->named[k]; return true; }
    return false;
}

/* Where word stands among names separated by blanks, or -1; NULL: how many there are. */
static int place(const char *names, const char *word)
{
    int i = 0;
    for (const char *p = names; *p; i++) {
        size_t n = strcspn(p, " ");
        if (word && strlen(word) == n && memcmp(p, word, n) == 0) return i;
        p += n;
        p += strspn(p, " ");
    }
    return word ? -1 : i;
}

void ja_check(jx *x, const jargs *a, const char *names, int need)
{
    int n = place(names, NULL);
    if (a->n > n) jx_fail(x, _("%s takes %d arguments at most, not %d"), a->what, n, a->n);
    for (int k = 0; k < a->n_named; k++) {
        int at = place(names, a->name[k]);
        if (at < 0) jx_fail(x, _("%s has no argument %s"), a->what, a->name[k]);
        if (at < a->n) jx_fail(x, _("%s is given the argument %s twice"), a->what, a->name[k]);
    }
    for (int i = a->n; i < need; i++) {
        bool given = false;
        for (int k = 0; k < a->n_named; k++) given = given || place(names, a->name[k]) == i;
        if (!given) jx_fail(x, _("%s wants %d arguments"), a->what, need);
    }
}

const jstr *ja_str(jx *x, const jargs *a, int i, const char *name, const jstr *otherwise)
{
    jv v;
    if (!ja_get(a, i, name, &v) || v.kind == JV_NONE) return otherwise;
    if (v.kind == JV_UNDEF) ja_undefined(x, v);
    if (v.kind != JV_STR) jx_fail(x, _("%s: a text is wanted, not %s"), a->what, jv_type(v));
    return v.u.s;
}

int64_t ja_int(jx *x, const jargs *a, int i, const char *name, int64_t otherwise)
{
    jv v;
    if (!ja_get(a, i, name, &v)) return otherwise;
    if (v.kind == JV_BOOL) return v.u.b;
    if (v.kind != JV_INT) jx_fail(x, _("%s: a whole number is wanted, not %s"), a->what, jv_type(v));
    return v.u.i;
}

bool ja_bool(jx *x, const jargs *a, int i, const char *name, bool otherwise)
{
    jv v;
    return ja_get(a, i, name, &v) ? jv_true(x, v) : otherwise;
}

void ja_undefined(jx *x, jv v)
{
    if (v.u.any) jx_fail(x, _("'%s' is undefined"), (const char *)v.u.any);
    jx_fail(x, _("an undefined value is used"));
}
