/*
 * Which requests somebody wants to see.
 */
#ifndef GLASSPROXY_TRACE_FILTER_H
#define GLASSPROXY_TRACE_FILTER_H

#include <jansson.h>

#include "http/request.h"

/* All zero matches everything. */
struct trace_filter {
    char host[256], path[1024], method[32];
    unsigned status_from, status_to;
    bool has_phase;
    enum phase phase;
};

/* Reads {"host": …, "path": glob, "method": …, "status": "404" or "5xx", "phase": …}; JSON may be NULL. NULL, or what
 * is wrong. */
const char *trace_filter_read(struct trace_filter *f, const json_t *json);
bool trace_filter_matches(const struct trace_filter *f, struct request *r);

#endif
