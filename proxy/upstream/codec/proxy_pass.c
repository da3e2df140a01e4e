/*
 * proxy_pass and the directives around it (nginx's ngx_http_proxy_module): the content handler, from the target to the
 * upstream's first byte, and the table of directives.
 */
#include "upstream/codec/http.h"


#include "http/connection.h"
#include "http/log.h"
#include "http/network.h"
#include "http/request_body.h"
#include "http/temp_file.h"
#include "main_conf.h"
#include "phases/engine.h"
#include "trace/edit.h"
#include "upstream/codec/rewrites.h"
#include "upstream/resolver.h"
#include "upstream/upstream.h"

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
    struct proxy_loc *loc = proxy_loc_of(r);
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
        .temp_place = loc->proxy_temp_path.ptr,
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
        loc->rewrites.has_variables = true;
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
    if (!text_count_variables(d->args[1]) && !address_from_text(c->arena, d->args[1], &literal)) {
        conf_fail(c->tree, d, "invalid address \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    if (d->n_args == 3) {
        if (!str_eq(d->args[2], STR("transparent"))) {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(d->args[2]));
            return -1;
        }
        b->is_transparent = true;
    }
    b->text = text_compile(c, d, d->args[1]);
    return b->text ? 0 : -1;
}

/* What must hold between the sizes of buffers. Errors name the directive that is to blame, or could be. */
static void check_buffers(struct conf *c, const struct proxy_loc *loc)
{
    const struct buffer_sizes *b = loc->proxy_buffers.ptr;
    const struct setting *busy = &loc->proxy_busy_buffers_size, *file = &loc->proxy_max_temp_file_size;
    const struct directive *buffers = loc->proxy_buffers.origin ? loc->proxy_buffers.origin : loc->proxy_buffer_size.origin;
    long larger = loc->proxy_buffer_size.num > b->bytes ? loc->proxy_buffer_size.num : b->bytes;

    if (b->n < 2)
        conf_fail(c->tree, buffers, "there must be at least 2 \"proxy_buffers\"");
    else if (busy->is_set && busy->num < larger)
        conf_fail(c->tree, busy->origin, "\"proxy_busy_buffers_size\" must be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"");
    else if ((busy->is_set ? busy->num : 2 * larger) > (b->n - 1) * b->bytes)
        conf_fail(c->tree, busy->is_set ? busy->origin : buffers, "\"proxy_busy_buffers_size\" must be less than the size of all \"proxy_buffers\" minus one buffer");
    else if (loc->proxy_temp_file_write_size.is_set && loc->proxy_temp_file_write_size.num < larger)
        conf_fail(c->tree, loc->proxy_temp_file_write_size.origin, "\"proxy_temp_file_write_size\" must be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"");
    else if (file->num && file->num < larger)
        conf_fail(c->tree, file->origin, "\"proxy_max_temp_file_size\" must be equal to zero to disable temporary files usage or must be equal to or greater than the maximum of the value of \"proxy_buffer_size\" and one of the \"proxy_buffers\"");
}

static int merged(struct conf *c, void *parent, void *child)
{
    struct proxy_loc *loc = child, *outer = parent;

    if (!outer && !loc->proxy_http_version.is_set)
        loc->proxy_http_version = (struct setting){.is_set = true, .num = main_defaults(c) == DEFAULTS_1_22 ? 1000 : 1001};
    if (outer && !loc->proxy_pass.is_set)
        loc->location = outer->location;
    if (outer)
        check_buffers(c, loc);
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
    struct core_main *m = core_main(c);

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
    {"proxy_host", get_proxy_host, NULL, NULL, VAR_CHANGEABLE | VAR_NO_CACHE},
    {"proxy_port", get_proxy_host, NULL, (void *)1, VAR_CHANGEABLE | VAR_NO_CACHE},
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
    {"proxy_buffers", IN_ANY_HTTP, 2, 2, false, LOC(proxy_buffers), parse_buffers, "8 4k", "What is read ahead of the client.", INHERIT, NULL},
    {"proxy_next_upstream", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(proxy_next_upstream), conf_parse_bitmask, "error timeout", "When the next peer is asked.", INHERIT, next_bits},
    {"proxy_next_upstream_tries", IN_ANY_HTTP, 1, 1, false, LOC(proxy_next_upstream_tries), conf_parse_num, "0", "How many peers are asked.", INHERIT, NULL},
    {"proxy_next_upstream_timeout", IN_ANY_HTTP, 1, 1, false, LOC(proxy_next_upstream_timeout), conf_parse_msec, "0", "How long peers are tried.", INHERIT, NULL},
    {"proxy_method", IN_ANY_HTTP, 1, 1, false, LOC(proxy_method), conf_parse_text, NULL, "The method of the upstream request.", INHERIT, NULL},
    {"proxy_set_body", IN_ANY_HTTP, 1, 1, false, LOC(proxy_set_body), conf_parse_text, NULL, "The body of the upstream request.", INHERIT, NULL},
    {"proxy_pass_request_headers", IN_ANY_HTTP, 1, 1, false, LOC(proxy_pass_request_headers), conf_parse_flag, "on", "Passes the client's fields.", INHERIT, NULL},
    {"proxy_pass_request_body", IN_ANY_HTTP, 1, 1, false, LOC(proxy_pass_request_body), conf_parse_flag, "on", "Passes the client's body.", INHERIT, NULL},
    {"proxy_temp_path", IN_ANY_HTTP, 1, 4, false, LOC(proxy_temp_path), conf_parse_temp_path, "proxy_temp", "Where answers are saved that the client takes slowly.", INHERIT, NULL},
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
