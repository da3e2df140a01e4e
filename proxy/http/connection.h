/*
 * Connections of clients: accepting, reading requests, keep-alive, closing.
 */
#ifndef GLASSPROXY_HTTP_CONNECTION_H
#define GLASSPROXY_HTTP_CONNECTION_H

#include "http/core.h"
#include "http/output.h"
#include "loop/loop.h"
#include "util/buf.h"

struct request;

/* What serves: the loop and the configuration in force. One per process; tools make one of their own. */
struct worker {
    const char *(*reload)(void); /* takes on a new configuration; NULL, or why the old one stays */
    struct loop *loop;
    struct conf *conf;
    struct connection *connections;
    unsigned n_connections;
    unsigned connection_limit; /* worker_connections, of all workers there would be; 0: as many as descriptors */
    uint64_t n_accepted, n_requests, next_request_id, next_connection_number;
    bool is_quitting;
    void (*on_idle)(struct worker *w); /* the last connection closed while quitting */
};

enum connection_state {
    CONNECTION_IDLE,           /* waiting for a request's first byte */
    CONNECTION_READING_HEADER, /* a request has begun */
    CONNECTION_READING_BODY,
    CONNECTION_PROCESSING,
    CONNECTION_TUNNEL,    /* after 101: bytes both ways */
    CONNECTION_DISCARDING, /* answered; the rest of the body is awaited */
    CONNECTION_LINGERING, /* answered; reading what the client still sends */
};

struct connection {
    struct io io;
    struct timer timer, send_timer, rate_timer;
    struct worker *worker;
    struct conf *conf;
    const struct listener *listener;
    struct connection *next, *previous;
    struct arena *arena;
    struct address peer, local;
    uint64_t number;
    uint64_t opened_ms, lingering_until_ms;
    unsigned requests;
    enum connection_state state;
    struct buf unread; /* received, not yet consumed */
    struct output out;
    struct request *request;
    uint64_t idle_until_ms;
    bool is_cold; /* idle for so long that a few milliseconds do not matter */
    bool is_corked; /* tcp_nopush */
    bool is_closing, is_write_blocked, is_pipelining, peer_closed;
    /* the header buffers' bookkeeping (large_client_header_buffers) */
    size_t header_room;
    unsigned n_large_buffers;
};

/* Opens or takes over (from OLD, by address) the listening sockets of C. -1 with errors in the tree. */
int listeners_open(struct worker *w, struct conf *c, struct conf *old);
void listeners_close(struct worker *w, struct conf *c, struct conf *keep);

/* Reads into BUF: first what is unread, then from the socket. 0 at the end, -1 with errno. */
ssize_t connection_read(struct connection *c, char *buf, size_t n);

/* Writes what waits; watches the socket as far as needed. */
void connection_flush(struct connection *c);
void connection_close(struct connection *c);
/* Closes with a reset instead of the usual end, if reset_timedout_connection says so. */
void connection_reset(struct connection *c);
/* Sets what the socket is watched for. */
void connection_watch(struct connection *c);
/* The response of the connection's request is complete. */
void connection_request_done(struct request *r);
/* Closes idle connections: when reloading and quitting. */
void connections_close_idle(struct worker *w, const struct conf *of);
void conf_hold(struct conf *c);
void conf_release(struct conf *c);
/* The address the client connected to. */
const struct address *connection_local(struct connection *c);

#endif
