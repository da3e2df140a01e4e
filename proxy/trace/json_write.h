/*
 * Writing JSON into a buffer. Commas are put where they belong; bytes that are no UTF-8 are written as U+0080 to U+00FF.
 */
#ifndef GLASSPROXY_TRACE_JSON_WRITE_H
#define GLASSPROXY_TRACE_JSON_WRITE_H

#include "util/buf.h"

/* KEY may be NULL inside arrays. */
void write_open(struct buf *b, const char *key, char bracket);
void write_close(struct buf *b, char bracket);
void write_str(struct buf *b, const char *key, struct str value);
void write_num(struct buf *b, const char *key, long long value);
void write_bool(struct buf *b, const char *key, bool value);
void write_null(struct buf *b, const char *key);

#endif
