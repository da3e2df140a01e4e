/*
 * Temporary files: see temp_file.h.
 */
#include "http/temp_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_DIGITS = 10 };

int conf_parse_temp_path(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct temp_place *place;
    long long total = 0;

    if (!s)
        return -1;
    s->ptr = place = arena_zalloc(c->arena, sizeof *place);
    place->directory = conf_full_path(c->tree, c->tree->prefix, d->args[1]);
    for (unsigned i = 2; i < d->n_args; i++) {
        long long level = str_number(d->args[i]);
        total += level + 1;
        if (level <= 0 || total > NAME_DIGITS + (long long)i - 1) {
            conf_fail(c->tree, d, "\"%s\" directive invalid value", row->name);
            return -1;
        }
        place->levels[i - 2] = (unsigned char)level;
    }
    return 0;
}

static int open_numbered(struct arena *a, const struct temp_place *place, unsigned long n, struct str *path)
{
    struct str digits = arena_printf(a, "%0*lu", NAME_DIGITS, n), dir = place->directory;
    size_t end = digits.n;

    mkdir(arena_dup(a, dir.p, dir.n), 0700);
    for (unsigned i = 0; i < sizeof place->levels && place->levels[i] && place->levels[i] <= end; i++) {
        size_t level = place->levels[i];
        end -= level;
        dir = arena_printf(a, "%.*s/%.*s", STR_ARG(dir), (int)level, digits.p + end);
        mkdir(dir.p, 0700);
    }
    *path = arena_printf(a, "%.*s/%.*s", STR_ARG(dir), STR_ARG(digits));
    return open(path->p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

int temp_file_open(struct arena *a, const struct temp_place *place, struct str *path)
{
    enum { MAX_TRIES = 1000 };
    static unsigned long n;
    int fd = -1;

    for (unsigned tries = 0; tries < MAX_TRIES; tries++) {
        fd = open_numbered(a, place, ++n % 10000000000UL, path);
        if (fd >= 0 || errno != EEXIST)
            break;
        n += (unsigned long)random() % 1000003; /* another process, or an earlier one, has been here */
    }
    return fd;
}

bool temp_file_append(int fd, struct str s, long long *end)
{
    while (s.n) {
        ssize_t n = pwrite(fd, s.p, s.n, *end);
        if (n <= 0)
            return false;
        *end += n;
        s = str_skip(s, (size_t)n);
    }
    return true;
}
