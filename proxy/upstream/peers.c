/*
 * Choosing among the peers of a group: see peers.h. Also the upstream block.
 */
#include "upstream/peers.h"

#include "http/log.h"
#include "upstream/pool.h"

static size_t count(const struct upstream_group *g, bool backups)
{
    size_t n = 0;

    for (size_t i = 0; i < g->peers.n; i++)
        n += g->peers.items[i].is_backup == backups && !g->peers.items[i].is_down;
    return n;
}

static bool has_primary(const struct upstream_group *g)
{
    for (size_t i = 0; i < g->peers.n; i++)
        if (!g->peers.items[i].is_backup)
            return true;
    return false;
}

unsigned peers_tries(const struct upstream_group *g)
{
    return (unsigned)(count(g, false) + count(g, true));
}

static bool was_tried(const struct upstream *u, size_t i)
{
    return u->tried[i / 64] >> (i % 64) & 1;
}

static bool is_usable(const struct peer *p, uint64_t now_s)
{
    if (p->is_down || (p->max_conns && p->conns >= p->max_conns))
        return false;
    return !p->max_fails || p->fails < p->max_fails || now_s - p->checked_s > p->fail_timeout_s;
}

static struct peer *choose_among(struct upstream *u, uint64_t now_s, bool backups)
{
    struct upstream_group *g = u->group;
    struct peer *best = NULL;
    int total = 0;

    for (size_t i = 0; i < g->peers.n; i++) {
        struct peer *p = &g->peers.items[i];
        if (p->is_backup != backups || was_tried(u, i) || !is_usable(p, now_s))
            continue;
        p->current_weight += p->effective_weight;
        total += p->effective_weight;
        if (p->effective_weight < p->weight)
            p->effective_weight++;
        if (!best || p->current_weight > best->current_weight)
            best = p;
    }
    if (!best)
        return NULL;
    best->current_weight -= total;
    u->tried[(size_t)(best - g->peers.items) / 64] |= (uint64_t)1 << ((size_t)(best - g->peers.items) % 64);
    if (now_s - best->checked_s > best->fail_timeout_s)
        best->checked_s = now_s;
    return best;
}

struct peer *peers_choose(struct request *r, uint64_t now_ms, struct str *why)
{
    struct upstream *u = r->upstream;
    struct upstream_group *g = u->group;
    struct peer *p = NULL;
    int weight = 0;

    if (!u->tried)
        u->tried = arena_zalloc(r->arena, (g->peers.n / 64 + 1) * sizeof *u->tried);
    if (u->forced_peer) {
        p = u->forced_peer;
        u->forced_peer = NULL;
        u->tried[(size_t)(p - g->peers.items) / 64] |= (uint64_t)1 << ((size_t)(p - g->peers.items) % 64);
        *why = STR("a person chose it");
    } else if (g->peers.n == 1) { /* a single one is asked whatever happened before */
        p = &g->peers.items[0];
        *why = STR("the only server of the group");
        if (p->is_down || (p->max_conns && p->conns >= p->max_conns))
            return NULL;
    } else {
        if (!u->tries_backups)
            p = choose_among(u, now_ms / 1000, false);
        if (!p) {
            u->tries_backups = true;
            p = choose_among(u, now_ms / 1000, true);
        }
        if (!p)
            return NULL;
        for (size_t i = 0; i < g->peers.n; i++)
            weight += g->peers.items[i].is_backup == p->is_backup ? g->peers.items[i].effective_weight : 0;
        *why = arena_printf(r->arena, "%s, weight %d of %d", p->is_backup ? "a backup: no other server is left" : "its turn in the weighted round robin",
                            p->effective_weight, weight);
    }
    p->conns++;
    p->asked++;
    return p;
}

const struct peer *peers_preview(const struct upstream_group *g, struct arena *a, struct str *why)
{
    const struct peer *best = NULL;
    int total = 0;

    for (int backups = 0; backups < 2 && !best; backups++)
        for (size_t i = 0; i < g->peers.n; i++) {
            const struct peer *p = &g->peers.items[i];
            if (p->is_backup != (backups > 0) || p->is_down || (p->max_conns && p->conns >= p->max_conns))
                continue;
            total += p->effective_weight;
            if (!best || p->current_weight + p->effective_weight > best->current_weight + best->effective_weight)
                best = p;
        }
    *why = !best ? STR("no server of the group is usable")
           : g->peers.n == 1 ? STR("the only server of the group")
                             : arena_printf(a, "%s, weight %d of %d", best->is_backup ? "a backup: no other server is usable" : "the first in the weighted round robin",
                                            best->effective_weight, total);
    return best;
}

void peer_free(struct request *r, enum peer_outcome outcome, uint64_t now_ms)
{
    struct upstream *u = r->upstream;
    struct peer *p = u->peer;

    if (!p)
        return;
    u->peer = NULL;
    p->conns--;
    if (u->group->peers.n == 1) {
        u->tries_left = 0;
        return;
    }
    if (outcome == PEER_FAILED) {
        p->fails++;
        p->accessed_s = p->checked_s = now_ms / 1000;
        if (p->max_fails) {
            p->effective_weight -= p->weight / (int)p->max_fails;
            if (p->fails >= p->max_fails)
                log_request(r, LOG_WARN_, 0, "upstream server temporarily disabled");
        }
        if (p->effective_weight < 0)
            p->effective_weight = 0;
    } else if (p->accessed_s < p->checked_s) {
        p->fails = 0;
    }
    if (u->tries_left)
        u->tries_left--;
}

/* --- the upstream block --- */

struct upstream_main {
    ARRAY_OF(struct upstream_group *) groups;
    struct upstream_group *reading;
};

struct upstream_group *upstream_group_find(struct conf *c, struct str name, unsigned port)
{
    struct upstream_main *m = c->http.main[upstream_module.index];

    for (size_t i = 0; i < m->groups.n; i++) {
        const struct upstream_group *g = m->groups.items[i];
        if (str_ieq(g->name, name) && g->port == port)
            return m->groups.items[i];
    }
    return NULL;
}

struct upstream_group *upstream_group_at(struct conf *c, size_t i)
{
    struct upstream_main *m = c->http.main ? c->http.main[upstream_module.index] : NULL;

    return m && i < m->groups.n ? m->groups.items[i] : NULL;
}

void upstream_group_add(struct conf *c, struct upstream_group *g)
{
    struct upstream_main *m = c->http.main[upstream_module.index];

    *ARRAY_PUSH(&m->groups, c->arena) = g;
}

void pools_close(struct conf *c)
{
    struct upstream_main *m = c->http.main ? c->http.main[upstream_module.index] : NULL;

    for (size_t i = 0; m && i < m->groups.n; i++)
        pool_close(m->groups.items[i]);
}

static int parse_upstream(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct upstream_main *m = structure;
    struct upstream_group *g;

    (void)row;
    if (upstream_group_find(c, d->args[1], 0)) {
        conf_fail(c->tree, d, "duplicate upstream \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    g = *ARRAY_PUSH(&m->groups, c->arena) = arena_zalloc(c->arena, sizeof *g);
    g->name = d->args[1];
    g->directive = d;
    g->pool.keepalive_requests.num = 1000;
    g->pool.keepalive_time.num = 60 * 60 * 1000;
    g->pool.keepalive_timeout.num = 60 * 1000;
    arena_on_free(c->arena, pool_close, g);
    m->reading = g;
    conf_walk(c, d, IN_UPSTREAM);
    if (g->peers.n == 0)
        conf_fail(c->tree, d, "no servers are inside upstream");
    else if (!has_primary(g))
        conf_fail(c->tree, d, "no servers in upstream \"%.*s\"", STR_ARG(g->name));
    return 0;
}

static int parse_server(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct upstream_group *g = ((struct upstream_main *)structure)->reading;
    struct peer model = {.weight = 1, .max_fails = 1, .fail_timeout_s = 10, .name = d->args[1], .directive = d};
    address_array found = {0};
    const char *error = address_parse(c->arena, d->args[1], 80, &found);

    (void)row;
    if (error) {
        conf_fail(c->tree, d, "%s in upstream \"%.*s\"", error, STR_ARG(d->args[1]));
        return -1;
    }
    for (unsigned i = 2; i < d->n_args; i++) {
        struct str a = d->args[i];
        long long n = -1;
        if (str_eq(a, STR("down"))) {
            model.is_down = true;
            continue;
        }
        if (str_eq(a, STR("backup"))) {
            model.is_backup = true;
            continue;
        }
        if (str_has_prefix(a, STR("weight=")) && (n = str_number(str_skip(a, 7))) > 0)
            model.weight = (int)n;
        else if (str_has_prefix(a, STR("max_fails=")) && (n = str_number(str_skip(a, 10))) >= 0)
            model.max_fails = (unsigned)n;
        else if (str_has_prefix(a, STR("max_conns=")) && (n = str_number(str_skip(a, 10))) >= 0)
            model.max_conns = (unsigned)n;
        else if (str_has_prefix(a, STR("fail_timeout=")) && (n = conf_read_sec(str_skip(a, 13))) >= 0)
            model.fail_timeout_s = (uint64_t)n;
        else {
            conf_fail(c->tree, d, str_has_prefix(a, STR("slow_start=")) || str_eq(a, STR("resolve")) || str_has_prefix(a, STR("service="))
                                      ? "the \"%.*s\" parameter is not implemented by glassproxy yet"
                                      : "invalid parameter \"%.*s\"", STR_ARG(a));
            return -1;
        }
    }
    model.effective_weight = model.weight;
    for (size_t i = 0; i < found.n; i++) {
        model.address = found.items[i];
        *ARRAY_PUSH(&g->peers, c->arena) = model;
    }
    return 0;
}

/* Settings of the pool: a row's offset is that in struct pool. */
static int parse_pool(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, &((struct upstream_main *)structure)->reading->pool);

    if (!s)
        return -1;
    s->num = row->extra ? conf_read_msec(d->args[1]) : (long)str_number(d->args[1]);
    if (s->num < 0 || (s->num == 0 && row->offset == offsetof(struct pool, keepalive))) {
        if (row->offset == offsetof(struct pool, keepalive))
            conf_fail(c->tree, d, "invalid value \"%.*s\" in \"%s\" directive", STR_ARG(d->args[1]), row->name);
        else
            conf_fail(c->tree, d, "\"%s\" directive invalid %s", row->name, row->extra ? "value" : "number");
        return -1;
    }
    return 0;
}

/* One process needs no shared memory: the zone's name and size are only checked. */
static int parse_zone(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    long bytes = d->n_args == 3 ? conf_read_size(d->args[2]) : 8 * 4096;

    (void)row, (void)structure;
    if (d->args[1].n == 0)
        conf_fail(c->tree, d, "invalid zone name \"%.*s\"", STR_ARG(d->args[1]));
    else if (bytes < 0)
        conf_fail(c->tree, d, "invalid zone size \"%.*s\"", STR_ARG(d->args[2]));
    else if (d->n_args == 2)
        conf_fail(c->tree, d, "zero size shared memory zone \"%.*s\"", STR_ARG(d->args[1]));
    else if (bytes < 8 * 4096)
        conf_fail(c->tree, d, "zone \"%.*s\" is too small", STR_ARG(d->args[1]));
    else
        return 0;
    return -1;
}

static const char in_ms[] = "ms";

#define POOL(field) SCOPE_MAIN, offsetof(struct pool, field), parse_pool, NULL
static const struct directive_row rows[] = {
    {"upstream", IN_HTTP, 1, 1, true, SCOPE_MAIN, 0, parse_upstream, NULL, "A group of servers to ask.", DO_NOT_INHERIT, NULL},
    {"server", IN_UPSTREAM, 1, ANY_NUMBER, false, SCOPE_MAIN, 0, parse_server, NULL, "A server of the group.", DO_NOT_INHERIT, NULL},
    {"zone", IN_UPSTREAM, 1, 2, false, SCOPE_MAIN, 0, parse_zone, NULL, "Of nginx; one process shares with nobody.", DO_NOT_INHERIT, NULL},
    {"keepalive", IN_UPSTREAM, 1, 1, false, POOL(keepalive), "Idle connections that are kept.", DO_NOT_INHERIT, NULL},
    {"keepalive_requests", IN_UPSTREAM, 1, 1, false, POOL(keepalive_requests), "Requests on one kept connection.", DO_NOT_INHERIT, NULL},
    {"keepalive_time", IN_UPSTREAM, 1, 1, false, POOL(keepalive_time), "How long a connection is used.", DO_NOT_INHERIT, in_ms},
    {"keepalive_timeout", IN_UPSTREAM, 1, 1, false, POOL(keepalive_timeout), "How long a connection stays idle.", DO_NOT_INHERIT, in_ms},
};

static int prepare(struct conf *c)
{
    upstream_variables_declare(c);
    return 0;
}

struct module upstream_module = {
    .name = "ngx_http_upstream_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .main_bytes = sizeof(struct upstream_main),
    .prepare = prepare,
};
