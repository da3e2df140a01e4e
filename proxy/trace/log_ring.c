/*
 * The last lines of the error log: see log_ring.h.
 */
#include "trace/log_ring.h"

#include "trace/json_write.h"
#include "util/mem.h"

enum { KEPT_LINES = 500, LINE_BYTES = 2048 };

static struct {
    enum log_level level;
    char *text;
    size_t n;
} lines[KEPT_LINES];
static unsigned long n_lines; /* ever */
static void (*teller)(enum log_level level, struct str line);

static void keep(enum log_level level, struct str line)
{
    size_t i = n_lines % KEPT_LINES;

    if (line.n && line.p[line.n - 1] == '\n')
        line.n--;
    if (line.n > LINE_BYTES)
        line.n = LINE_BYTES;
    mem_free(lines[i].text);
    lines[i].text = NULL;
    lines[i].text = mem_alloc(line.n);
    memcpy(lines[i].text, line.p, line.n);
    lines[i].n = line.n;
    lines[i].level = level;
    n_lines++;
    if (teller)
        teller(level, line);
}

void log_ring_open(void (*tell)(enum log_level level, struct str line))
{
    teller = tell;
    log_watcher = keep;
}

void log_ring_close(void)
{
    log_watcher = NULL;
    teller = NULL;
    for (size_t i = 0; i < KEPT_LINES; i++) {
        mem_free(lines[i].text);
        lines[i].text = NULL;
    }
    n_lines = 0;
}

void log_ring_describe_line(struct buf *b, enum log_level level, struct str line)
{
    write_str(b, "level", log_level_name(level));
    write_str(b, "line", line);
}

void log_ring_describe(struct buf *b)
{
    write_open(b, "lines", '[');
    for (unsigned long i = n_lines > KEPT_LINES ? n_lines - KEPT_LINES : 0; i < n_lines; i++) {
        write_open(b, NULL, '{');
        log_ring_describe_line(b, lines[i % KEPT_LINES].level, (struct str){lines[i % KEPT_LINES].text, lines[i % KEPT_LINES].n});
        write_close(b, '}');
    }
    write_close(b, ']');
}
