/*
 * charset, source_charset, charset_map: naming the character set of responses, and recoding them
 * (nginx's ngx_http_charset_module).
 */
#ifndef GLASSPROXY_FILTERS_CHARSET_H
#define GLASSPROXY_FILTERS_CHARSET_H

#include "http/request.h"

extern struct module charset_module;

/* Takes the charset out of the content type "text/html; charset=x", as nginx does when it reads an upstream's. */
void charset_of_type(struct response *out);
void charset_filter(struct request *r);

#endif
