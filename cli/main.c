/* cli/main: finds the subcommand and runs it. */
#include "cli/cli.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        puts("quorum " QUORUM_VERSION);
        return 0;
    }
    fprintf(stderr, "quorum: nothing to do yet\n");
    return 2;
}
