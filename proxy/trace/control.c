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
#include "trace/account.h"
#include "trace/capture.h"
#include "trace/control_command.h"
#include "trace/filter.h"
#include "trace/hold.h"
#include "trace/log_ring.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "util/mem.h"
#include "version.h"

enum { QUEUE_BYTES = 1 << 20, LINE_BYTES = 1 << 20, MAX_CLIENTS = 64, WHO_BYTES = 80 };
enum detail { DETAIL_NONE, DETAIL_SUMMARY, DETAIL_FULL };

struct client {
    struct io io;
    struct client *next;
    struct buf in, out;
    enum detail detail;
    bool wants_phases, wants_logs, is_debugger;
    char who[WHO_BYTES]; /* for the record of what it changes */
    struct arena *filter_arena;
    struct filter *filter; /* NULL: everything */
    unsigned long n_dropped, n_sampled;
    unsigned max_per_second, n_this_second; /* events; 0: all */
    uint64_t second;
    struct timer report; /* of what was sampled, at the end of the second */
    bool is_closing;
};

static struct worker *worker;
static struct io listener = {.fd = -1};
static struct client *clients;
static unsigned n_clients;
static char socket_path[108];
static uint64_t opened_ms;

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
    timer_stop(worker->loop, &c->report);
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
    c->wants_phases = c->wants_logs = c->is_debugger = false;
    timer_stop(worker->loop, &c->report);
    loop_watch(worker->loop, &c->io, 0);
    close(c->io.fd);
    count_watchers();
    loop_post(worker->loop, free_client, c);
}

/* Tells C what it was not sent: "dropped" did not fit its queue, "sampled" was more than it wants in a second. */
static void report_drops(struct client *c)
{
    if (c->n_dropped)
        buf_printf(&c->out, "{\"v\":%d,\"event\":\"dropped\",\"count\":%lu}\n", CONTROL_VERSION, c->n_dropped);
    if (c->n_sampled)
        buf_printf(&c->out, "{\"v\":%d,\"event\":\"sampled\",\"count\":%lu}\n", CONTROL_VERSION, c->n_sampled);
    c->n_dropped = c->n_sampled = 0;
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
    if (c->n_dropped && buf_len(&c->out) < QUEUE_BYTES / 2)
        report_drops(c);
    watch(c);
}

static void report_time(struct timer *t)
{
    struct client *c = t->data;

    report_drops(c);
    flush(c);
}

/* Whether C is to be sent an event now; counts it as dropped otherwise. */
static bool has_turn(struct client *c)
{
    uint64_t second = loop_now_ms(worker->loop) / 1000;

    if (buf_len(&c->out) > QUEUE_BYTES / 2) {
        c->n_dropped++;
        return false;
    }
    if (!c->max_per_second)
        return true;
    if (c->second != second) {
        c->second = second;
        c->n_this_second = 0;
    }
    if (c->n_this_second >= c->max_per_second) {
        c->n_sampled++;
        if (!timer_is_running(&c->report))
            timer_start(worker->loop, &c->report, 1000);
        return false;
    }
    c->n_this_second++;
    return true;
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
        if (!c->wants_phases || !filter_matches(c->filter, r) || !has_turn(c))
            continue;
        b = new_line();
        write_str(b, "event", STR("phase"));
        write_num(b, "request", (long long)r->id);
        write_num(b, "time_ms", (long long)(r->start_time * 1000));
        account_describe(b, r, r->visits.n - 1);
        queue(c, end_line(b));
    }
}

static void tell_finished(struct request *r)
{
    for (struct client *c = clients, *next; c; c = next) {
        struct buf *b;
        next = c->next;
        if (c->detail == DETAIL_NONE || !filter_matches(c->filter, r) || !has_turn(c))
            continue;
        b = new_line();
        write_str(b, "event", STR("request"));
        if (c->detail == DETAIL_FULL)
            trace_describe(b, r);
        else
            trace_describe_summary(b, r);
        queue(c, end_line(b));
    }
}

static void tell_held(struct request *r, const char *event, const char *why)
{
    for (struct client *c = clients, *next; c; c = next) {
        struct buf *b;
        next = c->next;
        if (!c->is_debugger)
            continue;
        b = new_line();
        write_str(b, "event", str_of(event));
        write_str(b, "why", str_of(why));
        trace_describe_summary(b, r);
        queue(c, end_line(b));
    }
}

static void tell_log(enum log_level level, struct str line)
{
    for (struct client *c = clients, *next; c; c = next) {
        struct buf *b;
        next = c->next;
        if (!c->wants_logs || !has_turn(c))
            continue;
        b = new_line();
        write_str(b, "event", STR("log"));
        log_ring_describe_line(b, level, line);
        queue(c, end_line(b));
    }
}

static struct trace_watcher watcher = {tell_phase, tell_finished, tell_held};

static void count_watchers(void)
{
    unsigned n_debuggers = 0;

    trace_watcher = NULL;
    for (struct client *c = clients; c; c = c->next) {
        if (c->is_closing)
            continue;
        n_debuggers += c->is_debugger;
        if (c->detail != DETAIL_NONE || c->wants_phases || c->is_debugger)
            trace_watcher = &watcher;
    }
    capture_enable(n_clients > 0);
    hold_set_debuggers(n_debuggers);
}

void control_set_debugger(struct client *c, bool is_debugger)
{
    c->is_debugger = is_debugger;
    count_watchers();
}

struct str control_who(const struct client *c)
{
    return str_of(c->who);
}

/* --- commands --- */

struct str control_member(const json_t *command, const char *name)
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
    struct str detail = control_member(command, "detail");
    const json_t *rate = json_object_get(command, "max_per_second");
    struct filter *filter;
    struct arena *a;
    const char *error;

    (void)b;
    if (rate && (!json_is_integer(rate) || json_integer_value(rate) < 0 || json_integer_value(rate) > 1000000))
        return "\"max_per_second\" must be a number";
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
    c->wants_logs = json_is_true(json_object_get(command, "logs"));
    c->max_per_second = rate ? (unsigned)json_integer_value(rate) : 0;
    count_watchers();
    return NULL;
}

static const char *unsubscribe(struct client *c, const json_t *command, struct buf *b)
{
    (void)command, (void)b;
    c->detail = DETAIL_NONE;
    c->wants_phases = c->wants_logs = false;
    count_watchers();
    return NULL;
}

static const char *hello(struct client *c, const json_t *command, struct buf *b)
{
    struct str name = control_member(command, "who");

    if (name.n && strncmp(c->who, "uid ", 4) == 0) { /* what the system says of it stays beside what it says itself */
        char system[WHO_BYTES];
        memcpy(system, c->who, sizeof system);
        snprintf(c->who, sizeof c->who, "%.*s, %.50s", (int)(name.n < 24 ? name.n : 24), name.p, system);
    }
    write_str(b, "who", str_of(c->who));
    write_str(b, "glassproxy", STR(GLASSPROXY_VERSION));
    write_str(b, "nginx", STR(GLASSPROXY_NGINX_VERSION));
    write_num(b, "pid", getpid());
    write_str(b, "conf", worker->conf->tree->conf_file);
    write_str(b, "prefix", worker->conf->tree->prefix);
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

struct request *control_request(const json_t *command, const char **error)
{
    const json_t *id = json_object_get(command, "request");
    struct request *r;

    if (!json_is_integer(id)) {
        *error = "\"request\" must be a number";
        return NULL;
    }
    r = hold_find((uint64_t)json_integer_value(id));
    if (!r)
        r = trace_find((uint64_t)json_integer_value(id));
    if (!r)
        *error = "no such request: it is neither held nor finished, or the ring has dropped it";
    return r;
}

static const char *get(struct client *c, const json_t *command, struct buf *b)
{
    const char *error = NULL;
    struct request *r = control_request(command, &error);

    (void)c;
    if (!r)
        return error;
    write_open(b, "detail", '{');
    trace_describe(b, r);
    write_close(b, '}');
    return NULL;
}

static const char *body(struct client *c, const json_t *command, struct buf *b)
{
    struct str which = control_member(command, "of");
    const char *error = NULL;
    struct request *r = control_request(command, &error);

    (void)c;
    if (!r)
        return error;
    if (!str_eq(which, STR("request")) && !str_eq(which, STR("response")))
        return "\"of\" must be \"request\" or \"response\"";
    write_num(b, "request", (long long)r->id);
    write_open(b, "body", '{');
    write_str(b, "of", which);
    error = capture_describe(b, r, str_eq(which, STR("request")) ? CAPTURED_REQUEST : CAPTURED_RESPONSE, json_is_true(json_object_get(command, "decode")));
    if (error)
        write_str(b, "problem", str_of(error));
    write_close(b, '}');
    return NULL;
}

static const char *config(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command;
    trace_describe_conf(b, worker->conf);
    return NULL;
}

static const char *logs(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command;
    log_ring_describe(b);
    return NULL;
}

static const char *reload(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command, (void)b;
    return worker->reload ? worker->reload() : "this process has no configuration to reload";
}

static void describe_totals(struct buf *b)
{
    const struct trace_totals *t = trace_totals();

    write_num(b, "finished", (long long)t->requests);
    write_num(b, "bytes_sent", (long long)t->bytes_sent);
    write_num(b, "duration_us", (long long)t->duration_us);
    write_open(b, "by_class", '{');
    for (int i = 1; i < 6; i++) {
        char name[] = "0xx";
        name[0] = (char)('0' + i);
        write_num(b, name, (long long)t->by_class[i]);
    }
    write_close(b, '}');
    write_open(b, "by_duration", '['); /* [n] from 2^n microseconds on */
    for (size_t i = 0; i < sizeof t->slower_than / sizeof t->slower_than[0]; i++)
        write_num(b, NULL, (long long)t->slower_than[i]);
    write_close(b, ']');
}

static const char *stats(struct client *c, const json_t *command, struct buf *b)
{
    long n = 0, idle = 0, held = 0;

    (void)c, (void)command;
    for (struct request *r = trace_oldest(); r; r = trace_next(r))
        n++;
    for (const struct connection *one = worker->connections; one; one = one->next)
        idle += one->state == CONNECTION_IDLE;
    for (struct request *r = hold_next(NULL); r; r = hold_next(r))
        held++;
    write_num(b, "uptime_ms", (long long)(loop_now_ms(worker->loop) - opened_ms));
    write_num(b, "connections", worker->n_connections);
    write_num(b, "idle", idle);
    write_num(b, "accepted", (long long)worker->n_accepted);
    write_num(b, "requests", (long long)worker->n_requests);
    write_num(b, "held", held);
    write_num(b, "kept", n);
    write_num(b, "clients", n_clients);
    write_num(b, "capacity", loop_capacity(worker->loop));
    describe_totals(b);
    upstreams_describe(b, worker->conf);
    return NULL;
}

static const struct control_row rows[] = {
    {"hello", hello}, {"subscribe", subscribe}, {"unsubscribe", unsubscribe}, {"list", list}, {"get", get}, {"body", body},
    {"config", config}, {"logs", logs}, {"reload", reload}, {"stats", stats}, {NULL, NULL}};

static const struct control_row *find_row(struct str name)
{
    static const struct control_row *const tables[] = {rows, control_debug_rows};

    for (size_t t = 0; t < 2; t++)
        for (const struct control_row *row = tables[t]; row->name; row++)
            if (str_eq(name, str_of(row->name)))
                return row;
    return NULL;
}

static const char *answer_command(struct client *c, const json_t *command, const json_error_t *where, struct buf *answer)
{
    static char text[256];
    struct str name = command ? control_member(command, "cmd") : STR("");
    const struct control_row *row;

    if (!json_is_object(command)) {
        snprintf(text, sizeof text, "not a JSON object: %s at column %d", command ? "something else" : where->text, command ? 1 : where->column);
        return text;
    }
    if (name.n == 0)
        return "\"cmd\" is missing";
    row = find_row(name);
    if (row)
        return row->run(c, command, answer);
    snprintf(text, sizeof text, "unknown command \"%.*s\"", (int)(name.n < 100 ? name.n : 100), name.p);
    return text;
}

static void run_command(struct client *c, struct str line)
{
    json_error_t where;
    json_t *command = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &where);
    struct buf answer = {0}; /* of its own: events may be written before the command is answered */
    const char *error = answer_command(c, command, &where, &answer);
    struct buf *b = new_line();

    if (command && json_is_integer(json_object_get(command, "id")))
        write_num(b, "id", json_integer_value(json_object_get(command, "id")));
    write_bool(b, "ok", !error);
    if (error) {
        write_str(b, "error", str_of(error));
    } else if (buf_len(&answer)) {
        buf_addz(b, ",");
        buf_adds(b, buf_str(&answer));
    }
    buf_free(&answer);
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
    struct ucred who = {0};
    socklen_t bytes = sizeof who;
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
    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &bytes);
    snprintf(c->who, sizeof c->who, "uid %u (process %d)", (unsigned)who.uid, (int)who.pid);
    c->report.handler = report_time;
    c->report.data = c;
    c->next = clients;
    clients = c;
    n_clients++;
    count_watchers();
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
    opened_ms = loop_now_ms(w->loop);
    log_ring_open(tell_log);
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
    log_ring_close();
    loop_watch(worker->loop, &listener, 0);
    close(listener.fd);
    listener.fd = -1;
    unlink(socket_path);
}
