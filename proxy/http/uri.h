/*
 * URIs: decoding, normalising, escaping.
 *
 * nginx matches locations against the normalised URI: percent-decoded, `.` and `..` resolved, repeated slashes
 * merged (merge_slashes). What it sends on is escaped again, where the URI was replaced.
 */
#ifndef GLASSPROXY_HTTP_URI_H
#define GLASSPROXY_HTTP_URI_H

#include "util/arena.h"

enum merge_slashes { KEEP_SLASHES, MERGE_SLASHES };

/* The parts of a request target's path; all in the arena or in the input. */
struct uri_parts {
    struct str path; /* decoded and normalised */
    struct str args; /* behind "?", without fragment; "" if there are none */
    bool has_question_mark;
    bool is_changed; /* the path is not the same bytes as what was received */
    bool has_dot_at_end_of_path; /* for the extension */
};

/* Normalises RAW, which starts with '/' or is to be taken so. Returns -1 if it is invalid: a bad percent
 * escape, a NUL byte, or ".." above the root. nginx: ngx_http_parse_complex_uri. */
int uri_normalize(struct arena *a, struct str raw, enum merge_slashes merge, struct uri_parts *out);

/* What follows the last '.' of the last segment; "" if nothing does. nginx's $exten. */
struct str uri_extension(struct str path);

/* -1 if PATH has a ".." segment or a NUL byte: for URIs that come from an upstream or a rewrite. Splits off
 * the arguments. nginx: ngx_http_parse_unsafe_uri. */
int uri_parse_unsafe(struct arena *a, struct str raw, struct str *path, struct str *args);

/* The sets of characters that nginx percent-encodes in each place. */
enum uri_escape_set {
    ESCAPE_URI,           /* a path sent on: space # % ? control and non-ASCII characters */
    ESCAPE_ARGS,          /* arguments: also & + ; and = is kept */
    ESCAPE_URI_COMPONENT, /* everything but unreserved characters */
};
size_t uri_escape_count(struct str s, enum uri_escape_set set);
struct str uri_escape(struct arena *a, struct str s, enum uri_escape_set set);

/* Decodes percent escapes; those that are none are kept. */
struct str uri_unescape(struct arena *a, struct str s);

#endif
