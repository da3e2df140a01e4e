/*
 * The keys: one table says what each does where, and the status bar and the help are made of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/views.h"

struct binding {
    int keys[3];
    unsigned contexts;
    const char *shown, *bar, *help; /* BAR is NULL where the status bar does not say it */
    void (*run)(struct app *a);
    bool (*applies)(const struct app *a); /* NULL: always */
};

/* --- moving --- */

static void move_by(struct app *a, int n)
{
    struct pane *p = app_pane(a);

    if (p) {
        pane_move(p, n, app_pane_height(a));
    } else {
        a->m.follows = false;
        model_choose(&a->m, a->m.chosen + n);
    }
}

static int page(const struct app *a)
{
    int n = app_pane((struct app *)(uintptr_t)a) ? app_pane_height(a) : app_list_height();

    return n > 1 ? n - 1 : 1;
}

static void down(struct app *a) { move_by(a, 1); }
static void up(struct app *a) { move_by(a, -1); }
static void page_down(struct app *a) { move_by(a, page(a)); }
static void page_up(struct app *a) { move_by(a, -page(a)); }
static void first(struct app *a) { move_by(a, -1000000); }
static void last(struct app *a) { move_by(a, 1000000); }

static void scroll_by(struct app *a, int n)
{
    struct pane *p = app_pane(a) ? app_pane(a) : &a->detail;

    p->skip = p->skip + n < 0 ? 0 : p->skip + n;
}

static void left(struct app *a) { scroll_by(a, -8); }
static void right(struct app *a) { scroll_by(a, 8); }

static void follow(struct app *a)
{
    a->m.follows = !a->m.follows;
    if (a->m.follows)
        model_choose(&a->m, a->m.n_shown - 1);
}

/* --- views --- */

static void show_requests(struct app *a) { app_show(a, VIEW_REQUESTS); }
static void show_config(struct app *a) { app_show(a, VIEW_CONFIG); }
static void show_stats(struct app *a) { app_show(a, VIEW_STATS); }
static void show_logs(struct app *a) { app_show(a, VIEW_LOGS); }
static void show_breakpoints(struct app *a) { app_show(a, VIEW_BREAKPOINTS); }
static void show_what_if(struct app *a) { app_show(a, VIEW_WHAT_IF); }
static void quit(struct app *a) { a->wants_quit = true; }

static void help(struct app *a)
{
    a->has_help = true;
    a->help.top = 0;
    keys_help(a);
}

static void back(struct app *a)
{
    if (a->view != VIEW_REQUESTS)
        app_show(a, VIEW_REQUESTS);
    else
        a->is_in_detail = false;
}

static void into_detail(struct app *a)
{
    a->is_in_detail = a->detail.has_cursor = true;
    a->detail.cursor = a->detail.top;
}

static void set_tab(struct app *a, int t)
{
    a->tab = (enum tab)((t + TAB_COUNT) % TAB_COUNT);
    a->detail.top = a->detail.cursor = 0;
    detail_build(a);
}

static void tab_1(struct app *a) { set_tab(a, 0); }
static void tab_2(struct app *a) { set_tab(a, 1); }
static void tab_3(struct app *a) { set_tab(a, 2); }
static void tab_4(struct app *a) { set_tab(a, 3); }
static void tab_5(struct app *a) { set_tab(a, 4); }
static void tab_6(struct app *a) { set_tab(a, 5); }
static void tab_7(struct app *a) { set_tab(a, 6); }
static void tab_8(struct app *a) { set_tab(a, 7); }
static void next_tab(struct app *a) { set_tab(a, (int)a->tab + 1); }
static void previous_tab(struct app *a) { set_tab(a, (int)a->tab - 1); }

static void go_to_place(struct app *a)
{
    const char *place = pane_place(app_pane(a));
    char copy[4300];

    if (!place) {
        model_say(&a->m, true, "No directive belongs to this line.");
        return;
    }
    snprintf(copy, sizeof copy, "%s", place);
    config_go_to(a, copy);
}

/* --- the list --- */

static void filter_done(struct app *a, const char *s)
{
    model_set_filter(&a->m, s);
}

static void filter_list(struct app *a)
{
    const char *column = strstr(a->m.problem, "column ");

    prompt_open(a, "Filter", a->m.wanted_filter, filter_done, NULL);
    if (column && strncmp(a->m.problem, "filter, ", 8) == 0)
        a->prompt.problem_column = (size_t)atoi(column + 7);
}

/* The next request in whose line the searched text is. */
static bool find_request(struct app *a, bool backwards)
{
    struct model *m = &a->m;

    for (int i = 1; i <= m->n_shown && a->list_search[0]; i++) {
        int at = ((m->chosen + (backwards ? -i : i)) % m->n_shown + m->n_shown) % m->n_shown;
        char line[4096];
        snprintf(line, sizeof line, "%s %s%s %s %s %lld", text(m->shown[at], "method"), text(m->shown[at], "host"), text(m->shown[at], "uri"), text(m->shown[at], "location"),
                 text(m->shown[at], "upstream"), number(m->shown[at], "status"));
        if (!strcasestr(line, a->list_search))
            continue;
        m->follows = false;
        model_choose(m, at);
        return true;
    }
    return false;
}

static void find(struct app *a, bool backwards)
{
    struct pane *p = app_pane(a);
    const char *s = p ? p->search : a->list_search;

    if (!*s)
        model_say(&a->m, true, "Nothing was searched for yet: / does.");
    else if (!(p ? pane_find(p, backwards, app_pane_height(a)) : find_request(a, backwards)))
        model_say(&a->m, true, "\"%s\" is not here.", s);
}

static void search_done(struct app *a, const char *s)
{
    struct pane *p = app_pane(a);

    snprintf(p ? p->search : a->list_search, p ? sizeof p->search : sizeof a->list_search, "%s", s);
    if (*s)
        find(a, false);
}

static void search(struct app *a)
{
    prompt_open(a, "Search", "", search_done, NULL);
}

static void find_next(struct app *a) { find(a, false); }
static void find_previous(struct app *a) { find(a, true); }

static void sort(struct app *a)
{
    a->m.sort = (enum sort)((a->m.sort + 1) % SORT_COUNT);
    a->m.follows = a->m.sort == SORT_TIME && a->m.follows;
    model_list_again(&a->m);
    model_say(&a->m, false, "Sorted by %s.", sort_names[a->m.sort]);
}

static void reverse(struct app *a)
{
    a->m.is_reversed = !a->m.is_reversed;
    model_list_again(&a->m);
    model_say(&a->m, false, "Sorted by %s, %s.", sort_names[a->m.sort], a->m.is_reversed ? "falling" : "rising");
}

static void mark(struct app *a)
{
    const json_t *r = model_chosen(&a->m);

    if (!r)
        return;
    model_mark(&a->m, r);
    model_list_again(&a->m);
    move_by(a, 1);
}

static void only_marked(struct app *a)
{
    a->m.only_marked = !a->m.only_marked;
    model_list_again(&a->m);
    model_choose(&a->m, a->m.chosen);
}

static void pause_list(struct app *a)
{
    model_pause(&a->m);
}

/* --- taking it along --- */

/* S in single quotes for a shell, as far as there is room; control characters as $'\xHH' cannot be pasted anyway: "?". */
static void add_quoted(char *out, size_t n, const char *s)
{
    size_t at = strlen(out);

    if (at + 2 < n)
        out[at++] = '\'';
    for (; *s && at + 6 < n; s++) {
        if (*s == '\'') {
            memcpy(out + at, "'\\''", 4);
            at += 4;
        } else {
            out[at++] = (unsigned char)*s < 0x20 || *s == 0x7f ? '?' : *s;
        }
    }
    out[at++] = '\'';
    out[at] = '\0';
}

static void add_word(char *out, size_t n, const char *s)
{
    snprintf(out + strlen(out), n - strlen(out), "%s", s);
}

static void base64(FILE *f, const char *s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned char)s[i] << 16 | (i + 1 < n ? (unsigned char)s[i + 1] : 0) << 8 | (i + 2 < n ? (unsigned char)s[i + 2] : 0);
        fputc(digits[v >> 18], f);
        fputc(digits[v >> 12 & 63], f);
        fputc(i + 1 < n ? digits[v >> 6 & 63] : '=', f);
        fputc(i + 2 < n ? digits[v & 63] : '=', f);
    }
}

static void copy_as_curl(struct app *a)
{
    const json_t *d = a->m.detail, *f;
    char command[8192] = "curl -i", url[4096];
    size_t i, n;
    char *body;

    if (!d)
        return;
    if (strcmp(text(d, "method"), "GET") != 0) {
        add_word(command, sizeof command, " -X ");
        add_quoted(command, sizeof command, text(d, "method"));
    }
    json_array_foreach(json_object_get(d, "request_fields"), i, f)
    {
        char field[2048];
        if (strcasecmp(text(f, "name"), "content-length") == 0 || strcasecmp(text(f, "name"), "connection") == 0)
            continue;
        snprintf(field, sizeof field, "%s: %s", text(f, "name"), text(f, "value"));
        add_word(command, sizeof command, " -H ");
        add_quoted(command, sizeof command, field);
    }
    body = a->m.bodies[0] ? body_bytes(a->m.bodies[0], &n) : NULL;
    if (body && n) {
        add_word(command, sizeof command, " --data-binary ");
        add_quoted(command, sizeof command, body);
    }
    free(body);
    snprintf(url, sizeof url, "http://%s%s", text(json_object_get(d, "server"), "address"), text(d, "uri"));
    add_word(command, sizeof command, " ");
    add_quoted(command, sizeof command, url);
    fputs("\033]52;c;", stdout); /* the terminal's clipboard, where it has one */
    base64(stdout, command);
    fputs("\a", stdout);
    fflush(stdout);
    model_say(&a->m, false, "%s", command);
}

static void export_one(void *data, const json_t *detail)
{
    struct app *a = data;
    FILE *f = fopen(a->export_path, "ae");
    char *line = json_dumps(detail, JSON_COMPACT);

    if (!f || !line || fprintf(f, "%s\n", line) < 0 || fclose(f) != 0)
        model_say(&a->m, true, "\"%s\" cannot be written.", a->export_path);
    else
        model_say(&a->m, false, "%d requests are in \"%s\".", ++a->n_exporting, a->export_path);
    free(line);
}

static void ask_export(struct app *a, long long id)
{
    model_ask(&a->m, FOR_EXPORT, json_pack("{s:s,s:I}", "cmd", "get", "request", (json_int_t)id));
}

static void export_done(struct app *a, const char *path)
{
    FILE *f;
    const char *id;
    json_t *value;

    if (!*path)
        return;
    snprintf(a->export_path, sizeof a->export_path, "%s", path);
    f = fopen(path, "we");
    if (!f || fclose(f) != 0) {
        model_say(&a->m, true, "\"%s\" cannot be written.", path);
        return;
    }
    a->n_exporting = 0;
    a->m.export = export_one;
    a->m.export_data = a;
    if (json_object_size(a->m.marks))
        json_object_foreach(a->m.marks, id, value)
            ask_export(a, atoll(id));
    else
        ask_export(a, a->m.chosen_id);
}

static void export(struct app *a)
{
    prompt_open(a, json_object_size(a->m.marks) ? "Export the marked requests to" : "Export this request to", "requests.jsonl", export_done, NULL);
}

/* --- holding --- */

static bool is_held(const struct app *a)
{
    const json_t *r = model_chosen(&a->m);

    return r && model_is_held(r);
}

/* Held, or on its way to the next stop. */
static bool can_step(const struct app *a)
{
    return is_held(a) || (a->m.stepping && a->m.stepping == a->m.chosen_id);
}

static bool any_held(const struct app *a)
{
    return a->m.n_held > 0;
}

static void step(struct app *a) { model_step(&a->m, "step"); }
static void next(struct app *a) { model_step(&a->m, "next"); }
static void go_on(struct app *a) { model_ask_chosen(&a->m, "continue"); }

static void go_on_all(struct app *a)
{
    model_ask(&a->m, FOR_COMMAND, json_pack("{s:s,s:b}", "cmd", "continue", "all", 1));
}

static void abort_done(struct app *a, const char *s)
{
    char *end;
    long status = strtol(s, &end, 10);

    if (*end || end == s)
        model_say(&a->m, true, "\"%s\" is no status.", s);
    else
        model_ask(&a->m, FOR_COMMAND, json_pack("{s:s,s:I,s:I}", "cmd", "abort", "request", (json_int_t)a->m.chosen_id, "status", (json_int_t)status));
}

static void abort_held(struct app *a)
{
    prompt_open(a, "Answer with status (444 closes the connection)", "503", abort_done, NULL);
}

static void upstream_done(struct app *a, const char *s)
{
    if (*s)
        model_ask(&a->m, FOR_EDIT, json_pack("{s:s,s:I,s:{s:s}}", "cmd", "edit", "request", (json_int_t)a->m.chosen_id, "changes", "upstream", s));
}

/* Tab goes through the peers of the group. */
static void complete_peer(struct app *a)
{
    const json_t *peers = json_object_get(a->m.detail, "peers"), *p;
    size_t i, n = json_array_size(peers), at = n;

    json_array_foreach(peers, i, p)
        if (strcmp(text(p, "address"), a->prompt.text) == 0)
            at = i;
    if (n)
        snprintf(a->prompt.text, sizeof a->prompt.text, "%s", text(json_array_get(peers, at == n ? 0 : (at + 1) % n), "address"));
}

static void choose_upstream(struct app *a)
{
    prompt_open(a, "Ask this upstream (Tab: those of the group)", text(json_object_get(a->m.detail, "now"), "upstream"), upstream_done, complete_peer);
}

/* --- breakpoints --- */

/* "PHASE: FILTER", "PHASE", ": FILTER"; "once " in front makes it act only once. */
static void breakpoint_done(struct app *a, const char *s)
{
    bool is_once = strncmp(s, "once ", 5) == 0;
    char phase[128];
    const char *colon;

    s += is_once ? 5 : 0;
    colon = strchr(s, ':');
    snprintf(phase, sizeof phase, "%.*s", colon ? (int)(colon - s) : (int)strlen(s), s);
    while (*phase && phase[strlen(phase) - 1] == ' ')
        phase[strlen(phase) - 1] = '\0';
    model_ask(&a->m, FOR_BREAKPOINTS, json_pack("{s:s,s:s,s:s,s:b}", "cmd", "break", "phase", phase, "filter", colon ? colon + 1 : "", "once", is_once));
}

/* Tab completes the phase's name, and goes through those that begin alike. */
static void complete_phase(struct app *a)
{
    static char begun[128];
    static int turn;
    char *s = a->prompt.text + (strncmp(a->prompt.text, "once ", 5) == 0 ? 5 : 0);
    int n = 0, matches = 0;
    size_t i;
    const json_t *p;

    if (strchr(s, ':'))
        return;
    json_array_foreach(a->m.phases, i, p)
        n += strcmp(text(p, "name"), s) == 0;
    if (n == 0) { /* typed, not completed before */
        snprintf(begun, sizeof begun, "%.100s", s);
        turn = 0;
    } else {
        turn++;
    }
    json_array_foreach(a->m.phases, i, p)
        matches += strncmp(text(p, "name"), begun, strlen(begun)) == 0;
    n = 0;
    json_array_foreach(a->m.phases, i, p)
        if (matches && strncmp(text(p, "name"), begun, strlen(begun)) == 0 && n++ == turn % matches)
            snprintf(s, sizeof a->prompt.text - 8, "%s", text(p, "name"));
}

static void add_breakpoint(struct app *a)
{
    prompt_open(a, "Break at ([once] phase: filter; Tab: phases)", "", breakpoint_done, complete_phase);
}

static void about_breakpoint(struct app *a, const char *command)
{
    if (breakpoints_chosen(a))
        model_ask(&a->m, FOR_BREAKPOINTS, json_pack("{s:s,s:I}", "cmd", command, "breakpoint", (json_int_t)breakpoints_chosen(a)));
}

static void toggle_breakpoint(struct app *a)
{
    about_breakpoint(a, breakpoints_chosen_is_enabled(a) ? "disable" : "enable");
}

static void delete_breakpoint(struct app *a)
{
    about_breakpoint(a, "delete");
}

/* --- bodies, configuration, what-if, mouse --- */

static bool is_body(const struct app *a)
{
    return a->tab == TAB_BODY;
}

static void body_form(struct app *a)
{
    static const char *const names[BODY_MODES] = {"as it reads best", "as text", "as bytes"};

    a->body_mode = (enum body_mode)((a->body_mode + 1) % BODY_MODES);
    detail_build(a);
    model_say(&a->m, false, "Bodies are shown %s.", names[a->body_mode]);
}

static void body_other(struct app *a)
{
    a->shows_response_body = !a->shows_response_body;
    a->detail.top = a->detail.cursor = 0;
    detail_build(a);
}

static void body_raw(struct app *a)
{
    a->m.wants_raw_bodies = !a->m.wants_raw_bodies;
    model_ask_bodies(&a->m);
    model_say(&a->m, false, a->m.wants_raw_bodies ? "Bodies as they were sent." : "Bodies decompressed.");
}

static void next_acted(struct app *a) { config_next_acted(a, false); }
static void previous_acted(struct app *a) { config_next_acted(a, true); }

static bool has_change(const struct app *a)
{
    return a->change.new_text && !a->change.was_applied;
}

static void drop_change(struct app *a)
{
    what_if_drop(a);
    app_show(a, VIEW_REQUESTS);
    model_say(&a->m, false, "The changed configuration is dropped.");
}

static void mouse(struct app *a)
{
    a->has_mouse = !a->has_mouse;
    mousemask(a->has_mouse ? ALL_MOUSE_EVENTS : 0, NULL);
    model_say(&a->m, false, a->has_mouse ? "The mouse chooses; M gives it back to the terminal." : "The mouse is the terminal's.");
}

static const struct binding bindings[] = {
    {{'s'}, IN_LIST | IN_DETAIL, "s", "step", "step to the next phase", step, can_step},
    {{'n'}, IN_LIST | IN_DETAIL, "n", "next", "on to the next group of phases", next, can_step},
    {{'c'}, IN_LIST | IN_DETAIL, "c", "continue", "let the held request go on", go_on, is_held},
    {{'A'}, IN_LIST | IN_DETAIL | IN_BREAKPOINTS, "A", "continue all", "let all held requests go on", go_on_all, any_held},
    {{'a'}, IN_LIST | IN_DETAIL, "a", "abort", "answer the held request with a status", abort_held, is_held},
    {{'e'}, IN_LIST | IN_DETAIL, "e", "edit", "edit the held request in $EDITOR", edit_held, is_held},
    {{'u'}, IN_LIST | IN_DETAIL, "u", "upstream", "choose the upstream of the held request", choose_upstream, is_held},
    {{'y'}, IN_WHAT_IF, "y", "apply", "write the new configuration and reload", what_if_apply, has_change},
    {{'e'}, IN_WHAT_IF, "e", "edit again", "edit the new configuration again", what_if_edit, has_change},
    {{'d'}, IN_WHAT_IF, "d", "drop", "forget the new configuration", drop_change, has_change},
    {{' ', 't'}, IN_BREAKPOINTS, "Space t", "on/off", "enable or disable the breakpoint", toggle_breakpoint, NULL},
    {{'d', KEY_DC}, IN_BREAKPOINTS, "d Del", "delete", "delete the breakpoint", delete_breakpoint, NULL},
    {{']'}, IN_CONFIG, "]", "next acted", "the next line that acted on the chosen request (those with >)", next_acted, NULL},
    {{'['}, IN_CONFIG, "[", NULL, "the line before that acted on it", previous_acted, NULL},
    {{'\t'}, IN_CONFIG, "Tab", "next file", "the next file of the configuration", config_next_file, NULL},
    {{'h'}, IN_LIST | IN_DETAIL, "h", "form", "bodies as they read best, as text, as bytes", body_form, is_body},
    {{'r'}, IN_LIST | IN_DETAIL, "r", "other body", "the request's body or the response's", body_other, is_body},
    {{'z'}, IN_LIST | IN_DETAIL, "z", "raw", "bodies decompressed or as they were sent", body_raw, is_body},
    {{KEY_DOWN, 'j'}, ANYWHERE, "Down j", NULL, "down", down, NULL},
    {{KEY_UP, 'k'}, ANYWHERE, "Up k", NULL, "up", up, NULL},
    {{KEY_RIGHT}, ANYWHERE, "Right", NULL, "see more of long lines", right, NULL},
    {{KEY_LEFT}, ANYWHERE, "Left", NULL, "and back", left, NULL},
    {{KEY_NPAGE}, ANYWHERE, "PgDn", NULL, "a page down", page_down, NULL},
    {{KEY_PPAGE}, ANYWHERE, "PgUp", NULL, "a page up", page_up, NULL},
    {{KEY_HOME, 'g'}, ANYWHERE, "Home g", NULL, "to the first", first, NULL},
    {{KEY_END, 'G'}, ANYWHERE, "End G", NULL, "to the last", last, NULL},
    {{'\n', KEY_ENTER, '\r'}, IN_LIST, "Enter", "details", "into the details", into_detail, NULL},
    {{'\n', KEY_ENTER, '\r'}, IN_DETAIL | IN_STATS, "Enter", "its line", "the line of the configuration that is responsible", go_to_place, NULL},
    {{27}, IN_DETAIL | IN_CONFIG | IN_STATS | IN_LOGS | IN_BREAKPOINTS | IN_WHAT_IF, "Esc", "back", "back to the list", back, NULL},
    {{'\t'}, IN_LIST | IN_DETAIL, "Tab", "view", "the next of the tabs", next_tab, NULL},
    {{KEY_BTAB}, IN_LIST | IN_DETAIL, "BackTab", NULL, "the tab before", previous_tab, NULL},
    {{'1'}, IN_LIST | IN_DETAIL, "1", NULL, "headers, as they came and as they were sent", tab_1, NULL},
    {{'2'}, IN_LIST | IN_DETAIL, "2", NULL, "the URI's way; servers and locations, and why", tab_2, NULL},
    {{'3'}, IN_LIST | IN_DETAIL, "3", NULL, "the upstream: peers, attempts", tab_3, NULL},
    {{'4'}, IN_LIST | IN_DETAIL, "4", NULL, "the response's header", tab_4, NULL},
    {{'5'}, IN_LIST | IN_DETAIL, "5", NULL, "the phases with their times", tab_5, NULL},
    {{'6'}, IN_LIST | IN_DETAIL, "6", NULL, "bodies", tab_6, NULL},
    {{'7'}, IN_LIST | IN_DETAIL, "7", NULL, "connection and TLS", tab_7, NULL},
    {{'8'}, IN_LIST | IN_DETAIL, "8", NULL, "findings: what looks wrong, and what to do", tab_8, NULL},
    {{'b'}, IN_LIST | IN_DETAIL | IN_BREAKPOINTS, "b", "break", "a new breakpoint: \"phase: filter\"", add_breakpoint, NULL},
    {{'f'}, IN_LIST | IN_DETAIL, "f", "filter", "show only requests that a filter matches: status>=500 and path=/api/*", filter_list, NULL},
    {{'/'}, ANYWHERE, "/", "search", "search for text", search, NULL},
    {{'.'}, ANYWHERE, ".", NULL, "the next place with that text", find_next, NULL},
    {{','}, ANYWHERE, ",", NULL, "the place before with that text", find_previous, NULL},
    {{'o'}, IN_LIST | IN_DETAIL, "o", NULL, "order by time, status, duration, host, URI", sort, NULL},
    {{'O'}, IN_LIST | IN_DETAIL, "O", NULL, "reverse the order", reverse, NULL},
    {{'m'}, IN_LIST | IN_DETAIL, "m", NULL, "mark the request, or take the mark away", mark, NULL},
    {{'v'}, IN_LIST | IN_DETAIL, "v", NULL, "show only marked requests, or all", only_marked, NULL},
    {{'y'}, IN_LIST | IN_DETAIL, "y", "curl", "copy the request as a curl command", copy_as_curl, NULL},
    {{'x'}, IN_LIST | IN_DETAIL, "x", "export", "write the marked requests, or this one, to a file", export, NULL},
    {{' ', 'p'}, IN_LIST | IN_DETAIL, "Space p", "pause", "pause the list: what comes is only counted", pause_list, NULL},
    {{'F'}, IN_LIST | IN_DETAIL, "F", NULL, "follow the newest request", follow, NULL},
    {{'w'}, ANYWHERE & ~(unsigned)IN_WHAT_IF, "w", "what-if", "edit a copy of the configuration, see what would differ", what_if_edit, NULL},
    {{KEY_F(2), 'R'}, ANYWHERE, "F2 R", NULL, "the requests", show_requests, NULL},
    {{KEY_F(3), 'C'}, ANYWHERE, "F3 C", NULL, "the configuration, with the lines that acted", show_config, NULL},
    {{KEY_F(4), 'T'}, ANYWHERE, "F4 T", NULL, "totals: live statistics", show_stats, NULL},
    {{KEY_F(5), 'L'}, ANYWHERE, "F5 L", NULL, "the error log", show_logs, NULL},
    {{KEY_F(6), 'B'}, ANYWHERE, "F6 B", NULL, "the breakpoints", show_breakpoints, NULL},
    {{KEY_F(7), 'W'}, ANYWHERE, "F7 W", NULL, "the last what-if", show_what_if, NULL},
    {{'M'}, ANYWHERE, "M", NULL, "mouse on or off", mouse, NULL},
    {{KEY_F(1), '?'}, ANYWHERE, "? F1", NULL, "this help", help, NULL},
    {{'q'}, ANYWHERE, "q", NULL, "quit", quit, NULL},
};

enum { N_BINDINGS = sizeof bindings / sizeof bindings[0] };

static bool is_in_force(const struct app *a, const struct binding *b)
{
    return (b->contexts & app_context(a)) && (!b->applies || b->applies(a));
}

static void clicked(struct app *a)
{
    MEVENT e;

    if (getmouse(&e) != OK)
        return;
    if (e.bstate & BUTTON4_PRESSED)
        move_by(a, -3);
    else if (e.bstate & BUTTON5_PRESSED)
        move_by(a, 3);
    else if (!(e.bstate & (BUTTON1_PRESSED | BUTTON1_CLICKED)))
        return;
    else if (a->view == VIEW_REQUESTS && e.y >= 2 && e.y < 2 + app_list_height()) {
        a->is_in_detail = false;
        a->m.follows = false;
        model_choose(&a->m, a->list_top + e.y - 2);
    } else if (a->view == VIEW_REQUESTS && e.y == 2 + app_list_height()) {
        int x = 0;
        for (int t = 0; t < TAB_COUNT; t++) {
            x += (int)strlen(tab_names[t]) + 3;
            if (e.x < x) {
                set_tab(a, t);
                break;
            }
        }
    } else if (a->view == VIEW_REQUESTS) {
        into_detail(a);
        a->detail.cursor = a->detail.top + e.y - 3 - app_list_height();
    } else if (app_pane(a)) {
        app_pane(a)->cursor = app_pane(a)->top + e.y - 1;
    }
}

void keys_press(struct app *a, int key)
{
    a->is_changed = true;
    if (a->has_help) {
        if (key == KEY_DOWN || key == 'j' || key == KEY_NPAGE)
            a->help.top += key == KEY_NPAGE ? 10 : 1;
        else if (key == KEY_UP || key == 'k' || key == KEY_PPAGE)
            a->help.top -= key == KEY_PPAGE ? 10 : 1;
        else
            a->has_help = false;
        return;
    }
    if (a->prompt.is_open) {
        prompt_press(a, key);
        return;
    }
    a->m.message[0] = '\0';
    if (key == KEY_MOUSE) {
        clicked(a);
        return;
    }
    for (int i = 0; i < N_BINDINGS; i++)
        for (int k = 0; k < 3 && bindings[i].keys[k]; k++)
            if (bindings[i].keys[k] == key && is_in_force(a, &bindings[i])) {
                bindings[i].run(a);
                return;
            }
}

void keys_bar(const struct app *a, char *out, size_t n, int width)
{
    static const char always[] = " ? help  q quit";
    size_t room = (size_t)width > sizeof always ? (size_t)width - sizeof always : 0, at = 0;

    out[0] = '\0';
    if (a->prompt.is_open) {
        snprintf(out, n, " Enter takes it  Esc leaves it  ^U empties it%s", a->prompt.complete ? "  Tab completes" : "");
        return;
    }
    for (int i = 0; i < N_BINDINGS; i++) {
        const struct binding *b = &bindings[i];
        char one[64];
        int length;
        if (!b->bar || !is_in_force(a, b))
            continue;
        length = snprintf(one, sizeof one, " %s %s ", b->shown, b->bar);
        if (at + (size_t)length > room || at + (size_t)length >= n)
            continue;
        memcpy(out + at, one, (size_t)length + 1);
        at += (size_t)length;
    }
    snprintf(out + at, n - at, "%s", always);
}

void keys_help(struct app *a)
{
    struct pane *p = &a->help;

    pane_clear(p);
    pane_add(p, STYLE_BOLD, "Keys in \"%s\"%s", views[a->view].name, a->view == VIEW_REQUESTS ? a->is_in_detail ? " (details)" : " (list)" : "");
    for (int i = 0; i < N_BINDINGS; i++)
        if (bindings[i].contexts & app_context(a))
            pane_add(p, is_in_force(a, &bindings[i]) ? STYLE_PLAIN : STYLE_DIM, "  %-9s %s%s", bindings[i].shown, bindings[i].help,
                     bindings[i].applies == is_held || bindings[i].applies == can_step ? " (when it is held)" : bindings[i].applies == is_body ? " (in the tab of bodies)" : "");
    pane_add(p, STYLE_BOLD, "Colours");
    pane_add(p, STYLE_ADDED, "  added, chosen");
    pane_add(p, STYLE_CHANGED, "  changed");
    pane_add(p, STYLE_REMOVED, "  removed");
    pane_add(p, STYLE_PLAIN, "  In the list: * marked, # held, e edited by hand; tab 8: ! error, ? warning.");
    pane_add(p, STYLE_BOLD, "Filters");
    pane_add(p, STYLE_PLAIN, "  method=POST and (host=*.test or path~^/api/) and not header.x-debug");
    pane_add(p, STYLE_PLAIN, "  method host path uri args server location client upstream group protocol");
    pane_add(p, STYLE_PLAIN, "  phase header.NAME response.NAME status duration bytes; \"text\" anywhere");
}
