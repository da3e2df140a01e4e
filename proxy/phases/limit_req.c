/*
 * limit_req: how many requests a second a key may have (nginx's ngx_http_limit_req_module).
 *
 * A leaky bucket for each key: its excess grows by one with each request and leaks at the zone's rate. Up to `burst` is let
 * through, late unless `nodelay` says otherwise; more is refused. Zones keep their keys over a reload, as nginx's shared
 * memory does; when one is full, the key used longest ago makes room.
 */
#include "http/connection.h"
#include "http/log.h"
#include "phases/engine.h"
#include "phases/handlers.h"
#include "trace/trace.h"
#include "util/mem.h"

enum { BUCKETS = 4096, NODE_BYTES = 64, FORGET_AFTER_MS = 60000 };

struct limit_node {
    struct limit_node *chain;        /* of its bucket */
    struct limit_node *newer, *older; /* by use */
    long excess;                      /* in thousandths of a request */
    uint64_t last_ms;
    size_t n;
    char key[];
};

/* What is counted: it outlives configurations. */
struct limit_table {
    struct limit_table *next;
    char *name;
    struct limit_node *buckets[BUCKETS], *newest, *oldest;
    size_t used_bytes;
};

struct limit_zone {
    struct str name;
    struct text *key; /* NULL: used but not defined yet */
    long rate;        /* thousandths of a request a second */
    size_t bytes;
    struct limit_table *table;
    const struct directive *directive;
};

struct limit {
    struct limit_zone *zone;
    long burst, delay; /* in thousandths */
    const struct directive *directive;
};

struct limit_list {
    ARRAY_OF(struct limit) all;
};

struct limit_req_main {
    ARRAY_OF(struct limit_zone *) zones;
};

struct limit_req_loc {
    struct setting limit_req, limit_req_log_level, limit_req_status, limit_req_dry_run;
};

enum limit_status { LIMIT_NONE, LIMIT_PASSED, LIMIT_DELAYED, LIMIT_REJECTED, LIMIT_DELAYED_DRY_RUN, LIMIT_REJECTED_DRY_RUN };

static struct limit_table *tables;

static struct limit_table *table_of(struct str name)
{
    struct limit_table *t;

    for (t = tables; t; t = t->next)
        if (str_eq(str_of(t->name), name))
            return t;
    t = mem_zalloc(sizeof *t);
    t->name = mem_alloc(name.n + 1);
    memcpy(t->name, name.p, name.n);
    t->name[name.n] = '\0';
    t->next = tables;
    tables = t;
    return t;
}

/* --- the keys of a zone --- */

static void unlink_node(struct limit_table *t, struct limit_node *n)
{
    *(n->newer ? &n->newer->older : &t->newest) = n->older;
    *(n->older ? &n->older->newer : &t->oldest) = n->newer;
    n->newer = n->older = NULL;
}

static void put_in_front(struct limit_table *t, struct limit_node *n)
{
    n->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = n;
    t->newest = n;
}

static struct limit_node **bucket_of(struct limit_table *t, struct str key)
{
    unsigned hash = 2166136261u;

    for (size_t i = 0; i < key.n; i++)
        hash = (hash ^ (unsigned char)key.p[i]) * 16777619u;
    return &t->buckets[hash % BUCKETS];
}

static void drop_oldest(struct limit_table *t)
{
    struct limit_node *n = t->oldest, **at = bucket_of(t, (struct str){n->key, n->n});

    while (*at != n)
        at = &(*at)->chain;
    *at = n->chain;
    unlink_node(t, n);
    t->used_bytes -= NODE_BYTES + n->n;
    mem_free(n);
}

/* As nginx: one or two keys that have leaked empty go with each new one. */
static void forget_some(const struct limit_zone *z, uint64_t now_ms)
{
    for (int i = 0; i < 2 && z->table->oldest; i++) {
        const struct limit_node *n = z->table->oldest;
        uint64_t ms = now_ms - n->last_ms;
        if (ms < FORGET_AFTER_MS || n->excess - z->rate * (long)ms / 1000 > 0)
            return;
        drop_oldest(z->table);
    }
}

static struct limit_node *find(struct limit_zone *z, struct str key, uint64_t now_ms, bool *is_new)
{
    struct limit_node **bucket = bucket_of(z->table, key), *n;

    *is_new = false;
    for (n = *bucket; n; n = n->chain)
        if (n->n == key.n && memcmp(n->key, key.p, key.n) == 0) {
            unlink_node(z->table, n);
            put_in_front(z->table, n);
            return n;
        }
    forget_some(z, now_ms);
    while (z->table->oldest && z->table->used_bytes + NODE_BYTES + key.n > z->bytes)
        drop_oldest(z->table);
    n = mem_zalloc(sizeof *n + key.n);
    memcpy(n->key, key.p, key.n);
    n->n = key.n;
    n->chain = *bucket;
    *bucket = n;
    z->table->used_bytes += NODE_BYTES + key.n;
    put_in_front(z->table, n);
    *is_new = true;
    return n;
}

/* --- limiting --- */

static long excess_with_one_more(const struct limit_zone *z, const struct limit_node *n, uint64_t now_ms)
{
    long excess = n->excess - z->rate * (long)(now_ms - n->last_ms) / 1000 + 1000;

    return excess < 0 ? 0 : excess;
}

static void delay_is_over(struct timer *t)
{
    struct request *r = t->data;
    struct connection *c = r->connection;

    if (c->peer_closed) {
        r->response.status = 499;
        connection_close(c);
        return;
    }
    request_proceed(r);
}

static int delay(struct request *r, long ms)
{
    r->waiting.handler = delay_is_over;
    r->waiting.data = r;
    timer_start(r->connection->worker->loop, &r->waiting, (uint64_t)ms);
    return PHASE_AGAIN;
}

struct charge {
    const struct limit *limit;
    struct limit_node *node;
    long excess;
};

static int reject(struct request *r, const struct limit_req_loc *loc, const struct charge *c)
{
    trace_step(r, c->limit->directive, STR(""), arena_printf(r->arena, "excess %ld.%03ld", c->excess / 1000, c->excess % 1000), "more than burst: refused");
    log_request(r, (enum log_level)loc->limit_req_log_level.num, 0, "limiting requests%s, excess: %ld.%03ld by zone \"%.*s\"", loc->limit_req_dry_run.num ? ", dry run" : "",
                c->excess / 1000, c->excess % 1000, STR_ARG(c->limit->zone->name));
    r->limit_req_status = loc->limit_req_dry_run.num ? LIMIT_REJECTED_DRY_RUN : LIMIT_REJECTED;
    return loc->limit_req_dry_run.num ? PHASE_NEXT : (int)loc->limit_req_status.num;
}

/* All limits let R through: counts it in each, and finds the longest delay. */
static int charge_all(struct request *r, const struct limit_req_loc *loc, struct charge *charges, size_t n, uint64_t now_ms)
{
    const struct charge *slowest = NULL;
    long most_ms = 0;

    for (size_t i = n; i > 0; i--) {
        struct charge *c = &charges[i - 1];
        long ms = c->excess > c->limit->delay ? (c->excess - c->limit->delay) * 1000 / c->limit->zone->rate : 0;
        c->node->excess = c->excess;
        c->node->last_ms = now_ms;
        if (ms > most_ms) {
            most_ms = ms;
            slowest = c;
        }
    }
    r->limit_req_status = LIMIT_PASSED;
    if (!most_ms)
        return PHASE_NEXT;
    trace_step(r, slowest->limit->directive, STR(""), arena_printf(r->arena, "%ld ms", most_ms), "within burst, but late: delayed");
    log_request(r, (enum log_level)(loc->limit_req_log_level.num == LOG_INFO_ ? LOG_INFO_ : loc->limit_req_log_level.num + 1), 0,
                "delaying request%s, excess: %ld.%03ld, by zone \"%.*s\"", loc->limit_req_dry_run.num ? ", dry run" : "", slowest->excess / 1000, slowest->excess % 1000,
                STR_ARG(slowest->limit->zone->name));
    r->limit_req_status = loc->limit_req_dry_run.num ? LIMIT_DELAYED_DRY_RUN : LIMIT_DELAYED;
    return loc->limit_req_dry_run.num || r->is_dry_run ? PHASE_NEXT : delay(r, most_ms);
}

int limit_req_phase(struct request *r)
{
    const struct limit_req_loc *loc = r->loc_conf[limit_req_module.index];
    const struct limit_list *list = loc->limit_req.ptr;
    struct charge *charges;
    uint64_t now_ms;
    size_t n = 0;

    if (!list || r->limit_req_status != LIMIT_NONE)
        return PHASE_NEXT;
    charges = arena_alloc(r->arena, list->all.n * sizeof *charges);
    now_ms = loop_now_ms(r->connection->worker->loop);
    for (size_t i = 0; i < list->all.n; i++) {
        const struct limit *l = &list->all.items[i];
        struct str key = text_value(r, l->zone->key);
        struct charge *c = &charges[n];
        bool is_new;
        if (key.n == 0)
            continue;
        if (key.n > 65535) {
            log_request(r, LOG_ERR_, 0, "the value of the \"%.*s\" key is more than 65535 bytes: \"%.*s\"", STR_ARG(text_raw(l->zone->key)), STR_ARG(key));
            continue;
        }
        c->limit = l;
        c->node = find(l->zone, key, now_ms, &is_new);
        if (is_new)
            c->node->last_ms = now_ms;
        c->excess = is_new ? 0 : excess_with_one_more(l->zone, c->node, now_ms);
        if (c->excess > l->burst)
            return reject(r, loc, c);
        n++;
    }
    return n ? charge_all(r, loc, charges, n, now_ms) : PHASE_NEXT;
}

/* --- directives --- */

static struct limit_zone *zone_named(struct conf *c, struct str name)
{
    struct limit_req_main *m = c->http.main[limit_req_module.index];
    struct limit_zone *z;

    for (size_t i = 0; i < m->zones.n; i++)
        if (str_eq(m->zones.items[i]->name, name))
            return m->zones.items[i];
    z = *ARRAY_PUSH(&m->zones, c->arena) = arena_zalloc(c->arena, sizeof *z);
    z->name = name;
    return z;
}

static int parse_zone(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct limit_zone *z = NULL;
    long rate = 1000, bytes = 0;
    struct text *key = text_compile(c, d, d->args[1]);

    (void)structure;
    if (!key)
        return -1;
    for (unsigned i = 2; i < d->n_args; i++) {
        struct str a = d->args[i], number;
        long colon = str_chr(a, ':'), scale = 1;
        if (str_has_prefix(a, STR("zone="))) {
            bytes = colon < 0 ? -1 : conf_read_size(str_skip(a, (size_t)colon + 1));
            if (bytes < 0) {
                conf_fail(c->tree, d, "invalid zone size \"%.*s\"", STR_ARG(a));
                return -1;
            }
            if (bytes < 8 * 4096) {
                conf_fail(c->tree, d, "zone \"%.*s\" is too small", STR_ARG(a));
                return -1;
            }
            if (colon > 5)
                z = zone_named(c, (struct str){a.p + 5, (size_t)colon - 5});
        } else if (str_has_prefix(a, STR("rate="))) {
            number = str_skip(a, 5);
            if (number.n > 3 && (str_eq(str_skip(number, number.n - 3), STR("r/s")) || str_eq(str_skip(number, number.n - 3), STR("r/m")))) {
                scale = number.p[number.n - 1] == 'm' ? 60 : 1;
                number.n -= 3;
            }
            rate = (long)str_number(number);
            if (rate <= 0) {
                conf_fail(c->tree, d, "invalid rate \"%.*s\"", STR_ARG(a));
                return -1;
            }
            rate = rate * 1000 / scale;
        } else {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(a));
            return -1;
        }
    }
    if (!z) {
        conf_fail(c->tree, d, "\"%s\" must have \"zone\" parameter", row->name);
        return -1;
    }
    if (z->key) {
        conf_fail(c->tree, d, "%s \"%.*s\" is already bound to key \"%.*s\"", row->name, STR_ARG(z->name), STR_ARG(text_raw(z->key)));
        return -1;
    }
    z->key = key;
    z->rate = rate;
    z->bytes = (size_t)bytes;
    z->directive = d;
    z->table = table_of(z->name);
    return 0;
}

static int parse_limit(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct limit_list *list = conf_claim_list(c, d, conf_setting(row, structure), sizeof *list);
    struct limit_zone *z = NULL;
    long burst = 0, late = 0;
    struct limit *l;

    for (unsigned i = 1; i < d->n_args; i++) {
        struct str a = d->args[i];
        if (str_has_prefix(a, STR("zone="))) {
            z = zone_named(c, str_skip(a, 5));
        } else if (str_has_prefix(a, STR("burst="))) {
            burst = (long)str_number(str_skip(a, 6));
            if (burst <= 0) {
                conf_fail(c->tree, d, "invalid burst value \"%.*s\"", STR_ARG(a));
                return -1;
            }
        } else if (str_has_prefix(a, STR("delay="))) {
            late = (long)str_number(str_skip(a, 6));
            if (late <= 0) {
                conf_fail(c->tree, d, "invalid delay value \"%.*s\"", STR_ARG(a));
                return -1;
            }
        } else if (str_eq(a, STR("nodelay"))) {
            late = 1000000;
        } else {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(a));
            return -1;
        }
    }
    if (!z) {
        conf_fail(c->tree, d, "\"%s\" must have \"zone\" parameter", row->name);
        return -1;
    }
    for (size_t i = 0; i < list->all.n; i++)
        if (list->all.items[i].zone == z) {
            conf_fail(c->tree, d, "\"%s\" directive is duplicate", row->name);
            return -1;
        }
    l = ARRAY_PUSH(&list->all, c->arena);
    *l = (struct limit){z, burst * 1000, late * 1000, d};
    return 0;
}

static int parse_status(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);

    if (conf_parse_num(c, d, row, structure) < 0)
        return -1;
    if (s->num < 400 || s->num > 599) {
        conf_fail(c->tree, d, "value must be between 400 and 599");
        return -1;
    }
    return 0;
}

static int ready(struct conf *c)
{
    struct limit_req_main *m = c->http.main[limit_req_module.index];

    for (size_t i = 0; i < m->zones.n; i++)
        if (!m->zones.items[i]->key) {
            conf_fail(c->tree, NULL, "zero size shared memory zone \"%.*s\"", STR_ARG(m->zones.items[i]->name));
            return -1;
        }
    return 0;
}

static void get_status(struct request *r, struct value *v, struct str rest, void *data)
{
    static const char *const words[] = {"", "PASSED", "DELAYED", "REJECTED", "DELAYED_DRY_RUN", "REJECTED_DRY_RUN"};

    (void)rest, (void)data;
    v->is_not_found = r->limit_req_status == LIMIT_NONE;
    v->s = str_of(words[r->limit_req_status]);
}

static const struct variable_row variables[] = {
    {"limit_req_status", get_status, NULL, NULL, VAR_NO_CACHE},
    {NULL, NULL, NULL, NULL, 0},
};

static int prepare(struct conf *c)
{
    variables_declare(c, variables);
    return 0;
}

static const struct conf_enum levels[] = {{"info", LOG_INFO_}, {"notice", LOG_NOTICE_}, {"warn", LOG_WARN_}, {"error", LOG_ERR_}, {NULL, 0}};

#define LOC(field) SCOPE_LOC, offsetof(struct limit_req_loc, field)
static const struct directive_row rows[] = {
    {"limit_req_zone", IN_HTTP, 3, 3, false, SCOPE_MAIN, 0, parse_zone, NULL, "A zone of keys that are counted, and its rate.", DO_NOT_INHERIT, NULL},
    {"limit_req", IN_ANY_HTTP, 1, 3, false, LOC(limit_req), parse_limit, NULL, "Limits the rate of requests with one key.", INHERIT, NULL},
    {"limit_req_log_level", IN_ANY_HTTP, 1, 1, false, LOC(limit_req_log_level), conf_parse_enum, "error", "The level at which refusals are logged.", INHERIT, levels},
    {"limit_req_status", IN_ANY_HTTP, 1, 1, false, LOC(limit_req_status), parse_status, "503", "The status of refusals.", INHERIT, NULL},
    {"limit_req_dry_run", IN_ANY_HTTP, 1, 1, false, LOC(limit_req_dry_run), conf_parse_flag, "off", "Counts and logs, but limits nothing.", INHERIT, NULL},
};

struct module limit_req_module = {
    .name = "ngx_http_limit_req_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .main_bytes = sizeof(struct limit_req_main),
    .loc_bytes = sizeof(struct limit_req_loc),
    .ready = ready,
    .prepare = prepare,
};
