/*
 * The error log (nginx: error_log). Levels, the line's form, and who is named in it are nginx's.
 */
#ifndef GLASSPROXY_HTTP_LOG_H
#define GLASSPROXY_HTTP_LOG_H

#include "conf/conf.h"
#include "loop/loop.h"
#include "util/buf.h"

enum log_level { LOG_STDERR_, LOG_EMERG_, LOG_ALERT_, LOG_CRIT_, LOG_ERR_, LOG_WARN_, LOG_NOTICE_, LOG_INFO_, LOG_DEBUG_ };

struct request;
struct connection;

/* A file that logs are appended to; one per path in a configuration. Reopened on USR1. */
struct log_file {
    struct log_file *next;
    struct str path; /* "" for stderr */
    int fd;
    /* access_log's buffer=, flush= and gzip= */
    size_t buffer_bytes; /* 0: each line is written at once */
    uint64_t flush_ms;   /* 0: only a full buffer is written */
    int gzip_level;      /* 0: as text */
    struct buf waiting;
    struct timer timer;
    struct loop *loop;
};

extern struct module log_module;

/* The file for PATH, opened when the configuration takes over. */
struct log_file *log_file_find(struct conf *c, const struct directive *d, struct str path);
/* Writes LINE (with its line end), or puts it into F's buffer. -1 with errno. */
int log_file_write(struct log_file *f, struct loop *loop, struct str line);
/* Writes out what waits in F's buffer. */
void log_file_flush(struct log_file *f);
/* Opens all files of C. -1 with an error in the tree. */
int log_open(struct conf *c);
void log_reopen(struct conf *c);
void log_close(struct conf *c);

/* Until a configuration says otherwise: where -e points. */
void log_set_default(int fd);

/* Is given every line that a log takes; NULL: nobody. */
extern void (*log_watcher)(enum log_level level, struct str line);
struct str log_level_name(enum log_level level);

bool log_wants(struct conf *c, const struct request *r, enum log_level level);
/* ERR is an errno, 0 for none. R, CONNECTION may be NULL. */
void log_event(struct conf *c, enum log_level level, int err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void log_request(struct request *r, enum log_level level, int err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void log_connection(struct connection *c, enum log_level level, int err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
