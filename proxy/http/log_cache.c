/*
 * Descriptors of logs with variables in their names: see log_cache.h. A list, the one used last in front.
 */
#include "http/log_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/mem.h"

struct cached {
    struct cached *next;
    int fd; /* -1: closed again, only counted */
    unsigned long uses;
    uint64_t accessed_ms, checked_ms;
    dev_t device;
    ino_t inode;
    size_t n;
    char path[];
};

struct log_cache {
    struct cached *first;
    unsigned long n, max, min_uses;
    uint64_t inactive_ms, valid_ms;
};

static void drop(struct log_cache *cache, struct cached **at)
{
    struct cached *c = *at;

    *at = c->next;
    cache->n--;
    if (c->fd >= 0)
        close(c->fd);
    mem_free(c);
}

static void drop_all(void *data)
{
    struct log_cache *cache = data;

    while (cache->first)
        drop(cache, &cache->first);
}

static int open_log(struct str path)
{
    return open(path.p, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
}

static bool is_same_file(const struct cached *c)
{
    struct stat st;

    return stat(c->path, &st) == 0 && st.st_dev == c->device && st.st_ino == c->inode;
}

static void note_file(struct cached *c, uint64_t now_ms)
{
    struct stat st;

    c->checked_ms = now_ms;
    if (c->fd >= 0 && fstat(c->fd, &st) == 0) {
        c->device = st.st_dev;
        c->inode = st.st_ino;
    }
}

/* Takes PATH's entry out of the list; NULL if there is none. Drops what nobody used for too long. */
static struct cached *take(struct log_cache *cache, struct str path, uint64_t now_ms)
{
    struct cached *found = NULL;

    for (struct cached **at = &cache->first; *at;) {
        struct cached *c = *at;
        if (c->n == path.n && memcmp(c->path, path.p, path.n) == 0) {
            *at = c->next;
            cache->n--;
            found = c;
        } else if (now_ms - c->accessed_ms > cache->inactive_ms) {
            drop(cache, at);
        } else {
            at = &c->next;
        }
    }
    return found;
}

int log_cache_open(struct log_cache *cache, struct str path, uint64_t now_ms)
{
    struct cached *c, **last;

    if (!cache)
        return open_log(path);
    c = take(cache, path, now_ms);
    if (!c) {
        c = mem_zalloc(sizeof *c + path.n + 1);
        memcpy(c->path, path.p, path.n);
        c->n = path.n;
        c->fd = -1;
    }
    if (c->fd >= 0 && now_ms - c->checked_ms > cache->valid_ms) {
        if (!is_same_file(c)) {
            close(c->fd);
            c->fd = -1;
        } else {
            c->checked_ms = now_ms;
        }
    }
    if (c->fd < 0) {
        c->fd = open_log(path);
        if (c->fd < 0) {
            mem_free(c); /* what cannot be opened takes nobody's place */
            return -1;
        }
        note_file(c, now_ms);
    }
    if (now_ms - c->accessed_ms > cache->inactive_ms)
        c->uses = 0;
    c->uses++;
    c->accessed_ms = now_ms;
    c->next = cache->first;
    cache->first = c;
    cache->n++;
    while (cache->n > cache->max) {
        for (last = &cache->first; (*last)->next; last = &(*last)->next)
            ;
        drop(cache, last);
    }
    return c->fd;
}

void log_cache_done(struct log_cache *cache, struct str path, int fd)
{
    if (!cache) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct cached *c = cache->first; c; c = c->next)
        if (c->n == path.n && memcmp(c->path, path.p, path.n) == 0 && c->uses < cache->min_uses && c->fd >= 0) {
            close(c->fd);
            c->fd = -1;
        }
}

int parse_open_log_file_cache(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct log_cache *cache;

    if (!s)
        return -1;
    if (d->n_args == 2 && str_eq(d->args[1], STR("off")))
        return 0;
    s->ptr = cache = arena_zalloc(c->arena, sizeof *cache);
    cache->min_uses = 1;
    cache->inactive_ms = 10000;
    cache->valid_ms = 60000;
    for (unsigned i = 1; i < d->n_args; i++) {
        struct str a = d->args[i];
        long n = -1;
        if (str_has_prefix(a, STR("max=")) && (n = (long)str_number(str_skip(a, 4))) > 0)
            cache->max = (unsigned long)n;
        else if (str_has_prefix(a, STR("min_uses=")) && (n = (long)str_number(str_skip(a, 9))) > 0)
            cache->min_uses = (unsigned long)n;
        else if (str_has_prefix(a, STR("inactive=")) && (n = conf_read_sec(str_skip(a, 9))) >= 0)
            cache->inactive_ms = (uint64_t)n * 1000;
        else if (str_has_prefix(a, STR("valid=")) && (n = conf_read_sec(str_skip(a, 6))) >= 0)
            cache->valid_ms = (uint64_t)n * 1000;
        else {
            conf_fail(c->tree, d, "invalid \"open_log_file_cache\" parameter \"%.*s\"", STR_ARG(a));
            return -1;
        }
    }
    if (cache->max == 0) {
        conf_fail(c->tree, d, "\"open_log_file_cache\" must have \"max\" parameter");
        return -1;
    }
    arena_on_free(c->arena, drop_all, cache);
    return 0;
}
