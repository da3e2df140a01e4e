/*
 * $upstream_*: what is known of the attempts at peers (nginx's ngx_http_upstream_module, "Embedded Variables").
 */
#include "http/request.h"
#include "upstream/upstream.h"
#include "vars/vars.h"

enum what { ADDRESS, STATUS, CONNECT_TIME, HEADER_TIME, RESPONSE_TIME, RESPONSE_LENGTH, BYTES_SENT, BYTES_RECEIVED };

static void add_time(struct buf *b, long ms)
{
    if (ms < 0)
        buf_addz(b, "-");
    else
        buf_printf(b, "%ld.%03ld", ms / 1000, ms % 1000);
}

static void get_attempts(struct request *r, struct value *v, struct str rest, void *data)
{
    struct buf b = {0};

    (void)rest;
    if (!r->attempts || r->attempts->all.n == 0) {
        v->is_not_found = true;
        return;
    }
    for (size_t i = 0; i < r->attempts->all.n; i++) {
        const struct attempt *a = &r->attempts->all.items[i];
        if (i)
            buf_addz(&b, a->peer.n == 0 ? " : " : r->attempts->all.items[i - 1].peer.n == 0 ? "" : ", ");
        if (a->peer.n == 0)
            continue;
        switch ((enum what)(long)data) {
        case ADDRESS: buf_adds(&b, a->peer); break;
        case STATUS: buf_printf(&b, a->status ? "%u" : "-", a->status); break;
        case CONNECT_TIME: add_time(&b, a->connect_ms); break;
        case HEADER_TIME: add_time(&b, a->header_ms); break;
        case RESPONSE_TIME: add_time(&b, a->response_ms); break;
        case RESPONSE_LENGTH: buf_printf(&b, "%llu", (unsigned long long)a->response_bytes); break;
        case BYTES_SENT: buf_printf(&b, "%llu", (unsigned long long)a->bytes_sent); break;
        case BYTES_RECEIVED: buf_printf(&b, "%llu", (unsigned long long)a->bytes_received); break;
        }
    }
    v->s = arena_str(r->arena, buf_str(&b));
    buf_free(&b);
}

static void get_http(struct request *r, struct value *v, struct str rest, void *data)
{
    (void)data;
    for (size_t i = 0; r->upstream && i < r->upstream->fields.n; i++) {
        const struct field *f = &r->upstream->fields.items[i];
        if (!variable_names_field(rest, f->name))
            continue;
        v->s = f->value; /* nginx 1.22 takes the first */
        return;
    }
    v->is_not_found = true;
}

static void get_cookie(struct request *r, struct value *v, struct str rest, void *data)
{
    (void)data;
    v->is_not_found = true;
    for (size_t i = 0; r->upstream && i < r->upstream->fields.n; i++) {
        const struct field *f = &r->upstream->fields.items[i];
        struct str s = f->value;
        long end;
        if (f->id != FIELD_SET_COOKIE || !str_has_iprefix(s, rest))
            continue;
        s = str_skip(s, rest.n);
        while (s.n && s.p[0] == ' ')
            s = str_skip(s, 1);
        if (s.n == 0 || s.p[0] != '=')
            continue;
        s = str_trim(str_skip(s, 1));
        end = str_chr(s, ';');
        if (end >= 0)
            s.n = (size_t)end;
        v->s = s;
        v->is_not_found = false;
        return;
    }
}

static void get_not_found(struct request *r, struct value *v, struct str rest, void *data)
{
    (void)r, (void)rest, (void)data;
    v->is_not_found = true;
}

static const struct variable_row variables[] = {
    {"upstream_addr", get_attempts, NULL, (void *)ADDRESS, VAR_NO_CACHE},
    {"upstream_status", get_attempts, NULL, (void *)STATUS, VAR_NO_CACHE},
    {"upstream_connect_time", get_attempts, NULL, (void *)CONNECT_TIME, VAR_NO_CACHE},
    {"upstream_header_time", get_attempts, NULL, (void *)HEADER_TIME, VAR_NO_CACHE},
    {"upstream_response_time", get_attempts, NULL, (void *)RESPONSE_TIME, VAR_NO_CACHE},
    {"upstream_response_length", get_attempts, NULL, (void *)RESPONSE_LENGTH, VAR_NO_CACHE},
    {"upstream_bytes_sent", get_attempts, NULL, (void *)BYTES_SENT, VAR_NO_CACHE},
    {"upstream_bytes_received", get_attempts, NULL, (void *)BYTES_RECEIVED, VAR_NO_CACHE},
    {"upstream_http_", get_http, NULL, NULL, VAR_PREFIX | VAR_NO_CACHE},
    {"upstream_cookie_", get_cookie, NULL, NULL, VAR_PREFIX | VAR_NO_CACHE},
    {"upstream_trailer_", get_not_found, NULL, NULL, VAR_PREFIX | VAR_NO_CACHE},
    {"upstream_cache_status", get_not_found, NULL, NULL, VAR_NO_CACHE},
    {NULL, NULL, NULL, NULL, 0},
};

void upstream_variables_declare(struct conf *c)
{
    variables_declare(c, variables);
}
