/*
 * Filters of the response body: a chain through which every byte of it goes, set up by the header filters.
 *
 * A filter gets what comes and passes on what it makes of it; the last one hands it to the framing (response.c). A file's
 * bytes go through memory when there is a filter, a piece at a time, as fast as the client takes them.
 */
#ifndef GLASSPROXY_FILTERS_BODY_H
#define GLASSPROXY_FILTERS_BODY_H

#include "http/request.h"

struct body_filter {
    struct body_filter *next;
    /* Bytes of the body, in order. */
    void (*write)(struct request *r, struct body_filter *f, struct str in);
    /* What was written so far is to reach the client now; NULL: nothing is ever kept back. */
    void (*flush)(struct request *r, struct body_filter *f);
    /* The body is complete; NULL: nothing is kept back. */
    void (*end)(struct request *r, struct body_filter *f);
};

/* Adds F behind those that are there. */
void body_filter_add(struct request *r, struct body_filter *f);
/* Hands S to what comes behind F (NULL: to the first filter). */
void body_pass(struct request *r, const struct body_filter *f, struct str s);

/* Media types that a filter is for (charset_types, gzip_types, …): "*" is all. */
struct media_types {
    ARRAY_OF(struct str) all;
    bool is_any;
};

/* For rows: the setting's ptr is a struct media_types; the row's extra the NULL-terminated list of types that are always in
 * it; the default is a list of no more. */
conf_parser parse_media_types;
/* Whether R's response is of one of the types; without regard to the parameter charset. */
bool media_types_match(const struct media_types *types, const struct request *r);

#endif
