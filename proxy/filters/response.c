/*
 * The response on its way to the client: see response.h.
 *
 * The header filters run in the order of the table in filters/filter_table.c, then the header is written as nginx
 * writes it: status line, Server, Date, Content-Type, Content-Length, Last-Modified, Location, framing and connection
 * fields, then all others in the order in which they came.
 */
#include "filters/response.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "filters/filter.h"
#include "filters/body.h"
#include "filters/gzip.h"
#include "filters/headers.h"
#include "http/connection.h"
#include "http/date.h"
#include "http/log.h"
#include "phases/engine.h"
#include "trace/capture.h"
#include "version.h"

enum { PIECE_BYTES = 32768, PUMP_BYTES = 65536 };

static const struct {
    unsigned status;
    const char *words;
} standard[] = {
    {200, "200 OK"}, {201, "201 Created"}, {202, "202 Accepted"}, {204, "204 No Content"},
    {206, "206 Partial Content"}, {301, "301 Moved Permanently"}, {302, "302 Moved Temporarily"},
    {303, "303 See Other"}, {304, "304 Not Modified"}, {307, "307 Temporary Redirect"},
    {308, "308 Permanent Redirect"}, {400, "400 Bad Request"}, {401, "401 Unauthorized"},
    {402, "402 Payment Required"}, {403, "403 Forbidden"}, {404, "404 Not Found"}, {405, "405 Not Allowed"},
    {406, "406 Not Acceptable"}, {408, "408 Request Time-out"}, {409, "409 Conflict"}, {410, "410 Gone"},
    {411, "411 Length Required"}, {412, "412 Precondition Failed"}, {413, "413 Request Entity Too Large"},
    {414, "414 Request-URI Too Large"}, {415, "415 Unsupported Media Type"},
    {416, "416 Requested Range Not Satisfiable"}, {421, "421 Misdirected Request"}, {429, "429 Too Many Requests"},
    {500, "500 Internal Server Error"}, {501, "501 Not Implemented"}, {502, "502 Bad Gateway"},
    {503, "503 Service Temporarily Unavailable"}, {504, "504 Gateway Time-out"},
    {505, "505 HTTP Version Not Supported"}, {507, "507 Insufficient Storage"},
};

struct str status_words(unsigned status)
{
    for (size_t i = 0; i < sizeof standard / sizeof standard[0]; i++)
        if (standard[i].status == status)
            return str_of(standard[i].words);
    return STR("");
}

struct field *response_add(struct request *r, const char *name, struct str value, struct origin origin)
{
    return field_add(&r->response.fields, r->arena, str_of(name), value, origin);
}

void response_redirect(struct request *r, struct str to, struct origin origin)
{
    for (size_t i = 0; i < r->response.fields.n; i++)
        if (r->response.fields.items[i].id == FIELD_LOCATION)
            r->response.fields.items[i].is_removed = true;
    response_add(r, "Location", to, origin)->is_own_redirect = true;
}

static struct str server_text(const struct request *r)
{
    switch (CORE_LOC(r)->server_tokens.num) {
    case 0: return STR("nginx");
    default: return STR("nginx/" GLASSPROXY_NGINX_VERSION);
    }
}

/* nginx makes its own redirects absolute, and so adds the host and port the client asked for. */
static struct str absolute_location(struct request *r, struct str location)
{
    const struct core_loc *loc = CORE_LOC(r);
    struct str host = r->host;
    unsigned port = 0;
    struct buf b = {0};
    struct str s;

    if (location.n == 0 || location.p[0] != '/' || !loc->absolute_redirect.num)
        return location;
    if (loc->server_name_in_redirect.num || host.n == 0) {
        host = loc->server_name_in_redirect.num ? r->server->name : STR("");
        if (host.n == 0 && r->connection)
            host = address_text(r->arena, &connection_local(r->connection)->u.any, false);
    }
    if (loc->port_in_redirect.num && r->connection) {
        port = address_port(&connection_local(r->connection)->u.any);
        if (port == 80)
            port = 0;
    }
    buf_printf(&b, "http://%.*s", STR_ARG(host));
    if (port)
        buf_printf(&b, ":%u", port);
    buf_adds(&b, location);
    s = arena_str(r->arena, buf_str(&b));
    buf_free(&b);
    return s;
}

static void make_page(struct request *r, unsigned status);
static void send_header(struct request *r);

static void add_line(struct buf *b, const char *name, struct str value)
{
    buf_addz(b, name);
    buf_addz(b, ": ");
    buf_adds(b, value);
    buf_add(b, "\r\n", 2);
}

static void write_header(struct request *r)
{
    static struct buf b;
    struct response *out = &r->response;
    struct str words = out->status_line.n ? out->status_line : status_words(out->status);
    const struct field *completed = NULL;

    buf_consume(&b, buf_len(&b));
    buf_addz(&b, "HTTP/1.1 ");
    if (words.n)
        buf_adds(&b, words);
    else
        buf_printf(&b, "%03u ", out->status);
    buf_add(&b, "\r\n", 2);
    if (!out->lacks_server && !field_find_id(&out->fields, FIELD_SERVER))
        add_line(&b, "Server", server_text(r));
    if (!out->lacks_date && !field_find_id(&out->fields, FIELD_DATE))
        add_line(&b, "Date", date_now());
    if (out->content_type.n) {
        buf_addz(&b, "Content-Type: ");
        buf_adds(&b, out->content_type);
        if (out->charset.n) {
            buf_addz(&b, "; charset=");
            buf_adds(&b, out->charset);
        }
        buf_add(&b, "\r\n", 2);
    }
    if (out->content_length >= 0 && !field_find_id(&out->fields, FIELD_CONTENT_LENGTH))
        buf_printf(&b, "Content-Length: %lld\r\n", out->content_length);
    if (out->last_modified != (time_t)-1 && (out->status == 200 || out->status == 206 || out->status == 304) && !field_find_id(&out->fields, FIELD_LAST_MODIFIED)) {
        char date[HTTP_DATE_BYTES + 1];
        date_http(out->last_modified, date);
        add_line(&b, "Last-Modified", str_of(date));
    }
    for (size_t i = 0; i < out->fields.n; i++) {
        struct field *f = &out->fields.items[i];
        if (f->id != FIELD_LOCATION || !f->is_own_redirect || f->is_removed || !CORE_LOC(r)->absolute_redirect.num
            || f->value.n == 0 || f->value.p[0] != '/')
            continue;
        f->value = absolute_location(r, f->value);
        add_line(&b, "Location", f->value);
        completed = f;
    }
    if (out->is_chunked)
        buf_addz(&b, "Transfer-Encoding: chunked\r\n");
    if (out->status == 101) {
        buf_addz(&b, "Connection: upgrade\r\n");
    } else if (r->keeps_alive) {
        const long *keepalive = CORE_LOC(r)->keepalive_timeout.ptr;
        buf_addz(&b, "Connection: keep-alive\r\n");
        if (keepalive[1])
            buf_printf(&b, "Keep-Alive: timeout=%ld\r\n", keepalive[1]);
    } else {
        buf_addz(&b, "Connection: close\r\n");
    }
    if (gzip_varies(r))
        buf_addz(&b, "Vary: Accept-Encoding\r\n");
    for (size_t i = 0; i < out->fields.n; i++) {
        const struct field *f = &out->fields.items[i];
        if (f->is_removed || f == completed)
            continue;
        buf_adds(&b, f->name);
        buf_add(&b, ": ", 2);
        buf_adds(&b, f->value);
        buf_add(&b, "\r\n", 2);
    }
    buf_add(&b, "\r\n", 2);
    out->head = arena_str(r->arena, buf_str(&b));
    output_add(&r->connection->out, out->head);
}

/* A filter refused the response: nginx's page for that, and the body that was to follow is dropped. */
static void replace_by_page(struct request *r)
{
    struct response *out = &r->response;
    unsigned status = out->replaced_by;
    field_array kept = {0};

    for (size_t i = 0; i < out->fields.n; i++)
        if (status == 416 && out->fields.items[i].id == FIELD_CONTENT_RANGE)
            *ARRAY_PUSH(&kept, r->arena) = out->fields.items[i];
    *out = (struct response){.content_length = -1, .last_modified = (time_t)-1, .fields = kept};
    r->error_status = 0;
    make_page(r, status);
    send_header(r);
    response_write(r, out->text);
    out->drops_body = true;
}

/* Runs the header filters and queues the header. A filter may replace the response (304, 412, 416): then the body that
 * follows is dropped. */
static void send_header(struct request *r)
{
    struct response *out = &r->response;

    if (out->is_header_sent)
        return;
    if (r->error_status) {
        out->status = r->error_status;
        out->status_line = STR("");
    }
    if (r->method == METHOD_HEAD && r->version != 9)
        out->is_header_only = true;
    filters_run_header(r);
    if (out->replaced_by) {
        replace_by_page(r);
        return;
    }
    out->is_header_sent = true;
    if (r->connection->worker->is_quitting)
        r->keeps_alive = false;
    if (r->version == 9) {
        r->keeps_alive = false;
        out->is_chunked = false;
        return;
    }
    if (out->status == 204 || out->status == 304) { /* nginx: an upstream's own keeps what it says of a body */
        out->is_header_only = true;
        out->is_chunked = false;
        if (out->status_line.n == 0) {
            out->content_length = -1;
            out->content_type = STR("");
        }
    }
    if (out->has_trailers && !out->is_header_only && CORE_LOC(r)->chunked_transfer_encoding.num)
        out->content_length = -1; /* trailers need the chunked coding */
    if (out->content_length < 0 && !out->is_header_only && out->status != 101 && !out->is_chunked) {
        if (r->version >= 1001 && CORE_LOC(r)->chunked_transfer_encoding.num)
            out->is_chunked = true;
        else
            r->keeps_alive = false;
    }
    write_header(r);
}

static void start_body(struct request *r)
{
    void (*write_body)(struct request *r) = r->response.write_body; /* a filter's page has none of its own */

    send_header(r);
    request_enter_phase(r, PHASE_BODY, write_body);
}

void response_start(struct request *r, void (*write_body)(struct request *r))
{
    r->response.write_body = write_body;
    request_enter_phase(r, PHASE_RESPONSE_HEADER_FILTERS, start_body);
}

void response_frame(struct request *r, struct str s)
{
    struct response *out = &r->response;

    if (s.n == 0 || out->is_header_only)
        return;
    if (out->is_chunked) {
        char size[24];
        int n = snprintf(size, sizeof size, "%zx\r\n", s.n);
        output_add(&r->connection->out, (struct str){size, (size_t)n});
        output_add(&r->connection->out, s);
        output_add(&r->connection->out, STR("\r\n"));
    } else {
        output_add(&r->connection->out, s);
    }
}

static void wait_for_turn(struct request *r, struct body_piece piece)
{
    *ARRAY_PUSH(&r->response.pieces, r->arena) = piece;
}

static void emit(struct request *r, struct str s)
{
    if (s.n == 0 || r->response.is_header_only)
        return;
    if (r->response.next_piece < r->response.pieces.n)
        wait_for_turn(r, (struct body_piece){.text = arena_str(r->arena, s), .fd = -1});
    else
        body_pass(r, NULL, s);
}

static void emit_file(struct request *r, int fd, off_t offset, off_t length);

/* One of memory S and a file's LENGTH bytes; only what the ranges ask for. */
static void emit_ranges(struct request *r, struct str s, int fd, off_t offset, long long length)
{
    struct response *out = &r->response;
    long long from = out->body_offset;

    for (size_t i = 0; i < out->ranges.n; i++) {
        const struct byte_range *range = &out->ranges.items[i];
        long long start = range->start > from ? range->start - from : 0, end = range->end < from + length ? range->end - from : length;
        emit(r, range->part_header);
        if (start >= end)
            continue;
        if (fd < 0)
            emit(r, (struct str){s.p + start, (size_t)(end - start)});
        else
            emit_file(r, fd, offset + start, end - start);
    }
    emit(r, out->parts_end);
    out->body_offset += length;
}

void response_write(struct request *r, struct str s)
{
    if (r->response.drops_body)
        return;
    if (!r->response.is_header_only)
        capture_add(r, CAPTURED_RESPONSE, s);
    if (r->response.ranges.n)
        emit_ranges(r, s, -1, 0, (long long)s.n);
    else
        emit(r, s);
}

void response_write_file(struct request *r, int fd, off_t offset, off_t length)
{
    if (r->response.drops_body)
        return;
    if (!r->response.is_header_only)
        capture_add_file(r, CAPTURED_RESPONSE, fd, offset, length);
    if (r->response.ranges.n)
        emit_ranges(r, STR(""), fd, offset, length);
    else
        emit_file(r, fd, offset, length);
}

static void emit_file(struct request *r, int fd, off_t offset, off_t length)
{
    if (r->response.is_header_only || length <= 0)
        return;
    r->connection->out.copies_files = !CORE_LOC(r)->sendfile.num;
    r->connection->out.file_chunk_bytes = (size_t)CORE_LOC(r)->sendfile_max_chunk.num;
    if (r->response.body_filters) {
        wait_for_turn(r, (struct body_piece){.fd = fd, .offset = offset, .length = length});
        return;
    }
    if (r->response.is_chunked) {
        char size[24];
        int n = snprintf(size, sizeof size, "%llx\r\n", (unsigned long long)length);
        output_add(&r->connection->out, (struct str){size, (size_t)n});
        output_add_file(&r->connection->out, fd, offset, length);
        output_add(&r->connection->out, STR("\r\n"));
        return;
    }
    output_add_file(&r->connection->out, fd, offset, length);
}

/* One piece, or as much of it as there is room for. False if it cannot be read. */
static bool feed(struct request *r, struct body_piece *p)
{
    char bytes[PIECE_BYTES];

    if (p->fd < 0) {
        body_pass(r, NULL, p->text);
        p->length = 0;
        return true;
    }
    while (p->length > 0 && r->connection->out.memory_bytes < PUMP_BYTES) {
        ssize_t n = pread(p->fd, bytes, p->length < PIECE_BYTES ? (size_t)p->length : PIECE_BYTES, p->offset);
        if (n <= 0)
            return false;
        p->offset += n;
        p->length -= n;
        body_pass(r, NULL, (struct str){bytes, (size_t)n});
    }
    return true;
}

enum pump_result response_pump(struct request *r)
{
    struct response *out = &r->response;

    while (out->next_piece < out->pieces.n && r->connection->out.memory_bytes < PUMP_BYTES) {
        struct body_piece *p = &out->pieces.items[out->next_piece];
        if (!feed(r, p)) {
            log_request(r, LOG_CRIT_, errno, "read() of a file failed while sending response to client");
            response_truncate(r);
            return PUMP_ENDED;
        }
        if (p->length > 0)
            return PUMP_MORE;
        out->next_piece++;
    }
    if (out->next_piece < out->pieces.n)
        return PUMP_MORE;
    if (!out->ends_after_pieces)
        return PUMP_NOTHING;
    out->ends_after_pieces = false;
    response_end(r);
    return PUMP_ENDED;
}

void response_flush(struct request *r)
{
    for (struct body_filter *f = r->response.body_filters; f && r->response.next_piece == r->response.pieces.n; f = f->next)
        if (f->flush)
            f->flush(r, f);
}

void response_end(struct request *r)
{
    struct response *out = &r->response;

    if (out->next_piece < out->pieces.n) {
        out->ends_after_pieces = true;
        connection_flush(r->connection);
        return;
    }
    for (struct body_filter *f = out->body_filters; f && !out->is_header_only; f = f->next)
        if (f->end)
            f->end(r, f);
    if (out->is_chunked && !out->is_header_only) {
        static struct buf b;
        buf_consume(&b, buf_len(&b));
        if (out->has_trailers)
            headers_add_trailers(r);
        buf_addz(&b, "0\r\n");
        for (size_t i = 0; i < out->trailers.n; i++) {
            buf_adds(&b, out->trailers.items[i].name);
            buf_add(&b, ": ", 2);
            buf_adds(&b, out->trailers.items[i].value);
            buf_add(&b, "\r\n", 2);
        }
        buf_add(&b, "\r\n", 2);
        output_add(&r->connection->out, buf_str(&b));
    }
    connection_request_done(r);
}

void response_truncate(struct request *r)
{
    r->keeps_alive = false;
    r->is_truncated = true;
    connection_request_done(r);
}

void response_send_text(struct request *r, unsigned status, struct str type, struct str body)
{
    r->response.status = status;
    r->response.content_length = (long long)body.n;
    r->response.content_type = type;
    r->response.text = body;
    response_start(r, response_write_text);
}

void response_write_text(struct request *r)
{
    response_write(r, r->response.text);
    response_end(r);
}

void response_write_whole_file(struct request *r)
{
    response_write_file(r, r->response.file_fd, 0, r->response.file_bytes);
    response_end(r);
}

void response_abort(struct request *r)
{
    if (r->connection)
        connection_reset(r->connection);
}

static bool is_msie(const struct request *r)
{
    const struct str *agent = request_field(r, FIELD_USER_AGENT);

    return agent && str_find(*agent, STR("MSIE ")) >= 0 && str_find(*agent, STR("Opera")) < 0;
}

void response_send_special(struct request *r, unsigned status)
{
    make_page(r, status);
    response_start(r, response_write_text);
}

/* nginx's page for STATUS, as the response. */
static void make_page(struct request *r, unsigned status)
{
    static const char padding[] =
        "<!-- a padding to disable MSIE and Chrome friendly error page -->\r\n";
    struct response *out = &r->response;
    struct str words;
    struct buf b = {0};

    switch (status) {
    case 494: out->status = 400; break;
    case 495: case 496: case 497: out->status = 400; break;
    default: out->status = status;
    }
    words = status_words(out->status);
    if (status == 494)
        words = STR("400 Request Header Or Cookie Too Large");
    if (status == 204 || status < 300 || words.n == 0) {
        out->content_length = status == 204 ? -1 : 0;
        return;
    }
    if (status == 494)
        buf_addz(&b, "<html>\r\n<head><title>400 Request Header Or Cookie Too Large</title></head>\r\n<body>\r\n"
                     "<center><h1>400 Bad Request</h1></center>\r\n"
                     "<center>Request Header Or Cookie Too Large</center>\r\n");
    else
        buf_printf(&b, "<html>\r\n<head><title>%.*s</title></head>\r\n<body>\r\n<center><h1>%.*s</h1></center>\r\n",
                   STR_ARG(status == 302 ? STR("302 Found") : words), STR_ARG(status == 302 ? STR("302 Found") : words));
    buf_printf(&b, "<hr><center>%.*s</center>\r\n</body>\r\n</html>\r\n", STR_ARG(server_text(r)));
    if (is_msie(r) && CORE_LOC(r)->msie_padding.num && r->version >= 1000 && status >= 400)
        for (int i = 0; i < 6; i++)
            buf_addz(&b, padding);
    out->content_type = STR("text/html");
    out->content_length = (long long)buf_len(&b);
    out->last_modified = (time_t)-1;
    out->text = arena_str(r->arena, buf_str(&b));
    buf_free(&b);
}
