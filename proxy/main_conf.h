/*
 * The directives outside the http block: the process itself.
 */
#ifndef GLASSPROXY_MAIN_CONF_H
#define GLASSPROXY_MAIN_CONF_H

#include <stdint.h>

#include "conf/conf.h"

extern struct module main_module;

struct str main_pid_path(struct conf *c);
bool main_is_daemon(struct conf *c);
bool main_has_master(struct conf *c);
/* worker_rlimit_nofile, or as many as the system allows. */
void main_raise_limits(struct conf *c);
/* user and working_directory. -1 with errno. */
int main_become_user(struct conf *c);
/* worker_shutdown_timeout; 0: for ever. */
uint64_t main_shutdown_timeout_ms(struct conf *c);

#endif
