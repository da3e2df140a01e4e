/*
 * A pane: lines of text that can be scrolled and searched, with a cursor. Details, configuration, logs, help are panes.
 */
#ifndef GLASSTUI_PANE_H
#define GLASSTUI_PANE_H

#include <stdbool.h>

#include "text.h"

struct line {
    char *left, *right; /* RIGHT is NULL where the line has no columns */
    char *place;        /* "FILE:LINE" that it is about; NULL: none */
    enum style left_style, right_style;
};

struct pane {
    struct line *lines;
    int n, room;
    int top, cursor;
    int skip; /* columns of each line, to the left of what is shown */
    bool has_cursor;
    char search[128];
};

void pane_clear(struct pane *p);
void pane_add(struct pane *p, enum style style, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* As pane_add(), about PLACE. */
void pane_add_at(struct pane *p, const char *place, enum style style, const char *format, ...) __attribute__((format(printf, 4, 5)));
void pane_add_pair(struct pane *p, enum style left_style, const char *left, enum style right_style, const char *right);

void pane_move(struct pane *p, int by, int height);
/* The next line (from the cursor, or backwards) with the searched text; false if there is none. */
bool pane_find(struct pane *p, bool backwards, int height);
void pane_draw(struct pane *p, int y, int height);
/* The place of the cursor's line, or of the nearest line above that has one; NULL. */
const char *pane_place(const struct pane *p);

#endif
