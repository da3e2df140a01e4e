/*
 * Text on the screen: see text.h.
 */
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

static int has_colour;

void text_init(int is_monochrome)
{
    has_colour = !is_monochrome && has_colors();
    if (!has_colour)
        return;
    start_color();
    use_default_colors();
    init_pair(1, COLOR_GREEN, -1);
    init_pair(2, COLOR_YELLOW, -1);
    init_pair(3, COLOR_RED, -1);
    init_pair(4, COLOR_CYAN, -1);
}

chtype text_style(enum style style)
{
    switch (style) {
    case STYLE_PLAIN: return A_NORMAL;
    case STYLE_DIM: return has_colour ? A_DIM : A_NORMAL;
    case STYLE_BOLD: return A_BOLD;
    case STYLE_ADDED: return has_colour ? COLOR_PAIR(1) : A_BOLD;
    case STYLE_CHANGED: return has_colour ? COLOR_PAIR(2) : A_UNDERLINE;
    case STYLE_REMOVED: return has_colour ? COLOR_PAIR(3) : A_DIM;
    case STYLE_GOOD: return has_colour ? COLOR_PAIR(1) : A_NORMAL;
    case STYLE_WARNING: return has_colour ? COLOR_PAIR(2) : A_NORMAL;
    case STYLE_BAD: return has_colour ? COLOR_PAIR(3) | A_BOLD : A_BOLD;
    case STYLE_NAME: return has_colour ? COLOR_PAIR(4) : A_NORMAL;
    case STYLE_BAR: return A_REVERSE;
    case STYLE_CHOSEN: return A_REVERSE;
    }
    return A_NORMAL;
}

/* One character of *S as it may be shown; advances *S. */
static wchar_t next(const char **s)
{
    mbstate_t state = {0};
    wchar_t c;
    size_t n = mbrtowc(&c, *s, strlen(*s), &state);

    if (n == 0 || n == (size_t)-1 || n == (size_t)-2) {
        ++*s;
        return L'?';
    }
    *s += n;
    if (c < 0x20 || (c >= 0x7f && c < 0xa0) || wcwidth(c) < 0)
        return L'\u00b7';
    return c;
}

void text_put(WINDOW *w, int y, int x, int width, const char *s, chtype attributes)
{
    wchar_t line[1024];
    int n = 0, columns = 0;

    if (width <= 0 || y < 0)
        return;
    while (*s && n < 1020) {
        wchar_t c = next(&s);
        int wide = wcwidth(c);
        if (columns + wide > width) { /* take back what the ellipsis needs */
            while (n > 0 && columns > width - 1)
                columns -= wcwidth(line[--n]);
            line[n++] = L'\u2026';
            columns++;
            break;
        }
        line[n++] = c;
        columns += wide;
    }
    wattron(w, attributes);
    mvwaddnwstr(w, y, x, line, n);
    while (columns++ < width)
        waddch(w, ' ');
    wattroff(w, attributes);
}

const char *text_after(const char *s, int n)
{
    if (!s)
        return "";
    while (*s && n > 0)
        n -= wcwidth(next(&s));
    return s;
}
