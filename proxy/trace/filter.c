/*
 * Which requests somebody wants to see: see filter.h.
 */
#include "trace/filter.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>

static const char *read_text(const json_t *json, const char *name, char *out, size_t n)
{
    const json_t *value = json_object_get(json, name);
    static char error[64];

    if (!value)
        return NULL;
    snprintf(error, sizeof error, "filter: \"%s\" must be a text of at most %zu bytes", name, n - 1);
    if (!json_is_string(value) || json_string_length(value) >= n)
        return error;
    snprintf(out, n, "%s", json_string_value(value));
    return NULL;
}

const char *trace_filter_read(struct trace_filter *f, const json_t *json)
{
    static const char *const known[] = {"host", "path", "method", "phase", "status"};
    char status[8] = "", phase[64] = "";
    const char *error, *key;
    json_t *value;

    *f = (struct trace_filter){0};
    if (!json || json_is_null(json))
        return NULL;
    if (!json_is_object(json))
        return "\"filter\" must be an object";
    json_object_foreach((json_t *)json, key, value)
    {
        size_t i;
        for (i = 0; i < 5 && strcmp(key, known[i]) != 0; i++)
            ;
        if (i == 5)
            return "filter: known members are host, path, method, phase and status";
    }
    if ((error = read_text(json, "host", f->host, sizeof f->host)) || (error = read_text(json, "path", f->path, sizeof f->path))
        || (error = read_text(json, "method", f->method, sizeof f->method)) || (error = read_text(json, "phase", phase, sizeof phase))
        || (error = read_text(json, "status", status, sizeof status)))
        return error;
    if (phase[0]) {
        while (f->phase < PHASE_COUNT && strcmp(phase_table[f->phase].name, phase) != 0)
            f->phase++;
        if (f->phase == PHASE_COUNT)
            return "filter: there is no such phase";
        f->has_phase = true;
    }
    if (status[0]) {
        if (strlen(status) != 3 || status[0] < '1' || status[0] > '5')
            return "filter: \"status\" must be like \"404\" or \"5xx\"";
        if (strcmp(status + 1, "xx") == 0) {
            f->status_from = (unsigned)(status[0] - '0') * 100;
            f->status_to = f->status_from + 99;
        } else {
            f->status_from = f->status_to = (unsigned)atoi(status);
        }
    }
    return NULL;
}

static bool globs(const char *pattern, struct request *r, struct str s)
{
    return pattern[0] == '\0' || fnmatch(pattern, arena_dup(r->arena, s.p, s.n), 0) == 0;
}

bool trace_filter_matches(const struct trace_filter *f, struct request *r)
{
    if (f->status_from && (r->response.status < f->status_from || r->response.status > f->status_to))
        return false;
    if (f->has_phase && !r->phase_us[f->phase])
        return false;
    return globs(f->host, r, r->host) && globs(f->path, r, r->original_uri) && globs(f->method, r, r->original_method);
}
