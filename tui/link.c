/*
 * The connection to a proxy's control socket: see link.h.
 */
#include "link.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { READ_BYTES = 65536 };

int link_open(struct link *l, const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    l->fd = -1;
    l->n_in = 0;
    if (strlen(path) >= sizeof un.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(un.sun_path, path);
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->fd < 0 || connect(l->fd, (struct sockaddr *)&un, sizeof un) < 0) {
        int err = errno;
        link_close(l);
        errno = err;
        return -1;
    }
    return 0;
}

void link_close(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    free(l->in);
    l->in = NULL;
    l->n_in = l->room = 0;
}

void link_send(struct link *l, json_t *command)
{
    char *text = json_dumps(command, JSON_COMPACT);

    if (text && l->fd >= 0) {
        struct { char *p; size_t n; } rest = {text, strlen(text)};
        text[rest.n++] = '\n'; /* in place of the NUL */
        while (rest.n) { /* commands are short: the socket takes them */
            ssize_t n = send(l->fd, rest.p, rest.n, MSG_NOSIGNAL);
            if (n <= 0)
                break;
            rest.p += n;
            rest.n -= (size_t)n;
        }
    }
    free(text);
    json_decref(command);
}

bool link_read(struct link *l)
{
    ssize_t n;

    if (l->room - l->n_in < READ_BYTES) {
        char *more = realloc(l->in, l->n_in + READ_BYTES);
        if (!more)
            return false;
        l->in = more;
        l->room = l->n_in + READ_BYTES;
    }
    n = recv(l->fd, l->in + l->n_in, READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (n <= 0)
        return false;
    l->n_in += (size_t)n;
    return true;
}

json_t *link_next(struct link *l)
{
    for (;;) {
        char *end = l->n_in ? memchr(l->in, '\n', l->n_in) : NULL;
        size_t n;
        json_t *message;
        if (!end)
            return NULL;
        n = (size_t)(end - l->in);
        message = json_loadb(l->in, n, 0, NULL);
        memmove(l->in, end + 1, l->n_in - n - 1);
        l->n_in -= n + 1;
        if (message)
            return message;
    }
}
