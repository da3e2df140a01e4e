/*
 * URIs: see uri.h.
 *
 * The normaliser is written as nginx's behaves, including where a percent-encoded slash or dot takes part in
 * the resolution of segments: the decoded character counts as if it had been written plainly, so `/%2e%2e/` is
 * `/../` and `%2F` is a slash that merges with its neighbours.
 */
#include "http/uri.h"

/* Removes the last segment of OUT, which ends with a slash: "/a/b/" becomes "/a/". */
static int drop_segment(const char *start, char **out)
{
    char *o = *out;

    if (o - start <= 1)
        return -1; /* above the root */
    o--; /* the slash */
    while (o[-1] != '/')
        o--;
    *out = o;
    return 0;
}

int uri_normalize(struct arena *a, struct str raw, enum merge_slashes merge, struct uri_parts *out)
{
    char *buffer = arena_alloc(a, raw.n + 2), *o = buffer;
    const char *p = raw.p, *end = raw.p + raw.n;
    char *segment; /* start of the segment being written */

    *out = (struct uri_parts){0};
    *o++ = '/';
    if (p < end && *p == '/')
        p++;
    segment = o;
    for (;;) {
        bool is_end = p >= end || *p == '?' || *p == '#';
        char c = is_end ? '/' : *p;

        if (!is_end) {
            p++;
            if (c == '%') {
                int high, low;
                if (end - p < 2 || (high = ascii_hex(p[0])) < 0 || (low = ascii_hex(p[1])) < 0)
                    return -1;
                c = (char)(high * 16 + low);
                p += 2;
            }
            if (c == '\0')
                return -1;
        }
        if (c == '/') {
            size_t n = (size_t)(o - segment);
            if (n == 1 && segment[0] == '.') {
                o = segment;
            } else if (n == 2 && segment[0] == '.' && segment[1] == '.') {
                o = segment;
                if (drop_segment(buffer, &o) < 0)
                    return -1;
                segment = o;
            } else if (is_end) {
                break;
            } else if (n == 0 && merge == MERGE_SLASHES) {
                continue;
            } else {
                *o++ = '/';
            }
            segment = o;
            if (is_end)
                break;
            continue;
        }
        *o++ = c;
    }
    *o = '\0';
    out->path = str_from(buffer, o);
    if (p < end && *p == '?') {
        const char *args = ++p;
        while (p < end && *p != '#')
            p++;
        out->args = str_from(args, p);
        out->has_question_mark = true;
    } else {
        out->args = STR("");
    }
    return 0;
}

struct str uri_extension(struct str path)
{
    for (size_t i = path.n; i > 0 && path.p[i - 1] != '/'; i--)
        if (path.p[i - 1] == '.')
            return str_skip(path, i);
    return STR("");
}

int uri_parse_unsafe(struct arena *a, struct str raw, struct str *path, struct str *args)
{
    struct str p = raw;
    long at;

    *args = STR("");
    at = str_chr(p, '?');
    if (at >= 0) {
        *args = str_skip(p, (size_t)at + 1);
        p.n = (size_t)at;
    }
    if (raw.n == 0 || raw.p[0] == '?' || str_chr(raw, '\0') >= 0)
        return -1;
    if (str_chr(p, '%') >= 0)
        p = uri_unescape(a, p);
    if (str_chr(p, '\0') >= 0)
        return -1;
    if (p.n >= 2 && p.p[0] == '.' && p.p[1] == '.' && (p.n == 2 || p.p[2] == '/'))
        return -1;
    for (size_t i = 0; i + 2 < p.n; i++)
        if (p.p[i] == '/' && p.p[i + 1] == '.' && p.p[i + 2] == '.' && (i + 3 == p.n || p.p[i + 3] == '/'))
            return -1;
    *path = p;
    return 0;
}

static bool must_escape(unsigned char c, enum uri_escape_set set)
{
    if (c <= 0x20 || c >= 0x7f)
        return true;
    switch (set) {
    case ESCAPE_URI: return c == '#' || c == '%' || c == '?';
    case ESCAPE_ARGS: return strchr("#%&+?", c) != NULL || strchr("\"<>\\^`{|};", c) != NULL;
    case ESCAPE_URI_COMPONENT: break;
    }
    return !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.'
             || c == '_' || c == '~');
}

/* nginx escapes "<>\^`{|} in paths too, since 1.21.1. */
static bool must_escape_in(unsigned char c, enum uri_escape_set set)
{
    if (set == ESCAPE_URI && c > 0x20 && c < 0x7f && strchr("\"<>\\^`{|}", c))
        return true;
    return must_escape(c, set);
}

size_t uri_escape_count(struct str s, enum uri_escape_set set)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += must_escape_in((unsigned char)s.p[i], set);
    return n;
}

struct str uri_escape(struct arena *a, struct str s, enum uri_escape_set set)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t more = uri_escape_count(s, set);
    char *out, *o;

    if (more == 0)
        return s;
    o = out = arena_alloc(a, s.n + 2 * more + 1);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (must_escape_in(c, set)) {
            *o++ = '%';
            *o++ = digits[c >> 4];
            *o++ = digits[c & 15];
        } else {
            *o++ = (char)c;
        }
    }
    *o = '\0';
    return str_from(out, o);
}

struct str uri_unescape(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1), *o = out;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && ascii_hex(s.p[i + 1]) >= 0 && ascii_hex(s.p[i + 2]) >= 0) {
            *o++ = (char)(ascii_hex(s.p[i + 1]) * 16 + ascii_hex(s.p[i + 2]));
            i += 2;
        } else {
            *o++ = s.p[i];
        }
    }
    *o = '\0';
    return str_from(out, o);
}
