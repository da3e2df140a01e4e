/*
 * The control socket: see control.h.
 *
 * A client that does not read costs a queue of QUEUE_BYTES, no more: what does not fit is dropped, counted, and reported
 * to it when it reads again.
 */
#include "trace/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/log.h"
#include "trace/filter.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "util/mem.h"
#include "version.h"

enum { QUEUE_BYTES = 1 << 20, LINE_BYTES = 1 << 16, MAX_CLIENTS = 64 };
enum detail { DETAIL_NONE, DETAIL_SUMMARY, DETAIL_FULL };

struct client {
    struct io io;
    struct client *next;
    struct buf in, out;
    enum detail detail;
    bool wants_phases;
    struct arena *filter_arena;
    struct filter *filter; /* NULL: everything */
    unsigned long n_dropped;
    bool is_closing;
};

static struct worker *worker;
static struct io listener = {.fd = -1};
static struct client *clients;
static unsigned n_clients;
static char socket_path[108];

static void watch(struct client *c)
{
    loop_watch(worker->loop, &c->io, IO_READ | (buf_len(&c->out) ? IO_WRITE : 0));
}

static void count_watchers(void);

static void free_client(void *data)
{
    struct client *c = data;

    for (struct client **at = &clients; *at; at = &(*at)->next)
        if (*at == c) {
            *at = c->next;
            break;
        }
    n_clients--;
    buf_free(&c->in);
    buf_free(&c->out);
    if (c->filter_arena)
        arena_free(c->filter_arena);
    mem_free(c);
}

static void disconnect(struct client *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    c->detail = DETAIL_NONE;
    c->wants_phases = false;
    loop_watch(worker->loop, &c->io, 0);
    close(c->io.fd);
    count_watchers();
    loop_post(worker->loop, free_client, c);
}

static void flush(struct client *c)
{
    while (buf_len(&c->out)) {
        struct str s = buf_str(&c->out);
        ssize_t n = send(c->io.fd, s.p, s.n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            disconnect(c);
            return;
        }
        if (n < 0)
            break;
        buf_consume(&c->out, (size_t)n);
    }
    if (c->n_dropped && buf_len(&c->out) < QUEUE_BYTES / 2) {
        buf_printf(&c->out, "{\"v\":%d,\"event\":\"dropped\",\"count\":%lu}\n", CONTROL_VERSION, c->n_dropped);
        c->n_dropped = 0;
    }
    watch(c);
}

/* An event for C; dropped if its queue is full. */
static void queue(struct client *c, struct str line)
{
    if (buf_len(&c->out) + line.n > QUEUE_BYTES) {
        c->n_dropped++;
        return;
    }
    buf_adds(&c->out, line);
    flush(c);
}

static struct buf *new_line(void)
{
    static struct buf b;

    buf_consume(&b, buf_len(&b));
    write_open(&b, NULL, '{');
    write_num(&b, "v", CONTROL_VERSION);
    return &b;
}

static struct str end_line(struct buf *b)
{
    write_close(b, '}');
    buf_addz(b, "\n");
    return buf_str(b);
}

/* --- events --- */

static void tell_phase(struct request *r)
{
    for (struct client *c = clients, *next; c; c = next) {
        struct buf *b;
        next = c->next;
        if (!c->wants_phases || !filter_matches(c->filter, r))
            continue;
        b = new_line();
        write_str(b, "event", STR("phase"));
        trace_describe_summary(b, r);
        write_num(b, "us", (long long)r->phase_us[r->phase] - 1);
        queue(c, end_line(b));
    }
}

static void tell_finished(struct request *r)
{
    for (struct client *c = clients, *next; c; c = next) {
        struct buf *b;
        next = c->next;
        if (c->detail == DETAIL_NONE || !filter_matches(c->filter, r))
            continue;
        if (buf_len(&c->out) > QUEUE_BYTES - LINE_BYTES / 4) {
            c->n_dropped++;
            continue;
        }
        b = new_line();
        write_str(b, "event", STR("request"));
        if (c->detail == DETAIL_FULL)
            trace_describe(b, r);
        else
            trace_describe_summary(b, r);
        queue(c, end_line(b));
    }
}

static struct trace_watcher watcher = {tell_phase, tell_finished};

static void count_watchers(void)
{
    trace_watcher = NULL;
    for (struct client *c = clients; c; c = c->next)
        if (c->detail != DETAIL_NONE || c->wants_phases)
            trace_watcher = &watcher;
}

/* --- commands --- */

static struct str member(const json_t *command, const char *name)
{
    const char *s = json_string_value(json_object_get(command, name));

    return s ? str_of(s) : STR("");
}

/* COMMAND's "filter" (a text, or absent), compiled into A. NULL, or what is wrong with it. */
static const char *read_filter(struct arena *a, const json_t *command, struct filter **out)
{
    static char words[300];
    const json_t *value = json_object_get(command, "filter");
    struct filter_error error;

    *out = NULL;
    if (!value || json_is_null(value))
        return NULL;
    if (!json_is_string(value))
        return "\"filter\" must be a text";
    *out = filter_compile(a, str_of(json_string_value(value)), &error);
    snprintf(words, sizeof words, "filter, column %u: %s", error.column, error.words);
    return error.words[0] ? words : NULL;
}

static const char *subscribe(struct client *c, const json_t *command, struct buf *b)
{
    struct str detail = member(command, "detail");
    struct filter *filter;
    struct arena *a;
    const char *error;

    (void)b;
    if (detail.n && !str_eq(detail, STR("summary")) && !str_eq(detail, STR("full")))
        return "\"detail\" must be \"summary\" or \"full\"";
    a = arena_new(512);
    error = read_filter(a, command, &filter);
    if (error) {
        arena_free(a);
        return error;
    }
    if (c->filter_arena)
        arena_free(c->filter_arena);
    c->filter_arena = a;
    c->filter = filter;
    c->detail = str_eq(detail, STR("full")) ? DETAIL_FULL : DETAIL_SUMMARY;
    c->wants_phases = json_is_true(json_object_get(command, "phases"));
    count_watchers();
    return NULL;
}

static const char *unsubscribe(struct client *c, const json_t *command, struct buf *b)
{
    (void)command, (void)b;
    c->detail = DETAIL_NONE;
    c->wants_phases = false;
    count_watchers();
    return NULL;
}

static const char *hello(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command;
    write_str(b, "glassproxy", STR(GLASSPROXY_VERSION));
    write_str(b, "nginx", STR(GLASSPROXY_NGINX_VERSION));
    write_num(b, "pid", getpid());
    write_str(b, "conf", worker->conf->tree->conf_file);
    return NULL;
}

static const char *list(struct client *c, const json_t *command, struct buf *b)
{
    const json_t *limit = json_object_get(command, "limit");
    long long left = limit ? json_integer_value(limit) : 1000, n = 0;
    struct arena *a;
    struct filter *filter;
    const char *error;

    (void)c;
    if (limit && (!json_is_integer(limit) || left < 1))
        return "\"limit\" must be a positive number";
    a = arena_new(512);
    error = read_filter(a, command, &filter);
    if (error) {
        arena_free(a);
        return error;
    }
    for (struct request *r = trace_oldest(); r; r = trace_next(r))
        n += filter_matches(filter, r);
    write_open(b, "requests", '[');
    for (struct request *r = trace_oldest(); r; r = trace_next(r)) {
        if (!filter_matches(filter, r) || n-- > left)
            continue;
        write_open(b, NULL, '{');
        trace_describe_summary(b, r);
        write_close(b, '}');
    }
    write_close(b, ']');
    arena_free(a);
    return NULL;
}

static const char *get(struct client *c, const json_t *command, struct buf *b)
{
    const json_t *id = json_object_get(command, "request");
    struct request *r;

    (void)c;
    if (!json_is_integer(id))
        return "\"request\" must be a number";
    r = trace_find((uint64_t)json_integer_value(id));
    if (!r)
        return "no such request: it is not finished, or the ring has dropped it";
    write_open(b, "detail", '{');
    trace_describe(b, r);
    write_close(b, '}');
    return NULL;
}

static const char *config(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command;
    trace_describe_conf(b, worker->conf);
    return NULL;
}

static const char *stats(struct client *c, const json_t *command, struct buf *b)
{
    long n = 0;

    (void)c, (void)command;
    for (struct request *r = trace_oldest(); r; r = trace_next(r))
        n++;
    write_num(b, "connections", worker->n_connections);
    write_num(b, "accepted", (long long)worker->n_accepted);
    write_num(b, "requests", (long long)worker->n_requests);
    write_num(b, "kept", n);
    write_num(b, "clients", n_clients);
    write_num(b, "capacity", loop_capacity(worker->loop));
    return NULL;
}

static const struct {
    const char *name;
    const char *(*run)(struct client *c, const json_t *command, struct buf *b);
} commands[] = {{"hello", hello}, {"subscribe", subscribe}, {"unsubscribe", unsubscribe}, {"list", list},
                {"get", get}, {"config", config}, {"stats", stats}};

static void run_command(struct client *c, struct str line)
{
    json_error_t where;
    json_t *command = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &where);
    struct str name = command ? member(command, "cmd") : STR("");
    const char *error = NULL;
    struct buf *b = new_line();
    size_t start;
    char text[256];

    if (command && json_is_integer(json_object_get(command, "id")))
        write_num(b, "id", json_integer_value(json_object_get(command, "id")));
    start = buf_len(b);
    if (!command || !json_is_object(command)) {
        snprintf(text, sizeof text, "not a JSON object: %s at column %d", command ? "something else" : where.text, command ? 1 : where.column);
        error = text;
    } else if (name.n == 0) {
        error = "\"cmd\" is missing";
    } else {
        size_t i;
        for (i = 0; i < sizeof commands / sizeof commands[0]; i++)
            if (str_eq(name, str_of(commands[i].name))) {
                write_bool(b, "ok", true);
                error = commands[i].run(c, command, b);
                break;
            }
        if (i == sizeof commands / sizeof commands[0]) {
            snprintf(text, sizeof text, "unknown command \"%.*s\"", (int)(name.n < 100 ? name.n : 100), name.p);
            error = text;
        }
    }
    if (error) {
        b->end = b->start + start;
        write_bool(b, "ok", false);
        write_str(b, "error", str_of(error));
    }
    json_decref(command);
    buf_adds(&c->out, end_line(b));
    if (buf_len(&c->out) > 64 * (size_t)QUEUE_BYTES) /* asks and asks, and never reads */
        disconnect(c);
}

static void client_event(struct io *io, unsigned ready)
{
    struct client *c = io->data;
    ssize_t n;

    if (ready & IO_WRITE)
        flush(c);
    if (c->is_closing || !(ready & IO_READ))
        return;
    n = recv(io->fd, buf_reserve(&c->in, 4096), 4096, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        disconnect(c);
        return;
    }
    c->in.end += (size_t)n;
    for (;;) {
        struct str in = buf_str(&c->in);
        long end = str_chr(in, '\n');
        if (end < 0 && in.n > LINE_BYTES) {
            buf_printf(&c->out, "{\"v\":%d,\"ok\":false,\"error\":\"a command is longer than %d bytes\"}\n", CONTROL_VERSION, LINE_BYTES);
            flush(c);
            disconnect(c);
            return;
        }
        if (end < 0)
            break;
        if (end > 0)
            run_command(c, (struct str){in.p, (size_t)end});
        if (c->is_closing)
            return;
        buf_consume(&c->in, (size_t)end + 1);
    }
    flush(c);
}

static void accept_client(struct io *io, unsigned ready)
{
    int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct client *c;

    (void)ready;
    if (fd < 0)
        return;
    if (n_clients >= MAX_CLIENTS) {
        close(fd);
        return;
    }
    c = mem_zalloc(sizeof *c);
    c->io = (struct io){.fd = fd, .handler = client_event, .data = c};
    c->next = clients;
    clients = c;
    n_clients++;
    watch(c);
}

int control_open(struct worker *w, struct str path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    mode_t mask;
    int fd, rc;

    worker = w;
    if (path.n == 0)
        return 0;
    if (path.n >= sizeof un.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(un.sun_path, path.p, path.n);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (connect(fd, (struct sockaddr *)&un, sizeof un) == 0) { /* somebody serves there */
        close(fd);
        errno = EADDRINUSE;
        return -1;
    }
    close(fd);
    unlink(un.sun_path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    mask = umask(0177);
    rc = bind(fd, (struct sockaddr *)&un, sizeof un);
    umask(mask);
    if (rc < 0 || listen(fd, 16) < 0) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    memcpy(socket_path, un.sun_path, sizeof un.sun_path);
    listener = (struct io){.fd = fd, .handler = accept_client};
    loop_watch(w->loop, &listener, IO_READ);
    return 0;
}

void control_close(void)
{
    while (clients) {
        struct client *c = clients;
        close(c->io.fd);
        loop_watch(worker->loop, &c->io, 0);
        free_client(c);
    }
    trace_watcher = NULL;
    if (listener.fd < 0)
        return;
    loop_watch(worker->loop, &listener, 0);
    close(listener.fd);
    listener.fd = -1;
    unlink(socket_path);
}
