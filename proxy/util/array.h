/*
 * A growing array in an arena. Growing leaves the old items in the arena, so a pointer to an item stays
 * readable but goes stale: keep indexes, or pointers after the last push.
 */
#ifndef GLASSPROXY_UTIL_ARRAY_H
#define GLASSPROXY_UTIL_ARRAY_H

#include <string.h>

#include "util/arena.h"

/* Declares an array type of T; all zero is empty. */
#define ARRAY_OF(T)          \
    struct {                 \
        T *items;            \
        size_t n, capacity;  \
    }

/* Appends a cleared item and yields a pointer to it. */
#define ARRAY_PUSH(a, arena)                                                                           \
    (array_grow((arena), (void **)&(a)->items, &(a)->n, &(a)->capacity, sizeof *(a)->items),           \
     &(a)->items[(a)->n - 1])

static inline void array_grow(struct arena *arena, void **items, size_t *n, size_t *capacity, size_t bytes)
{
    if (*n == *capacity) {
        size_t more = *capacity ? *capacity * 2 : 8;
        void *p = arena_alloc(arena, more * bytes);
        if (*n)
            memcpy(p, *items, *n * bytes);
        *items = p;
        *capacity = more;
    }
    memset((char *)*items + *n * bytes, 0, bytes);
    ++*n;
}

#endif
