/*
 * Request bodies: see request_body.h. nginx: client_body_buffer_size, client_max_body_size, client_body_in_file_only.
 */
#include "http/request_body.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/connection.h"
#include "http/log.h"
#include "http/temp_file.h"
#include "trace/capture.h"

enum { READ_BYTES = 32768, STREAM_BYTES = 65536 };

static struct request_body *body_of(struct request *r)
{
    if (!r->body) {
        r->body = arena_zalloc(r->arena, sizeof *r->body);
        r->body->fd = -1;
        r->body->rest_bytes = r->content_length > 0 ? r->content_length : 0;
        r->body->is_complete = !r->is_chunked && r->content_length <= 0;
    }
    return r->body;
}

bool request_body_is_read(const struct request *r)
{
    return r->body ? r->body->is_complete : !r->is_chunked && r->content_length <= 0;
}

static int open_file(struct request *r, struct request_body *b)
{
    b->fd = temp_file_open(r->arena, CORE_LOC(r)->client_body_temp_path.ptr, &b->path);
    if (b->fd < 0) {
        log_request(r, LOG_CRIT_, errno, "open() \"%s\" failed", b->path.p);
        return -1;
    }
    if (CORE_LOC(r)->client_body_in_file_only.num != 1)
        unlink(b->path.p);
    return 0;
}

static int spill(struct request *r, struct request_body *b)
{
    if (b->fd < 0 && open_file(r, b) < 0)
        return -1;
    if (!temp_file_append(b->fd, buf_str(&b->memory), &b->file_bytes)) {
        log_request(r, LOG_CRIT_, errno, "pwrite() \"%.*s\" failed", STR_ARG(b->path));
        return -1;
    }
    buf_consume(&b->memory, buf_len(&b->memory));
    return 0;
}

/* Takes received bytes; what is behind the body goes back to the connection. Returns a status, 0 if all is well. */
static unsigned take(struct request *r, struct request_body *b, struct str in)
{
    long long limit = CORE_LOC(r)->client_max_body_size.num;
    struct str data;

    if (!r->is_chunked) {
        size_t n = (long long)in.n < b->rest_bytes ? in.n : (size_t)b->rest_bytes;
        if (!b->is_discarding) {
            buf_add(&b->memory, in.p, n);
            capture_add(r, CAPTURED_REQUEST, (struct str){in.p, n});
        }
        b->rest_bytes -= (long long)n;
        b->received_bytes += (long long)n;
        in = str_skip(in, n);
        b->is_complete = b->rest_bytes == 0;
    } else {
        enum chunked_result result;
        while ((result = chunked_decode(&b->chunked, &in, &data)) == CHUNKED_DATA) {
            b->received_bytes += (long long)data.n;
            if (!b->is_discarding) {
                if (limit && b->received_bytes > limit) {
                    log_request(r, LOG_ERR_, 0, "client intended to send too large chunked body: %lld bytes",
                                b->received_bytes);
                    return 413;
                }
                buf_add(&b->memory, data.p, data.n);
                capture_add(r, CAPTURED_REQUEST, data);
            }
        }
        if (result == CHUNKED_INVALID) {
            log_request(r, LOG_ERR_, 0, "client sent invalid chunked body");
            b->is_bad = true;
            return 400;
        }
        b->is_complete = result == CHUNKED_DONE;
    }
    if (in.n) { /* the next request */
        struct buf rest = {0};
        buf_adds(&rest, in);
        buf_adds(&rest, buf_str(&r->connection->unread));
        buf_free(&r->connection->unread);
        r->connection->unread = rest;
    }
    return 0;
}

static void finish(struct request *r, unsigned status)
{
    struct connection *c = r->connection;

    timer_stop(c->worker->loop, &c->timer);
    c->state = CONNECTION_PROCESSING;
    connection_watch(c);
    r->body->done(r, status);
}

/* One piece of the body is in: spills it, or complains. A status, 0 if all is well. */
static unsigned keep(struct request *r, struct request_body *b, struct str in)
{
    unsigned status;
    size_t before = buf_len(&b->memory);

    r->request_bytes += in.n;
    status = take(r, b, in);
    if (b->is_streaming && !status && buf_len(&b->kept) < (size_t)CORE_LOC(r)->client_body_buffer_size.num)
        buf_adds(&b->kept, str_skip(buf_str(&b->memory), before));
    if (!status && !b->is_streaming && buf_len(&b->memory) > (size_t)CORE_LOC(r)->client_body_buffer_size.num && spill(r, b) < 0)
        status = 500;
    return status;
}

static void wait_for_more(struct request *r)
{
    struct connection *c = r->connection;

    c->state = CONNECTION_READING_BODY;
    timer_start(c->worker->loop, &c->timer, (uint64_t)CORE_LOC(r)->client_body_timeout.num);
    connection_watch(c);
}

/* Hands on what a streamed body has, and goes on waiting if there is room. */
static void hand_on(struct request *r, unsigned status)
{
    struct connection *c = r->connection;
    struct request_body *b = r->body;

    finish(r, status);
    if (status || c->is_closing || c->request != r || r->is_finished || b->is_discarding)
        return;
    if (!b->is_complete && buf_len(&b->memory) < STREAM_BYTES)
        wait_for_more(r);
}

static void read_on(struct request *r)
{
    struct request_body *b = r->body;
    struct connection *c = r->connection;
    char buf[READ_BYTES];
    unsigned status = 0;

    while (!b->is_complete && !status && !(b->is_streaming && buf_len(&b->memory) >= STREAM_BYTES)) {
        ssize_t n = connection_read(c, buf, sizeof buf);
        if (n < 0 && errno == EAGAIN) {
            if (b->is_streaming)
                break;
            wait_for_more(r);
            return;
        }
        if (n <= 0) {
            log_request(r, LOG_INFO_, n < 0 ? errno : 0, "client prematurely closed connection");
            if (!r->response.is_header_sent)
                r->response.status = b->is_streaming ? 499 : 400;
            connection_close(c);
            return;
        }
        status = keep(r, b, (struct str){buf, (size_t)n});
    }
    if (b->is_streaming) {
        hand_on(r, status);
        return;
    }
    if (!status && (CORE_LOC(r)->client_body_in_file_only.num || b->fd >= 0) && b->received_bytes && spill(r, b) < 0)
        status = 500;
    finish(r, status);
}

static void say_continue(struct request *r)
{
    if (!r->expects_continue)
        return;
    r->expects_continue = false;
    output_add(&r->connection->out, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    connection_flush(r->connection);
    r->connection->out.written_bytes = 0;
}

unsigned request_body_ignore(struct request *r)
{
    if (r->is_dry_run || r->body)
        return 0;
    body_of(r);
    say_continue(r);
    return request_body_discard(r) == REQUEST_BODY_BAD ? 400 : 0;
}

void request_body_read(struct request *r, void (*done)(struct request *r, unsigned status))
{
    struct request_body *b = body_of(r);

    b->done = done;
    say_continue(r);
    if (b->is_complete) {
        done(r, 0);
        return;
    }
    read_on(r);
}

void request_body_stream(struct request *r, void (*done)(struct request *r, unsigned status))
{
    struct request_body *b = body_of(r);

    b->done = done;
    b->is_streaming = true;
    say_continue(r);
    if (b->is_complete) {
        done(r, 0);
        return;
    }
    read_on(r);
}

void request_body_more(struct request *r)
{
    if (!r->body->is_complete && r->connection->state != CONNECTION_READING_BODY)
        wait_for_more(r);
}

enum request_body_result request_body_discard(struct request *r)
{
    struct request_body *b = body_of(r);
    struct connection *c = r->connection;
    char buf[READ_BYTES];

    b->is_discarding = true;
    while (!b->is_complete) {
        ssize_t n = connection_read(c, buf, sizeof buf);
        if (n <= 0)
            return REQUEST_BODY_AGAIN;
        if (take(r, b, (struct str){buf, (size_t)n})) {
            r->keeps_alive = false;
            return REQUEST_BODY_BAD;
        }
    }
    return REQUEST_BODY_READ;
}

void request_body_event(struct request *r)
{
    read_on(r);
}

void request_body_timed_out(struct request *r)
{
    log_request(r, LOG_INFO_, ETIMEDOUT, "client timed out");
    finish(r, 408);
}

void request_body_release(struct request *r)
{
    if (!r->body)
        return;
    buf_free(&r->body->memory);
    buf_free(&r->body->kept);
    if (r->body->fd >= 0)
        close(r->body->fd);
    r->body->fd = -1;
}
