/*
 * nginx's core variables: $host, $uri, $args, $remote_addr, $status and their like.
 */
#ifndef GLASSPROXY_VARS_CORE_VARS_H
#define GLASSPROXY_VARS_CORE_VARS_H

#include "conf/conf.h"

extern struct module core_vars_module;

#endif
