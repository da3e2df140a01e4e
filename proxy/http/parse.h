/*
 * Parsing the lines of HTTP/1.x messages (RFC 9112).
 *
 * The parsers are pure: they look at the bytes that are there and say DONE, AGAIN (the line is not complete)
 * or why it is bad. They are called anew with more bytes; a line is bounded by the header buffers.
 */
#ifndef GLASSPROXY_HTTP_PARSE_H
#define GLASSPROXY_HTTP_PARSE_H

#include "util/str.h"

enum parse_result {
    PARSE_DONE,
    PARSE_AGAIN,
    PARSE_END_OF_HEADER,
    PARSE_INVALID_METHOD,
    PARSE_INVALID_REQUEST,
    PARSE_INVALID_09_METHOD, /* HTTP/0.9 has only GET */
    PARSE_INVALID_VERSION,
    PARSE_INVALID_HEADER,
};

struct request_line {
    struct str method, target; /* target: as sent, e.g. "http://host/path?args" or "/path" */
    struct str schema, host;   /* of the absolute form; host has no port */
    struct str host_port;      /* host with its port as written */
    struct str uri;            /* the target without schema and host; "" for "*"-less empty paths */
    unsigned version;          /* 9 for HTTP/0.9, 1000, 1001 */
    size_t consumed;
    struct str line; /* without the line end */
};

/* RFC 9112 3; strictness is nginx's. */
enum parse_result parse_request_line(struct str in, struct request_line *out);

enum underscores { REFUSE_UNDERSCORES, ALLOW_UNDERSCORES };

struct header_line {
    struct str name, value;
    bool is_invalid; /* a name with characters nginx ignores the field for */
    size_t consumed;
};

/* RFC 9112 5. PARSE_END_OF_HEADER at the empty line. */
enum parse_result parse_header_line(struct str in, enum underscores underscores, struct header_line *out);

struct status_line {
    unsigned version; /* 1000, 1001 */
    unsigned code;
    struct str status; /* "200 OK" as sent */
    size_t consumed;
};

/* RFC 9112 4. */
enum parse_result parse_status_line(struct str in, struct status_line *out);

/* The chunked coding (RFC 9112 7.1), decoded as it arrives. All zero is the start. */
struct chunked {
    int state;
    unsigned long size; /* bytes left in the chunk */
    unsigned long needs; /* at least so many more bytes must come */
    bool keeps_trailers; /* stop at the start of the trailer section */
};

enum chunked_result { CHUNKED_DATA, CHUNKED_AGAIN, CHUNKED_DONE, CHUNKED_TRAILERS, CHUNKED_INVALID };

/* Consumes framing from IN. CHUNKED_DATA: DATA is the next piece of content, and is consumed too. */
enum chunked_result chunked_decode(struct chunked *c, struct str *in, struct str *data);

/* Lower-cases and checks a Host value: name without port and trailing dot, to OUT (as long as HOST).
 * Returns the length, -1 if invalid. */
long host_validate(struct str host, char *out);

#endif
