/*
 * What waits to be written to a socket: see output.h. Memory is gathered in blocks and written with writev();
 * files go through sendfile().
 */
#include "http/output.h"

#include <errno.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>

#include "util/mem.h"

enum { COPY_BYTES = 32768, MAX_FILE_BYTES = 1 << 20, BLOCK_BYTES = 16384, SPARE_SPANS = 256, MAX_IOV = 16 };

struct span {
    struct span *next;
    int fd; /* -1: memory */
    off_t offset, length;
    size_t start, end, capacity_bytes;
    char data[];
};

static struct span *spare;
static unsigned n_spare;

static struct span *span_new(size_t bytes)
{
    struct span *s;

    if (bytes == BLOCK_BYTES && spare) {
        s = spare;
        spare = s->next;
        n_spare--;
    } else {
        s = mem_alloc(sizeof *s + bytes);
    }
    s->next = NULL;
    s->fd = -1;
    s->start = s->end = 0;
    s->capacity_bytes = bytes;
    return s;
}

static void span_free(struct span *s)
{
    if (s->capacity_bytes == BLOCK_BYTES && n_spare < SPARE_SPANS) {
        s->next = spare;
        spare = s;
        n_spare++;
    } else {
        mem_free(s);
    }
}

static void append(struct output *o, struct span *s)
{
    if (o->last)
        o->last->next = s;
    else
        o->first = s;
    o->last = s;
}

void output_add(struct output *o, struct str s)
{
    o->memory_bytes += s.n;
    o->waiting_bytes += s.n;
    while (s.n) {
        struct span *last = o->last;
        size_t n;
        if (!last || last->fd >= 0 || last->end == last->capacity_bytes) {
            last = span_new(BLOCK_BYTES);
            append(o, last);
        }
        n = last->capacity_bytes - last->end;
        if (n > s.n)
            n = s.n;
        memcpy(last->data + last->end, s.p, n);
        last->end += n;
        s = str_skip(s, n);
    }
}

void output_add_file(struct output *o, int fd, off_t offset, off_t length)
{
    struct span *s;

    if (length <= 0)
        return;
    s = span_new(0);
    s->fd = fd;
    s->offset = offset;
    s->length = length;
    o->waiting_bytes += (unsigned long long)length;
    append(o, s);
}

static void drop_first(struct output *o)
{
    struct span *s = o->first;

    o->first = s->next;
    if (!o->first)
        o->last = NULL;
    span_free(s);
}

static ssize_t write_memory(struct output *o, int socket, size_t limit)
{
    struct iovec iov[MAX_IOV];
    int n_iov = 0;
    size_t total = 0;
    ssize_t n;

    for (struct span *s = o->first; s && s->fd < 0 && n_iov < MAX_IOV && (!limit || total < limit); s = s->next) {
        size_t bytes = s->end - s->start;
        if (limit && bytes > limit - total)
            bytes = limit - total;
        iov[n_iov++] = (struct iovec){s->data + s->start, bytes};
        total += bytes;
    }
    n = writev(socket, iov, n_iov);
    if (n <= 0)
        return n;
    o->memory_bytes -= (size_t)n;
    for (size_t left = (size_t)n; left;) {
        struct span *s = o->first;
        size_t bytes = s->end - s->start;
        if (bytes > left) {
            s->start += left;
            break;
        }
        left -= bytes;
        drop_first(o);
    }
    return n;
}

/* As sendfile(), through memory. */
static ssize_t copy_file(struct span *s, int socket, size_t bytes)
{
    char piece[COPY_BYTES];
    ssize_t n = pread(s->fd, piece, bytes < COPY_BYTES ? bytes : COPY_BYTES, s->offset);

    if (n > 0)
        n = write(socket, piece, (size_t)n);
    if (n > 0)
        s->offset += n;
    return n;
}

static ssize_t write_file(struct output *o, int socket, size_t limit)
{
    struct span *s = o->first;
    size_t most = o->file_chunk_bytes ? o->file_chunk_bytes : MAX_FILE_BYTES, bytes = s->length > (off_t)most ? most : (size_t)s->length;
    ssize_t n;

    if (limit && bytes > limit)
        bytes = limit;
    n = o->copies_files ? copy_file(s, socket, bytes) : sendfile(socket, s->fd, &s->offset, bytes);
    if (n == 0) { /* the file became shorter */
        errno = EIO;
        return -1;
    }
    if (n > 0 && (s->length -= n) == 0)
        drop_first(o);
    return n;
}

enum output_result output_write(struct output *o, int socket, size_t limit)
{
    size_t written = 0;

    while (o->first) {
        ssize_t n;
        if (limit && written >= limit)
            return OUTPUT_BLOCKED;
        if (o->first->fd < 0 && o->first->start == o->first->end) {
            drop_first(o);
            continue;
        }
        n = o->first->fd < 0 ? write_memory(o, socket, limit ? limit - written : 0)
                             : write_file(o, socket, limit ? limit - written : 0);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN || errno == EWOULDBLOCK ? OUTPUT_BLOCKED : OUTPUT_FAILED;
        }
        written += (size_t)n;
        o->waiting_bytes -= (unsigned long long)n;
        o->written_bytes += (unsigned long long)n;
    }
    return OUTPUT_EMPTY;
}

void output_clear(struct output *o)
{
    while (o->first)
        drop_first(o);
    o->memory_bytes = 0;
    o->waiting_bytes = 0;
}
