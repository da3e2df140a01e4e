/*
 * glassproxy explain: what a request would do. It runs the proxy's own code on a connection that leads nowhere.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/dry_run.h"

static const char usage[] =
    "Usage: glassproxy explain [-p prefix] [-c file] [--json] [-H 'Name: value']... [-X method] [--from address] URL\n\n"
    "Says what the configuration would do with a request: no network is used. URL is http://host[:port]/path, and the\n"
    "port chooses among the listening addresses.\n";

int command_explain(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {"from", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct str prefix = STR("./"), file = STR("nginx.conf"), authority, target, error = STR("");
    struct dry_request q = {.from = STR("127.0.0.1:50000")};
    struct buf fields = {0}, head = {0};
    bool as_json = false, has_host = false;
    const char *method = "GET";
    struct conf *c;
    json_t *detail;
    int option;

    while ((option = getopt_long(argc, argv, "p:c:H:X:h", longs, NULL)) != -1)
        switch (option) {
        case 'p': prefix = str_of(optarg); break;
        case 'c': file = str_of(optarg); break;
        case 'X': method = optarg; break;
        case 'j': as_json = true; break;
        case 'f': q.from = str_of(optarg); break;
        case 'H':
            has_host |= strncasecmp(optarg, "host:", 5) == 0;
            buf_printf(&fields, "%s\r\n", optarg);
            break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    if (optind + 1 != argc || dry_run_split_url(argv[optind], &authority, &q.port, &target) < 0) {
        fputs(usage, stderr);
        return 1;
    }
    c = dry_run_load(prefix, file, STR(""));
    if (!c)
        return 1;
    buf_printf(&head, "%s %s%.*s HTTP/1.1\r\n", method, target.n && target.p[0] == '/' ? "" : "/", STR_ARG(target));
    if (!has_host)
        buf_printf(&head, "Host: %.*s\r\n", STR_ARG(authority));
    buf_adds(&head, buf_str(&fields));
    buf_addz(&head, "\r\n");
    q.head = buf_str(&head);
    detail = dry_run(c, &q, &error);
    if (!detail) {
        fprintf(stderr, "glassproxy: %.*s\n", STR_ARG(error));
        return 1;
    }
    if (as_json) {
        char *text = json_dumps(detail, JSON_COMPACT);
        puts(text ? text : "");
        free(text);
    } else {
        show_request(stdout, detail, isatty(1));
    }
    json_decref(detail);
    return 0;
}
