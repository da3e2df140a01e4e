/*
 * Live statistics: what the proxy counts, and how fast it changes.
 */
#include <stdio.h>
#include <string.h>

#include "views/views.h"

static double rate(const struct app *a, const char *name)
{
    long long ms = number(a->m.stats, "uptime_ms") - number(a->m.stats_before, "uptime_ms");

    return a->m.stats_before && ms > 0 ? (double)(number(a->m.stats, name) - number(a->m.stats_before, name)) * 1000 / (double)ms : 0;
}

/* The upper end, in microseconds, of the class that PART (0 to 1) of all requests stay below. */
static long long percentile(const json_t *classes, double part)
{
    long long all = 0, n = 0;
    size_t i;
    const json_t *c;

    json_array_foreach(classes, i, c)
        all += json_integer_value(c);
    json_array_foreach(classes, i, c)
    {
        n += json_integer_value(c);
        if ((double)n >= (double)all * part)
            return 2LL << i;
    }
    return 0;
}

static void time_text(char *out, size_t n, long long us)
{
    if (us < 10000)
        snprintf(out, n, "%lld us", us);
    else if (us < 10000000)
        snprintf(out, n, "%lld ms", us / 1000);
    else
        snprintf(out, n, "%lld s", us / 1000000);
}

static void build_durations(struct pane *p, const json_t *classes)
{
    long long most = 1;
    size_t i;
    const json_t *c;
    char name[32], half[32], most_text[32], nearly[32];

    time_text(half, sizeof half, percentile(classes, 0.5));
    time_text(nearly, sizeof nearly, percentile(classes, 0.95));
    time_text(most_text, sizeof most_text, percentile(classes, 0.99));
    pane_add(p, STYLE_BOLD, "Durations: half below %s, 95%% below %s, 99%% below %s", half, nearly, most_text);
    json_array_foreach(classes, i, c)
        if (json_integer_value(c) > most)
            most = json_integer_value(c);
    json_array_foreach(classes, i, c)
    {
        if (json_integer_value(c) == 0)
            continue;
        time_text(name, sizeof name, 1LL << i);
        pane_add(p, STYLE_PLAIN, "  from %8s %10lld  %.*s", name, (long long)json_integer_value(c), (int)(json_integer_value(c) * 40 / most),
                 "########################################");
    }
}

void stats_build(struct app *a)
{
    const json_t *s = a->m.stats, *classes = json_object_get(s, "by_class"), *u, *peer;
    struct pane *p = &a->stats;
    size_t i, k;

    pane_clear(p);
    if (!s) {
        pane_add(p, STYLE_DIM, "The statistics have not come yet.");
        return;
    }
    pane_add(p, STYLE_BOLD, "Proxy");
    pane_add(p, STYLE_PLAIN, "  up for        %lld s", number(s, "uptime_ms") / 1000);
    pane_add(p, STYLE_PLAIN, "  requests      %lld, %.0f a second; %lld held, %lld kept", number(s, "requests"), rate(a, "finished"), number(s, "held"), number(s, "kept"));
    pane_add(p, STYLE_PLAIN, "  sent          %lld bytes, %.0f a second", number(s, "bytes_sent"), rate(a, "bytes_sent"));
    pane_add(p, STYLE_PLAIN, "  connections   %lld, of them %lld idle; %lld accepted, %.0f a second; at most %lld descriptors", number(s, "connections"), number(s, "idle"),
             number(s, "accepted"), rate(a, "accepted"), number(s, "capacity"));
    pane_add(p, STYLE_PLAIN, "  attached      %lld clients of the control socket", number(s, "clients"));
    pane_add(p, STYLE_PLAIN, "  statuses      1xx %lld   2xx %lld   3xx %lld   4xx %lld   5xx %lld", number(classes, "1xx"), number(classes, "2xx"), number(classes, "3xx"),
             number(classes, "4xx"), number(classes, "5xx"));
    build_durations(p, json_object_get(s, "by_duration"));
    json_array_foreach(json_object_get(s, "upstreams"), i, u)
    {
        pane_add_at(p, text(u, "place"), STYLE_BOLD, "Upstream %s  %lld idle connections  %s", text(u, "name"), number(u, "idle"), text(u, "place"));
        json_array_foreach(json_object_get(u, "peers"), k, peer)
            pane_add_at(p, text(peer, "place"), number(peer, "fails") ? STYLE_WARNING : STYLE_PLAIN, "  %-22s asked %lld  active %lld  weight %lld (now %lld)  fails %lld of %lld%s%s", text(peer, "address"),
                     number(peer, "asked"), number(peer, "active"), number(peer, "weight"), number(peer, "effective_weight"), number(peer, "fails"), number(peer, "max_fails"),
                     flag(peer, "backup") ? "  backup" : "", flag(peer, "down") ? "  down" : "");
    }
}
