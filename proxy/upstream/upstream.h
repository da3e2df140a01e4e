/*
 * The one upstream machine: choosing a peer, connecting, sending, reading the answer, trying the next peer.
 *
 * What is particular to a protocol is in a codec (upstream/codec/): building the request and parsing the response
 * header. Framing of the body is told by the codec's header parser.
 */
#ifndef GLASSPROXY_UPSTREAM_UPSTREAM_H
#define GLASSPROXY_UPSTREAM_UPSTREAM_H

#include "http/core.h"
#include "http/output.h"
#include "http/request.h"
#include "loop/loop.h"
#include "util/buf.h"

/* One server of a group. */
struct peer {
    struct address address;
    struct str name; /* as configured, with port */
    int weight, current_weight, effective_weight;
    unsigned max_fails, fails, max_conns, conns;
    uint64_t asked; /* how often, for the statistics */
    uint64_t fail_timeout_s, accessed_s, checked_s; /* of the loop's clock */
    bool is_down, is_backup;
    const struct directive *directive;
};

struct idle_peer_connection;

/* Idle connections of a group (keepalive). */
struct pool {
    struct setting keepalive, keepalive_requests, keepalive_time, keepalive_timeout;
    struct idle_peer_connection *newest, *oldest;
    unsigned n;
    struct loop *loop;
};

/* An upstream block, or the addresses behind a host name in proxy_pass. */
struct upstream_group {
    struct str name;
    unsigned port; /* 0: an upstream block */
    const struct directive *directive;
    ARRAY_OF(struct peer) peers;
    struct pool pool;
};

extern struct module upstream_module;

/* The upstream block or implicit group NAME; PORT 0: without a port. NULL if there is none. */
struct upstream_group *upstream_group_find(struct conf *c, struct str name, unsigned port);
/* The groups of C one by one; NULL behind the last. */
struct upstream_group *upstream_group_at(struct conf *c, size_t i);
/* Keeps an implicit group findable. */
void upstream_group_add(struct conf *c, struct upstream_group *g);

enum upstream_state {
    UPSTREAM_STARTING, /* no connection yet: the name is being resolved */
    UPSTREAM_CONNECTING,
    UPSTREAM_SENDING_REQUEST,
    UPSTREAM_READING_HEADER,
    UPSTREAM_READING_BODY,
    UPSTREAM_TUNNEL, /* 101: bytes both ways */
    UPSTREAM_FINISHED,
};

enum header_result { HEADER_COMPLETE, HEADER_AGAIN, HEADER_INVALID };

/* What a protocol brings. */
struct codec {
    const char *name;
    /* Decides what the request is: method, uri, request_fields, body. */
    void (*build_request)(struct request *r);
    /* Writes its head. */
    void (*write_request)(struct request *r, struct buf *out);
    /* Looks at what was read; consumes the header when it is complete. */
    enum header_result (*parse_header)(struct request *r);
    /* Makes the client's response of the upstream's. */
    void (*process_header)(struct request *r);
};

struct upstream_settings {
    uint64_t connect_timeout_ms, send_timeout_ms, read_timeout_ms;
    size_t buffer_size_bytes, buffers_bytes;
    long long max_temp_bytes;
    const struct temp_place *temp_place;
    bool is_buffering, ignores_client_abort, has_socket_keepalive, is_transparent, intercepts_errors;
    unsigned next_upstream; /* NEXT_* bits */
    unsigned tries;
    uint64_t next_timeout_ms;
    size_t limit_rate;
    const struct address *bind; /* NULL: any */
};

enum { NEXT_ERROR = 1, NEXT_TIMEOUT = 2, NEXT_INVALID_HEADER = 4, NEXT_500 = 8, NEXT_502 = 16, NEXT_503 = 32, NEXT_504 = 64,
       NEXT_403 = 128, NEXT_404 = 256, NEXT_429 = 512, NEXT_NON_IDEMPOTENT = 1024, NEXT_OFF = 2048 };

/* How an attempt failed; its "why" says the same in words. */
enum attempt_failure {
    FAILURE_NONE,
    FAILURE_NO_PEER, /* none of the group is usable */
    FAILURE_REFUSED,
    FAILURE_UNREACHABLE,
    FAILURE_CLOSED, /* without a complete answer */
    FAILURE_RESET,
    FAILURE_CONNECT_TIMEOUT,
    FAILURE_SEND_TIMEOUT,
    FAILURE_READ_TIMEOUT,
    FAILURE_HEADER_TOO_BIG,
    FAILURE_HEADER_INVALID,
    FAILURE_STATUS, /* proxy_next_upstream asks elsewhere for it */
};

/* One attempt at one peer, for the trace and $upstream_*. An empty peer separates those of internal redirects. */
struct attempt {
    struct str peer;
    const struct directive *directive;
    struct str why; /* this peer was chosen, and how it ended */
    unsigned status;
    enum attempt_failure failure;
    long connect_ms, header_ms, response_ms; /* -1: not reached */
    uint64_t bytes_received, bytes_sent, response_bytes, started_ms;
    bool is_reused;
};

struct attempts {
    ARRAY_OF(struct attempt) all;
};

struct upstream {
    const struct codec *codec;
    const struct directive *directive; /* that asks: proxy_pass */
    struct upstream_group *group;
    struct peer *forced_peer; /* a person wants this one; NULL: none does */
    struct upstream_settings settings;
    enum upstream_state state;
    struct peer *peer;
    uint64_t *tried; /* bits of peers tried */
    bool tries_backups;
    unsigned tries_left;
    uint64_t started_ms;
    struct io io;
    struct timer timer;
    struct output out;
    bool was_sent, is_reused, is_delayed;
    bool is_drained; /* the last read left nothing in the socket */
    unsigned connection_requests;
    uint64_t connection_opened_ms;
    /* the request's body */
    bool passes_body, is_streaming, is_rechunked, is_body_sent;
    struct str method, uri; /* of the request to the upstream */
    struct str body; /* proxy_set_body, or a person's */
    struct buf in;
    uint64_t read_bytes, reading_since_ms;
    /* what the codec found */
    struct status_line status;
    field_array fields;
    bool is_chunked, is_head, keeps_alive, closes, is_upgraded;
    long long rest_bytes; /* of the body; -1: until the end of the connection */
    struct chunked chunked;
    struct str host_field; /* for $proxy_host */
    struct str scheme, port_text;
    struct str request_head; /* as sent */
    struct str response_head;
    field_array request_fields;
    int temp_fd;
    long long temp_bytes;
    struct resolver_query *query;
    struct str resolve_error; /* "" if there was none */
    void *data; /* the codec's */
};

/* Starts asking for R; R->upstream was set up by the caller. The body has been read, or is being streamed. */
void upstream_start(struct request *r);
/* There is more of a streamed body. */
void upstream_body_ready(struct request *r);
/* The client's socket has room again. */
void upstream_client_drained(struct request *r);
/* The client sent bytes through a tunnel, or closed. */
void upstream_client_event(struct request *r);
bool upstream_takes_client_bytes(const struct request *r);
/* The client went away. True if that ended the request. */
bool upstream_client_gone(struct request *r);
/* Ends R with STATUS. */
void upstream_fail(struct request *r, unsigned status);
/* R waits for a person: nothing is read or written, no time-out runs. */
void upstream_park(struct request *r);
/* Writes the request's head anew, after something of it was changed. */
void upstream_write_request(struct request *r);
/* BODY goes in place of the client's. */
void upstream_replace_body(struct request *r, struct str body);
/* The peer at ADDRESS (a text with port) is asked next, of the group or not. NULL, or why it cannot be. */
const char *upstream_force_peer(struct request *r, struct str address);
/* In a dry run: HEAD is what the upstream would answer; it goes as far as the header of the response. */
void upstream_pretend_answer(struct request *r, struct str head);
/* Frees what R's upstream holds. */
void upstream_release(struct request *r);

/* $upstream_*. */
void upstream_variables_declare(struct conf *c);

#endif
