/*
 * The chosen request, as lines of text by tab.
 */
#ifndef GLASSTUI_DETAIL_H
#define GLASSTUI_DETAIL_H

#include <jansson.h>

#include "text.h"

enum tab { TAB_HEADERS, TAB_URI, TAB_UPSTREAM, TAB_RESPONSE, TAB_TIMELINE, TAB_COUNT };
extern const char *const tab_names[TAB_COUNT];

struct detail_line {
    char *left, *right; /* RIGHT is NULL where the line has no columns */
    enum style left_style, right_style;
};

struct detail {
    struct detail_line *lines;
    int n, room;
};

/* Fills D with the lines of TAB for REQUEST (a "get" answer's detail; NULL for none). */
void detail_build(struct detail *d, enum tab tab, const json_t *request);

#endif
