/*
 * Moving a request through the phases, and ending it.
 */
#ifndef GLASSPROXY_PHASES_ENGINE_H
#define GLASSPROXY_PHASES_ENGINE_H

#include "http/request.h"

/* A request on C, or without one (explain). */
struct request *request_new(struct conf *conf, struct connection *c);
void request_free(struct request *r);

/* Runs the phases from r->phase on, until one waits or the response is on its way. */
void request_run(struct request *r);

/* A phase that answered AGAIN is done: goes on with the next one. */
void request_proceed(struct request *r);

/* Microseconds since R began. */
uint64_t request_age_us(const struct request *r);

/* The request is now in PHASE: for the trace. */
void request_note_phase(struct request *r, enum phase phase);
/* Enters PHASE and calls GO_ON: at once, or when a person lets R go on who holds it there. */
void request_enter_phase(struct request *r, enum phase phase, void (*go_on)(struct request *r));
/* The same for a phase that was noted before. */
void request_pause(struct request *r, void (*go_on)(struct request *r));

/* Ends the request with STATUS: an error page, a redirect, or nginx's own small page. */
void request_fail(struct request *r, unsigned status);

/* Internal redirects (error_page, try_files, index, X-Accel-Redirect): the phases run again. */
void request_redirect(struct request *r, struct str uri, struct str args);
void request_redirect_named(struct request *r, struct str name);

/* Sets structures to those of L, limit_except considered. */
void request_enter_location(struct request *r, const struct location *l);

/* The header and value of a request field; NULL if the client did not send it. */
const struct str *request_field(const struct request *r, enum field_id id);

#endif
