/*
 * The one upstream machine: see upstream.h.
 *
 * A response is passed on as it arrives. While the client takes it more slowly, it waits in memory, then (with
 * buffering) in a temporary file, and when that is full too the upstream is not read: back-pressure.
 */
#include "upstream/upstream.h"

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

enum { READ_BYTES = 16384, TUNNEL_BYTES = 65536 };

static void upstream_event(struct io *io, unsigned ready);
static void upstream_timeout(struct timer *t);
static void connect_next(struct request *r);
static void connect_peer(struct request *r);
static void watch_tunnel(struct request *r);

static struct loop *loop_of(struct request *r)
{
    return r->connection->worker->loop;
}

static uint64_t now(struct request *r)
{
    return loop_now_ms(loop_of(r));
}

static struct attempt *attempt_of(struct request *r)
{
    return &r->attempts->all.items[r->attempts->all.n - 1];
}

static void end_attempt(struct request *r)
{
    if (r->attempts->all.n && attempt_of(r)->response_ms < 0)
        attempt_of(r)->response_ms = (long)(now(r) - attempt_of(r)->started_ms);
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

    if (u->state == UPSTREAM_FINISHED)
        return;
    if (u->query)
        resolver_cancel(u->query);
    disconnect(r);
    buf_free(&u->in);
    if (r->attempts && u->state > UPSTREAM_STARTING)
        end_attempt(r);
    peer_free(r, PEER_ANSWERED, now(r));
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

static bool may_try_next(struct request *r, unsigned why)
{
    struct upstream *u = r->upstream;
    bool is_idempotent = r->method != METHOD_POST && !str_eq(r->method_name, STR("LOCK")) && !str_eq(r->method_name, STR("PATCH"));

    if (u->was_sent && !is_idempotent)
        why |= NEXT_NON_IDEMPOTENT;
    if ((u->settings.next_upstream & why) != why || (u->settings.next_upstream & NEXT_OFF))
        return false;
    if (u->was_sent && u->is_streaming)
        return false;
    return !u->settings.next_timeout_ms || now(r) - u->started_ms < u->settings.next_timeout_ms;
}

/* The present attempt has failed because of WHY (a NEXT_* bit): asks the next peer, or ends with STATUS. */
static void fail_attempt(struct request *r, unsigned why, unsigned status, enum attempt_failure failure, const char *words)
{
    struct upstream *u = r->upstream;
    bool was_reused = u->is_reused;

    attempt_of(r)->status = status;
    attempt_of(r)->failure = failure;
    attempt_of(r)->why = arena_printf(r->arena, "%.*s; %s", STR_ARG(attempt_of(r)->why), words);
    end_attempt(r);
    peer_free(r, why == NEXT_403 || why == NEXT_404 ? PEER_ANSWERED : PEER_FAILED, now(r));
    if (was_reused && why == NEXT_ERROR)
        u->tries_left++;
    if (u->tries_left == 0 || !may_try_next(r, why)) {
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
    attempt_of(r)->peer = p->address.text;
    attempt_of(r)->directive = p->directive;
    attempt_of(r)->why = STR("a person chose it");
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
    attempt_of(r)->bytes_sent += u->out.written_bytes - before;
    if (result == OUTPUT_FAILED) {
        if (u->state >= UPSTREAM_READING_HEADER) { /* what it says may still explain why it does not listen */
            output_clear(&u->out);
            u->is_body_sent = false;
            u->closes = true;
            loop_watch(loop_of(r), &u->io, IO_READ);
            return;
        }
        log_request(r, LOG_ERR_, errno, "writev() failed while sending request to upstream");
        fail_attempt(r, NEXT_ERROR, 502, FAILURE_CLOSED, "it closed the connection while the request was sent");
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
            timer_start(loop_of(r), &u->timer, u->settings.send_timeout_ms);
        else if (u->is_body_sent)
            timer_start(loop_of(r), &u->timer, u->settings.read_timeout_ms);
        else
            timer_stop(loop_of(r), &u->timer); /* the client's time-out runs */
    }
    loop_watch(loop_of(r), &u->io, result == OUTPUT_BLOCKED ? IO_READ | IO_WRITE : IO_READ);
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
        fail_attempt(r, NEXT_ERROR, 502, err == ECONNREFUSED ? FAILURE_REFUSED : FAILURE_UNREACHABLE, err == ECONNREFUSED ? "connection refused" : strerror(err));
        return;
    }
    if (u->peer->address.u.any.sa_family != AF_UNIX)
        setsockopt(u->io.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    attempt_of(r)->connect_ms = (long)(now(r) - attempt_of(r)->started_ms);
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

    u->peer = peers_choose(r, now(r), &why);
    attempt = ARRAY_PUSH(&r->attempts->all, r->arena);
    *attempt = (struct attempt){.connect_ms = -1, .header_ms = -1, .response_ms = -1, .started_ms = now(r), .why = why};
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
        u->is_reused = attempt_of(r)->is_reused = true;
        attempt_of(r)->connect_ms = 0;
        u->state = UPSTREAM_SENDING_REQUEST;
        request_enter_phase(r, PHASE_SEND, send_request);
        return;
    }
    u->io = (struct io){.fd = open_socket(r), .handler = upstream_event, .data = r};
    u->connection_requests = 0;
    u->connection_opened_ms = now(r);
    if (u->io.fd < 0) {
        upstream_fail(r, 500);
        return;
    }
    if (connect(u->io.fd, &u->peer->address.u.any, u->peer->address.bytes) < 0 && errno != EINPROGRESS) {
        int err = errno;
        log_request(r, err == ENOENT || err == ECONNREFUSED ? LOG_ERR_ : LOG_CRIT_, err,
                    "connect() to %.*s failed while connecting to upstream", STR_ARG(u->peer->address.text));
        fail_attempt(r, NEXT_ERROR, 502, err == ECONNREFUSED || err == ENOENT ? FAILURE_REFUSED : FAILURE_UNREACHABLE, strerror(err));
        return;
    }
    timer_start(loop_of(r), &u->timer, u->settings.connect_timeout_ms);
    loop_watch(loop_of(r), &u->io, IO_WRITE);
}

void upstream_start(struct request *r)
{
    struct upstream *u = r->upstream;

    u->io.fd = -1;
    u->started_ms = now(r);
    u->tries_left = peers_tries(u->group);
    if (u->settings.tries && u->tries_left > u->settings.tries)
        u->tries_left = u->settings.tries;
    if (!r->attempts)
        r->attempts = arena_zalloc(r->arena, sizeof *r->attempts);
    else if (r->attempts->all.n)
        (void)ARRAY_PUSH(&r->attempts->all, r->arena);
    connect_next(r);
}

/* --- the response --- */

static void end_of_body(struct request *r)
{
    struct upstream *u = r->upstream;

    end_attempt(r);
    if (u->keeps_alive && !u->closes && u->is_body_sent && !u->out.first && buf_len(&u->in) == 0 && u->io.fd >= 0) {
        int fd = u->io.fd;
        struct address address = u->peer->address;
        loop_watch(loop_of(r), &u->io, 0);
        u->io.fd = -1;
        pool_put(loop_of(r), r->conf, u->group, &address,
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
        static unsigned long n;
        struct str path = arena_printf(r->arena, "%.*s/%010lu.%ld", STR_ARG(u->settings.temp_path), ++n, (long)getpid());
        mkdir(arena_dup(r->arena, u->settings.temp_path.p, u->settings.temp_path.n), 0700);
        u->temp_fd = open(path.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (u->temp_fd < 0) {
            log_request(r, LOG_CRIT_, errno, "open() \"%s\" failed", path.p);
            return false;
        }
        unlink(path.p);
        arena_on_free(r->arena, close_temp, (void *)(long)u->temp_fd);
        log_request(r, LOG_WARN_, 0, "an upstream response is buffered to a temporary file %.*s while reading upstream", STR_ARG(path));
    }
    for (struct str rest = s; rest.n;) {
        ssize_t n = pwrite(u->temp_fd, rest.p, rest.n, u->temp_bytes);
        if (n <= 0) {
            log_request(r, LOG_CRIT_, errno, "pwrite() to a temporary file failed");
            return false;
        }
        u->temp_bytes += n;
        rest = str_skip(rest, (size_t)n);
    }
    response_write_file(r, u->temp_fd, start, (off_t)s.n);
    return true;
}

static bool deliver(struct request *r, struct str s)
{
    struct upstream *u = r->upstream;

    attempt_of(r)->response_bytes += s.n;
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

static void break_off(struct request *r)
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
                break_off(r);
                return false;
            }
        buf_consume(&u->in, buf_len(&u->in) - in.n);
        if (result == CHUNKED_INVALID) {
            log_request(r, LOG_ERR_, 0, "upstream sent invalid chunked response while reading upstream");
            break_off(r);
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
        break_off(r);
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
    room = (long long)u->settings.limit_rate * (long long)((now(r) - u->reading_since_ms) / 1000 + 1) - (long long)u->read_bytes;
    if (room > 0)
        return room < READ_BYTES ? (size_t)room : READ_BYTES;
    u->is_delayed = true;
    timer_start(loop_of(r), &u->timer, (uint64_t)(-room * 1000 / (long long)u->settings.limit_rate + 1));
    return 0;
}

static void watch_reading(struct request *r)
{
    struct upstream *u = r->upstream;
    unsigned writing = u->out.first ? IO_WRITE : 0;

    u->is_delayed = false;
    if (!has_room(r)) {
        timer_stop(loop_of(r), &u->timer);
        loop_watch(loop_of(r), &u->io, writing);
    } else if (rate_room(r) == 0) {
        loop_watch(loop_of(r), &u->io, writing);
    } else {
        timer_start(loop_of(r), &u->timer, u->settings.read_timeout_ms);
        loop_watch(loop_of(r), &u->io, IO_READ | writing);
    }
}

void upstream_client_drained(struct request *r)
{
    struct upstream *u = r->upstream;

    if (r->hold)
        return;
    if (u->state == UPSTREAM_READING_BODY && u->io.fd >= 0)
        watch_reading(r);
    else if (u->state == UPSTREAM_TUNNEL)
        watch_tunnel(r);
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
        fail_attempt(r, NEXT_INVALID_HEADER, 502, FAILURE_HEADER_TOO_BIG, "its response header is larger than proxy_buffer_size");
        return;
    case HEADER_INVALID: fail_attempt(r, NEXT_INVALID_HEADER, 502, FAILURE_HEADER_INVALID, "its response header is invalid"); return;
    case HEADER_COMPLETE: break;
    }
    attempt_of(r)->status = u->status.code;
    attempt_of(r)->header_ms = (long)(now(r) - attempt_of(r)->started_ms);
    bit = next_bit(u->status.code);
    if (bit && u->tries_left > 1 && may_try_next(r, bit)) {
        fail_attempt(r, bit, u->status.code, FAILURE_STATUS, "proxy_next_upstream asks the next server for this status");
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
        watch_reading(r);
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
        timer_stop(loop_of(r), &c->timer);
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
    u->reading_since_ms = now(r);
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

void upstream_park(struct request *r)
{
    struct upstream *u = r->upstream;

    timer_stop(loop_of(r), &u->timer);
    if (u->io.fd >= 0) /* only to notice when it closes */
        loop_watch(loop_of(r), &u->io, u->state >= UPSTREAM_SENDING_REQUEST ? IO_READ : 0);
}

/* Something came from an upstream whose request is held. */
static void peek_parked(struct request *r)
{
    char c;
    ssize_t n = recv(r->upstream->io.fd, &c, 1, MSG_PEEK);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    loop_watch(loop_of(r), &r->upstream->io, 0);
    if (n <= 0)
        hold_note(r, HOLD_UPSTREAM_GONE);
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
        attempt_of(r)->failure = err ? FAILURE_RESET : FAILURE_CLOSED;
        attempt_of(r)->why = arena_printf(r->arena, "%.*s; it closed the connection before the body was complete", STR_ARG(attempt_of(r)->why));
        break_off(r);
        return;
    }
    log_request(r, LOG_ERR_, err, err ? "recv() failed while reading response header from upstream"
                                      : "upstream prematurely closed connection while reading response header from upstream");
    fail_attempt(r, NEXT_ERROR, 502, err ? FAILURE_RESET : FAILURE_CLOSED, err ? "it reset the connection" : "it closed the connection without an answer");
}

static void read_response(struct request *r)
{
    struct upstream *u = r->upstream;
    size_t room = u->state == UPSTREAM_READING_BODY ? rate_room(r) : READ_BYTES;
    ssize_t n;

    if (room == 0) {
        loop_watch(loop_of(r), &u->io, u->out.first ? IO_WRITE : 0);
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
    attempt_of(r)->bytes_received += (uint64_t)n;
    if (u->state < UPSTREAM_READING_BODY) {
        u->state = UPSTREAM_READING_HEADER;
        read_header(r);
        return;
    }
    u->read_bytes += (uint64_t)n;
    go_on_reading(r);
}

/* --- tunnels: RFC 9110 7.8 --- */

static void end_tunnel(struct request *r)
{
    upstream_release(r);
    response_end(r);
}

static void watch_tunnel(struct request *r)
{
    struct upstream *u = r->upstream;

    timer_start(loop_of(r), &u->timer, u->settings.read_timeout_ms);
    loop_watch(loop_of(r), &u->io, (r->connection->out.memory_bytes < TUNNEL_BYTES ? IO_READ : 0) | (u->out.first ? IO_WRITE : 0));
}

bool upstream_takes_client_bytes(const struct request *r)
{
    return r->upstream && r->upstream->out.memory_bytes < TUNNEL_BYTES;
}

/* From the client to the upstream. */
void upstream_client_event(struct request *r)
{
    struct upstream *u = r->upstream;
    char bytes[READ_BYTES];
    ssize_t n = 0;
    bool is_over = false;

    while (u->out.memory_bytes < TUNNEL_BYTES) {
        n = recv(r->connection->io.fd, bytes, sizeof bytes, 0);
        if (n <= 0)
            break;
        r->request_bytes += (size_t)n;
        output_add(&u->out, (struct str){bytes, (size_t)n});
    }
    is_over = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (output_write(&u->out, u->io.fd, 0) == OUTPUT_FAILED || (is_over && !u->out.first)) {
        end_tunnel(r);
        return;
    }
    watch_tunnel(r);
    connection_watch(r->connection);
}

static void tunnel_event(struct request *r, unsigned ready)
{
    struct upstream *u = r->upstream;
    struct connection *c = r->connection;
    char bytes[READ_BYTES];
    ssize_t n;

    if (ready & IO_WRITE) {
        upstream_client_event(r);
        if (c->is_closing || c->request != r || u->state != UPSTREAM_TUNNEL)
            return;
    }
    if (!(ready & IO_READ))
        return;
    n = recv(u->io.fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        end_tunnel(r);
        return;
    }
    attempt_of(r)->bytes_received += (uint64_t)n;
    attempt_of(r)->response_bytes += (uint64_t)n;
    output_add(&c->out, (struct str){bytes, (size_t)n});
    connection_flush(c);
    if (!c->is_closing && c->request == r && u->state == UPSTREAM_TUNNEL)
        watch_tunnel(r);
}

/* --- events --- */

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
        tunnel_event(r, e->ready);
        return;
    }
    if ((e->ready & IO_WRITE) && u->out.first) {
        send_request(r);
        if (c->is_closing || c->request != r || r->upstream != u || u->io.fd < 0)
            return;
    }
    if (e->ready & IO_READ)
        read_response(r);
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
        watch_reading(r);
        return;
    }
    log_request(r, LOG_ERR_, ETIMEDOUT, "upstream timed out while %s", doing[u->state]);
    if (u->state == UPSTREAM_READING_BODY) {
        attempt_of(r)->failure = FAILURE_READ_TIMEOUT;
        break_off(r);
    } else if (u->state == UPSTREAM_TUNNEL)
        end_tunnel(r);
    else
        fail_attempt(r, NEXT_TIMEOUT, 504, u->state == UPSTREAM_CONNECTING ? FAILURE_CONNECT_TIMEOUT : u->state == UPSTREAM_SENDING_REQUEST ? FAILURE_SEND_TIMEOUT : FAILURE_READ_TIMEOUT,
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
