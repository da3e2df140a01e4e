/*
 * The diagnoses, a row each: see diagnose.h. They are drawn from the reverse-proxy guide's header rules and its
 * troubleshooting section.
 */
#include "diagnose/diagnose.h"

#include "http/log.h"
#include "http/network.h"
#include "http/request_body.h"
#include "phases/engine.h"
#include "trace/capture.h"
#include "trace/trace.h"
#include "upstream/codec/http.h"

/* --- what several of them ask --- */

static const struct proxy_loc *proxy_of(void **loc)
{
    return loc[proxy_module.index];
}

static bool is_proxied(const struct location *l)
{
    return l->handler && proxy_of(l->loc)->proxy_pass.is_set;
}

static const struct set_header *header_set(const struct proxy_loc *p, const char *name)
{
    const struct header_list *list = p->proxy_set_header.ptr;

    for (size_t i = 0; list && i < list->all.n; i++)
        if (str_ieq(list->all.items[i].name, str_of(name)))
            return &list->all.items[i];
    return NULL;
}

static bool has_value(const struct set_header *h)
{
    return h && text_raw(h->value).n > 0;
}

static const struct directive *pass_of(const struct proxy_loc *p)
{
    return ((const struct proxy_target *)p->proxy_pass.ptr)->directive;
}

static const struct field *sent(const struct request *r, const char *name)
{
    return field_find(&r->upstream->request_fields, str_of(name));
}

/* R was, or would have been, sent to an HTTP upstream. */
static bool was_asked(const struct request *r)
{
    return r->upstream && r->upstream->request_head.n > 0;
}

/* --- the Host that the upstream sees --- */

static void host_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct str *host = request_field(r, FIELD_HOST);
    const struct field *f;

    if (!was_asked(r) || !host)
        return;
    f = sent(r, "Host");
    if (!f || f->origin.kind != ORIGIN_DEFAULT || str_ieq(f->value, *host) || str_ieq(f->value, r->host))
        return;
    finding_add(out, self, r->upstream->directive, NULL, "the client asked for \"%.*s\", but the upstream sees \"Host: %.*s\": without proxy_set_header Host, nginx sends $proxy_host",
                STR_ARG(*host), STR_ARG(f->value));
}

static void host_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    const struct proxy_loc *p = proxy_of(l->loc);

    (void)c;
    if (!is_proxied(l) || header_set(p, "Host"))
        return;
    finding_add(out, self, pass_of(p), NULL, "no proxy_set_header Host is in force here, so the upstream sees $proxy_host (%.*s) instead of the name the client asked for",
                STR_ARG(pass_of(p)->args[1]));
}

/* --- the client's address --- */

static const char *const address_fields[] = {"X-Forwarded-For", "X-Real-IP", "Forwarded"};

static void address_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    if (!was_asked(r))
        return;
    for (size_t i = 0; i < sizeof address_fields / sizeof address_fields[0]; i++) {
        const struct field *f = sent(r, address_fields[i]);
        if (f && f->origin.kind != ORIGIN_CLIENT)
            return;
    }
    finding_add(out, self, r->upstream->directive, NULL, "no directive tells the upstream that the client is %.*s: it sees only this proxy's own address",
                STR_ARG(address_text(r->arena, &r->client->u.any, false)));
}

static void address_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    const struct proxy_loc *p = proxy_of(l->loc);

    (void)c;
    if (!is_proxied(l))
        return;
    for (size_t i = 0; i < sizeof address_fields / sizeof address_fields[0]; i++)
        if (has_value(header_set(p, address_fields[i])))
            return;
    finding_add(out, self, pass_of(p), NULL, "neither X-Forwarded-For nor X-Real-IP is set here: the upstream sees every request come from this proxy");
}

/* --- forwarded fields that the client wrote --- */

static const char *const trusted_fields[] = {"X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"};

static void forwarded_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    if (!was_asked(r))
        return;
    for (size_t i = 0; i < sizeof trusted_fields / sizeof trusted_fields[0]; i++) {
        const struct field *f = sent(r, trusted_fields[i]), *came = field_find(&r->fields, str_of(trusted_fields[i]));
        unsigned n = 0;
        for (size_t k = 0; k < r->upstream->request_fields.n; k++)
            n += !r->upstream->request_fields.items[k].is_removed && str_ieq(r->upstream->request_fields.items[k].name, str_of(trusted_fields[i]));
        if (!f || !came)
            continue;
        if (n > 1)
            finding_add(out, self, f->origin.directive, "Set it once with proxy_set_header, which replaces all that the client sent.",
                        "the upstream gets %u fields %s, and it may believe either", n, trusted_fields[i]);
        else if (f->origin.kind == ORIGIN_CLIENT)
            finding_add(out, self, r->upstream->directive, NULL, "the client wrote \"%s: %.*s\" itself, and it is passed unchanged: anybody can claim anything there",
                        trusted_fields[i], STR_ARG(f->value));
        else if (str_eq(f->value, came->value))
            finding_add(out, self, f->origin.directive, NULL, "the directive repeats what the client wrote, \"%s: %.*s\": anybody can claim anything there",
                        trusted_fields[i], STR_ARG(f->value));
        else if (i == 0 && str_has_prefix(f->value, came->value) && r->client && r->connection == NULL)
            finding_add(out, self, f->origin.directive, "Set X-Forwarded-For to $remote_addr at the outermost proxy; behind a trusted one, use set_real_ip_from and real_ip_header.",
                        "the client wrote \"%.*s\" itself; $proxy_add_x_forwarded_for keeps that in front of the real address, and an application that takes the first address is fooled",
                        STR_ARG(came->value));
    }
}

static void forwarded_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    static const char *const echoes[] = {"$http_x_forwarded_for", "$http_x_real_ip", "$http_x_forwarded_proto", "$http_x_forwarded_host", "$http_x_forwarded_port", "$http_forwarded"};
    const struct header_list *list;

    (void)c;
    for (const struct directive *d = l->directive ? l->directive->first_child : NULL; d; d = d->next)
        if (str_eq(d->args[0], STR("set_real_ip_from")) && d->n_args == 2 && (str_eq(d->args[1], STR("0.0.0.0/0")) || str_eq(d->args[1], STR("::/0"))))
            finding_add(out, self, d, "List the addresses of your own proxies only.", "every address is trusted to say who the client is: anybody can claim any address");
    if (!is_proxied(l))
        return;
    list = proxy_of(l->loc)->proxy_set_header.ptr;
    for (size_t i = 0; list && i < list->all.n; i++)
        for (size_t k = 0; k < sizeof echoes / sizeof echoes[0]; k++)
            if (str_eq(text_raw(list->all.items[i].value), str_of(echoes[k])))
                finding_add(out, self, list->all.items[i].directive, NULL, "%s is what the client wrote: anybody can claim anything there", echoes[k]);
}

/* --- redirects that lead astray --- */

/* The host of URL, and whether its scheme is SCHEME. */
static struct str host_of_url(struct str url, struct str scheme)
{
    size_t n = 0;

    if (!str_has_iprefix(url, scheme))
        return STR("");
    url = str_skip(url, scheme.n);
    while (n < url.n && url.p[n] != '/' && url.p[n] != '?')
        n++;
    return (struct str){url.p, n};
}

static void redirect_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct field *f = field_find_id(&r->response.fields, FIELD_LOCATION), *proto = field_find(&r->fields, STR("X-Forwarded-Proto"));
    struct str host;

    if (!f || !proto || !str_ieq(proto->value, STR("https")))
        return;
    host = host_of_url(f->value, STR("http://"));
    if (host.n == 0 || r->host.n == 0 || !str_has_iprefix(host, r->host))
        return;
    finding_add(out, self, f->origin.directive, NULL, "the client came by https (X-Forwarded-Proto says so), but is sent to \"%.*s\"%s", STR_ARG(f->value),
                r->upstream && !sent(r, "X-Forwarded-Proto") ? "; the upstream is not told the scheme" : "");
}

static void redirect_to_upstream(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct field *f = field_find_id(&r->response.fields, FIELD_LOCATION);
    struct str host;

    if (!f || !was_asked(r))
        return;
    host = host_of_url(f->value, r->upstream->scheme);
    if (host.n == 0 || !str_ieq(host, r->upstream->host_field) || str_ieq(host, r->host))
        return;
    finding_add(out, self, r->upstream->directive, NULL, "\"Location: %.*s\" names the upstream itself, which the client cannot reach", STR_ARG(f->value));
}

/* --- WebSocket --- */

static void websocket_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct str *upgrade = request_field(r, FIELD_UPGRADE);
    const struct field *u, *c;

    if (!was_asked(r) || !upgrade || !str_ieq(*upgrade, STR("websocket")))
        return;
    u = sent(r, "Upgrade");
    c = sent(r, "Connection");
    if (proxy_of(r->loc_conf)->proxy_http_version.num < 1001)
        finding_add(out, self, proxy_of(r->loc_conf)->proxy_http_version.origin, "proxy_http_version 1.1;", "the upstream is asked with HTTP/1.0, which has no upgrades");
    if (!u)
        finding_add(out, self, r->upstream->directive, NULL, "the client wants a WebSocket, but Upgrade belongs to one connection only and is not passed unless it is set");
    else if (!c || str_ifind(c->value, STR("upgrade")) < 0)
        finding_add(out, self, c ? c->origin.directive : r->upstream->directive, NULL, "Upgrade is passed, but \"Connection: %.*s\" takes it back", STR_ARG(c ? c->value : STR("close")));
}

static void websocket_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    const struct proxy_loc *p = proxy_of(l->loc);
    const struct set_header *upgrade = header_set(p, "Upgrade"), *connection = header_set(p, "Connection");

    (void)c;
    if (!is_proxied(l))
        return;
    if (has_value(upgrade) && !has_value(connection))
        finding_add(out, self, upgrade->directive, NULL, "Upgrade is passed without Connection: the upstream will not see an upgrade");
    if (has_value(connection) && str_ieq(text_raw(connection->value), STR("upgrade")))
        finding_add(out, self, connection->directive, "map $http_upgrade $connection_upgrade { default upgrade; '' close; } and proxy_set_header Connection $connection_upgrade;",
                    "Connection is \"upgrade\" for every request, those without an upgrade too");
    if (has_value(upgrade) && p->proxy_http_version.num < 1001)
        finding_add(out, self, p->proxy_http_version.origin ? p->proxy_http_version.origin : upgrade->directive, "proxy_http_version 1.1;", "HTTP/1.0 has no upgrades");
}

/* --- inheritance --- */

struct lost_into {
    const struct diagnosis *self;
    struct findings *out;
    const struct directive *block;
};

/* A lost directive that NEAREST's level says anew is no loss. */
static void note_lost(void *data, const struct directive *lost, const struct directive *nearest)
{
    struct lost_into *into = data;

    if (!str_eq(lost->args[0], STR("proxy_set_header")) && !str_eq(lost->args[0], STR("add_header")))
        return;
    for (const struct directive *d = nearest->parent->first_child; d; d = d->next)
        if (str_eq(d->args[0], lost->args[0]) && str_ieq(d->args[1], lost->args[1]))
            return;
    finding_add(into->out, into->self, nearest, NULL, "\"%.*s\" (%.*s) is not in force here: %.*s at this level replaces all that the levels around it set",
                STR_ARG(directive_text(into->out->arena, lost)), STR_ARG(directive_place(into->out->arena, lost)), STR_ARG(nearest->args[0]));
}

static void lost_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    struct lost_into into = {self, out, r->location ? r->location->directive : NULL};

    conf_each_lost(into.block, note_lost, &into);
}

static void lost_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    struct lost_into into = {self, out, l->directive};

    (void)c;
    conf_each_lost(l->directive, note_lost, &into);
}

/* --- trailing slashes --- */

static bool ends_with_slash(struct str s)
{
    return s.n && s.p[s.n - 1] == '/';
}

/* proxy_pass replaces the location's name: where one of the two ends with a slash, the rest is glued on wrongly. */
static bool slashes_differ(const struct location *l, const struct proxy_target *t)
{
    return !t->text && t->uri.n && (l->kind == LOCATION_PREFIX || l->kind == LOCATION_PREFIX_NO_REGEX) && l->name.n > 1 && ends_with_slash(l->name) != ends_with_slash(t->uri);
}

static void slash_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct proxy_target *t;

    if (!was_asked(r) || r->upstream->directive != pass_of(proxy_of(r->loc_conf)))
        return;
    t = proxy_of(r->loc_conf)->proxy_pass.ptr;
    if (slashes_differ(r->location, t) && r->uri.n > r->location->name.n)
        finding_add(out, self, t->directive, NULL, "\"%.*s\" in \"%.*s\" was replaced by \"%.*s\", which made \"%.*s\"", STR_ARG(r->location->name), STR_ARG(r->uri), STR_ARG(t->uri),
                    STR_ARG(r->upstream->uri));
}

static void slash_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    const struct proxy_target *t;
    const struct root *root = ((struct core_loc *)l->loc[core_module.index])->root.ptr;

    (void)c;
    if (root && root->is_alias && l->kind == LOCATION_PREFIX && l->name.n && !ends_with_slash(l->name) && ends_with_slash(text_raw(root->path))) {
        const struct directive *d = ((struct core_loc *)l->loc[core_module.index])->root.origin;
        if (d && d->parent == l->directive)
            finding_add(out, self, d, "End the location's name with a slash too.", "the location \"%.*s\" has no slash at its end but the alias has one: \"%.*s../x\" leads out of the directory",
                        STR_ARG(l->name), STR_ARG(l->name));
    }
    if (!is_proxied(l))
        return;
    t = proxy_of(l->loc)->proxy_pass.ptr;
    if (slashes_differ(l, t))
        finding_add(out, self, t->directive, NULL, "\"%.*sx\" is asked of the upstream as \"%.*sx\"", STR_ARG(l->name), STR_ARG(t->uri));
}

/* --- no answer --- */

static const struct {
    const char *reason, *remedy;
} failures[] = {
    [FAILURE_NONE] = {"", ""},
    [FAILURE_NO_PEER] = {"no server of the group is usable: all are down, or have failed max_fails times within fail_timeout", "Look at why the servers failed before; fail_timeout says how long they are left alone."},
    [FAILURE_REFUSED] = {"the connection was refused: nothing listens at that address", "Start the application, or correct the address and port in proxy_pass or in the upstream's server."},
    [FAILURE_UNREACHABLE] = {"the address could not be reached", "Check the address, the route to it, and firewalls between."},
    [FAILURE_CLOSED] = {"it closed the connection without a complete answer", "Look into the application's log: it probably crashed or ran into a limit of its own."},
    [FAILURE_RESET] = {"it reset the connection", "Look into the application's log: it probably crashed, or something between resets connections."},
    [FAILURE_CONNECT_TIMEOUT] = {"it did not accept the connection within proxy_connect_timeout", "Packets probably get lost in a firewall, or the application's backlog is full."},
    [FAILURE_SEND_TIMEOUT] = {"it did not take the request within proxy_send_timeout", "The application does not read; a longer proxy_send_timeout only waits longer."},
    [FAILURE_READ_TIMEOUT] = {"it did not answer within proxy_read_timeout", "Make the application faster, or raise proxy_read_timeout if it may take that long."},
    [FAILURE_HEADER_TOO_BIG] = {"its response header does not fit into proxy_buffer_size", "Raise proxy_buffer_size, or make the header smaller: large cookies are the usual cause."},
    [FAILURE_HEADER_INVALID] = {"its response header is not HTTP", "Check that the port speaks HTTP, and not TLS, FastCGI or the like."},
    [FAILURE_STATUS] = {"", ""},
};

static void no_answer(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct upstream *u = r->upstream;

    if (!u)
        return;
    if (u->resolve_error.n)
        finding_add(out, self, u->directive, "Check the name and the resolver; with variables in proxy_pass, nginx asks the resolver for each request.",
                    "the upstream's name could not be resolved: %.*s", STR_ARG(u->resolve_error));
    for (size_t i = 0; r->attempts && i < r->attempts->all.n; i++) {
        const struct attempt *a = &r->attempts->all.items[i];
        if (*failures[a->failure].reason)
            finding_add(out, self, a->directive ? a->directive : u->directive, failures[a->failure].remedy, "%.*s: %s", STR_ARG(a->peer), failures[a->failure].reason);
    }
}

static void resolver_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    const struct proxy_target *t;
    struct str raw, host;
    size_t n = 0;
    struct address literal;

    if (!is_proxied(l) || ((struct core_loc *)l->loc[core_module.index])->resolver.ptr)
        return;
    t = proxy_of(l->loc)->proxy_pass.ptr;
    if (!t->text)
        return;
    raw = text_raw(t->text);
    host = str_has_iprefix(raw, STR("http://")) ? str_skip(raw, 7) : raw;
    while (n < host.n && host.p[n] != '/' && host.p[n] != '?')
        n++;
    host.n = n;
    if (str_chr(host, '$') < 0 && (upstream_group_find(c, host, 0) || address_from_text(out->arena, host, &literal)))
        return;
    finding_add(out, self, t->directive, "resolver ADDRESS; or name the hosts in an upstream block.",
                "proxy_pass has variables, so that names are looked up for each request, and no resolver is configured");
}

/* --- the request itself was refused --- */

static void too_large(struct request *r, const struct diagnosis *self, struct findings *out)
{
    if (r->upstream && r->upstream->status.code == r->response.status)
        return;
    if (r->response.status == 413)
        finding_add(out, self, CORE_LOC(r)->client_max_body_size.origin, "Raise client_max_body_size here.", "the body has %lld bytes, and client_max_body_size lets %ld through",
                    r->content_length >= 0 ? r->content_length : r->body ? r->body->received_bytes : 0, CORE_LOC(r)->client_max_body_size.num);
    else if (r->response.status == 414 || (r->response.status == 400 && str_find(r->response.text, STR("Header Or Cookie Too Large")) >= 0))
        finding_add(out, self, CORE_SRV(r)->large_client_header_buffers.origin, "Raise large_client_header_buffers in the server, or make the cookies smaller.",
                    "a line of the request does not fit into large_client_header_buffers");
}

static void field_ignored(struct request *r, const struct diagnosis *self, struct findings *out)
{
    for (size_t i = 0; r->steps && i < r->steps->all.n; i++) {
        const struct trace_step *s = &r->steps->all.items[i];
        if (s->phase == PHASE_READ_REQUEST && str_find(s->why, STR("ignored")) >= 0)
            finding_add(out, self, s->directive, NULL, "the client's field \"%.*s\" was dropped, because its name is not valid here", STR_ARG(s->before));
    }
}

/* --- caching, compression, buffering, keep-alive --- */

static void cookie_and_cache(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct field *control, *expires;
    bool wants_cache;

    if (!was_asked(r) || !field_find_id(&r->upstream->fields, FIELD_SET_COOKIE))
        return;
    control = field_find_id(&r->upstream->fields, FIELD_CACHE_CONTROL);
    expires = field_find_id(&r->upstream->fields, FIELD_EXPIRES);
    wants_cache = control ? (str_ifind(control->value, STR("max-age=")) >= 0 && str_ifind(control->value, STR("max-age=0")) < 0 && str_ifind(control->value, STR("private")) < 0
                             && str_ifind(control->value, STR("no-store")) < 0 && str_ifind(control->value, STR("no-cache")) < 0)
                          : expires != NULL && !str_eq(expires->value, STR("0")) && !str_eq(expires->value, STR("-1"));
    if (wants_cache)
        finding_add(out, self, r->upstream->directive, NULL, "the answer may be cached (\"%.*s\"), but it sets a cookie, and an answer with Set-Cookie is never stored in a cache of nginx",
                    STR_ARG(control ? control->value : expires->value));
}

static void compressed_twice(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct field *f = field_find_id(&r->response.fields, FIELD_CONTENT_ENCODING);
    struct str type = r->response.content_type;
    struct str first;
    long comma;

    if (!f)
        return;
    comma = str_chr(f->value, ',');
    first = comma < 0 ? f->value : str_trim((struct str){f->value.p, (size_t)comma});
    if (comma >= 0 && str_ieq(first, str_trim(str_skip(f->value, (size_t)comma + 1))))
        finding_add(out, self, f->origin.directive, NULL, "\"Content-Encoding: %.*s\" says that it was compressed twice", STR_ARG(f->value));
    else if (str_ieq(first, STR("gzip")) && (str_ieq(type, STR("application/gzip")) || str_ieq(type, STR("application/x-gzip")) || str_ieq(type, STR("application/zip"))))
        finding_add(out, self, f->origin.directive, NULL, "a file that is compressed already (%.*s) was compressed again", STR_ARG(type));
    else if (capture_is_compressed_twice(r))
        finding_add(out, self, f->origin.directive, NULL, "what Content-Encoding: %.*s hides is gzip data again: two places compress this answer", STR_ARG(f->value));
}

static void events_buffered(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct field *type = was_asked(r) ? field_find_id(&r->upstream->fields, FIELD_CONTENT_TYPE) : NULL;

    if (type && str_has_iprefix(type->value, STR("text/event-stream")) && r->upstream->settings.is_buffering)
        finding_add(out, self, proxy_of(r->loc_conf)->proxy_buffering.origin ? proxy_of(r->loc_conf)->proxy_buffering.origin : r->upstream->directive, NULL,
                    "the answer is a stream of events, and proxy_buffering is on");
}

static void keepalive_in_request(struct request *r, const struct diagnosis *self, struct findings *out)
{
    const struct field *f;

    if (!was_asked(r) || !r->upstream->group || r->upstream->group->pool.keepalive.num == 0)
        return;
    f = sent(r, "Connection");
    if (f && f->origin.kind == ORIGIN_DEFAULT && str_ieq(f->value, STR("close")))
        finding_add(out, self, r->upstream->directive, NULL, "the group \"%.*s\" keeps connections, but this request told the upstream to close", STR_ARG(r->upstream->group->name));
}

static void keepalive_in_location(struct conf *c, const struct location *l, const struct diagnosis *self, struct findings *out)
{
    const struct proxy_loc *p = proxy_of(l->loc);
    const struct proxy_target *t;

    (void)c;
    if (!is_proxied(l))
        return;
    t = p->proxy_pass.ptr;
    if (t->group && t->group->pool.keepalive.num && !header_set(p, "Connection"))
        finding_add(out, self, t->directive, NULL, "the group \"%.*s\" keeps connections, but without proxy_set_header Connection every request says close", STR_ARG(t->group->name));
}

const struct diagnosis diagnoses[] = {
    {"no-answer", SEVERITY_ERROR, "The upstream did not answer", "", no_answer, NULL},
    {"no-resolver", SEVERITY_ERROR, "Names cannot be looked up", "", NULL, resolver_in_location},
    {"too-large", SEVERITY_ERROR, "The request is too large", "", too_large, NULL},
    {"websocket", SEVERITY_ERROR, "A WebSocket cannot be opened", "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; with the map of the guide.",
     websocket_in_request, websocket_in_location},
    {"trailing-slash", SEVERITY_WARNING, "The URI is glued together wrongly", "Let the location and the URI of proxy_pass both end with a slash, or neither.", slash_in_request, slash_in_location},
    {"inheritance-lost", SEVERITY_WARNING, "Directives of an outer level are lost here", "Repeat them at this level, or move all of them into one file and include it where they are needed.",
     lost_in_request, lost_in_location},
    {"forwarded-trusted", SEVERITY_WARNING, "What the client wrote about itself is passed on", "Set the field from what this proxy knows: $remote_addr, $scheme, $host.", forwarded_in_request,
     forwarded_in_location},
    {"redirect-scheme", SEVERITY_WARNING, "A redirect leads from https to http", "proxy_set_header X-Forwarded-Proto $scheme; (or the trusted proxy's value), and let the application use it; or proxy_redirect http:// https://;",
     redirect_in_request, NULL},
    {"redirect-to-upstream", SEVERITY_WARNING, "A redirect leads to the upstream", "Send the right Host, or let proxy_redirect rewrite the Location.", redirect_to_upstream, NULL},
    {"host-is-proxy-host", SEVERITY_WARNING, "The upstream does not see the Host the client asked for", "proxy_set_header Host $host;", host_in_request, host_in_location},
    {"client-address-lost", SEVERITY_WARNING, "The upstream does not learn the client's address",
     "proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", address_in_request, address_in_location},
    {"field-ignored", SEVERITY_WARNING, "A field of the request was dropped", "Use letters, digits and dashes in names, or underscores_in_headers on; in the server.", field_ignored, NULL},
    {"compressed-twice", SEVERITY_WARNING, "The answer is compressed twice", "Let only one place compress: switch it off in the application, or proxy_set_header Accept-Encoding \"\";", compressed_twice, NULL},
    {"cookie-prevents-caching", SEVERITY_HINT, "A cookie keeps this answer out of caches", "Do not set cookies on what is meant to be cached, or proxy_ignore_headers Set-Cookie; with proxy_hide_header Set-Cookie;",
     cookie_and_cache, NULL},
    {"events-buffered", SEVERITY_HINT, "A stream of events is buffered", "proxy_buffering off; or X-Accel-Buffering: no from the application.", events_buffered, NULL},
    {"keepalive-unused", SEVERITY_HINT, "Kept connections are not used", "proxy_http_version 1.1; proxy_set_header Connection \"\";", keepalive_in_request, keepalive_in_location},
    {NULL, SEVERITY_HINT, NULL, NULL, NULL, NULL},
};
