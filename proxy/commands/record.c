/*
 * glassproxy record: finished requests, with all that is known of them, into a file of JSON lines. `glassproxy diff` reads it.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/attach.h"
#include "commands/commands.h"

static const char usage[] =
    "Usage: glassproxy record [-S socket] [-n count] -o file [filter]\n\n"
    "Writes each finished request that the filter matches into FILE, a line each, until it is interrupted or COUNT are\n"
    "written. What glass_mask hides is not recorded either.\n";

static volatile sig_atomic_t is_interrupted;

static void interrupted(int signal_number)
{
    (void)signal_number;
    is_interrupted = 1;
}

int command_record(int argc, char **argv)
{
    const char *socket_path = "logs/glassproxy.sock", *path = NULL;
    struct sigaction on_signal = {.sa_handler = interrupted};
    long long limit = -1, n = 0;
    char *line = NULL, filter[4096] = "";
    size_t room = 0;
    FILE *control, *out;
    int option, rc = 0;

    while ((option = getopt(argc, argv, "S:n:o:h")) != -1)
        switch (option) {
        case 'S': socket_path = optarg; break;
        case 'n': limit = atoll(optarg); break;
        case 'o': path = optarg; break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    if (!path || limit == 0) {
        fputs(usage, stderr);
        return 1;
    }
    for (; optind < argc; optind++)
        snprintf(filter + strlen(filter), sizeof filter - strlen(filter), " %s", argv[optind]);
    control = attach(socket_path);
    if (!control)
        return 1;
    out = fopen(path, "we");
    if (!out) {
        fprintf(stderr, "glassproxy: open() \"%s\" failed: %s\n", path, strerror(errno));
        return 1;
    }
    sigaction(SIGINT, &on_signal, NULL); /* without SA_RESTART: getline() ends */
    sigaction(SIGTERM, &on_signal, NULL);
    attach_send(control, json_pack("{s:s,s:s,s:s}", "cmd", "subscribe", "detail", "full", "filter", filter));
    while (!is_interrupted && n != limit && getline(&line, &room, control) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        const char *event = json_string_value(json_object_get(o, "event")), *error = json_string_value(json_object_get(o, "error"));
        if (error) {
            fprintf(stderr, "glassproxy: %s\n", error);
            rc = 1;
        } else if (event && strcmp(event, "request") == 0) {
            if (fputs(line, out) < 0 || fflush(out) < 0) {
                fprintf(stderr, "glassproxy: write() to \"%s\" failed: %s\n", path, strerror(errno));
                rc = 1;
            }
            n++;
        } else if (event && strcmp(event, "dropped") == 0) {
            fprintf(stderr, "glassproxy: %lld requests were too fast and are not recorded\n", (long long)json_integer_value(json_object_get(o, "count")));
        }
        json_decref(o);
        if (rc)
            break;
    }
    free(line);
    fclose(control);
    if (fclose(out) != 0)
        rc = 1;
    fprintf(stderr, "glassproxy: %lld requests recorded\n", n);
    return rc;
}
