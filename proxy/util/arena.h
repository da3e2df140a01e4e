/*
 * Arenas: memory that is freed all at once.
 *
 * One arena per configuration, per connection that needs one, and per request. What is in an arena is
 * never freed alone. Allocation does not return NULL (util/mem.h says what happens instead).
 */
#ifndef GLASSPROXY_UTIL_ARENA_H
#define GLASSPROXY_UTIL_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "util/str.h"

struct arena;

/* A new arena that takes memory from the heap in pieces of at least BLOCK_BYTES. */
struct arena *arena_new(size_t block_bytes);

/* Runs the registered clean-ups, newest first, and frees everything. */
void arena_free(struct arena *a);

/* BYTES of memory aligned for any type; arena_zalloc() clears it. */
void *arena_alloc(struct arena *a, size_t bytes);
void *arena_zalloc(struct arena *a, size_t bytes);

/* Copies; the result is NUL-terminated behind its length. */
char *arena_dup(struct arena *a, const char *p, size_t n);
struct str arena_str(struct arena *a, struct str s);
/* S with ASCII letters lower-cased. */
struct str arena_lower(struct arena *a, struct str s);
struct str arena_cat(struct arena *a, struct str x, struct str y);
struct str arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
struct str arena_vprintf(struct arena *a, const char *format, va_list args);

/* Calls RUN(DATA) when the arena is freed. */
void arena_on_free(struct arena *a, void (*run)(void *data), void *data);

#endif
