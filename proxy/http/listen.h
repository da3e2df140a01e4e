/*
 * The `listen` directive: addresses, the options of their sockets, and which server is whose default.
 */
#ifndef GLASSPROXY_HTTP_LISTEN_H
#define GLASSPROXY_HTTP_LISTEN_H

#include "conf/conf.h"

struct listener;

conf_parser listen_parse;

/* Where server S, at D, listens though no `listen` says so: port 80, or 8000 without root. */
void listen_add_default(struct conf *c, struct directive *d);

/* Sets the options of L on its socket FD, before bind(). */
void listen_set_options(const struct listener *l, int fd);

#endif
