/*
 * add_header, add_trailer and expires (nginx's ngx_http_headers_module).
 */
#ifndef GLASSPROXY_FILTERS_HEADERS_H
#define GLASSPROXY_FILTERS_HEADERS_H

#include "http/request.h"

extern struct module headers_module;

void headers_filter(struct request *r);
/* Fills r->response.trailers: at the end of the body, when their variables have their values. */
void headers_add_trailers(struct request *r);

#endif
