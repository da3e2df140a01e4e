/*
 * The loop's back-end: waiting with select() on bitmaps of any size.
 *
 * POSIX gives select() a type of FD_SETSIZE bits, but Linux's system call takes any number of descriptors:
 * it reads as many words as NFDS needs. So the bitmaps here are plain arrays sized by the highest
 * descriptor seen.
 */
#ifndef GLASSPROXY_LOOP_SELECT_H
#define GLASSPROXY_LOOP_SELECT_H

#include <stdbool.h>

struct select_set;

struct select_set *select_set_new(void);
void select_set_free(struct select_set *s);

/* Watches FD for the IO_* bits of loop.h; 0 forgets it. Ends the program when FD exceeds all limits. */
void select_set_watch(struct select_set *s, int fd, unsigned events);

/* Waits at most TIMEOUT_MS (-1: for ever), with the cold descriptors joined when WITH_COLD says so.
 * Returns the number of ready bits, 0 at the end of the time, -1 with errno. */
enum select_cold { WITHOUT_COLD, WITH_COLD };
int select_set_wait(struct select_set *s, enum select_cold cold, long timeout_ms);

/* The next ready descriptor after *FD (start with -1) and its IO_READ/IO_WRITE bits; false at the end. */
bool select_set_next(struct select_set *s, int *fd, unsigned *ready);

bool select_set_has_cold(const struct select_set *s);

#endif
