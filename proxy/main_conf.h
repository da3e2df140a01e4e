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
/* worker_connections, or its default. */
unsigned main_worker_connections(const struct conf *c);
/* worker_connections times worker_processes, if they are configured; 0: no limit but that of descriptors. */
unsigned main_connection_limit(struct conf *c);
/* glass_defaults: the version of nginx whose defaults are in force. */
enum main_defaults { DEFAULTS_CURRENT, DEFAULTS_1_22 };
enum main_defaults main_defaults(const struct conf *c);
/* worker_rlimit_nofile, or as many as the system allows. */
void main_raise_limits(struct conf *c);
/* user and working_directory. -1 with errno. */
int main_become_user(struct conf *c);
/* worker_shutdown_timeout; 0: for ever. */
uint64_t main_shutdown_timeout_ms(struct conf *c);

#endif
