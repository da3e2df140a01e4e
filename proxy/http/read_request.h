/*
 * From bytes to a request: the request line, the header, and what RFC 9112 wants checked before a server acts on it.
 */
#ifndef GLASSPROXY_HTTP_READ_REQUEST_H
#define GLASSPROXY_HTTP_READ_REQUEST_H

#include "http/request.h"

/* A request begins on C, with what C has unread. */
void read_request_start(struct connection *c);
/* Parses what R's connection has unread; runs the phases when the header is complete. */
void read_request(struct request *r);
/* Chooses the server for HOST (lower-cased, without port) on R's address. */
void request_set_server(struct request *r, struct str host);
/* Sets the URI and its parts from URI, the target without scheme and host. False if it is invalid. */
bool request_set_target(struct request *r, struct str uri);
enum method request_method_of(struct str name);
/* Ends R: log phase, and its memory. The connection stays. */
void request_finish_log(struct request *r);
/* The connection goes away under R. */
void request_abandon(struct request *r);

#endif
