/*
 * map, split_clients and geo: variables computed from others.
 */
#ifndef GLASSPROXY_VARS_MAP_H
#define GLASSPROXY_VARS_MAP_H

#include "conf/conf.h"

extern struct module map_module, geo_module;

#endif
