/*
 * The control socket: a Unix socket that speaks JSON lines. The protocol is described in ARCHITECTURE.md.
 */
#ifndef GLASSPROXY_TRACE_CONTROL_H
#define GLASSPROXY_TRACE_CONTROL_H

#include "http/connection.h"

enum { CONTROL_VERSION = 1 };

/* Opens the socket at PATH with mode 0600. -1 with errno: the proxy serves without. */
int control_open(struct worker *w, struct str path);
/* Disconnects everybody and removes the socket. */
void control_close(void);

#endif
