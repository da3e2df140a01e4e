/*
 * The `listen` directive: see listen.h.
 */
#include "http/listen.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/core.h"

static struct listener *add_listener(struct conf *c, struct directive *d, const struct address *address)
{
    struct core_main *m = core_main(c);
    struct listener *l;

    for (size_t i = 0; i < m->listeners.n; i++)
        if (address_eq(&m->listeners.items[i]->address, address))
            return m->listeners.items[i];
    l = *ARRAY_PUSH(&m->listeners, c->arena) = arena_zalloc(c->arena, sizeof *l);
    l->address = *address;
    l->directive = d;
    l->options = (struct listen_options){.backlog = 511, .is_ipv6only = true};
    l->port = address_port(&address->u.any);
    l->fd = -1;
    return l;
}

static void add_server(struct conf *c, struct directive *d, const struct address *address, const struct listen_options *options, bool is_default)
{
    struct listener *l = add_listener(c, d, address);
    struct server *s = ((struct core_srv *)c->level.srv[core_module.index])->server;

    for (size_t i = 0; i < l->servers.n; i++)
        if (l->servers.items[i] == s) {
            conf_fail(c->tree, d, "a duplicate listen %.*s", STR_ARG(l->address.text));
            return;
        }
    *ARRAY_PUSH(&l->servers, c->arena) = s;
    if (options->is_set) {
        if (l->options.is_set)
            conf_fail(c->tree, d, "duplicate listen options for %.*s", STR_ARG(l->address.text));
        l->options = *options;
    }
    if (is_default) {
        if (l->has_explicit_default)
            conf_fail(c->tree, d, "a duplicate default server for %.*s", STR_ARG(l->address.text));
        l->has_explicit_default = true;
        l->default_server = s;
    } else if (!l->default_server) {
        l->default_server = s;
    }
}

void listen_add_default(struct conf *c, struct directive *d)
{
    address_array found = {0};

    address_parse(c->arena, geteuid() == 0 ? STR("*:80") : STR("*:8000"), 80, &found);
    add_server(c, d, &found.items[0], &(struct listen_options){.is_set = false}, false);
}

/* "127.0.0.1:8182-8183" is one address for each port. */
static const char *parse_listen_address(struct conf *c, struct str where, address_array *found)
{
    long colon = (long)where.n, dash;
    long long first, last;

    while (colon > 0 && where.p[colon - 1] != ':')
        colon--;
    dash = str_chr(str_skip(where, (size_t)colon), '-');
    if (colon == 0 || dash < 0 || str_has_prefix(where, STR("unix:")))
        return address_parse(c->arena, where, 80, found);
    first = str_number((struct str){where.p + colon, (size_t)dash});
    last = str_number(str_skip(where, (size_t)(colon + dash) + 1));
    if (first < 1 || last > 65535)
        return "invalid port";
    if (last < first)
        return "invalid port range";
    for (long long port = first; port <= last; port++) {
        const char *error = address_parse(c->arena, arena_printf(c->arena, "%.*s%lld", (int)colon, where.p, port), 80, found);
        if (error)
            return error;
    }
    return NULL;
}

static bool option_value(struct str arg, const char *name, struct str *value)
{
    if (!str_has_prefix(arg, str_of(name)))
        return false;
    *value = str_skip(arg, strlen(name));
    return true;
}

/* "on", "off", or "idle:interval:count", each of which may be left out. */
static bool parse_keepalive(struct str s, struct listen_options *o)
{
    long *const fields[] = {&o->keepalive_idle_s, &o->keepalive_interval_s};
    long n;

    if (str_eq(s, STR("on")) || str_eq(s, STR("off"))) {
        o->keepalive = str_eq(s, STR("on")) ? KEEPALIVE_ON : KEEPALIVE_OFF;
        return true;
    }
    o->keepalive = KEEPALIVE_ON;
    for (unsigned i = 0; i < 2; i++) {
        long colon = str_chr(s, ':');
        struct str part = {s.p, colon < 0 ? s.n : (size_t)colon};
        if (part.n && (*fields[i] = conf_read_sec(part)) < 0)
            return false;
        s = colon < 0 ? STR("") : str_skip(s, (size_t)colon + 1);
    }
    if (s.n) {
        n = (long)str_number(s);
        if (n < 0)
            return false;
        o->keepalive_count = (int)n;
    }
    return o->keepalive_idle_s || o->keepalive_interval_s || o->keepalive_count;
}

/* One parameter of an address. False with an error. */
static bool parse_option(struct conf *c, struct directive *d, struct str arg, struct listen_options *o, bool *is_default)
{
    struct str value;
    long n;

    if (str_eq(arg, STR("default_server")) || str_eq(arg, STR("default"))) {
        *is_default = true;
        return true;
    }
    if (str_eq(arg, STR("ssl")) || str_eq(arg, STR("http2")) || str_eq(arg, STR("proxy_protocol")) || str_eq(arg, STR("quic"))) {
        conf_fail(c->tree, d, "the \"%.*s\" parameter of \"listen\" is not implemented by glassproxy yet", STR_ARG(arg));
        return false;
    }
    if (option_value(arg, "accept_filter=", &value)) /* of BSD */
        return true;
    o->is_set = true;
    if (str_eq(arg, STR("bind"))) {
        return true; /* every address has its own socket anyway */
    } else if (str_eq(arg, STR("deferred"))) {
        o->is_deferred = true;
    } else if (str_eq(arg, STR("reuseport"))) {
        o->has_reuseport = true;
    } else if (str_eq(arg, STR("ipv6only=on")) || str_eq(arg, STR("ipv6only=off"))) {
        o->is_ipv6only = str_eq(arg, STR("ipv6only=on"));
    } else if (option_value(arg, "ipv6only=o", &value)) {
        conf_fail(c->tree, d, "invalid ipv6only flags \"o%.*s\"", STR_ARG(value));
        return false;
    } else if (option_value(arg, "fastopen=", &value)) {
        n = (long)str_number(value);
        o->fastopen = (int)n;
        if (n < 0)
            conf_fail(c->tree, d, "invalid fastopen \"%.*s\"", STR_ARG(arg));
        return n >= 0;
    } else if (option_value(arg, "backlog=", &value)) {
        n = (long)str_number(value);
        o->backlog = (int)n;
        if (n <= 0)
            conf_fail(c->tree, d, "invalid backlog \"%.*s\"", STR_ARG(arg));
        return n > 0;
    } else if (option_value(arg, "rcvbuf=", &value)) {
        n = conf_read_size(value);
        o->rcvbuf_bytes = (int)n;
        if (n < 0)
            conf_fail(c->tree, d, "invalid rcvbuf \"%.*s\"", STR_ARG(arg));
        return n >= 0;
    } else if (option_value(arg, "sndbuf=", &value)) {
        n = conf_read_size(value);
        o->sndbuf_bytes = (int)n;
        if (n < 0)
            conf_fail(c->tree, d, "invalid sndbuf \"%.*s\"", STR_ARG(arg));
        return n >= 0;
    } else if (option_value(arg, "so_keepalive=", &value)) {
        if (!parse_keepalive(value, o)) {
            conf_fail(c->tree, d, "invalid so_keepalive value: \"%.*s\"", STR_ARG(value));
            return false;
        }
    } else {
        conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(arg));
        return false;
    }
    return true;
}

int listen_parse(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct listen_options options = {.backlog = 511, .is_ipv6only = true, .fastopen = -1};
    address_array found = {0};
    struct str where = d->args[1];
    const char *error;
    bool is_default = false;

    (void)row;
    ((struct core_srv *)structure)->server->has_listen = true;
    if (str_number(where) > 0 && str_number(where) <= 65535)
        where = arena_printf(c->arena, "*:%.*s", STR_ARG(where));
    else if (str_chr(where, ':') < 0 && str_chr(where, '.') < 0 && where.n && where.p[0] >= '0' && where.p[0] <= '9' && str_chr(where, '-') > 0)
        where = arena_printf(c->arena, "*:%.*s", STR_ARG(where));
    else if (str_number(where) >= 0) {
        conf_fail(c->tree, d, "invalid port in \"%.*s\" of the \"listen\" directive", STR_ARG(where));
        return -1;
    }
    error = parse_listen_address(c, where, &found);
    if (error) {
        conf_fail(c->tree, d, "%s in \"%.*s\" of the \"listen\" directive", error, STR_ARG(d->args[1]));
        return -1;
    }
    for (unsigned i = 2; i < d->n_args; i++)
        if (!parse_option(c, d, d->args[i], &options, &is_default))
            return -1;
    for (size_t i = 0; i < found.n; i++)
        add_server(c, d, &found.items[i], &options, is_default);
    return 0;
}

static void set_option(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

void listen_set_options(const struct listener *l, int fd)
{
    const struct listen_options *o = &l->options;

    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (o->has_reuseport)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (o->rcvbuf_bytes)
        set_option(fd, SOL_SOCKET, SO_RCVBUF, o->rcvbuf_bytes);
    if (o->sndbuf_bytes)
        set_option(fd, SOL_SOCKET, SO_SNDBUF, o->sndbuf_bytes);
    if (o->keepalive)
        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, o->keepalive == KEEPALIVE_ON);
    if (o->keepalive_idle_s)
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)o->keepalive_idle_s);
    if (o->keepalive_interval_s)
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, (int)o->keepalive_interval_s);
    if (o->keepalive_count)
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepalive_count);
    if (o->is_set && o->fastopen >= 0)
        set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, o->fastopen);
    if (o->is_deferred) {
        const struct core_srv *srv = l->default_server->level.srv[core_module.index];
        set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, (int)(srv->client_header_timeout.num / 1000));
    }
    if (l->address.u.any.sa_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, o->is_ipv6only);
}
