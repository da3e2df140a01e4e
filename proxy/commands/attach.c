/*
 * The commands' side of the control socket: see attach.h.
 */
#include "commands/attach.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

FILE *attach(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (strlen(path) >= sizeof un.sun_path) {
        errno = ENAMETOOLONG;
    } else {
        strcpy(un.sun_path, path);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof un) == 0)
            return fdopen(fd, "r+");
    }
    fprintf(stderr, "glassproxy: cannot attach to \"%s\": %s\n", path, strerror(errno));
    return NULL;
}

void attach_send(FILE *control, json_t *command)
{
    char *text = json_dumps(command, JSON_COMPACT);

    fprintf(control, "%s\n", text);
    fflush(control);
    free(text);
    json_decref(command);
}
