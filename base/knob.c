/* base/knob: a knob's value as people read it. */
#include "base/base.h"
#include "base/knob.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number at *p, and *p behind it and its comma. */
static long take(const char **p)
{
    long v = strtol(*p, NULL, 10);
    *p += strcspn(*p, ",:");
    *p += **p == ',';
    return v;
}

void q_knob_number(char out[32], double v)
{
    bool whole = v == floor(v) && fabs(v) <= 9007199254740992.0;
    snprintf(out, 32, whole ? "%.0f" : "%.10g", v == 0 ? 0 : v);
}

void q_knob_brief(q_buf *b, const char *value)
{
    const char *end = value + strspn(value, "0123456789,");        /* of the list; behind it at most how it is meant, ":magnitude" */
    if (!strchr(value, ',') || (*end && (*end != ':' || strpbrk(end, ",=0123456789")))) {
        q_buf_puts(b, value);
        return;
    }
    const char *gap = "";
    for (int first = 0, next; value < end; first = next) {
        long v = take(&value);
        next = first + 1;
        for (const char *p = value; value < end && take(&p) == v; value = p)
            next++;
        if (v == 0)
            continue;
        q_buf_printf(b, "%s%d", gap, first);
        if (next - first > 1)
            q_buf_printf(b, "-%d", next - 1);
        q_buf_printf(b, ":%ld", v);
        gap = " ";
    }
    q_buf_puts(b, end);
}
