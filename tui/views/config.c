/*
 * The configuration as it is in force, with the lines marked that acted on the chosen request.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/views.h"

/* Whether PATH:LINE acted on the chosen request. */
static bool has_acted(const struct app *a, const char *path, int line)
{
    size_t i;
    const json_t *one;
    char place[4200];

    snprintf(place, sizeof place, "%s:%d", path, line);
    json_array_foreach(json_object_get(a->m.detail, "acted"), i, one)
        if (strcmp(text(one, "place"), place) == 0)
            return true;
    return false;
}

void config_build(struct app *a)
{
    const json_t *sources = json_object_get(a->m.config, "sources"), *source = json_array_get(sources, (size_t)a->config_file);
    struct pane *p = &a->config;
    const char *s = text(source, "text"), *path = text(source, "path");
    int line = 1;

    pane_clear(p);
    p->has_cursor = true;
    if (!source) {
        pane_add(p, STYLE_DIM, "The configuration has not come yet.");
        return;
    }
    while (*s) {
        const char *end = strchr(s, '\n');
        int n = end ? (int)(end - s) : (int)strlen(s);
        bool acted = has_acted(a, path, line);
        char place[4200];
        snprintf(place, sizeof place, "%s:%d", path, line);
        pane_add_at(p, place, acted ? STYLE_ADDED : STYLE_PLAIN, "%s%4d  %.*s", acted ? ">" : " ", line, n, s);
        s += n + (end != NULL);
        line++;
    }
}

void config_go_to(struct app *a, const char *place)
{
    const json_t *sources = json_object_get(a->m.config, "sources"), *source;
    const char *colon = strrchr(place, ':');
    size_t i;

    if (!colon)
        return;
    json_array_foreach(sources, i, source)
        if (strlen(text(source, "path")) == (size_t)(colon - place) && strncmp(text(source, "path"), place, (size_t)(colon - place)) == 0)
            a->config_file = (int)i;
    app_show(a, VIEW_CONFIG);
    a->config.cursor = atoi(colon + 1) - 1;
    a->config.top = a->config.cursor - app_pane_height(a) / 2;
}

void config_next_file(struct app *a)
{
    int n = (int)json_array_size(json_object_get(a->m.config, "sources"));

    a->config_file = n ? (a->config_file + 1) % n : 0;
    a->config.cursor = a->config.top = 0;
    config_build(a);
}

void config_next_acted(struct app *a, bool backwards)
{
    struct pane *p = &a->config;

    for (int i = 1; i <= p->n; i++) {
        int at = ((p->cursor + (backwards ? -i : i)) % p->n + p->n) % p->n;
        if (p->lines[at].left_style == STYLE_ADDED) {
            p->cursor = at;
            return;
        }
    }
    model_say(&a->m, true, "No line of this file acted on the chosen request.");
}
