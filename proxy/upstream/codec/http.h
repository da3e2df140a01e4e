/*
 * proxy_pass: asking an HTTP upstream (nginx's ngx_http_proxy_module).
 */
#ifndef GLASSPROXY_UPSTREAM_CODEC_HTTP_H
#define GLASSPROXY_UPSTREAM_CODEC_HTTP_H

#include "conf/conf.h"

extern struct module proxy_module;

#endif
