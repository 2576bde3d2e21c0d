/* net/curl: see curl.h. Any thread: dlopen and curl_global_init count for themselves (since curl 7.84). */
#include "net/curl.h"
#include "base/base.h"

#include <dlfcn.h>
#include <string.h>

int net_curl_open(net_curl *c, char *err)
{
    static const char *const file[] = { "libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so" };
    static const char *const name[] = {
        "curl_global_init", "curl_easy_init", "curl_easy_setopt", "curl_easy_getinfo", "curl_easy_reset", "curl_easy_cleanup",
        "curl_easy_strerror", "curl_slist_append", "curl_slist_free_all", "curl_multi_init", "curl_multi_add_handle",
        "curl_multi_remove_handle", "curl_multi_perform", "curl_multi_poll", "curl_multi_wakeup", "curl_multi_info_read",
        "curl_multi_cleanup" };              /* in the order of net_curl */
    enum { N = sizeof name / sizeof *name };
    _Static_assert(sizeof(net_curl) == N * sizeof(void *), "each function of net_curl has its name");
    void *lib = NULL, *f[N];
    for (size_t i = 0; !lib && i < sizeof file / sizeof *file; i++)
        lib = dlopen(file[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!lib)
        return q_fail(err, Q_NOTFOUND, _("a server is asked through libcurl, which is not on this machine: install it (Debian: apt install libcurl4)"));
    for (int i = 0; i < N; i++)
        if (!(f[i] = dlsym(lib, name[i])))
            return q_fail(err, Q_NOTFOUND, _("the libcurl of this machine is too old, it has no %s: install 7.85 or later"), name[i]);
    memcpy(c, f, sizeof f);
    if (c->global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return q_fail(err, Q_ERR, _("libcurl does not start: install it anew"));
    return Q_OK;
}
