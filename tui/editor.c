/*
 * Other programs: the user's editor, and glassproxy itself for what-if.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app.h"

char *editor_read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *s = NULL;
    size_t n = 0;
    ssize_t got;

    if (!f)
        return NULL;
    got = getdelim(&s, &n, '\0', f);
    fclose(f);
    if (got < 0) {
        free(s);
        return strdup("");
    }
    return s;
}

int editor_write_file(const char *path, const char *s)
{
    FILE *f = fopen(path, "we");
    bool is_written = f && (fputs(s, f) >= 0);

    if (f && fclose(f) != 0)
        is_written = false;
    return is_written ? 0 : -1;
}

static int run(const char *editor, const char *path)
{
    pid_t child = fork();
    int status = -1;

    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exec $0 \"$1\"", editor, path, (char *)NULL); /* EDITOR may hold options */
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

char *editor_run(struct app *a, const char *suffix, const char *initial)
{
    const char *editor = getenv("VISUAL") && *getenv("VISUAL") ? getenv("VISUAL") : getenv("EDITOR") && *getenv("EDITOR") ? getenv("EDITOR") : "vi";
    const char *tmp = getenv("TMPDIR") && *getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    char path[4096], *edited = NULL;
    int fd, status;

    snprintf(path, sizeof path, "%s/glasstui-XXXXXX%s", tmp, suffix);
    fd = mkstemps(path, (int)strlen(suffix));
    if (fd < 0 || close(fd) < 0 || editor_write_file(path, initial) < 0) {
        model_say(&a->m, true, "\"%s\" cannot be written: %s", path, strerror(errno));
        return NULL;
    }
    def_prog_mode();
    endwin();
    status = run(editor, path);
    reset_prog_mode();
    clearok(stdscr, TRUE);
    a->is_changed = true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        model_say(&a->m, true, "The editor \"%s\" ended with an error; nothing is changed.", editor);
    else
        edited = editor_read_file(path);
    unlink(path);
    return edited;
}

static void append(char **to, size_t *n, const char *from, size_t more)
{
    char *s = realloc(*to, *n + more + 1);

    if (!s)
        return;
    memcpy(s + *n, from, more);
    *n += more;
    s[*n] = '\0';
    *to = s;
}

int editor_capture(const char *const argv[], char **out, char **errors)
{
    int pipes[2][2], status = -1;
    char **texts[2] = {out, errors};
    size_t sizes[2] = {0, 0};
    bool is_open[2] = {true, true};
    pid_t child;

    *out = strdup("");
    *errors = strdup("");
    if (pipe2(pipes[0], O_CLOEXEC) < 0 || pipe2(pipes[1], O_CLOEXEC) < 0)
        return -1;
    child = fork();
    if (child == 0) {
        dup2(pipes[0][1], 1);
        dup2(pipes[1][1], 2);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(pipes[0][1]);
    close(pipes[1][1]);
    while (is_open[0] || is_open[1]) {
        struct pollfd p[2] = {{.fd = is_open[0] ? pipes[0][0] : -1, .events = POLLIN}, {.fd = is_open[1] ? pipes[1][0] : -1, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++) {
            char buf[65536];
            ssize_t n = p[i].revents ? read(pipes[i][0], buf, sizeof buf) : -1;
            if (p[i].revents && n <= 0)
                is_open[i] = false;
            else if (n > 0)
                append(texts[i], &sizes[i], buf, (size_t)n);
        }
    }
    close(pipes[0][0]);
    close(pipes[1][0]);
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) != 127 ? WEXITSTATUS(status) : -1;
}
