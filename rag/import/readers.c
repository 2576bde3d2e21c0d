/* rag/import/readers: the program quorum-readers, which quorum starts, held in (held.c), to have libraries read files that may be hostile. It
 * gets one end of a pair and has nothing else: no file of its own, no argument, no setting. */
#include "rag/import/held.h"
#include "rag/import/serve.h"

#include <locale.h>
#include <sys/prctl.h>
#include <sys/resource.h>

enum { ARCHIVE_S = 300 };

int main(void)
{
    struct rlimit l;
    if (!setlocale(LC_CTYPE, "C.UTF-8")) setlocale(LC_CTYPE, "");       /* names in archives are UTF-8 */
    prctl(PR_SET_DUMPABLE, 0);
    int cpu_s = getrlimit(RLIMIT_CPU, &l) == 0 && l.rlim_cur <= HELD_CPU_ALL ? (int)l.rlim_cur : HELD_CPU_ALL;
    held_calls();
    serve(HELD_FD, cpu_s, cpu_s > ARCHIVE_S ? cpu_s : ARCHIVE_S);
    return 0;
}
