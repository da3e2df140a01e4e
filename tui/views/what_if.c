/*
 * What-if: a copy of the configuration is edited, and what would differ for the chosen request is shown side by side. It is
 * what `glassproxy diff` says; nothing is changed until it is applied.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "views/views.h"

/* The glassproxy beside this program, or that of PATH. */
static const char *proxy_program(void)
{
    static char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 16);
    char *slash;

    if (n > 0) {
        path[n] = '\0';
        slash = strrchr(path, '/');
        if (slash) {
            strcpy(slash + 1, "glassproxy");
            if (access(path, X_OK) == 0)
                return path;
        }
    }
    return "glassproxy";
}

static int temp_file(char *path, size_t n, const char *text_)
{
    const char *tmp = getenv("TMPDIR") && *getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    int fd;

    snprintf(path, n, "%s/glasstui-XXXXXX", tmp);
    fd = mkstemp(path);
    return fd < 0 || close(fd) < 0 ? -1 : editor_write_file(path, text_);
}

static void show_side_by_side(struct pane *p, const json_t *d)
{
    char left[4096], right[4096];

    pane_add(p, STYLE_BOLD, "%s%s%s", text(d, "what"), *text(d, "name") ? " " : "", text(d, "name"));
    snprintf(left, sizeof left, "%s", *text(d, "old") ? text(d, "old") : "(none)");
    snprintf(right, sizeof right, "%s", *text(d, "new") ? text(d, "new") : "(none)");
    pane_add_pair(p, STYLE_REMOVED, left, STYLE_ADDED, right);
    if (*text(d, "old_place") || *text(d, "new_place"))
        pane_add_pair(p, STYLE_DIM, text(d, "old_place"), STYLE_DIM, text(d, "new_place"));
}

/* Builds the view's lines from what diff printed. */
static void show_result(struct app *a, int status, const char *out, const char *errors)
{
    struct pane *p = &a->what_if;
    json_t *results = json_loads(out, 0, NULL), *result, *d;
    size_t i, k;

    pane_clear(p);
    a->change.is_valid = status == 0 || status == 1;
    if (!a->change.is_valid) {
        pane_add(p, STYLE_BAD, "The new configuration cannot be used (e edits it again, d drops it):");
        for (const char *s = errors; *s;) {
            size_t n = strcspn(s, "\n");
            pane_add(p, STYLE_PLAIN, "%.*s", (int)n, s);
            s += n + (s[n] == '\n');
        }
        json_decref(results);
        return;
    }
    json_array_foreach(results, i, result)
    {
        pane_add(p, STYLE_BOLD, "%s", text(result, "request"));
        if (json_array_size(json_object_get(result, "differences")) == 0) {
            pane_add(p, STYLE_GOOD, "Nothing would differ for this request.");
            continue;
        }
        pane_add_pair(p, STYLE_DIM, "as it is", STYLE_DIM, "as it would be");
        json_array_foreach(json_object_get(result, "differences"), k, d)
            show_side_by_side(p, d);
    }
    json_decref(results);
}

static void run_diff(struct app *a)
{
    char new_path[4096], recording[4096], *out, *errors, *line = json_dumps(a->m.detail, JSON_COMPACT);
    const char *argv[] = {proxy_program(), "diff", "--json", "-p", a->m.prefix, "--as", a->m.conf, "--recording", recording, a->m.conf, new_path, NULL};
    int status;

    if (!line || temp_file(new_path, sizeof new_path, a->change.new_text) < 0 || temp_file(recording, sizeof recording, line) < 0) {
        model_say(&a->m, true, "A temporary file cannot be written: %s", strerror(errno));
        free(line);
        return;
    }
    free(line);
    status = editor_capture(argv, &out, &errors);
    unlink(new_path);
    unlink(recording);
    show_result(a, status, out, status < 0 ? "glassproxy could not be run" : errors);
    free(out);
    free(errors);
    app_show(a, VIEW_WHAT_IF);
}

void what_if_edit(struct app *a)
{
    struct what_if *w = &a->change;
    char *edited;

    if (!a->m.detail) {
        model_say(&a->m, true, "Choose a request first.");
        return;
    }
    if (w->was_applied || !w->new_text || w->request != a->m.chosen_id) {
        what_if_drop(a);
        w->old_text = editor_read_file(a->m.conf);
        if (!w->old_text) {
            model_say(&a->m, true, "\"%s\" cannot be read: %s", a->m.conf, strerror(errno));
            return;
        }
        w->new_text = strdup(w->old_text);
        w->request = a->m.chosen_id;
    }
    edited = editor_run(a, ".conf", w->new_text ? w->new_text : "");
    if (!edited)
        return;
    free(w->new_text);
    w->new_text = edited;
    run_diff(a);
}

/* Puts S in place of the configuration file at once, with the same mode. */
static int replace_file(const char *path, const char *s)
{
    char made[4200];
    struct stat st;

    snprintf(made, sizeof made, "%s.glasstui", path);
    if (stat(path, &st) < 0 || editor_write_file(made, s) < 0)
        return -1;
    if (chmod(made, st.st_mode & 07777) < 0 || rename(made, path) < 0) {
        int err = errno;
        unlink(made);
        errno = err;
        return -1;
    }
    return 0;
}

void what_if_apply(struct app *a)
{
    struct what_if *w = &a->change;
    char *now = editor_read_file(a->m.conf);

    if (!w->new_text || !w->is_valid || w->was_applied)
        model_say(&a->m, true, "There is nothing to apply.");
    else if (!now || strcmp(now, w->old_text) != 0)
        model_say(&a->m, true, "\"%s\" was changed by somebody else meanwhile: nothing is applied.", a->m.conf);
    else if (replace_file(a->m.conf, w->new_text) < 0)
        model_say(&a->m, true, "\"%s\" cannot be written: %s", a->m.conf, strerror(errno));
    else {
        w->was_applied = true;
        model_ask(&a->m, FOR_RELOAD, json_pack("{s:s}", "cmd", "reload"));
        app_show(a, VIEW_REQUESTS);
    }
    free(now);
}

void what_if_refused(struct app *a)
{
    char why[sizeof a->m.message];

    snprintf(why, sizeof why, "%s", a->m.message);
    if (!a->change.was_applied)
        return;
    a->change.was_applied = false;
    replace_file(a->m.conf, a->change.old_text);
    model_say(&a->m, true, "Not applied, the file is as it was: %.440s", why);
}

void what_if_drop(struct app *a)
{
    free(a->change.old_text);
    free(a->change.new_text);
    a->change = (struct what_if){0};
    pane_clear(&a->what_if);
}

void what_if_build(struct app *a)
{
    if (a->what_if.n == 0)
        pane_add(&a->what_if, STYLE_DIM, "w edits a copy of the configuration and shows what would differ for the chosen request.");
}
