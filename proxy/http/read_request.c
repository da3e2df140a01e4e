/*
 * From bytes to a request: see read_request.h.
 *
 * Bytes gather in the connection; each complete line is copied into the request's arena. The limits are those of nginx's
 * buffers: a first one of client_header_buffer_size, then large ones; a line must fit into one.
 */
#include "http/read_request.h"

#include <stdio.h>

#include "filters/response.h"
#include "http/access_log.h"
#include "http/connection.h"
#include "http/log.h"
#include "http/request.h"
#include "http/request_body.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "trace/hold.h"
#include "trace/trace.h"
#include "upstream/upstream.h"

enum room { ROOM_ENOUGH, ROOM_LINE_TOO_LONG, ROOM_NO_BUFFERS };

static void start_reading(struct request *r)
{
    struct connection *c = r->connection;
    const struct core_srv *srv = CORE_SRV(r);

    c->state = CONNECTION_READING_HEADER;
    c->header_room = (size_t)srv->client_header_buffer_size.num;
    c->n_large_buffers = 0;
    timer_start(c->worker->loop, &c->timer, (uint64_t)srv->client_header_timeout.num);
    connection_watch(c);
    read_request(r);
}

static void accepted(struct request *r)
{
    request_enter_phase(r, PHASE_READ_REQUEST, start_reading);
}

void read_request_start(struct connection *c)
{
    struct request *r = request_new(c->conf, c);
    const struct server *s = c->listener->default_server;

    r->id = ++c->worker->next_request_id;
    r->started_ms = loop_now_ms(c->worker->loop);
    r->server = s;
    r->srv_conf = s->level.srv;
    r->loc_conf = s->level.loc;
    r->location = s->root;
    r->is_pipelined = c->requests && c->is_pipelining;
    c->is_pipelining = false;
    c->request = r;
    c->requests++;
    r->connection_number = c->number;
    r->number_on_connection = c->requests;
    c->worker->n_requests++;
    c->state = CONNECTION_PROCESSING;
    timer_stop(c->worker->loop, &c->timer);
    request_enter_phase(r, PHASE_ACCEPT, accepted);
}

/* Takes N bytes of a line (IS_COMPLETE or not) out of the header buffers. */
static enum room take_room(struct connection *c, struct request *r, size_t n, bool is_complete)
{
    const struct buffer_sizes *large = CORE_SRV(r)->large_client_header_buffers.ptr;

    while (is_complete ? n > c->header_room : n >= c->header_room) {
        if (n >= (size_t)large->bytes && (!is_complete || n > (size_t)large->bytes))
            return ROOM_LINE_TOO_LONG;
        if (c->n_large_buffers >= (unsigned)large->n)
            return ROOM_NO_BUFFERS;
        c->n_large_buffers++;
        c->header_room = (size_t)large->bytes;
    }
    if (is_complete)
        c->header_room -= n;
    return ROOM_ENOUGH;
}

static void refuse(struct request *r, unsigned status, const char *why)
{
    log_request(r, LOG_INFO_, 0, "%s", why);
    r->connection->state = CONNECTION_PROCESSING;
    timer_stop(r->connection->worker->loop, &r->connection->timer);
    r->keeps_alive = false;
    request_fail(r, status);
}

enum method request_method_of(struct str s)
{
    static const struct {
        const char *name;
        enum method method;
    } methods[] = {{"GET", METHOD_GET}, {"HEAD", METHOD_HEAD}, {"POST", METHOD_POST}, {"PUT", METHOD_PUT},
                   {"DELETE", METHOD_DELETE}, {"OPTIONS", METHOD_OPTIONS}, {"CONNECT", METHOD_CONNECT},
                   {"TRACE", METHOD_TRACE}};

    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (str_eq(s, str_of(methods[i].name)))
            return methods[i].method;
    return METHOD_OTHER;
}

void request_set_server(struct request *r, struct str host)
{
    r->server = server_choose(r->connection->listener, host, r, NULL);
    r->srv_conf = r->server->level.srv;
    r->loc_conf = r->server->level.loc;
    r->location = r->server->root;
}

bool request_set_target(struct request *r, struct str uri)
{
    struct uri_parts parts;

    if (uri.n == 0 || uri.p[0] == '?')
        uri = arena_cat(r->arena, STR("/"), uri);
    r->unparsed_uri = uri;
    if (uri_normalize(r->arena, uri, CORE_SRV(r)->merge_slashes.num ? MERGE_SLASHES : KEEP_SLASHES, &parts) < 0)
        return false;
    r->uri = r->original_uri = parts.path;
    r->args = parts.args;
    r->exten = uri_extension(r->uri);
    r->is_uri_quoted = str_chr(uri, '%') >= 0;
    r->has_plus_in_uri = str_chr(uri, '+') >= 0;
    r->has_valid_unparsed_uri = r->has_location_prefix = true;
    return true;
}

/* False: the request was refused, or more must come. */
static bool read_line(struct connection *c, struct request *r)
{
    struct request_line line;
    struct str in = buf_str(&c->unread);
    enum parse_result result = parse_request_line(in, &line);
    char *host;
    long n;

    if (result == PARSE_AGAIN) {
        if (take_room(c, r, in.n, false) != ROOM_ENOUGH) {
            r->request_line = arena_str(r->arena, (struct str){in.p, in.n < 1024 ? in.n : 1024});
            refuse(r, 414, "client sent too long URI");
        }
        return false;
    }
    if (result != PARSE_DONE) {
        long end = str_chr(in, '\n');
        if (end > 0 && in.p[end - 1] == '\r')
            end--;
        r->request_line = arena_str(r->arena, (struct str){in.p, end >= 0 ? (size_t)end : in.n});
        r->version = result == PARSE_INVALID_09_METHOD ? 9 : 1000;
        if (result != PARSE_INVALID_METHOD && line.method.n) {
            r->method_name = r->original_method = arena_str(r->arena, line.method);
            r->method = request_method_of(r->method_name);
        }
        refuse(r, result == PARSE_INVALID_VERSION ? 505 : 400,
               result == PARSE_INVALID_METHOD    ? "client sent invalid method while reading client request line"
               : result == PARSE_INVALID_VERSION ? "client sent invalid version while reading client request line"
                                                 : "client sent invalid request while reading client request line");
        return false;
    }
    if (take_room(c, r, line.consumed, true) != ROOM_ENOUGH) {
        refuse(r, 414, "client sent too long URI");
        return false;
    }
    in = arena_str(r->arena, (struct str){in.p, line.consumed});
    parse_request_line(in, &line);
    r->header_bytes = line.consumed;
    buf_consume(&c->unread, line.consumed);
    r->request_line = line.line;
    r->method_name = r->original_method = line.method;
    r->method = request_method_of(line.method);
    r->version = line.version;
    r->target = line.target;
    if (!request_set_target(r, line.uri)) {
        refuse(r, 400, "client sent invalid request while reading client request line");
        return false;
    }
    if (line.host.n) {
        host = arena_alloc(r->arena, line.host.n);
        n = host_validate(line.host, host);
        if (n < 0) {
            refuse(r, 400, "client sent invalid host in request line");
            return false;
        }
        r->host = (struct str){host, (size_t)n};
        request_set_server(r, r->host);
    }
    return true;
}

static bool check_host(struct request *r, const struct field *f)
{
    char *host = arena_alloc(r->arena, f->value.n + 1);
    long n = host_validate(f->value, host);

    if (field_find_id(&r->fields, FIELD_HOST) != f) {
        refuse(r, 400, "client sent duplicate host header");
        return false;
    }
    if (n < 0) {
        refuse(r, 400, "client sent invalid host header");
        return false;
    }
    if (r->host.n == 0) {
        r->host = (struct str){host, (size_t)n};
        request_set_server(r, r->host);
    }
    return true;
}

static bool check_unique(struct request *r, const struct field *f)
{
    switch (f->id) {
    case FIELD_IF_MODIFIED_SINCE: case FIELD_IF_UNMODIFIED_SINCE: case FIELD_IF_MATCH: case FIELD_IF_NONE_MATCH:
    case FIELD_CONTENT_LENGTH: case FIELD_CONTENT_RANGE: case FIELD_IF_RANGE: case FIELD_TRANSFER_ENCODING:
    case FIELD_EXPECT: case FIELD_AUTHORIZATION:
        if (field_find_id(&r->fields, f->id) != f) {
            log_request(r, LOG_INFO_, 0, "client sent duplicate header line: \"%.*s: %.*s\"", STR_ARG(f->name),
                        STR_ARG(f->value));
            refuse(r, 400, "client sent duplicate header line");
            return false;
        }
        return true;
    default: return true;
    }
}

/* What must hold once the header is complete. False: refused. */
static bool check_header(struct request *r)
{
    const struct str *length = request_field(r, FIELD_CONTENT_LENGTH);
    const struct str *coding = request_field(r, FIELD_TRANSFER_ENCODING);
    const struct str *expect = request_field(r, FIELD_EXPECT);

    if (!request_field(r, FIELD_HOST) && r->version > 1000) {
        refuse(r, 400, "client sent HTTP/1.1 request without \"Host\" header");
        return false;
    }
    if (r->host.n == 0)
        request_set_server(r, r->host);
    if (length && (r->content_length = str_number(*length)) < 0) {
        refuse(r, 400, "client sent invalid \"Content-Length\" header");
        return false;
    }
    if (coding) {
        if (r->version < 1001) {
            refuse(r, 400, "client sent HTTP/1.0 request with \"Transfer-Encoding\" header");
            return false;
        }
        if (!str_ieq(*coding, STR("chunked"))) {
            refuse(r, 501, "client sent unknown \"Transfer-Encoding\"");
            return false;
        }
        if (length) { /* RFC 9112 6.3: both lengths present: reject, do not guess. */
            refuse(r, 400, "client sent \"Content-Length\" and \"Transfer-Encoding\" headers at the same time");
            return false;
        }
        r->is_chunked = true;
    }
    r->expects_continue = expect && r->version >= 1001 && str_ieq(*expect, STR("100-continue"));
    r->keeps_alive = r->version >= 1001;
    for (size_t i = 0; i < r->fields.n; i++) { /* the last one that says something decides */
        const struct field *f = &r->fields.items[i];
        if (f->id != FIELD_CONNECTION)
            continue;
        if (str_ifind(f->value, STR("close")) >= 0)
            r->keeps_alive = false;
        else if (str_ifind(f->value, STR("keep-alive")) >= 0)
            r->keeps_alive = true;
    }
    if (r->method == METHOD_CONNECT || r->method == METHOD_TRACE) {
        refuse(r, 405, r->method == METHOD_CONNECT ? "client sent CONNECT method" : "client sent TRACE method");
        return false;
    }
    return true;
}

static void header_complete(struct connection *c, struct request *r)
{
    struct worker *w = c->worker;

    if (!check_header(r))
        return;
    timer_stop(w->loop, &c->timer);
    c->state = CONNECTION_PROCESSING;
    connection_watch(c);
    r->phase = PHASE_CHOOSE_SERVER;
    request_run(r);
}

static bool read_field(struct connection *c, struct request *r)
{
    const struct core_srv *srv = CORE_SRV(r);
    struct str in = buf_str(&c->unread);
    struct header_line line;
    enum parse_result result;
    struct field *f;

    result = parse_header_line(in, srv->underscores_in_headers.num ? ALLOW_UNDERSCORES : REFUSE_UNDERSCORES, &line);
    if (result == PARSE_AGAIN || result == PARSE_DONE) {
        enum room room = take_room(c, r, result == PARSE_DONE ? line.consumed : in.n, result == PARSE_DONE);
        if (room != ROOM_ENOUGH) {
            refuse(r, 494, room == ROOM_LINE_TOO_LONG ? "client sent too long header line"
                                                      : "client sent too large request");
            return false;
        }
        if (result == PARSE_AGAIN)
            return false;
    }
    if (result == PARSE_INVALID_HEADER) {
        refuse(r, 400, "client sent invalid header line");
        return false;
    }
    r->header_bytes += line.consumed;
    if (result == PARSE_END_OF_HEADER) {
        buf_consume(&c->unread, line.consumed);
        header_complete(c, r);
        return false;
    }
    if (line.is_invalid && srv->ignore_invalid_headers.num) {
        log_request(r, LOG_INFO_, 0, "client sent invalid header line: \"%.*s: %.*s\"", STR_ARG(line.name),
                    STR_ARG(line.value));
        trace_step(r, srv->ignore_invalid_headers.origin, arena_str(r->arena, line.name), STR(""), "this field's name is not valid here: ignored");
        buf_consume(&c->unread, line.consumed);
        return true;
    }
    if (r->fields.n >= (size_t)srv->max_headers.num) {
        refuse(r, 494, "client sent too many header lines");
        return false;
    }
    f = field_add(&r->fields, r->arena, arena_str(r->arena, line.name), arena_str(r->arena, line.value),
                  (struct origin){ORIGIN_CLIENT, NULL, NULL});
    buf_consume(&c->unread, line.consumed);
    if (f->id == FIELD_HOST)
        return check_host(r, f);
    return check_unique(r, f);
}

void read_request(struct request *r)
{
    struct connection *c = r->connection;

    if (r->request_line.n == 0) {
        if (!read_line(c, r))
            return;
        if (r->version == 9) {
            header_complete(c, r);
            return;
        }
    }
    while (read_field(c, r))
        ;
}

void request_finish_log(struct request *r)
{
    r->body_bytes_sent = r->bytes_sent = r->connection->out.written_bytes;
    r->connection->out.written_bytes = 0;
    if (r->response.head.n <= r->body_bytes_sent)
        r->body_bytes_sent -= r->response.head.n;
    else
        r->body_bytes_sent = 0;
    if (r->phase != PHASE_LOG)
        request_note_phase(r, PHASE_LOG);
    phase_table[PHASE_LOG].handler(r);
    if (r->upstream)
        upstream_release(r);
    request_body_release(r);
    trace_finished(r); /* the ring keeps it or frees it */
}

void request_abandon(struct request *r)
{
    struct connection *c = r->connection;

    hold_forget(r);
    timer_stop(c->worker->loop, &r->waiting);
    if (r->upstream)
        upstream_release(r);
    if (r->response.status == 0)
        r->response.status = 499;
    request_finish_log(r);
    c->request = NULL;
}
