/* agent/scaled: the value of lora.scale taken apart and put together by adapters. Plain functions; any thread, on a configuration of its own. */
#include "agent/errands.h"

#include <stdlib.h>
#include <string.h>

/* The pieces of lora.scale that are of one adapter, or those of all others; "" for none; malloc'ed. */
static char *pieces(const prov_config *c, const char *name, bool its)
{
    q_buf now = { 0 }, out = { 0 };
    const char *p = prov_config_get(c, "lora.scale", &now);
    for (p = strcmp(p, "none") == 0 ? "" : p; *p; p += *p == ',') {
        size_t n = strcspn(p, ","), own = strcspn(p, "=@,");
        if ((own == strlen(name) && memcmp(p, name, own) == 0) == its) {
            q_buf_puts(&out, out.len ? "," : "");
            q_buf_add(&out, p, n);
        }
        p += n;
    }
    q_buf_puts(&out, "");
    q_buf_free(&now);
    return q_buf_take(&out);
}

char *adapters_piece(const prov_config *c, const char *name) { return pieces(c, name, true); }

char *adapters_scaled(const prov_config *c, const char *name, const char *scale)
{
    char *rest = pieces(c, strchr(name, '@') ? "" : name, false);      /* no adapter is called "" */
    char *all = scale ? q_printf("%s%s%s=%s", rest, *rest ? "," : "", name, scale) : q_strdup(*rest ? rest : "none");
    free(rest);
    return all;
}
