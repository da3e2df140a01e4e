/*
 * The list of requests: held ones first, then finished ones; the chosen one's details below.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "views/views.h"

enum { FIXED_COLUMNS = 62 };

static int wide(void)
{
    return COLS - FIXED_COLUMNS > 10 ? COLS - FIXED_COLUMNS : 10;
}

static void draw_row(const struct app *a, int y, const json_t *r, bool is_chosen)
{
    long long status = number(r, "status");
    const char *worst = text(r, "findings_worst");
    bool is_held = model_is_held(r);
    char cell[64], uri[2048];
    chtype base = is_chosen ? text_style(STYLE_CHOSEN) : 0;
    time_t when = (time_t)(number(r, "time_ms") / 1000);
    struct tm tm;
    int x = 0, w = wide();

    localtime_r(&when, &tm);
    text_put(stdscr, y, x, 1, model_is_marked(&a->m, r) ? "*" : is_held ? "#" : " ", base | text_style(STYLE_BOLD));
    snprintf(cell, sizeof cell, "%02d:%02d:%02d ", tm.tm_hour, tm.tm_min, tm.tm_sec);
    text_put(stdscr, y, x += 1, 9, cell, base);
    text_put(stdscr, y, x += 9, 8, text(r, "method"), base | text_style(STYLE_BOLD));
    snprintf(uri, sizeof uri, "%s%s", text(r, "host"), text(r, "uri"));
    text_put(stdscr, y, x += 8, w, uri, base);
    text_put(stdscr, y, x += w, 1, "", base);
    text_put(stdscr, y, x += 1, 14, text(r, "location"), base | text_style(STYLE_NAME));
    text_put(stdscr, y, x += 14, 1, "", base);
    if (is_held) {
        snprintf(cell, sizeof cell, "HELD %s", text(r, "phase"));
        x += 1;
        text_put(stdscr, y, x, COLS - x, cell, base | text_style(STYLE_WARNING) | text_style(STYLE_BOLD));
        return;
    }
    text_put(stdscr, y, x += 1, 15, text(r, "upstream"), base);
    snprintf(cell, sizeof cell, " %3lld", status);
    text_put(stdscr, y, x += 15, 4, cell, base | text_style(status >= 500 ? STYLE_BAD : status >= 400 ? STYLE_WARNING : STYLE_GOOD));
    text_put(stdscr, y, x += 4, 1, number(r, "edited") ? "e" : strcmp(worst, "error") == 0 ? "!" : strcmp(worst, "warning") == 0 ? "?" : " ",
             base | text_style(strcmp(worst, "error") == 0 ? STYLE_BAD : STYLE_WARNING));
    snprintf(cell, sizeof cell, "%7.1f", (double)number(r, "duration_us") / 1000);
    x += 1;
    text_put(stdscr, y, x, COLS - x, cell, base);
}

void requests_draw(struct app *a, int y, int height)
{
    const struct model *m = &a->m;
    int rows = app_list_height();
    char head[512];

    snprintf(head, sizeof head, " %-9s%-8s%-*s %-14s %-15s %3s %7s", "Time", "Method", wide(), "Host and URI", "Location", "Upstream", "St", "ms");
    text_put(stdscr, y, 0, COLS, head, text_style(STYLE_BOLD) | A_UNDERLINE);
    if (m->chosen < a->list_top)
        a->list_top = m->chosen;
    if (m->chosen >= a->list_top + rows)
        a->list_top = m->chosen - rows + 1;
    if (a->list_top > 0 && a->list_top + rows > m->n_shown)
        a->list_top = m->n_shown > rows ? m->n_shown - rows : 0;
    for (int i = 0; i < rows; i++) {
        int at = a->list_top + i;
        if (at < m->n_shown)
            draw_row(a, y + 1 + i, m->shown[at], at == m->chosen);
        else
            text_put(stdscr, y + 1 + i, 0, COLS, i == 0 && m->n_shown == 0 ? m->filter[0] ? "No request matches the filter." : "Waiting for requests." : "", text_style(STYLE_DIM));
    }
    detail_draw(a, y + 1 + rows, height - 1 - rows);
}
