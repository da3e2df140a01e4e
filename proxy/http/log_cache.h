/*
 * open_log_file_cache: descriptors of logs with variables in their names stay open for a while.
 */
#ifndef GLASSPROXY_HTTP_LOG_CACHE_H
#define GLASSPROXY_HTTP_LOG_CACHE_H

#include "conf/conf.h"

struct log_cache;

/* max=N [inactive=TIME] [min_uses=N] [valid=TIME] | off; the setting's ptr is a struct log_cache, NULL for off. */
conf_parser parse_open_log_file_cache;

/* A descriptor for PATH (NUL-terminated), opened to append; -1 with errno. To be given back with log_cache_done(). CACHE
 * may be NULL: then it is opened anew each time. */
int log_cache_open(struct log_cache *cache, struct str path, uint64_t now_ms);
void log_cache_done(struct log_cache *cache, struct str path, int fd);

#endif
