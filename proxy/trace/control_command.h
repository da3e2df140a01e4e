/*
 * What the control socket's commands share: control.c has the table of those that look, control_debug.c those that hold and
 * change requests.
 */
#ifndef GLASSPROXY_TRACE_CONTROL_COMMAND_H
#define GLASSPROXY_TRACE_CONTROL_COMMAND_H

#include <jansson.h>

#include "http/request.h"
#include "util/buf.h"

struct client;

/* Answers COMMAND of C into B, an open JSON object. NULL, or what is wrong with the command. */
typedef const char *control_command(struct client *c, const json_t *command, struct buf *b);

struct control_row {
    const char *name;
    control_command *run;
};

/* Ends with a NULL name. */
extern const struct control_row control_debug_rows[];

/* A text member; "" if it is absent. */
struct str control_member(const json_t *command, const char *name);
/* The request that "request" names, held or finished. NULL, with *ERROR. */
struct request *control_request(const json_t *command, const char **error);
/* Who C is, for the record of what it changes. */
struct str control_who(const struct client *c);
void control_set_debugger(struct client *c, bool is_debugger);

#endif
