/*
 * glasstui: a proxy's requests, live, and a debugger for them.
 *
 * It is a client of the control socket like any other: all it shows and does, a script can too.
 */
#include <errno.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "views/views.h"

enum { FRAME_MS = 50, STATS_MS = 1000, ATTACH_MS = 500, MESSAGE_MS = 6000 };

static const char usage[] =
    "Usage: glasstui [-S socket] [-m] [-M]\n\n"
    "Attaches to a running glassproxy. The socket is that beside its pid file (default logs/glassproxy.sock).\n"
    "  -m  no colours\n"
    "  -M  the mouse chooses\n"
    "Keys are shown by ?.\n";

static struct app app = {.m = {.follows = true}, .shows_response_body = true};

static long long now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Builds what the model's news concern. */
static void take_news(struct app *a)
{
    struct model *m = &a->m;

    if (m->has_new_detail && a->view == VIEW_CONFIG)
        config_build(a);
    if (m->has_new_detail)
        detail_build(a);
    if (m->has_new_config)
        config_build(a);
    if (m->has_new_breakpoints)
        breakpoints_build(a);
    if (m->has_new_stats)
        stats_build(a);
    if (m->has_new_logs)
        logs_build(a);
    if (m->has_new_list || m->has_new_detail || m->has_new_config || m->has_new_breakpoints || m->has_new_stats || m->has_new_logs)
        a->is_changed = true;
    m->has_new_list = m->has_new_detail = m->has_new_config = m->has_new_breakpoints = m->has_new_stats = m->has_new_logs = false;
    if (m->is_reload_refused) {
        m->is_reload_refused = false;
        what_if_refused(a);
    }
}

static void loop(struct app *a)
{
    long long drawn = 0, asked = 0, tried = 0, said = 0;
    char last_message[sizeof a->m.message] = "";

    while (!a->wants_quit) {
        struct pollfd p[2] = {{.fd = 0, .events = POLLIN}, {.fd = a->m.link.fd, .events = POLLIN}};
        long long now = now_ms();
        int key;

        if (strcmp(last_message, a->m.message) != 0) {
            snprintf(last_message, sizeof last_message, "%s", a->m.message);
            said = now;
        } else if (a->m.message[0] && now - said > MESSAGE_MS) {
            a->m.message[0] = last_message[0] = '\0';
            a->is_changed = true;
        }
        if (a->is_changed && now - drawn >= FRAME_MS) {
            app_draw(a);
            drawn = now;
        }
        poll(p, a->m.link.fd >= 0 ? 2 : 1, a->is_changed ? FRAME_MS : 250);
        if (a->m.link.fd >= 0 && (p[1].revents & (POLLIN | POLLHUP)))
            model_read(&a->m);
        now = now_ms();
        if (a->m.link.fd < 0 && now - tried >= ATTACH_MS) {
            tried = now;
            model_attach(&a->m);
        }
        if (a->view == VIEW_STATS && now - asked >= STATS_MS) {
            asked = now;
            model_ask(&a->m, FOR_STATS, json_pack("{s:s}", "cmd", "stats"));
        }
        while (!a->wants_quit && (key = getch()) != ERR) {
            keys_press(a, key);
            drawn = 0; /* keys are seen at once */
        }
        take_news(a);
    }
}

int main(int argc, char **argv)
{
    int option, is_monochrome = getenv("NO_COLOR") != NULL;
    const struct passwd *who = getpwuid(getuid());

    app.m.path = "logs/glassproxy.sock";
    while ((option = getopt(argc, argv, "S:mMh")) != -1)
        switch (option) {
        case 'S': app.m.path = optarg; break;
        case 'm': is_monochrome = 1; break;
        case 'M': app.has_mouse = true; break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    setlocale(LC_ALL, "");
    signal(SIGPIPE, SIG_IGN);
    snprintf(app.m.who, sizeof app.m.who, "%s", who ? who->pw_name : "");
    if (model_attach(&app.m) < 0) {
        fprintf(stderr, "glasstui: cannot attach to \"%s\": %s\n", app.m.path, strerror(errno));
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
    if (app.has_mouse)
        mousemask(ALL_MOUSE_EVENTS, NULL);
    mouseinterval(0); /* a press counts at once */
    text_init(is_monochrome);
    for (int v = 0; v < VIEW_COUNT; v++)
        views[v].build(&app);
    app.is_changed = true;
    loop(&app);
    endwin();
    link_close(&app.m.link);
    return 0;
}
