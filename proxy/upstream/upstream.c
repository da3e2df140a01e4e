/*
 * The one upstream machine: choosing a peer, connecting, sending, trying the next; events and time-outs. See upstream.h.
 */
#include "upstream/exchange.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filters/response.h"
#include "http/connection.h"
#include "http/log.h"
#include "http/request_body.h"
#include "phases/engine.h"
#include "trace/hold.h"
#include "upstream/peers.h"
#include "upstream/pool.h"
#include "upstream/resolver.h"

static void upstream_event(struct io *io, unsigned ready);
static void upstream_timeout(struct timer *t);
static void connect_next(struct request *r);
static void connect_peer(struct request *r);

void upstream_end_attempt(struct request *r)
{
    if (r->attempts->all.n && upstream_attempt(r)->response_ms < 0)
        upstream_attempt(r)->response_ms = (long)(upstream_now_ms(r) - upstream_attempt(r)->started_ms);
}

static void disconnect(struct request *r)
{
    struct upstream *u = r->upstream;

    timer_stop(upstream_loop(r), &u->timer);
    if (u->io.fd >= 0) {
        loop_watch(upstream_loop(r), &u->io, 0);
        close(u->io.fd);
        u->io.fd = -1;
    }
    output_clear(&u->out);
    buf_consume(&u->in, buf_len(&u->in));
}

void upstream_release(struct request *r)
{
    struct upstream *u = r->upstream;

    if (u->state == UPSTREAM_FINISHED)
        return;
    if (u->query)
        resolver_cancel(u->query);
    disconnect(r);
    buf_free(&u->in);
    if (r->attempts && u->state > UPSTREAM_STARTING)
        upstream_end_attempt(r);
    peer_free(r, PEER_ANSWERED, upstream_now_ms(r));
    u->state = UPSTREAM_FINISHED;
}

void upstream_fail(struct request *r, unsigned status)
{
    upstream_release(r);
    if (r->response.is_header_sent)
        response_truncate(r);
    else
        request_fail(r, status);
}

/* --- trying the next peer --- */

bool upstream_may_try_next(struct request *r, unsigned why)
{
    struct upstream *u = r->upstream;
    bool is_idempotent = r->method != METHOD_POST && !str_eq(r->method_name, STR("LOCK")) && !str_eq(r->method_name, STR("PATCH"));

    if (u->was_sent && !is_idempotent)
        why |= NEXT_NON_IDEMPOTENT;
    if ((u->settings.next_upstream & why) != why || (u->settings.next_upstream & NEXT_OFF))
        return false;
    if (u->was_sent && u->is_streaming)
        return false;
    return !u->settings.next_timeout_ms || upstream_now_ms(r) - u->started_ms < u->settings.next_timeout_ms;
}

void upstream_fail_attempt(struct request *r, unsigned why, unsigned status, enum attempt_failure failure, const char *words)
{
    struct upstream *u = r->upstream;
    bool was_reused = u->is_reused;

    upstream_attempt(r)->status = status;
    upstream_attempt(r)->failure = failure;
    upstream_attempt(r)->why = arena_printf(r->arena, "%.*s; %s", STR_ARG(upstream_attempt(r)->why), words);
    upstream_end_attempt(r);
    peer_free(r, why == NEXT_403 || why == NEXT_404 ? PEER_ANSWERED : PEER_FAILED, upstream_now_ms(r));
    if (was_reused && why == NEXT_ERROR)
        u->tries_left++;
    if (u->tries_left == 0 || !upstream_may_try_next(r, why)) {
        upstream_fail(r, status);
        return;
    }
    disconnect(r);
    connect_next(r);
}

/* --- connecting and sending --- */

static void queue_request(struct request *r)
{
    struct upstream *u = r->upstream;
    struct request_body *b = r->body;

    output_add(&u->out, u->request_head);
    output_add(&u->out, u->body);
    u->is_body_sent = !u->is_streaming;
    if (u->passes_body && !u->is_streaming && b) {
        output_add_file(&u->out, b->fd, 0, b->file_bytes);
        output_add(&u->out, buf_str(&b->memory));
    }
}

void upstream_write_request(struct request *r)
{
    struct upstream *u = r->upstream;
    struct buf b = {0};

    u->codec->write_request(r, &b);
    u->request_head = arena_str(r->arena, buf_str(&b));
    buf_free(&b);
    if (u->state >= UPSTREAM_SENDING_REQUEST) { /* held before the first byte was sent */
        output_clear(&u->out);
        queue_request(r);
    }
}

void upstream_replace_body(struct request *r, struct str body)
{
    struct upstream *u = r->upstream;
    struct origin origin = {ORIGIN_EDIT, NULL, "the length of the edited body"};
    struct field *length = field_find_id(&u->request_fields, FIELD_CONTENT_LENGTH);
    struct str text = arena_printf(r->arena, "%zu", body.n);

    u->body = body;
    u->passes_body = u->is_rechunked = false;
    for (size_t i = 0; i < u->request_fields.n; i++)
        if (u->request_fields.items[i].id == FIELD_TRANSFER_ENCODING)
            u->request_fields.items[i].is_removed = true;
    if (length) {
        length->value = text;
        length->origin = origin;
    } else {
        field_add(&u->request_fields, r->arena, STR("Content-Length"), text, origin);
    }
}

static struct peer *find_peer(struct request *r, struct str text)
{
    struct upstream_group *g = r->upstream->group;
    address_array found = {0};
    struct peer *p;

    for (size_t i = 0; g && i < g->peers.n; i++)
        if (str_eq(g->peers.items[i].address.text, text))
            return &g->peers.items[i];
    if (address_parse(r->arena, text, 80, &found) || found.n == 0)
        return NULL;
    g = r->upstream->group = arena_zalloc(r->arena, sizeof *g);
    g->name = text;
    p = ARRAY_PUSH(&g->peers, r->arena);
    *p = (struct peer){.address = found.items[0], .name = text, .weight = 1, .effective_weight = 1};
    return p;
}

const char *upstream_force_peer(struct request *r, struct str address)
{
    struct upstream *u = r->upstream;
    struct peer *p = find_peer(r, address), *before = u->peer;

    if (!p)
        return "\"upstream\" is no address";
    if (!before) {
        u->forced_peer = p;
        return NULL;
    }
    before->conns--;
    p->conns++;
    u->peer = p;
    upstream_attempt(r)->peer = p->address.text;
    upstream_attempt(r)->directive = p->directive;
    upstream_attempt(r)->why = STR("a person chose it");
    return NULL;
}

/* Moves what came of a streamed body into the queue. */
static void queue_streamed(struct request *r)
{
    struct upstream *u = r->upstream;
    struct buf *memory = &r->body->memory;

    if (buf_len(memory)) {
        if (u->is_rechunked) {
            char size[24];
            int n = snprintf(size, sizeof size, "%zx\r\n", buf_len(memory));
            output_add(&u->out, (struct str){size, (size_t)n});
        }
        output_add(&u->out, buf_str(memory));
        if (u->is_rechunked)
            output_add(&u->out, STR("\r\n"));
        buf_consume(memory, buf_len(memory));
    }
    if (r->body->is_complete && !u->is_body_sent) {
        u->is_body_sent = true;
        if (u->is_rechunked)
            output_add(&u->out, STR("0\r\n\r\n"));
    }
}

static void send_request(struct request *r)
{
    struct upstream *u = r->upstream;
    unsigned long long before = u->out.written_bytes;
    enum output_result result;

    if (u->is_streaming && u->out.memory_bytes < READ_BYTES)
        queue_streamed(r);
    u->was_sent = true;
    result = output_write(&u->out, u->io.fd, 0);
    upstream_attempt(r)->bytes_sent += u->out.written_bytes - before;
    if (result == OUTPUT_FAILED) {
        if (u->state >= UPSTREAM_READING_HEADER) { /* what it says may still explain why it does not listen */
            output_clear(&u->out);
            u->is_body_sent = false;
            u->closes = true;
            loop_watch(upstream_loop(r), &u->io, IO_READ);
            return;
        }
        log_request(r, LOG_ERR_, errno, "writev() failed while sending request to upstream");
        upstream_fail_attempt(r, NEXT_ERROR, 502, FAILURE_CLOSED, "it closed the connection while the request was sent");
        return;
    }
    if (u->state < UPSTREAM_READING_HEADER && (result == OUTPUT_BLOCKED || !u->is_body_sent)) {
        u->state = UPSTREAM_SENDING_REQUEST;
    } else if (u->state < UPSTREAM_READING_HEADER) {
        u->state = UPSTREAM_READING_HEADER;
        request_note_phase(r, PHASE_UPSTREAM_RESPONSE_HEADER);
    }
    if (u->state < UPSTREAM_READING_BODY) {
        if (result == OUTPUT_BLOCKED)
            timer_start(upstream_loop(r), &u->timer, u->settings.send_timeout_ms);
        else if (u->is_body_sent)
            timer_start(upstream_loop(r), &u->timer, u->settings.read_timeout_ms);
        else
            timer_stop(upstream_loop(r), &u->timer); /* the client's time-out runs */
    }
    loop_watch(upstream_loop(r), &u->io, result == OUTPUT_BLOCKED ? IO_READ | IO_WRITE : IO_READ);
    if (result == OUTPUT_EMPTY && !u->is_body_sent)
        request_body_more(r);
}

void upstream_body_ready(struct request *r)
{
    struct upstream *u = r->upstream;

    if (!r->hold && u->state >= UPSTREAM_SENDING_REQUEST && u->state < UPSTREAM_TUNNEL && u->io.fd >= 0 && !u->out.first)
        send_request(r);
}

static void connected(struct request *r)
{
    struct upstream *u = r->upstream;
    socklen_t bytes = sizeof(int);
    int err = 0, one = 1;

    if (getsockopt(u->io.fd, SOL_SOCKET, SO_ERROR, &err, &bytes) < 0)
        err = errno;
    if (err) {
        log_request(r, LOG_ERR_, err, "connect() failed while connecting to upstream, upstream: \"%.*s%.*s\"",
                    STR_ARG(u->scheme), STR_ARG(u->peer->address.text));
        upstream_fail_attempt(r, NEXT_ERROR, 502, err == ECONNREFUSED ? FAILURE_REFUSED : FAILURE_UNREACHABLE, err == ECONNREFUSED ? "connection refused" : strerror(err));
        return;
    }
    if (u->peer->address.u.any.sa_family != AF_UNIX)
        setsockopt(u->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    upstream_attempt(r)->connect_ms = (long)(upstream_now_ms(r) - upstream_attempt(r)->started_ms);
    u->state = UPSTREAM_SENDING_REQUEST;
    request_enter_phase(r, PHASE_SEND, send_request);
}

static int open_socket(struct request *r)
{
    struct upstream *u = r->upstream;
    const struct address *bind_to = u->settings.bind;
    int one = 1, fd = socket(u->peer->address.u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        log_request(r, LOG_ALERT_, errno, "socket() failed");
        return -1;
    }
    if (u->settings.has_socket_keepalive)
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one);
    if (bind_to && bind_to->u.any.sa_family == u->peer->address.u.any.sa_family) {
        if (u->settings.is_transparent && setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &one, sizeof one) < 0)
            log_request(r, LOG_ALERT_, errno, "setsockopt(IP_TRANSPARENT) failed");
        if (!address_port(&bind_to->u.any))
            setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(fd, &bind_to->u.any, bind_to->bytes) < 0) {
            log_request(r, LOG_CRIT_, errno, "bind(%.*s) failed", STR_ARG(bind_to->text));
            close(fd);
            return -1;
        }
    }
    return fd;
}

static void connect_next(struct request *r)
{
    struct upstream *u = r->upstream;
    struct attempt *attempt;
    struct str why = STR("");

    u->peer = peers_choose(r, upstream_now_ms(r), &why);
    attempt = ARRAY_PUSH(&r->attempts->all, r->arena);
    *attempt = (struct attempt){.connect_ms = -1, .header_ms = -1, .response_ms = -1, .started_ms = upstream_now_ms(r), .why = why};
    if (!u->peer) {
        attempt->peer = u->group->name;
        attempt->why = STR("no server of the group is left");
        attempt->status = 502;
        attempt->failure = FAILURE_NO_PEER;
        log_request(r, LOG_ERR_, 0, "no live upstreams while connecting to upstream");
        upstream_fail(r, 502);
        return;
    }
    attempt->peer = u->peer->address.text;
    attempt->directive = u->peer->directive;
    u->status = (struct status_line){0};
    u->fields.n = 0;
    u->is_chunked = u->keeps_alive = u->closes = u->was_sent = u->is_reused = false;
    u->rest_bytes = -1;
    u->chunked = (struct chunked){0};
    u->state = UPSTREAM_CONNECTING;
    request_enter_phase(r, PHASE_CONNECT, connect_peer);
}

static void connect_peer(struct request *r)
{
    struct upstream *u = r->upstream;
    struct peer_connection kept;

    queue_request(r);
    u->timer.handler = upstream_timeout;
    u->timer.data = r;
    if (pool_take(u->group, &u->peer->address, &kept)) {
        u->io = (struct io){.fd = kept.fd, .handler = upstream_event, .data = r};
        u->connection_requests = kept.requests;
        u->connection_opened_ms = kept.opened_ms;
        u->is_reused = upstream_attempt(r)->is_reused = true;
        upstream_attempt(r)->connect_ms = 0;
        u->state = UPSTREAM_SENDING_REQUEST;
        request_enter_phase(r, PHASE_SEND, send_request);
        return;
    }
    u->io = (struct io){.fd = open_socket(r), .handler = upstream_event, .data = r};
    u->connection_requests = 0;
    u->connection_opened_ms = upstream_now_ms(r);
    if (u->io.fd < 0) {
        upstream_fail(r, 500);
        return;
    }
    if (connect(u->io.fd, &u->peer->address.u.any, u->peer->address.bytes) < 0 && errno != EINPROGRESS) {
        int err = errno;
        log_request(r, err == ENOENT || err == ECONNREFUSED ? LOG_ERR_ : LOG_CRIT_, err,
                    "connect() to %.*s failed while connecting to upstream", STR_ARG(u->peer->address.text));
        upstream_fail_attempt(r, NEXT_ERROR, 502, err == ECONNREFUSED || err == ENOENT ? FAILURE_REFUSED : FAILURE_UNREACHABLE, strerror(err));
        return;
    }
    timer_start(upstream_loop(r), &u->timer, u->settings.connect_timeout_ms);
    loop_watch(upstream_loop(r), &u->io, IO_WRITE);
}

void upstream_start(struct request *r)
{
    struct upstream *u = r->upstream;

    u->io.fd = -1;
    u->started_ms = upstream_now_ms(r);
    u->tries_left = peers_tries(u->group);
    if (u->settings.tries && u->tries_left > u->settings.tries)
        u->tries_left = u->settings.tries;
    if (!r->attempts)
        r->attempts = arena_zalloc(r->arena, sizeof *r->attempts);
    else if (r->attempts->all.n)
        (void)ARRAY_PUSH(&r->attempts->all, r->arena);
    connect_next(r);
}

/* --- events --- */

void upstream_client_drained(struct request *r)
{
    struct upstream *u = r->upstream;

    if (r->hold)
        return;
    if (u->state == UPSTREAM_READING_BODY && u->io.fd >= 0)
        upstream_watch_reading(r);
    else if (u->state == UPSTREAM_TUNNEL)
        upstream_watch_tunnel(r);
}

void upstream_park(struct request *r)
{
    struct upstream *u = r->upstream;

    timer_stop(upstream_loop(r), &u->timer);
    if (u->io.fd >= 0) /* only to notice when it closes */
        loop_watch(upstream_loop(r), &u->io, u->state >= UPSTREAM_SENDING_REQUEST ? IO_READ : 0);
}

/* Something came from an upstream whose request is held. */
static void peek_parked(struct request *r)
{
    char c;
    ssize_t n = recv(r->upstream->io.fd, &c, 1, MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    loop_watch(upstream_loop(r), &r->upstream->io, 0);
    if (n <= 0)
        hold_note(r, HOLD_UPSTREAM_GONE);
}

struct ready_upstream {
    struct request *r;
    unsigned ready;
};

static void handle_event(void *data)
{
    struct ready_upstream *e = data;
    struct request *r = e->r;
    struct connection *c = r->connection;
    struct upstream *u = r->upstream;

    if (r->hold) {
        peek_parked(r);
        return;
    }
    if (u->state == UPSTREAM_CONNECTING) {
        connected(r);
        return;
    }
    if (u->state == UPSTREAM_TUNNEL) {
        upstream_tunnel_event(r, e->ready);
        return;
    }
    if ((e->ready & IO_WRITE) && u->out.first) {
        send_request(r);
        if (c->is_closing || c->request != r || r->upstream != u || u->io.fd < 0)
            return;
    }
    if (e->ready & IO_READ)
        upstream_read_response(r);
}

static void upstream_event(struct io *io, unsigned ready)
{
    struct ready_upstream e = {io->data, ready};
    struct connection *c = e.r->connection;

    if (!loop_guard(handle_event, &e))
        connection_close(c);
}

static void upstream_timeout(struct timer *t)
{
    struct request *r = t->data;
    struct upstream *u = r->upstream;
    static const char *const doing[] = {"", "connecting to upstream", "sending request to upstream",
                                        "reading response header from upstream", "reading upstream", "proxying upgraded connection", ""};
    static const char *const words[] = {"", "it did not accept the connection in time", "it did not take the request in time",
                                        "it did not answer in time", "its body did not come in time", "", ""};

    if (u->is_delayed) {
        upstream_watch_reading(r);
        return;
    }
    log_request(r, LOG_ERR_, ETIMEDOUT, "upstream timed out while %s", doing[u->state]);
    if (u->state == UPSTREAM_READING_BODY) {
        upstream_attempt(r)->failure = FAILURE_READ_TIMEOUT;
        upstream_break_off(r);
    } else if (u->state == UPSTREAM_TUNNEL)
        upstream_end_tunnel(r);
    else
        upstream_fail_attempt(r, NEXT_TIMEOUT, 504, u->state == UPSTREAM_CONNECTING ? FAILURE_CONNECT_TIMEOUT : u->state == UPSTREAM_SENDING_REQUEST ? FAILURE_SEND_TIMEOUT : FAILURE_READ_TIMEOUT,
                     words[u->state]);
}

bool upstream_client_gone(struct request *r)
{
    if (r->upstream->settings.ignores_client_abort || r->upstream->state == UPSTREAM_FINISHED)
        return false;
    log_request(r, LOG_INFO_, 0, "client prematurely closed connection, so upstream connection is closed too while %s",
                r->response.is_header_sent ? "reading upstream" : "sending request to upstream");
    if (!r->response.is_header_sent)
        r->response.status = 499;
    connection_close(r->connection);
    return true;
}
