/*
 * Text as (pointer, length). NUL-terminated only at the border to libc.
 */
#ifndef GLASSPROXY_UTIL_STR_H
#define GLASSPROXY_UTIL_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
/* For printf's %.*s */
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *z)
{
    return (struct str){z, z ? strlen(z) : 0};
}

static inline struct str str_from(const char *p, const char *end)
{
    return (struct str){p, (size_t)(end - p)};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The value of a hexadecimal digit, or -1. */
static inline int ascii_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = ascii_lower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static inline bool str_has_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

static inline struct str str_skip(struct str s, size_t n)
{
    return (struct str){s.p + n, s.n - n};
}

/* ASCII case-insensitive equality and prefix. */
bool str_ieq(struct str a, struct str b);
bool str_has_iprefix(struct str s, struct str prefix);

/* <0, 0, >0 as strcmp(), over bytes. */
int str_cmp(struct str a, struct str b);

/* Position of the first C, or of NEEDLE (str_find, str_ifind); -1 if there is none. */
long str_chr(struct str s, char c);
long str_find(struct str s, struct str needle);
long str_ifind(struct str s, struct str needle);

/* A decimal number without sign that fills all of S; -1 if it is none or too large. */
long long str_number(struct str s);

/* Without the white space (space, tab) around it. */
struct str str_trim(struct str s);

/* FNV-1a over the lower-cased bytes. */
unsigned str_ihash(struct str s);

/* The edit distance of two short words; for suggestions. */
unsigned str_distance(struct str a, struct str b);

#endif
