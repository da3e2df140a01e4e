/*
 * A growing byte buffer on the heap: bytes are appended at the end and consumed from the start.
 */
#ifndef GLASSPROXY_UTIL_BUF_H
#define GLASSPROXY_UTIL_BUF_H

#include <stddef.h>

#include "util/str.h"

/* All zero is an empty buffer. The bytes are data[start..end). */
struct buf {
    char *data;
    size_t start, end, capacity_bytes;
};

static inline size_t buf_len(const struct buf *b)
{
    return b->end - b->start;
}

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->data ? b->data + b->start : "", b->end - b->start};
}

/* Room for N more bytes; returns where they go. */
char *buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, struct str s);
void buf_addz(struct buf *b, const char *z);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first N bytes. */
void buf_consume(struct buf *b, size_t n);
void buf_free(struct buf *b);

#endif
