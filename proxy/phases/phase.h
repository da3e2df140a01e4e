/*
 * The phases of a request, in their order; phase_table.c is the table of them.
 */
#ifndef GLASSPROXY_PHASES_PHASE_H
#define GLASSPROXY_PHASES_PHASE_H

struct request;

enum phase {
    PHASE_ACCEPT,
    PHASE_READ_REQUEST,
    PHASE_CHOOSE_SERVER,
    PHASE_REALIP,
    PHASE_SERVER_REWRITE,
    PHASE_CHOOSE_LOCATION,
    PHASE_REWRITE,
    PHASE_LIMITS,
    PHASE_ACCESS,
    PHASE_TRY_FILES,
    PHASE_CONTENT,
    PHASE_CACHE,
    PHASE_CHOOSE_UPSTREAM,
    PHASE_BUILD_UPSTREAM_REQUEST,
    PHASE_CONNECT,
    PHASE_SEND,
    PHASE_UPSTREAM_RESPONSE_HEADER,
    PHASE_RESPONSE_HEADER_FILTERS,
    PHASE_BODY,
    PHASE_LOG,
    PHASE_COUNT
};

/* What a phase's handler answers. A status code from 100 on is ERROR(status). */
enum { PHASE_NEXT = 0, PHASE_AGAIN = -1, PHASE_DONE = -2, PHASE_GOTO = -3 };

struct phase_row {
    const char *name;
    int (*handler)(struct request *r); /* NULL: the step is driven by the connection or the upstream machine */
    const char *may_change;
    const char *group; /* of phases that a person steps over at once */
};

extern const struct phase_row phase_table[PHASE_COUNT];

#endif
