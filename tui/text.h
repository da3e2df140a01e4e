/*
 * Text on the screen: UTF-8 of any width, cut to fit; nothing from the traffic reaches the terminal as a control character.
 */
#ifndef GLASSTUI_TEXT_H
#define GLASSTUI_TEXT_H

#include <ncurses.h>

enum style { STYLE_PLAIN, STYLE_DIM, STYLE_BOLD, STYLE_ADDED, STYLE_CHANGED, STYLE_REMOVED, STYLE_GOOD, STYLE_WARNING, STYLE_BAD,
             STYLE_NAME, STYLE_BAR, STYLE_CHOSEN };

/* Colours where the terminal has them; attributes that can be told apart without. */
void text_init(int is_monochrome);
chtype text_style(enum style style);

/* Writes S at Y, X in at most WIDTH columns, with blanks behind it; "…" where it was cut. */
void text_put(WINDOW *w, int y, int x, int width, const char *s, chtype attributes);

/* What of S (may be NULL) is behind its first N columns. */
const char *text_after(const char *s, int n);

#endif
