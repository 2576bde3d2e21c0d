/* cli/main: finds the subcommand and runs it. Owns the table of subcommands and the program's locale.
 * Numbers are always written with a point, whatever the locale: others script us. */
#include "cli/cli.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    int n;
    const cli_command *table = cli_commands(&n);
    setlocale(LC_ALL, "");
    setlocale(LC_NUMERIC, "C");
    char *words = q_share_path("build/locale");
    bindtextdomain("quorum", words ? words : QUORUM_LOCALEDIR);
    bind_textdomain_codeset("quorum", "UTF-8");
    textdomain("quorum");
    free(words);
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        puts("quorum " QUORUM_VERSION);
        return 0;
    }
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0)) {
        printf("%s\n\n", _("quorum: talk with a mixture-of-experts model and watch its experts"));
        for (int i = 0; i < n; i++)
            printf("%s\n\n", _(table[i].usage));
        puts(_("quorum SUBCOMMAND --help shows one of these."));
        return 0;
    }
    if (argc == 1 || argv[1][0] == '-')
        return cmd_chat(argc, argv);
    const cli_command *c = NULL;
    for (int i = 0; i < n && argc > 1; i++)
        if (strcmp(table[i].name, argv[1]) == 0)
            c = &table[i];
    for (int i = 2; c && i < argc; i++)
        if (strcmp(argv[i], "--help") == 0) {
            puts(_(c->usage));
            return 0;
        }
    if (c)
        return c->run(argc - 1, argv + 1);
    fprintf(stderr, _("quorum: there is no subcommand \"%s\"; quorum --help lists them\n"), argv[1]);
    return 2;
}
