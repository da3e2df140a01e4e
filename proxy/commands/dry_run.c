/*
 * Requests without a network: see dry_run.h. A connection that leads nowhere is given the bytes of the request, and the
 * upstream machine stops where it would connect; if the answer is known, it goes on from there.
 */
#include "commands/dry_run.h"

#include <stdlib.h>

#include "http/connection.h"
#include "http/network.h"
#include "http/read_request.h"
#include "load.h"
#include "phases/engine.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "upstream/upstream.h"
#include "util/mem.h"

int dry_run_split_url(const char *url, struct str *authority, unsigned *port, struct str *target)
{
    struct str s = str_of(url), host;
    size_t end;
    long colon;

    if (!str_has_iprefix(s, STR("http://")))
        return -1;
    s = str_skip(s, 7);
    for (end = 0; end < s.n && s.p[end] != '/' && s.p[end] != '?' && s.p[end] != '#'; end++)
        ;
    *authority = host = (struct str){s.p, end};
    *target = str_skip(s, end);
    *port = 80;
    colon = host.n && host.p[0] == '[' ? str_find(host, STR("]:")) : str_chr(host, ':');
    if (colon >= 0) {
        long long n = str_number(str_skip(host, (size_t)colon + (host.p[0] == '[' ? 2 : 1)));
        if (n < 1 || n > 65535)
            return -1;
        *port = (unsigned)n;
        host.n = (size_t)colon + (host.p[0] == '[');
    }
    return host.n ? 0 : -1;
}

struct conf *dry_run_load(struct str prefix, struct str file, struct str as)
{
    struct conf_tree *tree;
    struct conf *c;

    if (file.p[0] != '/') { /* as a shell user expects: relative to where one is */
        char *here = realpath(file.p, NULL);
        if (here)
            file = str_of(here);
    }
    c = load_configuration_as(prefix, file, as, &tree);
    if (!tree->n_errors && c->http.main)
        return c;
    load_print_errors(tree);
    if (!tree->n_errors)
        fprintf(stderr, "glassproxy: there is no http block in %.*s\n", STR_ARG(tree->conf_file));
    return NULL;
}

static const struct listener *find_listener(struct conf *c, const struct dry_request *q)
{
    struct core_main *m = core_main(c);

    for (size_t i = 0; q->to.n && i < m->listeners.n; i++)
        if (str_eq(m->listeners.items[i]->address.text, q->to))
            return m->listeners.items[i];
    for (size_t i = 0; i < m->listeners.n; i++)
        if (m->listeners.items[i]->port == q->port)
            return m->listeners.items[i];
    return NULL;
}

/* The connection that the request seems to come on. */
static struct connection *pretend(struct conf *c, const struct listener *l, const struct address *from)
{
    static struct worker *w;
    struct connection *connection = mem_zalloc(sizeof *connection);

    if (!w) {
        w = mem_zalloc(sizeof *w);
        w->loop = loop_new();
    }
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

static json_t *describe(struct request *r)
{
    struct buf b = {0};
    json_t *detail;

    r->server_address = &r->listener->address;
    write_open(&b, NULL, '{');
    trace_describe(&b, r);
    write_close(&b, '}');
    detail = json_loadb(buf_str(&b).p, buf_len(&b), 0, NULL);
    buf_free(&b);
    return detail;
}

json_t *dry_run(struct conf *c, const struct dry_request *q, struct str *error)
{
    const struct listener *l = find_listener(c, q);
    struct connection *connection;
    struct address client = {0};
    struct request *r;

    if (!l) {
        *error = arena_printf(c->arena, "no server listens on port %u: the connection would be refused", q->port);
        return NULL;
    }
    if (!address_from_text(c->arena, q->from, &client)) {
        *error = arena_printf(c->arena, "\"%.*s\" is no IP address", STR_ARG(q->from));
        return NULL;
    }
    connection = pretend(c, l, &client);
    read_request_start(connection); /* nothing is there to read yet */
    r = connection->request;
    r->is_dry_run = true;
    r->listener = l;
    buf_adds(&connection->unread, q->head);
    buf_adds(&connection->unread, q->body);
    read_request(r);
    if (q->answer.n && r->upstream && r->upstream->request_head.n && !r->response.status)
        upstream_pretend_answer(r, q->answer);
    return describe(r);
}
