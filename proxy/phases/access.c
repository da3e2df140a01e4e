/*
 * Who may: allow and deny (nginx's ngx_http_access_module), and the client's real address behind trusted proxies
 * (ngx_http_realip_module).
 */
#include "http/connection.h"
#include "http/log.h"
#include "http/network.h"
#include "phases/engine.h"
#include "phases/handlers.h"
#include "trace/trace.h"
#include "vars/vars.h"

struct rule {
    struct network network;
    bool is_deny;
};

struct rule_list {
    ARRAY_OF(struct rule) all;
};

struct access_loc {
    struct setting rules;
};

int access_phase(struct request *r)
{
    const struct access_loc *loc = r->loc_conf[access_module.index];
    const struct rule_list *list = loc->rules.ptr;

    for (size_t i = 0; list && i < list->all.n; i++) {
        const struct rule *rule = &list->all.items[i];
        if (!network_contains(&rule->network, r->client))
            continue;
        trace_step(r, rule->network.directive, address_text(r->arena, &r->client->u.any, false), STR(""), rule->is_deny ? "denied" : "allowed");
        if (!rule->is_deny)
            break;
        log_request(r, LOG_ERR_, 0, "access forbidden by rule");
        return 403;
    }
    return PHASE_NEXT;
}

static int parse_rule(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct rule_list *list;
    struct rule *rule;

    list = conf_claim_list(c, d, s, sizeof *list);
    rule = ARRAY_PUSH(&list->all, c->arena);
    rule->is_deny = str_eq(d->args[0], STR("deny"));
    if (str_eq(d->args[1], STR("unix:"))) {
        rule->network.family = AF_UNIX;
    } else if (!str_eq(d->args[1], STR("all")) && !network_parse(d->args[1], &rule->network)) {
        conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    rule->network.directive = d;
    return 0;
}

#define LOC(field) SCOPE_LOC, offsetof(struct access_loc, field)
static const struct directive_row access_rows[] = {
    {"allow", IN_ANY_HTTP | IN_LIMIT_EXCEPT, 1, 1, false, LOC(rules), parse_rule, NULL, "Lets a network in.", INHERIT, NULL},
    {"deny", IN_ANY_HTTP | IN_LIMIT_EXCEPT, 1, 1, false, LOC(rules), parse_rule, NULL, "Keeps a network out.", INHERIT, NULL},
};

struct module access_module = {
    .name = "ngx_http_access_module",
    .rows = access_rows,
    .n_rows = sizeof access_rows / sizeof access_rows[0],
    .loc_bytes = sizeof(struct access_loc),
};

/* --- realip --- */

struct realip_loc {
    struct setting from, header, recursive;
};

int realip_phase(struct request *r)
{
    const struct realip_loc *loc = r->loc_conf[realip_module.index];
    const network_array *trusted = loc->from.ptr;
    struct address *a;
    enum field_id id;

    if (!trusted)
        return PHASE_NEXT;
    a = arena_zalloc(r->arena, sizeof *a);
    *a = r->connection ? r->connection->peer : *r->client;
    id = field_id(loc->header.str);
    if (address_forwarded(r->arena, a, &r->fields, id, loc->header.str, trusted, loc->recursive.num)) {
        trace_step(r, loc->from.origin, address_text(r->arena, &r->client->u.any, false), address_text(r->arena, &a->u.any, false), "a trusted proxy says who the client is");
        r->client = a;
    }
    return PHASE_NEXT;
}

static int parse_from(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    network_array *list;
    struct network n = {.directive = d};
    address_array found = {0};

    list = conf_claim_list(c, d, s, sizeof *list);
    if (str_eq(d->args[1], STR("unix:"))) {
        n.family = AF_UNIX;
    } else if (!network_parse(d->args[1], &n)) {
        if (address_parse(c->arena, d->args[1], 80, &found)) {
            conf_fail(c->tree, d, "host not found in set_real_ip_from \"%.*s\"", STR_ARG(d->args[1]));
            return -1;
        }
        for (size_t i = 0; i < found.n; i++) {
            n.family = address_bytes(&found.items[i], n.address);
            n.bits = n.family == AF_INET ? 32 : 128;
            *ARRAY_PUSH(list, c->arena) = n;
        }
        return 0;
    }
    *ARRAY_PUSH(list, c->arena) = n;
    return 0;
}

static int parse_realip_header(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    if (str_eq(d->args[1], STR("proxy_protocol"))) {
        conf_fail(c->tree, d, "the \"proxy_protocol\" parameter is not implemented by glassproxy yet");
        return -1;
    }
    return conf_parse_str(c, d, row, structure);
}

static void get_realip_addr(struct request *r, struct value *v, struct str rest, void *data)
{
    (void)rest, (void)data;
    v->s = address_text(r->arena, r->connection ? &r->connection->peer.u.any : &r->client->u.any, false);
}

static void get_realip_port(struct request *r, struct value *v, struct str rest, void *data)
{
    (void)rest, (void)data;
    v->s = arena_printf(r->arena, "%u", address_port(r->connection ? &r->connection->peer.u.any : &r->client->u.any));
}

static const struct variable_row variables[] = {
    {"realip_remote_addr", get_realip_addr, NULL, NULL, 0},
    {"realip_remote_port", get_realip_port, NULL, NULL, 0},
    {NULL, NULL, NULL, NULL, 0},
};

static int prepare(struct conf *c)
{
    variables_declare(c, variables);
    return 0;
}

#undef LOC
#define LOC(field) SCOPE_LOC, offsetof(struct realip_loc, field)
static const struct directive_row realip_rows[] = {
    {"set_real_ip_from", IN_ANY_HTTP, 1, 1, false, LOC(from), parse_from, NULL, "Proxies whose word on the client's address is taken.", INHERIT, NULL},
    {"real_ip_header", IN_ANY_HTTP, 1, 1, false, LOC(header), parse_realip_header, "X-Real-IP", "The field with the client's address.", INHERIT, NULL},
    {"real_ip_recursive", IN_ANY_HTTP, 1, 1, false, LOC(recursive), conf_parse_flag, "off", "Skips all trusted addresses.", INHERIT, NULL},
};

struct module realip_module = {
    .name = "ngx_http_realip_module",
    .rows = realip_rows,
    .n_rows = sizeof realip_rows / sizeof realip_rows[0],
    .loc_bytes = sizeof(struct realip_loc),
    .prepare = prepare,
};
