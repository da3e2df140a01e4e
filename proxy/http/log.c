/*
 * The error log: see log.h. A line is
 *   2026/11/24 10:00:00 [error] PID#TID: *CONNECTION words, client: …, server: …, request: "…", host: "…"
 */
#include "http/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
#include <zlib.h>

#include "http/connection.h"
#include "http/date.h"
#include "http/request.h"
#include "util/buf.h"

struct log_target {
    struct log_file *file;
    enum log_level level;
};

struct log_targets {
    ARRAY_OF(struct log_target) all;
};

struct log_core {
    struct setting error_log;
    struct log_file *files;
};

struct log_loc {
    struct setting error_log;
};

static const struct conf_enum levels[] = {
    {"emerg", LOG_EMERG_}, {"alert", LOG_ALERT_}, {"crit", LOG_CRIT_}, {"error", LOG_ERR_}, {"warn", LOG_WARN_},
    {"notice", LOG_NOTICE_}, {"info", LOG_INFO_}, {"debug", LOG_DEBUG_}, {NULL, 0}};

/* nginx logs all that is not debugging with each of them; of the debugging itself, this proxy has that of HTTP. */
static const struct conf_enum debug_parts[] = {
    {"debug_core", LOG_INFO_}, {"debug_alloc", LOG_INFO_}, {"debug_mutex", LOG_INFO_}, {"debug_event", LOG_INFO_},
    {"debug_http", LOG_DEBUG_}, {"debug_mail", LOG_INFO_}, {"debug_stream", LOG_INFO_}, {NULL, 0}};

static int default_fd = STDERR_FILENO;
void (*log_watcher)(enum log_level level, struct str line);

struct str log_level_name(enum log_level level)
{
    return str_of(levels[level - 1].name);
}

void log_set_default(int fd)
{
    default_fd = fd;
}

static struct log_core *log_core(struct conf *c)
{
    return c->core[log_module.index];
}

struct log_file *log_file_find(struct conf *c, const struct directive *d, struct str path)
{
    struct log_core *core = log_core(c);
    struct log_file *f;

    (void)d;
    if (path.n)
        path = conf_full_path(c->tree, c->tree->prefix, path);
    for (f = core->files; f; f = f->next)
        if (str_eq(f->path, path))
            return f;
    f = arena_zalloc(c->arena, sizeof *f);
    f->path = path;
    f->fd = path.n ? -1 : STDERR_FILENO;
    f->next = core->files;
    core->files = f;
    return f;
}

/* A gzip file may have several members: each buffer becomes one. */
static ssize_t write_gzipped(const struct log_file *f, struct str s)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)s.p, .avail_in = (unsigned)s.n};
    struct buf out = {0};
    size_t room;
    ssize_t n = -1;

    if (deflateInit2(&z, f->gzip_level, Z_DEFLATED, MAX_WBITS + 16, MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK)
        return -1;
    room = deflateBound(&z, s.n);
    z.next_out = (unsigned char *)buf_reserve(&out, room);
    z.avail_out = (unsigned)room;
    if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
        out.end += room - z.avail_out;
        n = write(f->fd, buf_str(&out).p, buf_len(&out));
    }
    deflateEnd(&z);
    buf_free(&out);
    return n;
}

static ssize_t write_out(const struct log_file *f, struct str s)
{
    return f->gzip_level ? write_gzipped(f, s) : write(f->fd, s.p, s.n);
}

void log_file_flush(struct log_file *f)
{
    if (f->loop)
        timer_stop(f->loop, &f->timer);
    if (f->fd >= 0 && buf_len(&f->waiting))
        (void)!write_out(f, buf_str(&f->waiting)); /* nowhere to complain to */
    buf_consume(&f->waiting, buf_len(&f->waiting));
}

static void flush_time(struct timer *t)
{
    log_file_flush(t->data);
}

int log_file_write(struct log_file *f, struct loop *loop, struct str line)
{
    if (f->buffer_bytes == 0)
        return write(f->fd, line.p, line.n) < 0 ? -1 : 0;
    if (buf_len(&f->waiting) + line.n > f->buffer_bytes)
        log_file_flush(f);
    if (line.n > f->buffer_bytes)
        return write_out(f, line) < 0 ? -1 : 0;
    buf_adds(&f->waiting, line);
    if (f->flush_ms && !timer_is_running(&f->timer)) {
        f->loop = loop;
        f->timer.handler = flush_time;
        f->timer.data = f;
        timer_start(loop, &f->timer, f->flush_ms);
    }
    return 0;
}

static int open_file(const struct log_file *f)
{
    return open(f->path.p, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

int log_open(struct conf *c)
{
    int rc = 0;

    for (struct log_file *f = log_core(c)->files; f; f = f->next)
        if (f->fd < 0 && (f->fd = open_file(f)) < 0) {
            conf_fail(c->tree, NULL, "open() \"%.*s\" failed (%d: %s)", STR_ARG(f->path), errno, strerror(errno));
            rc = -1;
        }
    return rc;
}

void log_reopen(struct conf *c)
{
    for (struct log_file *f = log_core(c)->files; f; f = f->next) {
        int fd = f->path.n ? open_file(f) : -1;
        if (fd < 0)
            continue;
        log_file_flush(f);
        if (f->fd >= 0)
            close(f->fd);
        f->fd = fd;
    }
}

void log_close(struct conf *c)
{
    for (struct log_file *f = log_core(c)->files; f; f = f->next)
        if (f->path.n && f->fd >= 0) {
            log_file_flush(f);
            buf_free(&f->waiting);
            close(f->fd);
            f->fd = -1;
        }
}

/* The level; or, of all that nginx can log for debugging, some parts. */
static int parse_levels(struct conf *c, struct directive *d, struct log_target *t)
{
    bool has_parts = false;

    for (unsigned i = 2; i < d->n_args; i++) {
        const struct conf_enum *e = levels;
        while (e->name && !str_eq(d->args[i], str_of(e->name)))
            e++;
        if (e->name && i > 2) {
            conf_fail(c->tree, d, "duplicate log level \"%.*s\"", STR_ARG(d->args[i]));
            return -1;
        }
        if (!e->name && (i == 2 || has_parts))
            for (e = debug_parts; e->name && !str_eq(d->args[i], str_of(e->name)); e++)
                ;
        if (!e->name) {
            conf_fail(c->tree, d, "invalid log level \"%.*s\"", STR_ARG(d->args[i]));
            return -1;
        }
        has_parts |= str_has_prefix(d->args[i], STR("debug_"));
        if (i == 2 || (enum log_level)e->value > t->level)
            t->level = (enum log_level)e->value;
    }
    return 0;
}

static int parse_error_log(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct log_targets *targets;
    struct log_target *t;
    struct str path = d->args[1];

    targets = conf_claim_list(c, d, s, sizeof *targets);
    if (str_has_prefix(path, STR("syslog:")) || str_has_prefix(path, STR("memory:"))) {
        conf_fail(c->tree, d, "error_log to \"%.*s\" is not implemented by glassproxy yet", STR_ARG(path));
        return -1;
    }
    t = ARRAY_PUSH(&targets->all, c->arena);
    t->file = log_file_find(c, d, str_eq(path, STR("stderr")) ? STR("") : path);
    t->level = LOG_ERR_;
    return parse_levels(c, d, t);
}

static const struct log_targets *targets_of(struct conf *c, const struct request *r)
{
    const struct log_targets *t = NULL;

    if (r && r->loc_conf)
        t = ((const struct log_loc *)r->loc_conf[log_module.index])->error_log.ptr;
    if (!t && c)
        t = log_core(c)->error_log.ptr;
    return t;
}

bool log_wants(struct conf *c, const struct request *r, enum log_level level)
{
    const struct log_targets *t = targets_of(c, r);

    if (!t)
        return level <= LOG_ERR_;
    for (size_t i = 0; i < t->all.n; i++)
        if (t->all.items[i].level >= level)
            return true;
    return false;
}

static void write_line(struct conf *c, const struct request *r, enum log_level level, const struct buf *b)
{
    const struct log_targets *t = targets_of(c, r);
    struct str s = buf_str(b);

    if (log_watcher)
        log_watcher(level, s);
    if (!t) {
        if (write(default_fd, s.p, s.n) < 0)
            return;
    }
    for (size_t i = 0; t && i < t->all.n; i++)
        if (t->all.items[i].level >= level && t->all.items[i].file->fd >= 0)
            if (write(t->all.items[i].file->fd, s.p, s.n) < 0)
                continue;
}

static void start_line(struct buf *b, enum log_level level, uint64_t number)
{
    buf_adds(b, date_error_log());
    buf_printf(b, " [%s] %d#%d: ", levels[level - 1].name, (int)getpid(), (int)getpid());
    if (number)
        buf_printf(b, "*%llu ", (unsigned long long)number);
}

static void add_words(struct buf *b, int err, const char *format, va_list args)
{
    char words[2048];

    vsnprintf(words, sizeof words, format, args);
    buf_addz(b, words);
    if (err)
        buf_printf(b, " (%d: %s)", err, strerror(err));
}

void log_event(struct conf *c, enum log_level level, int err, const char *format, ...)
{
    struct buf b = {0};
    va_list args;

    if (!log_wants(c, NULL, level))
        return;
    start_line(&b, level, 0);
    va_start(args, format);
    add_words(&b, err, format, args);
    va_end(args);
    buf_addz(&b, "\n");
    write_line(c, NULL, level, &b);
    buf_free(&b);
}

static void add_client(struct buf *b, struct connection *c)
{
    struct arena *a = arena_new(1024);

    buf_printf(b, ", client: %.*s", STR_ARG(address_text(a, &c->peer.u.any, false)));
    arena_free(a);
}

void log_connection(struct connection *c, enum log_level level, int err, const char *format, ...)
{
    struct buf b = {0};
    va_list args;

    if (!log_wants(c->conf, c->request, level))
        return;
    start_line(&b, level, c->number);
    va_start(args, format);
    add_words(&b, err, format, args);
    va_end(args);
    add_client(&b, c);
    buf_printf(&b, ", server: %.*s\n", STR_ARG(c->listener->address.text));
    write_line(c->conf, c->request, level, &b);
    buf_free(&b);
}

void log_request(struct request *r, enum log_level level, int err, const char *format, ...)
{
    struct buf b = {0};
    const struct field *f;
    va_list args;

    if (!r->connection || !log_wants(r->conf, r, level))
        return;
    start_line(&b, level, r->connection->number);
    va_start(args, format);
    add_words(&b, err, format, args);
    va_end(args);
    add_client(&b, r->connection);
    if (r->server)
        buf_printf(&b, ", server: %.*s", STR_ARG(r->server->name));
    if (r->request_line.n)
        buf_printf(&b, ", request: \"%.*s\"", STR_ARG(r->request_line));
    f = field_find_id(&r->fields, FIELD_HOST);
    if (f)
        buf_printf(&b, ", host: \"%.*s\"", STR_ARG(f->value));
    f = field_find_id(&r->fields, FIELD_REFERER);
    if (f)
        buf_printf(&b, ", referrer: \"%.*s\"", STR_ARG(f->value));
    buf_addz(&b, "\n");
    write_line(r->conf, r, level, &b);
    buf_free(&b);
}

static const struct directive_row rows[] = {
    {"error_log", IN_MAIN, 1, ANY_NUMBER, false, SCOPE_CORE, offsetof(struct log_core, error_log), parse_error_log, NULL, "Where messages go, and from which level on.", INHERIT, NULL},
    {"error_log", IN_ANY_HTTP, 1, ANY_NUMBER, false, SCOPE_LOC, offsetof(struct log_loc, error_log), parse_error_log, NULL, "Where messages go, and from which level on.", INHERIT, NULL},
};

struct module log_module = {
    .name = "error_log",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .core_bytes = sizeof(struct log_core),
    .loc_bytes = sizeof(struct log_loc),
};
