/*
 * Breakpoints, and the requests that wait at them for a person.
 *
 * A held request is a handler that answered AGAIN and waits for somebody instead of a socket: it costs a timer, and every
 * other request goes on. Breakpoints act while a debugger is attached (control command "debug"), or always with
 * `glass_hold_detached on`. They are kept in a file beside the control socket.
 */
#ifndef GLASSPROXY_TRACE_HOLD_H
#define GLASSPROXY_TRACE_HOLD_H

#include "http/request.h"
#include "util/buf.h"

enum step { STEP_NONE, STEP_PHASE /* to the next phase */, STEP_GROUP /* to the next group of phases */,
            STEP_NEVER /* aborted: it is not held again */ };
enum hold_news { HOLD_CLIENT_GONE, HOLD_UPSTREAM_GONE, HOLD_EDITED };

/* How held requests are limited: from the configuration. */
struct hold_settings {
    unsigned limit;
    uint64_t timeout_ms;
    bool acts_detached;
};

/* Whether R waits at the phase it has just entered; GO_ON is called when it may go on. */
bool hold_here(struct request *r, void (*go_on)(struct request *r));
/* R ends while it is held. */
void hold_forget(struct request *r);
/* Something happened to a held request. */
void hold_note(struct request *r, enum hold_news news);

/* NULL, or why it cannot be. */
const char *hold_release(struct request *r, enum step step);
const char *hold_abort(struct request *r, struct str who, long long status);
void hold_release_all(const char *why);
/* The held request with this number; NULL if there is none. */
struct request *hold_find(uint64_t id);
/* One after the other, oldest first; NULL behind the last. */
struct request *hold_next(struct request *r);

/* How many debuggers are attached; when the last one leaves, all go on (unless glass_hold_detached). */
void hold_set_debuggers(unsigned n);

/* PHASE "" means any; TEXT is a filter. NULL and *ID, or what is wrong. */
const char *breakpoint_add(struct str phase, struct str text, bool is_once, unsigned *id);
const char *breakpoint_enable(unsigned id, bool is_enabled);
const char *breakpoint_delete(unsigned id);
/* Members "breakpoints" and "held" counters, as JSON. */
void breakpoints_describe(struct buf *b);
/* Member "held" of R's summary, if it is. */
void hold_describe(struct buf *b, const struct request *r);

/* Reads the breakpoints kept at PATH ("": none are kept) and keeps them there from now on. */
void breakpoints_open(struct str path);
void breakpoints_close(void);

#endif
