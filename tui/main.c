/*
 * glasstui: the live list of a proxy's requests, and all about the chosen one.
 *
 * It is a client of the control socket like any other: what it shows, `glassproxy trace` prints too.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "detail.h"
#include "link.h"

enum { KEPT = 10000, FRAME_MS = 50 };

static const char usage[] =
    "Usage: glasstui [-S socket] [-m]\n\n"
    "Attaches to a running glassproxy. The socket is that beside its pid file (default logs/glassproxy.sock).\n"
    "  -m  no colours\n"
    "Keys are shown by ?.\n";

static struct {
    struct link link;
    const char *path;
    json_t *requests[KEPT]; /* summaries, a ring */
    int first, n;
    int shown[KEPT], n_shown; /* indexes that pass the filter */
    int chosen, top;          /* among the shown */
    long long chosen_id;
    json_t *detail;
    struct detail lines;
    int detail_top;
    enum tab tab;
    bool follows, is_paused, has_help, is_in_detail, is_typing, has_gone;
    char filter[128], typed[128];
    long long n_dropped, n_missed;
    bool is_changed;
} ui = {.follows = true, .chosen = 0};

static const char *text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

static long long number(const json_t *o, const char *name)
{
    return json_integer_value(json_object_get(o, name));
}

static json_t *at(int i)
{
    return ui.requests[(ui.first + i) % KEPT];
}

/* --- the list --- */

/* All words of the filter are somewhere in the request's line. */
static bool passes(const json_t *r)
{
    char line[4096], words[sizeof ui.filter], *save = NULL;

    if (!ui.filter[0])
        return true;
    snprintf(line, sizeof line, "%s %s%s %s %s %lld", text(r, "method"), text(r, "host"), text(r, "uri"), text(r, "location"), text(r, "upstream"),
             number(r, "status"));
    snprintf(words, sizeof words, "%s", ui.filter);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save))
        if (!strcasestr(line, w))
            return false;
    return true;
}

static void ask_detail(void)
{
    json_t *r = ui.n_shown ? at(ui.shown[ui.chosen]) : NULL;

    if (!r || number(r, "request") == ui.chosen_id)
        return;
    ui.chosen_id = number(r, "request");
    ui.detail_top = 0;
    link_send(&ui.link, json_pack("{s:s,s:I}", "cmd", "get", "request", (json_int_t)ui.chosen_id));
}

static void list_again(void)
{
    ui.n_shown = 0;
    for (int i = 0; i < ui.n; i++)
        if (passes(at(i)))
            ui.shown[ui.n_shown++] = i;
    if (ui.follows || ui.chosen >= ui.n_shown)
        ui.chosen = ui.n_shown ? ui.n_shown - 1 : 0;
    else
        for (int i = 0; i < ui.n_shown; i++)
            if (number(at(ui.shown[i]), "request") == ui.chosen_id)
                ui.chosen = i;
    ui.is_changed = true;
}

/* Takes R into the ring of the list, unless it is there: a list and an event may tell of the same request. */
static void keep(json_t *r)
{
    for (int i = ui.n - 1; i >= 0 && i >= ui.n - 200; i--)
        if (number(at(i), "request") == number(r, "request")) {
            json_decref(r);
            return;
        }
    if (ui.n == KEPT) {
        json_decref(ui.requests[ui.first]);
        ui.requests[ui.first] = r;
        ui.first = (ui.first + 1) % KEPT;
    } else {
        ui.requests[(ui.first + ui.n++) % KEPT] = r;
    }
}

static void take(json_t *m)
{
    json_t *list = json_object_get(m, "requests"), *detail = json_object_get(m, "detail"), *r;
    const char *event = text(m, "event");
    size_t i;

    if (strcmp(event, "request") == 0) {
        if (ui.is_paused)
            ui.n_missed++;
        else
            keep(json_incref(m));
    } else if (strcmp(event, "dropped") == 0) {
        ui.n_dropped += number(m, "count");
    } else if (list) {
        json_array_foreach(list, i, r)
            keep(json_incref(r));
    } else if (detail && number(detail, "request") == ui.chosen_id) {
        json_decref(ui.detail);
        ui.detail = json_incref(detail);
        detail_build(&ui.lines, ui.tab, ui.detail);
    } else if (json_is_false(json_object_get(m, "ok")) && ui.detail) {
        json_decref(ui.detail); /* the ring has dropped it */
        ui.detail = NULL;
        detail_build(&ui.lines, ui.tab, NULL);
    }
    json_decref(m);
    ui.is_changed = true;
}

static int attach(void)
{
    if (link_open(&ui.link, ui.path) < 0)
        return -1;
    ui.has_gone = false;
    link_send(&ui.link, json_pack("{s:s}", "cmd", "list"));
    link_send(&ui.link, json_pack("{s:s}", "cmd", "subscribe"));
    return 0;
}

/* --- drawing --- */

static int list_height(void)
{
    int half = (LINES - 4) * 2 / 5;

    return half < 3 ? 3 : half;
}

static void draw_row(int y, const json_t *r, bool is_chosen)
{
    int wide = COLS - 46 - 14 > 10 ? COLS - 60 : 10;
    long long status = number(r, "status");
    char cell[64], uri[2048];
    chtype base = is_chosen ? text_style(STYLE_CHOSEN) : 0;
    time_t when = (time_t)(number(r, "time_ms") / 1000);
    struct tm tm;

    localtime_r(&when, &tm);
    snprintf(cell, sizeof cell, "%02d:%02d:%02d ", tm.tm_hour, tm.tm_min, tm.tm_sec);
    text_put(stdscr, y, 0, 9, cell, base);
    text_put(stdscr, y, 9, 7, text(r, "method"), base | text_style(STYLE_BOLD));
    snprintf(uri, sizeof uri, "%s%s", text(r, "host"), text(r, "uri"));
    text_put(stdscr, y, 16, 1, "", base);
    text_put(stdscr, y, 17, wide, uri, base);
    text_put(stdscr, y, 17 + wide, 1, "", base);
    text_put(stdscr, y, 18 + wide, 14, text(r, "location"), base | text_style(STYLE_NAME));
    text_put(stdscr, y, 32 + wide, 1, "", base);
    text_put(stdscr, y, 33 + wide, 15, text(r, "upstream"), base);
    snprintf(cell, sizeof cell, " %3lld", status);
    text_put(stdscr, y, 48 + wide, 4, cell, base | text_style(status >= 500 ? STYLE_BAD : status >= 400 ? STYLE_WARNING : STYLE_GOOD));
    snprintf(cell, sizeof cell, "%6.1f", (double)number(r, "duration_us") / 1000);
    text_put(stdscr, y, 52 + wide, COLS - 52 - wide, cell, base);
}

static void draw_list(void)
{
    int rows = list_height(), wide = COLS - 60 > 10 ? COLS - 60 : 10;
    char head[512];

    snprintf(head, sizeof head, "%-9s%-8s%-*s %-14s %-15s %3s %6s", "Time", "Method", wide, "Host and URI", "Location", "Upstream", "St", "ms");
    text_put(stdscr, 1, 0, COLS, head, text_style(STYLE_BOLD) | A_UNDERLINE);
    if (ui.chosen < ui.top)
        ui.top = ui.chosen;
    if (ui.chosen >= ui.top + rows)
        ui.top = ui.chosen - rows + 1;
    for (int i = 0; i < rows; i++) {
        if (ui.top + i < ui.n_shown)
            draw_row(2 + i, at(ui.shown[ui.top + i]), ui.top + i == ui.chosen);
        else
            text_put(stdscr, 2 + i, 0, COLS, i == 0 && ui.n == 0 ? "Waiting for requests." : "", text_style(STYLE_DIM));
    }
}

static void draw_detail(void)
{
    int y = 2 + list_height(), rows = LINES - y - 2, x = 0, half = COLS / 2;

    text_put(stdscr, y, 0, COLS, "", text_style(STYLE_BAR));
    for (int t = 0; t < TAB_COUNT; t++) {
        char name[32];
        snprintf(name, sizeof name, " %d %s ", t + 1, tab_names[t]);
        text_put(stdscr, y, x, (int)strlen(name), name, (int)ui.tab == t ? A_BOLD | A_UNDERLINE : text_style(STYLE_BAR));
        x += (int)strlen(name) + 1;
    }
    if (ui.lines.n - rows < ui.detail_top)
        ui.detail_top = ui.lines.n > rows ? ui.lines.n - rows : 0;
    for (int i = 0; i < rows; i++) {
        const struct detail_line *line = ui.detail_top + i < ui.lines.n ? &ui.lines.lines[ui.detail_top + i] : NULL;
        if (!line) {
            text_put(stdscr, y + 1 + i, 0, COLS, "", 0);
        } else if (line->right) {
            text_put(stdscr, y + 1 + i, 0, half - 1, line->left, text_style(line->left_style));
            mvaddch(y + 1 + i, half - 1, ACS_VLINE);
            text_put(stdscr, y + 1 + i, half, COLS - half, line->right, text_style(line->right_style));
        } else {
            text_put(stdscr, y + 1 + i, 0, COLS, line->left, text_style(line->left_style));
        }
    }
}

static void draw_help(void)
{
    static const char *const lines[] = {
        "Up Down j k      choose a request        PgUp PgDn   a page",
        "g G Home End     the first, the last     F           follow the newest",
        "Enter            into the details; Up and Down scroll them; Esc back",
        "1..5 Tab         headers, URI, upstream, response, timeline",
        "/                filter: words that method, host, URI, location,",
        "                 upstream or status must contain; empty shows all",
        "Space p          pause: what comes is only counted",
        "?                this help               q           quit",
        "",
        "Green: added.  Yellow: changed.  Red: removed.  Below each: its cause.",
    };
    int n = (int)(sizeof lines / sizeof lines[0]), wide = 74, x = (COLS - wide) / 2, y = (LINES - n - 2) / 2;

    x = x < 0 ? 0 : x;
    y = y < 0 ? 0 : y;
    text_put(stdscr, y, x, wide, " Help (any key closes it)", text_style(STYLE_BAR));
    for (int i = 0; i < n; i++) {
        text_put(stdscr, y + 1 + i, x, 1, "", 0);
        text_put(stdscr, y + 1 + i, x + 1, wide - 1, lines[i], 0);
    }
    text_put(stdscr, y + 1 + n, x, wide, "", text_style(STYLE_BAR));
}

static void draw(void)
{
    char line[512];

    erase();
    snprintf(line, sizeof line, " glasstui  %s  %d of %d requests%s%s%s%s", ui.path, ui.n_shown, ui.n, ui.filter[0] ? "  filter: " : "", ui.filter,
             ui.follows ? "  following" : "", ui.has_gone ? "  PROXY GONE, waiting for it" : "");
    if (ui.is_paused)
        snprintf(line + strlen(line), sizeof line - strlen(line), "  PAUSED (%lld came)", ui.n_missed);
    if (ui.n_dropped)
        snprintf(line + strlen(line), sizeof line - strlen(line), "  %lld not shown: too fast", ui.n_dropped);
    text_put(stdscr, 0, 0, COLS, line, text_style(STYLE_BAR));
    draw_list();
    draw_detail();
    if (ui.is_typing)
        snprintf(line, sizeof line, "Filter: %s_", ui.typed);
    else
        snprintf(line, sizeof line, "%s", ui.is_in_detail ? " Up/Down scroll  1-5/Tab view  Esc list  ? help  q quit"
                                                          : " Up/Down choose  Enter details  1-5/Tab view  / filter  Space pause  F follow  ? help  q quit");
    text_put(stdscr, LINES - 1, 0, COLS, line, text_style(STYLE_BAR));
    if (ui.has_help)
        draw_help();
    refresh();
    ui.is_changed = false;
}

/* --- keys --- */

static void choose(int i)
{
    ui.chosen = i < 0 ? 0 : i >= ui.n_shown ? ui.n_shown ? ui.n_shown - 1 : 0 : i;
    ui.follows = ui.n_shown && ui.chosen == ui.n_shown - 1 && ui.follows;
    ask_detail();
}

static void set_tab(int t)
{
    ui.tab = (enum tab)((t + TAB_COUNT) % TAB_COUNT);
    ui.detail_top = 0;
    detail_build(&ui.lines, ui.tab, ui.detail);
}

static void type(int key)
{
    size_t n = strlen(ui.typed);

    if (key == '\n' || key == KEY_ENTER || key == 27) {
        if (key != 27)
            memcpy(ui.filter, ui.typed, sizeof ui.filter);
        ui.is_typing = false;
        list_again();
        ask_detail();
    } else if (key == KEY_BACKSPACE || key == 127 || key == 8) {
        if (n)
            ui.typed[n - 1] = '\0';
    } else if (key >= 0x20 && key < 0x100 && key != 127 && n + 1 < sizeof ui.typed) {
        ui.typed[n] = (char)key;
        ui.typed[n + 1] = '\0';
    }
}

static void move_by(int n)
{
    if (ui.is_in_detail) {
        ui.detail_top = ui.detail_top + n < 0 ? 0 : ui.detail_top + n;
        return;
    }
    ui.follows = false;
    choose(ui.chosen + n);
}

/* False: quit. */
static bool press(int key)
{
    ui.is_changed = true;
    if (ui.has_help) {
        ui.has_help = false;
        return true;
    }
    if (ui.is_typing) {
        type(key);
        return true;
    }
    switch (key) {
    case 'q': return false;
    case '?': case KEY_F(1): ui.has_help = true; break;
    case KEY_DOWN: case 'j': move_by(1); break;
    case KEY_UP: case 'k': move_by(-1); break;
    case KEY_NPAGE: move_by(list_height()); break;
    case KEY_PPAGE: move_by(-list_height()); break;
    case 'g': case KEY_HOME: move_by(-KEPT); break;
    case 'G': case KEY_END: move_by(KEPT); break;
    case 'F':
        ui.follows = !ui.follows;
        if (ui.follows)
            choose(ui.n_shown - 1);
        break;
    case '\n': case KEY_ENTER: ui.is_in_detail = !ui.is_in_detail; break;
    case 27: ui.is_in_detail = false; break;
    case '\t': set_tab(ui.tab + 1); break;
    case KEY_BTAB: set_tab(ui.tab - 1); break;
    case '1': case '2': case '3': case '4': case '5': set_tab(key - '1'); break;
    case '/':
        ui.is_typing = true;
        memcpy(ui.typed, ui.filter, sizeof ui.typed);
        break;
    case ' ': case 'p':
        ui.is_paused = !ui.is_paused;
        if (!ui.is_paused && ui.n_missed) { /* what came meanwhile is still in the proxy's ring */
            while (ui.n)
                json_decref(at(--ui.n));
            ui.n_missed = 0;
            link_send(&ui.link, json_pack("{s:s}", "cmd", "list"));
        }
        break;
    default: break;
    }
    return true;
}

static void loop(void)
{
    for (;;) {
        struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = ui.link.fd, .events = POLLIN}};
        bool has_news = false;
        json_t *m;
        int key;

        if (ui.is_changed)
            draw();
        poll(p, ui.link.fd >= 0 ? 2 : 1, ui.link.fd >= 0 ? 1000 : 500);
        if (ui.link.fd >= 0 && (p[1].revents & (POLLIN | POLLHUP)) && !link_read(&ui.link)) {
            link_close(&ui.link);
            ui.has_gone = ui.is_changed = true;
        }
        while ((m = link_next(&ui.link))) {
            take(m);
            has_news = true;
        }
        if (has_news) {
            list_again();
            ask_detail();
            napms(FRAME_MS / 2); /* many events, few frames */
        }
        if (ui.link.fd < 0)
            attach();
        while ((key = getch()) != ERR)
            if (!press(key))
                return;
    }
}

int main(int argc, char **argv)
{
    int option, is_monochrome = getenv("NO_COLOR") != NULL;

    ui.path = "logs/glassproxy.sock";
    while ((option = getopt(argc, argv, "S:mh")) != -1)
        switch (option) {
        case 'S': ui.path = optarg; break;
        case 'm': is_monochrome = 1; break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    if (attach() < 0) {
        fprintf(stderr, "glasstui: cannot attach to \"%s\": %s\n", ui.path, strerror(errno));
        return 1;
    }
    if (!initscr()) {
        fputs("glasstui: this needs a terminal; `glassproxy trace` shows the same without\n", stderr);
        return 1;
    }
    cbreak();
    noecho();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    set_escdelay(50);
    curs_set(0);
    text_init(is_monochrome);
    detail_build(&ui.lines, ui.tab, NULL);
    ui.is_changed = true;
    loop();
    endwin();
    link_close(&ui.link);
    return 0;
}
