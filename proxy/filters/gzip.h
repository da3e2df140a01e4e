/*
 * gzip: compressing responses (nginx's ngx_http_gzip_module).
 */
#ifndef GLASSPROXY_FILTERS_GZIP_H
#define GLASSPROXY_FILTERS_GZIP_H

#include "http/request.h"

extern struct module gzip_module;

void gzip_filter(struct request *r);
/* gzip_vary: whether "Vary: Accept-Encoding" belongs to R's response. */
bool gzip_varies(const struct request *r);

#endif
