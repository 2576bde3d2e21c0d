/* engine/file/split: see split.h. */
#include "engine/file/split.h"

#include <string.h>

static const char FORM[] = "-00000-of-00000.gguf";      /* 0: any digit */
enum { FORM_N = sizeof FORM - 1, PART_AT = 1, OF_AT = 10 };

static int number(const char *s)
{
    int n = 0;
    for (int i = 0; i < 5; i++) n = 10 * n + s[i] - '0';
    return n;
}

bool split_name(const char *path, int *part, int *of, size_t *name)
{
    size_t n = strlen(path);
    if (n < FORM_N) return false;
    const char *s = path + n - FORM_N;
    for (int i = 0; i < FORM_N; i++)
        if (FORM[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != FORM[i]) return false;
    int p = number(s + PART_AT), all = number(s + OF_AT);
    if (p < 1 || p > all) return false;
    if (part) *part = p;
    if (of) *of = all;
    if (name) *name = n - FORM_N;
    return true;
}

char *split_path(const char *path, int part)
{
    int of = 0;
    size_t name = 0;
    split_name(path, NULL, &of, &name);
    return q_printf("%.*s-%05d-of-%05d.gguf", (int)name, path, part, of);
}
