/*
 * The header filters, in their order. nginx's order: what comes later sees what earlier ones made.
 */
#include "filters/filter.h"

#include "filters/conditional.h"
#include "filters/charset.h"
#include "filters/gzip.h"
#include "filters/headers.h"

const struct filter_row filter_table[] = {
    {"not modified", not_modified_filter},
    {"headers", headers_filter},
    {"charset", charset_filter},
    {"gzip", gzip_filter},
    {"range", range_filter},
    {NULL, NULL},
};

void filters_run_header(struct request *r)
{
    for (const struct filter_row *row = filter_table; row->name; row++)
        if (!r->response.replaced_by)
            row->header(r);
}
