/*
 * A request as JSON: see trace.h. docs of the members: ARCHITECTURE.md, "The control protocol".
 */
#include <stdio.h>

#include "diagnose/diagnose.h"
#include "http/connection.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "trace/account.h"
#include "trace/edit.h"
#include "trace/hold.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "upstream/peers.h"
#include "upstream/upstream.h"

static void describe_place(struct buf *b, struct arena *a, const char *key, const struct directive *d)
{
    if (d)
        write_str(b, key, directive_place(a, d));
}

static const struct directive *block_of(const struct request *r)
{
    return r->location ? r->location->directive : NULL;
}

static bool encloses(const struct directive *outer, const struct directive *d)
{
    for (; d; d = d->parent)
        if (d == outer)
            return true;
    return false;
}

static void describe_origin(struct buf *b, struct request *r, const struct origin *o)
{
    static const char *const kinds[] = {"client", "upstream", "default", "directive", "hop-by-hop", "edit"};
    const struct directive *here = block_of(r);

    write_open(b, "origin", '{');
    write_str(b, "kind", str_of(kinds[o->kind]));
    if (o->directive) {
        write_str(b, "directive", directive_text(r->arena, o->directive));
        describe_place(b, r->arena, "place", o->directive);
        if (here && o->directive->parent && o->directive->parent != here && !encloses(here, o->directive->parent) && o->directive->parent->n_args)
            write_str(b, "inherited_from", arena_printf(r->arena, "%.*s at %.*s", STR_ARG(directive_text(r->arena, o->directive->parent)),
                                                       STR_ARG(directive_place(r->arena, o->directive->parent))));
    }
    if (o->why)
        write_str(b, "why", str_of(o->why));
    write_close(b, '}');
}

static void describe_fields(struct buf *b, struct request *r, const char *key, const field_array *fields)
{
    write_open(b, key, '[');
    for (size_t i = 0; i < fields->n; i++) {
        const struct field *f = &fields->items[i];
        write_open(b, NULL, '{');
        write_str(b, "name", f->name);
        write_str(b, "value", trace_is_masked(r, f->name) ? STR("***") : f->value);
        if (f->is_removed)
            write_bool(b, "removed", true);
        describe_origin(b, r, &f->origin);
        write_close(b, '}');
    }
    write_close(b, ']');
}

static void describe_candidates(struct buf *b, struct arena *a, const char *key, const struct candidates *seen)
{
    write_open(b, key, '[');
    for (size_t i = 0; i < seen->list.n; i++) {
        const struct candidate *c = &seen->list.items[i];
        write_open(b, NULL, '{');
        write_str(b, "name", c->name);
        describe_place(b, a, "place", c->directive);
        write_bool(b, "chosen", c->is_chosen);
        write_str(b, "why", c->why);
        write_close(b, '}');
    }
    write_close(b, ']');
}

struct lost_into {
    struct buf *b;
    struct arena *a;
};

static void describe_lost(void *data, const struct directive *lost, const struct directive *nearest)
{
    struct lost_into *into = data;

    write_open(into->b, NULL, '{');
    write_str(into->b, "directive", directive_text(into->a, lost));
    describe_place(into->b, into->a, "place", lost);
    write_str(into->b, "why", arena_printf(into->a, "the level of %.*s has %.*s of its own, and then none is inherited",
                                          STR_ARG(directive_place(into->a, nearest)), STR_ARG(nearest->args[0])));
    write_close(into->b, '}');
}

/* Array directives of outer levels that a nearer level of its own hides (nginx's inheritance). */
static void describe_not_inherited(struct buf *b, struct request *r)
{
    struct lost_into into = {b, r->arena};

    write_open(b, "not_inherited", '[');
    conf_each_lost(block_of(r), describe_lost, &into);
    write_close(b, ']');
}

struct str trace_location_text(const struct request *r)
{
    return !r->location || r->location == r->server->root ? STR("") : location_text(r->arena, r->location);
}

static void describe_times(struct buf *b, const struct request *r)
{
    write_num(b, "time_ms", (long long)(r->start_time * 1000));
    if (r->finished_us)
        write_num(b, "duration_us", (long long)r->finished_us);
}

void trace_describe_summary(struct buf *b, struct request *r)
{
    write_num(b, "request", (long long)r->id);
    describe_times(b, r);
    write_str(b, "client", r->client ? address_text(r->arena, &r->client->u.any, true) : STR(""));
    write_str(b, "method", r->original_method);
    write_str(b, "host", r->host);
    write_str(b, "uri", r->unparsed_uri.n ? r->unparsed_uri : r->request_line);
    write_str(b, "location", trace_location_text(r));
    if (r->location && r->location != r->server->root)
        describe_place(b, r->arena, "place", r->location->directive);
    if (r->attempts && r->attempts->all.n)
        write_str(b, "upstream", r->attempts->all.items[r->attempts->all.n - 1].peer);
    write_num(b, "status", r->response.status);
    write_num(b, "bytes", (long long)r->bytes_sent);
    write_str(b, "phase", str_of(phase_table[r->phase < PHASE_COUNT ? r->phase : PHASE_LOG].name));
    if (r->finished_us || r->is_dry_run)
        write_str(b, "findings_worst", findings_worst(findings_of(r)));
    if (r->edits)
        write_num(b, "edited", (long long)r->edits->all.n);
    hold_describe(b, r);
}

static void describe_connection(struct buf *b, const struct request *r)
{
    char protocol[24] = "";

    if (r->version == 9)
        snprintf(protocol, sizeof protocol, "HTTP/0.9");
    else if (r->version)
        snprintf(protocol, sizeof protocol, "HTTP/%u.%u", r->version / 1000, r->version % 1000);
    write_open(b, "connection", '{');
    write_num(b, "number", (long long)r->connection_number);
    write_num(b, "request_on_it", r->number_on_connection);
    write_str(b, "protocol", str_of(protocol));
    write_bool(b, "kept", r->keeps_alive);
    write_bool(b, "pipelined", r->is_pipelined);
    write_num(b, "header_bytes", (long long)r->header_bytes);
    write_num(b, "body_bytes", (long long)r->request_bytes);
    write_num(b, "sent_bytes", (long long)r->bytes_sent);
    write_bool(b, "truncated", r->is_truncated);
    write_null(b, "tls"); /* not encrypted */
    write_close(b, '}');
}

static void describe_server(struct buf *b, struct request *r)
{
    struct candidates seen = {.arena = r->arena};

    write_open(b, "server", '{');
    write_str(b, "name", r->server->name);
    describe_place(b, r->arena, "place", r->server->directive);
    write_str(b, "address", r->server_address ? address_text(r->arena, &r->server_address->u.any, true) : STR(""));
    write_close(b, '}');
    if (r->listener)
        server_choose(r->listener, r->host, NULL, &seen);
    describe_candidates(b, r->arena, "server_candidates", &seen);
}

static void describe_location(struct buf *b, struct request *r)
{
    struct candidates seen = {.arena = r->arena};
    const struct location *found = NULL;

    write_open(b, "chosen_location", '{');
    write_str(b, "name", trace_location_text(r));
    describe_place(b, r->arena, "place", r->location ? r->location->directive : NULL);
    if (r->location && r->location->directive)
        write_str(b, "text", directive_text(r->arena, r->location->directive));
    write_close(b, '}');
    if (r->location_uri.n)
        location_choose(r->server->root, r->location_uri, NULL, &found, &seen);
    describe_candidates(b, r->arena, "location_candidates", &seen);
}

static void describe_steps(struct buf *b, struct request *r)
{
    write_open(b, "steps", '[');
    for (size_t i = 0; r->steps && i < r->steps->all.n; i++) {
        const struct trace_step *s = &r->steps->all.items[i];
        write_open(b, NULL, '{');
        write_str(b, "phase", str_of(phase_table[s->phase].name));
        write_num(b, "us", (long long)s->us);
        if (s->directive) {
            write_str(b, "directive", directive_text(r->arena, s->directive));
            describe_place(b, r->arena, "place", s->directive);
        }
        write_str(b, "before", s->before);
        write_str(b, "after", s->after);
        write_str(b, "why", s->why);
        write_close(b, '}');
    }
    write_close(b, ']');
}

/* Every directive that had a part in what happened to R, each once: for the configuration with its lines marked. */
struct acted {
    ARRAY_OF(const struct directive *) all;
};

static void act(struct acted *list, struct arena *a, const struct directive *d)
{
    if (!d || d->n_args == 0)
        return;
    for (size_t i = 0; i < list->all.n; i++)
        if (list->all.items[i] == d)
            return;
    *ARRAY_PUSH(&list->all, a) = d;
}

static void act_fields(struct acted *list, struct arena *a, const field_array *fields)
{
    for (size_t i = 0; i < fields->n; i++)
        act(list, a, fields->items[i].origin.directive);
}

static void describe_acted(struct buf *b, struct request *r)
{
    struct acted list = {0};

    act(&list, r->arena, r->server->directive);
    if (r->location)
        act(&list, r->arena, r->location->directive);
    for (size_t i = 0; i < r->visits.n; i++)
        act(&list, r->arena, account_of(r, i).directive);
    for (size_t i = 0; r->steps && i < r->steps->all.n; i++)
        act(&list, r->arena, r->steps->all.items[i].directive);
    if (r->upstream) {
        act_fields(&list, r->arena, &r->upstream->request_fields);
        act_fields(&list, r->arena, &r->upstream->fields);
    }
    act_fields(&list, r->arena, &r->response.fields);
    act(&list, r->arena, r->response.content_type_origin.directive);
    write_open(b, "acted", '[');
    for (size_t i = 0; i < list.all.n; i++) {
        write_open(b, NULL, '{');
        write_str(b, "directive", directive_text(r->arena, list.all.items[i]));
        describe_place(b, r->arena, "place", list.all.items[i]);
        write_close(b, '}');
    }
    write_close(b, ']');
}

static void describe_phases(struct buf *b, struct request *r)
{
    write_open(b, "phases", '[');
    for (size_t i = 0; i < r->visits.n; i++) {
        write_open(b, NULL, '{');
        account_describe(b, r, i);
        write_str(b, "may_change", str_of(phase_table[r->visits.items[i].phase].may_change));
        write_str(b, "group", str_of(phase_table[r->visits.items[i].phase].group));
        write_close(b, '}');
    }
    write_close(b, ']');
}

static void describe_peers(struct buf *b, struct arena *a, const struct upstream_group *g)
{
    write_open(b, "peers", '[');
    for (size_t i = 0; g && i < g->peers.n; i++) {
        const struct peer *p = &g->peers.items[i];
        write_open(b, NULL, '{');
        write_str(b, "address", p->address.text);
        write_num(b, "weight", p->weight);
        write_num(b, "effective_weight", p->effective_weight);
        write_num(b, "current_weight", p->current_weight);
        write_num(b, "fails", p->fails);
        write_num(b, "max_fails", p->max_fails);
        write_num(b, "active", p->conns);
        write_num(b, "asked", (long long)p->asked);
        write_bool(b, "backup", p->is_backup);
        write_bool(b, "down", p->is_down);
        describe_place(b, a, "place", p->directive);
        write_close(b, '}');
    }
    write_close(b, ']');
}

void upstreams_describe(struct buf *b, struct conf *c)
{
    struct arena *a = arena_new(4096);
    const struct upstream_group *g;

    write_open(b, "upstreams", '[');
    for (size_t i = 0; (g = upstream_group_at(c, i)); i++) {
        write_open(b, NULL, '{');
        write_str(b, "name", g->name);
        write_num(b, "idle", g->pool.n);
        describe_place(b, a, "place", g->directive);
        describe_peers(b, a, g);
        write_close(b, '}');
    }
    write_close(b, ']');
    arena_free(a);
}

static void describe_upstream(struct buf *b, struct request *r)
{
    struct upstream *u = r->upstream;
    struct str line;
    long end;

    if (!u) {
        write_null(b, "upstream_request");
        return;
    }
    end = str_chr(u->request_head, '\r');
    line = (struct str){u->request_head.p, end < 0 ? u->request_head.n : (size_t)end};
    write_open(b, "upstream_request", '{');
    write_str(b, "line", line);
    write_str(b, "scheme", u->scheme);
    write_str(b, "host", u->host_field);
    write_str(b, "group", u->group ? u->group->name : STR(""));
    describe_place(b, r->arena, "group_place", u->group ? u->group->directive : NULL);
    describe_fields(b, r, "fields", &u->request_fields);
    write_close(b, '}');
    describe_peers(b, r->arena, u->group);
    if (r->is_dry_run && u->group) { /* what the next choice would be, with all peers as they are after a start */
        struct str why;
        const struct peer *p = peers_preview(u->group, r->arena, &why);
        write_open(b, "would_ask", '{');
        write_str(b, "peer", p ? p->address.text : STR(""));
        write_str(b, "why", why);
        describe_place(b, r->arena, "place", p ? p->directive : NULL);
        write_close(b, '}');
    }
    write_open(b, "attempts", '[');
    for (size_t i = 0; r->attempts && i < r->attempts->all.n; i++) {
        const struct attempt *at = &r->attempts->all.items[i];
        if (at->peer.n == 0)
            continue;
        write_open(b, NULL, '{');
        write_str(b, "peer", at->peer);
        describe_place(b, r->arena, "place", at->directive);
        write_str(b, "why", at->why);
        write_num(b, "status", at->status);
        write_num(b, "connect_ms", at->connect_ms);
        write_num(b, "header_ms", at->header_ms);
        write_num(b, "response_ms", at->response_ms);
        write_bool(b, "reused", at->is_reused);
        write_close(b, '}');
    }
    write_close(b, ']');
    write_open(b, "upstream_response", '{');
    write_num(b, "status", u->status.code);
    write_str(b, "line", u->status.status);
    describe_fields(b, r, "fields", &u->fields);
    write_close(b, '}');
}

void trace_describe(struct buf *b, struct request *r)
{
    long end = str_chr(r->response.head, '\r');

    trace_describe_summary(b, r);
    write_str(b, "request_line", r->request_line);
    describe_connection(b, r);
    describe_server(b, r);
    describe_location(b, r);
    write_open(b, "uri_path", '{');
    write_str(b, "received", r->unparsed_uri);
    write_str(b, "normalised", r->original_uri);
    write_str(b, "final", r->uri);
    write_str(b, "args", r->args);
    write_close(b, '}');
    describe_fields(b, r, "request_fields", &r->fields);
    describe_upstream(b, r);
    describe_not_inherited(b, r);
    write_open(b, "response", '{');
    write_str(b, "line", (struct str){r->response.head.p, end < 0 ? r->response.head.n : (size_t)end});
    describe_fields(b, r, "fields", &r->response.fields);
    write_str(b, "head", r->response.head);
    write_str(b, "text", r->response.text);
    write_close(b, '}');
    describe_steps(b, r);
    findings_describe(b, r->arena, findings_of(r));
    describe_acted(b, r);
    edits_describe(b, r);
    editable_describe(b, r);
    describe_phases(b, r);
}

static void describe_block(struct buf *b, struct arena *a, const struct directive *block)
{
    for (const struct directive *d = block->first_child; d; d = d->next) {
        write_open(b, NULL, '{');
        write_str(b, "text", directive_text(a, d));
        describe_place(b, a, "place", d);
        if (d->is_block) {
            write_open(b, "block", '[');
            describe_block(b, a, d);
            write_close(b, ']');
        }
        write_close(b, '}');
    }
}

void trace_describe_conf(struct buf *b, struct conf *c)
{
    struct arena *a = arena_new(4096);

    write_str(b, "file", c->tree->conf_file);
    write_open(b, "directives", '[');
    describe_block(b, a, &c->tree->root);
    write_close(b, ']');
    write_open(b, "sources", '[');
    for (const struct conf_source *s = c->tree->sources; s; s = s->next) {
        write_open(b, NULL, '{');
        write_str(b, "path", s->path);
        write_str(b, "text", s->text);
        write_close(b, '}');
    }
    write_close(b, ']');
    arena_free(a);
}
