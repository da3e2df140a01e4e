/*
 * The table of subcommands.
 */
#include "commands/commands.h"

#include <string.h>

static const struct {
    const char *name, *does;
    int (*run)(int argc, char **argv);
} table[] = {
    {"explain", "what a request would do, without any network", command_explain},
    {"diff", "what would differ between two configurations", command_diff},
    {"lint", "what is probably wrong with a configuration", command_lint},
    {"trace", "follows the requests of a running proxy", command_trace},
    {"record", "writes the requests of a running proxy to a file", command_record},
    {"control", "sends commands to a running proxy", command_control},
    {"backend", "an upstream that answers with what it received", command_backend},
};

int command_run(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(argv[1], table[i].name) == 0)
            return table[i].run(argc - 1, argv + 1);
    fprintf(stderr, "glassproxy: unknown command \"%s\"; there are:\n", argv[1]);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        fprintf(stderr, "  %-8s %s\n", table[i].name, table[i].does);
    return 1;
}
