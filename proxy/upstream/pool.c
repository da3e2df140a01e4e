/*
 * Idle connections to upstreams: see pool.h. The one used last is taken first; beyond `keepalive` the oldest is closed.
 */
#include "upstream/pool.h"

#include <errno.h>
#include <unistd.h>

#include "util/mem.h"

struct idle_peer_connection {
    struct io io;
    struct timer timer;
    struct idle_peer_connection *newer, *older;
    struct upstream_group *group;
    struct address address;
    unsigned requests;
    uint64_t opened_ms;
};

static void take_out(struct idle_peer_connection *i)
{
    struct pool *p = &i->group->pool;

    *(i->newer ? &i->newer->older : &p->newest) = i->older;
    *(i->older ? &i->older->newer : &p->oldest) = i->newer;
    p->n--;
    timer_stop(p->loop, &i->timer);
    loop_watch(p->loop, &i->io, 0);
}

static void drop(struct idle_peer_connection *i)
{
    take_out(i);
    close(i->io.fd);
    mem_free(i);
}

/* The upstream closed it, or sent what nobody asked for. */
static void idle_event(struct io *io, unsigned ready)
{
    struct idle_peer_connection *i = io->data;
    char byte;

    (void)ready;
    if (recv(io->fd, &byte, 1, MSG_PEEK) < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    drop(i);
}

static void idle_timeout(struct timer *t)
{
    drop(t->data);
}

static bool same(const struct address *a, const struct address *b)
{
    return a->bytes == b->bytes && memcmp(&a->u, &b->u, a->bytes) == 0;
}

bool pool_take(struct upstream_group *g, const struct address *address, struct peer_connection *out)
{
    for (struct idle_peer_connection *i = g->pool.newest; i; i = i->older)
        if (same(&i->address, address)) {
            *out = (struct peer_connection){i->io.fd, i->requests, i->opened_ms, false};
            take_out(i);
            mem_free(i);
            return true;
        }
    return false;
}

void pool_put(struct loop *l, struct conf *c, struct upstream_group *g, const struct address *address,
              struct peer_connection connection)
{
    struct pool *p = &g->pool;
    struct idle_peer_connection *i;
    char byte;

    connection.requests++;
    if (!p->keepalive.is_set || connection.requests >= (unsigned long)p->keepalive_requests.num
        || loop_now_ms(l) - connection.opened_ms > (uint64_t)p->keepalive_time.num
        || c->is_retired || (!connection.is_drained && !(recv(connection.fd, &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN))) {
        close(connection.fd);
        return;
    }
    if (p->n >= (unsigned long)p->keepalive.num && p->oldest)
        drop(p->oldest);
    p->loop = l;
    i = mem_zalloc(sizeof *i);
    i->group = g;
    i->address = *address;
    i->requests = connection.requests;
    i->opened_ms = connection.opened_ms;
    i->io = (struct io){.fd = connection.fd, .handler = idle_event, .data = i};
    i->timer.handler = idle_timeout;
    i->timer.data = i;
    i->older = p->newest;
    *(p->newest ? &p->newest->newer : &p->oldest) = i;
    p->newest = i;
    p->n++;
    timer_start(l, &i->timer, (uint64_t)p->keepalive_timeout.num);
    loop_watch(l, &i->io, IO_READ | IO_COLD);
}

void pool_close(void *group)
{
    struct upstream_group *g = group;

    while (g->pool.oldest)
        drop(g->pool.oldest);
}
