/*
 * Requests that the proxy's own code goes through without any network: what explain and diff are made of.
 */
#ifndef GLASSPROXY_COMMANDS_DRY_RUN_H
#define GLASSPROXY_COMMANDS_DRY_RUN_H

#include <jansson.h>

#include "conf/conf.h"
#include "util/buf.h"

/* What is asked, and how. */
struct dry_request {
    unsigned port;         /* of the address it comes to */
    struct str to;         /* that address, "127.0.0.1:8080"; "": the first listener with the port */
    struct str from;       /* the client's address */
    struct str head, body; /* as sent */
    struct str answer;     /* the upstream's header, if it is known; "": the run ends when the upstream's request is built */
};

/* Loads FILE (relative to where one is) for dry runs; if AS is not "", as though it stood at that path. NULL after printing
 * the errors to stderr. */
struct conf *dry_run_load(struct str prefix, struct str file, struct str as);

/* What C would do with Q: an object as described in ARCHITECTURE.md ("get"). NULL, with words in *ERROR. */
json_t *dry_run(struct conf *c, const struct dry_request *q, struct str *error);

/* Splits "http://host[:port]/path"; -1 if it is none. */
int dry_run_split_url(const char *url, struct str *authority, unsigned *port, struct str *target);

#endif
