/*
 * Bodies as they passed, for those who watch: the beginning of each (glass_body), kept only while a client of the control
 * socket is attached.
 */
#ifndef GLASSPROXY_TRACE_CAPTURE_H
#define GLASSPROXY_TRACE_CAPTURE_H

#include "http/request.h"
#include "util/buf.h"

enum captured_body { CAPTURED_REQUEST, CAPTURED_RESPONSE };

struct captured {
    char *data;
    size_t n, room;
    unsigned long long total_bytes;
};

struct capture {
    struct captured request, response;
};

/* Whether bodies are kept now: somebody is attached. */
void capture_enable(bool is_enabled);

void capture_add(struct request *r, enum captured_body which, struct str s);
/* LENGTH bytes of FD from OFFSET. */
void capture_add_file(struct request *r, enum captured_body which, int fd, off_t offset, off_t length);

/* What is kept of the body, as text for JSON ("text", or "base64"), and whether it is all ("total", "kept"). With DECODES
 * the content coding (gzip, deflate) is undone. NULL, or why not. */
const char *capture_describe(struct buf *b, struct request *r, enum captured_body which, bool decodes);


/* Whether undoing the response's content coding leaves gzip data. */
bool capture_is_compressed_twice(const struct request *r);

#endif
