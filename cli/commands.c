/* cli/commands: the table of subcommands; help and usage messages come from it. Constant data. */
#include "cli/cli.h"

/* Rows are added as the subcommands land. */
const cli_command *cli_commands(int *n)
{
    static const cli_command table[] = {
        {"memory", N_("quorum memory add PATH... | search TEXT [--json] [-n N] | list | delete ID   [--db FILE]"), cmd_memory},
    };
    *n = (int)(sizeof table / sizeof *table);
    return table;
}
