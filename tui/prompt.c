/*
 * A line of input at the bottom of the screen: Enter takes it, Esc leaves it, Tab completes where there is something to.
 */
#include <stdio.h>
#include <string.h>

#include "app.h"

void prompt_open(struct app *a, const char *label, const char *initial, void (*done)(struct app *a, const char *text), void (*complete)(struct app *a))
{
    struct prompt *p = &a->prompt;

    *p = (struct prompt){.is_open = true, .done = done, .complete = complete};
    snprintf(p->label, sizeof p->label, "%s", label);
    snprintf(p->text, sizeof p->text, "%s", initial);
}

/* Drops the last character, however many bytes it has. */
static void backspace(char *s)
{
    size_t n = strlen(s);

    while (n && ((unsigned char)s[n - 1] & 0xc0) == 0x80)
        n--;
    s[n ? n - 1 : 0] = '\0';
}

void prompt_press(struct app *a, int key)
{
    struct prompt *p = &a->prompt;
    size_t n = strlen(p->text);

    switch (key) {
    case 27: p->is_open = false; break;
    case '\n': case '\r': case KEY_ENTER: {
        char taken[sizeof p->text];
        memcpy(taken, p->text, sizeof taken);
        p->is_open = false;
        p->done(a, taken);
        break;
    }
    case KEY_BACKSPACE: case 127: case 8: backspace(p->text); break;
    case 21: p->text[0] = '\0'; break; /* ^U */
    case '\t':
        if (p->complete)
            p->complete(a);
        break;
    default:
        if (key >= 0x20 && key < 0x100 && key != 127 && n + 1 < sizeof p->text) {
            p->text[n] = (char)key;
            p->text[n + 1] = '\0';
        }
    }
}

void prompt_draw(const struct app *a, int y)
{
    const struct prompt *p = &a->prompt;
    char line[640];
    int at = (int)strlen(p->label) + 2;

    snprintf(line, sizeof line, "%s: %s_", p->label, p->text);
    text_put(stdscr, y, 0, COLS, line, text_style(STYLE_BAR));
    if (p->problem_column && at + (int)p->problem_column - 1 < COLS)
        mvchgat(y, at + (int)p->problem_column - 1, 1, A_BOLD | A_UNDERLINE, 0, NULL);
}
