/*
 * What each phase got and made: see account.h.
 *
 * Nothing is recorded for it while the request runs: an account is made of what the request keeps anyway (its visits,
 * steps, attempts and fields) when somebody asks. One row for each phase says how.
 */
#include "trace/account.h"

#include <stdio.h>

#include "http/connection.h"
#include "http/request_body.h"
#include "phases/engine.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "upstream/upstream.h"

/* One visit: its number, how often the phase was visited before, and what held when it ended. */
struct visit_view {
    size_t index, earlier;
    const struct visit *visit;
    struct str uri_after;
    const struct location *location_after;
    uint64_t end_us;
};

static struct visit_view view(struct request *r, size_t i)
{
    struct visit_view v = {.index = i, .visit = &r->visits.items[i], .uri_after = r->uri, .location_after = r->location,
                           .end_us = r->finished_us ? r->finished_us : request_age_us(r)};

    for (size_t k = 0; k < i; k++)
        v.earlier += r->visits.items[k].phase == v.visit->phase;
    if (i + 1 < r->visits.n) {
        v.uri_after = r->visits.items[i + 1].uri;
        v.location_after = r->visits.items[i + 1].location;
        v.end_us = r->visits.items[i + 1].us;
    }
    return v;
}

/* The last step that was taken in this visit; NULL if none was. */
static const struct trace_step *last_step(const struct request *r, const struct visit_view *v)
{
    for (size_t i = r->steps ? r->steps->all.n : 0; i > 0; i--) {
        const struct trace_step *s = &r->steps->all.items[i - 1];
        if (s->phase == v->visit->phase && s->us >= v->visit->us && s->us <= v->end_us)
            return s;
    }
    return NULL;
}

static void accepted(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct listener *l = r->connection ? r->connection->listener : r->listener;
    const struct address *local = r->connection && r->connection->io.fd >= 0 ? connection_local(r->connection) : r->server_address;

    (void)v;
    a->in = r->client ? address_text(r->arena, &r->client->u.any, true) : STR("");
    a->out = local ? address_text(r->arena, &local->u.any, true) : l ? l->address.text : STR("");
    a->why = r->is_pipelined ? STR("the next request of a pipeline") : STR("the first bytes of a request came");
    a->directive = l ? l->directive : NULL;
}

static void request_read(struct request *r, const struct visit_view *v, struct account *a)
{
    (void)v;
    a->in = r->request_line;
    a->out = r->original_uri;
    a->why = arena_printf(r->arena, "%zu fields, %zu bytes of header; the URI is %s", r->fields.n, r->header_bytes,
                          str_eq(r->original_uri, r->unparsed_uri) ? "normal as it is" : "normalised");
}

static void server_chosen(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct listener *l = r->connection ? r->connection->listener : r->listener;
    struct candidates seen = {.arena = r->arena};

    (void)v;
    a->in = r->host;
    a->out = r->server->name;
    a->directive = r->server->directive;
    if (l)
        server_choose(l, r->host, NULL, &seen);
    for (size_t i = 0; i < seen.list.n; i++)
        if (seen.list.items[i].is_chosen)
            a->why = seen.list.items[i].why;
}

static void location_chosen(struct request *r, const struct visit_view *v, struct account *a)
{
    struct candidates seen = {.arena = r->arena};
    const struct location *found = NULL;

    a->in = v->visit->uri;
    a->directive = v->location_after ? v->location_after->directive : NULL;
    a->out = v->location_after ? location_text(r->arena, v->location_after) : STR("");
    if (a->out.n == 0)
        a->out = STR("(the server itself)");
    location_choose(r->server->root, v->visit->uri, NULL, &found, &seen);
    a->why = STR("no location matches");
    for (size_t i = 0; i < seen.list.n; i++)
        if (seen.list.items[i].is_chosen)
            a->why = seen.list.items[i].why;
}

/* Phases whose handlers leave steps, on the URI or on something else. */
static void stepped(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct trace_step *s = last_step(r, v);

    a->in = v->visit->uri;
    a->out = v->uri_after;
    a->why = STR("nothing is configured for it here");
    if (!s)
        return;
    a->why = s->why;
    a->directive = s->directive;
    if (v->visit->phase == PHASE_REALIP || v->visit->phase == PHASE_LIMITS || v->visit->phase == PHASE_ACCESS) {
        a->in = s->before;
        a->out = s->after;
    }
}

static void content_made(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct trace_step *s = last_step(r, v);

    a->in = v->visit->uri;
    if (r->upstream && v->location_after && v->location_after->handler) {
        a->out = STR("an upstream is asked");
        a->directive = r->upstream->directive;
        a->why = STR("the location's content handler");
    } else if (s) {
        a->out = s->after;
        a->why = s->why;
        a->directive = s->directive;
    } else {
        a->out = r->response.status ? arena_printf(r->arena, "%u", r->response.status) : STR("");
        a->why = r->response.file_fd > 0 ? STR("the file answers") : STR("the proxy answers itself");
    }
}

static void cache_looked_up(struct request *r, const struct visit_view *v, struct account *a)
{
    (void)r, (void)v;
    a->why = STR("no cache is configured: the upstream is asked");
}

static void upstream_chosen(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct upstream *u = r->upstream;

    (void)v;
    if (!u)
        return;
    a->in = u->directive ? u->directive->args[1] : STR("");
    a->out = u->group ? u->group->name : STR("");
    a->directive = u->group && u->group->directive ? u->group->directive : u->directive;
    a->why = u->group && u->group->port == 0 ? arena_printf(r->arena, "an upstream block with %zu servers", u->group->peers.n)
                                             : STR("the address in the directive");
}

static void upstream_request_built(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct upstream *u = r->upstream;
    unsigned set = 0, removed = 0, passed = 0;
    long end;

    (void)v;
    a->in = r->request_line;
    if (!u)
        return;
    end = str_chr(u->request_head, '\r');
    a->out = (struct str){u->request_head.p, end < 0 ? u->request_head.n : (size_t)end};
    a->directive = u->directive;
    for (size_t i = 0; i < u->request_fields.n; i++) {
        const struct field *f = &u->request_fields.items[i];
        *(f->is_removed ? &removed : f->origin.kind == ORIGIN_CLIENT ? &passed : &set) += 1;
    }
    a->why = arena_printf(r->arena, "%u fields set, %u passed, %u not passed", set, passed, removed);
}

/* The attempt that visit number EARLIER of connect, send or upstream response header belongs to. */
static const struct attempt *attempt_at(const struct request *r, size_t earlier)
{
    for (size_t i = 0; r->attempts && i < r->attempts->all.n; i++)
        if (r->attempts->all.items[i].peer.n && earlier-- == 0)
            return &r->attempts->all.items[i];
    return NULL;
}

static void connected(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct attempt *at = attempt_at(r, v->earlier);

    a->in = r->upstream && r->upstream->group ? r->upstream->group->name : STR("");
    if (!at)
        return;
    a->out = at->peer;
    a->why = at->is_reused ? arena_printf(r->arena, "%.*s; a kept connection", STR_ARG(at->why)) : at->why;
    a->directive = at->directive;
}

static void sent(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct attempt *at = attempt_at(r, v->earlier);

    a->in = r->upstream ? arena_printf(r->arena, "%zu bytes of header", r->upstream->request_head.n) : STR("");
    if (at)
        a->out = arena_printf(r->arena, "%llu bytes to %.*s", (unsigned long long)at->bytes_sent, STR_ARG(at->peer));
    a->why = r->body ? arena_printf(r->arena, "%lld bytes of body", r->body->received_bytes) : STR("the request has no body");
}

static void header_received(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct attempt *at = attempt_at(r, v->earlier);

    a->in = at ? at->peer : STR("");
    if (r->upstream && r->upstream->status.code)
        a->out = r->upstream->status.status.n ? r->upstream->status.status : arena_printf(r->arena, "%u", r->upstream->status.code);
    else if (at)
        a->out = arena_printf(r->arena, "%u", at->status);
    a->why = at && at->header_ms >= 0 ? arena_printf(r->arena, "%ld ms after the attempt began", at->header_ms) : at ? at->why : STR("");
}

static void filtered(struct request *r, const struct visit_view *v, struct account *a)
{
    const struct directive *by = NULL;
    unsigned added = 0, hidden = 0, passed = 0;
    long end = str_chr(r->response.head, '\r');

    (void)v;
    a->in = r->upstream && r->upstream->status.status.n ? r->upstream->status.status : arena_printf(r->arena, "%u", r->response.status);
    a->out = (struct str){r->response.head.p, end < 0 ? r->response.head.n : (size_t)end};
    for (size_t i = 0; i < r->response.fields.n; i++) {
        const struct field *f = &r->response.fields.items[i];
        *(f->is_removed ? &hidden : f->origin.kind == ORIGIN_UPSTREAM ? &passed : &added) += 1;
        if (f->origin.directive)
            by = f->origin.directive;
    }
    a->directive = by;
    a->why = arena_printf(r->arena, "%u fields added or changed, %u passed, %u hidden", added, passed, hidden);
}

static void body_sent(struct request *r, const struct visit_view *v, struct account *a)
{
    unsigned long long bytes = r->attempts && r->attempts->all.n ? r->attempts->all.items[r->attempts->all.n - 1].response_bytes : 0;

    (void)v;
    a->in = r->upstream && bytes ? arena_printf(r->arena, "%llu bytes of the upstream", bytes) : STR("");
    a->out = arena_printf(r->arena, "%llu bytes", (unsigned long long)r->body_bytes_sent);
    a->why = r->is_truncated ? STR("broken off: it could not be completed") : r->response.is_header_only ? STR("this response has none")
             : r->response.is_chunked ? STR("in chunks: its length was not known") : STR("");
}

static void logged(struct request *r, const struct visit_view *v, struct account *a)
{
    (void)v;
    a->in = arena_printf(r->arena, "%u", r->response.status);
    a->out = arena_printf(r->arena, "%llu bytes", (unsigned long long)r->bytes_sent);
}

static void (*const accounts[PHASE_COUNT])(struct request *r, const struct visit_view *v, struct account *a) = {
    [PHASE_ACCEPT] = accepted,
    [PHASE_READ_REQUEST] = request_read,
    [PHASE_CHOOSE_SERVER] = server_chosen,
    [PHASE_REALIP] = stepped,
    [PHASE_SERVER_REWRITE] = stepped,
    [PHASE_CHOOSE_LOCATION] = location_chosen,
    [PHASE_REWRITE] = stepped,
    [PHASE_LIMITS] = stepped,
    [PHASE_ACCESS] = stepped,
    [PHASE_TRY_FILES] = stepped,
    [PHASE_CONTENT] = content_made,
    [PHASE_CACHE] = cache_looked_up,
    [PHASE_CHOOSE_UPSTREAM] = upstream_chosen,
    [PHASE_BUILD_UPSTREAM_REQUEST] = upstream_request_built,
    [PHASE_CONNECT] = connected,
    [PHASE_SEND] = sent,
    [PHASE_UPSTREAM_RESPONSE_HEADER] = header_received,
    [PHASE_RESPONSE_HEADER_FILTERS] = filtered,
    [PHASE_BODY] = body_sent,
    [PHASE_LOG] = logged,
};

struct account account_of(struct request *r, size_t i)
{
    struct account a = {STR(""), STR(""), STR(""), NULL};
    struct visit_view v = view(r, i);

    accounts[v.visit->phase](r, &v, &a);
    return a;
}

void account_describe(struct buf *b, struct request *r, size_t i)
{
    struct account a = account_of(r, i);
    struct visit_view v = view(r, i);

    write_str(b, "phase", str_of(phase_table[v.visit->phase].name));
    write_num(b, "us", (long long)v.visit->us);
    write_num(b, "duration_us", (long long)(v.end_us > v.visit->us ? v.end_us - v.visit->us : 0));
    write_str(b, "in", a.in);
    write_str(b, "out", a.out);
    write_str(b, "why", a.why);
    if (a.directive && a.directive->n_args) {
        write_str(b, "directive", directive_text(r->arena, a.directive));
        write_str(b, "place", directive_place(r->arena, a.directive));
    }
}
