/*
 * Changes that a person makes to a held request. Every one is recorded: what, from what to what, by whom, in which phase.
 */
#ifndef GLASSPROXY_TRACE_EDIT_H
#define GLASSPROXY_TRACE_EDIT_H

#include <jansson.h>

#include "http/request.h"
#include "util/buf.h"

struct edit {
    struct str what, before, after, who;
    enum phase phase;
    uint64_t us;
};

struct edits {
    ARRAY_OF(struct edit) all;
    struct str body; /* in place of the client's, once HAS_BODY */
    bool has_body;
};

/* Applies CHANGES ("method", "uri", "headers", "body", "upstream", "status") to what R's phase still lets change: the
 * client's request, the upstream's request, the upstream's answer or the response. All of it or, with words why, nothing. */
const char *request_edit(struct request *r, struct str who, const json_t *changes);

/* Member "edits". */
void edits_describe(struct buf *b, const struct request *r);
/* Member "editable": what "edit" takes now. */
void editable_describe(struct buf *b, const struct request *r);

#endif
