/*
 * Request bodies: reading them whole (into memory, then a temporary file) or as they come, and discarding them.
 */
#ifndef GLASSPROXY_HTTP_REQUEST_BODY_H
#define GLASSPROXY_HTTP_REQUEST_BODY_H

#include "http/request.h"
#include "util/buf.h"

struct request_body {
    struct buf memory; /* what is not in the file */
    struct buf kept;   /* of a streamed body, the beginning, for $request_body */
    int fd;            /* -1: no file */
    struct str path;
    long long file_bytes, received_bytes, rest_bytes;
    struct chunked chunked;
    bool is_complete, is_streaming, is_discarding, is_bad;
    void (*done)(struct request *r, unsigned status); /* 0: all is read, or (streaming) more is there */
};

enum request_body_result { REQUEST_BODY_READ, REQUEST_BODY_AGAIN, REQUEST_BODY_BAD };

/* Reads the whole body, then calls DONE (perhaps before returning). */
void request_body_read(struct request *r, void (*done)(struct request *r, unsigned status));
/* Calls DONE whenever there is more in memory, and when it is complete. */
void request_body_stream(struct request *r, void (*done)(struct request *r, unsigned status));
/* Goes on reading a streamed body, after memory was drained. */
void request_body_more(struct request *r);
enum request_body_result request_body_discard(struct request *r);
/* The handler does not want the body: answers Expect: 100-continue and drops what is there of it. A status, 0 if
 * all is well. */
unsigned request_body_ignore(struct request *r);
bool request_body_is_read(const struct request *r);
void request_body_event(struct request *r);
void request_body_timed_out(struct request *r);
void request_body_release(struct request *r);

#endif
