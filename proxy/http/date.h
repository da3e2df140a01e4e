/*
 * Dates of HTTP (RFC 9110 5.6.7) and of logs.
 */
#ifndef GLASSPROXY_HTTP_DATE_H
#define GLASSPROXY_HTTP_DATE_H

#include <time.h>

#include "util/arena.h"

enum { HTTP_DATE_BYTES = 29 };

/* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL. */
void date_http(time_t t, char out[HTTP_DATE_BYTES + 1]);

/* "Sun, 06-Nov-94 08:49:37 GMT": the form of cookies. */
struct str date_cookie(struct arena *a, time_t t);

/* Any of the three forms of RFC 9110; (time_t)-1 if it is none. */
time_t date_parse(struct str s);

/* "06/Nov/1994:08:49:37 +0000" and "1994/11/06 08:49:37", local time; texts valid until the next second. */
struct str date_log(void);
struct str date_error_log(void);
struct str date_iso8601(void);
/* The Date field's value for now. */
struct str date_now(void);

#endif
