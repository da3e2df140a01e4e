/*
 * Names to addresses without blocking (nginx's resolver and resolver_timeout): for names that only a request knows.
 *
 * Asks the configured servers over UDP, over TCP when an answer is truncated; A and AAAA at the same time. Answers are
 * kept for their TTL (or valid=), and requests for one name share one query. Messages are read with libresolv.
 */
#ifndef GLASSPROXY_UPSTREAM_RESOLVER_H
#define GLASSPROXY_UPSTREAM_RESOLVER_H

#include "http/core.h"
#include "loop/loop.h"

struct resolver;
struct resolver_query;

/* FOUND lives as long as the arena given to resolver_start(); ERROR (then FOUND is NULL) is "3: Host not found" and
 * the like, in nginx's words. */
typedef void resolver_done(void *data, const address_array *found, const char *error);

/* Resolves NAME; DONE(DATA) is called once, perhaps before this returns. Until then *HANDLE can be given to
 * resolver_cancel(). The addresses, in A, get PORT. */
void resolver_start(struct loop *l, const struct resolver *r, struct str name, unsigned port, uint64_t timeout_ms,
                    struct arena *a, struct resolver_query **handle, resolver_done *done, void *data);
void resolver_cancel(struct resolver_query *q);

/* resolver ADDRESS ... [valid=TIME] [ipv4=on|off] [ipv6=on|off] */
conf_parser parse_resolver;

#endif
