/*
 * Watching over the process that serves: see master.h.
 *
 * Whoever starts the program learns whether it really came up: the starting process waits for a byte in a pipe that the
 * serving one writes when its sockets listen.
 */
#include "master.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int watched[] = {SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGCHLD};

/* Goes to the background; the process that was started stays until PIPE says something. */
static void become_daemon(int pipe[2])
{
    char byte;
    pid_t child = fork();

    if (child < 0) {
        perror("glassproxy: [emerg] fork() failed");
        exit(1);
    }
    if (child > 0) {
        close(pipe[1]);
        exit(read(pipe[0], &byte, 1) == 1 ? 0 : 1);
    }
    setsid();
}

static int open_pipe(int pipe_fds[2])
{
    if (pipe2(pipe_fds, O_CLOEXEC) == 0)
        return 0;
    perror("glassproxy: [emerg] pipe() failed");
    return -1;
}

int master_run_alone(serve_function *serve, bool is_daemon)
{
    int pipe_fds[2];

    if (!is_daemon)
        return serve(-1);
    if (open_pipe(pipe_fds) < 0)
        return 1;
    become_daemon(pipe_fds);
    close(pipe_fds[0]);
    return serve(pipe_fds[1]);
}

static pid_t start(serve_function *serve, const sigset_t *before, int ready_fd)
{
    pid_t child = fork();

    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGTERM); /* nobody would stop it otherwise */
    sigprocmask(SIG_SETMASK, before, NULL);
    exit(serve(ready_fd));
}

/* Waits for signals until the process CHILD has ended. *IS_TOLD: somebody wants all this to stop. Its status. */
static int watch(pid_t child, const sigset_t *set, bool *is_told)
{
    int status;

    for (;;) {
        int signal_number = sigwaitinfo(set, NULL);
        if (signal_number == SIGTERM || signal_number == SIGINT || signal_number == SIGQUIT)
            *is_told = true;
        if (signal_number == SIGCHLD) {
            if (waitpid(child, &status, WNOHANG) == child)
                return status;
        } else if (signal_number > 0) {
            kill(child, signal_number);
        }
    }
}

int master_run(serve_function *serve, bool is_daemon)
{
    bool is_told = false, was_ready = false;
    sigset_t set, before;
    int pipe_fds[2];
    char byte;

    if (open_pipe(pipe_fds) < 0)
        return 1;
    if (is_daemon)
        become_daemon(pipe_fds);
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof watched / sizeof watched[0]; i++)
        sigaddset(&set, watched[i]);
    sigprocmask(SIG_BLOCK, &set, &before);
    for (;;) {
        int own[2], status;
        pid_t child;
        if (open_pipe(own) < 0 || (child = start(serve, &before, own[1])) < 0)
            return 1;
        close(own[1]);
        if (read(own[0], &byte, 1) == 1 && !was_ready) {
            was_ready = true;
            (void)!write(pipe_fds[1], "+", 1); /* the starting process may be gone, or never was */
        }
        close(own[0]);
        status = watch(child, &set, &is_told);
        if (is_told || !was_ready)
            return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        fprintf(stderr, "glassproxy: the serving process %d ended (%s %d) and is started again\n", (int)child, WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL); /* one that dies at once does not keep the machine busy */
    }
}
