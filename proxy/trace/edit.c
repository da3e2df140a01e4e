/*
 * Changes by people: see edit.h.
 *
 * Which message is edited follows from the phase the request is held at: the client's request until the upstream's request
 * is built, then that one until it is sent, then the upstream's answer, then the response until its header goes out.
 */
#include "trace/edit.h"

#include <stdio.h>

#include "filters/response.h"
#include "http/network.h"
#include "http/read_request.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "trace/hold.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "upstream/upstream.h"

enum { CAN_METHOD = 1, CAN_URI = 2, CAN_HEADERS = 4, CAN_BODY = 8, CAN_UPSTREAM = 16, CAN_STATUS = 32 };

enum message { MESSAGE_NONE, MESSAGE_REQUEST, MESSAGE_UPSTREAM_REQUEST, MESSAGE_UPSTREAM_RESPONSE, MESSAGE_RESPONSE };

static const struct {
    const char *name;
    unsigned bit;
} members[] = {{"method", CAN_METHOD}, {"uri", CAN_URI}, {"headers", CAN_HEADERS}, {"body", CAN_BODY}, {"upstream", CAN_UPSTREAM}, {"status", CAN_STATUS}};

static enum message message_at(enum phase p)
{
    if (p < PHASE_CHOOSE_SERVER)
        return MESSAGE_NONE;
    if (p <= PHASE_BUILD_UPSTREAM_REQUEST)
        return MESSAGE_REQUEST;
    if (p <= PHASE_SEND)
        return MESSAGE_UPSTREAM_REQUEST;
    if (p == PHASE_UPSTREAM_RESPONSE_HEADER)
        return MESSAGE_UPSTREAM_RESPONSE;
    return p == PHASE_RESPONSE_HEADER_FILTERS ? MESSAGE_RESPONSE : MESSAGE_NONE;
}

static unsigned editable(const struct request *r)
{
    enum phase p = r->phase;
    unsigned can = 0;

    if (!r->hold)
        return 0;
    switch (message_at(p)) {
    case MESSAGE_NONE: return 0;
    case MESSAGE_REQUEST: can = CAN_METHOD | CAN_URI | CAN_HEADERS | CAN_BODY; break;
    case MESSAGE_UPSTREAM_REQUEST: can = CAN_METHOD | CAN_URI | CAN_HEADERS | CAN_BODY; break;
    case MESSAGE_UPSTREAM_RESPONSE: return r->upstream->status.code ? CAN_STATUS | CAN_HEADERS : 0;
    case MESSAGE_RESPONSE: return CAN_STATUS | CAN_HEADERS | CAN_BODY;
    }
    if (r->upstream && r->upstream->is_streaming)
        can &= ~(unsigned)CAN_BODY;
    if (p >= PHASE_CHOOSE_UPSTREAM && p <= PHASE_CONNECT && r->upstream)
        can |= CAN_UPSTREAM;
    return can;
}

static void record(struct request *r, struct str who, struct str what, struct str before, struct str after)
{
    struct edit *e = ARRAY_PUSH(&r->edits->all, r->arena);

    *e = (struct edit){arena_str(r->arena, what), before, after, who, r->phase, request_age_us(r)};
    trace_step(r, NULL, before, after, arena_printf(r->arena, "%.*s: edited by %.*s", STR_ARG(what), STR_ARG(who)).p);
}

static struct str copy(struct request *r, const json_t *value)
{
    return arena_str(r->arena, (struct str){json_string_value(value), json_string_length(value)});
}

/* --- what is asked for is sound --- */

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || strchr("!#$%&'*+-.^_`|~", c)) || !c)
            return false;
    }
    return s.n > 0;
}

static bool is_field_value(const json_t *v)
{
    struct str s = {json_string_value(v), json_string_length(v)};

    return json_is_string(v) && str_chr(s, '\n') < 0 && str_chr(s, '\r') < 0 && (s.n == 0 || !memchr(s.p, '\0', s.n));
}

static const char *check_headers(const json_t *headers)
{
    const char *name;
    json_t *value, *one;
    size_t i;

    if (!json_is_object(headers))
        return "\"headers\" must be an object: a name with a text, a list of texts, or null to remove it";
    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        if (!is_token(str_of(name)))
            return "\"headers\": a field's name has characters that no field name can have (RFC 9110 5.6.2)";
        if (str_ieq(str_of(name), STR("content-length")) || str_ieq(str_of(name), STR("transfer-encoding")))
            return "\"headers\": the length follows from the body; edit \"body\" instead";
        if (json_is_array(value)) {
            json_array_foreach(value, i, one)
                if (!is_field_value(one))
                    return "\"headers\": a value must be a text without line ends";
        } else if (!json_is_null(value) && !is_field_value(value)) {
            return "\"headers\": a value must be a text without line ends";
        }
    }
    return NULL;
}

static const char *check(struct request *r, const json_t *changes)
{
    static char words[200];
    unsigned can = editable(r);
    const char *name;
    json_t *value;

    if (!r->hold)
        return "the request is not held";
    if (!json_is_object(changes) || json_object_size(changes) == 0)
        return "\"changes\" must be an object with at least one of method, uri, headers, body, upstream, status";
    json_object_foreach((json_t *)(uintptr_t)changes, name, value)
    {
        size_t i = 0;
        while (i < sizeof members / sizeof members[0] && strcmp(name, members[i].name) != 0)
            i++;
        if (i == sizeof members / sizeof members[0]) {
            snprintf(words, sizeof words, "\"changes\": there is no \"%.60s\"", name);
            return words;
        }
        if (!(can & members[i].bit)) {
            snprintf(words, sizeof words, "%s cannot be edited at the phase \"%s\"", name, phase_table[r->phase].name);
            return words;
        }
        switch (members[i].bit) {
        case CAN_METHOD:
            if (!json_is_string(value) || !is_token(str_of(json_string_value(value))))
                return "\"method\" must be a method's name";
            break;
        case CAN_URI: {
            struct str s = {json_string_value(value), json_string_length(value)};
            struct uri_parts parts;
            if (!json_is_string(value) || s.n == 0 || s.p[0] != '/')
                return "\"uri\" must begin with a slash";
            for (size_t k = 0; k < s.n; k++)
                if ((unsigned char)s.p[k] <= 0x20 || s.p[k] == 0x7f)
                    return "\"uri\" has a blank or a control character: write it as %20 and the like";
            if (uri_normalize(r->arena, s, MERGE_SLASHES, &parts) < 0)
                return "\"uri\" is invalid: a bad percent escape, or \"..\" above the root";
            break;
        }
        case CAN_HEADERS: {
            const char *error = check_headers(value);
            if (error)
                return error;
            break;
        }
        case CAN_BODY:
            if (!json_is_string(value))
                return "\"body\" must be a text";
            break;
        case CAN_UPSTREAM: {
            struct address a;
            if (!json_is_string(value) || (!address_from_text(r->arena, str_of(json_string_value(value)), &a) && !str_has_prefix(str_of(json_string_value(value)), STR("unix:"))))
                return "\"upstream\" must be an address with port, or unix:/path";
            break;
        }
        case CAN_STATUS:
            if (!json_is_integer(value) || json_integer_value(value) < 200 || json_integer_value(value) > 599)
                return "\"status\" must be from 200 to 599";
            break;
        }
    }
    return NULL;
}

/* --- applying it --- */

static struct str joined(struct request *r, const field_array *fields, struct str name)
{
    struct str all = {NULL, 0};

    for (size_t i = 0; i < fields->n; i++) {
        const struct field *f = &fields->items[i];
        if (!f->is_removed && str_ieq(f->name, name))
            all = all.p ? arena_printf(r->arena, "%.*s, %.*s", STR_ARG(all), STR_ARG(f->value)) : f->value;
    }
    return all;
}

/* The fields of the client's request are what variables read: what is gone there is really gone. */
static void drop_field(struct request *r, field_array *fields, struct str name, struct origin origin)
{
    size_t to = 0;

    for (size_t i = 0; i < fields->n; i++) {
        struct field *f = &fields->items[i];
        if (str_ieq(f->name, name) && !f->is_removed) {
            if (fields == &r->fields)
                continue;
            f->is_removed = true;
            f->origin = origin;
        }
        fields->items[to++] = *f;
    }
    fields->n = to;
}

static void edit_field(struct request *r, field_array *fields, struct str who, struct str name, const json_t *value)
{
    struct origin origin = {ORIGIN_EDIT, NULL, arena_printf(r->arena, "by %.*s", STR_ARG(who)).p};
    struct str before = joined(r, fields, name);
    const json_t *one;
    size_t i;

    name = arena_str(r->arena, name);
    drop_field(r, fields, name, origin);
    if (json_is_array(value)) {
        json_array_foreach(value, i, one)
            field_add(fields, r->arena, name, copy(r, one), origin);
    } else if (!json_is_null(value)) {
        field_add(fields, r->arena, name, copy(r, value), origin);
    }
    record(r, who, arena_printf(r->arena, "header %.*s", STR_ARG(name)), before.p ? before : STR("(none)"),
           json_is_null(value) ? STR("(none)") : joined(r, fields, name));
}

static void edit_host(struct request *r)
{
    const struct field *f = field_find_id(&r->fields, FIELD_HOST);
    char *host = f ? arena_alloc(r->arena, f->value.n + 1) : NULL;
    long n = f ? host_validate(f->value, host) : -1;

    if (n < 0)
        return;
    r->host = (struct str){host, (size_t)n};
    if (r->phase == PHASE_CHOOSE_SERVER)
        request_set_server(r, r->host);
}

static void edit_headers(struct request *r, enum message m, struct str who, const json_t *headers)
{
    field_array *fields = m == MESSAGE_REQUEST ? &r->fields : m == MESSAGE_UPSTREAM_REQUEST ? &r->upstream->request_fields
                          : m == MESSAGE_UPSTREAM_RESPONSE ? &r->upstream->fields : &r->response.fields;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)headers, name, value)
    {
        if (m == MESSAGE_RESPONSE && str_ieq(str_of(name), STR("content-type"))) {
            record(r, who, STR("header Content-Type"), r->response.content_type, json_is_string(value) ? copy(r, value) : STR("(none)"));
            r->response.content_type = json_is_string(value) ? copy(r, value) : STR("");
            r->response.content_type_origin = (struct origin){ORIGIN_EDIT, NULL, arena_printf(r->arena, "by %.*s", STR_ARG(who)).p};
            continue;
        }
        edit_field(r, fields, who, str_of(name), value);
        if (m == MESSAGE_REQUEST && str_ieq(str_of(name), STR("host")))
            edit_host(r);
    }
}

static void edit_body(struct request *r, enum message m, struct str who, struct str body)
{
    record(r, who, STR("body"), STR("(as it was)"), body);
    if (m == MESSAGE_RESPONSE) {
        if (r->upstream)
            upstream_release(r);
        r->response.text = body;
        r->response.content_length = (long long)body.n;
        r->response.is_chunked = r->response.allows_ranges = false;
        drop_field(r, &r->response.fields, STR("content-encoding"), (struct origin){ORIGIN_EDIT, NULL, "the body was edited"});
        r->response.write_body = response_write_text;
        return;
    }
    r->edits->body = body;
    r->edits->has_body = true;
    if (m == MESSAGE_UPSTREAM_REQUEST)
        upstream_replace_body(r, body);
}

const char *request_edit(struct request *r, struct str who, const json_t *changes)
{
    const char *error = check(r, changes);
    enum message m = message_at(r->phase);
    const json_t *v;

    if (error)
        return error;
    if (!r->edits)
        r->edits = arena_zalloc(r->arena, sizeof *r->edits);
    who = arena_str(r->arena, who);
    if ((v = json_object_get(changes, "upstream"))) {
        struct str before = r->upstream->peer ? r->upstream->peer->address.text : STR("(not chosen yet)");
        error = upstream_force_peer(r, copy(r, v));
        if (error)
            return error;
        record(r, who, STR("upstream"), before, copy(r, v));
    }
    if ((v = json_object_get(changes, "method"))) {
        struct str *method = m == MESSAGE_REQUEST ? &r->method_name : &r->upstream->method;
        record(r, who, STR("method"), *method, copy(r, v));
        *method = copy(r, v);
        if (m == MESSAGE_REQUEST)
            r->method = request_method_of(r->method_name);
    }
    if ((v = json_object_get(changes, "uri"))) {
        struct str *uri = m == MESSAGE_REQUEST ? &r->unparsed_uri : &r->upstream->uri;
        record(r, who, STR("uri"), *uri, copy(r, v));
        if (m == MESSAGE_REQUEST)
            request_set_target(r, copy(r, v));
        else
            *uri = copy(r, v);
    }
    if ((v = json_object_get(changes, "headers")))
        edit_headers(r, m, who, v);
    if ((v = json_object_get(changes, "status"))) {
        unsigned *status = m == MESSAGE_RESPONSE ? &r->response.status : &r->upstream->status.code;
        record(r, who, STR("status"), arena_printf(r->arena, "%u", *status), arena_printf(r->arena, "%lld", json_integer_value(v)));
        *status = (unsigned)json_integer_value(v);
        r->response.status_line = STR("");
        if (m == MESSAGE_UPSTREAM_RESPONSE)
            r->upstream->status.status = status_words(*status);
        else
            r->error_status = 0;
    }
    if ((v = json_object_get(changes, "body")))
        edit_body(r, m, who, copy(r, v));
    if (m == MESSAGE_REQUEST)
        variables_forget(r);
    else if (m == MESSAGE_UPSTREAM_REQUEST)
        upstream_write_request(r);
    return NULL;
}

/* --- telling of it --- */

void edits_describe(struct buf *b, const struct request *r)
{
    write_open(b, "edits", '[');
    for (size_t i = 0; r->edits && i < r->edits->all.n; i++) {
        const struct edit *e = &r->edits->all.items[i];
        bool is_masked = str_has_prefix(e->what, STR("header ")) && trace_is_masked(r, str_skip(e->what, 7));
        write_open(b, NULL, '{');
        write_str(b, "what", e->what);
        write_str(b, "before", is_masked ? STR("***") : e->before);
        write_str(b, "after", is_masked ? STR("***") : e->after);
        write_str(b, "who", e->who);
        write_str(b, "phase", str_of(phase_table[e->phase].name));
        write_num(b, "us", (long long)e->us);
        write_close(b, '}');
    }
    write_close(b, ']');
}

void editable_describe(struct buf *b, const struct request *r)
{
    unsigned can = editable(r);
    static const char *const messages[] = {"", "request", "upstream request", "upstream response", "response"};

    write_str(b, "edits_what", str_of(messages[message_at(r->phase)]));
    write_open(b, "editable", '[');
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (can & members[i].bit)
            write_str(b, NULL, str_of(members[i].name));
    write_close(b, ']');
    if (!can)
        return;
    write_open(b, "now", '{'); /* what of it is no field */
    if (can & CAN_METHOD)
        write_str(b, "method", message_at(r->phase) == MESSAGE_REQUEST ? r->method_name : r->upstream->method);
    if (can & CAN_URI)
        write_str(b, "uri", message_at(r->phase) == MESSAGE_REQUEST ? r->unparsed_uri : r->upstream->uri);
    if (can & CAN_UPSTREAM)
        write_str(b, "upstream", r->upstream->peer ? r->upstream->peer->address.text : STR(""));
    if (can & CAN_STATUS)
        write_num(b, "status", message_at(r->phase) == MESSAGE_RESPONSE ? r->response.status : r->upstream->status.code);
    if (message_at(r->phase) == MESSAGE_RESPONSE)
        write_str(b, "content_type", r->response.content_type);
    write_close(b, '}');
}
