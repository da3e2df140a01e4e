/*
 * glassproxy lint: what is probably wrong with a configuration, without any request.
 */
#include <getopt.h>
#include <stdlib.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/dry_run.h"
#include "diagnose/diagnose.h"
#include "trace/json_write.h"

static const char usage[] =
    "Usage: glassproxy lint [-p prefix] [-c file] [--json]\n\n"
    "Looks for what nginx accepts but is probably not meant. Exit status: 0 if there is nothing but hints, 2 if there are\n"
    "warnings or errors, 1 if the configuration cannot be read.\n";

int command_lint(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct str prefix = STR("./"), file = STR("nginx.conf");
    const struct findings *found;
    bool as_json = false;
    struct buf b = {0};
    struct conf *c;
    json_t *list;
    int option, rc = 0;

    while ((option = getopt_long(argc, argv, "p:c:h", longs, NULL)) != -1)
        switch (option) {
        case 'p': prefix = str_of(optarg); break;
        case 'c': file = str_of(optarg); break;
        case 'j': as_json = true; break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    if (optind != argc) {
        fputs(usage, stderr);
        return 1;
    }
    c = dry_run_load(prefix, file, STR(""));
    if (!c)
        return 1;
    found = findings_of_conf(c, c->arena);
    for (size_t i = 0; i < found->all.n; i++)
        if (found->all.items[i].kind->severity > SEVERITY_HINT)
            rc = 2;
    write_open(&b, NULL, '{');
    findings_describe(&b, c->arena, found);
    write_close(&b, '}');
    if (as_json) {
        printf("%.*s\n", STR_ARG(buf_str(&b)));
    } else if ((list = json_loadb(buf_str(&b).p, buf_len(&b), 0, NULL))) {
        show_findings(stdout, json_object_get(list, "findings"), isatty(1));
        if (found->all.n == 0)
            puts("Nothing found.");
        json_decref(list);
    }
    buf_free(&b);
    return rc;
}
