/*
 * Regular expressions: PCRE2, as nginx uses it.
 */
#ifndef GLASSPROXY_UTIL_REGEX_H
#define GLASSPROXY_UTIL_REGEX_H

#include "util/arena.h"

enum regex_case { CASE_SENSITIVE, CASE_INSENSITIVE };

struct regex;

/* Compiles PATTERN; freed with the arena. NULL and words in *ERROR if it is none. */
struct regex *regex_compile(struct arena *a, struct str pattern, enum regex_case how, struct str *error);

struct regex_name {
    struct str name;
    unsigned group;
};

struct str regex_pattern(const struct regex *re);
unsigned regex_captures(const struct regex *re);
/* The named groups; returns how many. */
unsigned regex_names(const struct regex *re, const struct regex_name **names);

enum { MAX_CAPTURES = 32 };
struct captures {
    unsigned n; /* groups that took part, the whole match first */
    struct str group[MAX_CAPTURES];
};

/* Whether S matches; CAPTURES (may be NULL) point into S. */
bool regex_match(const struct regex *re, struct str s, struct captures *captures);

#endif
