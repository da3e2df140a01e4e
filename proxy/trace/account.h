/*
 * What one phase got, what it made of it, why, and which directive was responsible: the account of a visit.
 */
#ifndef GLASSPROXY_TRACE_ACCOUNT_H
#define GLASSPROXY_TRACE_ACCOUNT_H

#include "http/request.h"
#include "util/buf.h"

struct account {
    struct str in, out, why;
    const struct directive *directive; /* NULL: nothing is configured for it */
};

/* The account of R's visit number I. Texts live as long as R. */
struct account account_of(struct request *r, size_t i);

/* Members of a phase event: "phase", "us", "duration_us", "in", "out", "why", "directive", "place". */
void account_describe(struct buf *b, struct request *r, size_t i);

#endif
