/*
 * The views' table, and the screen: a bar above, the view, the keys below.
 */
#include <stdio.h>
#include <string.h>

#include "views/views.h"

static struct pane *detail_pane(struct app *a) { return a->is_in_detail ? &a->detail : NULL; }
static struct pane *config_pane(struct app *a) { return &a->config; }
static struct pane *stats_pane(struct app *a) { return &a->stats; }
static struct pane *logs_pane(struct app *a) { return &a->logs; }
static struct pane *breakpoints_pane(struct app *a) { return &a->breakpoints; }
static struct pane *what_if_pane(struct app *a) { return &a->what_if; }

static void draw_pane(struct app *a, int y, int height)
{
    pane_draw(app_pane(a), y, height);
}

const struct view views[VIEW_COUNT] = {
    [VIEW_REQUESTS] = {"Requests", detail_build, requests_draw, detail_pane},
    [VIEW_CONFIG] = {"Configuration", config_build, draw_pane, config_pane},
    [VIEW_STATS] = {"Statistics", stats_build, draw_pane, stats_pane},
    [VIEW_LOGS] = {"Error log", logs_build, draw_pane, logs_pane},
    [VIEW_BREAKPOINTS] = {"Breakpoints", breakpoints_build, draw_pane, breakpoints_pane},
    [VIEW_WHAT_IF] = {"What-if", what_if_build, draw_pane, what_if_pane},
};

enum context app_context(const struct app *a)
{
    static const enum context contexts[VIEW_COUNT] = {IN_LIST, IN_CONFIG, IN_STATS, IN_LOGS, IN_BREAKPOINTS, IN_WHAT_IF};

    return a->view == VIEW_REQUESTS && a->is_in_detail ? IN_DETAIL : contexts[a->view];
}

struct pane *app_pane(struct app *a)
{
    return views[a->view].pane(a);
}

int app_list_height(void)
{
    int part = (LINES - 5) * 2 / 5;

    return part < 3 ? 3 : part;
}

int app_pane_height(const struct app *a)
{
    return a->view == VIEW_REQUESTS ? LINES - 5 - app_list_height() : LINES - 3;
}

void app_show(struct app *a, enum view_id view)
{
    a->view = view;
    if (view == VIEW_STATS)
        model_ask(&a->m, FOR_STATS, json_pack("{s:s}", "cmd", "stats"));
    views[view].build(a);
    a->is_changed = true;
}

static void draw_top(struct app *a)
{
    const struct model *m = &a->m;
    char line[2048];
    int n = snprintf(line, sizeof line, " glasstui  %s  %d of %d requests", views[a->view].name, m->n_shown - m->n_held, m->n);

    if (m->n_held)
        n += snprintf(line + n, sizeof line - (size_t)n, "  %d HELD", m->n_held);
    if (m->has_gone)
        n += snprintf(line + n, sizeof line - (size_t)n, "  PROXY GONE, waiting for it");
    if (m->is_paused)
        n += snprintf(line + n, sizeof line - (size_t)n, "  PAUSED (%lld came)", m->n_missed);
    if (m->n_sampled)
        n += snprintf(line + n, sizeof line - (size_t)n, "  SAMPLING: %lld more were not shown", m->n_sampled);
    if (m->n_dropped)
        n += snprintf(line + n, sizeof line - (size_t)n, "  %lld lost: too fast", m->n_dropped);
    if (m->filter[0])
        n += snprintf(line + n, sizeof line - (size_t)n, "  filter: %s", m->filter);
    if (m->only_marked)
        n += snprintf(line + n, sizeof line - (size_t)n, "  marked only");
    if (m->sort != SORT_TIME || m->is_reversed)
        n += snprintf(line + n, sizeof line - (size_t)n, "  by %s%s", sort_names[m->sort], m->is_reversed ? ", falling" : "");
    if (m->follows)
        n += snprintf(line + n, sizeof line - (size_t)n, "  following");
    snprintf(line + n, sizeof line - (size_t)n, "  %s", m->path);
    text_put(stdscr, 0, 0, COLS, line, text_style(STYLE_BAR));
}

static void draw_help(struct app *a)
{
    int height = a->help.n < LINES - 4 ? a->help.n : LINES - 4, wide = COLS < 80 ? COLS : 80, x = (COLS - wide) / 2, y = (LINES - height - 2) / 2;

    if (a->help.top > a->help.n - height)
        a->help.top = a->help.n - height;
    if (a->help.top < 0)
        a->help.top = 0;
    text_put(stdscr, y, x, wide, height < a->help.n ? " Help (Up and Down scroll, any other key closes it)" : " Help (any key closes it)", text_style(STYLE_BAR));
    for (int i = 0; i < height; i++) {
        const struct line *line = &a->help.lines[a->help.top + i];
        text_put(stdscr, y + 1 + i, x, wide, line->left, text_style(line->left_style));
    }
    text_put(stdscr, y + 1 + height, x, wide, "", text_style(STYLE_BAR));
}

void app_draw(struct app *a)
{
    char line[1024];

    erase();
    if (LINES < 10 || COLS < 40) {
        text_put(stdscr, 0, 0, COLS, "The window is too small.", 0);
        refresh();
        return;
    }
    draw_top(a);
    views[a->view].draw(a, 1, LINES - 3);
    if (a->prompt.is_open) {
        prompt_draw(a, LINES - 2);
    } else {
        snprintf(line, sizeof line, " %s", a->m.message);
        text_put(stdscr, LINES - 2, 0, COLS, line, a->m.is_error ? text_style(STYLE_BAD) : A_BOLD);
    }
    keys_bar(a, line, sizeof line, COLS);
    text_put(stdscr, LINES - 1, 0, COLS, line, text_style(STYLE_BAR));
    if (a->has_help)
        draw_help(a);
    refresh();
    a->is_changed = false;
}
