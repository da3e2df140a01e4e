/*
 * Lines of text to scroll and search: see pane.h.
 */
#include "pane.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void pane_clear(struct pane *p)
{
    for (int i = 0; i < p->n; i++) {
        free(p->lines[i].left);
        free(p->lines[i].right);
        free(p->lines[i].place);
    }
    p->n = 0;
}

static struct line *add_line(struct pane *p)
{
    static struct line lost;

    if (p->n == p->room) {
        int more = p->room ? p->room * 2 : 64;
        struct line *lines = realloc(p->lines, (size_t)more * sizeof *lines);
        if (!lines)
            return &lost;
        p->lines = lines;
        p->room = more;
    }
    p->lines[p->n] = (struct line){0};
    return &p->lines[p->n++];
}

static void add(struct pane *p, const char *place, enum style style, const char *format, va_list args)
{
    struct line *line = add_line(p);
    char *s = NULL;

    line->left = vasprintf(&s, format, args) < 0 ? NULL : s;
    line->left_style = style;
    line->place = place && *place ? strdup(place) : NULL;
}

void pane_add(struct pane *p, enum style style, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(p, NULL, style, format, args);
    va_end(args);
}

void pane_add_at(struct pane *p, const char *place, enum style style, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(p, place, style, format, args);
    va_end(args);
}

void pane_add_pair(struct pane *p, enum style left_style, const char *left, enum style right_style, const char *right)
{
    struct line *line = add_line(p);

    *line = (struct line){.left = strdup(left), .right = strdup(right), .left_style = left_style, .right_style = right_style};
}

static void keep_inside(struct pane *p, int height)
{
    if (p->cursor >= p->n)
        p->cursor = p->n - 1;
    if (p->cursor < 0)
        p->cursor = 0;
    if (p->has_cursor && p->cursor < p->top)
        p->top = p->cursor;
    if (p->has_cursor && p->cursor >= p->top + height)
        p->top = p->cursor - height + 1;
    if (p->top > p->n - height)
        p->top = p->n - height;
    if (p->top < 0)
        p->top = 0;
}

void pane_move(struct pane *p, int by, int height)
{
    if (p->has_cursor)
        p->cursor += by;
    else
        p->top += by;
    keep_inside(p, height);
}

static bool has_text(const struct line *l, const char *s)
{
    return (l->left && strcasestr(l->left, s)) || (l->right && strcasestr(l->right, s));
}

bool pane_find(struct pane *p, bool backwards, int height)
{
    int from = p->has_cursor ? p->cursor : p->top;

    for (int i = 1; i <= p->n && p->search[0]; i++) {
        int at = ((from + (backwards ? -i : i)) % p->n + p->n) % p->n;
        if (!has_text(&p->lines[at], p->search))
            continue;
        p->cursor = at;
        if (!p->has_cursor)
            p->top = at;
        keep_inside(p, height);
        return true;
    }
    return false;
}

const char *pane_place(const struct pane *p)
{
    for (int i = p->cursor; i >= 0 && i < p->n; i--)
        if (p->lines[i].place)
            return p->lines[i].place;
    return NULL;
}

void pane_draw(struct pane *p, int y, int height)
{
    int half = COLS / 2;

    keep_inside(p, height);
    for (int i = 0; i < height; i++) {
        const struct line *line = p->top + i < p->n ? &p->lines[p->top + i] : NULL;
        chtype more = line && p->has_cursor && p->top + i == p->cursor ? A_REVERSE : 0;
        if (line && p->search[0] && has_text(line, p->search))
            more |= A_UNDERLINE;
        if (!line) {
            text_put(stdscr, y + i, 0, COLS, "", 0);
        } else if (line->right) {
            text_put(stdscr, y + i, 0, half - 1, text_after(line->left, p->skip), text_style(line->left_style) | more);
            mvaddch(y + i, half - 1, ACS_VLINE);
            text_put(stdscr, y + i, half, COLS - half, text_after(line->right, p->skip), text_style(line->right_style) | more);
        } else {
            text_put(stdscr, y + i, 0, COLS, text_after(line->left, p->skip), text_style(line->left_style) | more);
        }
    }
}
