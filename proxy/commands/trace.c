/*
 * glassproxy trace: a client of the control socket.
 */
#include <stdio.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/attach.h"
#include "commands/commands.h"

static const char usage[] =
    "Usage: glassproxy trace [-S socket] [--json] [--full] [--phases] [--list] [--get N] [--body N]\n"
    "                        [--of request|response] [--raw] [--config] [--logs] [--stats] [--breakpoints] [--held]\n"
    "                        [--host glob] [--path glob] [--method glob] [--status 404|5xx] [--phase name] [filter]\n\n"
    "Follows the requests of a running proxy. The socket is that beside the pid file (logs/glassproxy.sock).\n"
    "  --list    the finished requests that are kept, and ends\n"
    "  --get N   all about request N, and ends\n"
    "  --body N  the body of request N (the response's unless --of says otherwise), decompressed unless --raw, and ends\n"
    "  --phases  each phase with what went in and came out; --logs the last lines of the error log, and those to come\n"
    "A filter: method=POST and (host=*.test or path~^/api/) and not header.x-debug and status>=500\n";

struct view {
    bool as_json, is_full, has_colour, is_done, follows_logs;
    int rc;
};

static void show_line(struct view *v, const char *line)
{
    json_t *o = json_loads(line, 0, NULL), *list, *detail;
    const char *event = json_string_value(json_object_get(o, "event"));
    size_t i;
    json_t *one;

    if (json_is_false(json_object_get(o, "ok"))) {
        fprintf(stderr, "glassproxy: %s\n", json_string_value(json_object_get(o, "error")));
        v->rc = 1;
        v->is_done = true;
    } else if (v->as_json) {
        fputs(line, stdout);
        v->is_done |= !event && !json_object_get(o, "subscribed");
    } else if (event && strcmp(event, "dropped") == 0) {
        printf("(%lld events were dropped: this terminal is slower than the traffic)\n", (long long)json_integer_value(json_object_get(o, "count")));
    } else if (event && strcmp(event, "sampled") == 0) {
        printf("(%lld more events were not shown)\n", (long long)json_integer_value(json_object_get(o, "count")));
    } else if (event && strcmp(event, "log") == 0) {
        show_log(stdout, o, v->has_colour);
    } else if (event && strcmp(event, "phase") == 0) {
        show_phase(stdout, o, v->has_colour);
    } else if (event) {
        show_summary(stdout, o, v->has_colour);
        if (v->is_full) {
            show_request(stdout, o, v->has_colour);
            putchar('\n');
        }
    } else if ((list = json_object_get(o, "requests"))) {
        json_array_foreach(list, i, one)
            show_summary(stdout, one, v->has_colour);
        v->is_done = true;
    } else if ((detail = json_object_get(o, "detail"))) {
        show_summary(stdout, detail, v->has_colour);
        show_request(stdout, detail, v->has_colour);
        v->is_done = true;
    } else if ((detail = json_object_get(o, "body"))) {
        show_body(stdout, detail);
        v->is_done = true;
    } else if ((list = json_object_get(o, "lines"))) {
        json_array_foreach(list, i, one)
            show_log(stdout, one, v->has_colour);
        v->follows_logs = true;
    } else if (json_object_get(o, "accepted") || json_object_get(o, "directives") || json_object_get(o, "breakpoints")) {
        char *text = json_dumps(o, JSON_INDENT(2));
        puts(text ? text : "");
        free(text);
        v->is_done = true;
    }
    json_decref(o);
    fflush(stdout);
}

/* Adds NAME=VALUE, or the words of a filter, to FILTER. */
static void add_condition(char *filter, size_t room, const char *name, const char *value)
{
    size_t n = strlen(filter);

    if (*name)
        snprintf(filter + n, room - n, " %s=\"%s\"", name, value);
    else
        snprintf(filter + n, room - n, " %s", value);
}

int command_trace(int argc, char **argv)
{
    enum { HOST = 256, PATH, METHOD, STATUS, PHASE, FULL, PHASES, LIST, GET, CONFIG, STATS, BODY, OF, RAW, LOGS, BREAKPOINTS, HELD };
    static const struct option longs[] = {
        {"json", no_argument, NULL, 'j'}, {"host", required_argument, NULL, HOST}, {"path", required_argument, NULL, PATH},
        {"method", required_argument, NULL, METHOD}, {"status", required_argument, NULL, STATUS}, {"phase", required_argument, NULL, PHASE},
        {"full", no_argument, NULL, FULL}, {"phases", no_argument, NULL, PHASES}, {"list", no_argument, NULL, LIST},
        {"get", required_argument, NULL, GET}, {"config", no_argument, NULL, CONFIG}, {"stats", no_argument, NULL, STATS},
        {"body", required_argument, NULL, BODY}, {"of", required_argument, NULL, OF}, {"raw", no_argument, NULL, RAW}, {"logs", no_argument, NULL, LOGS},
        {"breakpoints", no_argument, NULL, BREAKPOINTS}, {"held", no_argument, NULL, HELD}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    static const char *const members[] = {"host", "path", "method", "status", "phase"};
    const char *socket_path = "logs/glassproxy.sock";
    json_t *command = json_object();
    char filter[4096] = "";
    struct view v = {.has_colour = isatty(1)};
    char *line = NULL;
    size_t room = 0;
    FILE *control;
    int option;

    json_object_set_new(command, "cmd", json_string("subscribe"));
    json_object_set_new(command, "of", json_string("response"));
    json_object_set_new(command, "decode", json_true());
    while ((option = getopt_long(argc, argv, "S:jh", longs, NULL)) != -1)
        switch (option) {
        case 'S': socket_path = optarg; break;
        case 'j': v.as_json = true; break;
        case HOST: case PATH: case METHOD: case STATUS: case PHASE:
            add_condition(filter, sizeof filter, members[option - HOST], optarg);
            break;
        case FULL:
            v.is_full = true;
            json_object_set_new(command, "detail", json_string("full"));
            break;
        case PHASES: json_object_set_new(command, "phases", json_true()); break;
        case LIST: json_object_set_new(command, "cmd", json_string("list")); break;
        case GET:
            json_object_set_new(command, "cmd", json_string("get"));
            json_object_set_new(command, "request", json_integer(atoll(optarg)));
            break;
        case CONFIG: json_object_set_new(command, "cmd", json_string("config")); break;
        case BODY:
            json_object_set_new(command, "cmd", json_string("body"));
            json_object_set_new(command, "request", json_integer(atoll(optarg)));
            break;
        case OF: json_object_set_new(command, "of", json_string(optarg)); break;
        case RAW: json_object_set_new(command, "decode", json_false()); break;
        case LOGS: json_object_set_new(command, "cmd", json_string("logs")); break;
        case BREAKPOINTS: json_object_set_new(command, "cmd", json_string("breakpoints")); break;
        case HELD: json_object_set_new(command, "cmd", json_string("held")); break;
        case STATS: json_object_set_new(command, "cmd", json_string("stats")); break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    for (; optind < argc; optind++)
        add_condition(filter, sizeof filter, "", argv[optind]);
    json_object_set_new(command, "filter", json_string(filter));
    control = attach(socket_path);
    if (!control)
        return 1;
    attach_send(control, command);
    while (!v.is_done && getline(&line, &room, control) > 0) {
        show_line(&v, line);
        if (v.follows_logs) /* only once: what is there came, now what is to come */
            attach_send(control, json_pack("{s:s,s:s,s:b}", "cmd", "subscribe", "filter", "not method", "logs", 1));
        v.follows_logs = false;
    }
    free(line);
    fclose(control);
    return v.rc;
}
