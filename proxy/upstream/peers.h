/*
 * Choosing among the peers of a group: smooth weighted round robin with passive health checks, as nginx.
 */
#ifndef GLASSPROXY_UPSTREAM_PEERS_H
#define GLASSPROXY_UPSTREAM_PEERS_H

#include "upstream/upstream.h"

/* The next peer for U, marked as tried; NULL if none is left. */
struct peer *peers_choose(struct upstream *u, uint64_t now_ms);
bool peers_has_untried(const struct upstream *u);
void peer_mark_failed(struct peer *p, uint64_t now_ms);
void peer_mark_alive(struct peer *p);

#endif
