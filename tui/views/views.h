/*
 * The views: each builds its pane from the model, and draws.
 */
#ifndef GLASSTUI_VIEWS_VIEWS_H
#define GLASSTUI_VIEWS_VIEWS_H

#include "app.h"

extern const char *const tab_names[TAB_COUNT];

/* requests.c */
void requests_draw(struct app *a, int y, int height);
/* detail.c, body.c */
void detail_build(struct app *a);
void detail_draw(struct app *a, int y, int height);
void body_build(struct app *a, struct pane *p);
/* What is kept of a body, decoded; the caller's. N is its length. NULL if nothing is. */
char *body_bytes(const json_t *body, size_t *n);
/* config.c */
void config_build(struct app *a);
void config_go_to(struct app *a, const char *place);
void config_next_file(struct app *a);
void config_next_acted(struct app *a, bool backwards);
/* stats.c, logs.c, breakpoints.c, what_if.c */
void stats_build(struct app *a);
void logs_build(struct app *a);
void breakpoints_build(struct app *a);
/* The number of the breakpoint at the cursor; 0: none is there. */
long long breakpoints_chosen(const struct app *a);
bool breakpoints_chosen_is_enabled(const struct app *a);
void what_if_build(struct app *a);
void what_if_edit(struct app *a);
void what_if_apply(struct app *a);
void what_if_drop(struct app *a);
/* The proxy refused the new configuration: the old file comes back. */
void what_if_refused(struct app *a);
/* edit.c: the held request in $EDITOR. */
void edit_held(struct app *a);

#endif
