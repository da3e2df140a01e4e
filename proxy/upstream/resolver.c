/*
 * Names to addresses: see resolver.h.
 */
#include "upstream/resolver.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "http/log.h"
#include "util/buf.h"
#include "util/mem.h"

enum { RESEND_MS = 5000, UNUSED_MS = 30000, MAX_NAME = 255, MAX_ALIASES = 50, MAX_ADDRESSES = 64, MESSAGE_BYTES = 65536 };

struct dns_server {
    struct address address;
    struct resolver *resolver;
    struct io udp, tcp;
    bool is_tcp_connected;
    struct buf tcp_in, tcp_out;
};

/* One of A and AAAA. */
struct half {
    unsigned short id;
    enum { NOT_ASKED, ASKED, ANSWERED } state;
    int code;
    bool is_empty; /* an answer with nothing in it */
    unsigned n;
    unsigned char addresses[MAX_ADDRESSES][16];
};

struct name {
    struct name *next;
    struct resolver *resolver;
    char text[MAX_NAME + 1];
    struct half halves[2]; /* A, AAAA */
    char alias[MAX_NAME + 1];
    unsigned long ttl_s;
    uint64_t expires_ms, used_ms;
    bool is_pending;
    size_t server;
    struct timer resend;
    struct resolver_query *waiting;
};

struct resolver_query {
    struct resolver_query *next;
    struct name *name;
    struct loop *loop;
    struct arena *arena;
    unsigned port, aliases;
    struct timer timeout;
    struct resolver_query **handle;
    resolver_done *done;
    void *data;
};

struct resolver {
    ARRAY_OF(struct dns_server) servers;
    long valid_s; /* -1: what the answers say */
    bool wants[2];
    struct loop *loop;
    struct conf *conf;
    struct name *names;
    size_t next_server;
};

static void ask(struct name *n);

static const char *words(int code)
{
    switch (code) {
    case 1: return "1: Format error";
    case 2: return "2: Server failure";
    case 3: return "3: Host not found";
    case 4: return "4: Unimplemented";
    case 5: return "5: Operation refused";
    }
    return "unknown error";
}

/* --- the end of queries --- */

static void unlink_query(struct resolver_query *q)
{
    for (struct resolver_query **at = &q->name->waiting; *at; at = &(*at)->next)
        if (*at == q) {
            *at = q->next;
            break;
        }
    timer_stop(q->loop, &q->timeout);
    *q->handle = NULL;
}

void resolver_cancel(struct resolver_query *q)
{
    unlink_query(q);
    mem_free(q);
}

static void answer(struct resolver_query *q, const address_array *found, const char *error)
{
    resolver_done *done = q->done;
    void *data = q->data;

    unlink_query(q);
    mem_free(q);
    done(data, found, error);
}

static void query_timeout(struct timer *t)
{
    answer(t->data, NULL, "110: Operation timed out");
}

static void deliver(struct resolver_query *q, const struct name *n)
{
    address_array *found = arena_zalloc(q->arena, sizeof *found);
    unsigned total = n->halves[0].n + n->halves[1].n, from = total ? (unsigned)random() % total : 0;

    for (unsigned k = 0; k < total; k++) { /* a turn on, as nginx does it, to spread the load */
        unsigned i = (k + from) % total;
        struct address *a = ARRAY_PUSH(found, q->arena);
        if (i < n->halves[0].n) {
            a->u.in = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)q->port)};
            memcpy(&a->u.in.sin_addr, n->halves[0].addresses[i], 4);
            a->bytes = sizeof a->u.in;
        } else {
            a->u.in6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)q->port)};
            memcpy(&a->u.in6.sin6_addr, n->halves[1].addresses[i - n->halves[0].n], 16);
            a->bytes = sizeof a->u.in6;
        }
        a->text = address_text(q->arena, &a->u.any, true);
    }
    answer(q, found, NULL);
}

static struct name *find(struct resolver *r, struct str text)
{
    char low[MAX_NAME + 1];
    struct name *n, **at;

    if (text.n && text.p[text.n - 1] == '.')
        text.n--;
    if (text.n == 0 || text.n > MAX_NAME)
        return NULL;
    for (size_t i = 0; i < text.n; i++)
        low[i] = ascii_lower(text.p[i]);
    low[text.n] = '\0';
    for (at = &r->names; (n = *at);) {
        if (strcmp(n->text, low) == 0)
            break;
        if (!n->is_pending && !n->waiting && loop_now_ms(r->loop) > n->used_ms + UNUSED_MS) {
            *at = n->next;
            mem_free(n);
            continue;
        }
        at = &n->next;
    }
    if (!n) {
        n = mem_zalloc(sizeof *n);
        n->resolver = r;
        strcpy(n->text, low);
        n->next = r->names;
        r->names = n;
    }
    n->used_ms = loop_now_ms(r->loop);
    return n;
}

/* Q waits for N, or has its answer at once. */
static void wait_for(struct resolver_query *q, struct name *n)
{
    q->name = n;
    q->next = n->waiting;
    n->waiting = q;
    if (n->is_pending)
        return;
    if (loop_now_ms(q->loop) < n->expires_ms) {
        if (n->halves[0].n + n->halves[1].n) {
            deliver(q, n);
            return;
        }
        if (n->alias[0] && q->aliases < MAX_ALIASES) {
            struct name *target = find(n->resolver, str_of(n->alias));
            n->waiting = q->next;
            if (target) {
                q->aliases++;
                wait_for(q, target);
                return;
            }
        }
    }
    ask(n);
}

void resolver_start(struct loop *l, const struct resolver *r, struct str name, unsigned port, uint64_t timeout_ms,
                    struct arena *a, struct resolver_query **handle, resolver_done *done, void *data)
{
    struct resolver *self = (struct resolver *)r; /* of the configuration, but with a cache in it */
    struct resolver_query *q;
    struct name *n;

    self->loop = l;
    n = find(self, name);
    if (!n) {
        done(data, NULL, words(3));
        return;
    }
    q = mem_zalloc(sizeof *q);
    *q = (struct resolver_query){.loop = l, .arena = a, .port = port, .handle = handle, .done = done, .data = data};
    q->timeout.handler = query_timeout;
    q->timeout.data = q;
    *handle = q;
    timer_start(l, &q->timeout, timeout_ms);
    wait_for(q, n);
}

/* --- answers --- */

/* All that was asked for N has been answered. */
static void conclude(struct name *n)
{
    struct resolver *r = n->resolver;
    unsigned total = n->halves[0].n + n->halves[1].n;
    int code = n->halves[0].code ? n->halves[0].code : n->halves[1].code;
    struct resolver_query *q, *all = n->waiting;

    n->is_pending = false;
    timer_stop(r->loop, &n->resend);
    n->expires_ms = 0;
    if (code || (!total && n->halves[1].is_empty)) {
        total = n->halves[0].n = n->halves[1].n = 0;
        n->alias[0] = '\0';
    }
    if (total || n->alias[0])
        n->expires_ms = loop_now_ms(r->loop) + (r->valid_s >= 0 ? (uint64_t)r->valid_s : n->ttl_s) * 1000;
    n->used_ms = loop_now_ms(r->loop);
    for (q = all; (q = n->waiting);) {
        if (total) {
            deliver(q, n);
        } else if (n->alias[0] && q->aliases < MAX_ALIASES) {
            struct name *target = find(r, str_of(n->alias));
            n->waiting = q->next;
            q->aliases++;
            wait_for(q, target ? target : n);
        } else {
            answer(q, NULL, words(code ? code : 3));
        }
        if (n->is_pending) /* an answer's consequence asked anew */
            return;
    }
}

static void take_records(struct name *n, int which, ns_msg *m)
{
    struct half *h = &n->halves[which];
    char alias[NS_MAXDNAME];

    h->n = 0;
    h->is_empty = true;
    for (int i = 0; i < ns_msg_count(*m, ns_s_an); i++) {
        ns_rr rr;
        if (ns_parserr(m, ns_s_an, i, &rr) < 0)
            return;
        if (ns_rr_class(rr) != ns_c_in)
            continue;
        if (ns_rr_type(rr) == ns_t_a && which == 0 && ns_rr_rdlen(rr) == 4 && h->n < MAX_ADDRESSES)
            memcpy(h->addresses[h->n++], ns_rr_rdata(rr), 4);
        else if (ns_rr_type(rr) == ns_t_aaaa && which == 1 && ns_rr_rdlen(rr) == 16 && h->n < MAX_ADDRESSES)
            memcpy(h->addresses[h->n++], ns_rr_rdata(rr), 16);
        else if (ns_rr_type(rr) == ns_t_cname
                 && ns_name_uncompress(ns_msg_base(*m), ns_msg_end(*m), ns_rr_rdata(rr), alias, sizeof alias) >= 0
                 && strlen(alias) <= MAX_NAME)
            strcpy(n->alias, alias);
        else
            continue;
        h->is_empty = false;
        if (ns_rr_ttl(rr) < n->ttl_s)
            n->ttl_s = ns_rr_ttl(rr);
    }
}

static void append_query(struct buf *b, const struct name *n, int which)
{
    unsigned char header[12] = {0}, tail[4] = {0, which == 0 ? ns_t_a : ns_t_aaaa, 0, ns_c_in};
    struct str rest = str_of(n->text);

    header[0] = (unsigned char)(n->halves[which].id >> 8);
    header[1] = (unsigned char)n->halves[which].id;
    header[2] = 1; /* recursion desired */
    header[5] = 1; /* one question */
    buf_add(b, header, sizeof header);
    while (rest.n) {
        long dot = str_chr(rest, '.');
        size_t n_label = dot < 0 ? rest.n : (size_t)dot;
        unsigned char length = (unsigned char)n_label;
        buf_add(b, &length, 1);
        buf_add(b, rest.p, n_label);
        rest = str_skip(rest, dot < 0 ? rest.n : n_label + 1);
    }
    buf_add(b, "", 1);
    buf_add(b, tail, sizeof tail);
}

static void tcp_flush(struct dns_server *s)
{
    while (s->is_tcp_connected && buf_len(&s->tcp_out)) {
        struct str out = buf_str(&s->tcp_out);
        ssize_t n = send(s->tcp.fd, out.p, out.n, MSG_NOSIGNAL);
        if (n < 0)
            break;
        buf_consume(&s->tcp_out, (size_t)n);
    }
    loop_watch(s->resolver->loop, &s->tcp, IO_READ | (!s->is_tcp_connected || buf_len(&s->tcp_out) ? IO_WRITE : 0));
}

static void tcp_close(struct dns_server *s)
{
    if (s->tcp.fd < 0)
        return;
    loop_watch(s->resolver->loop, &s->tcp, 0);
    close(s->tcp.fd);
    s->tcp.fd = -1;
    s->is_tcp_connected = false;
    buf_free(&s->tcp_in);
    buf_free(&s->tcp_out);
}

static void message(struct dns_server *s, const unsigned char *bytes, size_t n_bytes, bool is_tcp);

static void tcp_event(struct io *io, unsigned ready)
{
    struct dns_server *s = io->data;
    char bytes[4096];
    ssize_t n;

    if (ready & IO_WRITE) {
        int err = 0;
        socklen_t size = sizeof err;
        if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &err, &size) < 0 || err) {
            log_event(s->resolver->conf, LOG_CRIT_, err, "connect() failed while resolving, resolver: %.*s", STR_ARG(s->address.text));
            tcp_close(s);
            return;
        }
        s->is_tcp_connected = true;
        tcp_flush(s);
    }
    if (!(ready & IO_READ))
        return;
    n = recv(io->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        tcp_close(s);
        return;
    }
    buf_add(&s->tcp_in, bytes, (size_t)n);
    while (buf_len(&s->tcp_in) >= 2) {
        struct str in = buf_str(&s->tcp_in);
        size_t length = (size_t)(unsigned char)in.p[0] << 8 | (unsigned char)in.p[1];
        unsigned char *copy;
        if (in.n < length + 2)
            break;
        copy = mem_alloc(length + 1);
        memcpy(copy, in.p + 2, length);
        buf_consume(&s->tcp_in, length + 2);
        message(s, copy, length, true);
        mem_free(copy);
        if (s->tcp.fd < 0)
            return;
    }
}

static void ask_tcp(struct dns_server *s, const struct name *n, int which)
{
    struct buf b = {0};
    unsigned char length[2];

    if (s->tcp.fd < 0) {
        s->tcp = (struct io){.fd = socket(s->address.u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                             .handler = tcp_event, .data = s};
        if (s->tcp.fd < 0)
            return;
        if (connect(s->tcp.fd, &s->address.u.any, s->address.bytes) < 0 && errno != EINPROGRESS) {
            close(s->tcp.fd);
            s->tcp.fd = -1;
            return;
        }
    }
    append_query(&b, n, which);
    length[0] = (unsigned char)(buf_len(&b) >> 8);
    length[1] = (unsigned char)buf_len(&b);
    buf_add(&s->tcp_out, length, 2);
    buf_adds(&s->tcp_out, buf_str(&b));
    buf_free(&b);
    tcp_flush(s);
}

static void message(struct dns_server *s, const unsigned char *bytes, size_t n_bytes, bool is_tcp)
{
    struct resolver *r = s->resolver;
    struct name *n;
    ns_msg m;
    ns_rr question;
    int which = 0;

    if (n_bytes < 12)
        return;
    if (!(bytes[2] & 0x80))
        return;
    for (n = r->names; n; n = n->next) {
        unsigned id = (unsigned)bytes[0] << 8 | bytes[1];
        for (which = 0; which < 2; which++)
            if (n->is_pending && n->halves[which].state == ASKED && n->halves[which].id == id)
                break;
        if (which < 2)
            break;
    }
    if (!n) {
        log_event(r->conf, LOG_INFO_, 0, "unexpected DNS response, resolver: %.*s", STR_ARG(s->address.text));
        return;
    }
    if (!is_tcp && (bytes[2] & 0x02)) { /* truncated */
        ask_tcp(s, n, which);
        return;
    }
    if (ns_initparse(bytes, (int)n_bytes, &m) < 0 || ns_msg_count(m, ns_s_qd) != 1 || ns_parserr(&m, ns_s_qd, 0, &question) < 0
        || !str_ieq(str_of(ns_rr_name(question)), str_of(n->text))
        || ns_rr_type(question) != (which == 0 ? ns_t_a : ns_t_aaaa)) {
        log_event(r->conf, LOG_ERR_, 0, "wrong DNS response, resolver: %.*s", STR_ARG(s->address.text));
        return;
    }
    n->halves[which].state = ANSWERED;
    n->halves[which].code = bytes[3] & 15;
    if (n->halves[which].code == 0)
        take_records(n, which, &m);
    if (n->halves[0].state != ASKED && n->halves[1].state != ASKED)
        conclude(n);
}

/* --- questions --- */

static void udp_event(struct io *io, unsigned ready)
{
    struct dns_server *s = io->data;
    static unsigned char bytes[MESSAGE_BYTES];

    (void)ready;
    for (int i = 0; i < 64; i++) {
        ssize_t n = recv(io->fd, bytes, sizeof bytes, 0);
        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR)
                log_event(s->resolver->conf, LOG_ERR_, errno, "recv() failed while resolving, resolver: %.*s", STR_ARG(s->address.text));
            return;
        }
        message(s, bytes, (size_t)n, false);
    }
}

static void send_questions(struct name *n)
{
    struct resolver *r = n->resolver;
    struct dns_server *s = &r->servers.items[n->server % r->servers.n];

    if (s->udp.fd < 0) {
        s->udp = (struct io){.fd = socket(s->address.u.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0),
                             .handler = udp_event, .data = s};
        if (s->udp.fd >= 0 && connect(s->udp.fd, &s->address.u.any, s->address.bytes) == 0)
            loop_watch(r->loop, &s->udp, IO_READ);
    }
    for (int which = 0; which < 2; which++)
        if (n->halves[which].state == ASKED) {
            struct buf b = {0};
            append_query(&b, n, which);
            if (send(s->udp.fd, buf_str(&b).p, buf_len(&b), MSG_NOSIGNAL) < 0)
                log_event(r->conf, LOG_ERR_, errno, "send() failed while resolving, resolver: %.*s", STR_ARG(s->address.text));
            buf_free(&b);
        }
    timer_start(r->loop, &n->resend, RESEND_MS);
}

static void resend(struct timer *t)
{
    struct name *n = t->data;

    if (!n->waiting) { /* nobody wants to know any more */
        n->is_pending = false;
        return;
    }
    n->server++;
    send_questions(n);
}

static void ask(struct name *n)
{
    struct resolver *r = n->resolver;
    bool is_too_long = false;
    struct str rest = str_of(n->text);

    while (rest.n) { /* labels of 1 to 63 characters */
        long dot = str_chr(rest, '.');
        size_t length = dot < 0 ? rest.n : (size_t)dot;
        is_too_long |= length == 0 || length > 63;
        rest = str_skip(rest, dot < 0 ? rest.n : length + 1);
    }
    n->alias[0] = '\0';
    n->ttl_s = 0xffffffff;
    n->is_pending = true;
    for (int which = 0; which < 2; which++) {
        n->halves[which].state = r->wants[which] ? ASKED : NOT_ASKED;
        n->halves[which].id = (unsigned short)random();
        n->halves[which].code = is_too_long ? 3 : 0;
        n->halves[which].n = 0;
        n->halves[which].is_empty = false;
    }
    if (is_too_long) {
        conclude(n);
        return;
    }
    n->resend.handler = resend;
    n->resend.data = n;
    n->server = r->next_server++;
    send_questions(n);
}

/* --- the directive --- */

static void free_resolver(void *data)
{
    struct resolver *r = data;
    struct name *next;

    for (struct name *n = r->names; n; n = next) {
        next = n->next;
        timer_stop(r->loop, &n->resend);
        mem_free(n);
    }
    for (size_t i = 0; i < r->servers.n; i++) {
        struct dns_server *s = &r->servers.items[i];
        tcp_close(s);
        if (s->udp.fd >= 0) {
            loop_watch(r->loop, &s->udp, 0);
            close(s->udp.fd);
        }
    }
}

int parse_resolver(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct resolver *r;

    if (!s)
        return -1;
    s->ptr = r = arena_zalloc(c->arena, sizeof *r);
    r->conf = c;
    r->valid_s = -1;
    r->wants[0] = r->wants[1] = true;
    for (unsigned i = 1; i < d->n_args; i++) {
        struct str arg = d->args[i];
        address_array found = {0};
        const char *error;
        if (str_has_prefix(arg, STR("valid="))) {
            r->valid_s = conf_read_sec(str_skip(arg, 6));
            if (r->valid_s < 0) {
                conf_fail(c->tree, d, "invalid parameter: %.*s", STR_ARG(arg));
                return -1;
            }
            continue;
        }
        if (str_has_prefix(arg, STR("ipv4=")) || str_has_prefix(arg, STR("ipv6="))) {
            bool is_on = str_eq(str_skip(arg, 5), STR("on"));
            if (!is_on && !str_eq(str_skip(arg, 5), STR("off"))) {
                conf_fail(c->tree, d, "invalid parameter: %.*s", STR_ARG(arg));
                return -1;
            }
            r->wants[arg.p[3] == '6'] = is_on;
            continue;
        }
        error = address_parse(c->arena, arg, 53, &found);
        if (error) {
            conf_fail(c->tree, d, "%s in resolver \"%.*s\"", error, STR_ARG(arg));
            return -1;
        }
        for (size_t k = 0; k < found.n; k++) {
            struct dns_server *server = ARRAY_PUSH(&r->servers, c->arena);
            server->address = found.items[k];
            server->resolver = r;
            server->udp.fd = server->tcp.fd = -1;
        }
    }
    if (r->servers.n == 0) {
        conf_fail(c->tree, d, "no name servers defined");
        return -1;
    }
    if (!r->wants[0] && !r->wants[1]) {
        conf_fail(c->tree, d, "\"ipv4\" and \"ipv6\" cannot both be \"off\"");
        return -1;
    }
    arena_on_free(c->arena, free_resolver, r);
    return 0;
}
