/*
 * Conditional and range requests (RFC 9110 13, 14; nginx's not_modified and range filters).
 */
#ifndef GLASSPROXY_FILTERS_CONDITIONAL_H
#define GLASSPROXY_FILTERS_CONDITIONAL_H

#include "http/request.h"

/* 304 or 412 where the request's conditions say so. */
void not_modified_filter(struct request *r);
/* 206, 416, or Accept-Ranges. */
void range_filter(struct request *r);

#endif
