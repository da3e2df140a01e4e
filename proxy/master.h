/*
 * The process that watches over the one that serves (nginx: master_process). It starts it, passes signals on, and starts it
 * anew when it dies; it serves nothing itself.
 */
#ifndef GLASSPROXY_MASTER_H
#define GLASSPROXY_MASTER_H

#include <stdbool.h>

/* Serves until it is told to stop; writes a byte to READY_FD (-1: nobody asks) once it accepts connections. The exit status. */
typedef int serve_function(int ready_fd);

/* Runs SERVE in a process of its own and watches over it; with IS_DAEMON in the background. Returns the exit status. */
int master_run(serve_function *serve, bool is_daemon);
/* Runs SERVE in this process, or (IS_DAEMON) in one in the background. */
int master_run_alone(serve_function *serve, bool is_daemon);

#endif
