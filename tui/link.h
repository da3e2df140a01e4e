/*
 * The connection to a proxy's control socket: JSON lines, never blocking.
 */
#ifndef GLASSTUI_LINK_H
#define GLASSTUI_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

struct link {
    int fd; /* -1: not attached */
    char *in;
    size_t n_in, room;
};

/* Attaches. -1 with errno. */
int link_open(struct link *l, const char *path);
void link_close(struct link *l);
/* Sends a command; takes the reference. */
void link_send(struct link *l, json_t *command);
/* Reads what is there. False when the proxy is gone. */
bool link_read(struct link *l);
/* The next complete message (the caller's), or NULL. */
json_t *link_next(struct link *l);

#endif
