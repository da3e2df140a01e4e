/*
 * Networks in CIDR notation: see network.h.
 */
#include "http/network.h"

#include <arpa/inet.h>
#include <stdio.h>

static void mask(unsigned char *bytes, unsigned bits, unsigned all)
{
    for (unsigned i = bits; i < all; i++)
        bytes[i / 8] &= (unsigned char)~(0x80u >> (i % 8));
}

bool network_parse(struct str s, struct network *out)
{
    char text[INET6_ADDRSTRLEN];
    long slash = str_chr(s, '/');
    struct str host = {s.p, slash < 0 ? s.n : (size_t)slash};
    unsigned all;
    long long bits;

    if (host.n == 0 || host.n >= sizeof text)
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    memset(out->address, 0, sizeof out->address);
    if (inet_pton(AF_INET, text, out->address) == 1) {
        out->family = AF_INET;
        all = 32;
    } else if (inet_pton(AF_INET6, text, out->address) == 1) {
        out->family = AF_INET6;
        all = 128;
    } else {
        return false;
    }
    bits = all;
    if (slash >= 0) {
        struct str tail = str_skip(s, (size_t)slash + 1);
        unsigned char m[4];
        bits = str_number(tail);
        if (bits < 0 && out->family == AF_INET && tail.n < sizeof text) { /* 10.0.0.0/255.0.0.0 */
            memcpy(text, tail.p, tail.n);
            text[tail.n] = '\0';
            if (inet_pton(AF_INET, text, m) != 1)
                return false;
            for (bits = 0; bits < 32 && (m[bits / 8] & (0x80u >> (bits % 8))); bits++)
                ;
        }
    }
    if (bits < 0 || bits > all)
        return false;
    out->bits = (unsigned)bits;
    mask(out->address, out->bits, all);
    return true;
}

int address_bytes(const struct address *a, unsigned char out[16])
{
    switch (a->u.any.sa_family) {
    case AF_INET: memcpy(out, &a->u.in.sin_addr, 4); return AF_INET;
    case AF_INET6:
        if (IN6_IS_ADDR_V4MAPPED(&a->u.in6.sin6_addr)) {
            memcpy(out, (const char *)&a->u.in6.sin6_addr + 12, 4);
            return AF_INET;
        }
        memcpy(out, &a->u.in6.sin6_addr, 16);
        return AF_INET6;
    }
    return a->u.any.sa_family;
}

bool network_contains(const struct network *n, const struct address *a)
{
    unsigned char bytes[16];

    if (n->family == 0)
        return true;
    if (address_bytes(a, bytes) != n->family)
        return false;
    if (n->family == AF_UNIX)
        return true;
    mask(bytes, n->bits, n->family == AF_INET ? 32 : 128);
    return memcmp(bytes, n->address, n->family == AF_INET ? 4 : 16) == 0;
}

const struct network *network_find(const network_array *networks, const struct address *a)
{
    for (size_t i = 0; i < networks->n; i++)
        if (network_contains(&networks->items[i], a))
            return &networks->items[i];
    return NULL;
}

bool address_from_text(struct arena *a, struct str s, struct address *out)
{
    char text[INET6_ADDRSTRLEN];
    struct str host = s, port = STR("");
    struct address made = {0};
    long at;

    if (s.n && s.p[0] == '[') {
        if ((at = str_chr(s, ']')) < 0)
            return false;
        host = (struct str){s.p + 1, (size_t)at - 1};
        if ((size_t)at + 2 < s.n && s.p[at + 1] == ':')
            port = str_skip(s, (size_t)at + 2);
    } else if ((at = str_chr(s, ':')) >= 0 && str_chr(str_skip(s, (size_t)at + 1), ':') < 0) {
        host.n = (size_t)at;
        port = str_skip(s, (size_t)at + 1);
        if (port.n == 0)
            return false;
    }
    if (host.n == 0 || host.n >= sizeof text || (port.n && (str_number(port) < 1 || str_number(port) > 65535)))
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    if (inet_pton(AF_INET, text, &made.u.in.sin_addr) == 1) {
        made.u.in.sin_family = AF_INET;
        made.u.in.sin_port = htons((uint16_t)(port.n ? str_number(port) : 0));
        made.bytes = sizeof made.u.in;
    } else if (inet_pton(AF_INET6, text, &made.u.in6.sin6_addr) == 1) {
        made.u.in6.sin6_family = AF_INET6;
        made.u.in6.sin6_port = htons((uint16_t)(port.n ? str_number(port) : 0));
        made.bytes = sizeof made.u.in6;
    } else {
        return false;
    }
    made.text = address_text(a, &made.u.any, true);
    *out = made;
    return true;
}

enum step { STEP_UNTRUSTED, STEP_REPLACED, STEP_LAST };

/* One list, read from its end. STEP_LAST: replaced, and what is before it is not to be trusted. */
static enum step walk(struct arena *a, struct address *addr, struct str list, const network_array *trusted, bool is_recursive)
{
    bool is_replaced = false;

    for (;;) {
        struct address next;
        size_t end = list.n, start;
        if (!network_find(trusted, addr))
            return is_replaced ? STEP_LAST : STEP_UNTRUSTED;
        while (end && (list.p[end - 1] == ' ' || list.p[end - 1] == ','))
            end--;
        for (start = end; start && list.p[start - 1] != ' ' && list.p[start - 1] != ','; start--)
            ;
        if (!address_from_text(a, (struct str){list.p + start, end - start}, &next))
            return is_replaced ? STEP_LAST : STEP_UNTRUSTED;
        *addr = next;
        is_replaced = true;
        if (!is_recursive || start == 0)
            return STEP_REPLACED;
        list.n = start - 1;
    }
}

bool address_forwarded(struct arena *a, struct address *addr, const field_array *lists, enum field_id id, struct str name,
                       const network_array *trusted, bool is_recursive)
{
    bool is_replaced = false;

    for (size_t i = lists->n; i-- > 0;) {
        const struct field *f = &lists->items[i];
        enum step step;
        if (id == FIELD_OTHER ? !str_ieq(f->name, name) : f->id != id)
            continue;
        step = walk(a, addr, f->value, trusted, is_recursive);
        is_replaced |= step != STEP_UNTRUSTED;
        if (step != STEP_REPLACED || !is_recursive)
            break;
    }
    return is_replaced;
}
