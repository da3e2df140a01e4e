/*
 * The header filters, in their order.
 */
#ifndef GLASSPROXY_FILTERS_FILTER_H
#define GLASSPROXY_FILTERS_FILTER_H

#include "http/request.h"

struct filter_row {
    const char *name;
    void (*header)(struct request *r);
};

extern const struct filter_row filter_table[];

void filters_run_header(struct request *r);

#endif
