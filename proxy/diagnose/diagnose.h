/*
 * Diagnoses: what is probably wrong, why, and what to do about it.
 *
 * A diagnosis is a row: how to find it in a request that was served (or would be: explain), and in a configuration
 * without any request (lint). Both give findings.
 */
#ifndef GLASSPROXY_DIAGNOSE_DIAGNOSE_H
#define GLASSPROXY_DIAGNOSE_DIAGNOSE_H

#include "http/request.h"
#include "util/buf.h"

enum severity { SEVERITY_HINT, SEVERITY_WARNING, SEVERITY_ERROR };

struct findings;

struct diagnosis {
    const char *id;
    enum severity severity;
    const char *title;
    const char *remedy; /* where a finding has none of its own */
    /* Adds findings about R; NULL if no request shows it. */
    void (*in_request)(struct request *r, const struct diagnosis *self, struct findings *out);
    /* Adds findings about L, a location or a server's own level; NULL if the configuration alone does not show it. */
    void (*in_location)(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out);
};

struct finding {
    const struct diagnosis *kind;
    struct str reason, remedy;
    const struct directive *directive; /* where; NULL: nowhere in particular */
};

struct findings {
    struct arena *arena;
    ARRAY_OF(struct finding) all;
};

/* The table; ends with a NULL id. */
extern const struct diagnosis diagnoses[];

/* All about R, in R's arena; computed anew at each call. */
struct findings *findings_of(struct request *r);
/* All about C, in A: one for each place. */
struct findings *findings_of_conf(struct conf *c, struct arena *a);

void finding_add(struct findings *out, const struct diagnosis *kind, const struct directive *d, const char *remedy, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* "error", "warning", "hint", or "" if there is nothing. */
struct str findings_worst(const struct findings *f);
/* Member "findings". */
void findings_describe(struct buf *b, struct arena *a, const struct findings *f);

#endif
