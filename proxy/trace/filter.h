/*
 * The filter language: which requests somebody means. One language for subscriptions, lists, breakpoints and the interface.
 *
 *     method=POST and (host=*.test or path~^/api/) and not header.x-debug and status>=500
 *
 * A term is NAME OPERATOR VALUE, NAME alone (it is there and not empty), or a quoted text (somewhere in the request's line of
 * the list). `and` may be left out; `or` binds less; `not` or `!` most. On text, = and != take globs, ~ and !~ regular
 * expressions (~* and !~* without case). On numbers there are = != < > <= >=, and status=5xx. ARCHITECTURE.md lists the names.
 */
#ifndef GLASSPROXY_TRACE_FILTER_H
#define GLASSPROXY_TRACE_FILTER_H

#include "http/request.h"

struct filter;

struct filter_error {
    unsigned column; /* from 1 */
    char words[200]; /* "" if there is no error */
};

/* Compiles TEXT into ARENA. NULL without an error matches everything. */
struct filter *filter_compile(struct arena *arena, struct str text, struct filter_error *error);

/* What R is not known to have yet does not match. */
bool filter_matches(const struct filter *f, struct request *r);

#endif
