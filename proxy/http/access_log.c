/*
 * access_log and log_format: see access_log.h.
 */
#include "http/access_log.h"

#include <unistd.h>

#include "http/connection.h"
#include "http/log.h"
#include "http/log_cache.h"
#include "util/buf.h"

enum escape { ESCAPE_DEFAULT, ESCAPE_JSON, ESCAPE_NONE };

struct format_part {
    struct str literal, variable;
    int index; /* of the variable; -1 for a literal */
};

struct format {
    struct str name;
    enum escape escape;
    ARRAY_OF(struct format_part) parts;
};

struct access_log {
    struct format *format;
    struct log_file *file;
    struct text *path, *condition; /* path: with variables */
    const struct directive *directive;
};

struct access_logs {
    ARRAY_OF(struct access_log) all;
    bool is_off;
};

struct log_main {
    ARRAY_OF(struct format *) formats;
};

struct log_loc {
    struct setting access_log, open_log_file_cache;
};

static struct format *find_format(struct log_main *m, struct str name)
{
    for (size_t i = 0; i < m->formats.n; i++)
        if (str_eq(m->formats.items[i]->name, name))
            return m->formats.items[i];
    return NULL;
}

static int compile(struct conf *c, const struct directive *d, struct format *f, struct str s)
{
    for (size_t i = 0; i < s.n;) {
        struct format_part *part = ARRAY_PUSH(&f->parts, c->arena);
        size_t start = i;
        part->index = -1;
        if (s.p[i] != '$') {
            while (i < s.n && s.p[i] != '$')
                i++;
            part->literal = (struct str){s.p + start, i - start};
            continue;
        }
        bool is_braced = ++i < s.n && s.p[i] == '{';
        start = i += is_braced;
        while (i < s.n && variable_is_name_char(s.p[i]))
            i++;
        part->variable = (struct str){s.p + start, i - start};
        if (part->variable.n == 0 || (is_braced && (i >= s.n || s.p[i] != '}'))) {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(s));
            return -1;
        }
        i += is_braced;
        part->index = variable_index(c, d, part->variable);
    }
    return 0;
}

static int parse_log_format(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct log_main *m = structure;
    struct format *f;
    unsigned first = 2;

    (void)row;
    if (find_format(m, d->args[1]) || str_eq(d->args[1], STR("combined"))) {
        conf_fail(c->tree, d, "duplicate \"log_format\" name \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    f = *ARRAY_PUSH(&m->formats, c->arena) = arena_zalloc(c->arena, sizeof *f);
    f->name = d->args[1];
    if (d->n_args > 3 && str_has_prefix(d->args[2], STR("escape="))) {
        struct str how = str_skip(d->args[2], 7);
        if (str_eq(how, STR("json")))
            f->escape = ESCAPE_JSON;
        else if (str_eq(how, STR("none")))
            f->escape = ESCAPE_NONE;
        else if (!str_eq(how, STR("default"))) {
            conf_fail(c->tree, d, "unknown log format escaping \"%.*s\"", STR_ARG(how));
            return -1;
        }
        first = 3;
    }
    for (unsigned i = first; i < d->n_args; i++)
        if (compile(c, d, f, d->args[i]) < 0)
            return -1;
    return 0;
}

static int prepare_combined(struct conf *c, struct log_main *m)
{
    struct format *f;

    if (find_format(m, STR("combined")))
        return 0;
    f = *ARRAY_PUSH(&m->formats, c->arena) = arena_zalloc(c->arena, sizeof *f);
    f->name = STR("combined");
    return compile(c, NULL, f,
                   STR("$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "
                       "\"$http_referer\" \"$http_user_agent\""));
}

/* All that write to one file share its buffer, and must say the same of it. */
static int set_buffer(struct conf *c, const struct directive *d, struct log_file *f, size_t buffer_bytes, uint64_t flush_ms, int gzip_level)
{
    if (buffer_bytes == 0)
        return 0;
    if (f->buffer_bytes && (f->buffer_bytes != buffer_bytes || f->flush_ms != flush_ms || f->gzip_level != gzip_level)) {
        conf_fail(c->tree, d, "access_log \"%.*s\" already defined with conflicting parameters", STR_ARG(d->args[1]));
        return -1;
    }
    f->buffer_bytes = buffer_bytes;
    f->flush_ms = flush_ms;
    f->gzip_level = gzip_level;
    return 0;
}

static int parse_access_log(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct log_main *m = c->http.main[access_log_module.index];
    struct access_logs *logs;
    struct access_log *log;
    struct str name = STR("combined");
    size_t buffer_bytes = 0;
    long flush_ms = 0;
    int gzip_level = 0;

    prepare_combined(c, m);
    logs = conf_claim_list(c, d, s, sizeof *logs);
    if (str_eq(d->args[1], STR("off"))) {
        logs->is_off = true;
        if (d->n_args == 2)
            return 0;
        conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(d->args[2]));
        return -1;
    }
    if (str_has_prefix(d->args[1], STR("syslog:"))) {
        conf_fail(c->tree, d, "access_log to syslog is not implemented by glassproxy yet");
        return -1;
    }
    log = ARRAY_PUSH(&logs->all, c->arena);
    log->directive = d;
    for (unsigned i = 2; i < d->n_args; i++) {
        struct str a = d->args[i];
        if (i == 2 && str_chr(a, '=') < 0 && !str_eq(a, STR("gzip"))) {
            name = a;
        } else if (str_has_prefix(a, STR("if="))) {
            log->condition = text_compile(c, d, str_skip(a, 3));
            if (!log->condition)
                return -1;
        } else if (str_has_prefix(a, STR("buffer="))) {
            long bytes = conf_read_size(str_skip(a, 7));
            if (bytes <= 0) {
                conf_fail(c->tree, d, "invalid buffer size \"%.*s\"", STR_ARG(str_skip(a, 7)));
                return -1;
            }
            buffer_bytes = (size_t)bytes;
        } else if (str_has_prefix(a, STR("flush="))) {
            flush_ms = conf_read_msec(str_skip(a, 6));
            if (flush_ms <= 0) {
                conf_fail(c->tree, d, "invalid flush time \"%.*s\"", STR_ARG(str_skip(a, 6)));
                return -1;
            }
        } else if (str_eq(a, STR("gzip")) || str_has_prefix(a, STR("gzip="))) {
            gzip_level = a.n == 4 ? 1 : (int)str_number(str_skip(a, 5));
            if (gzip_level < 1 || gzip_level > 9) {
                conf_fail(c->tree, d, "invalid compression level \"%.*s\"", STR_ARG(str_skip(a, 5)));
                return -1;
            }
            if (!buffer_bytes)
                buffer_bytes = 64 * 1024;
        } else {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(a));
            return -1;
        }
    }
    log->format = find_format(m, name);
    if (!log->format) {
        conf_fail(c->tree, d, "unknown log format \"%.*s\"", STR_ARG(name));
        return -1;
    }
    if (flush_ms && !buffer_bytes) {
        conf_fail(c->tree, d, "no buffer is defined for access_log \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    if (text_count_variables(d->args[1])) {
        if (buffer_bytes) {
            conf_fail(c->tree, d, "buffered logs cannot have variables in name");
            return -1;
        }
        log->path = text_compile(c, d, d->args[1]);
        return log->path ? 0 : -1;
    }
    log->file = log_file_find(c, d, d->args[1]);
    return set_buffer(c, d, log->file, buffer_bytes, (uint64_t)flush_ms, gzip_level);
}

static int default_log(struct conf *c, void *parent, void *child)
{
    struct log_loc *loc = child;
    struct access_logs *logs;
    struct log_main *m = c->http.main[access_log_module.index];

    if (parent || loc->access_log.is_set)
        return 0;
    prepare_combined(c, m);
    logs = arena_zalloc(c->arena, sizeof *logs);
    loc->access_log = (struct setting){.is_set = true, .ptr = logs};
    struct access_log *log = ARRAY_PUSH(&logs->all, c->arena);
    log->format = find_format(m, STR("combined"));
    log->file = log_file_find(c, NULL, STR("logs/access.log"));
    return 0;
}

static void add_escaped(struct buf *b, struct str s, enum escape how)
{
    if (how == ESCAPE_NONE) {
        buf_adds(b, s);
        return;
    }
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (how == ESCAPE_DEFAULT) {
            if (c == '"' || c == '\\' || c < 0x20 || c > 0x7e)
                buf_printf(b, "\\x%02X", c);
            else
                buf_add(b, &s.p[i], 1);
        } else if (c == '"' || c == '\\') {
            buf_printf(b, "\\%c", c);
        } else if (c < 0x20) {
            switch (c) {
            case '\n': buf_addz(b, "\\n"); break;
            case '\r': buf_addz(b, "\\r"); break;
            case '\t': buf_addz(b, "\\t"); break;
            case '\b': buf_addz(b, "\\b"); break;
            case '\f': buf_addz(b, "\\f"); break;
            default: buf_printf(b, "\\u%04X", c);
            }
        } else {
            buf_add(b, &s.p[i], 1);
        }
    }
}

int access_log_write(struct request *r)
{
    static struct buf b;
    struct log_cache *cache = ((struct log_loc *)r->loc_conf[access_log_module.index])->open_log_file_cache.ptr;
    const struct access_logs *logs = ((struct log_loc *)r->loc_conf[access_log_module.index])->access_log.ptr;

    if (!logs || logs->is_off)
        return PHASE_DONE;
    for (size_t i = 0; i < logs->all.n; i++) {
        const struct access_log *log = &logs->all.items[i];
        struct str where = STR("");
        int fd = -1;

        if (log->condition) {
            struct str s = text_value(r, log->condition);
            if (s.n == 0 || str_eq(s, STR("0")))
                continue;
        }
        buf_consume(&b, buf_len(&b));
        for (size_t k = 0; k < log->format->parts.n; k++) {
            const struct format_part *part = &log->format->parts.items[k];
            if (part->index < 0) {
                buf_adds(&b, part->literal);
                continue;
            }
            const struct value *v = variable_value(r, part->index);
            if (v->is_not_found) {
                if (log->format->escape == ESCAPE_DEFAULT)
                    buf_addz(&b, "-");
            } else {
                add_escaped(&b, v->s, log->format->escape);
            }
        }
        buf_addz(&b, "\n");
        if (log->path) {
            struct str path = conf_full_path(r->conf->tree, r->conf->tree->prefix, text_value(r, log->path));
            where = arena_str(r->arena, path);
            fd = log_cache_open(cache, where, loop_now_ms(r->connection->worker->loop));
        }
        if (log->path ? fd >= 0 && write(fd, buf_str(&b).p, buf_len(&b)) < 0
                      : log->file->fd >= 0 && log_file_write(log->file, r->connection->worker->loop, buf_str(&b)) < 0)
            log_request(r, LOG_ALERT_, 0, "write() to an access log failed");
        if (log->path)
            log_cache_done(cache, where, fd);
    }
    return PHASE_DONE;
}

static const struct directive_row rows[] = {
    {"log_format", IN_HTTP, 2, ANY_NUMBER, false, SCOPE_MAIN, 0, parse_log_format, NULL, "A form of log lines.", DO_NOT_INHERIT, NULL},
    {"access_log", IN_ANY_HTTP | IN_LOCATION_IF | IN_LIMIT_EXCEPT, 1, ANY_NUMBER, false, SCOPE_LOC, offsetof(struct log_loc, access_log), parse_access_log, NULL, "Where requests are logged.", INHERIT, NULL},
    {"open_log_file_cache", IN_ANY_HTTP, 1, 4, false, SCOPE_LOC, offsetof(struct log_loc, open_log_file_cache), parse_open_log_file_cache, NULL, "Keeps log files with variables in their names open.", INHERIT, NULL},
};

struct module access_log_module = {
    .name = "ngx_http_log_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .main_bytes = sizeof(struct log_main),
    .loc_bytes = sizeof(struct log_loc),
    .merged_loc = default_log,
};
