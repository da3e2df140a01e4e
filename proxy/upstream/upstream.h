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
    unsigned max_fails, fails;
    uint64_t fail_timeout_ms, failed_ms, checked_ms;
    bool is_down, is_backup;
    const struct directive *directive;
};

/* An upstream block, or the addresses behind one host name. */
struct upstream_group {
    struct str name;
    unsigned port; /* 0: an upstream block */
    const struct directive *directive;
    ARRAY_OF(struct peer) peers;
};

extern struct module upstream_module;

/* The upstream block called NAME, or NULL. */
struct upstream_group *upstream_group_find(struct conf *c, struct str name);

enum upstream_state {
    UPSTREAM_CONNECTING,
    UPSTREAM_SENDING_REQUEST,
    UPSTREAM_READING_HEADER,
    UPSTREAM_READING_BODY,
    UPSTREAM_FINISHED,
};

/* What a protocol brings. */
struct codec {
    const char *name;
    void (*build_request)(struct request *r, struct buf *out);
    /* Looks at what was read; consumes the header. 0: more is needed; 1: complete; -1: invalid. */
    int (*parse_header)(struct request *r);
    /* Makes the client's response of the upstream's. */
    void (*process_header)(struct request *r);
};

struct upstream_settings {
    uint64_t connect_timeout_ms, send_timeout_ms, read_timeout_ms;
    size_t buffer_size_bytes, buffers_bytes;
    bool is_buffering;
    unsigned next_upstream; /* NEXT_* bits */
    unsigned tries;
    uint64_t next_timeout_ms;
};

enum { NEXT_ERROR = 1, NEXT_TIMEOUT = 2, NEXT_INVALID_HEADER = 4, NEXT_500 = 8, NEXT_502 = 16, NEXT_503 = 32, NEXT_504 = 64,
       NEXT_403 = 128, NEXT_404 = 256, NEXT_429 = 512, NEXT_NON_IDEMPOTENT = 1024, NEXT_OFF = 2048 };

/* One attempt at one peer, for the trace and $upstream_*. */
struct attempt {
    struct str peer;
    unsigned status;
    long connect_ms, header_ms, response_ms; /* -1: not reached */
    uint64_t bytes_received, bytes_sent, started_ms;
};

struct upstream {
    const struct codec *codec;
    struct upstream_group *group;
    struct upstream_settings settings;
    enum upstream_state state;
    struct peer *peer;
    uint64_t tried; /* bits of peers tried */
    unsigned tries_left;
    uint64_t started_ms;
    struct io io;
    struct timer timer;
    struct output out;
    bool is_body_queued;
    struct buf in;
    /* what the codec found */
    struct status_line status;
    field_array fields;
    bool is_chunked, keeps_alive;
    long long rest_bytes; /* of the body; -1: until the end of the connection */
    struct chunked chunked;
    struct str host_field; /* for $proxy_host */
    struct str scheme, port_text;
    struct str request_head; /* as sent */
    field_array request_fields;
    ARRAY_OF(struct attempt) attempts;
    void *data; /* the codec's */
};

/* Starts asking for R, whose body has been read. R->upstream is set up by the caller. */
void upstream_start(struct request *r);
/* The client's socket has room again. */
void upstream_client_drained(struct request *r);
/* The client went away. True if that ended the request. */
bool upstream_client_gone(struct request *r);
/* Frees what R's upstream holds. */
void upstream_release(struct request *r);

#endif
