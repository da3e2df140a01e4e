/*
 * A held request in $EDITOR: written out as text, read back, and what differs is sent as an "edit" command.
 *
 *     %method GET            only what can be edited at the phase is there
 *     %headers
 *     Host: a.test
 *     %body
 *     everything behind it
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "views/views.h"

static bool can(const json_t *d, const char *what)
{
    size_t i;
    const json_t *one;

    json_array_foreach(json_object_get(d, "editable"), i, one)
        if (strcmp(json_string_value(one), what) == 0)
            return true;
    return false;
}

static const json_t *fields_of(const json_t *d)
{
    const char *what = text(d, "edits_what");

    if (strcmp(what, "request") == 0)
        return json_object_get(d, "request_fields");
    if (strcmp(what, "upstream request") == 0)
        return json_object_get(json_object_get(d, "upstream_request"), "fields");
    if (strcmp(what, "upstream response") == 0)
        return json_object_get(json_object_get(d, "upstream_response"), "fields");
    return json_object_get(json_object_get(d, "response"), "fields");
}

static bool is_shown(const json_t *f)
{
    return !flag(f, "removed") && strcasecmp(text(f, "name"), "content-length") != 0 && strcasecmp(text(f, "name"), "transfer-encoding") != 0;
}

/* The request's body as text; NULL if it cannot be edited as one. The caller's. */
static char *body_text(const struct app *a)
{
    const json_t *body = a->m.bodies[0];
    size_t n = 0;
    char *s;

    if (strstr(text(a->m.detail, "edits_what"), "response") || !body || number(body, "kept") < number(body, "total") || flag(body, "decoded"))
        return NULL;
    s = body_bytes(body, &n);
    if (!s)
        return strdup("");
    if (strlen(s) != n) {
        free(s);
        return NULL;
    }
    return s;
}

static char *write_message(const struct app *a, const char *body)
{
    const json_t *d = a->m.detail, *now = json_object_get(d, "now"), *f;
    char *out = NULL;
    size_t n = 0, i;
    FILE *o = open_memstream(&out, &n);

    if (!o)
        return NULL;
    fprintf(o, "# Request %lld, held at \"%s\": the %s.\n# Lines that begin with # are comments. Without a change, nothing is edited.\n", number(d, "request"), text(d, "phase"),
            text(d, "edits_what"));
    if (can(d, "method"))
        fprintf(o, "%%method %s\n", text(now, "method"));
    if (can(d, "uri"))
        fprintf(o, "%%uri %s\n", text(now, "uri"));
    if (can(d, "upstream"))
        fprintf(o, "%%upstream %s\n", text(now, "upstream"));
    if (can(d, "status"))
        fprintf(o, "%%status %lld\n", number(now, "status"));
    if (can(d, "headers")) {
        fprintf(o, "%%headers\n");
        if (json_object_get(now, "content_type") && *text(now, "content_type"))
            fprintf(o, "Content-Type: %s\n", text(now, "content_type"));
        json_array_foreach(fields_of(d), i, f)
            if (is_shown(f))
                fprintf(o, "%s: %s\n", text(f, "name"), text(f, "value"));
    }
    if (can(d, "body") && body)
        fprintf(o, "%%body\n%s", body);
    else if (can(d, "body"))
        fprintf(o, "# The body is not shown. A line \"%%body\" and text behind it replaces it.\n");
    fclose(o);
    return out;
}

/* Adds NAME's VALUE to the lists of LISTS (an object), NAME in lower case. */
static void collect(json_t *lists, const char *name, const char *value)
{
    char lower[256];
    size_t n;
    json_t *list;

    for (n = 0; name[n] && n + 1 < sizeof lower; n++)
        lower[n] = (char)(name[n] >= 'A' && name[n] <= 'Z' ? name[n] | 0x20 : name[n]);
    lower[n] = '\0';
    list = json_object_get(lists, lower);
    if (!list) {
        list = json_pack("{s:s,s:[]}", "name", name, "values");
        json_object_set_new(lists, lower, list);
    }
    json_array_append_new(json_object_get(list, "values"), json_string(value));
}

static json_t *changed_headers(const struct app *a, json_t *after)
{
    const json_t *d = a->m.detail, *now = json_object_get(d, "now"), *f;
    json_t *before = json_object(), *changes = json_object(), *list;
    const char *key;
    size_t i;

    if (json_object_get(now, "content_type") && *text(now, "content_type"))
        collect(before, "Content-Type", text(now, "content_type"));
    json_array_foreach(fields_of(d), i, f)
        if (is_shown(f))
            collect(before, text(f, "name"), text(f, "value"));
    json_object_foreach(after, key, list)
        if (!json_equal(json_object_get(list, "values"), json_object_get(json_object_get(before, key), "values")))
            json_object_set(changes, text(list, "name"), json_array_size(json_object_get(list, "values")) == 1 ? json_array_get(json_object_get(list, "values"), 0) : json_object_get(list, "values"));
    json_object_foreach(before, key, list)
        if (!json_object_get(after, key))
            json_object_set_new(changes, text(list, "name"), json_null());
    json_decref(before);
    return changes;
}

/* One line of the part before the body. False, with a message, if it means nothing. */
static bool read_line(struct app *a, int n, char *line, bool *in_headers, json_t *headers, json_t *changes)
{
    const json_t *now = json_object_get(a->m.detail, "now");
    char *rest = strchr(line, *in_headers && line[0] != '%' ? ':' : ' ');

    if (line[0] == '#' || line[0] == '\0')
        return true;
    if (strcmp(line, "%headers") == 0)
        return *in_headers = true;
    if (rest) {
        *rest++ = '\0';
        rest += strspn(rest, " \t");
    }
    if (line[0] == '%' && rest) {
        if (strcmp(line, "%status") == 0) {
            if (atoll(rest) != number(now, "status"))
                json_object_set_new(changes, "status", json_integer(atoll(rest)));
            return true;
        }
        if (strcmp(line, "%method") == 0 || strcmp(line, "%uri") == 0 || strcmp(line, "%upstream") == 0) {
            if (strcmp(rest, text(now, line + 1)) != 0)
                json_object_set_new(changes, line + 1, json_string(rest));
            return true;
        }
    }
    if (!*in_headers || !rest || line[0] == '%') {
        model_say(&a->m, true, "Line %d of the edited text means nothing: \"%s\"; nothing is edited.", n, line);
        return false;
    }
    collect(headers, line, rest);
    return true;
}

/* What differs in S from what the request has; NULL with a message if it cannot be read. */
static json_t *read_message(struct app *a, char *s, const char *old_body)
{
    json_t *changes = json_object(), *headers = json_object(), *fields;
    bool in_headers = false, has_body = false;
    int n = 1;

    while (*s) {
        size_t length = strcspn(s, "\n");
        char *next = s + length + (s[length] == '\n');
        if (length == 5 && strncmp(s, "%body", 5) == 0) {
            has_body = true;
            s = next;
            break;
        }
        s[length] = '\0';
        if (!read_line(a, n++, s, &in_headers, headers, changes)) {
            json_decref(changes);
            json_decref(headers);
            return NULL;
        }
        s = next;
    }
    if (in_headers) {
        fields = changed_headers(a, headers);
        if (json_object_size(fields))
            json_object_set(changes, "headers", fields);
        json_decref(fields);
    }
    if (has_body) {
        size_t length = strlen(s), old = old_body ? strlen(old_body) : 0;
        bool only_newline = old_body && length == old + 1 && s[length - 1] == '\n' && strncmp(s, old_body, old) == 0; /* editors end the last line */
        if (!only_newline && (!old_body || strcmp(s, old_body) != 0))
            json_object_set_new(changes, "body", json_string(s));
    }
    json_decref(headers);
    return changes;
}

void edit_held(struct app *a)
{
    char *body, *before, *after;
    json_t *changes;

    if (!a->m.detail || json_array_size(json_object_get(a->m.detail, "editable")) == 0) {
        model_say(&a->m, true, "Nothing of it can be edited at this phase.");
        return;
    }
    body = body_text(a);
    before = write_message(a, body);
    after = before ? editor_run(a, ".request", before) : NULL;
    if (after && strcmp(before, after) != 0 && (changes = read_message(a, after, body))) {
        if (json_object_size(changes))
            model_ask(&a->m, FOR_EDIT, json_pack("{s:s,s:I,s:O}", "cmd", "edit", "request", (json_int_t)a->m.chosen_id, "changes", changes));
        json_decref(changes);
    }
    free(body);
    free(before);
    free(after);
}
