/*
 * The chosen request, as lines of text by tab: see detail.h.
 */
#include "detail.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const tab_names[TAB_COUNT] = {"Headers", "URI", "Upstream", "Response", "Timeline"};

static void forget(struct detail *d)
{
    for (int i = 0; i < d->n; i++) {
        free(d->lines[i].left);
        free(d->lines[i].right);
    }
    d->n = 0;
}

static char *format(const char *f, va_list args)
{
    char *s = NULL;

    return vasprintf(&s, f, args) < 0 ? NULL : s;
}

static struct detail_line *add_line(struct detail *d)
{
    static struct detail_line lost;

    if (d->n == d->room) {
        int more = d->room ? d->room * 2 : 64;
        struct detail_line *lines = realloc(d->lines, (size_t)more * sizeof *lines);
        if (!lines)
            return &lost;
        d->lines = lines;
        d->room = more;
    }
    d->lines[d->n] = (struct detail_line){0};
    return &d->lines[d->n++];
}

__attribute__((format(printf, 3, 4))) static void add(struct detail *d, enum style style, const char *f, ...)
{
    struct detail_line *line = add_line(d);
    va_list args;

    va_start(args, f);
    line->left = format(f, args);
    line->left_style = style;
    va_end(args);
}

static void add_pair(struct detail *d, enum style left_style, const char *left, enum style right_style, const char *right)
{
    struct detail_line *line = add_line(d);

    *line = (struct detail_line){strdup(left), strdup(right), left_style, right_style};
}

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static long long number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static int is_removed(const json_t *field)
{
    return json_is_true(json_object_get(field, "removed"));
}

/* Where a field comes from, in one line. */
static void add_origin(struct detail *d, const json_t *field)
{
    const json_t *o = json_object_get(field, "origin");
    const char *why = text(o, "why"), *from = text(o, "inherited_from");

    if (strcmp(text(o, "kind"), "directive") == 0)
        add(d, STYLE_DIM, "    ^ %s  %s%s%s%s%s", text(o, "directive"), text(o, "place"), *why ? ": " : "", why, *from ? ", inherited from " : "", from);
    else
        add(d, STYLE_DIM, "    ^ %s%s%s", text(o, "kind"), *why ? ": " : "", why);
}

static void field_text(char *out, size_t n, const json_t *field)
{
    snprintf(out, n, "%s: %s", text(field, "name"), text(field, "value"));
}

static const json_t *find(const json_t *fields, const char *name)
{
    size_t i;
    const json_t *f;

    json_array_foreach(fields, i, f)
        if (!is_removed(f) && strcasecmp(text(f, "name"), name) == 0)
            return f;
    return NULL;
}

/* What came in on the left, what went out on the right, each change with its cause below. */
static void build_columns(struct detail *d, const json_t *before, const json_t *after)
{
    char left[2048], right[2048];
    size_t i;
    const json_t *f, *other;

    json_array_foreach(after, i, f)
    {
        if (is_removed(f))
            continue;
        other = find(before, text(f, "name"));
        field_text(right, sizeof right, f);
        if (!other) {
            add_pair(d, STYLE_PLAIN, "", STYLE_ADDED, right);
            add_origin(d, f);
            continue;
        }
        field_text(left, sizeof left, other);
        if (strcmp(text(other, "value"), text(f, "value")) == 0) {
            add_pair(d, STYLE_PLAIN, left, STYLE_PLAIN, right);
        } else {
            add_pair(d, STYLE_CHANGED, left, STYLE_CHANGED, right);
            add_origin(d, f);
        }
    }
    json_array_foreach(after, i, f)
    {
        if (!is_removed(f) || find(after, text(f, "name")))
            continue;
        field_text(left, sizeof left, f);
        add_pair(d, STYLE_REMOVED, left, STYLE_REMOVED, "(removed)");
        add_origin(d, f);
    }
}

static void build_not_inherited(struct detail *d, const json_t *r)
{
    size_t i;
    const json_t *n;

    json_array_foreach(json_object_get(r, "not_inherited"), i, n)
    {
        add(d, STYLE_WARNING, "not inherited: %s  %s", text(n, "directive"), text(n, "place"));
        add(d, STYLE_DIM, "    ^ %s", text(n, "why"));
    }
}

static void build_headers(struct detail *d, const json_t *r)
{
    const json_t *u = json_object_get(r, "upstream_request");
    char line[2048];

    if (!json_is_object(u)) {
        size_t i;
        const json_t *f;
        add(d, STYLE_BOLD, "%s", text(r, "request_line"));
        json_array_foreach(json_object_get(r, "request_fields"), i, f)
        {
            field_text(line, sizeof line, f);
            add(d, STYLE_PLAIN, "%s", line);
        }
        add(d, STYLE_DIM, "No upstream was asked: the proxy answered.");
        return;
    }
    add_pair(d, STYLE_DIM, "from the client", STYLE_DIM, "to the upstream");
    add_pair(d, STYLE_BOLD, text(r, "request_line"), STYLE_BOLD, text(u, "line"));
    build_columns(d, json_object_get(r, "request_fields"), json_object_get(u, "fields"));
    build_not_inherited(d, r);
}

static void build_candidates(struct detail *d, const json_t *list)
{
    size_t i;
    const json_t *c;

    json_array_foreach(list, i, c)
    {
        int is_chosen = json_is_true(json_object_get(c, "chosen"));
        add(d, is_chosen ? STYLE_ADDED : STYLE_PLAIN, " %s %s   %s   %s", is_chosen ? "->" : "  ", *text(c, "name") ? text(c, "name") : "\"\"",
            text(c, "why"), text(c, "place"));
    }
}

static void build_uri(struct detail *d, const json_t *r)
{
    const json_t *path = json_object_get(r, "uri_path"), *s;
    size_t i;

    add(d, STYLE_BOLD, "The URI's way");
    add(d, STYLE_PLAIN, "  received      %s", text(path, "received"));
    add(d, STYLE_PLAIN, "  normalised    %s", text(path, "normalised"));
    json_array_foreach(json_object_get(r, "steps"), i, s)
    {
        add(d, STYLE_CHANGED, "  %-13s %s%s%s", text(s, "phase"), text(s, "before"), *text(s, "after") ? "  =>  " : "", text(s, "after"));
        add(d, STYLE_DIM, "    ^ %s  %s  %s", text(s, "directive"), text(s, "place"), text(s, "why"));
    }
    add(d, STYLE_PLAIN, "  as rewritten  %s", text(path, "final"));
    if (json_is_object(json_object_get(r, "upstream_request")))
        add(d, STYLE_ADDED, "  to upstream   %s", text(json_object_get(r, "upstream_request"), "line"));
    add(d, STYLE_BOLD, "Servers on %s", text(json_object_get(r, "server"), "address"));
    build_candidates(d, json_object_get(r, "server_candidates"));
    add(d, STYLE_BOLD, "Locations");
    build_candidates(d, json_object_get(r, "location_candidates"));
}

static void build_upstream(struct detail *d, const json_t *r)
{
    const json_t *u = json_object_get(r, "upstream_request"), *p;
    size_t i;

    if (!json_is_object(u)) {
        add(d, STYLE_DIM, "No upstream was asked.");
        return;
    }
    add(d, STYLE_BOLD, "Group %s  %s", text(u, "group"), text(u, "group_place"));
    json_array_foreach(json_object_get(r, "peers"), i, p)
        add(d, STYLE_PLAIN, "  %-22s weight %lld (now %lld)  fails %lld  active %lld%s%s  %s", text(p, "address"), number(p, "weight"),
            number(p, "effective_weight"), number(p, "fails"), number(p, "active"), json_is_true(json_object_get(p, "backup")) ? "  backup" : "",
            json_is_true(json_object_get(p, "down")) ? "  down" : "", text(p, "place"));
    add(d, STYLE_BOLD, "Attempts");
    json_array_foreach(json_object_get(r, "attempts"), i, p)
    {
        long long status = number(p, "status");
        add(d, status >= 500 ? STYLE_BAD : STYLE_GOOD, "  -> %s  %lld%s", text(p, "peer"), status,
            json_is_true(json_object_get(p, "reused")) ? "  (a kept connection)" : "");
        add(d, STYLE_PLAIN, "     %s", text(p, "why"));
        add(d, STYLE_DIM, "     connected after %lld ms, header after %lld ms, all after %lld ms", number(p, "connect_ms"), number(p, "header_ms"),
            number(p, "response_ms"));
    }
}

static void build_response(struct detail *d, const json_t *r)
{
    const json_t *u = json_object_get(r, "upstream_response"), *own = json_object_get(r, "response");

    add_pair(d, STYLE_DIM, json_is_object(u) ? "from the upstream" : "", STYLE_DIM, "to the client");
    add_pair(d, STYLE_BOLD, text(u, "line"), STYLE_BOLD, text(own, "line"));
    build_columns(d, json_object_get(u, "fields"), json_object_get(own, "fields"));
}

static void build_timeline(struct detail *d, const json_t *r)
{
    const json_t *phases = json_object_get(r, "phases"), *p;
    long long all = number(r, "duration_us");
    size_t i;

    json_array_foreach(phases, i, p)
    {
        const json_t *later = json_array_get(phases, i + 1);
        long long from = number(p, "us"), to = later ? number(later, "us") : all;
        int bar = all > 0 ? (int)((to - from) * 30 / all) : 0;
        add(d, STYLE_PLAIN, "%10lld us  %-26s %8lld us  %.*s", from, text(p, "phase"), to - from < 0 ? 0 : to - from, bar < 0 ? 0 : bar,
            "##############################");
    }
}

void detail_build(struct detail *d, enum tab tab, const json_t *r)
{
    forget(d);
    if (!r) {
        add(d, STYLE_DIM, "Choose a request.");
        return;
    }
    switch (tab) {
    case TAB_HEADERS: build_headers(d, r); break;
    case TAB_URI: build_uri(d, r); break;
    case TAB_UPSTREAM: build_upstream(d, r); break;
    case TAB_RESPONSE: build_response(d, r); break;
    case TAB_TIMELINE: build_timeline(d, r); break;
    case TAB_COUNT: break;
    }
}
