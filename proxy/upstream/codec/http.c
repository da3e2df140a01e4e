/*
 * HTTP to an upstream: building the request, parsing the response header, making the client's response of it.
 *
 * Building the request is a pure function of the configuration and the request; every field of it carries the directive
 * that caused it. URI replacement is nginx's: with a URI in proxy_pass, the part of the normalised request URI that
 * matched the location is replaced and the rest escaped again; without one, the client's bytes go on as they came,
 * unless a rewrite changed them.
 */
#include "upstream/codec/http.h"

#include "filters/charset.h"
#include "http/connection.h"
#include "http/date.h"
#include "http/log.h"
#include "http/request_body.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "trace/edit.h"
#include "upstream/codec/rewrites.h"
#include "upstream/upstream.h"

/* --- building the request --- */

static struct str with_args(struct request *r, struct str uri)
{
    return r->args.n ? arena_printf(r->arena, "%.*s?%.*s", STR_ARG(uri), STR_ARG(r->args)) : uri;
}

static struct str target_uri(struct request *r, const struct proxy_target *t, const struct location *l)
{
    struct str rest = r->uri;
    size_t matched = 0;

    if (t->text && t->uri.n)
        return t->uri;
    if (t->uri.n == 0 && r->has_valid_unparsed_uri)
        return r->unparsed_uri;
    if (r->has_location_prefix && t->uri.n && l->kind <= LOCATION_EXACT)
        matched = l->name.n < rest.n ? l->name.n : rest.n;
    rest = str_skip(rest, matched);
    if (r->is_uri_quoted || r->is_internal)
        rest = uri_escape(r->arena, rest, ESCAPE_URI);
    if (r->has_location_prefix)
        rest = arena_cat(r->arena, t->uri, rest);
    return with_args(r, rest);
}

static const struct set_header *set_by(const struct header_list *set, struct str name)
{
    for (size_t i = 0; set && i < set->all.n; i++)
        if (str_ieq(set->all.items[i].name, name))
            return &set->all.items[i];
    return NULL;
}

static void add(struct request *r, struct str name, struct str value, enum origin_kind kind, const struct directive *d,
                const char *why)
{
    field_add(&r->upstream->request_fields, r->arena, name, value, (struct origin){kind, d, why});
}

static void removed(struct request *r, const struct field *f, enum origin_kind kind, const struct directive *d, const char *why)
{
    struct field *g = field_add(&r->upstream->request_fields, r->arena, f->name, f->value, (struct origin){kind, d, why});

    g->is_removed = true;
}

static void add_default(struct request *r, const struct header_list *set, const char *name, struct str value, const char *why)
{
    if (value.n && !set_by(set, str_of(name)))
        add(r, str_of(name), value, ORIGIN_DEFAULT, NULL, why);
}

/* Why a client's field is not passed though no directive names it; NULL if it is passed. */
static const char *not_passed(const struct field *f)
{
    switch (f->id) {
    case FIELD_CONNECTION: case FIELD_KEEP_ALIVE: case FIELD_TE: case FIELD_UPGRADE: case FIELD_TRANSFER_ENCODING:
        return "hop-by-hop";
    case FIELD_EXPECT: return "answered by the proxy";
    case FIELD_HOST: return "replaced by the default";
    case FIELD_CONTENT_LENGTH: return "set from the body";
    default: return NULL;
    }
}

static void build_fields(struct request *r, struct proxy_loc *loc)
{
    struct upstream *u = r->upstream;
    const struct header_list *set = loc->proxy_set_header.ptr;
    struct str length = STR("");
    const struct set_header *by;

    for (size_t i = 0; set && i < set->all.n; i++) {
        struct str value = text_value(r, set->all.items[i].value);
        if (value.n)
            add(r, set->all.items[i].name, value, ORIGIN_DIRECTIVE, set->all.items[i].directive, NULL);
    }
    if (loc->proxy_set_body.is_set)
        length = arena_printf(r->arena, "%zu", u->body.n);
    else if (!u->is_rechunked && (r->content_length >= 0 || r->is_chunked))
        length = arena_printf(r->arena, "%lld", r->is_chunked ? r->body ? r->body->received_bytes : 0 : r->content_length);
    add_default(r, set, "Host", u->host_field, "$proxy_host");
    add_default(r, set, "Connection", STR("close"), "one request on a connection");
    add_default(r, set, "Content-Length", length, "the body's length");
    if (u->is_rechunked)
        add_default(r, set, "Transfer-Encoding", STR("chunked"), "the body is passed as it comes");
    for (size_t i = 0; i < r->fields.n; i++) {
        const struct field *f = &r->fields.items[i];
        const char *why = not_passed(f);
        if ((by = set_by(set, f->name)))
            removed(r, f, ORIGIN_DIRECTIVE, by->directive, "replaced");
        else if (why)
            removed(r, f, ORIGIN_HOP_BY_HOP, NULL, why);
        else if (!loc->proxy_pass_request_headers.num)
            removed(r, f, ORIGIN_DIRECTIVE, loc->proxy_pass_request_headers.origin, NULL);
        else
            add(r, f->name, f->value, ORIGIN_CLIENT, NULL, NULL);
    }
}

static void build_request(struct request *r)
{
    struct proxy_loc *loc = proxy_loc_of(r);
    struct upstream *u = r->upstream;
    const struct proxy_target *t = u->data;

    u->method = loc->proxy_method.is_set ? text_value(r, loc->proxy_method.ptr) : r->method_name;
    u->uri = target_uri(r, t, loc->location);
    u->request_fields.n = 0;
    u->body = loc->proxy_set_body.is_set ? text_value(r, loc->proxy_set_body.ptr) : STR("");
    u->passes_body = loc->proxy_pass_request_body.num && !loc->proxy_set_body.is_set;
    u->is_rechunked = u->is_streaming && r->is_chunked;
    build_fields(r, loc);
    if (r->edits && r->edits->has_body)
        upstream_replace_body(r, r->edits->body);
}

static void write_request(struct request *r, struct buf *out)
{
    struct upstream *u = r->upstream;

    u->is_head = str_ieq(u->method, STR("HEAD"));
    buf_printf(out, "%.*s %.*s HTTP/1.%c\r\n", STR_ARG(u->method), STR_ARG(u->uri), proxy_loc_of(r)->proxy_http_version.num == 1001 ? '1' : '0');
    for (size_t i = 0; i < u->request_fields.n; i++) {
        const struct field *f = &u->request_fields.items[i];
        if (f->is_removed)
            continue;
        buf_adds(out, f->name);
        buf_addz(out, ": ");
        buf_adds(out, f->value);
        buf_addz(out, "\r\n");
    }
    buf_addz(out, "\r\n");
}

/* --- the response header --- */

static enum header_result parse_header(struct request *r)
{
    struct upstream *u = r->upstream;
    struct str in = buf_str(&u->in), all = in;
    struct header_line line;
    struct field *f;

    if (u->status.code == 0) {
        enum parse_result result = parse_status_line(in, &u->status);
        if (result == PARSE_AGAIN)
            return HEADER_AGAIN;
        if (result != PARSE_DONE) { /* nginx: an answer without a status line is HTTP/0.9, and so is ours */
            u->status = (struct status_line){.version = 9, .code = 200, .status = STR("")};
            u->closes = true;
            r->version = 9;
            log_request(r, LOG_ERR_, 0, "upstream sent no valid HTTP/1.0 header while reading response header from upstream");
            return HEADER_COMPLETE;
        }
    }
    in = str_skip(all, u->status.consumed);
    u->fields.n = 0;
    for (;;) {
        enum parse_result result = parse_header_line(in, ALLOW_UNDERSCORES, &line);
        if (result == PARSE_AGAIN) {
            u->status = (struct status_line){0};
            return HEADER_AGAIN;
        }
        if (result == PARSE_INVALID_HEADER) {
            log_request(r, LOG_ERR_, 0, "upstream sent invalid header while reading response header from upstream");
            u->status.status = arena_str(r->arena, u->status.status);
            return HEADER_INVALID;
        }
        in = str_skip(in, line.consumed);
        if (result == PARSE_END_OF_HEADER)
            break;
        field_add(&u->fields, r->arena, arena_str(r->arena, line.name), arena_str(r->arena, line.value),
                  (struct origin){ORIGIN_UPSTREAM, NULL, NULL});
    }
    u->status.status = arena_str(r->arena, u->status.status);
    u->response_head = arena_str(r->arena, (struct str){all.p, all.n - in.n});
    buf_consume(&u->in, all.n - in.n);
    f = field_find_id(&u->fields, FIELD_TRANSFER_ENCODING);
    u->is_chunked = f && str_ifind(f->value, STR("chunked")) >= 0;
    f = field_find_id(&u->fields, FIELD_CONTENT_LENGTH);
    if (f && !u->is_chunked)
        u->rest_bytes = str_number(f->value);
    f = field_find_id(&u->fields, FIELD_CONNECTION);
    u->closes = u->status.version < 1001 || (f && str_ifind(f->value, STR("close")) >= 0) || u->status.code == 101;
    u->is_upgraded = u->status.code == 101 && request_field(r, FIELD_UPGRADE);
    return HEADER_COMPLETE;
}

static bool contains(const struct name_list *names, struct str name)
{
    for (size_t i = 0; names && i < names->all.n; i++)
        if (str_ieq(names->all.items[i], name))
            return true;
    return false;
}

static bool is_hidden(const struct proxy_loc *loc, struct str name, const struct directive **by)
{
    static const char *const hidden[] = {"Date", "Server", "X-Pad", "X-Accel-Expires", "X-Accel-Redirect",
                                         "X-Accel-Limit-Rate", "X-Accel-Buffering", "X-Accel-Charset"};

    *by = NULL;
    if (contains(loc->proxy_hide_header.ptr, name)) {
        *by = loc->proxy_hide_header.origin;
        return true;
    }
    for (size_t i = 0; i < sizeof hidden / sizeof hidden[0]; i++)
        if (str_ieq(name, str_of(hidden[i])))
            return !contains(loc->proxy_pass_header.ptr, name);
    return false;
}

/* X-Accel-Redirect: these fields of the answer go with the internal redirect. */
static void keep_for_redirect(struct request *r)
{
    struct upstream *u = r->upstream;
    struct response *out = &r->response;

    for (size_t i = 0; i < u->fields.n; i++) {
        const struct field *f = &u->fields.items[i];
        switch (f->id) {
        case FIELD_CONTENT_TYPE:
            out->content_type = f->value;
            out->content_type_origin = f->origin;
            charset_of_type(out);
            break;
        case FIELD_SET_COOKIE: case FIELD_CONTENT_DISPOSITION: case FIELD_CACHE_CONTROL: case FIELD_EXPIRES: case FIELD_ACCEPT_RANGES:
            field_add(&out->fields, r->arena, f->name, f->value, f->origin);
            break;
        default: break;
        }
    }
}

static void accel_redirect(struct request *r, struct str to)
{
    struct str path = STR(""), args = STR("");

    upstream_release(r);
    keep_for_redirect(r);
    if (to.n && to.p[0] == '@') {
        request_redirect_named(r, to);
        return;
    }
    if (uri_parse_unsafe(r->arena, to, &path, &args) < 0) {
        request_fail(r, 404);
        return;
    }
    if (r->method != METHOD_HEAD) {
        r->method = METHOD_GET;
        r->method_name = STR("GET");
    }
    request_redirect(r, path, args);
}

/* proxy_intercept_errors: true if error_page answers instead. */
static bool intercept(struct request *r)
{
    struct upstream *u = r->upstream;
    const struct error_page_list *pages = CORE_LOC(r)->error_page.ptr;

    if (!u->settings.intercepts_errors || u->status.code < 300)
        return false;
    for (size_t i = 0; pages && i < pages->pages.n; i++) {
        if (pages->pages.items[i].status != u->status.code)
            continue;
        for (size_t k = 0; u->status.code == 401 && k < u->fields.n; k++)
            if (u->fields.items[k].id == FIELD_WWW_AUTHENTICATE)
                *ARRAY_PUSH(&r->response.fields, r->arena) = u->fields.items[k];
        upstream_fail(r, u->status.code);
        return true;
    }
    return false;
}

static void obey_accel(struct request *r, long ignored)
{
    const struct field *charset = field_find_id(&r->upstream->fields, FIELD_X_ACCEL_CHARSET);

    struct upstream *u = r->upstream;
    const struct field *f;
    long rate;

    if (!(ignored & IGNORE_LIMIT_RATE) && (f = field_find_id(&u->fields, FIELD_X_ACCEL_LIMIT_RATE))
        && (rate = (long)str_number(f->value)) >= 0)
        r->limit_rate = (int)rate;
    if (charset && !(ignored & IGNORE_CHARSET))
        r->response.override_charset = charset->value;
    if (!(ignored & IGNORE_BUFFERING) && (f = field_find_id(&u->fields, FIELD_X_ACCEL_BUFFERING))) {
        if (str_ieq(f->value, STR("no")))
            u->settings.is_buffering = false;
        else if (str_ieq(f->value, STR("yes")))
            u->settings.is_buffering = true;
    }
}

static void process_header(struct request *r)
{
    struct proxy_loc *loc = proxy_loc_of(r);
    struct upstream *u = r->upstream;
    struct response *out = &r->response;
    const struct field *xar = field_find_id(&u->fields, FIELD_X_ACCEL_REDIRECT);

    if (intercept(r))
        return;
    if (xar && !(loc->proxy_ignore_headers.num & IGNORE_REDIRECT)) {
        accel_redirect(r, xar->value);
        return;
    }
    obey_accel(r, loc->proxy_ignore_headers.num);
    out->status = u->status.code;
    out->status_line = u->status.status;
    out->content_length = u->is_chunked ? -1 : u->rest_bytes;
    if (u->rest_bytes == 0) { /* of an answer without a body: what it would have been */
        const struct field *f = field_find_id(&u->fields, FIELD_CONTENT_LENGTH);
        out->content_length = f && !field_find_id(&u->fields, FIELD_TRANSFER_ENCODING) ? str_number(f->value) : -1;
    }
    out->allows_ranges = out->single_range = loc->proxy_force_ranges.num;
    out->is_not_cacheable = true;
    /* nginx: where these are passed but the upstream sent none, the client gets none either */
    out->lacks_server = contains(loc->proxy_pass_header.ptr, STR("Server"));
    out->lacks_date = contains(loc->proxy_pass_header.ptr, STR("Date"));
    for (size_t i = 0; i < u->fields.n; i++) {
        struct field *f = &u->fields.items[i], *copy;
        const struct directive *by;
        if (is_hidden(loc, f->name, &by)) {
            copy = field_add(&out->fields, r->arena, f->name, f->value, (struct origin){by ? ORIGIN_DIRECTIVE : ORIGIN_DEFAULT, by, "hidden"});
            copy->is_removed = true;
            continue;
        }
        switch (f->id) {
        case FIELD_CONTENT_TYPE:
            out->content_type = f->value;
            out->content_type_origin = f->origin;
            continue;
        case FIELD_CONTENT_LENGTH: case FIELD_CONNECTION: case FIELD_TRANSFER_ENCODING: case FIELD_KEEP_ALIVE:
            continue;
        case FIELD_ACCEPT_RANGES:
            if (out->allows_ranges)
                continue;
            break;
        case FIELD_LAST_MODIFIED: out->last_modified = date_parse(f->value); break;
        default: break;
        }
        copy = field_add(&out->fields, r->arena, f->name, f->value, f->origin);
        if (f->id == FIELD_LOCATION || f->id == FIELD_REFRESH)
            rewrite_location(r, &loc->rewrites, copy);
        else if (f->id == FIELD_SET_COOKIE)
            rewrite_cookie(r, &loc->rewrites, copy);
    }
}

const struct codec http_codec = {"http", build_request, write_request, parse_header, process_header};
