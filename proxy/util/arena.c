/*
 * Arenas: a chain of blocks, each filled from its start; requests larger than a quarter of a block get
 * a block of their own, so that little is wasted at a block's end.
 */
#include "util/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "util/mem.h"

enum { ALIGNMENT = 16, SPARE_BLOCKS = 256, SPARE_BYTES = 8192 };

struct block {
    struct block *next;
    size_t capacity_bytes;
};

struct cleanup {
    struct cleanup *next;
    void (*run)(void *data);
    void *data;
};

struct arena {
    struct block *blocks; /* the one being filled is first */
    char *at, *end;       /* free part of the first block */
    size_t block_bytes;
    struct cleanup *cleanups;
};

/* Blocks of the common size are kept for the next request instead of going through the heap. */
static struct block *spare;
static unsigned n_spare;

static size_t rounded(size_t bytes)
{
    return (bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
}

static struct block *block_new(size_t bytes)
{
    struct block *b;

    if (bytes == SPARE_BYTES && spare) {
        b = spare;
        spare = b->next;
        n_spare--;
    } else {
        b = mem_alloc(bytes);
    }
    b->next = NULL;
    b->capacity_bytes = bytes;
    return b;
}

static void block_free(struct block *b)
{
    if (b->capacity_bytes == SPARE_BYTES && n_spare < SPARE_BLOCKS) {
        b->next = spare;
        spare = b;
        n_spare++;
        return;
    }
    mem_free(b);
}

struct arena *arena_new(size_t block_bytes)
{
    size_t head = rounded(sizeof(struct block));
    struct block *b;
    struct arena *a;

    if (block_bytes < 1024)
        block_bytes = 1024;
    b = block_new(block_bytes);
    a = (struct arena *)((char *)b + head);
    a->blocks = b;
    a->at = (char *)a + rounded(sizeof *a);
    a->end = (char *)b + block_bytes;
    a->block_bytes = block_bytes;
    a->cleanups = NULL;
    return a;
}

void arena_free(struct arena *a)
{
    struct block *b, *next;

    for (struct cleanup *c = a->cleanups; c; c = c->next)
        c->run(c->data);
    for (b = a->blocks; b; b = next) {
        next = b->next;
        block_free(b);
    }
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    size_t head = rounded(sizeof(struct block));
    struct block *b;
    char *p;

    if (bytes > SIZE_MAX / 2) {
        return mem_alloc(bytes); /* fails there, in the one place for it */
    }
    bytes = rounded(bytes);
    if ((size_t)(a->end - a->at) >= bytes) {
        p = a->at;
        a->at += bytes;
        return p;
    }
    if (bytes > a->block_bytes / 4) {
        b = block_new(head + bytes);
        b->next = a->blocks->next; /* behind the block being filled */
        a->blocks->next = b;
        return (char *)b + head;
    }
    b = block_new(a->block_bytes);
    b->next = a->blocks;
    a->blocks = b;
    p = (char *)b + head;
    a->at = p + bytes;
    a->end = (char *)b + a->block_bytes;
    return p;
}

void *arena_zalloc(struct arena *a, size_t bytes)
{
    return memset(arena_alloc(a, bytes), 0, bytes);
}

char *arena_dup(struct arena *a, const char *p, size_t n)
{
    char *q = arena_alloc(a, n + 1);

    if (n)
        memcpy(q, p, n);
    q[n] = '\0';
    return q;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_dup(a, s.p, s.n), s.n};
}

struct str arena_lower(struct arena *a, struct str s)
{
    char *p = arena_dup(a, s.p, s.n);

    for (size_t i = 0; i < s.n; i++)
        p[i] = ascii_lower(p[i]);
    return (struct str){p, s.n};
}

struct str arena_cat(struct arena *a, struct str x, struct str y)
{
    char *p = arena_alloc(a, x.n + y.n + 1);

    if (x.n)
        memcpy(p, x.p, x.n);
    if (y.n)
        memcpy(p + x.n, y.p, y.n);
    p[x.n + y.n] = '\0';
    return (struct str){p, x.n + y.n};
}

struct str arena_vprintf(struct arena *a, const char *format, va_list args)
{
    va_list again;
    char small[256];
    char *p;
    int n;

    va_copy(again, args);
    n = vsnprintf(small, sizeof small, format, args);
    if (n < 0)
        n = 0;
    p = arena_alloc(a, (size_t)n + 1);
    if ((size_t)n < sizeof small)
        memcpy(p, small, (size_t)n + 1);
    else
        vsnprintf(p, (size_t)n + 1, format, again);
    va_end(again);
    return (struct str){p, (size_t)n};
}

struct str arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    struct str s;

    va_start(args, format);
    s = arena_vprintf(a, format, args);
    va_end(args);
    return s;
}

void arena_on_free(struct arena *a, void (*run)(void *data), void *data)
{
    struct cleanup *c = arena_alloc(a, sizeof *c);

    *c = (struct cleanup){a->cleanups, run, data};
    a->cleanups = c;
}
