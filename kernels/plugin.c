/* kernels/plugin: a backend that comes as a library of its own, opened when it is asked for, so that a program for the
 * CPU neither needs nor links it. What it hands over must fit this program's table. Any thread; opened once, never closed:
 * its table and what it allocates live as long as the program. */
#include "kernels/kernels.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char FILE_NAME[] = "libquorum-cuda.so";

/* Beside the program, or where it is installed; never in the current folder and never where a variable says. */
static bool find(char path[PATH_MAX])
{
    static const char *const beside[] = { "", "../lib/quorum/", "lib/" };
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return false;
    exe[n] = 0;
    char *slash = strrchr(exe, '/');
    if (!slash) return false;
    slash[1] = 0;
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        int len = snprintf(path, PATH_MAX, "%s%s%s", exe, beside[i], FILE_NAME);
        if (len > 0 && len < PATH_MAX && !access(path, R_OK)) return true;
    }
    return false;
}

bool ker_plugin_there(void)
{
    char path[PATH_MAX];
    return find(path);
}

/* A copy that broke off: what the loader would map lies behind the file's end, and reading it there ends a program. What is no library
 * of this machine's is the loader's to refuse. */
static bool cut_short(const char *path, off_t size)
{
    ElfW(Ehdr) e;
    ElfW(Phdr) p;
    bool cut = false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool elf = fd >= 0 && pread(fd, &e, sizeof e, 0) == sizeof e && !memcmp(e.e_ident, ELFMAG, SELFMAG) && e.e_phentsize == sizeof p;
    for (int i = 0; elf && !cut && i < e.e_phnum; i++)
        cut = pread(fd, &p, sizeof p, (off_t)(e.e_phoff + (size_t)i * sizeof p)) != sizeof p
           || (p.p_type == PT_LOAD && (p.p_filesz > (size_t)size || p.p_offset > (size_t)size - p.p_filesz));
    if (fd >= 0) close(fd);
    return cut;
}

static const char *words(const char *one, const char *many, unsigned long n) { return many ? q_words_n(one, many, n) : q_words(one); }

int ker_plugin_open(const char *path, const ker_backend **out, char *err)
{
    char found[PATH_MAX];
    if (!path && !find(found))
        return q_fail(err, Q_NOTFOUND, _("%s is not beside the program: build it with make cuda (docs/CUDA.md)"), FILE_NAME);
    if (!path) path = found;
    if (access(path, R_OK)) return q_fail(err, Q_NOTFOUND, _("%s cannot be read: build it with make cuda (docs/CUDA.md)"), path);
    /* The loader would wait for the writer of a FIFO, and look for a bare name in its own folders instead of here. */
    struct stat st;
    if (stat(path, &st) || !S_ISREG(st.st_mode)) return q_fail(err, Q_FORMAT, _("%s is not a file: give the plugin's own, or none to take the one beside the program"), path);
    if (cut_short(path, st.st_size)) return q_fail(err, Q_FORMAT, _("%s cannot be loaded (%s): build it again with make cuda"), path, _("it is cut short"));
    char *here = strchr(path, '/') ? q_strdup(path) : q_printf("./%s", path);
    void *lib = dlopen(here, RTLD_NOW | RTLD_LOCAL);
    free(here);
    if (!lib) return q_fail(err, Q_FORMAT, _("%s cannot be loaded (%s): build it again with make cuda"), path, dlerror());
    const ker_backend *(*entry)(q_words_look look);
    void *sym = dlsym(lib, KER_PLUGIN_ENTRY);
    memcpy(&entry, &sym, sizeof entry);            /* ISO C knows no way from an object's pointer to a function's */
    const ker_backend *b = sym ? entry(words) : NULL;
    if (!b) {
        dlclose(lib);
        return q_fail(err, Q_FORMAT, _("%s is not a backend of quorum: build it again with make cuda"), path);
    }
    int rc = ker_backend_check(b, err);
    if (rc) dlclose(lib);
    else *out = b;
    return rc;
}
