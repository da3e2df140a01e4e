/*
 * Heap memory with one policy for failure: see mem.h.
 */
#include "util/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void exit_without_memory(size_t bytes)
{
    fprintf(stderr, "glassproxy: [emerg] no memory for %zu bytes\n", bytes);
    exit(1);
}

static mem_failure_handler *on_failure = exit_without_memory;
static unsigned long allocations_until_failure;

mem_failure_handler *mem_on_failure(mem_failure_handler *handler)
{
    mem_failure_handler *before = on_failure;

    on_failure = handler ? handler : exit_without_memory;
    return before;
}

void mem_fail_after(unsigned long n)
{
    allocations_until_failure = n;
}

void *mem_realloc(void *p, size_t bytes)
{
    void *q = NULL;

    if (allocations_until_failure == 0 || --allocations_until_failure > 0)
        q = realloc(p, bytes ? bytes : 1);
    if (!q) {
        on_failure(bytes);
        abort();
    }
    return q;
}

void *mem_alloc(size_t bytes)
{
    return mem_realloc(NULL, bytes);
}

void *mem_zalloc(size_t bytes)
{
    return memset(mem_alloc(bytes), 0, bytes);
}

void mem_free(void *p)
{
    free(p);
}
