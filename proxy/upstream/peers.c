/*
 * Choosing among the peers of a group: see peers.h. Also the upstream block.
 */
#include "upstream/peers.h"

static bool is_usable(const struct peer *p, uint64_t now_ms, size_t n_peers)
{
    if (p->is_down)
        return false;
    return n_peers == 1 || !p->max_fails || p->fails < p->max_fails || now_ms - p->checked_ms > p->fail_timeout_ms;
}

static struct peer *choose_among(struct upstream *u, uint64_t now_ms, bool backups)
{
    struct upstream_group *g = u->group;
    struct peer *best = NULL;
    int total = 0;

    for (size_t i = 0; i < g->peers.n; i++) {
        struct peer *p = &g->peers.items[i];
        if (p->is_backup != backups || (u->tried >> (i & 63) & 1) || !is_usable(p, now_ms, g->peers.n))
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
    u->tried |= (uint64_t)1 << ((size_t)(best - g->peers.items) & 63);
    if (now_ms - best->checked_ms > best->fail_timeout_ms)
        best->checked_ms = now_ms;
    return best;
}

struct peer *peers_choose(struct upstream *u, uint64_t now_ms)
{
    struct peer *p = choose_among(u, now_ms, false);

    if (!p)
        p = choose_among(u, now_ms, true);
    if (!p) /* nginx: with none left, all get another chance from the next request on */
        for (size_t i = 0; i < u->group->peers.n; i++)
            u->group->peers.items[i].fails = 0;
    return p;
}

bool peers_has_untried(const struct upstream *u)
{
    for (size_t i = 0; i < u->group->peers.n; i++)
        if (!u->group->peers.items[i].is_down && !(u->tried >> (i & 63) & 1))
            return true;
    return false;
}

void peer_mark_failed(struct peer *p, uint64_t now_ms)
{
    p->fails++;
    p->failed_ms = p->checked_ms = now_ms;
    if (p->max_fails)
        p->effective_weight -= p->weight / (int)p->max_fails;
    if (p->effective_weight < 0)
        p->effective_weight = 0;
}

void peer_mark_alive(struct peer *p)
{
    if (p->failed_ms < p->checked_ms)
        p->fails = 0;
}

/* --- the upstream block --- */

struct upstream_main {
    ARRAY_OF(struct upstream_group *) groups;
    struct upstream_group *reading;
};

struct upstream_group *upstream_group_find(struct conf *c, struct str name)
{
    struct upstream_main *m = c->http.main[upstream_module.index];

    for (size_t i = 0; i < m->groups.n; i++)
        if (str_ieq(m->groups.items[i]->name, name))
            return m->groups.items[i];
    return NULL;
}

static int parse_upstream(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct upstream_main *m = structure;
    struct upstream_group *g;

    (void)row;
    if (upstream_group_find(c, d->args[1])) {
        conf_fail(c->tree, d, "duplicate upstream \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    g = *ARRAY_PUSH(&m->groups, c->arena) = arena_zalloc(c->arena, sizeof *g);
    g->name = d->args[1];
    g->directive = d;
    m->reading = g;
    conf_walk(c, d, IN_UPSTREAM);
    if (g->peers.n == 0)
        conf_fail(c->tree, d, "no servers are inside upstream");
    return 0;
}

static int parse_server(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct upstream_group *g = ((struct upstream_main *)structure)->reading;
    struct peer model = {.weight = 1, .max_fails = 1, .fail_timeout_ms = 10000, .name = d->args[1], .directive = d};
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
        else if (str_has_prefix(a, STR("fail_timeout=")) && (n = conf_read_sec(str_skip(a, 13))) >= 0)
            model.fail_timeout_ms = (uint64_t)n * 1000;
        else {
            conf_fail(c->tree, d, str_has_prefix(a, STR("max_conns=")) || str_has_prefix(a, STR("slow_start=")) || str_eq(a, STR("resolve"))
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

static const struct directive_row rows[] = {
    {"upstream", IN_HTTP, 1, 1, true, SCOPE_MAIN, 0, parse_upstream, NULL, "A group of servers to ask.", DO_NOT_INHERIT, NULL},
    {"server", IN_UPSTREAM, 1, ANY_NUMBER, false, SCOPE_MAIN, 0, parse_server, NULL, "A server of the group.", DO_NOT_INHERIT, NULL},
};

struct module upstream_module = {
    .name = "ngx_http_upstream_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .main_bytes = sizeof(struct upstream_main),
};
