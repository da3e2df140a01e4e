/*
 * The last lines of the error log, for those who attach later.
 */
#ifndef GLASSPROXY_TRACE_LOG_RING_H
#define GLASSPROXY_TRACE_LOG_RING_H

#include "http/log.h"
#include "util/buf.h"

/* Keeps what is logged from now on; TELL (may be NULL) is called with each line, without its line end. */
void log_ring_open(void (*tell)(enum log_level level, struct str line));
void log_ring_close(void);
/* Member "lines", oldest first. */
void log_ring_describe(struct buf *b);
/* Members "level" and "line". */
void log_ring_describe_line(struct buf *b, enum log_level level, struct str line);

#endif
