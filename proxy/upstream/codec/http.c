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

#include "filters/response.h"
#include "http/connection.h"
#include "http/date.h"
#include "http/log.h"
#include "http/request_body.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "upstream/upstream.h"

struct proxy_target {
    struct upstream_group *group;
    struct str scheme, host, uri; /* host: with its port as written; uri: "" if there is none */
    struct str port_text;
    bool has_uri;
    struct text *text; /* with variables */
    const struct directive *directive;
};

struct set_header {
    struct str name;
    struct text *value;
    const struct directive *directive;
};

struct header_list {
    ARRAY_OF(struct set_header) all;
};

struct name_list {
    ARRAY_OF(struct str) all;
};

struct redirect {
    struct text *from, *to;
    struct conf_regex *regex;
    bool is_default;
    const struct directive *directive;
};

struct redirect_list {
    ARRAY_OF(struct redirect) all;
    bool is_off, has_default;
};

struct proxy_loc {
    struct location *location;
    struct setting proxy_pass, proxy_set_header, proxy_hide_header, proxy_pass_header, proxy_redirect, proxy_http_version,
        proxy_connect_timeout, proxy_send_timeout, proxy_read_timeout, proxy_buffering, proxy_buffer_size, proxy_buffers,
        proxy_busy_buffers_size, proxy_next_upstream, proxy_next_upstream_tries, proxy_next_upstream_timeout,
        proxy_method, proxy_set_body, proxy_pass_request_headers, proxy_pass_request_body, proxy_intercept_errors,
        proxy_temp_path, proxy_ignore_headers;
};

static struct proxy_loc *loc_of(struct request *r)
{
    return r->loc_conf[proxy_module.index];
}

/* --- building the request --- */

static struct str target_uri(struct request *r, const struct proxy_target *t, const struct location *l)
{
    struct str rest;
    size_t matched = l->kind == LOCATION_REGEX || l->kind == LOCATION_NAMED || l->kind == LOCATION_NONAME ? 0 : l->name.n;

    if (!t->has_uri) {
        if (r->has_valid_unparsed_uri)
            return r->unparsed_uri;
        rest = uri_escape(r->arena, r->uri, ESCAPE_URI);
        return r->args.n ? arena_printf(r->arena, "%.*s?%.*s", STR_ARG(rest), STR_ARG(r->args)) : rest;
    }
    rest = r->is_uri_changed && matched > r->uri.n ? STR("") : str_skip(r->uri, matched <= r->uri.n ? matched : r->uri.n);
    if (r->is_uri_quoted || r->is_internal || r->is_uri_changed || uri_escape_count(rest, ESCAPE_URI))
        rest = uri_escape(r->arena, rest, ESCAPE_URI);
    rest = arena_cat(r->arena, t->uri, rest);
    return r->args.n ? arena_printf(r->arena, "%.*s?%.*s", STR_ARG(rest), STR_ARG(r->args)) : rest;
}

static bool is_set_by(const struct header_list *set, struct str name)
{
    for (size_t i = 0; set && i < set->all.n; i++)
        if (str_ieq(set->all.items[i].name, name))
            return true;
    return false;
}

static void add(struct request *r, struct str name, struct str value, enum origin_kind kind, const struct directive *d,
                const char *why)
{
    if (value.n)
        field_add(&r->upstream->request_fields, r->arena, name, value, (struct origin){kind, d, why});
}

static void removed(struct request *r, const struct field *f, enum origin_kind kind, const struct directive *d, const char *why)
{
    struct field *g = field_add(&r->upstream->request_fields, r->arena, f->name, f->value, (struct origin){kind, d, why});

    g->is_removed = true;
}

static const char *hop_by_hop(const struct field *f, bool passes_body)
{
    switch (f->id) {
    case FIELD_CONNECTION: case FIELD_KEEP_ALIVE: case FIELD_TE: case FIELD_UPGRADE: case FIELD_TRANSFER_ENCODING:
        return "hop-by-hop";
    case FIELD_EXPECT: return "answered by the proxy";
    case FIELD_HOST: return "replaced by the default";
    case FIELD_CONTENT_LENGTH: return passes_body ? "set from the body" : "no body is passed";
    default: return NULL;
    }
}

static void build_request(struct request *r, struct buf *out)
{
    struct proxy_loc *loc = loc_of(r);
    struct upstream *u = r->upstream;
    const struct proxy_target *t = u->data;
    const struct header_list *set = loc->proxy_set_header.ptr;
    struct str method = loc->proxy_method.is_set ? text_value(r, loc->proxy_method.ptr) : r->method_name;
    struct str body = loc->proxy_set_body.is_set ? text_value(r, loc->proxy_set_body.ptr) : STR("");
    struct str uri = t->text && t->has_uri ? t->uri : target_uri(r, t, loc->location);
    bool passes_body = loc->proxy_pass_request_body.num && !loc->proxy_set_body.is_set;
    bool has_body = r->content_length >= 0 || r->is_chunked;
    long long length = r->body ? r->body->received_bytes : 0;

    u->request_fields.n = 0;
    if (uri.n == 0 || uri.p[0] != '/')
        uri = arena_cat(r->arena, STR("/"), uri);
    if (!is_set_by(set, STR("Host")))
        add(r, STR("Host"), u->host_field, ORIGIN_DEFAULT, NULL, "$proxy_host");
    if (!is_set_by(set, STR("Connection")))
        add(r, STR("Connection"), STR("close"), ORIGIN_DEFAULT, NULL, "one request on a connection");
    if (loc->proxy_set_body.is_set)
        add(r, STR("Content-Length"), arena_printf(r->arena, "%zu", body.n), ORIGIN_DIRECTIVE, loc->proxy_set_body.origin, NULL);
    else if (passes_body && has_body && !is_set_by(set, STR("Content-Length")))
        add(r, STR("Content-Length"), arena_printf(r->arena, "%lld", length), ORIGIN_DEFAULT, NULL, "the body's length");
    for (size_t i = 0; set && i < set->all.n; i++)
        add(r, set->all.items[i].name, text_value(r, set->all.items[i].value), ORIGIN_DIRECTIVE, set->all.items[i].directive, NULL);
    for (size_t i = 0; i < r->fields.n; i++) {
        const struct field *f = &r->fields.items[i];
        const char *why = hop_by_hop(f, passes_body);
        const struct directive *by = NULL;
        for (size_t k = 0; set && k < set->all.n; k++)
            if (str_ieq(set->all.items[k].name, f->name))
                by = set->all.items[k].directive;
        if (by)
            removed(r, f, ORIGIN_DIRECTIVE, by, "replaced");
        else if (why)
            removed(r, f, ORIGIN_HOP_BY_HOP, NULL, why);
        else if (!loc->proxy_pass_request_headers.num)
            removed(r, f, ORIGIN_DIRECTIVE, loc->proxy_pass_request_headers.origin, NULL);
        else
            add(r, f->name, f->value.n ? f->value : STR(" "), ORIGIN_CLIENT, NULL, NULL);
    }
    buf_printf(out, "%.*s %.*s HTTP/1.%c\r\n", STR_ARG(method), STR_ARG(uri), loc->proxy_http_version.num == 1001 ? '1' : '0');
    for (size_t i = 0; i < u->request_fields.n; i++) {
        const struct field *f = &u->request_fields.items[i];
        if (f->is_removed)
            continue;
        buf_adds(out, f->name);
        buf_addz(out, ": ");
        if (!(f->value.n == 1 && f->value.p[0] == ' '))
            buf_adds(out, f->value);
        buf_addz(out, "\r\n");
    }
    buf_addz(out, "\r\n");
    buf_adds(out, body);
    u->is_body_queued = passes_body;
}

/* --- the response header --- */

static int parse_header(struct request *r)
{
    struct upstream *u = r->upstream;
    struct str in = buf_str(&u->in), all = in;
    struct header_line line;
    struct field *f;

    if (u->status.code == 0) {
        enum parse_result result = parse_status_line(in, &u->status);
        if (result == PARSE_AGAIN)
            return 0;
        if (result != PARSE_DONE) { /* nginx: an answer without a status line is HTTP/0.9 */
            u->status = (struct status_line){.version = 9, .code = 200, .status = STR("")};
            log_request(r, LOG_ERR_, 0, "upstream sent no valid HTTP/1.0 header while reading response header from upstream");
            return 1;
        }
    }
    in = str_skip(all, u->status.consumed);
    u->fields.n = 0;
    for (;;) {
        enum parse_result result = parse_header_line(in, ALLOW_UNDERSCORES, &line);
        if (result == PARSE_AGAIN)
            return 0;
        if (result == PARSE_INVALID_HEADER) {
            log_request(r, LOG_ERR_, 0, "upstream sent invalid header while reading response header from upstream");
            return -1;
        }
        in = str_skip(in, line.consumed);
        if (result == PARSE_END_OF_HEADER)
            break;
        field_add(&u->fields, r->arena, arena_str(r->arena, line.name), arena_str(r->arena, line.value),
                  (struct origin){ORIGIN_UPSTREAM, NULL, NULL});
    }
    u->status.status = arena_str(r->arena, u->status.status);
    buf_consume(&u->in, all.n - in.n);
    f = field_find_id(&u->fields, FIELD_TRANSFER_ENCODING);
    u->is_chunked = f && str_ifind(f->value, STR("chunked")) >= 0;
    f = field_find_id(&u->fields, FIELD_CONTENT_LENGTH);
    if (f && !u->is_chunked) {
        u->rest_bytes = str_number(f->value);
        if (u->rest_bytes < 0) {
            log_request(r, LOG_ERR_, 0, "upstream sent invalid \"Content-Length\" header: \"%.*s\"", STR_ARG(f->value));
            return -1;
        }
    }
    if (u->status.code == 204 || u->status.code == 304 || r->method == METHOD_HEAD)
        u->rest_bytes = 0, u->is_chunked = false;
    if (u->status.code == 100) { /* RFC 9110 15.2: interim, the real answer follows */
        u->status = (struct status_line){0};
        u->fields.n = 0;
        return parse_header(r);
    }
    return 1;
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

/* proxy_redirect on the value of Location or Refresh. */
static void redirect(struct request *r, struct field *f)
{
    struct proxy_loc *loc = loc_of(r);
    const struct redirect_list *list = loc->proxy_redirect.ptr;
    const struct proxy_target *t = r->upstream->data;

    if (list && list->is_off)
        return;
    if (!list || list->has_default) {
        struct str from = t->text ? STR("") : arena_printf(r->arena, "%.*s%.*s%.*s", STR_ARG(t->scheme), STR_ARG(t->host), STR_ARG(t->uri));
        if (from.n && t->has_uri && str_has_prefix(f->value, from)) {
            f->value = arena_cat(r->arena, loc->location->name, str_skip(f->value, from.n));
            f->origin = (struct origin){ORIGIN_DIRECTIVE, list ? loc->proxy_redirect.origin : t->directive, "proxy_redirect default"};
            return;
        }
        if (from.n && !t->has_uri && str_has_prefix(f->value, arena_cat(r->arena, from, STR("/")))) {
            f->value = arena_cat(r->arena, STR("/"), str_skip(f->value, from.n + 1));
            f->origin = (struct origin){ORIGIN_DIRECTIVE, list ? loc->proxy_redirect.origin : t->directive, "proxy_redirect default"};
            return;
        }
    }
    for (size_t i = 0; list && i < list->all.n; i++) {
        const struct redirect *rule = &list->all.items[i];
        if (rule->regex) {
            if (!conf_regex_match(r, rule->regex, f->value))
                continue;
            f->value = text_value(r, rule->to);
        } else {
            struct str from = text_value(r, rule->from);
            if (!str_has_prefix(f->value, from))
                continue;
            f->value = arena_cat(r->arena, text_value(r, rule->to), str_skip(f->value, from.n));
        }
        f->origin = (struct origin){ORIGIN_DIRECTIVE, rule->directive, NULL};
        return;
    }
}

static void process_header(struct request *r)
{
    struct proxy_loc *loc = loc_of(r);
    struct upstream *u = r->upstream;
    struct response *out = &r->response;
    struct field *xar = field_find_id(&u->fields, FIELD_X_ACCEL_REDIRECT);

    if (xar) {
        struct str path = STR(""), args = STR("");
        struct str to = xar->value;
        upstream_release(r);
        if (r->method != METHOD_HEAD) {
            r->method = METHOD_GET;
            r->method_name = STR("GET");
        }
        if (to.n && to.p[0] == '@')
            request_redirect_named(r, to);
        else if (uri_parse_unsafe(r->arena, to, &path, &args) < 0)
            request_fail(r, 404);
        else
            request_redirect(r, path, args);
        return;
    }
    if (loc->proxy_intercept_errors.num && u->status.code >= 300) {
        const struct error_page_list *pages = CORE_LOC(r)->error_page.ptr;
        for (size_t i = 0; pages && i < pages->pages.n; i++)
            if (pages->pages.items[i].status == u->status.code) {
                upstream_release(r);
                request_fail(r, u->status.code);
                return;
            }
    }
    out->status = u->status.code;
    out->status_line = u->status.status;
    for (size_t i = 0; i < u->fields.n; i++) {
        struct field *f = &u->fields.items[i], *copy;
        const struct directive *by;
        switch (f->id) {
        case FIELD_CONTENT_TYPE:
            out->content_type = f->value;
            out->content_type_origin = f->origin;
            continue;
        case FIELD_CONTENT_LENGTH:
            if (!u->is_chunked)
                out->content_length = str_number(f->value);
            continue;
        case FIELD_LAST_MODIFIED:
            out->last_modified = date_parse(f->value);
            break;
        case FIELD_CONNECTION: case FIELD_TRANSFER_ENCODING: case FIELD_KEEP_ALIVE:
            continue;
        default: break;
        }
        if (is_hidden(loc, f->name, &by)) {
            copy = field_add(&out->fields, r->arena, f->name, f->value, (struct origin){by ? ORIGIN_DIRECTIVE : ORIGIN_DEFAULT, by, "hidden"});
            copy->is_removed = true;
            continue;
        }
        copy = field_add(&out->fields, r->arena, f->name, f->value, f->origin);
        if (f->id == FIELD_LOCATION || f->id == FIELD_REFRESH) {
            redirect(r, copy);
            if (f->id == FIELD_LOCATION)
                out->location = copy;
        }
    }
}

static const struct codec http_codec = {"http", build_request, parse_header, process_header};

/* --- the content handler --- */

static void body_is_read(struct request *r, unsigned status)
{
    struct buf b = {0};

    if (status) {
        request_fail(r, status);
        return;
    }
    r->phase = PHASE_BUILD_UPSTREAM_REQUEST;
    r->upstream->codec->build_request(r, &b);
    r->upstream->request_head = arena_str(r->arena, buf_str(&b));
    buf_free(&b);
    upstream_start(r);
}

static int split_target(struct request *r, struct str url, struct proxy_target *t)
{
    size_t skip = 7, end;
    address_array found = {0};
    struct upstream_group *g;

    if (!str_has_iprefix(url, STR("http://")))
        return -1;
    t->scheme = STR("http://");
    url = str_skip(url, skip);
    if (str_has_prefix(url, STR("unix:"))) {
        long at = str_chr(str_skip(url, 5), ':');
        end = at < 0 ? url.n : (size_t)at + 5;
        t->host = STR("localhost");
        t->uri = at < 0 ? STR("") : str_skip(url, end + 1);
    } else {
        for (end = 0; end < url.n && url.p[end] != '/' && url.p[end] != '?'; end++)
            ;
        t->host = (struct str){url.p, end};
        t->uri = str_skip(url, end);
    }
    t->has_uri = t->uri.n > 0;
    t->group = upstream_group_find(r->conf, t->host);
    if (t->group)
        return 0;
    if (address_parse(r->arena, (struct str){url.p, end}, 80, &found))
        return -1;
    t->group = g = arena_zalloc(r->arena, sizeof *g);
    g->name = t->host;
    for (size_t i = 0; i < found.n; i++) {
        struct peer *p = ARRAY_PUSH(&g->peers, r->arena);
        *p = (struct peer){.address = found.items[i], .weight = 1, .effective_weight = 1, .max_fails = 1, .fail_timeout_ms = 10000};
    }
    return 0;
}

static int proxy_handler(struct request *r)
{
    struct proxy_loc *loc = loc_of(r);
    const struct buffer_sizes *buffers = loc->proxy_buffers.ptr;
    struct proxy_target *t = loc->proxy_pass.ptr;
    struct upstream *u = arena_zalloc(r->arena, sizeof *u);

    if (t->text) {
        struct proxy_target *made = arena_zalloc(r->arena, sizeof *made);
        *made = *t;
        if (split_target(r, text_value(r, t->text), made) < 0) {
            log_request(r, LOG_ERR_, 0, "invalid URL prefix in \"%.*s\"", STR_ARG(text_value(r, t->text)));
            return 500;
        }
        t = made;
    }
    r->upstream = u;
    u->codec = &http_codec;
    u->group = t->group;
    u->data = t;
    u->host_field = t->host;
    u->io.fd = -1;
    u->settings = (struct upstream_settings){
        .connect_timeout_ms = (uint64_t)loc->proxy_connect_timeout.num,
        .send_timeout_ms = (uint64_t)loc->proxy_send_timeout.num,
        .read_timeout_ms = (uint64_t)loc->proxy_read_timeout.num,
        .buffer_size_bytes = (size_t)loc->proxy_buffer_size.num,
        .buffers_bytes = (size_t)(buffers->n * buffers->bytes),
        .is_buffering = loc->proxy_buffering.num,
        .next_upstream = (unsigned)loc->proxy_next_upstream.num,
        .tries = (unsigned)loc->proxy_next_upstream_tries.num,
        .next_timeout_ms = (uint64_t)loc->proxy_next_upstream_timeout.num,
    };
    r->phase = PHASE_CHOOSE_UPSTREAM;
    if (r->is_dry_run) {
        struct buf b = {0};
        build_request(r, &b);
        u->request_head = arena_str(r->arena, buf_str(&b));
        buf_free(&b);
        return PHASE_DONE;
    }
    request_body_read(r, body_is_read);
    return PHASE_DONE;
}

/* --- directives --- */

static int parse_proxy_pass(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct proxy_loc *loc = structure;
    struct setting *s = &loc->proxy_pass;
    struct location *l = location_at_level(c);
    struct proxy_target *t = arena_zalloc(c->arena, sizeof *t);
    struct str url = d->args[1];
    size_t end;

    (void)row;
    if (s->is_set) {
        conf_fail(c->tree, d, "\"proxy_pass\" directive is duplicate");
        return -1;
    }
    *s = (struct setting){.origin = d, .is_set = true, .ptr = t};
    t->directive = d;
    l->handler = proxy_handler;
    loc->location = l;
    if (l->name.n && l->name.p[l->name.n - 1] == '/' && l->kind <= LOCATION_EXACT)
        l->redirects_without_slash = true;
    if (text_count_variables(url)) {
        t->text = text_compile(c, d, url);
        return t->text ? 0 : -1;
    }
    if (str_has_iprefix(url, STR("https://"))) {
        conf_fail(c->tree, d, "https in \"proxy_pass\" is not implemented by glassproxy yet");
        return -1;
    }
    if (!str_has_iprefix(url, STR("http://"))) {
        conf_fail(c->tree, d, "invalid URL prefix");
        return -1;
    }
    t->scheme = STR("http://");
    url = str_skip(url, 7);
    if (str_has_prefix(url, STR("unix:"))) {
        long at = str_chr(str_skip(url, 5), ':');
        end = at < 0 ? url.n : (size_t)at + 5;
        t->uri = at < 0 ? STR("") : str_skip(url, end + 1);
        t->host = (struct str){url.p, end};
    } else {
        for (end = 0; end < url.n && url.p[end] != '/' && url.p[end] != '?'; end++)
            ;
        t->host = (struct str){url.p, end};
        t->uri = str_skip(url, end);
    }
    if (end == 0) {
        conf_fail(c->tree, d, "no host in upstream \"%.*s\"", STR_ARG(url));
        return -1;
    }
    t->has_uri = t->uri.n > 0;
    if (t->has_uri && (l->kind == LOCATION_REGEX || l->kind == LOCATION_NAMED || l->kind == LOCATION_NONAME)) {
        conf_fail(c->tree, d, "\"proxy_pass\" cannot have URI part in location given by regular expression, or inside named "
                              "location, or inside \"if\" statement, or inside \"limit_except\" block");
        return -1;
    }
    return 0;
}

static int parse_set_header(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct header_list *list;
    struct set_header *h;

    if (!s->is_set)
        *s = (struct setting){.origin = d, .is_set = true, .ptr = arena_zalloc(c->arena, sizeof *list)};
    list = s->ptr;
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

    if (!s->is_set)
        *s = (struct setting){.origin = d, .is_set = true, .ptr = arena_zalloc(c->arena, sizeof *list)};
    list = s->ptr;
    for (unsigned i = 1; i < d->n_args; i++)
        *ARRAY_PUSH(&list->all, c->arena) = d->args[i];
    return 0;
}

static int parse_redirect(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct redirect_list *list;
    struct redirect *rule;
    struct str from = d->args[1];

    if (!s->is_set)
        *s = (struct setting){.origin = d, .is_set = true, .ptr = arena_zalloc(c->arena, sizeof *list)};
    list = s->ptr;
    if (d->n_args == 2) {
        if (str_eq(from, STR("off"))) {
            list->is_off = true;
            return 0;
        }
        if (str_eq(from, STR("default"))) {
            list->has_default = true;
            return 0;
        }
        conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(from));
        return -1;
    }
    rule = ARRAY_PUSH(&list->all, c->arena);
    rule->directive = d;
    if (from.n && from.p[0] == '~') {
        bool is_caseless = from.n > 1 && from.p[1] == '*';
        rule->regex = conf_regex_compile(c, d, str_skip(from, is_caseless ? 2 : 1), is_caseless ? CASE_INSENSITIVE : CASE_SENSITIVE);
        if (!rule->regex)
            return -1;
    } else if (!(rule->from = text_compile(c, d, from))) {
        return -1;
    }
    rule->to = text_compile(c, d, d->args[2]);
    return rule->to ? 0 : -1;
}

static int parse_text(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);

    if (s->is_set) {
        conf_fail(c->tree, d, "\"%s\" directive is duplicate", row->name);
        return -1;
    }
    *s = (struct setting){.origin = d, .is_set = true, .ptr = text_compile(c, d, d->args[1])};
    return s->ptr ? 0 : -1;
}

static int parse_buffers(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct buffer_sizes *b = arena_zalloc(c->arena, sizeof *b);

    *s = (struct setting){.origin = d, .is_set = true, .ptr = b};
    b->n = (long)str_number(d->args[1]);
    b->bytes = conf_read_size(d->args[2]);
    if (b->n < 2 || b->bytes <= 0) {
        conf_fail(c->tree, d, "\"%s\" directive invalid value", row->name);
        return -1;
    }
    return 0;
}

static int merged(struct conf *c, void *parent, void *child)
{
    struct proxy_loc *loc = child, *outer = parent;

    (void)c;
    if (outer && !loc->proxy_pass.is_set)
        loc->location = outer->location;
    return 0;
}

/* Binds proxy_pass to its group, once all upstream blocks are known; and hands it down to `if` blocks. */
static void bind_groups(struct conf *c, struct location *l)
{
    struct proxy_loc *loc = l->loc[proxy_module.index];
    struct proxy_target *t = loc->proxy_pass.is_set ? loc->proxy_pass.ptr : NULL;

    if (t && !t->text && !t->group) {
        t->group = upstream_group_find(c, t->host);
        if (!t->group) {
            address_array found = {0};
            const char *error = address_parse(c->arena, t->host, 80, &found);
            struct upstream_group *g = t->group = arena_zalloc(c->arena, sizeof *g);
            g->name = t->host;
            if (error)
                conf_fail(c->tree, t->directive, "%s in upstream \"%.*s\"", error, STR_ARG(t->host));
            for (size_t i = 0; i < found.n; i++) {
                struct peer *p = ARRAY_PUSH(&g->peers, c->arena);
                *p = (struct peer){.address = found.items[i], .name = t->host, .weight = 1, .effective_weight = 1, .max_fails = 1, .fail_timeout_ms = 10000};
            }
            if (str_has_prefix(t->host, STR("unix:")))
                t->host = STR("localhost");
        }
    }
    for (size_t i = 0; i < l->children.n; i++) {
        struct location *child = l->children.items[i];
        struct proxy_loc *inner = child->loc[proxy_module.index];
        if (child->kind == LOCATION_NONAME && !inner->proxy_pass.is_set && loc->proxy_pass.is_set) {
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
    (void)rest, (void)data;
    if (r->upstream)
        v->s = r->upstream->host_field;
    else
        v->is_not_found = true;
}

static void get_forwarded_for(struct request *r, struct value *v, struct str rest, void *data)
{
    struct value address = variable_by_name(r, STR("remote_addr")), before = variable_by_name(r, STR("http_x_forwarded_for"));

    (void)rest, (void)data;
    v->s = before.is_not_found ? address.s : arena_printf(r->arena, "%.*s, %.*s", STR_ARG(before.s), STR_ARG(address.s));
}

static void get_upstream_addr(struct request *r, struct value *v, struct str rest, void *data)
{
    struct upstream *u = r->upstream;
    struct buf b = {0};

    (void)rest, (void)data;
    if (!u || u->attempts.n == 0) {
        v->is_not_found = true;
        return;
    }
    for (size_t i = 0; i < u->attempts.n; i++)
        buf_printf(&b, "%s%.*s", i ? ", " : "", STR_ARG(u->attempts.items[i].peer));
    v->s = arena_str(r->arena, buf_str(&b));
    buf_free(&b);
}

static void get_upstream_status(struct request *r, struct value *v, struct str rest, void *data)
{
    struct upstream *u = r->upstream;
    struct buf b = {0};

    (void)rest, (void)data;
    if (!u || u->attempts.n == 0) {
        v->is_not_found = true;
        return;
    }
    for (size_t i = 0; i < u->attempts.n; i++)
        buf_printf(&b, u->attempts.items[i].status ? "%s%u" : "%s-", i ? ", " : "", u->attempts.items[i].status);
    v->s = arena_str(r->arena, buf_str(&b));
    buf_free(&b);
}

static void get_upstream_http(struct request *r, struct value *v, struct str rest, void *data)
{
    (void)data;
    v->is_not_found = true;
    for (size_t i = 0; r->upstream && i < r->upstream->fields.n; i++) {
        const struct field *f = &r->upstream->fields.items[i];
        size_t k = 0;
        while (k < f->name.n && k < rest.n && (f->name.p[k] == '-' ? '_' : ascii_lower(f->name.p[k])) == rest.p[k])
            k++;
        if (k < f->name.n || k < rest.n)
            continue;
        v->s = f->value;
        v->is_not_found = false;
        return;
    }
}

static const struct variable_row variables[] = {
    {"proxy_host", get_proxy_host, NULL, NULL, VAR_NO_CACHE},
    {"proxy_add_x_forwarded_for", get_forwarded_for, NULL, NULL, VAR_NO_CACHE},
    {"upstream_addr", get_upstream_addr, NULL, NULL, VAR_NO_CACHE},
    {"upstream_status", get_upstream_status, NULL, NULL, VAR_NO_CACHE},
    {"upstream_http_", get_upstream_http, NULL, NULL, VAR_PREFIX | VAR_NO_CACHE},
    {NULL, NULL, NULL, NULL, 0},
};

static int prepare(struct conf *c)
{
    variables_declare(c, variables);
    return 0;
}

static const struct conf_enum versions[] = {{"1.0", 1000}, {"1.1", 1001}, {NULL, 0}};
static const struct conf_enum next_bits[] = {
    {"error", NEXT_ERROR}, {"timeout", NEXT_TIMEOUT}, {"invalid_header", NEXT_INVALID_HEADER}, {"non_idempotent", NEXT_NON_IDEMPOTENT},
    {"http_500", NEXT_500}, {"http_502", NEXT_502}, {"http_503", NEXT_503}, {"http_504", NEXT_504}, {"http_403", NEXT_403},
    {"http_404", NEXT_404}, {"http_429", NEXT_429}, {"off", NEXT_OFF}, {NULL, 0}};

#define LOC(field) SCOPE_LOC, offsetof(struct proxy_loc, field)
static const struct directive_row rows[] = {
    {"proxy_pass", IN_LOCATION | IN_LOCATION_IF | IN_LIMIT_EXCEPT, 1, 1, false, LOC(proxy_pass), parse_proxy_pass, NULL, "The upstream to ask.", DO_NOT_INHERIT, NULL},
    {"proxy_set_header", IN_ANY_HTTP, 2, 2, false, LOC(proxy_set_header), parse_set_header, NULL, "Sets a field of the upstream request.", INHERIT, NULL},
    {"proxy_hide_header", IN_ANY_HTTP, 1, 1, false, LOC(proxy_hide_header), parse_name, NULL, "Keeps a field of the answer from the client.", INHERIT, NULL},
    {"proxy_pass_header", IN_ANY_HTTP, 1, 1, false, LOC(proxy_pass_header), parse_name, NULL, "Lets a field pass that is hidden by default.", INHERIT, NULL},
    {"proxy_redirect", IN_ANY_HTTP, 1, 2, false, LOC(proxy_redirect), parse_redirect, NULL, "Changes Location and Refresh.", INHERIT, NULL},
    {"proxy_http_version", IN_ANY_HTTP, 1, 1, false, LOC(proxy_http_version), conf_parse_enum, "1.1", "The version of the upstream request.", INHERIT, versions},
    {"proxy_connect_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_connect_timeout), conf_parse_msec, "60s", "Time to connect.", INHERIT, NULL},
    {"proxy_send_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_send_timeout), conf_parse_msec, "60s", "Time between two writes.", INHERIT, NULL},
    {"proxy_read_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_read_timeout), conf_parse_msec, "60s", "Time between two reads.", INHERIT, NULL},
    {"proxy_buffering", IN_ANY_HTTP, 1, 1, false, LOC(proxy_buffering), conf_parse_flag, "on", "Reads answers faster than the client takes them.", INHERIT, NULL},
    {"proxy_buffer_size", IN_ANY_HTTP, 1, 1, false, LOC(proxy_buffer_size), conf_parse_size, "4k", "The longest response header.", INHERIT, NULL},
    {"proxy_buffers", IN_ANY_HTTP, 2, 2, false, LOC(proxy_buffers), parse_buffers, "8 4k", "What is read ahead of the client.", INHERIT, NULL},
    {"proxy_next_upstream", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(proxy_next_upstream), conf_parse_bitmask, "error timeout", "When the next peer is asked.", INHERIT, next_bits},
    {"proxy_next_upstream_tries", IN_ANY_HTTP, 1, 1, false, LOC(proxy_next_upstream_tries), conf_parse_num, "0", "How many peers are asked.", INHERIT, NULL},
    {"proxy_next_upstream_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_next_upstream_timeout), conf_parse_msec, "0", "How long peers are tried.", INHERIT, NULL},
    {"proxy_method", IN_ANY_HTTP, 1, 1, false, LOC(proxy_method), parse_text, NULL, "The method of the upstream request.", INHERIT, NULL},
    {"proxy_set_body", IN_ANY_HTTP, 1, 1, false, LOC(proxy_set_body), parse_text, NULL, "The body of the upstream request.", INHERIT, NULL},
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
