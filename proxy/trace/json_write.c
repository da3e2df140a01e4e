/*
 * Writing JSON: see json_write.h.
 */
#include "trace/json_write.h"

static void quote(struct buf *b, struct str s);

static void start(struct buf *b, const char *key)
{
    if (buf_len(b)) {
        char last = b->data[b->end - 1];
        if (last != '{' && last != '[' && last != ':' && last != '\n')
            buf_addz(b, ",");
    }
    if (key) {
        quote(b, str_of(key));
        buf_addz(b, ":");
    }
}

/* The length of a valid UTF-8 sequence at P; 0 if there is none. */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    size_t length = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

    if (length == 0 || length > n)
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

static void quote(struct buf *b, struct str s)
{
    buf_addz(b, "\"");
    while (s.n) {
        const unsigned char *p = (const unsigned char *)s.p;
        size_t length = utf8_length(p, s.n);
        if (p[0] == '"' || p[0] == '\\')
            buf_printf(b, "\\%c", p[0]);
        else if (p[0] == '\n')
            buf_addz(b, "\\n");
        else if (p[0] == '\r')
            buf_addz(b, "\\r");
        else if (p[0] == '\t')
            buf_addz(b, "\\t");
        else if (p[0] < 0x20 || p[0] == 0x7f || length == 0)
            buf_printf(b, "\\u%04x", p[0]);
        else
            buf_add(b, s.p, length);
        s = str_skip(s, length ? length : 1);
    }
    buf_addz(b, "\"");
}

void write_open(struct buf *b, const char *key, char bracket)
{
    start(b, key);
    buf_add(b, &bracket, 1);
}

void write_close(struct buf *b, char bracket)
{
    buf_add(b, &bracket, 1);
}

void write_str(struct buf *b, const char *key, struct str value)
{
    start(b, key);
    quote(b, value);
}

void write_num(struct buf *b, const char *key, long long value)
{
    start(b, key);
    buf_printf(b, "%lld", value);
}

void write_bool(struct buf *b, const char *key, bool value)
{
    start(b, key);
    buf_addz(b, value ? "true" : "false");
}

void write_null(struct buf *b, const char *key)
{
    start(b, key);
    buf_addz(b, "null");
}
