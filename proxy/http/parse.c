/*
 * Parsing the lines of HTTP/1.x messages: see parse.h.
 *
 * RFC 9112 lets a server be lenient in places; this parser is strict or lenient exactly where nginx is, for
 * request smuggling lives in the differences between two parsers.
 */
#include "http/parse.h"

static bool is_letter(char c)
{
    c = ascii_lower(c);
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

/* Where a request line stands while it is read. */
struct cursor {
    const char *p, *end;
};

static bool at_end(const struct cursor *c)
{
    return c->p >= c->end;
}

static enum parse_result parse_authority(struct cursor *c, struct request_line *out)
{
    const char *start = c->p;

    if (at_end(c))
        return PARSE_AGAIN;
    if (*c->p == '[') {
        for (c->p++; !at_end(c) && *c->p != ']'; c->p++)
            if (!(is_digit(*c->p) || is_letter(*c->p) || strchr(":-._~!$&'()*+,;=", *c->p)))
                return PARSE_INVALID_REQUEST;
        if (at_end(c))
            return PARSE_AGAIN;
        c->p++;
    } else {
        while (!at_end(c) && (is_letter(*c->p) || is_digit(*c->p) || *c->p == '.' || *c->p == '-'))
            c->p++;
    }
    out->host = str_from(start, c->p);
    if (at_end(c))
        return PARSE_AGAIN;
    if (*c->p == ':') {
        for (c->p++; !at_end(c) && is_digit(*c->p); c->p++)
            ;
    }
    out->host_port = str_from(start, c->p);
    if (at_end(c))
        return PARSE_AGAIN;
    if (out->host.n == 0 || (*c->p != '/' && *c->p != '?' && *c->p != ' '))
        return PARSE_INVALID_REQUEST;
    return PARSE_DONE;
}

static enum parse_result parse_target(struct cursor *c, struct request_line *out)
{
    const char *start = c->p;

    if (*c->p != '/') {
        if (!is_letter(*c->p))
            return PARSE_INVALID_REQUEST;
        while (!at_end(c) && (is_letter(*c->p) || (c->p > start && (is_digit(*c->p) || strchr("+-.", *c->p)))))
            c->p++;
        out->schema = str_from(start, c->p);
        for (const char *z = "://"; *z; z++, c->p++) {
            if (at_end(c))
                return PARSE_AGAIN;
            if (*c->p != *z)
                return PARSE_INVALID_REQUEST;
        }
        enum parse_result r = parse_authority(c, out);
        if (r != PARSE_DONE)
            return r;
    }
    const char *uri = c->p;
    while (!at_end(c) && *c->p != ' ' && *c->p != '\r' && *c->p != '\n') {
        if (is_control(*c->p))
            return PARSE_INVALID_REQUEST;
        c->p++;
    }
    out->uri = str_from(uri, c->p);
    out->target = str_from(start, c->p);
    return at_end(c) ? PARSE_AGAIN : PARSE_DONE;
}

/* "HTTP/1.1" and what may follow; P is behind the spaces that follow the target. */
static enum parse_result parse_version(struct cursor *c, struct request_line *out)
{
    unsigned major = 0, minor = 0, digits;

    for (const char *z = "HTTP/"; *z; z++, c->p++) {
        if (at_end(c))
            return PARSE_AGAIN;
        if (*c->p != *z)
            return PARSE_INVALID_REQUEST;
    }
    for (digits = 0; !at_end(c) && is_digit(*c->p); c->p++, digits++) {
        if (digits == 0 && *c->p == '0')
            return PARSE_INVALID_REQUEST;
        major = major * 10 + (unsigned)(*c->p - '0');
        if (major > 1)
            return PARSE_INVALID_VERSION;
    }
    if (at_end(c))
        return PARSE_AGAIN;
    if (digits == 0 || *c->p != '.')
        return PARSE_INVALID_REQUEST;
    for (c->p++, digits = 0; !at_end(c) && is_digit(*c->p); c->p++, digits++) {
        if (minor > 99)
            return PARSE_INVALID_REQUEST;
        minor = minor * 10 + (unsigned)(*c->p - '0');
    }
    if (at_end(c))
        return PARSE_AGAIN;
    if (digits == 0)
        return PARSE_INVALID_REQUEST;
    out->version = major * 1000 + minor;
    return PARSE_DONE;
}

static enum parse_result parse_line_end(struct cursor *c)
{
    while (!at_end(c) && *c->p == ' ')
        c->p++;
    if (at_end(c))
        return PARSE_AGAIN;
    if (*c->p == '\r') {
        c->p++;
        if (at_end(c))
            return PARSE_AGAIN;
    }
    if (*c->p != '\n')
        return PARSE_INVALID_REQUEST;
    c->p++;
    return PARSE_DONE;
}

enum parse_result parse_request_line(struct str in, struct request_line *out)
{
    struct cursor c = {in.p, in.p + in.n};
    const char *start;
    enum parse_result r;

    *out = (struct request_line){.version = 9};
    while (!at_end(&c) && (*c.p == '\r' || *c.p == '\n')) /* RFC 9112 2.2: ignore an empty line before */
        c.p++;
    start = c.p;
    while (!at_end(&c) && ((*c.p >= 'A' && *c.p <= 'Z') || *c.p == '_' || *c.p == '-'))
        c.p++;
    out->line = str_from(start, c.p);
    if (at_end(&c))
        return PARSE_AGAIN;
    out->method = str_from(start, c.p);
    if (*c.p != ' ' || out->method.n == 0)
        return PARSE_INVALID_METHOD;
    while (!at_end(&c) && *c.p == ' ')
        c.p++;
    if (at_end(&c))
        return PARSE_AGAIN;
    r = parse_target(&c, out);
    if (r != PARSE_DONE)
        return r;
    out->line = str_from(start, c.p);
    if (*c.p == ' ') {
        while (!at_end(&c) && *c.p == ' ')
            c.p++;
        if (at_end(&c))
            return PARSE_AGAIN;
        if (*c.p != '\r' && *c.p != '\n') {
            r = parse_version(&c, out);
            if (r != PARSE_DONE)
                return r;
            out->line = str_from(start, c.p);
        }
    }
    r = parse_line_end(&c);
    if (r != PARSE_DONE)
        return r;
    out->consumed = (size_t)(c.p - in.p);
    if (out->version == 9 && !str_eq(out->method, STR("GET")))
        return PARSE_INVALID_09_METHOD;
    return PARSE_DONE;
}

enum parse_result parse_header_line(struct str in, enum underscores underscores, struct header_line *out)
{
    struct cursor c = {in.p, in.p + in.n};
    const char *start = c.p, *last;

    *out = (struct header_line){0};
    if (at_end(&c))
        return PARSE_AGAIN;
    if (*c.p == '\r' || *c.p == '\n') {
        if (*c.p == '\r') {
            c.p++;
            if (at_end(&c))
                return PARSE_AGAIN;
            if (*c.p != '\n')
                return PARSE_INVALID_HEADER;
        }
        out->consumed = (size_t)(c.p + 1 - in.p);
        return PARSE_END_OF_HEADER;
    }
    for (; !at_end(&c); c.p++) {
        char ch = *c.p;
        if (is_letter(ch) || is_digit(ch) || ch == '-')
            continue;
        if (ch == '_') {
            out->is_invalid |= underscores == REFUSE_UNDERSCORES;
            continue;
        }
        if (c.p > start && (ch == ':' || ch == '\r' || ch == '\n'))
            break;
        if ((unsigned char)ch <= 0x20 || ch == 0x7f || ch == ':')
            return PARSE_INVALID_HEADER; /* obs-fold and white space before the colon too */
        out->is_invalid = true;
    }
    out->name = str_from(start, c.p);
    if (at_end(&c))
        return PARSE_AGAIN;
    if (*c.p == ':')
        for (c.p++; !at_end(&c) && *c.p == ' '; c.p++)
            ;
    start = last = c.p; /* last: behind the last character that is not a space */
    for (; !at_end(&c) && *c.p != '\r' && *c.p != '\n'; c.p++) {
        if (*c.p == '\0')
            return PARSE_INVALID_HEADER;
        if (*c.p != ' ')
            last = c.p + 1;
    }
    if (at_end(&c))
        return PARSE_AGAIN;
    out->value = str_from(start, last);
    while (*c.p == '\r') { /* nginx: more than one CR before the LF is let pass, a CR elsewhere is not */
        c.p++;
        if (at_end(&c))
            return PARSE_AGAIN;
    }
    if (*c.p != '\n')
        return PARSE_INVALID_HEADER;
    out->consumed = (size_t)(c.p + 1 - in.p);
    return PARSE_DONE;
}

enum parse_result parse_status_line(struct str in, struct status_line *out)
{
    struct cursor c = {in.p, in.p + in.n};
    unsigned major = 0, minor = 0, digits;
    const char *status;

    *out = (struct status_line){0};
    for (const char *z = "HTTP/"; *z; z++, c.p++) {
        if (at_end(&c))
            return PARSE_AGAIN;
        if (*c.p != *z)
            return PARSE_INVALID_REQUEST;
    }
    for (digits = 0; !at_end(&c) && is_digit(*c.p) && digits < 3; c.p++, digits++)
        major = major * 10 + (unsigned)(*c.p - '0');
    if (at_end(&c))
        return PARSE_AGAIN;
    if (digits == 0 || major == 0 || *c.p++ != '.')
        return PARSE_INVALID_REQUEST;
    for (digits = 0; !at_end(&c) && is_digit(*c.p) && digits < 3; c.p++, digits++)
        minor = minor * 10 + (unsigned)(*c.p - '0');
    if (at_end(&c))
        return PARSE_AGAIN;
    if (digits == 0 || *c.p != ' ')
        return PARSE_INVALID_REQUEST;
    while (!at_end(&c) && *c.p == ' ')
        c.p++;
    status = c.p;
    for (digits = 0; !at_end(&c) && digits < 3; c.p++, digits++) {
        if (!is_digit(*c.p))
            return PARSE_INVALID_REQUEST;
        out->code = out->code * 10 + (unsigned)(*c.p - '0');
    }
    if (at_end(&c))
        return PARSE_AGAIN;
    if (*c.p != ' ' && *c.p != '.' && *c.p != '\r' && *c.p != '\n')
        return PARSE_INVALID_REQUEST;
    while (!at_end(&c) && *c.p != '\r' && *c.p != '\n')
        c.p++;
    if (at_end(&c))
        return PARSE_AGAIN;
    out->status = str_from(status, c.p);
    if (*c.p == '\r') {
        c.p++;
        if (at_end(&c))
            return PARSE_AGAIN;
    }
    if (*c.p != '\n')
        return PARSE_INVALID_REQUEST;
    out->version = major * 1000 + minor;
    out->consumed = (size_t)(c.p + 1 - in.p);
    return PARSE_DONE;
}

/* --- the chunked coding --- */

enum chunked_state {
    CHUNK_START,
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_EXTENSION_LF,
    CHUNK_DATA,
    AFTER_DATA,
    AFTER_DATA_LF,
    LAST_EXTENSION,
    LAST_EXTENSION_LF,
    TRAILER,
    TRAILER_LF,
    TRAILER_FIELD,
    TRAILER_FIELD_LF,
};

enum chunked_result chunked_decode(struct chunked *c, struct str *in, struct str *data)
{
    while (in->n) {
        char ch = in->p[0];
        int digit;

        if (c->state == CHUNK_DATA) {
            size_t n = in->n < c->size ? in->n : c->size;
            *data = (struct str){in->p, n};
            *in = str_skip(*in, n);
            c->size -= n;
            if (c->size == 0)
                c->state = AFTER_DATA;
            return CHUNKED_DATA;
        }
        if (c->state == TRAILER && c->keeps_trailers)
            return CHUNKED_TRAILERS;
        *in = str_skip(*in, 1);
        switch ((enum chunked_state)c->state) {
        case CHUNK_START:
            if ((digit = ascii_hex(ch)) < 0)
                return CHUNKED_INVALID;
            c->size = (unsigned long)digit;
            c->state = CHUNK_SIZE;
            break;
        case CHUNK_SIZE:
            if ((digit = ascii_hex(ch)) >= 0) {
                if (c->size > 0x7ffffffffffffffUL / 16)
                    return CHUNKED_INVALID;
                c->size = c->size * 16 + (unsigned long)digit;
            } else if (ch == '\r') {
                c->state = c->size ? CHUNK_EXTENSION_LF : LAST_EXTENSION_LF;
            } else if (ch == '\n') {
                c->state = c->size ? CHUNK_DATA : TRAILER;
            } else if (ch == ';' || ch == ' ' || ch == '\t') {
                c->state = c->size ? CHUNK_EXTENSION : LAST_EXTENSION;
            } else {
                return CHUNKED_INVALID;
            }
            break;
        case CHUNK_EXTENSION:
            if (ch == '\r')
                c->state = CHUNK_EXTENSION_LF;
            else if (ch == '\n')
                c->state = CHUNK_DATA;
            break;
        case CHUNK_EXTENSION_LF:
            if (ch != '\n')
                return CHUNKED_INVALID;
            c->state = CHUNK_DATA;
            break;
        case CHUNK_DATA: break;
        case AFTER_DATA:
            if (ch == '\r')
                c->state = AFTER_DATA_LF;
            else if (ch == '\n')
                c->state = CHUNK_START;
            else
                return CHUNKED_INVALID;
            break;
        case AFTER_DATA_LF:
            if (ch != '\n')
                return CHUNKED_INVALID;
            c->state = CHUNK_START;
            break;
        case LAST_EXTENSION:
            if (ch == '\r')
                c->state = LAST_EXTENSION_LF;
            else if (ch == '\n')
                c->state = TRAILER;
            break;
        case LAST_EXTENSION_LF:
            if (ch != '\n')
                return CHUNKED_INVALID;
            c->state = TRAILER;
            break;
        case TRAILER:
            if (ch == '\r')
                c->state = TRAILER_LF;
            else if (ch == '\n')
                return CHUNKED_DONE;
            else
                c->state = TRAILER_FIELD;
            break;
        case TRAILER_LF:
            if (ch != '\n')
                return CHUNKED_INVALID;
            return CHUNKED_DONE;
        case TRAILER_FIELD:
            if (ch == '\r')
                c->state = TRAILER_FIELD_LF;
            else if (ch == '\n')
                c->state = TRAILER;
            break;
        case TRAILER_FIELD_LF:
            if (ch != '\n')
                return CHUNKED_INVALID;
            c->state = TRAILER;
            break;
        }
    }
    if (c->state == TRAILER && c->keeps_trailers)
        return CHUNKED_TRAILERS;
    return CHUNKED_AGAIN;
}

long host_validate(struct str host, char *out)
{
    enum { NAME, LITERAL, REST } state = NAME;
    size_t n = host.n, dot = host.n;

    for (size_t i = 0; i < host.n; i++) {
        char ch = host.p[i];
        if (ch == '.') {
            if (dot == i - 1 && i)
                return -1;
            dot = i;
        } else if (ch == ':' && state == NAME) {
            n = i;
            state = REST;
        } else if (ch == '[' && i == 0) {
            state = LITERAL;
        } else if (ch == ']' && state == LITERAL) {
            n = i + 1;
            state = REST;
        } else if (ch == '/' || (unsigned char)ch <= 0x20 || ch == 0x7f) {
            return -1;
        }
        out[i] = ascii_lower(ch);
    }
    if (n && dot == n - 1)
        n--;
    return n ? (long)n : -1;
}
