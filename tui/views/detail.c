/*
 * The chosen request, by tab. What came in stands on the left, what went out on the right, each change with its cause below.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "views/views.h"

const char *const tab_names[TAB_COUNT] = {"Headers", "URI", "Upstream", "Response", "Timeline", "Body", "Conn", "Findings"};

static int is_removed(const json_t *field)
{
    return json_is_true(json_object_get(field, "removed"));
}

/* Where a field comes from, in one line. */
static void add_origin(struct pane *d, const json_t *field)
{
    const json_t *o = json_object_get(field, "origin");
    const char *why = text(o, "why"), *from = text(o, "inherited_from");

    if (strcmp(text(o, "kind"), "directive") == 0)
        pane_add_at(d, text(o, "place"), STYLE_DIM, "    ^ %s  %s%s%s%s%s", text(o, "directive"), text(o, "place"), *why ? ": " : "", why, *from ? ", inherited from " : "", from);
    else
        pane_add(d, strcmp(text(o, "kind"), "edit") == 0 ? STYLE_WARNING : STYLE_DIM, "    ^ %s%s%s", text(o, "kind"), *why ? ": " : "", why);
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
static void build_columns(struct pane *d, const json_t *before, const json_t *after)
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
            pane_add_pair(d, STYLE_PLAIN, "", STYLE_ADDED, right);
            add_origin(d, f);
            continue;
        }
        field_text(left, sizeof left, other);
        if (strcmp(text(other, "value"), text(f, "value")) == 0) {
            const char *kind = text(json_object_get(f, "origin"), "kind");
            pane_add_pair(d, STYLE_PLAIN, left, STYLE_PLAIN, right);
            if (strcmp(kind, "client") != 0 && strcmp(kind, "upstream") != 0)
                add_origin(d, f);
        } else {
            pane_add_pair(d, STYLE_CHANGED, left, STYLE_CHANGED, right);
            add_origin(d, f);
        }
    }
    json_array_foreach(after, i, f)
    {
        if (!is_removed(f) || find(after, text(f, "name")))
            continue;
        field_text(left, sizeof left, f);
        pane_add_pair(d, STYLE_REMOVED, left, STYLE_REMOVED, "(removed)");
        add_origin(d, f);
    }
}

static void build_not_inherited(struct pane *d, const json_t *r)
{
    size_t i;
    const json_t *n;

    json_array_foreach(json_object_get(r, "not_inherited"), i, n)
    {
        pane_add_at(d, text(n, "place"), STYLE_WARNING, "not inherited: %s  %s", text(n, "directive"), text(n, "place"));
        pane_add(d, STYLE_DIM, "    ^ %s", text(n, "why"));
    }
}

static void build_headers(struct pane *d, const json_t *r)
{
    const json_t *u = json_object_get(r, "upstream_request");
    char line[2048];

    if (!json_is_object(u)) {
        size_t i;
        const json_t *f;
        pane_add(d, STYLE_BOLD, "%s", text(r, "request_line"));
        json_array_foreach(json_object_get(r, "request_fields"), i, f)
        {
            field_text(line, sizeof line, f);
            pane_add(d, STYLE_PLAIN, "%s", line);
        }
        pane_add(d, STYLE_DIM, "No upstream was asked: the proxy answered.");
        return;
    }
    pane_add_pair(d, STYLE_DIM, "from the client", STYLE_DIM, "to the upstream");
    pane_add_pair(d, STYLE_BOLD, text(r, "request_line"), STYLE_BOLD, text(u, "line"));
    build_columns(d, json_object_get(r, "request_fields"), json_object_get(u, "fields"));
    build_not_inherited(d, r);
}

/* The chosen one first, then why the others were not. */
static void build_candidates(struct pane *d, const json_t *list)
{
    size_t i;
    const json_t *c;

    for (int chosen = 1; chosen >= 0; chosen--)
        json_array_foreach(list, i, c)
            if (flag(c, "chosen") == chosen)
                pane_add_at(d, text(c, "place"), chosen ? STYLE_ADDED : STYLE_PLAIN, " %s %s   %s   %s", chosen ? "->" : "  ", *text(c, "name") ? text(c, "name") : "\"\"",
                            text(c, "why"), text(c, "place"));
}

static void build_uri(struct pane *d, const json_t *r)
{
    const json_t *path = json_object_get(r, "uri_path"), *s;
    size_t i;

    pane_add(d, STYLE_BOLD, "The URI's way");
    pane_add(d, STYLE_PLAIN, "  received      %s", text(path, "received"));
    pane_add(d, STYLE_PLAIN, "  normalised    %s", text(path, "normalised"));
    json_array_foreach(json_object_get(r, "steps"), i, s)
    {
        pane_add(d, STYLE_CHANGED, "  %-13s %s%s%s", text(s, "phase"), text(s, "before"), *text(s, "after") ? "  =>  " : "", text(s, "after"));
        pane_add_at(d, text(s, "place"), STYLE_DIM, "    ^ %s  %s  %s", text(s, "directive"), text(s, "place"), text(s, "why"));
    }
    pane_add(d, STYLE_PLAIN, "  as rewritten  %s", text(path, "final"));
    if (json_is_object(json_object_get(r, "upstream_request")))
        pane_add(d, STYLE_ADDED, "  to upstream   %s", text(json_object_get(r, "upstream_request"), "line"));
    pane_add(d, STYLE_BOLD, "Servers on %s", text(json_object_get(r, "server"), "address"));
    build_candidates(d, json_object_get(r, "server_candidates"));
    pane_add(d, STYLE_BOLD, "Locations");
    build_candidates(d, json_object_get(r, "location_candidates"));
}

static void build_upstream(struct pane *d, const json_t *r)
{
    const json_t *u = json_object_get(r, "upstream_request"), *p;
    size_t i;

    if (!json_is_object(u)) {
        pane_add(d, STYLE_DIM, "No upstream was asked.");
        return;
    }
    pane_add_at(d, text(u, "group_place"), STYLE_BOLD, "Group %s  %s", text(u, "group"), text(u, "group_place"));
    json_array_foreach(json_object_get(r, "peers"), i, p)
        pane_add_at(d, text(p, "place"), STYLE_PLAIN, "  %-22s weight %lld (now %lld)  fails %lld  active %lld%s%s  %s", text(p, "address"), number(p, "weight"),
            number(p, "effective_weight"), number(p, "fails"), number(p, "active"), json_is_true(json_object_get(p, "backup")) ? "  backup" : "",
            json_is_true(json_object_get(p, "down")) ? "  down" : "", text(p, "place"));
    pane_add(d, STYLE_BOLD, "Attempts");
    json_array_foreach(json_object_get(r, "attempts"), i, p)
    {
        long long status = number(p, "status");
        pane_add(d, status >= 500 ? STYLE_BAD : STYLE_GOOD, "  -> %s  %lld%s", text(p, "peer"), status,
            json_is_true(json_object_get(p, "reused")) ? "  (a kept connection)" : "");
        pane_add(d, STYLE_PLAIN, "     %s", text(p, "why"));
        pane_add(d, STYLE_DIM, "     connected after %lld ms, header after %lld ms, all after %lld ms", number(p, "connect_ms"), number(p, "header_ms"),
            number(p, "response_ms"));
    }
}

static void build_response(struct pane *d, const json_t *r)
{
    const json_t *u = json_object_get(r, "upstream_response"), *own = json_object_get(r, "response");

    pane_add_pair(d, STYLE_DIM, json_is_object(u) ? "from the upstream" : "", STYLE_DIM, "to the client");
    pane_add_pair(d, STYLE_BOLD, text(u, "line"), STYLE_BOLD, text(own, "line"));
    build_columns(d, json_object_get(u, "fields"), json_object_get(own, "fields"));
}

static void build_timeline(struct pane *d, const json_t *r)
{
    const json_t *phases = json_object_get(r, "phases"), *p;
    long long all = number(r, "duration_us");
    size_t i;

    json_array_foreach(phases, i, p)
    {
        long long took = number(p, "duration_us");
        int bar = all > 0 ? (int)(took * 20 / all) : 0;
        pane_add_at(d, text(p, "place"), STYLE_BOLD, "%9lld us  %-24s %8lld us  %.*s", number(p, "us"), text(p, "phase"), took, bar > 20 ? 20 : bar < 0 ? 0 : bar, "####################");
        if (*text(p, "in") || *text(p, "out"))
            pane_add_at(d, text(p, "place"), STYLE_PLAIN, "              %s  =>  %s", text(p, "in"), text(p, "out"));
        if (*text(p, "why") || *text(p, "directive"))
            pane_add_at(d, text(p, "place"), STYLE_DIM, "            ^ %s  %s  %s", text(p, "why"), text(p, "directive"), text(p, "place"));
    }
}

static void build_connection(struct pane *d, const json_t *r)
{
    const json_t *c = json_object_get(r, "connection"), *server = json_object_get(r, "server");

    pane_add(d, STYLE_BOLD, "The client's connection");
    pane_add(d, STYLE_PLAIN, "  client        %s", text(r, "client"));
    pane_add(d, STYLE_PLAIN, "  came to       %s", text(server, "address"));
    pane_add_at(d, text(server, "place"), STYLE_PLAIN, "  server        %s  %s", *text(server, "name") ? text(server, "name") : "(no name)", text(server, "place"));
    pane_add(d, STYLE_PLAIN, "  connection    number %lld, request %lld on it%s", number(c, "number"), number(c, "request_on_it"), flag(c, "pipelined") ? ", pipelined" : "");
    pane_add(d, STYLE_PLAIN, "  protocol      %s", text(c, "protocol"));
    pane_add(d, STYLE_PLAIN, "  afterwards    %s", flag(c, "kept") ? "kept open" : "closed");
    pane_add(d, STYLE_PLAIN, "  received      %lld bytes of header, %lld of body", number(c, "header_bytes"), number(c, "body_bytes"));
    pane_add(d, STYLE_PLAIN, "  sent          %lld bytes%s", number(c, "sent_bytes"), flag(c, "truncated") ? ", and broken off" : "");
    pane_add(d, STYLE_BOLD, "TLS");
    pane_add(d, STYLE_DIM, "  not encrypted");
}

static void build_findings(struct pane *d, const json_t *r)
{
    const json_t *list = json_object_get(r, "findings"), *f;
    size_t i;

    if (json_array_size(list) == 0)
        pane_add(d, STYLE_GOOD, "Nothing found that looks wrong.");
    json_array_foreach(list, i, f)
    {
        const char *severity = text(f, "severity");
        enum style style = strcmp(severity, "error") == 0 ? STYLE_BAD : strcmp(severity, "warning") == 0 ? STYLE_WARNING : STYLE_NAME;
        pane_add_at(d, text(f, "place"), style, "%s: %s", severity, text(f, "title"));
        pane_add_at(d, text(f, "place"), STYLE_PLAIN, "  because %s", text(f, "reason"));
        pane_add_at(d, text(f, "place"), STYLE_ADDED, "  remedy  %s", text(f, "remedy"));
        if (*text(f, "place"))
            pane_add_at(d, text(f, "place"), STYLE_DIM, "    ^ %s  %s", text(f, "directive"), text(f, "place"));
    }
}

static void build_edits(struct pane *d, const json_t *r)
{
    const json_t *e;
    size_t i;

    json_array_foreach(json_object_get(r, "edits"), i, e)
        pane_add(d, STYLE_WARNING, "edited: %s  %s  =>  %s   by %s at %s", text(e, "what"), text(e, "before"), text(e, "after"), text(e, "who"), text(e, "phase"));
}

static void (*const builders[TAB_COUNT])(struct pane *d, const json_t *r) = {
    [TAB_HEADERS] = build_headers, [TAB_URI] = build_uri, [TAB_UPSTREAM] = build_upstream, [TAB_RESPONSE] = build_response,
    [TAB_TIMELINE] = build_timeline, [TAB_CONNECTION] = build_connection, [TAB_FINDINGS] = build_findings};

void detail_build(struct app *a)
{
    struct pane *p = &a->detail;

    pane_clear(p);
    if (!a->m.detail) {
        pane_add(p, STYLE_DIM, "Choose a request.");
        return;
    }
    build_edits(p, a->m.detail);
    if (a->tab == TAB_BODY)
        body_build(a, p);
    else
        builders[a->tab](p, a->m.detail);
}

void detail_draw(struct app *a, int y, int height)
{
    int x = 0;

    text_put(stdscr, y, 0, COLS, "", text_style(STYLE_BAR));
    for (int t = 0; t < TAB_COUNT; t++) {
        char name[32];
        long long n = t == TAB_FINDINGS ? (long long)json_array_size(json_object_get(a->m.detail, "findings")) : 0;
        snprintf(name, sizeof name, n ? "%d %s(%lld)" : "%d %s", t + 1, tab_names[t], n);
        text_put(stdscr, y, x, (int)strlen(name), name, (int)a->tab == t ? A_BOLD | A_UNDERLINE : text_style(STYLE_BAR));
        x += (int)strlen(name) + 1;
    }
    a->detail.has_cursor = a->is_in_detail;
    pane_draw(&a->detail, y + 1, height - 1);
}
