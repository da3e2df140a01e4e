/*
 * Tunnels: after 101 Switching Protocols, bytes both ways until one side closes (RFC 9110 7.8; WebSocket, RFC 6455).
 */
#include "upstream/exchange.h"

#include <errno.h>

#include "filters/response.h"
#include "http/connection.h"

enum { TUNNEL_BYTES = 65536 };

void upstream_end_tunnel(struct request *r)
{
    upstream_release(r);
    response_end(r);
}

void upstream_watch_tunnel(struct request *r)
{
    struct upstream *u = r->upstream;

    timer_start(upstream_loop(r), &u->timer, u->settings.read_timeout_ms);
    loop_watch(upstream_loop(r), &u->io, (r->connection->out.memory_bytes < TUNNEL_BYTES ? IO_READ : 0) | (u->out.first ? IO_WRITE : 0));
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
        upstream_end_tunnel(r);
        return;
    }
    upstream_watch_tunnel(r);
    connection_watch(r->connection);
}

void upstream_tunnel_event(struct request *r, unsigned ready)
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
        upstream_end_tunnel(r);
        return;
    }
    upstream_attempt(r)->bytes_received += (uint64_t)n;
    upstream_attempt(r)->response_bytes += (uint64_t)n;
    output_add(&c->out, (struct str){bytes, (size_t)n});
    connection_flush(c);
    if (!c->is_closing && c->request == r && u->state == UPSTREAM_TUNNEL)
        upstream_watch_tunnel(r);
}
