/*
 * The breakpoints.
 */
#include <stdio.h>

#include "views/views.h"

void breakpoints_build(struct app *a)
{
    struct pane *p = &a->breakpoints;
    size_t i;
    const json_t *b;

    pane_clear(p);
    p->has_cursor = true;
    json_array_foreach(a->m.breakpoints, i, b)
        pane_add(p, flag(b, "enabled") ? STYLE_PLAIN : STYLE_DIM, "%4lld  %-8s %-6s %6lld hits  at %-26s %s", number(b, "id"), flag(b, "enabled") ? "enabled" : "disabled",
                 flag(b, "once") ? "once" : "", number(b, "hits"), *text(b, "phase") ? text(b, "phase") : "any phase", *text(b, "filter") ? text(b, "filter") : "(every request)");
    if (p->n == 0)
        pane_add(p, STYLE_DIM, "There are none. b makes one: a phase, and a filter behind a colon: \"connect: path=/api/*\".");
}

static const json_t *chosen(const struct app *a)
{
    return json_array_get(a->m.breakpoints, (size_t)a->breakpoints.cursor);
}

long long breakpoints_chosen(const struct app *a)
{
    return number(chosen(a), "id");
}

bool breakpoints_chosen_is_enabled(const struct app *a)
{
    return flag(chosen(a), "enabled");
}
