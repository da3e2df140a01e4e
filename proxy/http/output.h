/*
 * What waits to be written to a socket: memory and parts of files, in order.
 */
#ifndef GLASSPROXY_HTTP_OUTPUT_H
#define GLASSPROXY_HTTP_OUTPUT_H

#include <stdbool.h>
#include <sys/types.h>

#include "util/str.h"

struct span;

/* All zero is empty. */
struct output {
    struct span *first, *last;
    size_t memory_bytes; /* waiting in memory: the measure of back-pressure */
    unsigned long long waiting_bytes, written_bytes;
    bool copies_files;      /* read and written instead of sendfile() */
    size_t file_chunk_bytes; /* the most of a file in one call; 0: as much as it takes */
};

/* Appends a copy of S. */
void output_add(struct output *o, struct str s);
/* Appends LENGTH bytes of FD from OFFSET; FD stays the caller's and must live until written. */
void output_add_file(struct output *o, int fd, off_t offset, off_t length);

enum output_result { OUTPUT_EMPTY, OUTPUT_BLOCKED, OUTPUT_FAILED };

/* Writes at most LIMIT bytes (0: no limit) as far as SOCKET takes them. OUTPUT_FAILED leaves errno. */
enum output_result output_write(struct output *o, int socket, size_t limit);
void output_clear(struct output *o);

#endif
