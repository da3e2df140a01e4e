/*
 * What the interface knows of the proxy: see model.h.
 */
#include "model/model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const sort_names[SORT_COUNT] = {"time", "status", "duration", "host", "URI"};

void model_say(struct model *m, bool is_error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(m->message, sizeof m->message, format, args);
    va_end(args);
    m->is_error = is_error;
}

void model_ask(struct model *m, enum purpose purpose, json_t *command)
{
    json_object_set_new(command, "id", json_integer(purpose));
    link_send(&m->link, command);
}

/* --- the list --- */

static json_t *at(const struct model *m, int i)
{
    return m->requests[(m->first + i) % KEPT_REQUESTS];
}

bool model_is_held(const json_t *summary)
{
    return json_object_get(summary, "held") != NULL;
}

static const char *key_of(const json_t *summary, char room[32])
{
    snprintf(room, 32, "%lld", number(summary, "request"));
    return room;
}

bool model_is_marked(const struct model *m, const json_t *summary)
{
    char room[32];

    return json_object_get(m->marks, key_of(summary, room)) != NULL;
}

void model_mark(struct model *m, const json_t *summary)
{
    char room[32];
    const char *key = key_of(summary, room);

    if (json_object_get(m->marks, key))
        json_object_del(m->marks, key);
    else
        json_object_set_new(m->marks, key, json_true());
}

static const struct model *sorting;

static int compare(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    long long by = 0;

    switch (sorting->sort) {
    case SORT_STATUS: by = number(x, "status") - number(y, "status"); break;
    case SORT_DURATION: by = number(x, "duration_us") - number(y, "duration_us"); break;
    case SORT_HOST: by = strcmp(text(x, "host"), text(y, "host")); break;
    case SORT_URI: by = strcmp(text(x, "uri"), text(y, "uri")); break;
    case SORT_TIME: case SORT_COUNT: break;
    }
    if (by == 0)
        by = number(x, "request") - number(y, "request");
    if (sorting->is_reversed)
        by = -by;
    return by < 0 ? -1 : by > 0;
}

void model_list_again(struct model *m)
{
    bool is_there = false;

    m->n_shown = 0;
    for (int i = 0; i < m->n_held; i++)
        m->shown[m->n_shown++] = m->held[i];
    for (int i = 0; i < m->n; i++)
        if (!m->only_marked || model_is_marked(m, at(m, i)))
            m->shown[m->n_shown++] = at(m, i);
    if (m->sort != SORT_TIME || m->is_reversed) {
        sorting = m;
        qsort(m->shown + m->n_held, (size_t)(m->n_shown - m->n_held), sizeof m->shown[0], compare);
    }
    for (int i = 0; i < m->n_shown; i++)
        if (number(m->shown[i], "request") == m->chosen_id) {
            m->chosen = i;
            is_there = true;
        }
    if (m->follows && !(is_there && m->chosen < m->n_held))
        m->chosen = m->n_shown ? m->n_shown - 1 : 0;
    else if (m->chosen >= m->n_shown)
        m->chosen = m->n_shown ? m->n_shown - 1 : 0;
    m->has_new_list = true;
}

json_t *model_chosen(const struct model *m)
{
    return m->n_shown ? m->shown[m->chosen] : NULL;
}

static void forget_detail(struct model *m)
{
    json_decref(m->detail);
    json_decref(m->bodies[0]);
    json_decref(m->bodies[1]);
    m->detail = m->bodies[0] = m->bodies[1] = NULL;
    m->detail_id = 0;
    m->has_new_detail = true;
}

void model_ask_bodies(struct model *m)
{
    static const char *const of[] = {"request", "response"};

    for (int i = 0; i < 2; i++)
        model_ask(m, FOR_REQUEST_BODY + (enum purpose)i,
                  json_pack("{s:s,s:I,s:s,s:b}", "cmd", "body", "request", (json_int_t)m->chosen_id, "of", of[i], "decode", !m->wants_raw_bodies));
}

static void ask_detail(struct model *m)
{
    model_ask(m, FOR_DETAIL, json_pack("{s:s,s:I}", "cmd", "get", "request", (json_int_t)m->chosen_id));
    model_ask_bodies(m);
}

/* Asks for what is not known of the chosen request yet. */
static void follow_choice(struct model *m)
{
    const json_t *r = model_chosen(m);

    if (m->stepping && m->stepping == m->chosen_id)
        return; /* it is on its way, and comes back to the list */
    if (!r) {
        if (m->detail && m->chosen_id == 0)
            forget_detail(m);
        return;
    }
    if (number(r, "request") == m->chosen_id && m->chosen_id)
        return;
    m->chosen_id = number(r, "request");
    ask_detail(m);
}

void model_choose(struct model *m, int i)
{
    m->stepping = 0;
    m->chosen = i < 0 ? 0 : i >= m->n_shown ? m->n_shown ? m->n_shown - 1 : 0 : i;
    m->has_new_list = true;
    follow_choice(m);
}

void model_ask_chosen(struct model *m, const char *command)
{
    model_ask(m, FOR_COMMAND, json_pack("{s:s,s:I}", "cmd", command, "request", (json_int_t)m->chosen_id));
}

void model_step(struct model *m, const char *command)
{
    if (m->stepping == m->chosen_id && m->n_queued < (int)(sizeof m->queued / sizeof m->queued[0])) {
        m->queued[m->n_queued++] = command;
        return;
    }
    m->stepping = m->chosen_id;
    model_ask_chosen(m, command);
}

/* Request ID has stopped (or, with IS_OVER, will not any more). */
static void stopped(struct model *m, long long id, bool is_over)
{
    const char *command = m->queued[0];

    if (id != m->stepping)
        return;
    m->stepping = 0;
    if (is_over || m->n_queued == 0 || id != m->chosen_id) {
        m->n_queued = 0;
        return;
    }
    memmove(&m->queued[0], &m->queued[1], (size_t)--m->n_queued * sizeof m->queued[0]);
    model_step(m, command);
}

static void forget_requests(struct model *m)
{
    while (m->n)
        json_decref(at(m, --m->n));
    m->first = 0;
}

/* Takes R into the ring of the list, unless it is there: a list and an event may tell of the same request. */
static void keep(struct model *m, json_t *r)
{
    for (int i = m->n - 1; i >= 0 && i >= m->n - 400; i--)
        if (number(at(m, i), "request") == number(r, "request"))
            return;
    if (m->n == KEPT_REQUESTS) {
        json_decref(at(m, 0));
        m->first = (m->first + 1) % KEPT_REQUESTS;
        m->n--;
    }
    m->requests[(m->first + m->n++) % KEPT_REQUESTS] = json_incref(r);
}

static bool drop_held(struct model *m, long long id)
{
    for (int i = 0; i < m->n_held; i++)
        if (number(m->held[i], "request") == id) {
            json_decref(m->held[i]);
            memmove(&m->held[i], &m->held[i + 1], (size_t)(--m->n_held - i) * sizeof m->held[0]);
            return true;
        }
    return false;
}

static void keep_held(struct model *m, json_t *r)
{
    bool was_held = drop_held(m, number(r, "request"));
    const json_t *chosen = model_chosen(m);

    if (m->n_held == KEPT_HELD)
        return;
    m->held[m->n_held++] = json_incref(r);
    if (!was_held && (!chosen || !model_is_held(chosen)) && m->detail_id != number(r, "request"))
        m->chosen_id = 0; /* like a debugger: what stops is what one looks at */
    model_list_again(m);
    if (m->chosen_id == 0)
        model_choose(m, m->n_held - 1);
    else if (m->chosen_id == number(r, "request"))
        ask_detail(m);
}

/* --- what comes --- */

static void take_event(struct model *m, json_t *e)
{
    const char *event = text(e, "event");

    if (strcmp(event, "request") == 0) {
        if (m->is_paused)
            m->n_missed++;
        else
            keep(m, e);
        stopped(m, number(e, "request"), true);
        if (number(e, "request") == m->chosen_id)
            ask_detail(m);
    } else if (strcmp(event, "held") == 0 || strcmp(event, "changed") == 0) {
        if (strcmp(event, "held") == 0)
            model_say(m, false, "Request %lld is held at \"%s\" (%s)", number(e, "request"), text(e, "phase"), text(e, "why"));
        else
            model_say(m, false, "Request %lld, held at \"%s\": %s", number(e, "request"), text(e, "phase"), text(e, "why"));
        keep_held(m, e);
        if (strcmp(event, "held") == 0)
            stopped(m, number(e, "request"), false);
        if (strcmp(text(e, "why"), "breakpoint") == 0)
            model_ask(m, FOR_BREAKPOINTS, json_pack("{s:s}", "cmd", "breakpoints"));
    } else if (strcmp(event, "resumed") == 0 || strcmp(event, "ended") == 0) {
        drop_held(m, number(e, "request"));
        if (strcmp(event, "ended") == 0)
            model_say(m, true, "Request %lld: %s", number(e, "request"), text(e, "why"));
    } else if (strcmp(event, "not held") == 0) {
        model_say(m, true, "Request %lld is not held: %s", number(e, "request"), text(e, "why"));
    } else if (strcmp(event, "dropped") == 0) {
        m->n_dropped += number(e, "count");
    } else if (strcmp(event, "sampled") == 0) {
        m->n_sampled += number(e, "count");
    } else if (strcmp(event, "log") == 0) {
        if (m->n_logs == KEPT_LOGS) {
            json_decref(m->logs[m->first_log]);
            m->first_log = (m->first_log + 1) % KEPT_LOGS;
            m->n_logs--;
        }
        m->logs[(m->first_log + m->n_logs++) % KEPT_LOGS] = json_incref(e);
        m->has_new_logs = true;
    }
}

static void replace(json_t **at_, json_t *value)
{
    json_decref(*at_);
    *at_ = json_incref(value);
}

static void refused(struct model *m, enum purpose purpose, const char *error)
{
    switch (purpose) {
    case FOR_SUBSCRIPTION: case FOR_BREAKPOINTS:
        snprintf(m->problem, sizeof m->problem, "%s", error);
        model_say(m, true, "%s", error);
        break;
    case FOR_DETAIL: forget_detail(m); break; /* the ring has dropped it, or it has just gone on */
    case FOR_REQUEST_BODY: case FOR_RESPONSE_BODY: break;
    default: model_say(m, true, "%s", error); break;
    }
    m->is_reload_refused |= purpose == FOR_RELOAD;
}

static void take_answer(struct model *m, json_t *a)
{
    enum purpose purpose = (enum purpose)number(a, "id");
    size_t i;
    json_t *one;

    if (!flag(a, "ok")) {
        refused(m, purpose, text(a, "error"));
        return;
    }
    switch (purpose) {
    case FOR_HELLO:
        snprintf(m->conf, sizeof m->conf, "%s", text(a, "conf"));
        snprintf(m->prefix, sizeof m->prefix, "%s", text(a, "prefix"));
        break;
    case FOR_SUBSCRIPTION:
        m->problem[0] = '\0';
        snprintf(m->filter, sizeof m->filter, "%s", m->wanted_filter);
        break;
    case FOR_LIST:
        forget_requests(m);
        json_array_foreach(json_object_get(a, "requests"), i, one)
            keep(m, one);
        break;
    case FOR_HELD:
        json_array_foreach(json_object_get(a, "requests"), i, one)
            keep_held(m, one);
        break;
    case FOR_DETAIL: case FOR_EDIT: {
        json_t *d = json_object_get(a, "detail");
        if (number(d, "request") != m->chosen_id)
            break;
        if (m->detail_id != m->chosen_id) {
            replace(&m->bodies[0], NULL);
            replace(&m->bodies[1], NULL);
        }
        replace(&m->detail, d);
        m->detail_id = m->chosen_id;
        m->has_new_detail = true;
        if (purpose == FOR_EDIT)
            model_say(m, false, "Edited.");
        break;
    }
    case FOR_REQUEST_BODY: case FOR_RESPONSE_BODY:
        if (number(a, "request") == m->chosen_id) {
            replace(&m->bodies[purpose - FOR_REQUEST_BODY], json_object_get(a, "body"));
            m->has_new_detail = true;
        }
        break;
    case FOR_BREAKPOINTS:
        if (json_object_get(a, "breakpoint")) { /* one was made */
            model_say(m, false, "Breakpoint %lld is set.", number(a, "breakpoint"));
            model_ask(m, FOR_BREAKPOINTS, json_pack("{s:s}", "cmd", "breakpoints"));
        } else if (json_object_get(a, "breakpoints")) {
            replace(&m->breakpoints, json_object_get(a, "breakpoints"));
            m->has_new_breakpoints = true;
        } else {
            model_ask(m, FOR_BREAKPOINTS, json_pack("{s:s}", "cmd", "breakpoints"));
        }
        m->problem[0] = '\0';
        break;
    case FOR_STATS:
        replace(&m->stats_before, m->stats);
        replace(&m->stats, a);
        m->has_new_stats = true;
        break;
    case FOR_CONFIG:
        replace(&m->config, a);
        m->has_new_config = true;
        break;
    case FOR_LOGS:
        while (m->n_logs)
            json_decref(m->logs[(m->first_log + --m->n_logs) % KEPT_LOGS]);
        m->first_log = 0;
        json_array_foreach(json_object_get(a, "lines"), i, one)
            if (m->n_logs < KEPT_LOGS)
                m->logs[m->n_logs++] = json_incref(one);
        m->has_new_logs = true;
        break;
    case FOR_PHASES: replace(&m->phases, json_object_get(a, "phases")); break;
    case FOR_EXPORT:
        if (m->export)
            m->export(m->export_data, json_object_get(a, "detail"));
        break;
    case FOR_RELOAD:
        model_say(m, false, "The new configuration is in force.");
        model_ask(m, FOR_CONFIG, json_pack("{s:s}", "cmd", "config"));
        break;
    case FOR_NOTHING: case FOR_COMMAND: break;
    }
}

bool model_read(struct model *m)
{
    bool has_news = false, was_at_end = m->follows;
    json_t *one;

    if (!link_read(&m->link)) {
        link_close(&m->link);
        m->has_gone = true;
        while (m->n_held)
            json_decref(m->held[--m->n_held]);
        model_list_again(m);
        return false;
    }
    while ((one = link_next(&m->link))) {
        if (json_object_get(one, "event"))
            take_event(m, one);
        else
            take_answer(m, one);
        json_decref(one);
        has_news = true;
    }
    if (has_news) {
        model_list_again(m);
        if (was_at_end || m->chosen_id == 0 || !m->detail)
            follow_choice(m);
    }
    return true;
}

static void subscribe(struct model *m)
{
    model_ask(m, FOR_SUBSCRIPTION, json_pack("{s:s,s:s,s:b,s:i}", "cmd", "subscribe", "filter", m->wanted_filter, "logs", 1, "max_per_second", EVENTS_PER_SECOND));
    model_ask(m, FOR_LIST, json_pack("{s:s,s:s}", "cmd", "list", "filter", m->wanted_filter));
}

void model_set_filter(struct model *m, const char *filter)
{
    snprintf(m->wanted_filter, sizeof m->wanted_filter, "%s", filter);
    m->chosen_id = 0;
    subscribe(m);
}

void model_pause(struct model *m)
{
    m->is_paused = !m->is_paused;
    if (m->is_paused || !m->n_missed)
        return;
    m->n_missed = 0; /* what came meanwhile is still in the proxy's ring */
    model_ask(m, FOR_LIST, json_pack("{s:s,s:s}", "cmd", "list", "filter", m->filter));
}

int model_attach(struct model *m)
{
    if (link_open(&m->link, m->path) < 0)
        return -1;
    m->has_gone = false;
    if (!m->marks)
        m->marks = json_object();
    snprintf(m->wanted_filter, sizeof m->wanted_filter, "%s", m->filter);
    model_ask(m, FOR_HELLO, json_pack("{s:s,s:s}", "cmd", "hello", "who", m->who));
    model_ask(m, FOR_PHASES, json_pack("{s:s}", "cmd", "phases"));
    model_ask(m, FOR_BREAKPOINTS, json_pack("{s:s}", "cmd", "debug"));
    model_ask(m, FOR_CONFIG, json_pack("{s:s}", "cmd", "config"));
    model_ask(m, FOR_LOGS, json_pack("{s:s}", "cmd", "logs"));
    subscribe(m);
    model_ask(m, FOR_HELD, json_pack("{s:s}", "cmd", "held"));
    return 0;
}
