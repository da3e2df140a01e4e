/*
 * The one upstream machine: see upstream.h.
 */
#include "upstream/upstream.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "filters/response.h"
#include "http/connection.h"
#include "http/log.h"
#include "http/request_body.h"
#include "phases/engine.h"
#include "upstream/peers.h"

enum { READ_BYTES = 16384 };

static void upstream_event(struct io *io, unsigned ready);
static void upstream_timeout(struct timer *t);
static void connect_next(struct request *r);

static struct loop *loop_of(struct request *r)
{
    return r->connection->worker->loop;
}

static struct attempt *attempt_of(struct upstream *u)
{
    return &u->attempts.items[u->attempts.n - 1];
}

static void disconnect(struct request *r)
{
    struct upstream *u = r->upstream;

    timer_stop(loop_of(r), &u->timer);
    if (u->io.fd >= 0) {
        loop_watch(loop_of(r), &u->io, 0);
        close(u->io.fd);
        u->io.fd = -1;
    }
    output_clear(&u->out);
    buf_consume(&u->in, buf_len(&u->in));
}

void upstream_release(struct request *r)
{
    struct upstream *u = r->upstream;

    disconnect(r);
    buf_free(&u->in);
    if (u->attempts.n && attempt_of(u)->response_ms < 0)
        attempt_of(u)->response_ms = (long)(loop_now_ms(loop_of(r)) - attempt_of(u)->started_ms);
    u->state = UPSTREAM_FINISHED;
}

static void finish(struct request *r, unsigned status)
{
    upstream_release(r);
    if (status)
        request_fail(r, status);
    else
        response_end(r);
}

/* --- trying the next peer --- */

static bool may_try_next(struct request *r, unsigned why)
{
    struct upstream *u = r->upstream;
    bool is_idempotent = r->method != METHOD_POST && !str_eq(r->method_name, STR("LOCK")) && !str_eq(r->method_name, STR("PATCH"));
    bool was_sent = u->state > UPSTREAM_CONNECTING;

    if (!(u->settings.next_upstream & why) || (u->settings.next_upstream & NEXT_OFF))
        return false;
    if (was_sent && !is_idempotent && !(u->settings.next_upstream & NEXT_NON_IDEMPOTENT))
        return false;
    if (u->settings.next_timeout_ms && loop_now_ms(loop_of(r)) - u->started_ms >= u->settings.next_timeout_ms)
        return false;
    return u->tries_left > 1 && peers_has_untried(u);
}

static void fail_peer(struct request *r, unsigned why, unsigned status)
{
    struct upstream *u = r->upstream;

    attempt_of(u)->status = attempt_of(u)->status ? attempt_of(u)->status : status;
    attempt_of(u)->response_ms = (long)(loop_now_ms(loop_of(r)) - attempt_of(u)->started_ms);
    if (why != NEXT_403 && why != NEXT_404)
        peer_mark_failed(u->peer, loop_now_ms(loop_of(r)));
    if (r->response.is_header_sent) {
        upstream_release(r);
        response_abort(r);
        return;
    }
    if (may_try_next(r, why)) {
        u->tries_left--;
        disconnect(r);
        connect_next(r);
        return;
    }
    finish(r, status);
}

/* --- connecting and sending --- */

static void queue_request(struct request *r)
{
    struct upstream *u = r->upstream;
    struct request_body *b = r->body;

    output_add(&u->out, u->request_head);
    if (u->is_body_queued && b) {
        output_add_file(&u->out, b->fd, 0, b->file_bytes);
        output_add(&u->out, buf_str(&b->memory));
    }
}

static void send_request(struct request *r)
{
    struct upstream *u = r->upstream;
    enum output_result result = output_write(&u->out, u->io.fd, 0);

    if (result == OUTPUT_FAILED) {
        log_request(r, LOG_ERR_, errno, "writev() failed while sending request to upstream");
        fail_peer(r, NEXT_ERROR, 502);
        return;
    }
    if (result == OUTPUT_BLOCKED) {
        timer_start(loop_of(r), &u->timer, u->settings.send_timeout_ms);
        loop_watch(loop_of(r), &u->io, IO_READ | IO_WRITE);
        return;
    }
    if (u->state == UPSTREAM_SENDING_REQUEST) {
        u->state = UPSTREAM_READING_HEADER;
        r->phase = PHASE_UPSTREAM_RESPONSE_HEADER;
    }
    timer_start(loop_of(r), &u->timer, u->settings.read_timeout_ms);
    loop_watch(loop_of(r), &u->io, IO_READ);
}

static void connected(struct request *r)
{
    struct upstream *u = r->upstream;
    socklen_t bytes = sizeof(int);
    int err = 0, one = 1;

    if (getsockopt(u->io.fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0)
        err = errno;
    if (err) {
        log_request(r, LOG_ERR_, err, "connect() failed while connecting to upstream, upstream: \"http://%.*s\"",
                    STR_ARG(u->peer->address.text));
        fail_peer(r, NEXT_ERROR, 502);
        return;
    }
    if (u->peer->address.u.any.sa_family != AF_UNIX)
        setsockopt(u->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    attempt_of(u)->connect_ms = (long)(loop_now_ms(loop_of(r)) - attempt_of(u)->started_ms);
    u->state = UPSTREAM_SENDING_REQUEST;
    r->phase = PHASE_SEND;
    send_request(r);
}

static void connect_next(struct request *r)
{
    struct upstream *u = r->upstream;
    struct attempt *attempt;

    r->phase = PHASE_CHOOSE_UPSTREAM;
    u->peer = peers_choose(u, loop_now_ms(loop_of(r)));
    attempt = ARRAY_PUSH(&u->attempts, r->arena);
    *attempt = (struct attempt){.connect_ms = -1, .header_ms = -1, .response_ms = -1, .started_ms = loop_now_ms(loop_of(r))};
    if (!u->peer) {
        attempt->peer = u->group->name;
        attempt->status = 502;
        log_request(r, LOG_ERR_, 0, "no live upstreams while connecting to upstream");
        finish(r, 502);
        return;
    }
    attempt->peer = u->peer->address.text;
    u->status = (struct status_line){0};
    u->fields.n = 0;
    u->is_chunked = u->keeps_alive = false;
    u->rest_bytes = -1;
    u->chunked = (struct chunked){0};
    r->phase = PHASE_CONNECT;
    u->state = UPSTREAM_CONNECTING;
    queue_request(r);
    u->io = (struct io){.fd = socket(u->peer->address.u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                        .handler = upstream_event, .data = r};
    u->timer.handler = upstream_timeout;
    u->timer.data = r;
    if (u->io.fd < 0) {
        log_request(r, LOG_ALERT_, errno, "socket() failed");
        finish(r, 500);
        return;
    }
    if (connect(u->io.fd, &u->peer->address.u.any, u->peer->address.bytes) < 0 && errno != EINPROGRESS) {
        log_request(r, LOG_ERR_, errno, "connect() to %.*s failed while connecting to upstream",
                    STR_ARG(u->peer->address.text));
        fail_peer(r, NEXT_ERROR, 502);
        return;
    }
    timer_start(loop_of(r), &u->timer, u->settings.connect_timeout_ms);
    loop_watch(loop_of(r), &u->io, IO_WRITE);
}

void upstream_start(struct request *r)
{
    struct upstream *u = r->upstream;

    u->io.fd = -1;
    u->started_ms = loop_now_ms(loop_of(r));
    u->tries_left = u->settings.tries ? u->settings.tries : ~0u;
    connect_next(r);
}

/* --- the response --- */

static void end_of_body(struct request *r)
{
    struct upstream *u = r->upstream;

    peer_mark_alive(u->peer);
    finish(r, 0);
}

/* Passes on what was read of the body. False when the response is over, one way or another. */
static bool pass_body(struct request *r)
{
    struct upstream *u = r->upstream;
    struct str in = buf_str(&u->in), data;
    enum chunked_result result = CHUNKED_AGAIN;

    if (u->is_chunked) {
        while ((result = chunked_decode(&u->chunked, &in, &data)) == CHUNKED_DATA)
            response_write(r, data);
        buf_consume(&u->in, buf_len(&u->in) - in.n);
        if (result == CHUNKED_INVALID) {
            log_request(r, LOG_ERR_, 0, "upstream sent invalid chunked response");
            upstream_release(r);
            connection_flush(r->connection);
            response_abort(r);
            return false;
        }
        if (result == CHUNKED_DONE) {
            end_of_body(r);
            return false;
        }
        return true;
    }
    if (u->rest_bytes >= 0 && (long long)in.n > u->rest_bytes) {
        log_request(r, LOG_WARN_, 0, "upstream sent more data than specified in \"Content-Length\" header");
        in.n = (size_t)u->rest_bytes;
    }
    response_write(r, in);
    buf_consume(&u->in, buf_len(&u->in));
    if (u->rest_bytes >= 0) {
        u->rest_bytes -= (long long)in.n;
        if (u->rest_bytes == 0) {
            end_of_body(r);
            return false;
        }
    }
    return true;
}

static void watch_reading(struct request *r)
{
    struct upstream *u = r->upstream;
    size_t limit = u->settings.is_buffering ? u->settings.buffers_bytes : 1;
    bool is_full = r->connection->out.memory_bytes >= limit;

    if (is_full) {
        timer_stop(loop_of(r), &u->timer);
        loop_watch(loop_of(r), &u->io, 0);
    } else {
        timer_start(loop_of(r), &u->timer, u->settings.read_timeout_ms);
        loop_watch(loop_of(r), &u->io, u->out.first ? IO_READ | IO_WRITE : IO_READ);
    }
}

void upstream_client_drained(struct request *r)
{
    struct upstream *u = r->upstream;

    if (u->state == UPSTREAM_READING_BODY)
        watch_reading(r);
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

static bool read_header(struct request *r)
{
    struct upstream *u = r->upstream;
    int complete = u->codec->parse_header(r);
    unsigned bit;

    if (complete == 0) {
        if (buf_len(&u->in) < u->settings.buffer_size_bytes)
            return false;
        log_request(r, LOG_ERR_, 0, "upstream sent too big header while reading response header from upstream");
        fail_peer(r, NEXT_INVALID_HEADER, 502);
        return false;
    }
    if (complete < 0) {
        fail_peer(r, NEXT_INVALID_HEADER, 502);
        return false;
    }
    attempt_of(u)->status = u->status.code;
    attempt_of(u)->header_ms = (long)(loop_now_ms(loop_of(r)) - attempt_of(u)->started_ms);
    bit = next_bit(u->status.code);
    if (bit && may_try_next(r, bit)) {
        fail_peer(r, bit, u->status.code);
        return false;
    }
    u->codec->process_header(r);
    if (r->upstream != u || u->state == UPSTREAM_FINISHED)
        return false;
    u->state = UPSTREAM_READING_BODY;
    response_send_header(r);
    if (r->response.is_header_only) {
        end_of_body(r);
        return false;
    }
    if (!u->is_chunked && u->rest_bytes == 0) {
        end_of_body(r);
        return false;
    }
    return true;
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
        upstream_release(r);
        connection_flush(r->connection);
        response_abort(r);
        return;
    }
    log_request(r, LOG_ERR_, err, err ? "recv() failed while reading response header from upstream"
                                      : "upstream prematurely closed connection while reading response header from upstream");
    fail_peer(r, NEXT_ERROR, 502);
}

static void read_response(struct request *r)
{
    struct upstream *u = r->upstream;
    struct connection *c = r->connection;
    ssize_t n;

    n = recv(u->io.fd, buf_reserve(&u->in, READ_BYTES), READ_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        upstream_closed(r, n < 0 ? errno : 0);
        return;
    }
    u->in.end += (size_t)n;
    attempt_of(u)->bytes_received += (uint64_t)n;
    if (u->state < UPSTREAM_READING_BODY) {
        u->state = UPSTREAM_READING_HEADER;
        if (!read_header(r))
            return;
    }
    if (!pass_body(r))
        return;
    connection_flush(c);
    if (!c->is_closing && c->request == r && r->upstream == u && u->state == UPSTREAM_READING_BODY)
        watch_reading(r);
}

static void upstream_event(struct io *io, unsigned ready)
{
    struct request *r = io->data;
    struct upstream *u = r->upstream;

    if (u->state == UPSTREAM_CONNECTING) {
        connected(r);
        return;
    }
    if ((ready & IO_WRITE) && u->out.first) {
        send_request(r);
        if (r->upstream != u || u->io.fd < 0)
            return;
    }
    if (ready & IO_READ)
        read_response(r);
}

static void upstream_timeout(struct timer *t)
{
    struct request *r = t->data;
    struct upstream *u = r->upstream;
    static const char *const doing[] = {"connecting to upstream", "sending request to upstream",
                                        "reading response header from upstream", "reading upstream", ""};

    log_request(r, LOG_ERR_, ETIMEDOUT, "upstream timed out while %s", doing[u->state]);
    fail_peer(r, NEXT_TIMEOUT, 504);
}

bool upstream_client_gone(struct request *r)
{
    log_request(r, LOG_INFO_, 0, "client prematurely closed connection, so upstream connection is closed too");
    r->response.status = 499;
    connection_close(r->connection);
    return true;
}
