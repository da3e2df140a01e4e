/*
 * Header fields with their provenance.
 *
 * A field of any message, received or made, is (name, value, origin). The origin says who caused it: the
 * client, the upstream, a default, or a directive with its place. The trace, explain, the interface and lesson
 * checks all read it here.
 */
#ifndef GLASSPROXY_HTTP_FIELD_H
#define GLASSPROXY_HTTP_FIELD_H

#include "conf/tree.h"
#include "util/array.h"

/* Fields that the proxy itself looks at; found by field_id(). */
enum field_id {
    FIELD_OTHER,
    FIELD_ACCEPT_RANGES,
    FIELD_AGE,
    FIELD_ALLOW,
    FIELD_AUTHORIZATION,
    FIELD_CACHE_CONTROL,
    FIELD_CONNECTION,
    FIELD_CONTENT_DISPOSITION,
    FIELD_CONTENT_ENCODING,
    FIELD_CONTENT_LENGTH,
    FIELD_CONTENT_RANGE,
    FIELD_CONTENT_TYPE,
    FIELD_COOKIE,
    FIELD_DATE,
    FIELD_ETAG,
    FIELD_EXPECT,
    FIELD_EXPIRES,
    FIELD_HOST,
    FIELD_IF_MATCH,
    FIELD_IF_MODIFIED_SINCE,
    FIELD_IF_NONE_MATCH,
    FIELD_IF_RANGE,
    FIELD_IF_UNMODIFIED_SINCE,
    FIELD_KEEP_ALIVE,
    FIELD_LAST_MODIFIED,
    FIELD_LINK,
    FIELD_LOCATION,
    FIELD_PRAGMA,
    FIELD_PROXY_AUTHENTICATE,
    FIELD_RANGE,
    FIELD_REFERER,
    FIELD_REFRESH,
    FIELD_RETRY_AFTER,
    FIELD_SERVER,
    FIELD_SET_COOKIE,
    FIELD_STATUS,
    FIELD_TE,
    FIELD_TRAILER,
    FIELD_TRANSFER_ENCODING,
    FIELD_UPGRADE,
    FIELD_USER_AGENT,
    FIELD_VARY,
    FIELD_VIA,
    FIELD_WWW_AUTHENTICATE,
    FIELD_X_ACCEL_BUFFERING,
    FIELD_X_ACCEL_CHARSET,
    FIELD_X_ACCEL_EXPIRES,
    FIELD_X_ACCEL_LIMIT_RATE,
    FIELD_X_ACCEL_REDIRECT,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_PAD,
    FIELD_COUNT,
};

enum origin_kind {
    ORIGIN_CLIENT,    /* received from the client, passed unchanged */
    ORIGIN_UPSTREAM,  /* received from the upstream, passed unchanged */
    ORIGIN_DEFAULT,   /* what nginx does where nothing is configured */
    ORIGIN_DIRECTIVE, /* set or changed by a directive */
    ORIGIN_HOP_BY_HOP, /* belongs to one connection only (RFC 9110 7.6.1) */
    ORIGIN_EDIT       /* a person changed it while the request was held */
};

struct origin {
    enum origin_kind kind;
    const struct directive *directive; /* for ORIGIN_DIRECTIVE */
    const char *why;                   /* a few words, or NULL */
};

struct field {
    struct str name, value;
    enum field_id id;
    bool is_own_redirect; /* a Location that the proxy made: nginx completes it with scheme and host */
    bool is_removed; /* kept so that it can be shown who removed it */
    struct origin origin;
};

typedef ARRAY_OF(struct field) field_array;

/* Case-insensitive; FIELD_OTHER when the proxy does not care for it. */
enum field_id field_id(struct str name);

/* The first field that is not removed; NULL if there is none. */
struct field *field_find(const field_array *fields, struct str name);
struct field *field_find_id(const field_array *fields, enum field_id id);

struct field *field_add(field_array *fields, struct arena *a, struct str name, struct str value, struct origin origin);

/* "client", "default", "proxy_set_header conf:12", … */
struct str origin_text(struct arena *a, const struct origin *o);

#endif
