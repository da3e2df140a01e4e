/*
 * gzip: see gzip.h. zlib does the work; what it is told (window, memory, level, when to flush) is what nginx tells it, so
 * that the bytes are the same.
 */
#include "filters/gzip.h"

#include <stdio.h>
#include <zlib.h>

#include "filters/body.h"
#include "filters/response.h"
#include "http/date.h"
#include "http/log.h"
#include "phases/engine.h"
#include "util/buf.h"

enum { PROXIED_OFF = 1, PROXIED_EXPIRED = 2, PROXIED_NO_CACHE = 4, PROXIED_NO_STORE = 8, PROXIED_PRIVATE = 16, PROXIED_NO_LAST_MODIFIED = 32,
       PROXIED_NO_ETAG = 64, PROXIED_AUTH = 128, PROXIED_ANY = 256 };

/* User agents that cannot cope. */
struct disabled_agents {
    ARRAY_OF(struct regex *) all;
    bool has_msie6;
};

struct gzip_loc {
    struct setting gzip, gzip_types, gzip_min_length, gzip_comp_level, gzip_buffers, gzip_window, gzip_hash, gzip_http_version, gzip_proxied, gzip_vary,
        gzip_disable, postpone_gzipping, gzip_no_buffer;
};

struct compression {
    struct body_filter filter;
    z_stream z;
    unsigned long long in_bytes, out_bytes;
    struct buf waiting; /* compressed, not passed on yet */
    size_t buffer_bytes;
};

/* --- whether --- */

/* RFC 9110 12.5.3: "gzip" with its weight. As in nginx, "*" is not looked at. */
static bool accepts_gzip(struct str s)
{
    static const char blanks[] = " \t";
    size_t from = 0;

    for (;;) {
        long at = str_ifind(str_skip(s, from), STR("gzip"));
        size_t p;
        if (at < 0)
            return false;
        p = from + (size_t)at;
        if (p > 0 && s.p[p - 1] != ',' && s.p[p - 1] != ' ') { /* "x-gzip" */
            from = p + 4;
            continue;
        }
        p += 4;
        while (p < s.n && strchr(blanks, s.p[p]))
            p++;
        if (p == s.n || s.p[p] == ',')
            return true;
        if (s.p[p] != ';')
            return false;
        p++;
        while (p < s.n && strchr(blanks, s.p[p]))
            p++;
        if (p + 2 > s.n || ascii_lower(s.p[p]) != 'q' || s.p[p + 1] != '=')
            return false;
        p += 2;
        if (p < s.n && s.p[p] == '1')
            return true;
        if (p >= s.n || s.p[p] != '0')
            return false;
        for (p++; p < s.n && (s.p[p] == '.' || (s.p[p] >= '0' && s.p[p] <= '9')); p++)
            if (s.p[p] >= '1' && s.p[p] <= '9')
                return true;
        return false;
    }
}

static bool control_says(const struct request *r, struct str word)
{
    for (size_t i = 0; i < r->response.fields.n; i++)
        if (r->response.fields.items[i].id == FIELD_CACHE_CONTROL && !r->response.fields.items[i].is_removed && str_ifind(r->response.fields.items[i].value, word) >= 0)
            return true;
    return false;
}

/* The request came through a proxy (Via): what gzip_proxied says of that. */
static bool is_allowed_by_proxies(const struct request *r, long how)
{
    const struct field *expires = field_find_id(&r->response.fields, FIELD_EXPIRES), *date = field_find_id(&r->response.fields, FIELD_DATE);

    if (how & PROXIED_OFF)
        return false;
    if ((how & PROXIED_ANY) || ((how & PROXIED_AUTH) && request_field(r, FIELD_AUTHORIZATION)))
        return true;
    if (expires) {
        time_t at = date_parse(expires->value), now = date ? date_parse(date->value) : time(NULL);
        return (how & PROXIED_EXPIRED) && at != (time_t)-1 && now != (time_t)-1 && at < now;
    }
    if (field_find_id(&r->response.fields, FIELD_CACHE_CONTROL))
        return ((how & PROXIED_NO_CACHE) && control_says(r, STR("no-cache"))) || ((how & PROXIED_NO_STORE) && control_says(r, STR("no-store")))
               || ((how & PROXIED_PRIVATE) && control_says(r, STR("private")));
    if ((how & PROXIED_NO_LAST_MODIFIED) && (r->response.last_modified != (time_t)-1 || field_find_id(&r->response.fields, FIELD_LAST_MODIFIED)))
        return false;
    return !((how & PROXIED_NO_ETAG) && field_find_id(&r->response.fields, FIELD_ETAG));
}

static bool is_disabled_for(const struct disabled_agents *agents, const struct str *agent)
{
    long msie;

    if (!agents || !agent)
        return false;
    msie = str_find(*agent, STR("MSIE "));
    if (agents->has_msie6 && msie >= 0 && str_find(*agent, STR("Opera")) < 0 && (size_t)msie + 7 < agent->n && agent->p[msie + 6] == '.') {
        char major = agent->p[msie + 5];
        if (major == '4' || major == '5' || (major == '6' && str_find(*agent, STR("SV1")) < 0))
            return true;
    }
    for (size_t i = 0; i < agents->all.n; i++)
        if (regex_match(agents->all.items[i], *agent, NULL))
            return true;
    return false;
}

static bool client_takes_gzip(const struct request *r, const struct gzip_loc *loc)
{
    const struct field *accept = field_find(&r->fields, STR("Accept-Encoding"));

    if (!accept || accept->value.n < 4 || !accepts_gzip(accept->value))
        return false;
    if (r->version < (unsigned)loc->gzip_http_version.num)
        return false;
    if (field_find_id(&r->fields, FIELD_VIA) && !is_allowed_by_proxies(r, loc->gzip_proxied.num))
        return false;
    return !is_disabled_for(loc->gzip_disable.ptr, request_field(r, FIELD_USER_AGENT));
}

/* --- compressing --- */

/* Compresses IN into what waits. */
static void squeeze(struct compression *c, struct str in, int flush)
{
    int rc;

    c->in_bytes += in.n;
    c->z.next_in = (unsigned char *)(uintptr_t)in.p;
    c->z.avail_in = (unsigned)in.n;
    do {
        c->z.next_out = (unsigned char *)buf_reserve(&c->waiting, c->buffer_bytes);
        c->z.avail_out = (unsigned)c->buffer_bytes;
        rc = deflate(&c->z, flush);
        c->waiting.end += c->buffer_bytes - c->z.avail_out;
    } while (rc == Z_OK && (c->z.avail_in || c->z.avail_out == 0 || flush == Z_FINISH));
}

static void pass_on(struct request *r, struct compression *c, size_t n)
{
    c->out_bytes += n;
    body_pass(r, &c->filter, (struct str){buf_str(&c->waiting).p, n});
    buf_consume(&c->waiting, n);
}

/* As nginx: what is compressed goes on when it fills buffers (gzip_buffers), all full ones together. */
static void compress_some(struct request *r, struct body_filter *f, struct str in)
{
    struct compression *c = (struct compression *)f;

    squeeze(c, in, Z_NO_FLUSH);
    if (buf_len(&c->waiting) >= c->buffer_bytes)
        pass_on(r, c, buf_len(&c->waiting) / c->buffer_bytes * c->buffer_bytes);
}

static void compress_flush(struct request *r, struct body_filter *f)
{
    struct compression *c = (struct compression *)f;

    squeeze(c, STR(""), Z_SYNC_FLUSH);
    pass_on(r, c, buf_len(&c->waiting));
}

static void compress_end(struct request *r, struct body_filter *f)
{
    struct compression *c = (struct compression *)f;

    squeeze(c, STR(""), Z_FINISH);
    pass_on(r, c, buf_len(&c->waiting));
    r->response.gzip_in_bytes = c->in_bytes;
    r->response.gzip_out_bytes = c->out_bytes;
}

static void release(void *data)
{
    struct compression *c = data;

    deflateEnd(&c->z);
    buf_free(&c->waiting);
}

static bool start_compression(struct request *r, const struct gzip_loc *loc)
{
    struct compression *c = arena_zalloc(r->arena, sizeof *c);
    int window = (int)loc->gzip_window.num, memory = (int)loc->gzip_hash.num;

    if (r->response.content_length > 0) /* nginx: a small response needs no large window; zlib's is 262 bytes smaller than it says */
        while (r->response.content_length < (1 << (window - 1)) - 262) {
            window--;
            memory--;
        }
    if (deflateInit2(&c->z, (int)loc->gzip_comp_level.num, Z_DEFLATED, window + 16, memory < 1 ? 1 : memory, Z_DEFAULT_STRATEGY) != Z_OK) {
        log_request(r, LOG_ALERT_, 0, "deflateInit2() failed");
        return false;
    }
    arena_on_free(r->arena, release, c);
    c->buffer_bytes = (size_t)((const struct buffer_sizes *)loc->gzip_buffers.ptr)->bytes;
    c->filter = (struct body_filter){.write = compress_some, .flush = compress_flush, .end = compress_end};
    body_filter_add(r, &c->filter);
    return true;
}

static void weaken_etag(struct request *r)
{
    struct field *etag = field_find_id(&r->response.fields, FIELD_ETAG);

    if (!etag || str_has_prefix(etag->value, STR("W/")))
        return;
    if (etag->value.n && etag->value.p[0] == '"')
        etag->value = arena_cat(r->arena, STR("W/"), etag->value);
    else
        etag->is_removed = true;
}

void gzip_filter(struct request *r)
{
    const struct gzip_loc *loc = r->loc_conf[gzip_module.index];
    struct response *out = &r->response;
    struct field *ranges;

    if (!loc->gzip.num || (out->status != 200 && out->status != 403 && out->status != 404) || field_find_id(&out->fields, FIELD_CONTENT_ENCODING)
        || (out->content_length >= 0 && out->content_length < loc->gzip_min_length.num) || (out->is_header_only && r->method != METHOD_HEAD) || !media_types_match(loc->gzip_types.ptr, r))
        return;
    out->may_be_gzipped = true;
    if (!client_takes_gzip(r, loc) || !start_compression(r, loc))
        return;
    response_add(r, "Content-Encoding", STR("gzip"), (struct origin){ORIGIN_DIRECTIVE, loc->gzip.origin, NULL});
    out->content_length = -1;
    out->allows_ranges = false;
    ranges = field_find_id(&out->fields, FIELD_ACCEPT_RANGES);
    if (ranges)
        ranges->is_removed = true;
    weaken_etag(r);
}

bool gzip_varies(const struct request *r)
{
    return r->response.may_be_gzipped && ((const struct gzip_loc *)r->loc_conf[gzip_module.index])->gzip_vary.num;
}

/* --- directives --- */

/* A power of two, as the number zlib wants: 32k is 15 for windows, 128k is 9 for hashes. */
static int parse_power(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    bool is_window = row->offset == offsetof(struct gzip_loc, gzip_window);
    long bytes = conf_read_size(d->args[1]), n;

    if (!s)
        return -1;
    if (bytes < 0) {
        conf_fail(c->tree, d, "\"%s\" directive invalid value", row->name);
        return -1;
    }
    for (n = is_window ? MAX_WBITS : MAX_MEM_LEVEL; n > 0; n--)
        if (bytes == 1L << (is_window ? n : n + 8))
            break;
    if (bytes <= 0 || n < (is_window ? 9 : 1)) {
        conf_fail(c->tree, d, is_window ? "\"%s\" directive must be 512, 1k, 2k, 4k, 8k, 16k, or 32k" : "\"%s\" directive must be 512, 1k, 2k, 4k, 8k, 16k, 32k, 64k, or 128k", row->name);
        return -1;
    }
    s->num = n;
    return 0;
}

static int parse_level(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);

    if (conf_parse_num(c, d, row, structure) < 0)
        return -1;
    if (s->num < 1 || s->num > 9) {
        conf_fail(c->tree, d, "value must be between 1 and 9");
        return -1;
    }
    return 0;
}

static int parse_disable(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct disabled_agents *agents = conf_claim_list(c, d, conf_setting(row, structure), sizeof *agents);

    for (unsigned i = 1; i < d->n_args; i++) {
        struct str error;
        struct regex *re;
        if (str_eq(d->args[i], STR("msie6"))) {
            agents->has_msie6 = true;
            continue;
        }
        if (str_eq(d->args[i], STR("degradation"))) {
            conf_fail(c->tree, d, "the \"degradation\" parameter is not implemented by glassproxy yet");
            return -1;
        }
        re = regex_compile(c->arena, d->args[i], CASE_INSENSITIVE, &error);
        if (!re) {
            conf_fail(c->tree, d, "%.*s", STR_ARG(error));
            return -1;
        }
        *ARRAY_PUSH(&agents->all, c->arena) = re;
    }
    return 0;
}

static const struct conf_enum proxied[] = {{"off", PROXIED_OFF}, {"expired", PROXIED_EXPIRED}, {"no-cache", PROXIED_NO_CACHE}, {"no-store", PROXIED_NO_STORE},
                                           {"private", PROXIED_PRIVATE}, {"no_last_modified", PROXIED_NO_LAST_MODIFIED}, {"no_etag", PROXIED_NO_ETAG},
                                           {"auth", PROXIED_AUTH}, {"any", PROXIED_ANY}, {NULL, 0}};
static const struct conf_enum versions[] = {{"1.0", 1000}, {"1.1", 1001}, {NULL, 0}};
static const char *const always[] = {"text/html", NULL};

static void get_ratio(struct request *r, struct value *v, struct str rest, void *data)
{
    unsigned long long in = r->response.gzip_in_bytes, out = r->response.gzip_out_bytes, whole, part;

    (void)rest, (void)data;
    if (out == 0) {
        v->is_not_found = true;
        return;
    }
    whole = in / out;
    part = in * 100 / out % 100;
    if (in * 1000 / out % 10 > 4 && ++part > 99) {
        whole++;
        part = 0;
    }
    v->s = arena_printf(r->arena, "%llu.%02llu", whole, part);
}

static const struct variable_row variables[] = {
    {"gzip_ratio", get_ratio, NULL, NULL, VAR_NO_CACHE},
    {NULL, NULL, NULL, NULL, 0},
};

static int prepare(struct conf *c)
{
    variables_declare(c, variables);
    return 0;
}

#define LOC(field) SCOPE_LOC, offsetof(struct gzip_loc, field)
static const struct directive_row rows[] = {
    {"gzip", IN_ANY_HTTP | IN_LOCATION_IF, 1, 1, false, LOC(gzip), conf_parse_flag, "off", "Compresses responses.", INHERIT, NULL},
    {"gzip_types", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(gzip_types), parse_media_types, "text/html", "The types that are compressed, besides text/html.", INHERIT, always},
    {"gzip_min_length", IN_ANY_HTTP, 1, 1, false, LOC(gzip_min_length), conf_parse_size, "20", "Shorter responses are not compressed.", INHERIT, NULL},
    {"gzip_comp_level", IN_ANY_HTTP, 1, 1, false, LOC(gzip_comp_level), parse_level, "1", "From 1 (fast) to 9 (small).", INHERIT, NULL},
    {"gzip_buffers", IN_ANY_HTTP, 2, 2, false, LOC(gzip_buffers), parse_buffers, "32 4k", "How much compressed data is passed on together.", INHERIT, NULL},
    {"gzip_window", IN_ANY_HTTP, 1, 1, false, LOC(gzip_window), parse_power, "32k", "zlib's window.", INHERIT, NULL},
    {"gzip_hash", IN_ANY_HTTP, 1, 1, false, LOC(gzip_hash), parse_power, "128k", "zlib's memory.", INHERIT, NULL},
    {"gzip_http_version", IN_ANY_HTTP, 1, 1, false, LOC(gzip_http_version), conf_parse_enum, "1.1", "The least version of requests whose responses are compressed.", INHERIT, versions},
    {"gzip_proxied", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(gzip_proxied), conf_parse_bitmask, "off", "Compression of responses to requests with Via.", INHERIT, proxied},
    {"gzip_vary", IN_ANY_HTTP, 1, 1, false, LOC(gzip_vary), conf_parse_flag, "off", "Adds Vary: Accept-Encoding.", INHERIT, NULL},
    {"gzip_disable", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(gzip_disable), parse_disable, NULL, "User agents that get nothing compressed.", INHERIT, NULL},
    {"postpone_gzipping", IN_ANY_HTTP, 1, 1, false, LOC(postpone_gzipping), conf_parse_size, "0", "Of nginx; zlib gets the same bytes either way.", INHERIT, NULL},
    {"gzip_no_buffer", IN_ANY_HTTP, 1, 1, false, LOC(gzip_no_buffer), conf_parse_flag, "off", "Of nginx; compressed data is passed on as it is made.", INHERIT, NULL},
};

struct module gzip_module = {
    .name = "ngx_http_gzip_filter_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .loc_bytes = sizeof(struct gzip_loc),
    .prepare = prepare,
};
