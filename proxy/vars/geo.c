/*
 * geo: a variable by the client's network (nginx's ngx_http_geo_module).
 *
 * Networks are in a binary tree by their bits, the longest match wins; with `ranges`, IPv4 ranges are kept sorted and
 * apart from each other: a later one cuts what it overlaps.
 */
#include <arpa/inet.h>

#include "http/connection.h"
#include "http/network.h"
#include "http/request.h"
#include "vars/map.h"

struct node {
    struct node *child[2];
    const struct str *value;
};

struct range {
    uint32_t first, last;
    const struct str *value;
};

struct geo {
    int source; /* variable index; -1: the client's address */
    struct node v4, v6;
    ARRAY_OF(struct range) ranges;
    bool has_ranges, is_recursive;
    network_array proxies;
    const struct str *fallback;
    struct arena *arena;
};

static struct node *node_at(struct geo *g, const struct network *n, bool creates)
{
    struct node *at = n->family == AF_INET ? &g->v4 : &g->v6;

    for (unsigned i = 0; i < n->bits; i++) {
        struct node **next = &at->child[n->address[i / 8] >> (7 - i % 8) & 1];
        if (!*next) {
            if (!creates)
                return NULL;
            *next = arena_zalloc(g->arena, sizeof **next);
        }
        at = *next;
    }
    return at;
}

static const struct str *find_in_tree(const struct node *at, const unsigned char *bytes, unsigned bits)
{
    const struct str *found = NULL;

    for (unsigned i = 0; at; i++) {
        if (at->value)
            found = at->value;
        if (i == bits)
            break;
        at = at->child[bytes[i / 8] >> (7 - i % 8) & 1];
    }
    return found;
}

static const struct str *find_in_ranges(const struct geo *g, uint32_t ip)
{
    size_t low = 0, high = g->ranges.n;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct range *range = &g->ranges.items[middle];
        if (ip < range->first)
            high = middle;
        else if (ip > range->last)
            low = middle + 1;
        else
            return range->value;
    }
    return NULL;
}

static void get_geo(struct request *r, struct value *v, struct str rest, void *data)
{
    const struct geo *g = data;
    unsigned char bytes[16] = {255, 255, 255, 255}; /* what nginx looks up for addresses that are none */
    const struct str *found = NULL;
    struct address a = {0};
    int family = AF_INET;

    (void)rest;
    if (g->source >= 0) {
        const struct value *from = variable_value(r, g->source);
        if (address_from_text(r->arena, from->s, &a))
            family = address_bytes(&a, bytes);
    } else {
        a = *r->client;
        if (g->proxies.n)
            address_forwarded(r->arena, &a, &r->fields, FIELD_X_FORWARDED_FOR, STR(""), &g->proxies, g->is_recursive);
        family = address_bytes(&a, bytes);
        if (family != AF_INET && family != AF_INET6) {
            memset(bytes, 255, 4);
            family = AF_INET;
        }
    }
    if (g->has_ranges) {
        if (family == AF_INET)
            found = find_in_ranges(g, (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3]);
    } else {
        found = find_in_tree(family == AF_INET ? &g->v4 : &g->v6, bytes, family == AF_INET ? 32 : 128);
    }
    if (!found)
        found = g->fallback;
    v->s = found ? *found : STR("");
}

static void delete_range(struct geo *g, uint32_t first, uint32_t last)
{
    for (size_t i = 0; i < g->ranges.n; i++)
        if (g->ranges.items[i].first == first && g->ranges.items[i].last == last) {
            memmove(&g->ranges.items[i], &g->ranges.items[i + 1], (g->ranges.n - i - 1) * sizeof g->ranges.items[0]);
            g->ranges.n--;
            return;
        }
}

static void insert_at(struct geo *g, size_t at, struct range range)
{
    (void)ARRAY_PUSH(&g->ranges, g->arena);
    memmove(&g->ranges.items[at + 1], &g->ranges.items[at], (g->ranges.n - 1 - at) * sizeof range);
    g->ranges.items[at] = range;
}

static void add_range(struct geo *g, struct range range)
{
    size_t i = g->ranges.n;

    while (i > 0 && g->ranges.items[i - 1].last >= range.first)
        i--;
    while (i < g->ranges.n && g->ranges.items[i].first <= range.last) {
        struct range *other = &g->ranges.items[i], whole = *other;
        if (whole.first < range.first) { /* its left part stays */
            other->last = range.first - 1;
            i++;
            if (whole.last > range.last)
                insert_at(g, i, (struct range){range.last + 1, whole.last, whole.value});
        } else if (whole.last > range.last) { /* its right part stays */
            other->first = range.last + 1;
            break;
        } else {
            delete_range(g, whole.first, whole.last);
        }
    }
    insert_at(g, i, range);
}

static bool read_range(struct str s, uint32_t *first, uint32_t *last)
{
    long dash = str_chr(s, '-');
    char text[INET_ADDRSTRLEN];
    struct in_addr a;

    for (int i = 0; i < 2; i++) {
        struct str part = dash < 0 ? s : i == 0 ? (struct str){s.p, (size_t)dash} : str_skip(s, (size_t)dash + 1);
        if (part.n >= sizeof text)
            return false;
        memcpy(text, part.p, part.n);
        text[part.n] = '\0';
        if (inet_pton(AF_INET, text, &a) != 1)
            return false;
        *(i == 0 ? first : last) = ntohl(a.s_addr);
    }
    return dash >= 0 && *first <= *last;
}

static int add_entry(struct conf *c, struct geo *g, struct directive *d)
{
    struct str what = d->args[0], net = what;
    bool deletes = str_eq(what, STR("delete"));
    struct str *value = arena_zalloc(c->arena, sizeof *value);
    struct network n = {0};

    *value = d->args[1];
    if (str_eq(what, STR("default"))) {
        g->fallback = value;
        return 0;
    }
    if (str_eq(what, STR("proxy"))) {
        if (!network_parse(d->args[1], &n)) {
            conf_fail(c->tree, d, "invalid network \"%.*s\"", STR_ARG(d->args[1]));
            return -1;
        }
        *ARRAY_PUSH(&g->proxies, c->arena) = n;
        return 0;
    }
    if (deletes)
        net = d->args[1];
    if (g->has_ranges) {
        struct range range = {.value = value};
        if (!read_range(net, &range.first, &range.last)) {
            conf_fail(c->tree, d, "invalid range \"%.*s\"", STR_ARG(net));
            return -1;
        }
        if (deletes)
            delete_range(g, range.first, range.last);
        else
            add_range(g, range);
        return 0;
    }
    if (str_eq(net, STR("255.255.255.255")))
        net = STR("255.255.255.255/32");
    if (!network_parse(net, &n)) {
        conf_fail(c->tree, d, "invalid network \"%.*s\"", STR_ARG(net));
        return -1;
    }
    if (deletes) {
        struct node *at = node_at(g, &n, false);
        if (at)
            at->value = NULL;
    } else {
        node_at(g, &n, true)->value = value;
    }
    return 0;
}

static int parse_geo(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct geo *g = arena_zalloc(c->arena, sizeof *g);
    struct str name = d->args[d->n_args - 1], source = d->args[1];
    struct variable *var;
    int rc = 0;

    (void)row, (void)structure;
    if (name.n < 2 || name.p[0] != '$' || source.n < 2 || source.p[0] != '$') {
        conf_fail(c->tree, d, "invalid variable name \"%.*s\"", STR_ARG(name.n && name.p[0] == '$' ? source : name));
        return -1;
    }
    g->arena = c->arena;
    g->source = d->n_args == 3 ? variable_index(c, d, str_skip(source, 1)) : -1;
    var = variable_define(c, d, str_skip(name, 1));
    if (!var)
        return -1;
    var->get = get_geo;
    var->data = g;
    for (struct directive *e = d->first_child; e; e = e->next) {
        if (e->n_args == 1 && str_eq(e->args[0], STR("ranges"))) {
            if (g->v4.child[0] || g->v4.child[1] || g->v4.value) {
                conf_fail(c->tree, e, "the \"ranges\" directive must be the first directive inside \"geo\" block");
                rc = -1;
            }
            g->has_ranges = true;
        } else if (e->n_args == 1 && str_eq(e->args[0], STR("proxy_recursive"))) {
            g->is_recursive = true;
        } else if (e->n_args != 2 || e->is_block) {
            conf_fail(c->tree, e, "invalid number of the geo parameters");
            rc = -1;
        } else if (!str_eq(e->args[0], STR("include")) && add_entry(c, g, e) < 0) {
            rc = -1;
        }
    }
    return rc;
}

static const struct directive_row rows[] = {
    {"geo", IN_HTTP, 1, 2, true, SCOPE_MAIN, 0, parse_geo, NULL, "A variable by the client's network.", DO_NOT_INHERIT, NULL},
};

struct module geo_module = {.name = "ngx_http_geo_module", .rows = rows, .n_rows = 1};
