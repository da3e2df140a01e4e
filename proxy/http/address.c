/*
 * Socket addresses as texts and back: part of core.h's interface.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "http/core.h"

static void add_sockaddr(struct arena *a, address_array *out, const struct sockaddr *sa, socklen_t bytes)
{
    struct address *at = ARRAY_PUSH(out, a);

    memcpy(&at->u, sa, bytes);
    at->bytes = bytes;
    at->text = address_text(a, sa, true);
}

struct str address_text(struct arena *a, const struct sockaddr *sa, bool with_port)
{
    char text[INET6_ADDRSTRLEN];

    switch (sa->sa_family) {
    case AF_INET: {
        const struct sockaddr_in *in = (const void *)sa;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        return with_port ? arena_printf(a, "%s:%u", text, ntohs(in->sin_port)) : arena_printf(a, "%s", text);
    }
    case AF_INET6: {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text);
        return with_port ? arena_printf(a, "[%s]:%u", text, ntohs(in6->sin6_port)) : arena_printf(a, "%s", text);
    }
    case AF_UNIX: return arena_printf(a, "unix:%s", ((const struct sockaddr_un *)(const void *)sa)->sun_path);
    }
    return STR("");
}

unsigned address_port(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return ntohs(((const struct sockaddr_in *)(const void *)sa)->sin_port);
    if (sa->sa_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)sa)->sin6_port);
    return 0;
}

bool address_eq(const struct address *a, const struct address *b)
{
    return str_eq(a->text, b->text);
}

const char *address_parse(struct arena *a, struct str s, unsigned default_port, address_array *out)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    struct str host = s, port = {0};
    long long port_number = default_port;
    long at;

    if (str_has_prefix(s, STR("unix:"))) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        struct str path = str_skip(s, 5);
        if (path.n == 0)
            return "no path in the unix domain socket";
        if (path.n >= sizeof un.sun_path)
            return "too long path in the unix domain socket";
        memcpy(un.sun_path, path.p, path.n);
        add_sockaddr(a, out, (struct sockaddr *)&un, sizeof un);
        return NULL;
    }
    if (str_chr(s, '/') >= 0)
        return "invalid host";
    if (s.n && s.p[0] == '[') {
        at = str_chr(s, ']');
        if (at < 0)
            return "invalid host";
        host = (struct str){s.p + 1, (size_t)at - 1};
        if ((size_t)at + 1 < s.n) {
            if (s.p[at + 1] != ':')
                return "invalid host";
            port = str_skip(s, (size_t)at + 2);
        }
    } else if ((at = str_chr(s, ':')) >= 0) {
        host.n = (size_t)at;
        port = str_skip(s, (size_t)at + 1);
    }
    if (port.p) {
        port_number = str_number(port);
        if (port_number < 1 || port_number > 65535)
            return "invalid port";
    }
    if (host.n == 0)
        return "no host";
    if (str_eq(host, STR("*"))) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port_number)};
        add_sockaddr(a, out, (struct sockaddr *)&in, sizeof in);
        return NULL;
    }
    if (getaddrinfo(arena_dup(a, host.p, host.n), NULL, &hints, &found) != 0)
        return "host not found";
    for (struct addrinfo *ai = found; ai; ai = ai->ai_next) {
        if (ai->ai_family == AF_INET)
            ((struct sockaddr_in *)(void *)ai->ai_addr)->sin_port = htons((uint16_t)port_number);
        else if (ai->ai_family == AF_INET6)
            ((struct sockaddr_in6 *)(void *)ai->ai_addr)->sin6_port = htons((uint16_t)port_number);
        else
            continue;
        add_sockaddr(a, out, ai->ai_addr, ai->ai_addrlen);
    }
    freeaddrinfo(found);
    return NULL;
}
