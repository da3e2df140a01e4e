/*
 * A described request as text for people: what `glassproxy trace` and `glassproxy explain` print. Control characters from
 * the traffic never reach the terminal.
 */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "commands/commands.h"

enum colour { PLAIN, BOLD, DIM, RED, GREEN, YELLOW, CYAN };

struct out {
    FILE *f;
    bool has_colour;
};

static void put(struct out *o, enum colour colour, const char *s)
{
    static const char *const codes[] = {"", "\033[1m", "\033[2m", "\033[31m", "\033[32m", "\033[33m", "\033[36m"};

    if (o->has_colour && colour != PLAIN)
        fputs(codes[colour], o->f);
    for (; *s; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            fprintf(o->f, "\\x%02x", (unsigned char)*s);
        else
            fputc(*s, o->f);
    }
    if (o->has_colour && colour != PLAIN)
        fputs("\033[0m", o->f);
}

const char *show_text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static long long number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static void title(struct out *o, const char *name)
{
    put(o, BOLD, name);
    fputc('\n', o->f);
}

static void label(struct out *o, const char *name, const char *value)
{
    fprintf(o->f, "  %-12s ", name);
    put(o, PLAIN, value);
    fputc('\n', o->f);
}

static enum colour status_colour(long long status)
{
    return status >= 500 ? RED : status >= 400 ? YELLOW : GREEN;
}

void show_summary(FILE *f, const json_t *s, bool has_colour)
{
    struct out o = {f, has_colour};
    time_t at = (time_t)(number(s, "time_ms") / 1000);
    struct tm tm;
    char clock[32], status[32];

    localtime_r(&at, &tm);
    strftime(clock, sizeof clock, "%H:%M:%S", &tm);
    fprintf(f, "%6lld %s.%03lld ", number(s, "request"), clock, number(s, "time_ms") % 1000);
    snprintf(status, sizeof status, "%3lld", number(s, "status"));
    put(&o, status_colour(number(s, "status")), status);
    fprintf(f, " %7.1fms ", (double)number(s, "duration_us") / 1000);
    put(&o, BOLD, show_text(s, "method"));
    fputc(' ', f);
    put(&o, PLAIN, show_text(s, "host"));
    put(&o, PLAIN, show_text(s, "uri"));
    if (*show_text(s, "location")) {
        put(&o, DIM, "  location ");
        put(&o, CYAN, show_text(s, "location"));
    }
    if (*show_text(s, "upstream")) {
        put(&o, DIM, "  to ");
        put(&o, CYAN, show_text(s, "upstream"));
    }
    fputc('\n', f);
}

static void show_candidates(struct out *o, const json_t *list)
{
    size_t i;
    const json_t *c;

    json_array_foreach(list, i, c)
    {
        bool is_chosen = json_is_true(json_object_get(c, "chosen"));
        fprintf(o->f, "    %s ", is_chosen ? "->" : "  ");
        put(o, is_chosen ? GREEN : PLAIN, *show_text(c, "name") ? show_text(c, "name") : "\"\"");
        fputs("  ", o->f);
        put(o, PLAIN, show_text(c, "why"));
        fputs("  ", o->f);
        put(o, DIM, show_text(c, "place"));
        fputc('\n', o->f);
    }
}

static void show_origin(struct out *o, const json_t *origin)
{
    const char *kind = show_text(origin, "kind");

    put(o, DIM, "  <- ");
    if (strcmp(kind, "directive") == 0) {
        put(o, CYAN, show_text(origin, "directive"));
        fputc(' ', o->f);
        put(o, DIM, show_text(origin, "place"));
    } else {
        put(o, DIM, kind);
    }
    if (*show_text(origin, "why")) {
        put(o, DIM, ": ");
        put(o, DIM, show_text(origin, "why"));
    }
    if (*show_text(origin, "inherited_from")) {
        put(o, DIM, ", inherited from ");
        put(o, DIM, show_text(origin, "inherited_from"));
    }
    fputc('\n', o->f);
}

static void show_fields(struct out *o, const json_t *fields, bool has_origin)
{
    size_t i;
    const json_t *f;

    json_array_foreach(fields, i, f)
    {
        bool is_removed = json_is_true(json_object_get(f, "removed"));
        const json_t *origin = json_object_get(f, "origin");
        enum colour colour = is_removed ? RED : strcmp(show_text(origin, "kind"), "directive") == 0 ? GREEN : PLAIN;
        fputs(is_removed ? "    - " : "      ", o->f);
        put(o, colour, show_text(f, "name"));
        put(o, colour, ": ");
        put(o, colour, show_text(f, "value"));
        if (has_origin)
            show_origin(o, origin);
        else
            fputc('\n', o->f);
    }
}

static void show_steps(struct out *o, const json_t *steps)
{
    size_t i;
    const json_t *s;

    if (json_array_size(steps) == 0)
        return;
    title(o, "Steps");
    json_array_foreach(steps, i, s)
    {
        fprintf(o->f, "    %-15s ", show_text(s, "phase"));
        put(o, CYAN, show_text(s, "directive"));
        fputc(' ', o->f);
        put(o, DIM, show_text(s, "place"));
        fputs("  ", o->f);
        put(o, PLAIN, show_text(s, "why"));
        if (*show_text(s, "before") || *show_text(s, "after")) {
            put(o, DIM, "  ");
            put(o, PLAIN, show_text(s, "before"));
            put(o, DIM, " => ");
            put(o, GREEN, show_text(s, "after"));
        }
        fputc('\n', o->f);
    }
}

static void show_upstream(struct out *o, const json_t *d)
{
    const json_t *u = json_object_get(d, "upstream_request"), *a;
    size_t i;

    if (!json_is_object(u))
        return;
    title(o, "Upstream");
    label(o, "group", show_text(u, "group"));
    json_array_foreach(json_object_get(d, "peers"), i, a)
    {
        fprintf(o->f, "      ");
        put(o, PLAIN, show_text(a, "address"));
        fprintf(o->f, "  weight %lld  fails %lld%s%s  ", number(a, "weight"), number(a, "fails"),
                json_is_true(json_object_get(a, "backup")) ? "  backup" : "", json_is_true(json_object_get(a, "down")) ? "  down" : "");
        put(o, DIM, show_text(a, "place"));
        fputc('\n', o->f);
    }
    if (json_object_get(d, "would_ask")) {
        a = json_object_get(d, "would_ask");
        fprintf(o->f, "    -> ");
        put(o, GREEN, show_text(a, "peer"));
        fputs("  ", o->f);
        put(o, PLAIN, show_text(a, "why"));
        fputc('\n', o->f);
    }
    json_array_foreach(json_object_get(d, "attempts"), i, a)
    {
        fprintf(o->f, "    -> ");
        put(o, GREEN, show_text(a, "peer"));
        fprintf(o->f, "  %lld  %lld ms  ", number(a, "status"), number(a, "response_ms"));
        put(o, PLAIN, show_text(a, "why"));
        fputc('\n', o->f);
    }
    title(o, "Request to the upstream");
    fputs("    ", o->f);
    put(o, BOLD, show_text(u, "line"));
    fputc('\n', o->f);
    show_fields(o, json_object_get(u, "fields"), true);
    if (number(json_object_get(d, "upstream_response"), "status")) {
        title(o, "Response of the upstream");
        fputs("    ", o->f);
        put(o, BOLD, show_text(json_object_get(d, "upstream_response"), "line"));
        fputc('\n', o->f);
        show_fields(o, json_object_get(json_object_get(d, "upstream_response"), "fields"), false);
    }
}

void show_findings(FILE *f, const json_t *findings, bool has_colour)
{
    struct out o = {f, has_colour};
    size_t i;
    const json_t *n;

    json_array_foreach(findings, i, n)
    {
        const char *severity = show_text(n, "severity");
        fputs("    ", f);
        put(&o, strcmp(severity, "error") == 0 ? RED : strcmp(severity, "warning") == 0 ? YELLOW : CYAN, severity);
        fputs(": ", f);
        put(&o, BOLD, show_text(n, "title"));
        fprintf(f, " [%s]  ", show_text(n, "id"));
        put(&o, DIM, show_text(n, "place"));
        fputs("\n        because ", f);
        put(&o, PLAIN, show_text(n, "reason"));
        fputs("\n        remedy  ", f);
        put(&o, GREEN, show_text(n, "remedy"));
        fputc('\n', f);
    }
}

void show_log(FILE *f, const json_t *line, bool has_colour)
{
    struct out o = {f, has_colour};
    const char *level = show_text(line, "level");

    put(&o, strcmp(level, "warn") == 0 ? YELLOW : strcmp(level, "info") == 0 || strcmp(level, "notice") == 0 || strcmp(level, "debug") == 0 ? PLAIN : RED, show_text(line, "line"));
    fputc('\n', f);
}

void show_body(FILE *f, const json_t *body)
{
    const char *in = show_text(body, "base64");
    size_t n = strlen(in);
    unsigned char *bytes = malloc(n + 1);
    int got = bytes ? EVP_DecodeBlock(bytes, (const unsigned char *)in, (int)n) : -1;

    while (n && in[n - 1] == '=' && got > 0) { /* the padding is decoded to zeros */
        n--;
        got--;
    }
    if (!json_is_true(json_object_get(body, "captured")))
        fputs("glassproxy: it has none, or nobody was attached when it passed\n", stderr);
    for (int i = 0; i < got; i++) {
        if (isatty(fileno(f)) && (bytes[i] < 0x20 || bytes[i] == 0x7f) && bytes[i] != '\n' && bytes[i] != '\t')
            fprintf(f, "\\x%02x", bytes[i]);
        else
            fputc(bytes[i], f);
    }
    if (number(body, "kept") < number(body, "total"))
        fprintf(stderr, "glassproxy: only the first %lld of %lld bytes are kept (glass_body)\n", number(body, "kept"), number(body, "total"));
    free(bytes);
}

void show_phase(FILE *f, const json_t *p, bool has_colour)
{
    struct out o = {f, has_colour};

    if (number(p, "request"))
        fprintf(f, "%6lld ", number(p, "request"));
    fprintf(f, "%8lldus +%lldus  ", number(p, "us"), number(p, "duration_us"));
    put(&o, BOLD, show_text(p, "phase"));
    fputs("  ", f);
    put(&o, PLAIN, show_text(p, "in"));
    put(&o, DIM, " => ");
    put(&o, GREEN, show_text(p, "out"));
    if (*show_text(p, "why")) {
        put(&o, DIM, "  because ");
        put(&o, PLAIN, show_text(p, "why"));
    }
    if (*show_text(p, "directive")) {
        fputs("  ", f);
        put(&o, CYAN, show_text(p, "directive"));
        fputc(' ', f);
        put(&o, DIM, show_text(p, "place"));
    }
    fputc('\n', f);
}

void show_request(FILE *f, const json_t *d, bool has_colour)
{
    struct out o = {f, has_colour};
    const json_t *server = json_object_get(d, "server"), *l = json_object_get(d, "chosen_location"), *path = json_object_get(d, "uri_path"), *n;
    size_t i;

    title(&o, "Request");
    fputs("    ", f);
    put(&o, BOLD, show_text(d, "request_line"));
    fprintf(f, "  from ");
    put(&o, PLAIN, show_text(d, "client"));
    fputc('\n', f);
    show_fields(&o, json_object_get(d, "request_fields"), false);
    title(&o, "Server");
    label(&o, "chosen", *show_text(server, "name") ? show_text(server, "name") : "(no name)");
    label(&o, "at", show_text(server, "place"));
    show_candidates(&o, json_object_get(d, "server_candidates"));
    title(&o, "Location");
    label(&o, "chosen", *show_text(l, "text") ? show_text(l, "text") : "(the server itself)");
    label(&o, "at", show_text(l, "place"));
    show_candidates(&o, json_object_get(d, "location_candidates"));
    title(&o, "URI");
    label(&o, "received", show_text(path, "received"));
    label(&o, "normalised", show_text(path, "normalised"));
    label(&o, "as rewritten", show_text(path, "final"));
    show_steps(&o, json_object_get(d, "steps"));
    show_upstream(&o, d);
    if (json_array_size(json_object_get(d, "not_inherited"))) {
        title(&o, "Not inherited");
        json_array_foreach(json_object_get(d, "not_inherited"), i, n)
        {
            fputs("      ", f);
            put(&o, YELLOW, show_text(n, "directive"));
            fputc(' ', f);
            put(&o, DIM, show_text(n, "place"));
            fputs("  because ", f);
            put(&o, PLAIN, show_text(n, "why"));
            fputc('\n', f);
        }
    }
    if (*show_text(json_object_get(d, "response"), "line")) {
        title(&o, "Response to the client");
        fputs("    ", f);
        put(&o, BOLD, show_text(json_object_get(d, "response"), "line"));
        fputc('\n', f);
        show_fields(&o, json_object_get(json_object_get(d, "response"), "fields"), true);
    }
    if (json_array_size(json_object_get(d, "edits"))) {
        title(&o, "Edited by hand");
        json_array_foreach(json_object_get(d, "edits"), i, n)
        {
            fputs("      ", f);
            put(&o, YELLOW, show_text(n, "what"));
            fputs("  ", f);
            put(&o, PLAIN, show_text(n, "before"));
            put(&o, DIM, " => ");
            put(&o, GREEN, show_text(n, "after"));
            put(&o, DIM, "  by ");
            put(&o, PLAIN, show_text(n, "who"));
            put(&o, DIM, " at ");
            put(&o, DIM, show_text(n, "phase"));
            fputc('\n', f);
        }
    }
    if (json_array_size(json_object_get(d, "findings"))) {
        title(&o, "Findings");
        show_findings(f, json_object_get(d, "findings"), has_colour);
    }
}
