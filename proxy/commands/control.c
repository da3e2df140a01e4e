/*
 * glassproxy control: commands of the control socket from a shell, for scripts and for what has no view of its own.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "commands/attach.h"
#include "commands/commands.h"

static const char usage[] =
    "Usage: glassproxy control [-S socket] [-f] command...\n\n"
    "Sends commands to a running proxy and prints the answers, a line each. A command is a JSON object, or its name with\n"
    "members behind it:\n"
    "    glassproxy control 'break phase=connect filter=path=/api/*'\n"
    "    glassproxy control debug '{\"cmd\":\"edit\",\"request\":7,\"changes\":{\"method\":\"PUT\"}}' 'step request=7'\n"
    "With -f it stays and prints what happens: breakpoints act as long as a debugger (\"debug\") is attached.\n"
    "ARCHITECTURE.md lists the commands. Exit status: 1 if one was refused.\n";

/* "name member=value …": numbers, true and false are those; all else, and what follows filter=, is text. */
static json_t *from_words(const char *s)
{
    char *copy = strdup(s), *save = NULL, *word = copy ? strtok_r(copy, " ", &save) : NULL;
    json_t *command = json_object();

    json_object_set_new(command, "cmd", json_string(word ? word : ""));
    while ((word = strtok_r(NULL, " ", &save))) {
        char *value = strchr(word, '='), *end;
        long long n;
        if (!value) {
            json_object_set_new(command, word, json_true());
            continue;
        }
        *value++ = '\0';
        if (strcmp(word, "filter") == 0 || strcmp(word, "phase") == 0) { /* blanks belong to it, up to the next known member */
            const char *rest = s + (value - copy);
            const char *stop = strcmp(word, "phase") == 0 ? strstr(rest, " filter=") : NULL;
            char *text = strndup(rest, stop ? (size_t)(stop - rest) : strlen(rest));
            json_object_set_new(command, word, json_string(text ? text : ""));
            free(text);
            if (!stop)
                break;
            while ((word = strtok_r(NULL, " ", &save)) && strncmp(word, "filter=", 7) != 0)
                ;
            if (word)
                json_object_set_new(command, "filter", json_string(s + (word - copy) + 7));
            break;
        }
        n = strtoll(value, &end, 10);
        if (*value && !*end)
            json_object_set_new(command, word, json_integer(n));
        else if (strcmp(value, "true") == 0 || strcmp(value, "false") == 0)
            json_object_set_new(command, word, json_boolean(value[0] == 't'));
        else
            json_object_set_new(command, word, json_string(value));
    }
    free(copy);
    return command;
}

int command_control(int argc, char **argv)
{
    const char *socket_path = "logs/glassproxy.sock";
    bool follows = false;
    int option, rc = 0, waiting = 0;
    char *line = NULL;
    size_t room = 0;
    FILE *control;

    while ((option = getopt(argc, argv, "S:fh")) != -1)
        switch (option) {
        case 'S': socket_path = optarg; break;
        case 'f': follows = true; break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    if (optind == argc) {
        fputs(usage, stderr);
        return 1;
    }
    control = attach(socket_path);
    if (!control)
        return 1;
    for (; optind < argc; optind++, waiting++) {
        json_error_t where;
        json_t *command = argv[optind][0] == '{' ? json_loads(argv[optind], 0, &where) : from_words(argv[optind]);
        if (!command) {
            fprintf(stderr, "glassproxy: \"%s\": %s at column %d\n", argv[optind], where.text, where.column);
            rc = 1;
            break;
        }
        attach_send(control, command);
    }
    while ((waiting > 0 || follows) && getline(&line, &room, control) > 0) {
        json_t *o = json_loads(line, 0, NULL);
        bool is_event = json_object_get(o, "event") != NULL;
        waiting -= !is_event;
        if (json_is_false(json_object_get(o, "ok")))
            rc = 1;
        if (!is_event || follows)
            fputs(line, stdout);
        fflush(stdout);
        json_decref(o);
    }
    free(line);
    fclose(control);
    return rc;
}
