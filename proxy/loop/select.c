/*
 * Waiting with select() on bitmaps of any size: see select.h.
 *
 * Three pairs of bitmaps: hot and cold hold what is watched; ready is the copy that the kernel overwrites.
 * A wake-up costs a copy and a scan by words, 64 descriptors at a time, so empty stretches are cheap.
 */
#include "loop/select.h"

#include <errno.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>

#include "loop/loop.h"
#include "util/mem.h"

typedef unsigned long word;
enum { WORD_BITS = 8 * sizeof(word) };
enum { READ, WRITE, DIRECTIONS };

struct select_set {
    word *hot[DIRECTIONS], *cold[DIRECTIONS], *ready[DIRECTIONS];
    int words;    /* allocated in each bitmap */
    int highest;  /* the highest descriptor ever watched and not yet found unwatched */
    int n_cold;
    int scan_words; /* of the last wait */
};

struct select_set *select_set_new(void)
{
    struct select_set *s = mem_zalloc(sizeof *s);

    s->highest = -1;
    return s;
}

void select_set_free(struct select_set *s)
{
    for (int d = 0; d < DIRECTIONS; d++) {
        mem_free(s->hot[d]);
        mem_free(s->cold[d]);
        mem_free(s->ready[d]);
    }
    mem_free(s);
}

static void grow(word **map, int from, int to)
{
    *map = mem_realloc(*map, (size_t)to * sizeof(word));
    memset(*map + from, 0, (size_t)(to - from) * sizeof(word));
}

static void set_bit(word *map, int fd, bool on)
{
    word bit = (word)1 << (fd % WORD_BITS);

    if (on)
        map[fd / WORD_BITS] |= bit;
    else
        map[fd / WORD_BITS] &= ~bit;
}

static bool get_bit(const word *map, int fd)
{
    return map[fd / WORD_BITS] >> (fd % WORD_BITS) & 1;
}

void select_set_watch(struct select_set *s, int fd, unsigned events)
{
    bool is_cold = events & IO_COLD;

    if (fd / WORD_BITS >= s->words) {
        int want = s->words ? s->words * 2 : 16;
        while (want <= fd / WORD_BITS)
            want *= 2;
        for (int d = 0; d < DIRECTIONS; d++) {
            grow(&s->hot[d], s->words, want);
            grow(&s->cold[d], s->words, want);
            grow(&s->ready[d], s->words, want);
        }
        s->words = want;
    }
    s->n_cold -= get_bit(s->cold[READ], fd);
    s->n_cold += is_cold && (events & IO_READ);
    set_bit(s->hot[READ], fd, (events & IO_READ) && !is_cold);
    set_bit(s->hot[WRITE], fd, (events & IO_WRITE) && !is_cold);
    set_bit(s->cold[READ], fd, (events & IO_READ) && is_cold);
    set_bit(s->cold[WRITE], fd, (events & IO_WRITE) && is_cold);
    if (events && fd > s->highest)
        s->highest = fd;
    while (s->highest >= 0 && !get_bit(s->hot[READ], s->highest) && !get_bit(s->hot[WRITE], s->highest)
           && !get_bit(s->cold[READ], s->highest) && !get_bit(s->cold[WRITE], s->highest))
        s->highest--;
}

int select_set_wait(struct select_set *s, enum select_cold cold, long timeout_ms)
{
    struct timeval tv = {timeout_ms / 1000, timeout_ms % 1000 * 1000};
    int n;

    s->scan_words = s->highest / WORD_BITS + 1;
    for (int d = 0; d < DIRECTIONS && s->highest >= 0; d++) {
        if (cold == WITH_COLD)
            for (int w = 0; w < s->scan_words; w++)
                s->ready[d][w] = s->hot[d][w] | s->cold[d][w];
        else
            memcpy(s->ready[d], s->hot[d], (size_t)s->scan_words * sizeof(word));
    }
    n = select(s->highest + 1, (fd_set *)(void *)s->ready[READ], (fd_set *)(void *)s->ready[WRITE], NULL,
               timeout_ms < 0 ? NULL : &tv);
    if (n <= 0)
        s->scan_words = 0;
    return n;
}

bool select_set_next(struct select_set *s, int *fd, unsigned *ready)
{
    int at = *fd + 1;

    for (int w = at / WORD_BITS; w < s->scan_words; w++) {
        word both = s->ready[READ][w] | s->ready[WRITE][w];
        if (w == at / WORD_BITS)
            both &= ~(word)0 << (at % WORD_BITS);
        if (both) {
            *fd = w * WORD_BITS + __builtin_ctzl(both);
            *ready = (get_bit(s->ready[READ], *fd) ? IO_READ : 0) | (get_bit(s->ready[WRITE], *fd) ? IO_WRITE : 0);
            return true;
        }
    }
    return false;
}

bool select_set_has_cold(const struct select_set *s)
{
    return s->n_cold > 0;
}
