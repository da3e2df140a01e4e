/*
 * Connections of clients: see connection.h.
 *
 * The loop calls connection_event(); it looks at the connection's state and calls one function. Closing a connection
 * inside its own event is put off to the event's end.
 */
#include "http/connection.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "filters/response.h"
#include "http/listen.h"
#include "http/log.h"
#include "http/read_request.h"
#include "http/request.h"
#include "http/request_body.h"
#include "phases/engine.h"
#include "trace/hold.h"
#include "upstream/upstream.h"
#include "util/mem.h"

enum { ACCEPTS_A_TURN = 64, READ_BYTES = 16384, COLD_AFTER_MS = 500 };

struct acceptor {
    struct io io;
    struct worker *worker;
    struct conf *conf;
    struct listener *listener;
    struct acceptor *next;
};

static struct acceptor *acceptors;

static void connection_event(struct io *io, unsigned ready);
static void connection_timeout(struct timer *t);

void conf_hold(struct conf *c)
{
    c->refs++;
}

void conf_release(struct conf *c)
{
    if (--c->refs == 0) {
        log_close(c);
        arena_free(c->arena);
    }
}

/* --- accepting --- */

static struct connection *connection_new(struct acceptor *a, int fd)
{
    struct worker *w = a->worker;
    struct connection *c = mem_zalloc(sizeof *c);

    c->io = (struct io){.fd = fd, .handler = connection_event, .data = c};
    c->timer.handler = connection_timeout;
    c->timer.data = c;
    c->send_timer.handler = connection_timeout;
    c->send_timer.data = c;
    c->rate_timer.handler = connection_timeout;
    c->rate_timer.data = c;
    c->worker = w;
    c->conf = w->conf;
    conf_hold(c->conf);
    c->listener = a->listener;
    c->number = ++w->next_connection_number;
    c->opened_ms = loop_now_ms(w->loop);
    c->next = w->connections;
    if (c->next)
        c->next->previous = c;
    w->connections = c;
    w->n_connections++;
    w->n_accepted++;
    return c;
}

static void accept_event(struct io *io, unsigned ready)
{
    struct acceptor *a = io->data;
    int one = 1;

    (void)ready;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        union { struct sockaddr any; struct sockaddr_in in; struct sockaddr_in6 in6; struct sockaddr_un un; } peer;
        socklen_t bytes = sizeof peer;
        struct connection *c;
        int fd;

        memset(&peer, 0, sizeof peer);
        fd = accept4(io->fd, &peer.any, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
                log_event(a->conf, LOG_CRIT_, errno, "accept4() failed");
            return;
        }
        if (a->worker->connection_limit && a->worker->n_connections >= a->worker->connection_limit) {
            log_event(a->conf, LOG_ALERT_, 0, "%u worker_connections are not enough", a->worker->connection_limit);
            close(fd);
            return;
        }
        if (fd >= loop_capacity(a->worker->loop) - 8) {
            log_event(a->conf, LOG_CRIT_, 0, "no descriptors left, a connection is refused");
            close(fd);
            return;
        }
        c = connection_new(a, fd);
        memcpy(&c->peer.u, &peer, sizeof peer.un < bytes ? sizeof peer.un : bytes);
        c->peer.bytes = bytes;
        if (peer.any.sa_family != AF_UNIX && ((struct core_loc *)a->listener->default_server->root->loc[core_module.index])->tcp_nodelay.num)
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        timer_start(a->worker->loop, &c->timer,
                    (uint64_t)((struct core_srv *)a->listener->default_server->level.srv[core_module.index])
                        ->client_header_timeout.num);
        loop_watch(a->worker->loop, &c->io, IO_READ);
        connection_event(&c->io, IO_READ);
    }
}

static int open_listener(struct conf *c, struct listener *l)
{
    int fd = socket(l->address.u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const char *failed = NULL;

    if (fd < 0) {
        conf_fail(c->tree, NULL, "socket() %.*s failed (%d: %s)", STR_ARG(l->address.text), errno, strerror(errno));
        return -1;
    }
    listen_set_options(l, fd);
    for (int tries = 0; tries < 5; tries++) { /* nginx tries five times, half a second apart */
        failed = NULL;
        if (bind(fd, &l->address.u.any, l->address.bytes) == 0)
            break;
        failed = "bind()";
        if (errno != EADDRINUSE)
            break;
        usleep(tries < 4 ? 500000 : 0);
    }
    if (!failed && listen(fd, l->options.backlog) < 0)
        failed = "listen()";
    if (failed) {
        conf_fail(c->tree, NULL, "%s to %.*s failed (%d: %s)", failed, STR_ARG(l->address.text), errno, strerror(errno));
        close(fd);
        return -1;
    }
    l->fd = fd;
    return 0;
}

int listeners_open(struct worker *w, struct conf *c, struct conf *old)
{
    struct core_main *m = core_main(c), *before = core_main(old);
    int rc = 0;

    for (size_t i = 0; m && i < m->listeners.n; i++) {
        struct listener *l = m->listeners.items[i];
        for (size_t k = 0; before && k < before->listeners.n; k++)
            if (address_eq(&before->listeners.items[k]->address, &l->address))
                l->fd = before->listeners.items[k]->fd;
        if (l->fd < 0 && open_listener(c, l) < 0)
            rc = -1;
    }
    if (rc < 0) { /* give back what only this configuration opened */
        for (size_t i = 0; i < m->listeners.n; i++) {
            struct listener *l = m->listeners.items[i];
            bool is_shared = false;
            for (size_t k = 0; before && k < before->listeners.n; k++)
                is_shared |= before->listeners.items[k]->fd == l->fd;
            if (l->fd >= 0 && !is_shared)
                close(l->fd);
        }
        return -1;
    }
    for (size_t i = 0; m && i < m->listeners.n; i++) {
        struct acceptor *a = mem_zalloc(sizeof *a);
        struct listener *l = m->listeners.items[i];
        for (struct acceptor *other = acceptors; other; other = other->next)
            if (other->io.fd == l->fd)
                loop_watch(w->loop, &other->io, 0);
        *a = (struct acceptor){{.fd = l->fd, .handler = accept_event}, w, c, l, acceptors};
        a->io.data = a;
        acceptors = a;
        loop_watch(w->loop, &a->io, IO_READ);
    }
    return 0;
}

void listeners_close(struct worker *w, struct conf *c, struct conf *keep)
{
    struct core_main *kept = core_main(keep);

    for (struct acceptor **at = &acceptors; *at;) {
        struct acceptor *a = *at;
        bool is_kept = false;
        if (a->conf != c) {
            at = &a->next;
            continue;
        }
        for (size_t k = 0; kept && k < kept->listeners.n; k++)
            is_kept |= kept->listeners.items[k]->fd == a->io.fd;
        *at = a->next;
        loop_watch(w->loop, &a->io, 0);
        if (!is_kept) {
            close(a->io.fd);
            if (a->listener->address.u.any.sa_family == AF_UNIX)
                unlink(a->listener->address.u.un.sun_path);
        }
        mem_free(a);
    }
    for (struct acceptor *a = acceptors; a; a = a->next)
        loop_watch(w->loop, &a->io, IO_READ);
}

/* --- one connection --- */

const struct address *connection_local(struct connection *c)
{
    if (!c->local.bytes) {
        c->local.bytes = sizeof c->local.u;
        if (getsockname(c->io.fd, &c->local.u.any, &c->local.bytes) < 0)
            c->local = c->listener->address;
    }
    return &c->local;
}

ssize_t connection_read(struct connection *c, char *buf, size_t n)
{
    ssize_t got;

    if (buf_len(&c->unread)) {
        struct str s = buf_str(&c->unread);
        if (n > s.n)
            n = s.n;
        memcpy(buf, s.p, n);
        buf_consume(&c->unread, n);
        return (ssize_t)n;
    }
    do
        got = recv(c->io.fd, buf, n, 0);
    while (got < 0 && errno == EINTR);
    return got;
}

void connection_watch(struct connection *c)
{
    unsigned events = 0;

    if (c->is_closing || c->io.fd < 0)
        return;
    switch (c->state) {
    case CONNECTION_IDLE: events = c->is_cold ? IO_READ | IO_COLD : IO_READ; break;
    case CONNECTION_READING_HEADER:
    case CONNECTION_READING_BODY:
    case CONNECTION_DISCARDING:
    case CONNECTION_LINGERING: events = IO_READ; break;
    case CONNECTION_TUNNEL: events = upstream_takes_client_bytes(c->request) ? IO_READ : 0; break;
    case CONNECTION_PROCESSING: events = buf_len(&c->unread) || c->peer_closed ? 0 : IO_READ; break;
    }
    if (c->is_write_blocked)
        events = (events & ~(unsigned)IO_COLD) | IO_WRITE;
    loop_watch(c->worker->loop, &c->io, events);
}

static void connection_free(void *data)
{
    struct connection *c = data;
    struct worker *w = c->worker;

    if (c->previous)
        c->previous->next = c->next;
    else
        w->connections = c->next;
    if (c->next)
        c->next->previous = c->previous;
    w->n_connections--;
    conf_release(c->conf);
    mem_free(c);
    if (w->is_quitting && w->n_connections == 0 && w->on_idle)
        w->on_idle(w);
}

void connection_close(struct connection *c)
{
    struct worker *w = c->worker;

    if (c->is_closing)
        return;
    c->is_closing = true;
    if (c->request)
        request_abandon(c->request);
    timer_stop(w->loop, &c->timer);
    timer_stop(w->loop, &c->send_timer);
    timer_stop(w->loop, &c->rate_timer);
    loop_watch(w->loop, &c->io, 0);
    close(c->io.fd);
    output_clear(&c->out);
    buf_free(&c->unread);
    loop_post(w->loop, connection_free, c);
}

void connection_reset(struct connection *c)
{
    struct linger at_once = {1, 0};

    if (c->request && CORE_LOC(c->request)->reset_timedout_connection.num)
        setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    connection_close(c);
}

void connections_close_idle(struct worker *w, const struct conf *of)
{
    struct connection *c, *next;

    for (c = w->connections; c; c = next) {
        next = c->next;
        if (c->state == CONNECTION_IDLE && !c->is_closing && (!of || c->conf == of) && (c->requests || of == NULL))
            connection_close(c);
    }
}

static void start_lingering(struct connection *c)
{
    struct core_loc *loc = CORE_LOC(c->request);
    bool has_more = buf_len(&c->unread) || !request_body_is_read(c->request);

    if (loc->lingering_close.num == 0 || (loc->lingering_close.num == 1 && !has_more) || c->peer_closed) {
        connection_close(c);
        return;
    }
    c->lingering_until_ms = loop_now_ms(c->worker->loop) + (uint64_t)loc->lingering_time.num;
    timer_start(c->worker->loop, &c->timer, (uint64_t)loc->lingering_timeout.num);
    request_finish_log(c->request);
    c->request = NULL;
    buf_consume(&c->unread, buf_len(&c->unread));
    shutdown(c->io.fd, SHUT_WR);
    c->state = CONNECTION_LINGERING;
    connection_watch(c);
}

static void next_request(void *data)
{
    struct connection *c = data;

    if (c->is_closing || c->request)
        return;
    connection_event(&c->io, IO_READ);
}

/* nginx waits for the rest of a body that nobody wants. */
static bool awaits_body(struct request *r)
{
    if (r->body && r->body->is_bad)
        return false;
    return !r->connection->peer_closed && !r->connection->worker->is_quitting && request_body_discard(r) == REQUEST_BODY_AGAIN;
}

static void request_is_sent(struct request *r)
{
    struct connection *c = r->connection;
    struct core_loc *loc = CORE_LOC(r);
    const long *keepalive = loc->keepalive_timeout.ptr;
    struct worker *w = c->worker;

    timer_stop(w->loop, &c->send_timer);
    timer_stop(w->loop, &c->timer);
    c->state = CONNECTION_PROCESSING;
    if (r->is_truncated) { /* the client must notice: no lingering */
        connection_close(c);
        return;
    }
    if (!request_body_is_read(r) && awaits_body(r)) {
        c->state = CONNECTION_DISCARDING;
        if (!c->lingering_until_ms)
            c->lingering_until_ms = loop_now_ms(w->loop) + (uint64_t)loc->lingering_time.num;
        timer_start(w->loop, &c->timer, (uint64_t)loc->lingering_timeout.num);
        connection_watch(c);
        return;
    }
    if (!r->keeps_alive || w->is_quitting || c->conf != w->conf) {
        start_lingering(c);
        return;
    }
    if (!request_body_is_read(r)) {
        if (request_body_discard(r) != REQUEST_BODY_READ) {
            start_lingering(c);
            return;
        }
    }
    request_finish_log(r);
    c->request = NULL;
    c->state = CONNECTION_IDLE;
    c->is_cold = false;
    c->lingering_until_ms = 0;
    c->idle_until_ms = loop_now_ms(w->loop) + (uint64_t)keepalive[0];
    timer_start(w->loop, &c->timer, keepalive[0] < COLD_AFTER_MS ? (uint64_t)keepalive[0] : COLD_AFTER_MS);
    connection_watch(c);
    c->is_pipelining = buf_len(&c->unread) > 0;
    if (c->is_pipelining)
        loop_post(w->loop, next_request, c);
}

void connection_request_done(struct request *r)
{
    struct connection *c = r->connection;

    r->is_finished = true;
    if (!r->is_dry_run)
        connection_flush(c);
}

/* limit_rate: how many bytes may go now. 0: none, and a timer goes on later; SIZE_MAX: no limit. */
static size_t rate_room(struct connection *c)
{
    struct request *r = c->request;
    long long rate, after, room;

    if (!r || r->limit_rate == 0)
        return SIZE_MAX;
    rate = r->limit_rate > 0 ? r->limit_rate : conf_read_size(text_value(r, CORE_LOC(r)->limit_rate.ptr));
    if (rate <= 0)
        return SIZE_MAX;
    after = conf_read_size(text_value(r, CORE_LOC(r)->limit_rate_after.ptr));
    room = rate * (long long)((loop_now_ms(c->worker->loop) - r->started_ms) / 1000 + 1) - ((long long)c->out.written_bytes - (after > 0 ? after : 0));
    if (room > 0)
        return (size_t)room;
    timer_start(c->worker->loop, &c->rate_timer, (uint64_t)(-room * 1000 / rate + 1));
    return 0;
}

/* tcp_nopush: only full packets while there is more to come. */
static void cork(struct connection *c, bool is_wanted)
{
    int value = is_wanted;

    if (c->is_corked == is_wanted || c->io.fd < 0)
        return;
    c->is_corked = is_wanted;
    setsockopt(c->io.fd, IPPROTO_TCP, TCP_CORK, &value, sizeof value);
}

void connection_flush(struct connection *c)
{
    struct request *r = c->request;
    enum output_result result = OUTPUT_BLOCKED;
    bool has_more;
    size_t room;

    if (c->is_closing || c->io.fd < 0)
        return;
    cork(c, r && c->out.first && CORE_LOC(r)->tcp_nopush.num && CORE_LOC(r)->sendfile.num);
    do {
        enum pump_result pumped = r && !r->is_finished ? response_pump(r) : PUMP_NOTHING;
        if (pumped == PUMP_ENDED)
            return;
        room = c->out.first ? rate_room(c) : SIZE_MAX;
        if (room)
            result = output_write(&c->out, c->io.fd, room == SIZE_MAX ? 0 : room);
        has_more = pumped == PUMP_MORE && room && result == OUTPUT_EMPTY;
    } while (has_more);
    if (result == OUTPUT_FAILED) {
        log_connection(c, LOG_INFO_, errno, "writev() failed while sending to client");
        connection_close(c);
        return;
    }
    if (result == OUTPUT_EMPTY)
        cork(c, false);
    c->is_write_blocked = result == OUTPUT_BLOCKED && (room == SIZE_MAX || rate_room(c));
    if (c->is_write_blocked) {
        if (r)
            timer_start(c->worker->loop, &c->send_timer, (uint64_t)CORE_LOC(r)->send_timeout.num);
    } else {
        timer_stop(c->worker->loop, &c->send_timer);
    }
    if (r && result == OUTPUT_EMPTY && r->is_finished && !r->hold) {
        if (r->phase == PHASE_LOG)
            request_is_sent(r);
        else
            request_enter_phase(r, PHASE_LOG, request_is_sent);
        return;
    }
    connection_watch(c);
    if (r && r->upstream && !r->is_finished)
        upstream_client_drained(r);
}

static void connection_timeout(struct timer *t)
{
    struct connection *c = t->data;

    if (t == &c->rate_timer) {
        connection_flush(c);
        return;
    }
    if (t == &c->send_timer) {
        log_connection(c, LOG_INFO_, ETIMEDOUT, "client timed out");
        connection_reset(c);
        return;
    }
    switch (c->state) {
    case CONNECTION_READING_HEADER:
        log_connection(c, LOG_INFO_, ETIMEDOUT, "client timed out");
        c->request->keeps_alive = false;
        c->state = CONNECTION_PROCESSING;
        request_fail(c->request, 408);
        return;
    case CONNECTION_READING_BODY: request_body_timed_out(c->request); return;
    case CONNECTION_IDLE:
        if (c->idle_until_ms > loop_now_ms(c->worker->loop)) {
            c->is_cold = true;
            timer_start(c->worker->loop, &c->timer, c->idle_until_ms - loop_now_ms(c->worker->loop));
            connection_watch(c);
            return;
        }
        connection_close(c);
        return;
    default: connection_close(c);
    }
}

static void handle_read(struct connection *c)
{
    char buf[READ_BYTES];
    ssize_t n;

    switch (c->state) {
    case CONNECTION_IDLE:
    case CONNECTION_READING_HEADER:
        if (!buf_len(&c->unread) || c->state == CONNECTION_READING_HEADER) {
            n = recv(c->io.fd, buf, sizeof buf, 0);
            if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
            if (n <= 0) {
                if (c->state == CONNECTION_READING_HEADER) {
                    log_connection(c, LOG_INFO_, n < 0 ? errno : 0, "client prematurely closed connection");
                    c->request->response.status = 400;
                }
                connection_close(c);
                return;
            }
            buf_add(&c->unread, buf, (size_t)n);
        }
        if (c->state == CONNECTION_IDLE)
            read_request_start(c);
        else
            read_request(c->request);
        return;
    case CONNECTION_READING_BODY: request_body_event(c->request); return;
    case CONNECTION_TUNNEL: upstream_client_event(c->request); return;
    case CONNECTION_PROCESSING:
        n = recv(c->io.fd, buf, 1, MSG_PEEK);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            c->peer_closed = true;
            connection_watch(c);
            if (c->request && c->request->hold)
                hold_note(c->request, HOLD_CLIENT_GONE);
            if (c->request && c->request->upstream && upstream_client_gone(c->request))
                return;
        } else if (n > 0) { /* the next request, early: read it now so that it does not wake us again */
            n = recv(c->io.fd, buf, sizeof buf, 0);
            if (n > 0)
                buf_add(&c->unread, buf, (size_t)n);
            connection_watch(c);
        }
        return;
    case CONNECTION_DISCARDING:
        n = recv(c->io.fd, buf, 1, MSG_PEEK);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR) || loop_now_ms(c->worker->loop) >= c->lingering_until_ms)
            connection_close(c);
        else
            request_is_sent(c->request);
        return;
    case CONNECTION_LINGERING:
        n = recv(c->io.fd, buf, sizeof buf, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)
            || loop_now_ms(c->worker->loop) >= c->lingering_until_ms)
            connection_close(c);
        return;
    }
}

struct ready_event {
    struct connection *connection;
    unsigned ready;
};

static void handle_event(void *data)
{
    struct ready_event *e = data;
    struct connection *c = e->connection;

    if ((e->ready & IO_WRITE) && !c->is_closing)
        connection_flush(c);
    if ((e->ready & IO_READ) && !c->is_closing)
        handle_read(c);
}

static void connection_event(struct io *io, unsigned ready)
{
    struct ready_event e = {io->data, ready};

    if (!loop_guard(handle_event, &e))
        connection_close(e.connection);
}
