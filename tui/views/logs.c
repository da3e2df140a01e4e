/*
 * The error log, live.
 */
#include <string.h>

#include "views/views.h"

void logs_build(struct app *a)
{
    struct pane *p = &a->logs;
    int height = app_pane_height(a);
    bool was_at_end = p->cursor >= p->n - 1;

    pane_clear(p);
    p->has_cursor = true;
    for (int i = 0; i < a->m.n_logs; i++) {
        const json_t *l = a->m.logs[(a->m.first_log + i) % KEPT_LOGS];
        const char *level = text(l, "level");
        enum style style = strcmp(level, "info") == 0 || strcmp(level, "debug") == 0 || strcmp(level, "notice") == 0 ? STYLE_PLAIN : strcmp(level, "warn") == 0 ? STYLE_WARNING : STYLE_BAD;
        pane_add(p, style, "%s", text(l, "line"));
    }
    if (p->n == 0)
        pane_add(p, STYLE_DIM, "Nothing was logged yet (error_log says which levels are).");
    if (was_at_end)
        p->cursor = p->n - 1;
    pane_move(p, 0, height);
}
