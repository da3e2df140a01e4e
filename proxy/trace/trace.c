/*
 * What happened to requests: see trace.h.
 */
#include "trace/trace.h"

#include "http/connection.h"
#include "phases/engine.h"
#include "upstream/upstream.h"

struct trace_conf {
    struct setting control, ring, mask, hold_limit, hold_timeout, hold_detached, body;
};

static struct request *oldest, *newest;
static unsigned long n_kept;
struct trace_watcher *trace_watcher;

static struct trace_conf *of(const struct conf *c)
{
    return c->core[trace_module.index];
}

void trace_step(struct request *r, const struct directive *d, struct str before, struct str after, const char *why)
{
    struct trace_step *s;

    if (!r->steps)
        r->steps = arena_zalloc(r->arena, sizeof *r->steps);
    s = ARRAY_PUSH(&r->steps->all, r->arena);
    *s = (struct trace_step){r->phase, request_age_us(r), d, before, after, str_of(why)};
}

void trace_phase(struct request *r)
{
    if (trace_watcher)
        trace_watcher->phase(r);
}

static void drop_oldest(void)
{
    struct request *r = oldest;

    oldest = r->next_finished;
    if (!oldest)
        newest = NULL;
    n_kept--;
    request_free(r);
}

void trace_clear(void)
{
    while (oldest)
        drop_oldest();
}

static struct trace_totals totals;

const struct trace_totals *trace_totals(void)
{
    return &totals;
}

static void count(const struct request *r)
{
    unsigned n = 0;

    totals.requests++;
    totals.bytes_sent += r->bytes_sent;
    totals.duration_us += r->finished_us;
    if (r->response.status >= 100 && r->response.status < 600)
        totals.by_class[r->response.status / 100]++;
    while (n < 23 && r->finished_us >> (n + 1))
        n++;
    totals.slower_than[n]++;
}

size_t trace_body_limit(const struct conf *c)
{
    return (size_t)of(c)->body.num;
}

void trace_finished(struct request *r)
{
    struct address *ends = arena_alloc(r->arena, 2 * sizeof *ends); /* of the connection, which goes away */
    unsigned long limit = (unsigned long)of(r->conf)->ring.num;

    r->finished_us = request_age_us(r);
    ends[0] = *r->client;
    ends[1] = *connection_local(r->connection);
    r->client = &ends[0];
    r->server_address = &ends[1];
    r->listener = r->connection->listener;
    r->connection = NULL;
    count(r);
    if (trace_watcher) {
        trace_watcher->phase(r);
        trace_watcher->finished(r);
    }
    r->next_finished = NULL;
    *(newest ? &newest->next_finished : &oldest) = r;
    newest = r;
    n_kept++;
    while (n_kept > limit)
        drop_oldest();
}

struct request *trace_oldest(void)
{
    return oldest;
}

struct request *trace_next(const struct request *r)
{
    return r->next_finished;
}

struct request *trace_find(uint64_t id)
{
    for (struct request *r = oldest; r; r = r->next_finished)
        if (r->id == id)
            return r;
    return NULL;
}

bool trace_is_masked(const struct request *r, struct str name)
{
    const struct directive *d = of(r->conf)->mask.ptr;

    for (unsigned i = 1; d && i < d->n_args; i++)
        if (str_ieq(d->args[i], name))
            return true;
    return false;
}

struct str trace_control_path(struct conf *c, struct str default_path)
{
    const struct directive *d = of(c)->control.ptr;

    if (!d)
        return default_path;
    if (str_eq(d->args[1], STR("off")))
        return STR("");
    return conf_full_path(c->tree, c->tree->prefix, d->args[1]);
}

struct hold_settings trace_hold_settings(const struct conf *c)
{
    const struct trace_conf *t = of(c);

    return (struct hold_settings){(unsigned)t->hold_limit.num, (uint64_t)t->hold_timeout.num, t->hold_detached.num};
}

#define CORE(field) SCOPE_CORE, offsetof(struct trace_conf, field)
static const struct directive_row rows[] = {
    {"glass_control", IN_MAIN, 1, 1, false, CORE(control), conf_parse_directive, NULL, "The control socket's path, or off.", DO_NOT_INHERIT, NULL},
    {"glass_ring", IN_MAIN, 1, 1, false, CORE(ring), conf_parse_num, "1000", "How many finished requests are kept.", DO_NOT_INHERIT, NULL},
    {"glass_hold_limit", IN_MAIN, 1, 1, false, CORE(hold_limit), conf_parse_num, "100", "How many requests breakpoints hold at once.", DO_NOT_INHERIT, NULL},
    {"glass_hold_timeout", IN_MAIN, 1, 1, false, CORE(hold_timeout), conf_parse_msec, "10m", "How long a request is held; 0: for ever.", DO_NOT_INHERIT, NULL},
    {"glass_hold_detached", IN_MAIN, 1, 1, false, CORE(hold_detached), conf_parse_flag, "off", "Whether breakpoints act while no debugger is attached.", DO_NOT_INHERIT, NULL},
    {"glass_body", IN_MAIN, 1, 1, false, CORE(body), conf_parse_size, "64k", "How much of each body is kept while somebody is attached.", DO_NOT_INHERIT, NULL},
    {"glass_mask", IN_MAIN, 1, ANY_NUMBER, false, CORE(mask), conf_parse_directive, NULL, "Fields whose values are not shown.", DO_NOT_INHERIT, NULL},
};

struct module trace_module = {
    .name = "glassproxy",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .core_bytes = sizeof(struct trace_conf),
};
