/*
 * nginx's core variables: see core_vars.h.
 */
#include "vars/core_vars.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "http/connection.h"
#include "http/date.h"
#include "http/request.h"
#include "http/request_body.h"
#include "http/uri.h"
#include "phases/static.h"
#include "version.h"
#include "vars/vars.h"

#define GETTER(name) static void name(struct request *r, struct value *v, struct str rest, void *data)
#define UNUSED (void)r, (void)rest, (void)data

static void give(struct value *v, struct str s)
{
    v->s = s;
}

static void none(struct value *v)
{
    v->s = STR("");
    v->is_not_found = true;
}

static void give_number(struct request *r, struct value *v, unsigned long long n)
{
    v->s = arena_printf(r->arena, "%llu", n);
}

GETTER(get_str)
{
    UNUSED;
    give(v, *(const struct str *)(const void *)((const char *)r + (size_t)data));
    if (v->s.p == NULL)
        none(v);
}

GETTER(get_host)
{
    UNUSED;
    give(v, r->host.n ? r->host : r->server->name);
}

static void find_in(struct request *r, const field_array *fields, struct str rest, const char *separator, struct value *v)
{
    struct str all = {0};

    for (size_t i = 0; i < fields->n; i++) {
        const struct field *f = &fields->items[i];
        if (f->is_removed || !variable_names_field(rest, f->name))
            continue;
        if (!all.p) {
            all = f->value;
            if (!separator)
                break;
        } else {
            all = arena_printf(r->arena, "%.*s%s%.*s", STR_ARG(all), separator, STR_ARG(f->value));
        }
    }
    if (all.p)
        give(v, all);
    else
        none(v);
}

/* DATA, in this and the next, is the name of one that `set` must not define anew. */
GETTER(get_http)
{
    UNUSED;
    rest = data ? str_of(data) : rest;
    /* nginx 1.22 joins these two only; of others it takes the first */
    find_in(r, &r->fields, rest, str_eq(rest, STR("cookie")) ? "; " : str_eq(rest, STR("x_forwarded_for")) ? ", " : NULL, v);
}

GETTER(get_sent_http)
{
    UNUSED;
    struct response *out = &r->response;
    rest = data ? str_of(data) : rest;
    if (str_eq(rest, STR("content_type")) && out->content_type.n)
        give(v, out->charset.n ? arena_printf(r->arena, "%.*s; charset=%.*s", STR_ARG(out->content_type), STR_ARG(out->charset)) : out->content_type);
    else if (str_eq(rest, STR("content_length")) && out->content_length >= 0)
        give_number(r, v, (unsigned long long)out->content_length);
    else if (str_eq(rest, STR("connection")))
        give(v, out->status == 101 ? STR("upgrade") : r->keeps_alive ? STR("keep-alive") : STR("close"));
    else if (str_eq(rest, STR("keep_alive")) && r->keeps_alive && ((const long *)CORE_LOC(r)->keepalive_timeout.ptr)[1])
        give(v, arena_printf(r->arena, "timeout=%ld", ((const long *)CORE_LOC(r)->keepalive_timeout.ptr)[1]));
    else if (str_eq(rest, STR("transfer_encoding")) && out->is_chunked)
        give(v, STR("chunked"));
    else if (str_eq(rest, STR("last_modified")) && out->last_modified != (time_t)-1) {
        char date[HTTP_DATE_BYTES + 1];
        date_http(out->last_modified, date);
        give(v, arena_str(r->arena, str_of(date)));
    } else
        find_in(r, &out->fields, rest, str_eq(rest, STR("cache_control")) || str_eq(rest, STR("link")) ? ", " : NULL, v);
}

GETTER(get_cookie)
{
    UNUSED;
    for (size_t i = 0; i < r->fields.n; i++) {
        struct str s = r->fields.items[i].value;
        if (r->fields.items[i].id != FIELD_COOKIE)
            continue;
        while (s.n) {
            long end = str_chr(s, ';');
            struct str pair = {s.p, end < 0 ? s.n : (size_t)end};
            long equals;
            pair = str_trim(pair);
            equals = str_chr(pair, '=');
            if (equals >= 0 && str_ieq((struct str){pair.p, (size_t)equals}, rest)) {
                give(v, str_skip(pair, (size_t)equals + 1));
                return;
            }
            s = end < 0 ? STR("") : str_skip(s, (size_t)end + 1);
        }
    }
    none(v);
}

GETTER(get_arg)
{
    UNUSED;
    struct str s = r->args;
    while (s.n) {
        long end = str_chr(s, '&');
        struct str pair = {s.p, end < 0 ? s.n : (size_t)end};
        if (pair.n > rest.n && pair.p[rest.n] == '=' && str_has_iprefix(pair, rest)) {
            give(v, str_skip(pair, rest.n + 1));
            return;
        }
        s = end < 0 ? STR("") : str_skip(s, (size_t)end + 1);
    }
    none(v);
}

GETTER(get_is_args)
{
    UNUSED;
    give(v, r->args.n ? STR("?") : STR(""));
}

GETTER(get_remote_addr)
{
    UNUSED;
    give(v, address_text(r->arena, &r->client->u.any, false));
    if (r->client->u.any.sa_family == AF_UNIX)
        give(v, STR("unix:"));
}

GETTER(get_binary_remote_addr)
{
    UNUSED;
    const struct address *a = r->client;
    if (a->u.any.sa_family == AF_INET)
        give(v, arena_str(r->arena, (struct str){(const char *)&a->u.in.sin_addr, 4}));
    else if (a->u.any.sa_family == AF_INET6)
        give(v, arena_str(r->arena, (struct str){(const char *)&a->u.in6.sin6_addr, 16}));
    else
        give(v, STR("unix:"));
}

GETTER(get_remote_port)
{
    UNUSED;
    unsigned port = address_port(&r->client->u.any);
    if (port)
        give_number(r, v, port);
    else
        give(v, STR(""));
}

GETTER(get_server_addr)
{
    UNUSED;
    give(v, r->connection ? address_text(r->arena, &connection_local(r->connection)->u.any, false) : STR("127.0.0.1"));
}

GETTER(get_server_port)
{
    UNUSED;
    unsigned port = 80;
    if (r->connection)
        port = address_port(&connection_local(r->connection)->u.any);
    if (port)
        give_number(r, v, port);
}

GETTER(get_scheme)
{
    UNUSED;
    give(v, STR("http"));
}

GETTER(get_request_body)
{
    UNUSED;
    if (!r->body || r->body->fd >= 0 || (r->content_length < 0 && !r->is_chunked))
        none(v);
    else
        give(v, arena_str(r->arena, buf_str(r->body->is_streaming ? &r->body->kept : &r->body->memory)));
}

GETTER(get_request_body_file)
{
    UNUSED;
    if (r->body && r->body->fd >= 0)
        give(v, r->body->path);
    else
        none(v);
}

GETTER(get_realpath_root)
{
    UNUSED;
    struct str root = document_root(r);
    char *real = realpath(arena_dup(r->arena, root.p, root.n), NULL);
    if (real)
        give(v, arena_str(r->arena, str_of(real)));
    else
        none(v);
    free(real);
}

GETTER(get_connection_time)
{
    UNUSED;
    uint64_t ms = r->connection ? loop_now_ms(r->connection->worker->loop) - r->connection->opened_ms : 0;
    give(v, arena_printf(r->arena, "%llu.%03llu", (unsigned long long)ms / 1000, (unsigned long long)ms % 1000));
}

GETTER(get_limit_rate)
{
    UNUSED;
    give_number(r, v, r->limit_rate >= 0 ? (unsigned long long)r->limit_rate : (unsigned long long)conf_read_size(text_value(r, CORE_LOC(r)->limit_rate.ptr)));
}

static void set_limit_rate(struct request *r, struct str value)
{
    long rate = conf_read_size(value);

    if (rate >= 0)
        r->limit_rate = (int)rate;
}

GETTER(get_sent_trailer)
{
    UNUSED;
    find_in(r, &r->response.trailers, rest, ", ", v);
}

GETTER(get_none)
{
    UNUSED;
    none(v);
}

/* RFC 7617: what stands before the colon in the credentials, whether or not anything checks them. */
GETTER(get_remote_user)
{
    UNUSED;
    const struct field *f = field_find_id(&r->fields, FIELD_AUTHORIZATION);
    struct str in = f ? f->value : STR("");
    size_t n = 0;
    struct buf padded = {0};
    unsigned char *out;
    int got;
    long colon = -1;

    none(v);
    if (!str_has_iprefix(in, STR("Basic ")))
        return;
    for (in = str_skip(in, 6); in.n && in.p[0] == ' ';)
        in = str_skip(in, 1);
    while (n < in.n && in.p[n] != '=') {
        char c = in.p[n++];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/'))
            return;
    }
    if (n == 0 || n % 4 == 1)
        return;
    buf_add(&padded, in.p, n);
    buf_add(&padded, "===", (4 - n % 4) % 4);
    out = arena_alloc(r->arena, n + 4);
    got = EVP_DecodeBlock(out, (const unsigned char *)buf_str(&padded).p, (int)buf_len(&padded));
    buf_free(&padded);
    if (got > 0)
        colon = str_chr((struct str){(const char *)out, n * 3 / 4}, ':');
    if (colon < 0)
        return;
    v->is_not_found = false;
    give(v, (struct str){(const char *)out, (size_t)colon});
}

/* DATA is the place in the kernel's structure. */
GETTER(get_tcpinfo)
{
    UNUSED;
    struct tcp_info info;
    socklen_t n = sizeof info;

    if (!r->connection || getsockopt(r->connection->io.fd, IPPROTO_TCP, TCP_INFO, &info, &n) < 0)
        none(v);
    else
        give_number(r, v, *(const unsigned *)(const void *)((const char *)&info + (size_t)data));
}

GETTER(get_empty)
{
    UNUSED;
    give(v, STR(""));
}

GETTER(get_protocol)
{
    UNUSED;
    if (r->version == 9)
        give(v, STR("HTTP/0.9"));
    else if (r->version)
        give(v, arena_printf(r->arena, "HTTP/%u.%u", r->version / 1000, r->version % 1000));
    else
        none(v);
}

GETTER(get_document_root)
{
    UNUSED;
    give(v, document_root(r));
}

GETTER(get_request_filename)
{
    UNUSED;
    give(v, file_path(r, r->uri));
}

GETTER(get_server_name)
{
    UNUSED;
    give(v, r->server->name);
}

GETTER(get_content_length)
{
    UNUSED;
    const struct field *f = field_find_id(&r->fields, FIELD_CONTENT_LENGTH);
    if (f)
        give(v, f->value);
    else if (r->is_chunked && r->body && r->body->is_discarding && !r->body->is_complete) {
        const struct buffer_sizes *large = CORE_SRV(r)->large_client_header_buffers.ptr; /* what nginx expects at most */
        give_number(r, v, r->body->chunked.needs > (unsigned long)large->bytes ? r->body->chunked.needs : (unsigned long)large->bytes);
    } else if (r->is_chunked && r->body && r->body->is_complete)
        give_number(r, v, r->body->is_discarding ? 0 : (unsigned long long)r->body->received_bytes);
    else
        none(v);
}

GETTER(get_content_type)
{
    UNUSED;
    const struct field *f = field_find_id(&r->fields, FIELD_CONTENT_TYPE);
    if (f)
        give(v, f->value);
    else
        none(v);
}

GETTER(get_status)
{
    UNUSED;
    unsigned status = r->response.status ? r->response.status : r->version == 9 ? 9 : 0;
    give(v, arena_printf(r->arena, "%03u", status));
}

GETTER(get_body_bytes_sent)
{
    UNUSED;
    give_number(r, v, r->body_bytes_sent);
}

GETTER(get_bytes_sent)
{
    UNUSED;
    give_number(r, v, r->bytes_sent);
}

GETTER(get_request_length)
{
    UNUSED;
    give_number(r, v, r->header_bytes + r->request_bytes);
}

GETTER(get_request_time)
{
    UNUSED;
    uint64_t ms = r->connection ? loop_now_ms(r->connection->worker->loop) - r->started_ms : 0;
    give(v, arena_printf(r->arena, "%llu.%03llu", (unsigned long long)ms / 1000, (unsigned long long)ms % 1000));
}

GETTER(get_msec)
{
    UNUSED;
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    give(v, arena_printf(r->arena, "%lld.%03ld", (long long)ts.tv_sec, ts.tv_nsec / 1000000));
}

GETTER(get_time_local)
{
    UNUSED;
    give(v, arena_str(r->arena, date_log()));
}

GETTER(get_time_iso8601)
{
    UNUSED;
    give(v, arena_str(r->arena, date_iso8601()));
}

GETTER(get_connection)
{
    UNUSED;
    give_number(r, v, r->connection ? r->connection->number : 0);
}

GETTER(get_connection_requests)
{
    UNUSED;
    give_number(r, v, r->connection ? r->connection->requests : 1);
}

GETTER(get_pipe)
{
    UNUSED;
    give(v, r->is_pipelined ? STR("p") : STR("."));
}

GETTER(get_nginx_version)
{
    UNUSED;
    give(v, STR(GLASSPROXY_NGINX_VERSION));
}

GETTER(get_hostname)
{
    UNUSED;
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    give(v, arena_str(r->arena, str_of(name)));
}

GETTER(get_pid)
{
    UNUSED;
    give_number(r, v, (unsigned long long)getpid());
}

GETTER(get_request_id)
{
    UNUSED;
    unsigned char bytes[16];
    char *out;
    if (r->request_id.n) {
        give(v, r->request_id);
        return;
    }
    if (getrandom(bytes, sizeof bytes, 0) < 0)
        memset(bytes, 0, sizeof bytes);
    out = arena_alloc(r->arena, 33);
    for (int i = 0; i < 16; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
    r->request_id = (struct str){out, 32};
    give(v, r->request_id);
}

GETTER(get_request_completion)
{
    UNUSED;
    give(v, r->is_finished ? STR("OK") : STR(""));
}

static void set_args(struct request *r, struct str value)
{
    r->args = value;
    r->has_valid_unparsed_uri = false;
}

#define R(field) (void *)offsetof(struct request, field)
static const struct variable_row rows[] = {
    {"host", get_host, NULL, NULL, 0},
    {"uri", get_str, NULL, R(uri), VAR_NO_CACHE},
    {"document_uri", get_str, NULL, R(uri), VAR_NO_CACHE},
    {"request_uri", get_str, NULL, R(unparsed_uri), 0},
    {"args", get_str, set_args, R(args), VAR_CHANGEABLE | VAR_NO_CACHE},
    {"query_string", get_str, NULL, R(args), VAR_NO_CACHE},
    {"is_args", get_is_args, NULL, NULL, VAR_NO_CACHE},
    {"request", get_str, NULL, R(request_line), 0},
    {"request_method", get_str, NULL, R(method_name), VAR_NO_CACHE},
    {"http_", get_http, NULL, NULL, VAR_PREFIX},
    {"sent_http_", get_sent_http, NULL, NULL, VAR_PREFIX | VAR_NO_CACHE},
    {"http_host", get_http, NULL, (void *)"host", 0},
    {"http_user_agent", get_http, NULL, (void *)"user_agent", 0},
    {"http_referer", get_http, NULL, (void *)"referer", 0},
    {"http_via", get_http, NULL, (void *)"via", 0},
    {"http_x_forwarded_for", get_http, NULL, (void *)"x_forwarded_for", 0},
    {"http_cookie", get_http, NULL, (void *)"cookie", 0},
    {"sent_http_content_type", get_sent_http, NULL, (void *)"content_type", VAR_NO_CACHE},
    {"sent_http_content_length", get_sent_http, NULL, (void *)"content_length", VAR_NO_CACHE},
    {"sent_http_location", get_sent_http, NULL, (void *)"location", VAR_NO_CACHE},
    {"sent_http_last_modified", get_sent_http, NULL, (void *)"last_modified", VAR_NO_CACHE},
    {"sent_http_connection", get_sent_http, NULL, (void *)"connection", VAR_NO_CACHE},
    {"sent_http_keep_alive", get_sent_http, NULL, (void *)"keep_alive", VAR_NO_CACHE},
    {"sent_http_transfer_encoding", get_sent_http, NULL, (void *)"transfer_encoding", VAR_NO_CACHE},
    {"sent_http_cache_control", get_sent_http, NULL, (void *)"cache_control", VAR_NO_CACHE},
    {"sent_http_link", get_sent_http, NULL, (void *)"link", VAR_NO_CACHE},
    {"cookie_", get_cookie, NULL, NULL, VAR_PREFIX},
    {"arg_", get_arg, NULL, NULL, VAR_PREFIX | VAR_NO_CACHE},
    {"remote_addr", get_remote_addr, NULL, NULL, 0},
    {"binary_remote_addr", get_binary_remote_addr, NULL, NULL, 0},
    {"remote_port", get_remote_port, NULL, NULL, 0},
    {"server_addr", get_server_addr, NULL, NULL, 0},
    {"server_port", get_server_port, NULL, NULL, 0},
    {"server_name", get_server_name, NULL, NULL, 0},
    {"server_protocol", get_protocol, NULL, NULL, 0},
    {"scheme", get_scheme, NULL, NULL, 0},
    {"https", get_empty, NULL, NULL, 0},
    {"remote_user", get_remote_user, NULL, NULL, 0},
    {"tcpinfo_rtt", get_tcpinfo, NULL, (void *)offsetof(struct tcp_info, tcpi_rtt), VAR_NO_CACHE},
    {"tcpinfo_rttvar", get_tcpinfo, NULL, (void *)offsetof(struct tcp_info, tcpi_rttvar), VAR_NO_CACHE},
    {"tcpinfo_snd_cwnd", get_tcpinfo, NULL, (void *)offsetof(struct tcp_info, tcpi_snd_cwnd), VAR_NO_CACHE},
    {"tcpinfo_rcv_space", get_tcpinfo, NULL, (void *)offsetof(struct tcp_info, tcpi_rcv_space), VAR_NO_CACHE},
    {"proxy_protocol_addr", get_none, NULL, NULL, 0}, /* no listener speaks the PROXY protocol */
    {"proxy_protocol_port", get_none, NULL, NULL, 0},
    {"proxy_protocol_server_addr", get_none, NULL, NULL, 0},
    {"proxy_protocol_server_port", get_none, NULL, NULL, 0},
    {"document_root", get_document_root, NULL, NULL, VAR_NO_CACHE},
    {"request_filename", get_request_filename, NULL, NULL, VAR_NO_CACHE},
    {"content_length", get_content_length, NULL, NULL, 0},
    {"content_type", get_content_type, NULL, NULL, 0},
    {"request_body", get_request_body, NULL, NULL, VAR_NO_CACHE},
    {"request_body_file", get_request_body_file, NULL, NULL, VAR_NO_CACHE},
    {"realpath_root", get_realpath_root, NULL, NULL, VAR_NO_CACHE},
    {"connection_time", get_connection_time, NULL, NULL, VAR_NO_CACHE},
    {"limit_rate", get_limit_rate, set_limit_rate, NULL, VAR_CHANGEABLE | VAR_NO_CACHE},
    {"sent_trailer_", get_sent_trailer, NULL, NULL, VAR_PREFIX | VAR_NO_CACHE},
    {"status", get_status, NULL, NULL, VAR_NO_CACHE},
    {"body_bytes_sent", get_body_bytes_sent, NULL, NULL, VAR_NO_CACHE},
    {"bytes_sent", get_bytes_sent, NULL, NULL, VAR_NO_CACHE},
    {"request_length", get_request_length, NULL, NULL, VAR_NO_CACHE},
    {"request_time", get_request_time, NULL, NULL, VAR_NO_CACHE},
    {"request_id", get_request_id, NULL, NULL, 0},
    {"request_completion", get_request_completion, NULL, NULL, VAR_NO_CACHE},
    {"msec", get_msec, NULL, NULL, VAR_NO_CACHE},
    {"time_local", get_time_local, NULL, NULL, VAR_NO_CACHE},
    {"time_iso8601", get_time_iso8601, NULL, NULL, VAR_NO_CACHE},
    {"connection", get_connection, NULL, NULL, 0},
    {"connection_requests", get_connection_requests, NULL, NULL, 0},
    {"pipe", get_pipe, NULL, NULL, VAR_NO_CACHE},
    {"nginx_version", get_nginx_version, NULL, NULL, 0},
    {"hostname", get_hostname, NULL, NULL, 0},
    {"pid", get_pid, NULL, NULL, 0},
    {NULL, NULL, NULL, NULL, 0},
};

static int prepare(struct conf *c)
{
    variables_declare(c, rows);
    return 0;
}

struct module core_vars_module = {.name = "core variables", .prepare = prepare};
