/*
 * Moving a request through the phases: see engine.h.
 */
#include "phases/engine.h"

#include <stdio.h>
#include <time.h>

#include "filters/response.h"
#include "http/connection.h"
#include "http/log.h"
#include "http/uri.h"
#include "trace/hold.h"
#include "trace/trace.h"
#include "util/mem.h"

enum { MAX_URI_CHANGES = 10, REQUEST_BYTES = 8192 /* most requests need no more */, USUAL_VISITS = 24 };

static uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t request_age_us(const struct request *r)
{
    return now_us() - r->started_us;
}

struct request *request_new(struct conf *conf, struct connection *c)
{
    struct arena *a = arena_new(REQUEST_BYTES);
    struct request *r = arena_zalloc(a, sizeof *r);
    struct timespec ts;

    r->arena = a;
    r->visits.items = arena_alloc(a, USUAL_VISITS * sizeof *r->visits.items);
    r->visits.capacity = USUAL_VISITS;
    r->conf = conf;
    r->connection = c;
    r->client = c ? &c->peer : NULL;
    r->content_length = -1;
    r->limit_rate = -1;
    r->values = arena_zalloc(a, (variables_count(conf) + 1) * sizeof *r->values);
    r->response.content_length = -1;
    r->response.last_modified = (time_t)-1;
    r->uri_changes = MAX_URI_CHANGES + 1;
    clock_gettime(CLOCK_REALTIME, &ts);
    r->start_time = (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
    r->started_us = now_us();
    r->uri = r->args = r->exten = r->unparsed_uri = r->host = r->original_uri = STR("");
    conf_hold(conf);
    return r;
}

void request_free(struct request *r)
{
    struct conf *conf = r->conf;

    arena_free(r->arena);
    conf_release(conf);
}

const struct str *request_field(const struct request *r, enum field_id id)
{
    const struct field *f = field_find_id(&r->fields, id);

    return f ? &f->value : NULL;
}

void request_note_phase(struct request *r, enum phase phase)
{
    struct visit *v;

    if (r->visits.n)
        trace_phase(r);
    r->phase = phase;
    v = ARRAY_PUSH(&r->visits, r->arena);
    *v = (struct visit){phase, request_age_us(r), r->uri, r->location};
}

void request_pause(struct request *r, void (*go_on)(struct request *r))
{
    if (!hold_here(r, go_on))
        go_on(r);
}

void request_enter_phase(struct request *r, enum phase phase, void (*go_on)(struct request *r))
{
    request_note_phase(r, phase);
    request_pause(r, go_on);
}

/* Runs the present phase's handler. False when the phases end here, for now or for good. */
static bool run_handler(struct request *r)
{
    const struct phase_row *row = &phase_table[r->phase];
    int answer = row->handler ? row->handler(r) : PHASE_NEXT;

    if (answer >= 100)
        request_fail(r, (unsigned)answer);
    if (answer == PHASE_NEXT)
        r->phase++;
    return answer == PHASE_NEXT || answer == PHASE_GOTO;
}

static void go_on(struct request *r)
{
    if (run_handler(r))
        request_run(r);
}

void request_run(struct request *r)
{
    do {
        request_note_phase(r, r->phase);
        if (hold_here(r, go_on))
            return;
    } while (run_handler(r));
}

void request_proceed(struct request *r)
{
    r->phase++;
    request_run(r);
}

static bool is_msie6(struct str agent)
{
    long at = str_find(agent, STR("MSIE "));
    struct str from = at < 0 ? STR("") : str_skip(agent, (size_t)at);

    if (from.n < 8 || str_find(agent, STR("Opera")) >= 0 || from.p[6] != '.')
        return false;
    return from.p[5] == '4' || from.p[5] == '5' || (from.p[5] == '6' && str_find(from, STR("SV1")) < 0);
}

static bool is_safari(struct str agent)
{
    return str_find(agent, STR("Safari/")) >= 0 && str_find(agent, STR("Mac OS X")) >= 0 && str_find(agent, STR("Chrome/")) < 0
           && str_find(agent, STR("Gecko/")) < 0 && str_find(agent, STR("Opera")) < 0 && str_find(agent, STR("MSIE ")) < 0;
}

/* Whether the location lets the client's connection stay. */
static bool may_keep_alive(const struct request *r)
{
    const struct core_loc *loc = CORE_LOC(r);
    const struct connection *c = r->connection;
    const struct str *agent = request_field(r, FIELD_USER_AGENT);

    if (((const long *)loc->keepalive_timeout.ptr)[0] == 0 || c->requests >= (unsigned)loc->keepalive_requests.num
        || loop_now_ms(c->worker->loop) - c->opened_ms > (uint64_t)loc->keepalive_time.num)
        return false;
    if (agent && (loc->keepalive_disable.num & 2) && r->method == METHOD_POST && is_msie6(*agent))
        return false;
    return !(agent && (loc->keepalive_disable.num & 4) && is_safari(*agent));
}

void request_enter_location(struct request *r, const struct location *l)
{
    r->location = l;
    r->loc_conf = l->loc;
    if (l->limit_except && !(l->allowed_methods & 1u << r->method))
        r->loc_conf = l->limit_except->loc;
    if (r->connection && r->keeps_alive)
        r->keeps_alive = may_keep_alive(r);
}

static bool may_change_uri(struct request *r)
{
    if (--r->uri_changes == 0) {
        log_request(r, LOG_ERR_, 0, "rewrite or internal redirection cycle while internally redirecting to \"%.*s\"",
                    STR_ARG(r->uri));
        request_fail(r, 500);
        return false;
    }
    return true;
}

void request_redirect(struct request *r, struct str uri, struct str args)
{
    if (!may_change_uri(r))
        return;
    trace_step(r, NULL, r->uri, uri, "internal redirect");
    r->uri = uri;
    r->args = args;
    r->exten = uri_extension(uri);
    r->has_valid_unparsed_uri = false;
    r->is_internal = true;
    r->has_location_prefix = true;
    r->adds_uri_to_alias = false;
    r->loc_conf = r->server->root->loc;
    r->phase = PHASE_SERVER_REWRITE;
    request_run(r);
}

void request_redirect_named(struct request *r, struct str name)
{
    const struct location *l;

    if (!may_change_uri(r))
        return;
    if (r->uri.n == 0) {
        log_request(r, LOG_ERR_, 0, "empty URI in redirect to named location \"%.*s\"", STR_ARG(name));
        request_fail(r, 500);
        return;
    }
    l = location_find_named(r->server, name);
    if (!l) {
        log_request(r, LOG_ERR_, 0, "could not find named location \"%.*s\"", STR_ARG(name));
        request_fail(r, 500);
        return;
    }
    trace_step(r, l->directive, r->uri, name, "internal redirect to a named location");
    r->is_internal = true;
    request_enter_location(r, l);
    r->phase = PHASE_REWRITE;
    request_run(r);
}

/* --- ending with a status --- */

static const struct error_page *find_error_page(struct request *r, unsigned status)
{
    const struct error_page_list *list = CORE_LOC(r)->error_page.ptr;

    if (!list || r->is_error_page || r->uri_changes == 0) /* nginx: a cycle ends without an error page */
        return NULL;
    r->is_error_page = !CORE_LOC(r)->recursive_error_pages.num;
    for (size_t i = 0; i < list->pages.n; i++)
        if (list->pages.items[i].status == status)
            return &list->pages.items[i];
    return NULL;
}

static void clear_response(struct request *r)
{
    struct response *out = &r->response;
    bool was_sent = out->is_header_sent;

    *out = (struct response){.content_length = -1, .last_modified = (time_t)-1, .is_header_sent = was_sent, .charset = out->charset};
}

static bool send_error_page(struct request *r, const struct error_page *page, unsigned status)
{
    struct str uri = text_value(r, page->uri), args = page->args;

    trace_step(r, page->directive, status_words(status), uri, "error_page answers for this status");
    r->error_status = status;
    if (page->overwrite > 0)
        r->error_status = (unsigned)page->overwrite;
    if (page->overwrite == 0)
        r->error_status = 0;
    if (uri.n && uri.p[0] == '/') {
        if (!text_is_constant(page->uri)) {
            long at = str_chr(uri, '?');
            if (at >= 0) {
                args = str_skip(uri, (size_t)at + 1);
                uri.n = (size_t)at;
            }
        }
        if (r->method != METHOD_HEAD) {
            r->method = METHOD_GET;
            r->method_name = STR("GET");
        }
        request_redirect(r, uri, args);
        return true;
    }
    if (uri.n && uri.p[0] == '@') {
        request_redirect_named(r, uri);
        return true;
    }
    /* A redirect to elsewhere. */
    switch (page->overwrite) {
    case 301: case 302: case 303: case 307: case 308: r->response.status = (unsigned)page->overwrite; break;
    default: r->response.status = 302;
    }
    r->error_status = 0;
    r->error_status = 0;
    response_redirect(r, uri, (struct origin){ORIGIN_DIRECTIVE, page->directive, NULL});
    response_send_special(r, r->response.status);
    return true;
}

void request_fail(struct request *r, unsigned status)
{
    const struct error_page *page;
    field_array before = r->response.fields;

    if (r->response.is_header_sent || status == 444) {
        if (status == 444)
            r->response.status = 444;
        r->keeps_alive = false;
        response_abort(r);
        return;
    }
    switch (status) {
    case 400: case 413: case 414: case 494: case 495: case 496: case 497: case 500: case 501: case 408:
        r->keeps_alive = false;
    }
    clear_response(r);
    r->error_status = 0;
    for (size_t i = 0; i < before.n; i++)
        switch (before.items[i].id) {
        case FIELD_ETAG: case FIELD_LAST_MODIFIED: case FIELD_ACCEPT_RANGES: break; /* of what is not sent */
        default: *ARRAY_PUSH(&r->response.fields, r->arena) = before.items[i];
        }
    page = r->loc_conf ? find_error_page(r, status) : NULL;
    if (page && send_error_page(r, page, status))
        return;
    r->response.status = status;
    response_send_special(r, status);
}
