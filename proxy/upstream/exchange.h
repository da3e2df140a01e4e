/*
 * What the files of the upstream machine share: upstream.c (peers, connecting, sending, events), response.c (reading the
 * answer) and tunnel.c (after 101). Nobody else needs it.
 */
#ifndef GLASSPROXY_UPSTREAM_EXCHANGE_H
#define GLASSPROXY_UPSTREAM_EXCHANGE_H

#include "http/connection.h"
#include "upstream/upstream.h"

enum { READ_BYTES = 16384 };

static inline struct loop *upstream_loop(struct request *r)
{
    return r->connection->worker->loop;
}

static inline uint64_t upstream_now_ms(struct request *r)
{
    return loop_now_ms(upstream_loop(r));
}

/* The present attempt. */
static inline struct attempt *upstream_attempt(struct request *r)
{
    return &r->attempts->all.items[r->attempts->all.n - 1];
}

/* Notes when the present attempt ended. */
void upstream_end_attempt(struct request *r);
/* Whether proxy_next_upstream lets the next peer be asked because of WHY (a NEXT_* bit). */
bool upstream_may_try_next(struct request *r, unsigned why);
/* The present attempt has failed because of WHY: asks the next peer, or ends with STATUS. */
void upstream_fail_attempt(struct request *r, unsigned why, unsigned status, enum attempt_failure failure, const char *words);

/* The upstream's socket has something: reads it and goes on with it. */
void upstream_read_response(struct request *r);
/* Waits for more of the body, if there is room for it and proxy_limit_rate allows. */
void upstream_watch_reading(struct request *r);
/* The body ends before it is complete. */
void upstream_break_off(struct request *r);

void upstream_watch_tunnel(struct request *r);
void upstream_tunnel_event(struct request *r, unsigned ready);
void upstream_end_tunnel(struct request *r);

#endif
