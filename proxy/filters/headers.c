/*
 * add_header, add_trailer and expires: see headers.h.
 */
#include "filters/headers.h"

#include <time.h>

#include "filters/response.h"
#include "http/date.h"
#include "vars/vars.h"

struct added {
    struct str name;
    struct text *value;
    bool is_always;
    const struct directive *directive;
};

struct added_list {
    ARRAY_OF(struct added) all;
};

enum expires_kind { EXPIRES_OFF, EXPIRES_EPOCH, EXPIRES_MAX, EXPIRES_ACCESS, EXPIRES_MODIFIED, EXPIRES_DAILY };

struct expires {
    enum expires_kind kind;
    long seconds;
    struct text *text; /* with variables: parsed for each request */
};

struct headers_loc {
    struct setting add_header, add_trailer, expires;
};

static int parse_add(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct added_list *list;
    struct added *a;

    list = conf_claim_list(c, d, s, sizeof *list);
    a = ARRAY_PUSH(&list->all, c->arena);
    a->name = d->args[1];
    a->directive = d;
    a->value = text_compile(c, d, d->args[2]);
    if (d->n_args == 4) {
        if (!str_eq(d->args[3], STR("always"))) {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(d->args[3]));
            return -1;
        }
        a->is_always = true;
    }
    return a->value ? 0 : -1;
}

static const char *read_expires(struct str s, bool is_modified, struct expires *out)
{
    bool is_negative = false;

    if (!is_modified) {
        if (str_eq(s, STR("epoch"))) return out->kind = EXPIRES_EPOCH, NULL;
        if (str_eq(s, STR("max"))) return out->kind = EXPIRES_MAX, NULL;
        if (str_eq(s, STR("off"))) return out->kind = EXPIRES_OFF, NULL;
    }
    if (s.n && s.p[0] == '@') {
        if (is_modified)
            return "daily time cannot be used with \"modified\" parameter";
        s = str_skip(s, 1);
        out->kind = EXPIRES_DAILY;
    } else {
        if (s.n && (s.p[0] == '+' || s.p[0] == '-')) {
            is_negative = s.p[0] == '-';
            s = str_skip(s, 1);
        }
        out->kind = is_modified ? EXPIRES_MODIFIED : EXPIRES_ACCESS;
    }
    out->seconds = conf_read_sec(s);
    if (out->seconds < 0)
        return "invalid value";
    if (out->kind == EXPIRES_DAILY && out->seconds > 24 * 60 * 60)
        return "daily time value must be less than 24 hours";
    if (is_negative)
        out->seconds = -out->seconds;
    return NULL;
}

static int parse_expires(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct expires *e;
    bool is_modified = d->n_args == 3;
    const char *error;

    if (!s)
        return -1;
    s->ptr = e = arena_zalloc(c->arena, sizeof *e);
    if (is_modified && !str_eq(d->args[1], STR("modified"))) {
        conf_fail(c->tree, d, "\"expires\" directive invalid value");
        return -1;
    }
    if (text_count_variables(d->args[d->n_args - 1])) {
        e->kind = is_modified ? EXPIRES_MODIFIED : EXPIRES_ACCESS;
        e->text = text_compile(c, d, d->args[d->n_args - 1]);
        return e->text ? 0 : -1;
    }
    error = read_expires(d->args[d->n_args - 1], is_modified, e);
    if (error) {
        conf_fail(c->tree, d, "\"expires\" directive %s", error);
        return -1;
    }
    return 0;
}

static void replace(struct request *r, enum field_id id, const char *name, struct str value, struct origin origin)
{
    struct field *f = field_find_id(&r->response.fields, id), *next;

    if (!f) {
        response_add(r, name, value, origin);
        return;
    }
    f->value = value;
    f->origin = origin;
    for (next = f + 1; next < r->response.fields.items + r->response.fields.n; next++)
        if (next->id == id)
            next->is_removed = true;
}

static void set_expires(struct request *r, const struct setting *s)
{
    struct expires e = *(const struct expires *)s->ptr;
    struct origin origin = {ORIGIN_DIRECTIVE, s->origin, NULL};
    char date[HTTP_DATE_BYTES + 1];
    time_t now = time(NULL), at;
    long max_age;

    if (e.text) {
        struct str value = text_value(r, e.text);
        if (value.n == 0 || read_expires(value, e.kind == EXPIRES_MODIFIED, &e))
            return;
    }
    if (e.kind == EXPIRES_OFF)
        return;
    if (e.kind == EXPIRES_EPOCH || e.kind == EXPIRES_MAX) {
        bool is_max = e.kind == EXPIRES_MAX;
        replace(r, FIELD_EXPIRES, "Expires",
                is_max ? STR("Thu, 31 Dec 2037 23:55:55 GMT") : STR("Thu, 01 Jan 1970 00:00:01 GMT"), origin);
        replace(r, FIELD_CACHE_CONTROL, "Cache-Control", is_max ? STR("max-age=315360000") : STR("no-cache"), origin);
        return;
    }
    if (e.kind == EXPIRES_DAILY) {
        struct tm tm;
        localtime_r(&now, &tm);
        tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
        at = mktime(&tm) + e.seconds;
        if (at <= now)
            at += 24 * 60 * 60;
        max_age = (long)(at - now);
    } else if (e.kind == EXPIRES_ACCESS || r->response.last_modified == (time_t)-1) {
        at = now + e.seconds;
        max_age = e.seconds;
    } else {
        at = r->response.last_modified + e.seconds;
        max_age = (long)(at - now);
    }
    date_http(at, date);
    replace(r, FIELD_EXPIRES, "Expires", arena_str(r->arena, str_of(date)), origin);
    if (e.kind != EXPIRES_DAILY && (e.seconds < 0 || max_age < 0))
        replace(r, FIELD_CACHE_CONTROL, "Cache-Control", STR("no-cache"), origin);
    else
        replace(r, FIELD_CACHE_CONTROL, "Cache-Control", arena_printf(r->arena, "max-age=%ld", max_age), origin);
}

static bool is_success(unsigned status)
{
    switch (status) {
    case 200: case 201: case 204: case 206: case 301: case 302: case 303: case 304: case 307: case 308: return true;
    }
    return false;
}

static void add_field(struct request *r, const struct added *a, struct str value)
{
    struct response *out = &r->response;
    struct origin origin = {ORIGIN_DIRECTIVE, a->directive, NULL};
    enum field_id id = field_id(a->name);

    switch (id) {
    case FIELD_LAST_MODIFIED: case FIELD_ETAG:
        for (size_t i = 0; i < out->fields.n; i++)
            if (out->fields.items[i].id == id)
                out->fields.items[i].is_removed = true;
        if (id == FIELD_LAST_MODIFIED)
            out->last_modified = value.n ? date_parse(value) : (time_t)-1;
        break;
    default: break;
    }
    if (value.n)
        field_add(&out->fields, r->arena, a->name, value, origin);
}

void headers_filter(struct request *r)
{
    const struct headers_loc *loc = r->loc_conf[headers_module.index];
    const struct added_list *list = loc->add_header.ptr, *trailers = loc->add_trailer.ptr;
    unsigned status = r->response.status;
    bool is_safe = is_success(status);

    if (loc->expires.ptr && is_safe)
        set_expires(r, &loc->expires);
    for (size_t i = 0; list && i < list->all.n; i++)
        if (is_safe || list->all.items[i].is_always)
            add_field(r, &list->all.items[i], text_value(r, list->all.items[i].value));
    if (trailers && r->version >= 1001 && !r->response.is_header_only) {
        for (size_t i = 0; i < trailers->all.n; i++)
            if (is_safe || trailers->all.items[i].is_always)
                r->response.has_trailers = true;
    }
}

#define LOC(field) SCOPE_LOC, offsetof(struct headers_loc, field)
static const struct directive_row rows[] = {
    {"add_header", IN_ANY_HTTP | IN_LOCATION_IF, 2, 3, false, LOC(add_header), parse_add, NULL, "Adds a field to responses.", INHERIT, NULL},
    {"add_trailer", IN_ANY_HTTP | IN_LOCATION_IF, 2, 3, false, LOC(add_trailer), parse_add, NULL, "Adds a trailer field to responses.", INHERIT, NULL},
    {"expires", IN_ANY_HTTP | IN_LOCATION_IF, 1, 2, false, LOC(expires), parse_expires, NULL, "Sets Expires and Cache-Control.", INHERIT, NULL},
};

struct module headers_module = {
    .name = "ngx_http_headers_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .loc_bytes = sizeof(struct headers_loc),
};

void headers_add_trailers(struct request *r)
{
    const struct headers_loc *loc = r->loc_conf[headers_module.index];
    const struct added_list *trailers = loc->add_trailer.ptr;

    for (size_t i = 0; trailers && i < trailers->all.n; i++) {
        const struct added *a = &trailers->all.items[i];
        struct str value;
        if (!a->is_always && !is_success(r->response.status))
            continue;
        value = text_value(r, a->value);
        if (value.n)
            field_add(&r->response.trailers, r->arena, a->name, value, (struct origin){ORIGIN_DIRECTIVE, a->directive, NULL});
    }
}
