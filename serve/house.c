/* serve/house: see house.h. */
#include "serve/house.h"

#include <string.h>

int house_model(const house *h, const char *asked, fault *f)
{
    const char *path = prov_about(h->p)->path, *base = path ? strrchr(path, '/') : NULL;
    if (!asked || !*asked || strcmp(asked, h->name) == 0 || strcmp(asked, "default") == 0 || (path && strcmp(asked, base ? base + 1 : path) == 0))
        return Q_OK;
    f->code = "model_not_found";
    return fault_set(f, 404, "model", _("there is no model \"%.80s\" here: this server has \"%.200s\""), asked, h->name);
}

int house_fault(fault *f, int rc, const char *field, const char *err)
{
    bool theirs = rc == Q_RANGE || rc == Q_FORMAT || rc == Q_NOTFOUND;
    if (rc == Q_CANCEL)
        return fault_set(f, 503, NULL, "%s", _("the server is stopping: ask again later"));
    return fault_set(f, theirs ? 400 : 500, field, *field ? "%s: %s" : "%s%s", field, err);
}
