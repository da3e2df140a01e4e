/*
 * What happened to requests, for those who want to see it.
 *
 * A request carries its own trace: what came in is never overwritten, every field knows its origin, and each decision
 * of a directive leaves a step. Finished requests stay in a ring (glass_ring), with their memory; text is made of them
 * only when somebody asks. With nobody watching, the cost is that of not freeing them at once.
 */
#ifndef GLASSPROXY_TRACE_TRACE_H
#define GLASSPROXY_TRACE_TRACE_H

#include "http/request.h"
#include "trace/hold.h"
#include "util/buf.h"

/* One decision. */
struct trace_step {
    enum phase phase;
    uint64_t us; /* since the request began */
    const struct directive *directive;
    struct str before, after, why;
};

struct trace_steps {
    ARRAY_OF(struct trace_step) all;
};

extern struct module trace_module;

/* Records a decision of D (NULL: nothing configured). */
void trace_step(struct request *r, const struct directive *d, struct str before, struct str after, const char *why);

/* R entered a phase: told to those who watch. */
void trace_phase(struct request *r);

/* R is finished; takes it over. */
void trace_finished(struct request *r);

/* The ring, oldest first; NULL behind the last. */
struct request *trace_oldest(void);
struct request *trace_next(const struct request *r);
struct request *trace_find(uint64_t id);
void trace_clear(void);

/* Who is told of phases and finished requests; set by the control socket while somebody subscribes. */
struct trace_watcher {
    void (*phase)(struct request *r);
    void (*finished)(struct request *r);
    /* EVENT: "held", "changed", "resumed", "not held", "ended". */
    void (*held)(struct request *r, const char *event, const char *why);
};
extern struct trace_watcher *trace_watcher;

/* glass_control: the socket's path; "" for none, and the default if nothing is configured. */
struct str trace_control_path(struct conf *c, struct str default_path);

/* glass_body: how much of a body is kept while somebody is attached. */
size_t trace_body_limit(const struct conf *c);

/* What was served since the start. */
struct trace_totals {
    unsigned long long requests, bytes_sent, by_class[6] /* 1xx to 5xx at 1 to 5 */, duration_us;
    unsigned long long slower_than[24]; /* by powers of two of microseconds */
};
const struct trace_totals *trace_totals(void);

struct hold_settings trace_hold_settings(const struct conf *c);

/* R as a JSON object: a line of a list, or all there is. */
void trace_describe_summary(struct buf *b, struct request *r);
void trace_describe(struct buf *b, struct request *r);
/* Member "upstreams": the groups of C with their peers. */
void upstreams_describe(struct buf *b, struct conf *c);
/* C as JSON: the tree with every directive's place, and the files. */
void trace_describe_conf(struct buf *b, struct conf *c);

/* The chosen location with its modifier; "" for the server itself. */
struct str trace_location_text(const struct request *r);

/* Whether glass_mask hides NAME's value. */
bool trace_is_masked(const struct request *r, struct str name);

#endif
