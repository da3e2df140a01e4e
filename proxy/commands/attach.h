/*
 * The commands' side of the control socket: blocking, line by line.
 */
#ifndef GLASSPROXY_COMMANDS_ATTACH_H
#define GLASSPROXY_COMMANDS_ATTACH_H

#include <stdio.h>

#include <jansson.h>

/* The socket at PATH, as a stream of lines; NULL after a message on stderr. */
FILE *attach(const char *path);
/* Sends COMMAND; takes the reference. */
void attach_send(FILE *control, json_t *command);

#endif
