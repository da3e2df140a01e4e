/*
 * A request: what every phase reads and writes.
 *
 * It lives in its own arena from the first byte of the request line until the log phase, and longer if the
 * ring of finished requests keeps it (trace/ring.h). What came in is never overwritten: the trace shows it beside
 * what was made of it.
 */
#ifndef GLASSPROXY_HTTP_REQUEST_H
#define GLASSPROXY_HTTP_REQUEST_H

#include <stdint.h>
#include <sys/types.h>

#include "http/core.h"
#include "http/field.h"
#include "http/parse.h"
#include "loop/loop.h"
#include "phases/phase.h"
#include "vars/vars.h"

struct connection;
struct upstream;
struct attempts;
struct hold;
struct trace_steps;
struct body_filter;
struct edits;
struct capture;
struct request_body;

enum method { METHOD_OTHER, METHOD_GET, METHOD_HEAD, METHOD_POST, METHOD_PUT, METHOD_DELETE, METHOD_OPTIONS,
              METHOD_CONNECT, METHOD_TRACE };

/* A phase that the request was in; internal redirects visit some again. */
struct visit {
    enum phase phase;
    uint64_t us; /* since the request began */
    struct str uri; /* as it was then */
    const struct location *location;
};

/* Bytes START up to END of the body (RFC 9110 14). */
struct byte_range {
    long long start, end;
    struct str part_header; /* of multipart/byteranges */
};

/* What waits for the body filters: TEXT, or LENGTH bytes of FD (not -1) from OFFSET. */
struct body_piece {
    struct str text;
    int fd;
    off_t offset, length;
};

/* The response as the proxy makes it; the header filters complete it. */
struct response {
    unsigned status;
    struct str status_line; /* "404 Nope" of an upstream; "" for the standard words */
    field_array fields;     /* without those that have a place of their own below */
    field_array trailers;
    struct str content_type, charset, override_charset; /* X-Accel-Charset */
    struct origin content_type_origin;
    long long content_length; /* -1: not known */
    time_t last_modified;     /* -1: none */
    bool is_header_sent, is_header_only, is_chunked, has_trailers;
    bool lacks_server, lacks_date; /* none is made where there is none */
    bool allows_ranges, single_range, is_not_cacheable /* not to be answered with 304 */;
    unsigned replaced_by; /* the status of an error page that a filter wants instead; 0: none */
    bool drops_body;      /* … and so the body that was to follow */
    ARRAY_OF(struct byte_range) ranges;
    struct str parts_end;
    long long body_offset; /* of what response_write() gets next */
    struct body_filter *body_filters; /* filters/body.h; NULL: none */
    ARRAY_OF(struct body_piece) pieces; /* wait to go through the filters */
    size_t next_piece;
    bool ends_after_pieces, may_be_gzipped;
    unsigned long long gzip_in_bytes, gzip_out_bytes;
    struct str head; /* as sent */
    void (*write_body)(struct request *r); /* behind the header */
    struct str text;                       /* a body of the proxy's own */
    int file_fd;                           /* or of a file */
    off_t file_bytes;
};

struct request {
    struct connection *connection;
    struct arena *arena;
    struct conf *conf;
    const struct server *server;
    void **srv_conf, **loc_conf; /* by module index */
    const struct location *location; /* the one chosen; loc_conf may be an `if` inside it */

    const struct address *client; /* the connection's peer, or what a trusted proxy says (realip) */
    struct trace_steps *steps;
    struct edits *edits;     /* by people, while it was held; NULL: none */
    struct capture *captured; /* the bodies, if somebody was attached */
    struct hold *hold;            /* it waits for a person here (trace/hold.h); NULL: it does not */
    unsigned char step;           /* enum step: where it stops next */
    enum phase step_from;
    struct request *next_finished; /* in the ring */
    const struct address *server_address; /* where the client connected to; set when finished */
    struct str location_uri;              /* what the location was chosen by */
    const struct listener *listener;
    uint64_t id, connection_number;
    unsigned number_on_connection; /* from 1 */
    struct str request_id;
    double start_time;           /* seconds since the epoch, for $msec-like uses */
    uint64_t started_ms;         /* of the loop's clock */
    uint64_t finished_us, started_us;
    ARRAY_OF(struct visit) visits;

    /* the request line */
    struct str original_method;
    struct str request_line, method_name, target, host; /* host: lower-cased, without port */
    struct str unparsed_uri;                            /* $request_uri */
    enum method method;
    unsigned version;
    struct str uri, args, exten; /* as they are now */
    struct str original_uri;     /* normalised, before any rewriting */
    bool adds_uri_to_alias; /* try_files in a regular expression's location with alias */
    bool has_location_prefix; /* the location's name is a prefix of the URI: no `rewrite … break` */
    bool is_uri_quoted, has_plus_in_uri, has_valid_unparsed_uri;
    bool is_internal;
    unsigned uri_changes;

    field_array fields; /* the header */
    long long content_length; /* -1: none */
    bool is_chunked;
    bool keeps_alive, is_pipelined;
    bool expects_continue;
    struct request_body *body;

    enum phase phase;
    struct timer waiting; /* of a phase that answered AGAIN */
    unsigned char limit_req_status; /* enum limit_status of limit_req.c */
    bool is_truncated; /* the response could not be completed */
    bool is_finished, is_dry_run, is_error_page;
    unsigned error_status; /* the status that error_page stands in for; 0: none */
    size_t header_bytes, request_bytes;

    struct value *values; /* by variable index */
    unsigned variable_depth; /* variables made of variables: an end to loops */
    struct captures captures;

    struct response response;
    struct upstream *upstream;
    struct attempts *attempts; /* at upstreams, those before internal redirects too */
    uint64_t body_bytes_sent, bytes_sent;
    int limit_rate; /* bytes a second; -1: as configured */
};

#define REQUEST_LOC(r, module) ((r)->loc_conf[(module).index])
#define REQUEST_SRV(r, module) ((r)->srv_conf[(module).index])

#endif
