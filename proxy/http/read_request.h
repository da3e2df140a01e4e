/*
 * From bytes to a request: the request line, the header, and what RFC 9112 wants checked before a server acts on it.
 */
#ifndef GLASSPROXY_HTTP_READ_REQUEST_H
#define GLASSPROXY_HTTP_READ_REQUEST_H

struct connection;
struct request;

/* A request begins on C. */
void read_request_start(struct connection *c);
/* Parses what C has unread; runs the phases when the header is complete. */
void read_request(struct connection *c);
/* Ends R: log phase, and its memory. The connection stays. */
void request_finish_log(struct request *r);
/* The connection goes away under R. */
void request_abandon(struct request *r);

#endif
