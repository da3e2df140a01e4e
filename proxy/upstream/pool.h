/*
 * Idle connections to upstreams, kept for the next request (nginx's ngx_http_upstream_keepalive_module).
 */
#ifndef GLASSPROXY_UPSTREAM_POOL_H
#define GLASSPROXY_UPSTREAM_POOL_H

#include "upstream/upstream.h"

struct peer_connection {
    int fd;
    unsigned requests;
    uint64_t opened_ms;
    bool is_drained; /* the last read got all there was: nothing unasked for is in the socket */
};

/* Takes an idle connection to ADDRESS out of the pool; false if there is none. */
bool pool_take(struct upstream_group *g, const struct address *address, struct peer_connection *out);
/* Keeps the connection, or closes it if the pool does not want it. */
void pool_put(struct loop *l, struct conf *c, struct upstream_group *g, const struct address *address,
              struct peer_connection connection);
/* Closes all idle connections of C's groups: it no longer serves. */
void pools_close(struct conf *c);
/* One group's, as arena_on_free() wants it. */
void pool_close(void *group);

#endif
