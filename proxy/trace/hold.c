/*
 * Breakpoints and held requests: see hold.h.
 */
#include "trace/hold.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "filters/response.h"
#include "http/connection.h"
#include "http/log.h"
#include "phases/engine.h"
#include "trace/filter.h"
#include "trace/json_write.h"
#include "trace/trace.h"
#include "upstream/upstream.h"
#include "util/mem.h"

enum { MAX_BREAKPOINTS = 1000 };

struct breakpoint {
    struct breakpoint *next;
    unsigned id;
    bool has_phase, is_once, is_enabled;
    enum phase phase;
    unsigned long hits;
    struct arena *arena;
    struct str text;
    struct filter *filter;
};

struct hold {
    struct request *r; /* NULL: it ended meanwhile */
    struct hold *next;
    struct timer timer;
    void (*go_on)(struct request *r);
    unsigned breakpoint, abort_status; /* 0: a step */
    bool is_client_gone, is_upstream_gone, is_released;
};

static struct breakpoint *breakpoints;
static unsigned last_id, n_debuggers, n_held;
static unsigned long n_not_held;
static struct hold *held;
static char *path;

static struct loop *loop_of(const struct request *r)
{
    return r->connection->worker->loop;
}

/* --- holding --- */

static void tell(struct request *r, const char *event, const char *why)
{
    if (trace_watcher && trace_watcher->held)
        trace_watcher->held(r, event, why);
}

static struct breakpoint *find_hit(struct request *r)
{
    for (struct breakpoint *b = breakpoints; b; b = b->next)
        if (b->is_enabled && (!b->has_phase || b->phase == r->phase) && filter_matches(b->filter, r))
            return b;
    return NULL;
}

static void save(void);

static void timed_out(struct timer *t)
{
    struct hold *h = t->data;

    if (h->r && !h->is_released) {
        trace_step(h->r, NULL, STR(""), STR(""), "held for glass_hold_timeout: it goes on");
        hold_release(h->r, STEP_NONE);
    }
}

bool hold_here(struct request *r, void (*go_on)(struct request *r))
{
    enum step step = (enum step)r->step;
    struct hold_settings settings;
    struct breakpoint *b;
    struct hold *h, **at;

    if ((!breakpoints && !step) || step == STEP_NEVER || r->is_dry_run || !r->connection || r->connection->is_closing)
        return false;
    settings = trace_hold_settings(r->conf);
    if (!n_debuggers && !settings.acts_detached)
        return false;
    b = find_hit(r);
    if (!b && !(step == STEP_PHASE || (step == STEP_GROUP && strcmp(phase_table[r->phase].group, phase_table[r->step_from].group) != 0)))
        return false;
    if (b) {
        b->hits++;
        if (b->is_once) {
            b->is_enabled = false;
            save();
        }
    }
    if (n_held >= settings.limit || r->connection->worker->is_quitting) {
        n_not_held++;
        tell(r, "not held", "glass_hold_limit requests are held already");
        return false;
    }
    h = mem_zalloc(sizeof *h);
    h->r = r;
    h->go_on = go_on;
    h->breakpoint = b ? b->id : 0;
    h->timer.handler = timed_out;
    h->timer.data = h;
    r->hold = h;
    r->step = STEP_NONE;
    n_held++;
    for (at = &held; *at; at = &(*at)->next)
        ;
    *at = h;
    if (settings.timeout_ms)
        timer_start(loop_of(r), &h->timer, settings.timeout_ms);
    if (r->upstream)
        upstream_park(r);
    tell(r, "held", b ? "breakpoint" : "step");
    return true;
}

static void unlink_hold(struct hold *h)
{
    for (struct hold **at = &held; *at; at = &(*at)->next)
        if (*at == h) {
            *at = h->next;
            n_held--;
            return;
        }
}

void hold_forget(struct request *r)
{
    struct hold *h = r->hold;
    bool is_client_gone;

    if (!h)
        return;
    r->hold = NULL;
    h->r = NULL;
    timer_stop(loop_of(r), &h->timer);
    is_client_gone = h->is_client_gone;
    if (h->is_released)
        return; /* run_released() frees it */
    unlink_hold(h);
    mem_free(h);
    tell(r, "ended", is_client_gone ? "it ended while it was held: the client went away" : "it ended while it was held");
}

void hold_note(struct request *r, enum hold_news news)
{
    bool *flag = news == HOLD_CLIENT_GONE ? &r->hold->is_client_gone : &r->hold->is_upstream_gone;

    if (news == HOLD_EDITED) {
        tell(r, "changed", "edited");
        return;
    }
    if (*flag)
        return;
    *flag = true;
    trace_step(r, NULL, STR(""), STR(""), news == HOLD_CLIENT_GONE ? "the client closed the connection while the request was held"
                                                                   : "the upstream closed the connection while the request was held");
    tell(r, "changed", news == HOLD_CLIENT_GONE ? "client gone" : "upstream gone");
}

static void go_on(void *data)
{
    struct hold *h = data;
    struct request *r = h->r;

    if (!h->abort_status)
        h->go_on(r);
    else if (r->response.is_header_sent || h->abort_status == 444)
        connection_close(r->connection);
    else if (r->upstream && r->upstream->state != UPSTREAM_FINISHED)
        upstream_fail(r, h->abort_status);
    else
        request_fail(r, h->abort_status);
}

static void run_released(void *data)
{
    struct hold *h = data;

    if (h->r) {
        struct connection *c = h->r->connection;
        h->r->hold = NULL;
        if (!loop_guard(go_on, h))
            connection_close(c);
        else if (!c->is_closing)
            connection_flush(c);
    }
    mem_free(h);
}

static const char *release(struct request *r, const char *why)
{
    struct hold *h = r->hold;

    if (!h || h->is_released)
        return "the request is not held";
    h->is_released = true;
    timer_stop(loop_of(r), &h->timer);
    unlink_hold(h);
    tell(r, "resumed", why);
    loop_post(loop_of(r), run_released, h);
    return NULL;
}

const char *hold_release(struct request *r, enum step step)
{
    static const char *const words[] = {"continue", "step", "next"};

    r->step = step;
    r->step_from = r->phase;
    return release(r, words[step]);
}

const char *hold_abort(struct request *r, struct str who, long long status)
{
    if (!r->hold)
        return "the request is not held";
    if (status < 200 || status > 599)
        return "\"status\" must be from 200 to 599 (444 closes the connection)";
    trace_step(r, NULL, STR(""), arena_printf(r->arena, "%lld", status), arena_printf(r->arena, "aborted by %.*s while it was held", STR_ARG(who)).p);
    r->hold->abort_status = (unsigned)status;
    r->step = STEP_NEVER;
    return release(r, "abort");
}

void hold_release_all(const char *why)
{
    while (held) {
        held->r->step = STEP_NONE;
        release(held->r, why);
    }
}

struct request *hold_find(uint64_t id)
{
    for (struct hold *h = held; h; h = h->next)
        if (h->r->id == id)
            return h->r;
    return NULL;
}

struct request *hold_next(struct request *r)
{
    struct hold *next = r ? r->hold->next : held;

    return next ? next->r : NULL;
}

void hold_set_debuggers(unsigned n)
{
    n_debuggers = n;
    if (n == 0 && held && !trace_hold_settings(held->r->conf).acts_detached)
        hold_release_all("the last debugger has gone");
}

void hold_describe(struct buf *b, const struct request *r)
{
    const struct hold *h = r->hold;

    if (!h)
        return;
    write_open(b, "held", '{');
    write_num(b, "breakpoint", h->breakpoint);
    write_bool(b, "client_gone", h->is_client_gone);
    write_bool(b, "upstream_gone", h->is_upstream_gone);
    write_close(b, '}');
}

/* --- breakpoints --- */

static struct breakpoint *find(unsigned id)
{
    for (struct breakpoint *b = breakpoints; b; b = b->next)
        if (b->id == id)
            return b;
    return NULL;
}

static const char *add(struct str phase, struct str text, bool is_once, bool is_enabled, unsigned *id)
{
    static char words[300];
    struct breakpoint **at, *b;
    struct filter_error error;
    unsigned n = 0;

    for (at = &breakpoints; *at; at = &(*at)->next)
        n++;
    if (n >= MAX_BREAKPOINTS)
        return "there are too many breakpoints";
    b = mem_zalloc(sizeof *b);
    while (phase.n && b->phase < PHASE_COUNT && !str_ieq(phase, str_of(phase_table[b->phase].name)))
        b->phase++;
    if (b->phase == PHASE_COUNT) {
        int used = snprintf(words, sizeof words, "there is no phase \"%.*s\":", (int)(phase.n < 40 ? phase.n : 40), phase.p);
        for (int i = 0; i < PHASE_COUNT && used < (int)sizeof words; i++)
            used += snprintf(words + used, sizeof words - (size_t)used, "%s %s", i ? "," : "", phase_table[i].name);
        mem_free(b);
        return words;
    }
    b->has_phase = phase.n > 0;
    b->arena = arena_new(512);
    b->text = arena_str(b->arena, text);
    b->filter = filter_compile(b->arena, b->text, &error);
    if (error.words[0]) {
        snprintf(words, sizeof words, "filter, column %u: %s", error.column, error.words);
        arena_free(b->arena);
        mem_free(b);
        return words;
    }
    b->id = *id = ++last_id;
    b->is_once = is_once;
    b->is_enabled = is_enabled;
    *at = b;
    return NULL;
}

const char *breakpoint_add(struct str phase, struct str text, bool is_once, unsigned *id)
{
    const char *error = add(phase, text, is_once, true, id);

    if (!error)
        save();
    return error;
}

const char *breakpoint_enable(unsigned id, bool is_enabled)
{
    struct breakpoint *b = find(id);

    if (!b)
        return "there is no such breakpoint";
    b->is_enabled = is_enabled;
    save();
    return NULL;
}

static void free_breakpoint(struct breakpoint *b)
{
    arena_free(b->arena);
    mem_free(b);
}

const char *breakpoint_delete(unsigned id)
{
    for (struct breakpoint **at = &breakpoints; *at; at = &(*at)->next)
        if ((*at)->id == id) {
            struct breakpoint *b = *at;
            *at = b->next;
            free_breakpoint(b);
            save();
            return NULL;
        }
    return "there is no such breakpoint";
}

static void describe_breakpoint(struct buf *b, const struct breakpoint *p)
{
    write_open(b, NULL, '{');
    write_num(b, "id", p->id);
    write_str(b, "phase", p->has_phase ? str_of(phase_table[p->phase].name) : STR(""));
    write_str(b, "filter", p->text);
    write_bool(b, "once", p->is_once);
    write_bool(b, "enabled", p->is_enabled);
    write_num(b, "hits", (long long)p->hits);
    write_close(b, '}');
}

void breakpoints_describe(struct buf *b)
{
    write_open(b, "breakpoints", '[');
    for (const struct breakpoint *p = breakpoints; p; p = p->next)
        describe_breakpoint(b, p);
    write_close(b, ']');
    write_num(b, "held", n_held);
    write_num(b, "not_held", (long long)n_not_held);
    write_num(b, "debuggers", n_debuggers);
}

/* A handful of lines, into the page cache; renamed so that the file is whole at any time. */
static void save(void)
{
    struct buf b = {0};
    char made[4096];
    FILE *f;
    bool is_written;

    if (!path)
        return;
    snprintf(made, sizeof made, "%s.new", path);
    f = fopen(made, "we");
    if (!f)
        return;
    write_open(&b, NULL, '{');
    breakpoints_describe(&b);
    write_close(&b, '}');
    is_written = fwrite(buf_str(&b).p, 1, buf_len(&b), f) == buf_len(&b);
    buf_free(&b);
    if (fclose(f) == 0 && is_written)
        rename(made, path);
    else
        unlink(made);
}

void breakpoints_open(struct str at)
{
    json_t *file, *one;
    size_t i;

    breakpoints_close();
    if (at.n == 0)
        return;
    path = mem_alloc(at.n + 1);
    memcpy(path, at.p, at.n);
    path[at.n] = '\0';
    file = json_load_file(path, 0, NULL);
    json_array_foreach(json_object_get(file, "breakpoints"), i, one)
    {
        const char *phase = json_string_value(json_object_get(one, "phase")), *text = json_string_value(json_object_get(one, "filter"));
        unsigned id;
        add(str_of(phase ? phase : ""), str_of(text ? text : ""), json_is_true(json_object_get(one, "once")), json_is_true(json_object_get(one, "enabled")), &id);
    }
    json_decref(file);
}

void breakpoints_close(void)
{
    while (breakpoints) {
        struct breakpoint *b = breakpoints;
        breakpoints = b->next;
        free_breakpoint(b);
    }
    mem_free(path);
    path = NULL;
    last_id = 0;
}
