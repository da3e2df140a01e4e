/*
 * The header filters, in their order. nginx's order: what comes later sees what earlier ones made.
 */
#include "filters/filter.h"

#include "filters/headers.h"

const struct filter_row filter_table[] = {
    {"headers", headers_filter},
    {NULL, NULL},
};

void filters_run_header(struct request *r)
{
    for (const struct filter_row *row = filter_table; row->name; row++)
        row->header(r);
}
