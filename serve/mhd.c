/* serve/mhd: see mhd.h. Any thread. */
#include "serve/mhd.h"
#include "base/base.h"

#include <dlfcn.h>
#include <string.h>

int mhd_open(mhd *m, char *err)
{
    static const char *const file[] = { "libmicrohttpd.so.12", "libmicrohttpd.so" };
    static const char *const name[] = {
        "MHD_start_daemon", "MHD_stop_daemon", "MHD_quiesce_daemon", "MHD_suspend_connection", "MHD_resume_connection",
        "MHD_lookup_connection_value", "MHD_get_connection_info", "MHD_create_response_from_buffer", "MHD_create_response_from_callback",
        "MHD_add_response_header", "MHD_queue_response", "MHD_destroy_response" };          /* in the order of mhd */
    enum { N = sizeof name / sizeof *name };
    _Static_assert(sizeof(mhd) == N * sizeof(void *), "each function of mhd has its name");
    void *lib = NULL, *f[N];
    for (size_t i = 0; !lib && i < sizeof file / sizeof *file; i++)
        lib = dlopen(file[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!lib)
        return q_fail(err, Q_NOTFOUND, _("serving needs libmicrohttpd, which is not on this machine: install it (Debian: apt install libmicrohttpd12)"));
    for (int i = 0; i < N; i++)
        if (!(f[i] = dlsym(lib, name[i])))
            return q_fail(err, Q_NOTFOUND, _("the libmicrohttpd of this machine is too old, it has no %s: install 0.9.71 or later"), name[i]);
    memcpy(m, f, sizeof f);
    return Q_OK;
}
