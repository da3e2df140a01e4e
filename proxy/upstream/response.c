/*
 * Reading what the upstream answers: the header, then the body, which is passed on as it arrives.
 *
 * While the client takes it more slowly, it waits in memory, then (with buffering) in a temporary file, and when that is
 * full too the upstream is not read: back-pressure. See proxy_buffering, proxy_buffers, proxy_max_temp_file_size,
 * proxy_limit_rate.
 */
#include "upstream/exchange.h"

#include <errno.h>
#include <unistd.h>

#include "filters/response.h"
#include "http/connection.h"
#include "http/log.h"
#include "http/temp_file.h"
#include "phases/engine.h"
#include "upstream/pool.h"

static void end_of_body(struct request *r)
{
    struct upstream *u = r->upstream;

    upstream_end_attempt(r);
    if (u->keeps_alive && !u->closes && u->is_body_sent && !u->out.first && buf_len(&u->in) == 0 && u->io.fd >= 0) {
        int fd = u->io.fd;
        struct address address = u->peer->address;
        loop_watch(upstream_loop(r), &u->io, 0);
        u->io.fd = -1;
        pool_put(upstream_loop(r), r->conf, u->group, &address,
                 (struct peer_connection){fd, u->connection_requests, u->connection_opened_ms, u->is_drained});
    }
    upstream_release(r);
    response_end(r);
}

static void close_temp(void *data)
{
    close((int)(long)data);
}

static bool save_to_file(struct request *r, struct str s)
{
    struct upstream *u = r->upstream;
    long long start = u->temp_bytes;

    if (u->temp_fd <= 0) {
        struct str path;
        u->temp_fd = temp_file_open(r->arena, u->settings.temp_place, &path);
        if (u->temp_fd < 0) {
            log_request(r, LOG_CRIT_, errno, "open() \"%s\" failed", path.p);
            return false;
        }
        unlink(path.p);
        arena_on_free(r->arena, close_temp, (void *)(long)u->temp_fd);
        log_request(r, LOG_WARN_, 0, "an upstream response is buffered to a temporary file %.*s while reading upstream", STR_ARG(path));
    }
    if (!temp_file_append(u->temp_fd, s, &u->temp_bytes)) {
        log_request(r, LOG_CRIT_, errno, "pwrite() to a temporary file failed");
        return false;
    }
    response_write_file(r, u->temp_fd, start, (off_t)s.n);
    return true;
}

static bool deliver(struct request *r, struct str s)
{
    struct upstream *u = r->upstream;

    upstream_attempt(r)->response_bytes += s.n;
    if (r->response.is_header_only)
        return true;
    if (u->settings.is_buffering && u->settings.max_temp_bytes && !r->response.body_filters && r->connection->out.memory_bytes >= u->settings.buffers_bytes
        && u->temp_bytes + (long long)s.n <= u->settings.max_temp_bytes)
        return save_to_file(r, s);
    response_write(r, s);
    if (!u->settings.is_buffering)
        response_flush(r);
    return true;
}

void upstream_break_off(struct request *r)
{
    upstream_release(r);
    response_truncate(r);
}

/* Passes on what was read of the body. False when the response is over, one way or another. */
static bool pass_body(struct request *r)
{
    struct upstream *u = r->upstream;
    struct str in = buf_str(&u->in), data;
    enum chunked_result result = CHUNKED_AGAIN;

    if (u->is_chunked) {
        while ((result = chunked_decode(&u->chunked, &in, &data)) == CHUNKED_DATA)
            if (!deliver(r, data)) {
                upstream_break_off(r);
                return false;
            }
        buf_consume(&u->in, buf_len(&u->in) - in.n);
        if (result == CHUNKED_INVALID) {
            log_request(r, LOG_ERR_, 0, "upstream sent invalid chunked response while reading upstream");
            upstream_break_off(r);
            return false;
        }
        if (result != CHUNKED_DONE)
            return true;
        u->keeps_alive = true;
        if (buf_len(&u->in)) {
            log_request(r, LOG_WARN_, 0, "upstream sent data after final chunk while reading upstream");
            u->closes = true;
        }
        end_of_body(r);
        return false;
    }
    if (u->rest_bytes >= 0 && (long long)in.n > u->rest_bytes) {
        log_request(r, LOG_WARN_, 0, "upstream sent more data than specified in \"Content-Length\" header while reading upstream");
        in.n = (size_t)u->rest_bytes;
        u->closes = true;
    }
    if (!deliver(r, in)) {
        upstream_break_off(r);
        return false;
    }
    buf_consume(&u->in, buf_len(&u->in));
    if (u->rest_bytes < 0)
        return true;
    u->rest_bytes -= (long long)in.n;
    if (u->rest_bytes > 0)
        return true;
    u->keeps_alive = true;
    end_of_body(r);
    return false;
}

static bool has_room(struct request *r)
{
    struct upstream *u = r->upstream;
    const struct output *out = &r->connection->out;

    if (!u->settings.is_buffering)
        return out->memory_bytes == 0;
    return out->memory_bytes < u->settings.buffers_bytes
           || (u->settings.max_temp_bytes && !r->response.body_filters && u->temp_bytes + READ_BYTES <= u->settings.max_temp_bytes);
}

/* How many bytes proxy_limit_rate lets through now; 0 sets a timer for later. */
static size_t rate_room(struct request *r)
{
    struct upstream *u = r->upstream;
    long long room;

    if (!u->settings.limit_rate)
        return READ_BYTES;
    room = (long long)u->settings.limit_rate * (long long)((upstream_now_ms(r) - u->reading_since_ms) / 1000 + 1) - (long long)u->read_bytes;
    if (room > 0)
        return room < READ_BYTES ? (size_t)room : READ_BYTES;
    u->is_delayed = true;
    timer_start(upstream_loop(r), &u->timer, (uint64_t)(-room * 1000 / (long long)u->settings.limit_rate + 1));
    return 0;
}

void upstream_watch_reading(struct request *r)
{
    struct upstream *u = r->upstream;
    unsigned writing = u->out.first ? IO_WRITE : 0;

    u->is_delayed = false;
    if (!has_room(r)) {
        timer_stop(upstream_loop(r), &u->timer);
        loop_watch(upstream_loop(r), &u->io, writing);
    } else if (rate_room(r) == 0) {
        loop_watch(upstream_loop(r), &u->io, writing);
    } else {
        timer_start(upstream_loop(r), &u->timer, u->settings.read_timeout_ms);
        loop_watch(upstream_loop(r), &u->io, IO_READ | writing);
    }
}

static unsigned next_bit(unsigned status)
{
    switch (status) {
    case 500: return NEXT_500;
    case 502: return NEXT_502;
    case 503: return NEXT_503;
    case 504: return NEXT_504;
    case 403: return NEXT_403;
    case 404: return NEXT_404;
    case 429: return NEXT_429;
    }
    return 0;
}

/* 304, 204, and answers to HEAD have no body: the connection can be kept whatever follows. */
static bool has_no_body(const struct request *r)
{
    const struct upstream *u = r->upstream;

    return u->status.code == 204 || u->status.code == 304 || u->is_head || (!u->is_chunked && u->rest_bytes == 0);
}

static void header_arrived(struct request *r);

static void read_header(struct request *r)
{
    struct upstream *u = r->upstream;
    unsigned bit;

    switch (u->codec->parse_header(r)) {
    case HEADER_AGAIN:
        if (buf_len(&u->in) < u->settings.buffer_size_bytes)
            return;
        log_request(r, LOG_ERR_, 0, "upstream sent too big header while reading response header from upstream");
        upstream_fail_attempt(r, NEXT_INVALID_HEADER, 502, FAILURE_HEADER_TOO_BIG, "its response header is larger than proxy_buffer_size");
        return;
    case HEADER_INVALID: upstream_fail_attempt(r, NEXT_INVALID_HEADER, 502, FAILURE_HEADER_INVALID, "its response header is invalid"); return;
    case HEADER_COMPLETE: break;
    }
    upstream_attempt(r)->status = u->status.code;
    upstream_attempt(r)->header_ms = (long)(upstream_now_ms(r) - upstream_attempt(r)->started_ms);
    bit = next_bit(u->status.code);
    if (bit && u->tries_left > 1 && upstream_may_try_next(r, bit)) {
        upstream_fail_attempt(r, bit, u->status.code, FAILURE_STATUS, "proxy_next_upstream asks the next server for this status");
        return;
    }
    if (has_no_body(r)) {
        u->rest_bytes = 0;
        u->is_chunked = false;
        u->keeps_alive = true;
    }
    if (r->phase < PHASE_UPSTREAM_RESPONSE_HEADER)
        request_note_phase(r, PHASE_UPSTREAM_RESPONSE_HEADER);
    request_pause(r, header_arrived);
}

/* Passes on what there is of the body, and waits for more. */
static void go_on_reading(struct request *r)
{
    struct upstream *u = r->upstream;
    struct connection *c = r->connection;

    if (u->state == UPSTREAM_READING_BODY && !pass_body(r))
        return;
    connection_flush(c);
    if (c->is_closing || c->request != r || r->upstream != u)
        return;
    if (u->state == UPSTREAM_READING_BODY)
        upstream_watch_reading(r);
    else if (u->state == UPSTREAM_TUNNEL)
        upstream_client_event(r);
}

/* The header is on its way to the client; what follows is the body. */
static void start_body(struct request *r)
{
    struct upstream *u = r->upstream;
    struct connection *c = r->connection;

    if (u->is_upgraded && u->status.code == 101) {
        u->state = UPSTREAM_TUNNEL;
        r->keeps_alive = false;
        c->state = CONNECTION_TUNNEL;
        timer_stop(upstream_loop(r), &c->timer);
        output_add(&u->out, buf_str(&c->unread));
        buf_consume(&c->unread, buf_len(&c->unread));
        output_add(&c->out, buf_str(&u->in));
        buf_consume(&u->in, buf_len(&u->in));
    } else if (!u->is_chunked && u->rest_bytes == 0) {
        if (buf_len(&u->in)) {
            log_request(r, LOG_WARN_, 0, "upstream sent more data than specified in \"Content-Length\" header while reading response header from upstream");
            u->closes = true;
        }
        end_of_body(r);
        return;
    }
    go_on_reading(r);
}

static void header_arrived(struct request *r)
{
    struct upstream *u = r->upstream;

    u->codec->process_header(r);
    if (r->upstream != u || u->state == UPSTREAM_FINISHED)
        return;
    u->state = UPSTREAM_READING_BODY;
    u->reading_since_ms = upstream_now_ms(r);
    response_start(r, start_body);
}

static void nothing_more(struct request *r)
{
    (void)r;
}

void upstream_pretend_answer(struct request *r, struct str head)
{
    struct upstream *u = r->upstream;

    buf_adds(&u->in, head);
    u->state = UPSTREAM_READING_HEADER;
    u->rest_bytes = -1;
    if (u->codec->parse_header(r) != HEADER_COMPLETE)
        return;
    if (has_no_body(r))
        u->rest_bytes = 0;
    request_note_phase(r, PHASE_UPSTREAM_RESPONSE_HEADER);
    u->codec->process_header(r);
    if (r->upstream == u && u->state != UPSTREAM_FINISHED)
        response_start(r, nothing_more);
}

static void upstream_closed(struct request *r, int err)
{
    struct upstream *u = r->upstream;

    if (u->state == UPSTREAM_READING_BODY) {
        if (!err && !u->is_chunked && u->rest_bytes < 0) {
            end_of_body(r);
            return;
        }
        log_request(r, LOG_ERR_, err, err ? "recv() failed while reading upstream" : "upstream prematurely closed connection while reading upstream");
        upstream_attempt(r)->failure = err ? FAILURE_RESET : FAILURE_CLOSED;
        upstream_attempt(r)->why = arena_printf(r->arena, "%.*s; it closed the connection before the body was complete", STR_ARG(upstream_attempt(r)->why));
        upstream_break_off(r);
        return;
    }
    log_request(r, LOG_ERR_, err, err ? "recv() failed while reading response header from upstream"
                                      : "upstream prematurely closed connection while reading response header from upstream");
    upstream_fail_attempt(r, NEXT_ERROR, 502, err ? FAILURE_RESET : FAILURE_CLOSED, err ? "it reset the connection" : "it closed the connection without an answer");
}

void upstream_read_response(struct request *r)
{
    struct upstream *u = r->upstream;
    size_t room = u->state == UPSTREAM_READING_BODY ? rate_room(r) : READ_BYTES;
    ssize_t n;

    if (room == 0) {
        loop_watch(upstream_loop(r), &u->io, u->out.first ? IO_WRITE : 0);
        return;
    }
    if (u->state < UPSTREAM_READING_BODY && room > u->settings.buffer_size_bytes - buf_len(&u->in))
        room = u->settings.buffer_size_bytes - buf_len(&u->in);
    n = recv(u->io.fd, buf_reserve(&u->in, room), room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        upstream_closed(r, n < 0 ? errno : 0);
        return;
    }
    u->is_drained = (size_t)n < room;
    u->in.end += (size_t)n;
    upstream_attempt(r)->bytes_received += (uint64_t)n;
    if (u->state < UPSTREAM_READING_BODY) {
        u->state = UPSTREAM_READING_HEADER;
        read_header(r);
        return;
    }
    u->read_bytes += (uint64_t)n;
    go_on_reading(r);
}
