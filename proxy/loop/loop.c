/*
 * The event loop: a table of descriptors, a heap of timers, a pipe for signals; see loop.h.
 *
 * One turn: wait in select(), call the handlers of the ready descriptors, run the timers that are due, run
 * what was posted. Handlers may close any descriptor, their own included: a descriptor that was forgotten,
 * or opened anew under the same number, during this turn is not called for the old one's readiness.
 */
#include "loop/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "loop/select.h"
#include "util/mem.h"

/* While hot descriptors keep the loop busy, the cold ones are looked at this often. */
enum { COLD_EVERY_MS = 5, MAX_SIGNALS = 65 };

struct posted {
    void (*run)(void *data);
    void *data;
};

struct loop {
    struct select_set *set;
    struct io **ios; /* by descriptor */
    int n_ios;
    struct timer **heap; /* heap[1] is due first */
    unsigned n_timers, heap_capacity;
    struct posted *posted;
    size_t n_posted, posted_capacity;
    uint64_t now_ms, cold_looked_ms, turn;
    struct io signal_io;
    int signal_pipe[2];
    void (*signal_handlers[MAX_SIGNALS])(int);
    bool is_stopping;
};

static int signal_write_fd = -1;

static void note_signal(int number)
{
    int saved = errno;
    unsigned char byte = (unsigned char)number;

    if (write(signal_write_fd, &byte, 1) < 0) { /* a full pipe already says it */
    }
    errno = saved;
}

static void read_signals(struct io *io, unsigned ready)
{
    struct loop *l = io->data;
    unsigned char numbers[64];
    ssize_t n;

    (void)ready;
    while ((n = read(io->fd, numbers, sizeof numbers)) > 0)
        for (ssize_t i = 0; i < n; i++)
            if (numbers[i] < MAX_SIGNALS && l->signal_handlers[numbers[i]])
                l->signal_handlers[numbers[i]](numbers[i]);
}

static uint64_t clock_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

struct loop *loop_new(void)
{
    struct loop *l = mem_zalloc(sizeof *l);

    l->set = select_set_new();
    l->now_ms = clock_ms();
    if (pipe2(l->signal_pipe, O_NONBLOCK | O_CLOEXEC) < 0) {
        perror("glassproxy: [emerg] pipe2() failed");
        exit(1);
    }
    signal_write_fd = l->signal_pipe[1];
    l->signal_io = (struct io){.fd = l->signal_pipe[0], .handler = read_signals, .data = l};
    loop_watch(l, &l->signal_io, IO_READ);
    return l;
}

void loop_free(struct loop *l)
{
    close(l->signal_pipe[0]);
    close(l->signal_pipe[1]);
    select_set_free(l->set);
    mem_free(l->ios);
    mem_free(l->heap);
    mem_free(l->posted);
    mem_free(l);
}

void loop_watch(struct loop *l, struct io *io, unsigned events)
{
    if (io->watching == events)
        return;
    if (io->fd >= l->n_ios) {
        int want = l->n_ios ? l->n_ios * 2 : 64;
        while (want <= io->fd)
            want *= 2;
        l->ios = mem_realloc(l->ios, (size_t)want * sizeof *l->ios);
        for (int i = l->n_ios; i < want; i++)
            l->ios[i] = NULL;
        l->n_ios = want;
    }
    if (l->ios[io->fd] != io)
        io->added_turn = l->turn;
    l->ios[io->fd] = events ? io : NULL;
    select_set_watch(l->set, io->fd, events);
    io->watching = events;
}

/* --- timers: a binary heap of pointers, each timer knows its place --- */

static void heap_put(struct loop *l, unsigned at, struct timer *t)
{
    l->heap[at] = t;
    t->heap_position = at;
}

static void sift_up(struct loop *l, unsigned at)
{
    struct timer *t = l->heap[at];

    for (; at > 1 && l->heap[at / 2]->when_ms > t->when_ms; at /= 2)
        heap_put(l, at, l->heap[at / 2]);
    heap_put(l, at, t);
}

static void sift_down(struct loop *l, unsigned at)
{
    struct timer *t = l->heap[at];

    while (at * 2 <= l->n_timers) {
        unsigned child = at * 2;
        if (child < l->n_timers && l->heap[child + 1]->when_ms < l->heap[child]->when_ms)
            child++;
        if (l->heap[child]->when_ms >= t->when_ms)
            break;
        heap_put(l, at, l->heap[child]);
        at = child;
    }
    heap_put(l, at, t);
}

void timer_start(struct loop *l, struct timer *t, uint64_t delay_ms)
{
    uint64_t when_ms = l->now_ms + delay_ms;

    if (t->heap_position) {
        t->when_ms = when_ms;
        sift_up(l, t->heap_position);
        sift_down(l, t->heap_position);
        return;
    }
    if (l->n_timers + 2 > l->heap_capacity) {
        unsigned want = l->heap_capacity ? l->heap_capacity * 2 : 64;
        l->heap = mem_realloc(l->heap, want * sizeof *l->heap);
        l->heap_capacity = want;
    }
    t->when_ms = when_ms;
    heap_put(l, ++l->n_timers, t);
    sift_up(l, t->heap_position);
}

void timer_stop(struct loop *l, struct timer *t)
{
    unsigned at = t->heap_position;
    struct timer *last;

    if (!at)
        return;
    t->heap_position = 0;
    last = l->heap[l->n_timers--];
    if (last == t)
        return;
    heap_put(l, at, last);
    sift_up(l, at);
    sift_down(l, last->heap_position);
}

uint64_t loop_now_ms(const struct loop *l)
{
    return l->now_ms;
}

void loop_on_signal(struct loop *l, int signal_number, void (*handler)(int signal_number))
{
    struct sigaction sa = {.sa_handler = note_signal, .sa_flags = SA_RESTART};

    l->signal_handlers[signal_number] = handler;
    sigaction(signal_number, &sa, NULL);
}

void loop_post(struct loop *l, void (*run)(void *data), void *data)
{
    if (l->n_posted == l->posted_capacity) {
        size_t want = l->posted_capacity ? l->posted_capacity * 2 : 32;
        l->posted = mem_realloc(l->posted, want * sizeof *l->posted);
        l->posted_capacity = want;
    }
    l->posted[l->n_posted++] = (struct posted){run, data};
}

/* --- running out of memory: unwind to the handler that was being run --- */

static jmp_buf *guard;

static void unwind(size_t bytes)
{
    fprintf(stderr, "glassproxy: [crit] no memory for %zu bytes\n", bytes);
    longjmp(*guard, 1);
}

bool loop_guard(void (*run)(void *data), void *data)
{
    jmp_buf here, *outer = guard;
    mem_failure_handler *before;
    volatile bool is_whole = false;

    before = mem_on_failure(unwind);
    guard = &here;
    if (setjmp(here) == 0) {
        run(data);
        is_whole = true;
    }
    guard = outer;
    mem_on_failure(before);
    return is_whole;
}

/* --- the turn --- */

static long wait_ms(struct loop *l, long limit_ms)
{
    long ms = limit_ms;

    if (l->n_posted)
        return 0;
    if (l->n_timers) {
        uint64_t when = l->heap[1]->when_ms;
        long until = when <= l->now_ms ? 0 : (long)(when - l->now_ms);
        if (ms < 0 || until < ms)
            ms = until;
    }
    return ms;
}

static int wait_for_events(struct loop *l, long timeout_ms)
{
    int n;

    if (!select_set_has_cold(l->set))
        return select_set_wait(l->set, WITHOUT_COLD, timeout_ms);
    if (l->now_ms - l->cold_looked_ms >= COLD_EVERY_MS) {
        l->cold_looked_ms = l->now_ms;
        return select_set_wait(l->set, WITH_COLD, timeout_ms);
    }
    /* Wait for the hot ones alone until the cold ones are due again; if nothing came, for all. */
    n = select_set_wait(l->set, WITHOUT_COLD,
                        timeout_ms >= 0 && timeout_ms < COLD_EVERY_MS ? timeout_ms : COLD_EVERY_MS);
    if (n != 0 || (timeout_ms >= 0 && timeout_ms <= COLD_EVERY_MS))
        return n;
    l->cold_looked_ms = l->now_ms = clock_ms();
    return select_set_wait(l->set, WITH_COLD, wait_ms(l, timeout_ms));
}

void loop_turn(struct loop *l, long timeout_ms)
{
    int fd = -1;
    unsigned ready;

    l->turn++;
    if (wait_for_events(l, wait_ms(l, timeout_ms)) < 0 && errno != EINTR && errno != EBADF) {
        perror("glassproxy: [alert] select() failed");
        exit(1);
    }
    l->now_ms = clock_ms();
    while (select_set_next(l->set, &fd, &ready)) {
        struct io *io = l->ios[fd];
        if (io && io->added_turn != l->turn && (ready &= io->watching))
            io->handler(io, ready);
    }
    while (l->n_timers && l->heap[1]->when_ms <= l->now_ms) {
        struct timer *t = l->heap[1];
        timer_stop(l, t);
        t->handler(t);
    }
    for (size_t i = 0; i < l->n_posted; i++) { /* what these post runs in this turn too */
        struct posted p = l->posted[i];
        p.run(p.data);
    }
    l->n_posted = 0;
}

void loop_run(struct loop *l)
{
    l->is_stopping = false;
    while (!l->is_stopping)
        loop_turn(l, -1);
}

void loop_stop(struct loop *l)
{
    l->is_stopping = true;
}

int loop_capacity(const struct loop *l)
{
    struct rlimit limit;

    (void)l;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? (int)limit.rlim_cur : 1024;
}
