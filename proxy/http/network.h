/*
 * Networks in CIDR notation, and the client address that trusted proxies report.
 */
#ifndef GLASSPROXY_HTTP_NETWORK_H
#define GLASSPROXY_HTTP_NETWORK_H

#include "http/core.h"
#include "http/field.h"

struct network {
    int family; /* AF_INET, AF_INET6, AF_UNIX; 0: every address */
    unsigned char address[16];
    unsigned bits;
    const struct directive *directive;
};

typedef ARRAY_OF(struct network) network_array;

/* "10.0.0.0/8", "::1", an address alone. False if S is none of these. Bits behind the mask are cleared. */
bool network_parse(struct str s, struct network *out);
/* The bytes of A's address, an IPv4-mapped one as IPv4; returns the family. */
int address_bytes(const struct address *a, unsigned char out[16]);
bool network_contains(const struct network *n, const struct address *a);
const struct network *network_find(const network_array *networks, const struct address *a);

/* A literal IP address, with a port if WITH_PORT allows one. False if S is none. */
bool address_from_text(struct arena *a, struct str s, struct address *out);

/* Walks the addresses in LISTS (values of X-Forwarded-For and the like) from the last one on, as long as they are
 * of TRUSTED proxies (only one step unless IS_RECURSIVE). True if ADDR was replaced.
 * nginx: set_real_ip_from, geo's proxy. */
bool address_forwarded(struct arena *a, struct address *addr, const field_array *lists, enum field_id id, struct str name,
                       const network_array *trusted, bool is_recursive);

#endif
