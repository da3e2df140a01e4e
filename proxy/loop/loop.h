/*
 * The event loop: file descriptors, timers and signals. It knows nothing of HTTP.
 *
 * One thread waits in select() (loop/select.c) and calls the handlers of what is ready. A descriptor that
 * is only waiting for its peer to say something after a long silence (an idle keep-alive connection) is
 * watched with IO_COLD: such descriptors join the call only every few milliseconds while others are busy,
 * so that thousands of them cost the busy ones next to nothing.
 *
 * Time is CLOCK_MONOTONIC in milliseconds, read once per turn of the loop.
 */
#ifndef GLASSPROXY_LOOP_LOOP_H
#define GLASSPROXY_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

enum { IO_READ = 1, IO_WRITE = 2, IO_COLD = 4 };

struct loop;

/* A watched descriptor; embed it in what it belongs to. Cleared memory with fd -1 is a closed one. */
struct io {
    int fd;
    unsigned watching; /* IO_* bits now watched; set by the loop only */
    uint64_t added_turn;
    void (*handler)(struct io *io, unsigned ready);
    void *data;
};

/* A timer; embed it. Cleared memory is an idle one. */
struct timer {
    uint64_t when_ms;
    unsigned heap_position; /* 0: not running */
    void (*handler)(struct timer *t);
    void *data;
};

/* The loop; ends the program if the system has no memory for it. */
struct loop *loop_new(void);
void loop_free(struct loop *l);

/* Watches IO for the IO_* bits in EVENTS; 0 forgets it (do that before closing the descriptor). */
void loop_watch(struct loop *l, struct io *io, unsigned events);

/* Starts T, or starts it anew: its handler runs once, in DELAY_MS or a little later. */
void timer_start(struct loop *l, struct timer *t, uint64_t delay_ms);
void timer_stop(struct loop *l, struct timer *t);
static inline bool timer_is_running(const struct timer *t)
{
    return t->heap_position != 0;
}

/* The time of this turn. */
uint64_t loop_now_ms(const struct loop *l);

/* Calls HANDLER in the loop, not in the signal's context, each time SIGNAL_NUMBER arrives. */
void loop_on_signal(struct loop *l, int signal_number, void (*handler)(int signal_number));

/* Runs RUN(DATA) at the end of the present turn, in order of posting. */
void loop_post(struct loop *l, void (*run)(void *data), void *data);

/* Runs RUN(DATA), and returns false if it ended early because memory ran out. */
bool loop_guard(void (*run)(void *data), void *data);

/* Turns until loop_stop(). */
void loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* One turn that waits at most TIMEOUT_MS (-1: as long as nothing happens). */
void loop_turn(struct loop *l, long timeout_ms);

/* How many descriptors can be watched: RLIMIT_NOFILE, not FD_SETSIZE. */
int loop_capacity(const struct loop *l);

#endif
