/*
 * access_log and log_format (nginx's ngx_http_log_module).
 */
#ifndef GLASSPROXY_HTTP_ACCESS_LOG_H
#define GLASSPROXY_HTTP_ACCESS_LOG_H

#include "http/request.h"

extern struct module access_log_module;

/* The handler of the log phase. */
int access_log_write(struct request *r);

#endif
