/*
 * The interface itself: the model, the views and what the user is doing. One row of the table of views for each; keys are
 * rows of keys.c.
 */
#ifndef GLASSTUI_APP_H
#define GLASSTUI_APP_H

#include "model/model.h"
#include "pane.h"

enum view_id { VIEW_REQUESTS, VIEW_CONFIG, VIEW_STATS, VIEW_LOGS, VIEW_BREAKPOINTS, VIEW_WHAT_IF, VIEW_COUNT };
enum tab { TAB_HEADERS, TAB_URI, TAB_UPSTREAM, TAB_RESPONSE, TAB_TIMELINE, TAB_BODY, TAB_CONNECTION, TAB_FINDINGS, TAB_COUNT };
enum body_mode { BODY_AUTO, BODY_TEXT, BODY_HEX, BODY_MODES };

/* Where keys act: a view, or one of the two halves of the requests. */
enum context { IN_LIST = 1, IN_DETAIL = 2, IN_CONFIG = 4, IN_STATS = 8, IN_LOGS = 16, IN_BREAKPOINTS = 32, IN_WHAT_IF = 64, ANYWHERE = 127 };

struct app;

struct view {
    const char *name;
    void (*build)(struct app *a); /* from the model, when that has changed */
    void (*draw)(struct app *a, int y, int height);
    struct pane *(*pane)(struct app *a); /* what moves and is searched; NULL: the list */
};
extern const struct view views[VIEW_COUNT];

struct prompt {
    bool is_open;
    char label[80], text[512];
    size_t problem_column; /* from 1; 0: none */
    void (*done)(struct app *a, const char *text);
    void (*complete)(struct app *a);
};

struct what_if {
    char *old_text, *new_text; /* of the main configuration file */
    long long request;
    bool is_valid; /* the new one can be taken on */
    bool was_applied;
};

struct app {
    struct model m;
    enum view_id view;
    bool is_in_detail, has_help, has_mouse, wants_quit, is_changed;
    int list_top;
    enum tab tab;
    struct pane detail, config, stats, logs, breakpoints, what_if, help;
    int config_file;
    enum body_mode body_mode;
    bool shows_response_body;
    char list_search[128];
    struct prompt prompt;
    struct what_if change;
    char export_path[512];
    int n_exporting;
};

enum context app_context(const struct app *a);
void app_show(struct app *a, enum view_id view);
struct pane *app_pane(struct app *a);
int app_pane_height(const struct app *a);
int app_list_height(void);

/* Draws everything. */
void app_draw(struct app *a);

/* keys.c */
void keys_press(struct app *a, int key);
/* "q quit  ? help …" for where the user is, as far as WIDTH. */
void keys_bar(const struct app *a, char *out, size_t n, int width);
/* The lines of the help for where the user is. */
void keys_help(struct app *a);

/* prompt.c */
void prompt_open(struct app *a, const char *label, const char *text, void (*done)(struct app *a, const char *text), void (*complete)(struct app *a));
void prompt_press(struct app *a, int key);
void prompt_draw(const struct app *a, int y);

/* editor.c: the text after $EDITOR, the caller's; NULL (with a message) if there is none. */
char *editor_run(struct app *a, const char *suffix, const char *initial);
/* Runs ARGV; what it printed is the caller's. The exit status, -1 if it could not be run. */
int editor_capture(const char *const argv[], char **out, char **errors);
char *editor_read_file(const char *path);
int editor_write_file(const char *path, const char *text_);

#endif
