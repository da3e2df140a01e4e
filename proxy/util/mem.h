/*
 * Heap memory with one policy for failure.
 *
 * Every allocation of the program goes through here. When the system has no memory left, mem_alloc()
 * does not return NULL: it calls the failure handler. While the configuration is read the handler ends
 * the program; while an event is being handled the loop's handler unwinds to that event, and the
 * connection it belonged to is dropped (loop/loop.h). mem_fail_after() lets tests make any allocation fail.
 */
#ifndef GLASSPROXY_UTIL_MEM_H
#define GLASSPROXY_UTIL_MEM_H

#include <stddef.h>

/* Called with the number of bytes that could not be had. Must not return. */
typedef void mem_failure_handler(size_t bytes);

/* Installs HANDLER and returns the one before it; NULL restores the default (message, exit 1). */
mem_failure_handler *mem_on_failure(mem_failure_handler *handler);

/* Makes the Nth allocation from now fail once (1 is the next one); 0 switches that off. For tests. */
void mem_fail_after(unsigned long n);

/* Allocates BYTES (0 is allowed). The caller owns the result and gives it back with mem_free(). */
void *mem_alloc(size_t bytes);
void *mem_zalloc(size_t bytes);
void *mem_realloc(void *p, size_t bytes);
void mem_free(void *p);

#endif
