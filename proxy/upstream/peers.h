/*
 * Choosing among the peers of a group: smooth weighted round robin with passive health checks, as nginx.
 */
#ifndef GLASSPROXY_UPSTREAM_PEERS_H
#define GLASSPROXY_UPSTREAM_PEERS_H

#include "upstream/upstream.h"

/* How many peers a request may try. */
unsigned peers_tries(const struct upstream_group *g);
/* The next peer for R, marked as tried and in use; NULL if none is left. WHY it was chosen. */
struct peer *peers_choose(struct request *r, uint64_t now_ms, struct str *why);

/* The peer that G's next request would get first, and why; nothing is marked. NULL if there is none. */
const struct peer *peers_preview(const struct upstream_group *g, struct arena *a, struct str *why);

enum peer_outcome { PEER_ANSWERED, PEER_FAILED };
/* R is done with its peer. */
void peer_free(struct request *r, enum peer_outcome outcome, uint64_t now_ms);

#endif
