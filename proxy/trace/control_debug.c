/*
 * Commands of the control socket that stop, hold and change requests: what a debugger needs.
 */
#include "trace/control_command.h"

#include "trace/edit.h"
#include "trace/hold.h"
#include "trace/json_write.h"
#include "trace/trace.h"

static void describe_held(struct buf *b)
{
    write_open(b, "requests", '[');
    for (struct request *r = hold_next(NULL); r; r = hold_next(r)) {
        write_open(b, NULL, '{');
        trace_describe_summary(b, r);
        write_close(b, '}');
    }
    write_close(b, ']');
}

static const char *debug(struct client *c, const json_t *command, struct buf *b)
{
    const json_t *on = json_object_get(command, "on");

    if (on && !json_is_boolean(on))
        return "\"on\" must be true or false";
    control_set_debugger(c, !on || json_is_true(on));
    breakpoints_describe(b);
    return NULL;
}

static const char *add_breakpoint(struct client *c, const json_t *command, struct buf *b)
{
    unsigned id;
    const char *error = breakpoint_add(control_member(command, "phase"), control_member(command, "filter"), json_is_true(json_object_get(command, "once")), &id);

    (void)c;
    if (!error)
        write_num(b, "breakpoint", id);
    return error;
}

static const char *list_breakpoints(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command;
    breakpoints_describe(b);
    return NULL;
}

static const char *breakpoint_id(const json_t *command, unsigned *id)
{
    const json_t *n = json_object_get(command, "breakpoint");

    if (!json_is_integer(n) || json_integer_value(n) < 1)
        return "\"breakpoint\" must be a breakpoint's number";
    *id = (unsigned)json_integer_value(n);
    return NULL;
}

static const char *enable(struct client *c, const json_t *command, struct buf *b)
{
    unsigned id;
    const char *error = breakpoint_id(command, &id);

    (void)c, (void)b;
    return error ? error : breakpoint_enable(id, true);
}

static const char *disable(struct client *c, const json_t *command, struct buf *b)
{
    unsigned id;
    const char *error = breakpoint_id(command, &id);

    (void)c, (void)b;
    return error ? error : breakpoint_enable(id, false);
}

static const char *delete_breakpoint(struct client *c, const json_t *command, struct buf *b)
{
    unsigned id;
    const char *error = breakpoint_id(command, &id);

    (void)c, (void)b;
    return error ? error : breakpoint_delete(id);
}

static const char *list_held(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command;
    describe_held(b);
    return NULL;
}

static const char *held_request(const json_t *command, struct request **r)
{
    const json_t *id = json_object_get(command, "request");

    if (!json_is_integer(id))
        return "\"request\" must be a number";
    *r = hold_find((uint64_t)json_integer_value(id));
    return *r ? NULL : "the request is not held";
}

static const char *release(const json_t *command, enum step step)
{
    struct request *r;
    const char *error = held_request(command, &r);

    return error ? error : hold_release(r, step);
}

static const char *step(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)b;
    return release(command, STEP_PHASE);
}

static const char *next(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)b;
    return release(command, STEP_GROUP);
}

static const char *go_on(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)b;
    if (!json_is_true(json_object_get(command, "all")))
        return release(command, STEP_NONE);
    hold_release_all("continue all");
    return NULL;
}

static const char *abort_request(struct client *c, const json_t *command, struct buf *b)
{
    const json_t *status = json_object_get(command, "status");
    struct request *r;
    const char *error = held_request(command, &r);

    (void)b;
    if (error)
        return error;
    if (status && !json_is_integer(status))
        return "\"status\" must be a number";
    return hold_abort(r, control_who(c), status ? (long long)json_integer_value(status) : 503);
}

static const char *edit(struct client *c, const json_t *command, struct buf *b)
{
    struct request *r;
    const char *error = held_request(command, &r);

    if (!error)
        error = request_edit(r, control_who(c), json_object_get(command, "changes"));
    if (error)
        return error;
    hold_note(r, HOLD_EDITED);
    write_open(b, "detail", '{');
    trace_describe(b, r);
    write_close(b, '}');
    return NULL;
}

static const char *list_phases(struct client *c, const json_t *command, struct buf *b)
{
    (void)c, (void)command;
    write_open(b, "phases", '[');
    for (int i = 0; i < PHASE_COUNT; i++) {
        write_open(b, NULL, '{');
        write_str(b, "name", str_of(phase_table[i].name));
        write_str(b, "group", str_of(phase_table[i].group));
        write_str(b, "may_change", str_of(phase_table[i].may_change));
        write_close(b, '}');
    }
    write_close(b, ']');
    return NULL;
}

const struct control_row control_debug_rows[] = {
    {"debug", debug}, {"break", add_breakpoint}, {"breakpoints", list_breakpoints}, {"enable", enable}, {"disable", disable},
    {"delete", delete_breakpoint}, {"held", list_held}, {"step", step}, {"next", next}, {"continue", go_on},
    {"abort", abort_request}, {"edit", edit}, {"phases", list_phases}, {NULL, NULL}};
