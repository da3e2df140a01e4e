/*
 * glassproxy explain: what a request would do. It runs the proxy's own code on a connection that leads nowhere.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "http/connection.h"
#include "http/network.h"
#include "http/read_request.h"
#include "http/request.h"
#include "load.h"
#include "phases/engine.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "util/mem.h"

static const char usage[] =
    "Usage: glassproxy explain [-p prefix] [-c file] [--json] [-H 'Name: value']... [-X method] [--from address] URL\n\n"
    "Says what the configuration would do with a request: no network is used. URL is http://host[:port]/path, and the\n"
    "port chooses among the listening addresses.\n";

static int split_url(const char *url, struct str *authority, struct str *host, unsigned *port, struct str *target)
{
    struct str s = str_of(url);
    size_t end;
    long colon;

    if (!str_has_iprefix(s, STR("http://")))
        return -1;
    s = str_skip(s, 7);
    for (end = 0; end < s.n && s.p[end] != '/' && s.p[end] != '?' && s.p[end] != '#'; end++)
        ;
    *authority = *host = (struct str){s.p, end};
    *target = str_skip(s, end);
    *port = 80;
    colon = host->n && host->p[0] == '[' ? str_find(*host, STR("]:")) : str_chr(*host, ':');
    if (colon >= 0) {
        long long n = str_number(str_skip(*host, (size_t)colon + (host->p[0] == '[' ? 2 : 1)));
        if (n < 1 || n > 65535)
            return -1;
        *port = (unsigned)n;
        host->n = (size_t)colon + (host->p[0] == '[');
    }
    return host->n ? 0 : -1;
}

static const struct listener *find_listener(struct conf *c, unsigned port)
{
    struct core_main *m = c->http.main[core_module.index];

    for (size_t i = 0; i < m->listeners.n; i++)
        if (m->listeners.items[i]->port == port)
            return m->listeners.items[i];
    return NULL;
}

/* The connection that the request seems to come on. */
static struct connection *pretend(struct conf *c, const struct listener *l, const struct address *from)
{
    struct worker *w = mem_zalloc(sizeof *w);
    struct connection *connection = mem_zalloc(sizeof *connection);

    w->loop = loop_new();
    w->conf = c;
    connection->worker = w;
    connection->conf = c;
    connection->listener = l;
    connection->io.fd = -1;
    connection->number = 1;
    connection->peer = *from;
    connection->local = l->address;
    return connection;
}

static void report(struct request *r, bool as_json)
{
    struct buf b = {0};
    json_t *detail;

    r->server_address = &r->listener->address;
    write_open(&b, NULL, '{');
    trace_describe(&b, r);
    write_close(&b, '}');
    if (as_json) {
        printf("%.*s\n", STR_ARG(buf_str(&b)));
    } else if ((detail = json_loadb(buf_str(&b).p, buf_len(&b), 0, NULL))) {
        show_request(stdout, detail, isatty(1));
        json_decref(detail);
    }
    buf_free(&b);
}

int command_explain(int argc, char **argv)
{
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {"from", required_argument, NULL, 'f'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct str prefix = STR("./"), file = STR("nginx.conf"), authority, host, target;
    const char *method = "GET", *from = "127.0.0.1:50000";
    struct buf fields = {0}, head = {0};
    bool as_json = false, has_host = false;
    struct address client = {0};
    const struct listener *l;
    struct conf_tree *tree;
    struct connection *connection;
    struct request *r;
    struct conf *c;
    unsigned port;
    int option;

    while ((option = getopt_long(argc, argv, "p:c:H:X:h", longs, NULL)) != -1)
        switch (option) {
        case 'p': prefix = str_of(optarg); break;
        case 'c': file = str_of(optarg); break;
        case 'X': method = optarg; break;
        case 'j': as_json = true; break;
        case 'f': from = optarg; break;
        case 'H':
            has_host |= strncasecmp(optarg, "host:", 5) == 0;
            buf_printf(&fields, "%s\r\n", optarg);
            break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    if (optind + 1 != argc || split_url(argv[optind], &authority, &host, &port, &target) < 0) {
        fputs(usage, stderr);
        return 1;
    }
    if (file.p[0] != '/') { /* as a shell user expects: relative to where one is */
        char *here = realpath(file.p, NULL);
        if (here)
            file = str_of(here);
    }
    c = load_configuration(prefix, file, STR(""), &tree);
    if (tree->n_errors || !c->http.main) {
        load_print_errors(tree);
        if (!tree->n_errors)
            fprintf(stderr, "glassproxy: there is no http block in %.*s\n", STR_ARG(tree->conf_file));
        return 1;
    }
    l = find_listener(c, port);
    if (!l) {
        fprintf(stderr, "glassproxy: no server listens on port %u: the connection would be refused\n", port);
        return 1;
    }
    if (!address_from_text(c->arena, str_of(from), &client)) {
        fprintf(stderr, "glassproxy: --from: \"%s\" is no IP address\n", from);
        return 1;
    }
    buf_printf(&head, "%s %s%.*s HTTP/1.1\r\n", method, target.n && target.p[0] == '/' ? "" : "/", STR_ARG(target));
    if (!has_host)
        buf_printf(&head, "Host: %.*s\r\n", STR_ARG(authority));
    buf_adds(&head, buf_str(&fields));
    buf_addz(&head, "\r\n");
    connection = pretend(c, l, &client);
    read_request_start(connection);
    r = connection->request;
    r->is_dry_run = true;
    r->listener = l;
    buf_adds(&connection->unread, buf_str(&head));
    read_request(r);
    report(r, as_json);
    return 0;
}
