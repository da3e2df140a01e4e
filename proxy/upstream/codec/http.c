/*
 * proxy_pass: asking an HTTP upstream: see http.h.
 *
 * Building the request is a pure function of the configuration and the request; every field of it carries the directive
 * that caused it. URI replacement is nginx's: with a URI in proxy_pass, the part of the normalised request URI that
 * matched the location is replaced and the rest escaped again; without one, the client's bytes go on as they came,
 * unless a rewrite changed them.
 */
#include "upstream/codec/http.h"

#include <stdio.h>

#include "filters/charset.h"
#include "filters/response.h"
#include "http/connection.h"
#include "http/date.h"
#include "http/log.h"
#include "http/network.h"
#include "http/request_body.h"
#include "http/uri.h"
#include "main_conf.h"
#include "phases/engine.h"
#include "trace/edit.h"
#include "upstream/codec/rewrites.h"
#include "upstream/resolver.h"
#include "upstream/upstream.h"

enum { IGNORE_REDIRECT = 1, IGNORE_EXPIRES = 2, IGNORE_CACHE_FIELDS = 4, IGNORE_LIMIT_RATE = 8, IGNORE_BUFFERING = 16,
       IGNORE_CHARSET = 32 };

static struct proxy_loc *loc_of(struct request *r)
{
    return r->loc_conf[proxy_module.index];
}

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
    struct proxy_loc *loc = loc_of(r);
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
    buf_printf(out, "%.*s %.*s HTTP/1.%c\r\n", STR_ARG(u->method), STR_ARG(u->uri), loc_of(r)->proxy_http_version.num == 1001 ? '1' : '0');
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
    struct proxy_loc *loc = loc_of(r);
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

static const struct codec http_codec = {"http", build_request, write_request, parse_header, process_header};

/* --- the content handler --- */

static void build(struct request *r)
{
    r->upstream->codec->build_request(r);
    upstream_write_request(r);
    if (!r->is_dry_run)
        upstream_start(r);
}

static void start(struct request *r)
{
    request_enter_phase(r, PHASE_BUILD_UPSTREAM_REQUEST, build);
}

static void set_peers(struct arena *a, struct proxy_target *t, const address_array *found)
{
    struct upstream_group *g = t->group = arena_zalloc(a, sizeof *g);

    g->name = t->host;
    g->port = t->port;
    g->directive = t->directive;
    for (size_t i = 0; i < found->n; i++) {
        struct peer *p = ARRAY_PUSH(&g->peers, a);
        *p = (struct peer){.address = found->items[i], .name = t->host_port, .weight = 1, .effective_weight = 1,
                           .max_fails = 1, .fail_timeout_s = 10, .directive = t->directive};
    }
}

static void resolved(void *data, const address_array *found, const char *error)
{
    struct request *r = data;
    struct proxy_target *t = r->upstream->data;

    r->upstream->query = NULL;
    if (error) {
        r->upstream->resolve_error = arena_str(r->arena, str_of(error));
        log_request(r, LOG_ERR_, 0, "%.*s could not be resolved (%s)", STR_ARG(t->host), error);
        upstream_fail(r, 502);
        return;
    }
    set_peers(r->arena, t, found);
    r->upstream->group = t->group;
    start(r);
}

/* The upstream is known; or its name must be resolved first. */
static void find_group(struct request *r)
{
    struct upstream *u = r->upstream;
    struct proxy_target *t = u->data;
    const struct resolver *resolver = CORE_LOC(r)->resolver.ptr;

    if (u->group || r->is_dry_run) {
        start(r);
        return;
    }
    if (!resolver) {
        u->resolve_error = STR("no resolver is configured");
        log_request(r, LOG_ERR_, 0, "no resolver defined to resolve %.*s", STR_ARG(t->host));
        upstream_fail(r, 502);
        return;
    }
    resolver_start(r->connection->worker->loop, resolver, t->host, t->port, (uint64_t)CORE_LOC(r)->resolver_timeout.num, r->arena,
                   &u->query, resolved, r);
}

static void look_into_cache(struct request *r)
{
    request_enter_phase(r, PHASE_CHOOSE_UPSTREAM, find_group); /* no cache is configured */
}

static void choose_group(struct request *r)
{
    request_enter_phase(r, PHASE_CACHE, look_into_cache);
}

static void body_is_read(struct request *r, unsigned status)
{
    if (status)
        request_fail(r, status);
    else
        choose_group(r);
}

static void body_has_more(struct request *r, unsigned status)
{
    struct upstream *u = r->upstream;

    if (status)
        upstream_fail(r, status);
    else if (u->state == UPSTREAM_STARTING && !u->is_streaming) {
        u->is_streaming = true;
        choose_group(r);
    } else {
        upstream_body_ready(r);
    }
}

/* Splits "http://host:port/uri" or "http://unix:/path:/uri". NULL, or nginx's complaint. */
static const char *split_url(struct arena *a, struct str url, struct proxy_target *t)
{
    struct str host;
    size_t end;
    long at;

    t->url = url;
    if (str_has_iprefix(url, STR("https://")))
        return "https in \"proxy_pass\" is not implemented by glassproxy yet";
    if (!str_has_iprefix(url, STR("http://")))
        return "invalid URL prefix";
    url = str_skip(url, 7);
    t->port = 80;
    if (str_has_prefix(url, STR("unix:"))) {
        at = str_chr(str_skip(url, 5), ':');
        end = at < 0 ? url.n : (size_t)at + 5;
        t->address_text = t->host = (struct str){url.p, end};
        t->host_port = STR("localhost");
        t->uri = at < 0 ? STR("") : str_skip(url, end + 1);
        t->is_unix = true;
        return end == 5 ? "no path in the unix domain socket" : NULL;
    }
    for (end = 0; end < url.n && url.p[end] != '/' && url.p[end] != '?'; end++)
        ;
    host = (struct str){url.p, end};
    t->uri = str_skip(url, end);
    t->address_text = t->host = t->host_port = host;
    at = host.n && host.p[0] == '[' ? str_chr(host, ']') : -1;
    at = at >= 0 ? str_chr(str_skip(host, (size_t)at), ':') >= 0 ? at + 1 : -1 : str_chr(host, ':');
    if (at >= 0) {
        long long port = str_number(str_skip(host, (size_t)at + 1));
        if (port < 1 || port > 65535)
            return "invalid port";
        t->host.n = (size_t)at;
        t->port = (unsigned)port;
        t->has_port = true;
        if (port == 80)
            t->host_port = t->host;
    }
    if (t->host.n == 0)
        return "no host";
    (void)a;
    return NULL;
}

/* proxy_pass with variables: what they make for R. A status, or 0. */
static int evaluate_target(struct request *r, struct proxy_target *t)
{
    struct str url = text_value(r, t->text);
    const char *error = split_url(r->arena, url, t);
    struct address literal;
    address_array found = {0};

    if (error) {
        log_request(r, LOG_ERR_, 0, "%s in \"%.*s\"", error, STR_ARG(url));
        return 500;
    }
    if (t->uri.n && t->uri.p[0] == '?')
        t->uri = arena_cat(r->arena, STR("/"), t->uri);
    if (!t->has_port)
        t->group = upstream_group_find(r->conf, t->host, 0);
    if (!t->group)
        t->group = upstream_group_find(r->conf, t->host, t->port);
    if (t->group)
        return 0;
    if (t->is_unix) {
        if (!address_parse(r->arena, t->address_text, 80, &found))
            set_peers(r->arena, t, &found);
    } else if (address_from_text(r->arena, t->address_text, &literal)) {
        address_parse(r->arena, t->address_text, 80, &found); /* a literal: nothing to resolve */
        set_peers(r->arena, t, &found);
    }
    return 0;
}

static int proxy_handler(struct request *r)
{
    struct proxy_loc *loc = loc_of(r);
    const struct buffer_sizes *buffers = loc->proxy_buffers.ptr;
    const struct bind_to *bind_to = loc->proxy_bind.ptr;
    struct proxy_target *t = loc->proxy_pass.ptr;
    struct upstream *u = arena_zalloc(r->arena, sizeof *u);

    r->upstream = u;
    u->io.fd = -1;
    if (t->text) {
        struct proxy_target *made = arena_zalloc(r->arena, sizeof *made);
        int status;
        *made = *t;
        t = made;
        status = evaluate_target(r, t);
        if (status) {
            r->upstream = NULL;
            return status;
        }
    }
    u->codec = &http_codec;
    u->directive = t->directive;
    u->group = t->group;
    u->data = t;
    u->host_field = t->host_port;
    u->scheme = STR("http://");
    u->port_text = t->is_unix ? STR("") : arena_printf(r->arena, "%u", t->port);
    u->settings = (struct upstream_settings){
        .connect_timeout_ms = (uint64_t)loc->proxy_connect_timeout.num,
        .send_timeout_ms = (uint64_t)loc->proxy_send_timeout.num,
        .read_timeout_ms = (uint64_t)loc->proxy_read_timeout.num,
        .buffer_size_bytes = (size_t)loc->proxy_buffer_size.num,
        .buffers_bytes = (size_t)(buffers->n * buffers->bytes),
        .max_temp_bytes = loc->proxy_max_temp_file_size.num,
        .temp_path = loc->proxy_temp_path.str,
        .is_buffering = loc->proxy_buffering.num,
        .ignores_client_abort = loc->proxy_ignore_client_abort.num,
        .has_socket_keepalive = loc->proxy_socket_keepalive.num,
        .intercepts_errors = loc->proxy_intercept_errors.num,
        .next_upstream = (unsigned)loc->proxy_next_upstream.num,
        .tries = (unsigned)loc->proxy_next_upstream_tries.num,
        .next_timeout_ms = (uint64_t)loc->proxy_next_upstream_timeout.num,
        .limit_rate = (size_t)loc->proxy_limit_rate.num,
    };
    if (bind_to && bind_to->text) {
        struct address *a = arena_zalloc(r->arena, sizeof *a);
        struct str text = text_value(r, bind_to->text);
        u->settings.is_transparent = bind_to->is_transparent;
        if (text.n && address_from_text(r->arena, text, a))
            u->settings.bind = a;
        else if (text.n)
            log_request(r, LOG_ERR_, 0, "invalid local address \"%.*s\"", STR_ARG(text));
    }
    if (r->is_dry_run) {
        choose_group(r);
        return PHASE_DONE;
    }
    if (!loc->proxy_request_buffering.num && !(r->edits && r->edits->has_body) && !loc->proxy_set_body.is_set && loc->proxy_pass_request_body.num
        && (!r->is_chunked || loc->proxy_http_version.num == 1001))
        request_body_stream(r, body_has_more);
    else
        request_body_read(r, body_is_read);
    return PHASE_DONE;
}

/* --- directives --- */

static int parse_proxy_pass(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct proxy_loc *loc = structure;
    struct setting *s = conf_claim(c, d, row, structure);
    struct location *l = location_at_level(c);
    struct proxy_target *t;
    struct str url = d->args[1];
    const char *error;

    if (!s)
        return -1;
    s->ptr = t = arena_zalloc(c->arena, sizeof *t);
    t->directive = d;
    l->handler = proxy_handler;
    loc->location = l;
    if (l->name.n && l->name.p[l->name.n - 1] == '/' && l->kind <= LOCATION_EXACT)
        l->redirects_without_slash = true;
    if (text_count_variables(url)) {
        t->text = text_compile(c, d, url);
        return t->text ? 0 : -1;
    }
    error = split_url(c->arena, url, t);
    if (error) {
        if (str_has_iprefix(url, STR("http://")))
            conf_fail(c->tree, d, "%s in upstream \"%.*s\"", error, STR_ARG(str_skip(url, 7)));
        else
            conf_fail(c->tree, d, "%s", error);
        return -1;
    }
    if (t->uri.n && (l->kind == LOCATION_REGEX || l->kind == LOCATION_NAMED || l->kind == LOCATION_NONAME)) {
        conf_fail(c->tree, d, "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named "
                              "location, or inside \"if\" statement, or inside \"limit_except\" block");
        return -1;
    }
    loc->rewrites.url = t->url;
    loc->rewrites.has_uri = t->uri.n > 0;
    loc->rewrites.location = l->name;
    return 0;
}

static int parse_set_header(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct header_list *list;
    struct set_header *h;

    list = conf_claim_list(c, d, s, sizeof *list);
    h = ARRAY_PUSH(&list->all, c->arena);
    h->name = d->args[1];
    h->directive = d;
    h->value = text_compile(c, d, d->args[2]);
    return h->value ? 0 : -1;
}

static int parse_name(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct name_list *list;

    list = conf_claim_list(c, d, s, sizeof *list);
    for (unsigned i = 1; i < d->n_args; i++)
        *ARRAY_PUSH(&list->all, c->arena) = d->args[i];
    return 0;
}

static int parse_bind(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct bind_to *b;
    struct address literal;

    if (!s)
        return -1;
    s->ptr = b = arena_zalloc(c->arena, sizeof *b);
    if (d->n_args == 2 && str_eq(d->args[1], STR("off")))
        return 0;
    if (d->n_args == 3) {
        if (!str_eq(d->args[2], STR("transparent"))) {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(d->args[2]));
            return -1;
        }
        b->is_transparent = true;
    }
    if (!text_count_variables(d->args[1]) && !address_from_text(c->arena, d->args[1], &literal)) {
        conf_fail(c->tree, d, "invalid address \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    b->text = text_compile(c, d, d->args[1]);
    return b->text ? 0 : -1;
}

static int merged(struct conf *c, void *parent, void *child)
{
    struct proxy_loc *loc = child, *outer = parent;

    if (!outer && !loc->proxy_http_version.is_set)
        loc->proxy_http_version = (struct setting){.is_set = true, .num = main_defaults(c) == DEFAULTS_1_22 ? 1000 : 1001};
    if (outer && !loc->proxy_pass.is_set)
        loc->location = outer->location;
    rewrites_merged(c, outer ? &outer->rewrites : NULL, &loc->rewrites);
    return 0;
}

/* Binds proxy_pass to its group, once all upstream blocks are known; and hands it down to `if` blocks. */
static void bind_groups(struct conf *c, struct location *l)
{
    struct proxy_loc *loc = l->loc[proxy_module.index];
    struct proxy_target *t = loc->proxy_pass.is_set ? loc->proxy_pass.ptr : NULL;

    if (t && !t->text && !t->group) {
        struct upstream_group *block = upstream_group_find(c, t->host, 0);
        if (block && t->has_port)
            conf_fail(c->tree, t->directive, "upstream \"%.*s\" may not have port %u", STR_ARG(t->host), t->port);
        t->group = block ? block : upstream_group_find(c, t->host, t->port);
        if (!t->group) {
            address_array found = {0};
            const char *error = address_parse(c->arena, t->address_text, 80, &found);
            if (error)
                conf_fail(c->tree, t->directive, "%s in upstream \"%.*s\"", error, STR_ARG(t->address_text));
            set_peers(c->arena, t, &found);
            upstream_group_add(c, t->group);
        }
    }
    for (size_t i = 0; i < l->children.n; i++) {
        struct location *child = l->children.items[i];
        struct proxy_loc *inner = child->loc[proxy_module.index];
        if (child->kind == LOCATION_NONAME && !child->handler && loc->proxy_pass.is_set) {
            inner->proxy_pass = loc->proxy_pass;
            inner->location = loc->location;
            child->handler = l->handler;
        }
        bind_groups(c, child);
    }
}

static int ready(struct conf *c)
{
    struct core_main *m = c->http.main[core_module.index];

    for (size_t i = 0; i < m->servers.n; i++)
        bind_groups(c, m->servers.items[i]->root);
    return 0;
}

static void get_proxy_host(struct request *r, struct value *v, struct str rest, void *data)
{
    (void)rest;
    v->is_not_found = !r->upstream;
    if (r->upstream)
        v->s = data ? r->upstream->port_text : r->upstream->host_field;
}

static void get_forwarded_for(struct request *r, struct value *v, struct str rest, void *data)
{
    struct value address = variable_by_name(r, STR("remote_addr")), before = variable_by_name(r, STR("http_x_forwarded_for"));

    (void)rest, (void)data;
    v->s = before.is_not_found || before.s.n == 0 ? address.s : arena_printf(r->arena, "%.*s, %.*s", STR_ARG(before.s), STR_ARG(address.s));
}

static const struct variable_row variables[] = {
    {"proxy_host", get_proxy_host, NULL, NULL, VAR_NO_CACHE},
    {"proxy_port", get_proxy_host, NULL, (void *)1, VAR_NO_CACHE},
    {"proxy_add_x_forwarded_for", get_forwarded_for, NULL, NULL, VAR_NO_CACHE},
    {NULL, NULL, NULL, NULL, 0},
};

static int prepare(struct conf *c)
{
    variables_declare(c, variables);
    return 0;
}

static const struct conf_enum ignorable[] = {
    {"X-Accel-Redirect", IGNORE_REDIRECT}, {"X-Accel-Expires", IGNORE_EXPIRES}, {"X-Accel-Limit-Rate", IGNORE_LIMIT_RATE},
    {"X-Accel-Buffering", IGNORE_BUFFERING}, {"X-Accel-Charset", IGNORE_CHARSET}, {"Expires", IGNORE_CACHE_FIELDS},
    {"Cache-Control", IGNORE_CACHE_FIELDS}, {"Set-Cookie", IGNORE_CACHE_FIELDS}, {"Vary", IGNORE_CACHE_FIELDS}, {NULL, 0}};
static const struct conf_enum versions[] = {{"1.0", 1000}, {"1.1", 1001}, {NULL, 0}};
static const struct conf_enum next_bits[] = {
    {"error", NEXT_ERROR}, {"timeout", NEXT_TIMEOUT}, {"invalid_header", NEXT_INVALID_HEADER}, {"non_idempotent", NEXT_NON_IDEMPOTENT},
    {"http_500", NEXT_500}, {"http_502", NEXT_502}, {"http_503", NEXT_503}, {"http_504", NEXT_504}, {"http_403", NEXT_403},
    {"http_404", NEXT_404}, {"http_429", NEXT_429}, {"off", NEXT_OFF}, {NULL, 0}};

static const long least_buffers = 2;

#define LOC(field) SCOPE_LOC, offsetof(struct proxy_loc, field)
static const struct directive_row rows[] = {
    {"proxy_pass", IN_LOCATION | IN_LOCATION_IF | IN_LIMIT_EXCEPT, 1, 1, false, LOC(proxy_pass), parse_proxy_pass, NULL, "The upstream to ask.", DO_NOT_INHERIT, NULL},
    {"proxy_redirect", IN_ANY_HTTP, 1, 2, false, LOC(rewrites.redirect), parse_proxy_redirect, NULL, "Changes Location and Refresh.", INHERIT, NULL},
    {"proxy_cookie_domain", IN_ANY_HTTP, 1, 2, false, LOC(rewrites.cookie_domain), parse_proxy_cookie, NULL, "Changes the domain of cookies.", INHERIT, NULL},
    {"proxy_cookie_path", IN_ANY_HTTP, 1, 2, false, LOC(rewrites.cookie_path), parse_proxy_cookie, NULL, "Changes the path of cookies.", INHERIT, NULL},
    {"proxy_cookie_flags", IN_ANY_HTTP, 1, 4, false, LOC(rewrites.cookie_flags), parse_proxy_cookie_flags, NULL, "Changes the flags of cookies.", INHERIT, NULL},
    {"proxy_busy_buffers_size", IN_ANY_HTTP, 1, 1, false, LOC(proxy_busy_buffers_size), conf_parse_size, NULL, "Of nginx's buffers, what may be on its way to the client.", INHERIT, NULL},
    {"proxy_max_temp_file_size", IN_ANY_HTTP, 1, 1, false, LOC(proxy_max_temp_file_size), conf_parse_offset, "1024m", "The longest file of a saved answer; 0 for none.", INHERIT, NULL},
    {"proxy_temp_file_write_size", IN_ANY_HTTP, 1, 1, false, LOC(proxy_temp_file_write_size), conf_parse_size, NULL, "What is written to the file at once.", INHERIT, NULL},
    {"proxy_ignore_headers", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(proxy_ignore_headers), conf_parse_bitmask, NULL, "Fields of the answer that are not obeyed.", INHERIT, ignorable},
    {"proxy_request_buffering", IN_ANY_HTTP, 1, 1, false, LOC(proxy_request_buffering), conf_parse_flag, "on", "Reads the body before asking.", INHERIT, NULL},
    {"proxy_limit_rate", IN_ANY_HTTP, 1, 1, false, LOC(proxy_limit_rate), conf_parse_size, "0", "Bytes a second read from the upstream.", INHERIT, NULL},
    {"proxy_force_ranges", IN_ANY_HTTP, 1, 1, false, LOC(proxy_force_ranges), conf_parse_flag, "off", "Ranges of any answer.", INHERIT, NULL},
    {"proxy_ignore_client_abort", IN_ANY_HTTP, 1, 1, false, LOC(proxy_ignore_client_abort), conf_parse_flag, "off", "Goes on when the client is gone.", INHERIT, NULL},
    {"proxy_socket_keepalive", IN_ANY_HTTP, 1, 1, false, LOC(proxy_socket_keepalive), conf_parse_flag, "off", "TCP keep-alive to the upstream.", INHERIT, NULL},
    {"proxy_bind", IN_ANY_HTTP, 1, 2, false, LOC(proxy_bind), parse_bind, NULL, "The local address of connections.", INHERIT, NULL},
    {"proxy_headers_hash_max_size", IN_ANY_HTTP, 1, 1, false, LOC(proxy_headers_hash_max_size), conf_parse_num, "512", "A size of nginx's tables.", INHERIT, NULL},
    {"proxy_headers_hash_bucket_size", IN_ANY_HTTP, 1, 1, false, LOC(proxy_headers_hash_bucket_size), conf_parse_num, "64", "A size of nginx's tables.", INHERIT, NULL},
    {"proxy_send_lowat", IN_ANY_HTTP, 1, 1, false, LOC(proxy_send_lowat), conf_parse_size, "0", "Of nginx on BSD; nothing on Linux.", INHERIT, NULL},
    {"proxy_set_header", IN_ANY_HTTP, 2, 2, false, LOC(proxy_set_header), parse_set_header, NULL, "Sets a field of the upstream request.", INHERIT, NULL},
    {"proxy_hide_header", IN_ANY_HTTP, 1, 1, false, LOC(proxy_hide_header), parse_name, NULL, "Keeps a field of the answer from the client.", INHERIT, NULL},
    {"proxy_pass_header", IN_ANY_HTTP, 1, 1, false, LOC(proxy_pass_header), parse_name, NULL, "Lets a field pass that is hidden by default.", INHERIT, NULL},
    {"proxy_http_version", IN_ANY_HTTP, 1, 1, false, LOC(proxy_http_version), conf_parse_enum, NULL, "The version of the upstream request: 1.1 unless glass_defaults says otherwise.", INHERIT, versions},
    {"proxy_connect_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_connect_timeout), conf_parse_msec, "60s", "Time to connect.", INHERIT, NULL},
    {"proxy_send_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_send_timeout), conf_parse_msec, "60s", "Time between two writes.", INHERIT, NULL},
    {"proxy_read_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_read_timeout), conf_parse_msec, "60s", "Time between two reads.", INHERIT, NULL},
    {"proxy_buffering", IN_ANY_HTTP, 1, 1, false, LOC(proxy_buffering), conf_parse_flag, "on", "Reads answers faster than the client takes them.", INHERIT, NULL},
    {"proxy_buffer_size", IN_ANY_HTTP, 1, 1, false, LOC(proxy_buffer_size), conf_parse_size, "4k", "The longest response header.", INHERIT, NULL},
    {"proxy_buffers", IN_ANY_HTTP, 2, 2, false, LOC(proxy_buffers), parse_buffers, "8 4k", "What is read ahead of the client.", INHERIT, &least_buffers},
    {"proxy_next_upstream", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(proxy_next_upstream), conf_parse_bitmask, "error timeout", "When the next peer is asked.", INHERIT, next_bits},
    {"proxy_next_upstream_tries", IN_ANY_HTTP, 1, 1, false, LOC(proxy_next_upstream_tries), conf_parse_num, "0", "How many peers are asked.", INHERIT, NULL},
    {"proxy_next_upstream_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_next_upstream_timeout), conf_parse_msec, "0", "How long peers are tried.", INHERIT, NULL},
    {"proxy_method", IN_ANY_HTTP, 1, 1, false, LOC(proxy_method), conf_parse_text, NULL, "The method of the upstream request.", INHERIT, NULL},
    {"proxy_set_body", IN_ANY_HTTP, 1, 1, false, LOC(proxy_set_body), conf_parse_text, NULL, "The body of the upstream request.", INHERIT, NULL},
    {"proxy_pass_request_headers", IN_ANY_HTTP, 1, 1, false, LOC(proxy_pass_request_headers), conf_parse_flag, "on", "Passes the client's fields.", INHERIT, NULL},
    {"proxy_pass_request_body", IN_ANY_HTTP, 1, 1, false, LOC(proxy_pass_request_body), conf_parse_flag, "on", "Passes the client's body.", INHERIT, NULL},
    {"proxy_temp_path", IN_ANY_HTTP, 1, 4, false, LOC(proxy_temp_path), conf_parse_path, "proxy_temp", "Where answers are saved that the client takes slowly.", INHERIT, NULL},
    {"proxy_intercept_errors", IN_ANY_HTTP, 1, 1, false, LOC(proxy_intercept_errors), conf_parse_flag, "off", "Lets error_page answer for the upstream.", INHERIT, NULL},
};

struct module proxy_module = {
    .name = "ngx_http_proxy_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .loc_bytes = sizeof(struct proxy_loc),
    .merged_loc = merged,
    .ready = ready,
    .prepare = prepare,
};
