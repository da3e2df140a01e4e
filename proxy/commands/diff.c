/*
 * glassproxy diff: what would differ between two configurations, for requests that are given, recorded, or made up.
 *
 * Each request runs through both with the proxy's own code (commands/dry_run.h), and the two descriptions are compared.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "commands/dry_run.h"
#include "http/core.h"
#include "http/uri.h"
#include "util/arena.h"

static const char usage[] =
    "Usage: glassproxy diff [-p prefix] [--json] [--full] [--as path] [--request URL] [-H 'Name: value']... [-X method]\n"
    "                       [--recording file] OLD.conf NEW.conf\n\n"
    "Says what would differ: server, location, URI, headers, upstream, response. No network is used.\n"
    "  --request URL     one request: http://host[:port]/path, with -H and -X as for explain\n"
    "  --recording FILE  all requests of a file that `glassproxy record` or `trace --json --full` wrote\n"
    "  --as PATH         NEW.conf is read as though it stood at PATH (for its includes)\n"
    "  --full            both descriptions of each request too (with --json)\n"
    "Without a request, every location of either file is asked for. Exit status: 0 if nothing differs, 1 if something does,\n"
    "2 if it cannot be told.\n";

struct asked {
    struct str name; /* for people */
    struct dry_request q;
};

struct asked_list {
    struct arena *arena;
    ARRAY_OF(struct asked) all;
};

/* --- the requests --- */

static void ask(struct asked_list *list, const char *method, struct str authority, unsigned port, struct str target, struct str fields)
{
    struct asked *a = ARRAY_PUSH(&list->all, list->arena);

    a->q.port = port;
    a->q.from = STR("127.0.0.1:50000");
    if (target.n == 0 || target.p[0] != '/')
        target = arena_cat(list->arena, STR("/"), target);
    a->q.head = arena_printf(list->arena, "%s %.*s HTTP/1.1\r\n%s%.*s%s%.*s\r\n", method, STR_ARG(target), authority.n ? "Host: " : "", STR_ARG(authority), authority.n ? "\r\n" : "",
                             STR_ARG(fields));
    a->name = arena_printf(list->arena, "%s %.*s%.*s", method, STR_ARG(authority), STR_ARG(target));
}

static struct str join_fields(struct arena *a, const json_t *fields)
{
    struct buf b = {0};
    struct str s;
    size_t i;
    const json_t *f;

    json_array_foreach(fields, i, f)
        buf_printf(&b, "%s: %s\r\n", show_text(f, "name"), show_text(f, "value"));
    s = arena_str(a, buf_str(&b));
    buf_free(&b);
    return s;
}

/* A request as it was recorded, with the answer that the upstream gave. */
static const char *ask_recorded(struct asked_list *list, const json_t *d)
{
    const json_t *server = json_object_get(d, "server"), *answer = json_object_get(d, "upstream_response");
    struct str to = str_of(show_text(server, "address"));
    struct asked *a;
    long colon = -1;

    if (!*show_text(d, "request_line"))
        return "\"request_line\" is missing or empty";
    if (!json_is_array(json_object_get(d, "request_fields")))
        return "\"request_fields\" is missing";
    for (size_t i = 0; i < to.n; i++)
        if (to.p[i] == ':')
            colon = (long)i;
    a = ARRAY_PUSH(&list->all, list->arena);
    a->name = arena_printf(list->arena, "%s %s%s", show_text(d, "method"), show_text(d, "host"), show_text(d, "uri"));
    a->q.to = arena_str(list->arena, to);
    a->q.port = colon >= 0 ? (unsigned)str_number(str_skip(to, (size_t)colon + 1)) : 80;
    a->q.from = arena_str(list->arena, str_of(*show_text(d, "client") ? show_text(d, "client") : "127.0.0.1:50000"));
    if (str_has_prefix(a->q.from, STR("unix:")))
        a->q.from = STR("127.0.0.1:50000");
    a->q.head = arena_printf(list->arena, "%s\r\n%.*s\r\n", show_text(d, "request_line"), STR_ARG(join_fields(list->arena, json_object_get(d, "request_fields"))));
    if (json_integer_value(json_object_get(answer, "status"))) {
        struct str line = str_of(show_text(answer, "line"));
        a->q.answer = arena_printf(list->arena, "HTTP/1.1 %.*s\r\n%.*s\r\n",
                                   STR_ARG(line.n ? line : arena_printf(list->arena, "%lld ", json_integer_value(json_object_get(answer, "status")))),
                                   STR_ARG(join_fields(list->arena, json_object_get(answer, "fields"))));
    }
    return NULL;
}

static int read_recording(struct asked_list *list, const char *path)
{
    FILE *f = fopen(path, "re");
    char *line = NULL;
    size_t room = 0;
    unsigned n = 0;
    int rc = 0;

    if (!f) {
        fprintf(stderr, "glassproxy: open() \"%s\" failed: %s\n", path, strerror(errno));
        return -1;
    }
    while (rc == 0 && getline(&line, &room, f) > 0) {
        json_error_t where;
        json_t *d = json_loads(line, 0, &where);
        const char *error = d ? ask_recorded(list, d) : where.text;
        n++;
        if (error) {
            fprintf(stderr, "glassproxy: %s:%u: %s\n", path, n, error);
            rc = -1;
        }
        json_decref(d);
    }
    if (n == 0) {
        fprintf(stderr, "glassproxy: %s: there is no request in it\n", path);
        rc = -1;
    }
    free(line);
    fclose(f);
    return rc;
}

/* What clients call S: its first name, if it has one that can be asked for. */
static struct str name_of(const struct listener *l, const struct server *s)
{
    return s->name.n && s->names.n && s->names.items[0].kind == NAME_EXACT ? s->name : l->address.text;
}

static void ask_locations(struct asked_list *list, const struct listener *l, const struct server *s, const struct location *in)
{
    struct arena *a = list->arena;

    for (size_t i = 0; i < in->children.n; i++) {
        const struct location *one = in->children.items[i];
        struct str uri = uri_escape(a, one->name, ESCAPE_URI);
        if (one->kind == LOCATION_EXACT || one->kind == LOCATION_PREFIX || one->kind == LOCATION_PREFIX_NO_REGEX) {
            ask(list, "GET", name_of(l, s), l->port, uri, STR(""));
            if (one->kind != LOCATION_EXACT)
                ask(list, "GET", name_of(l, s), l->port, arena_cat(a, uri, STR("x?y=z")), STR(""));
        }
        ask_locations(list, l, s, one);
    }
}

/* Every location of C, once for each of its server's addresses. */
static void ask_everything(struct asked_list *list, struct conf *c)
{
    const struct core_main *m = core_main(c);

    for (size_t i = 0; i < m->listeners.n; i++)
        for (size_t k = 0; k < m->listeners.items[i]->servers.n; k++) {
            const struct server *s = m->listeners.items[i]->servers.items[k];
            ask(list, "GET", name_of(m->listeners.items[i], s), m->listeners.items[i]->port, STR("/"), STR(""));
            ask_locations(list, m->listeners.items[i], s, s->root);
        }
}

/* --- comparing --- */

static void differ(json_t *out, const char *what, const char *name, const char *old, const char *new, const char *old_place, const char *new_place)
{
    json_t *d;

    if (strcmp(old, new) == 0)
        return;
    d = json_pack("{s:s,s:s,s:s}", "what", what, "old", old, "new", new);
    if (*name)
        json_object_set_new(d, "name", json_string(name));
    if (*old_place)
        json_object_set_new(d, "old_place", json_string(old_place));
    if (*new_place)
        json_object_set_new(d, "new_place", json_string(new_place));
    json_array_append_new(out, d);
}

/* All values of NAME, one below the other; PLACE is that of the last one. */
static char *values(const json_t *fields, const char *name, const char **place)
{
    struct buf b = {0};
    char *out;
    size_t i;
    const json_t *f;

    *place = "";
    json_array_foreach(fields, i, f)
    {
        if (strcasecmp(show_text(f, "name"), name) != 0 || json_is_true(json_object_get(f, "removed")))
            continue;
        buf_printf(&b, "%s%s", buf_len(&b) ? "\n" : "", show_text(f, "value"));
        *place = show_text(json_object_get(f, "origin"), "place");
    }
    out = strndup(buf_str(&b).p, buf_len(&b));
    buf_free(&b);
    return out;
}

static void compare_fields(json_t *out, const char *what, const json_t *old, const json_t *new)
{
    const json_t *const lists[] = {old, new};
    json_t *seen = json_object();
    size_t i;
    const json_t *f;

    for (int l = 0; l < 2; l++)
        json_array_foreach(lists[l], i, f)
        {
            const char *old_place, *new_place;
            char *before, *after, lower[256];
            size_t n;
            for (n = 0; show_text(f, "name")[n] && n + 1 < sizeof lower; n++)
                lower[n] = ascii_lower(show_text(f, "name")[n]);
            lower[n] = '\0';
            if (json_object_get(seen, lower))
                continue;
            json_object_set_new(seen, lower, json_true());
            before = values(old, show_text(f, "name"), &old_place);
            after = values(new, show_text(f, "name"), &new_place);
            differ(out, what, show_text(f, "name"), before, after, old_place, new_place);
            free(before);
            free(after);
        }
    json_decref(seen);
}

static char *peers_text(const json_t *d)
{
    struct buf b = {0};
    char *out;
    size_t i;
    const json_t *p;

    json_array_foreach(json_object_get(d, "peers"), i, p)
        buf_printf(&b, "%s%s weight %lld%s%s", buf_len(&b) ? ", " : "", show_text(p, "address"), (long long)json_integer_value(json_object_get(p, "weight")),
                   json_is_true(json_object_get(p, "backup")) ? " backup" : "", json_is_true(json_object_get(p, "down")) ? " down" : "");
    out = strndup(buf_str(&b).p, buf_len(&b));
    buf_free(&b);
    return out;
}

static json_t *compare(const json_t *old, const json_t *new)
{
    json_t *out = json_array();
    const json_t *so = json_object_get(old, "server"), *sn = json_object_get(new, "server"), *lo = json_object_get(old, "chosen_location"),
                 *ln = json_object_get(new, "chosen_location"), *uo = json_object_get(old, "upstream_request"), *un = json_object_get(new, "upstream_request"),
                 *ro = json_object_get(old, "response"), *rn = json_object_get(new, "response");
    char *peers_old = peers_text(old), *peers_new = peers_text(new);

    differ(out, "server", "", show_text(so, "name"), show_text(sn, "name"), show_text(so, "place"), show_text(sn, "place"));
    differ(out, "location", "", show_text(lo, "name"), show_text(ln, "name"), show_text(lo, "place"), show_text(ln, "place"));
    differ(out, "uri", "", show_text(json_object_get(old, "uri_path"), "final"), show_text(json_object_get(new, "uri_path"), "final"), "", "");
    differ(out, "upstream request", "", show_text(uo, "line"), show_text(un, "line"), show_text(uo, "place"), show_text(un, "place"));
    compare_fields(out, "upstream header", json_object_get(uo, "fields"), json_object_get(un, "fields"));
    differ(out, "upstream", "", show_text(uo, "group"), show_text(un, "group"), show_text(uo, "group_place"), show_text(un, "group_place"));
    differ(out, "peers", "", peers_old, peers_new, show_text(uo, "group_place"), show_text(un, "group_place"));
    differ(out, "response", "", show_text(ro, "line"), show_text(rn, "line"), "", "");
    compare_fields(out, "response header", json_object_get(ro, "fields"), json_object_get(rn, "fields"));
    differ(out, "response body", "", show_text(ro, "text"), show_text(rn, "text"), "", "");
    free(peers_old);
    free(peers_new);
    return out;
}

static json_t *run_both(struct conf *old, struct conf *new, const struct asked *a, bool is_full)
{
    struct str error_old = STR(""), error_new = STR("");
    json_t *before = dry_run(old, &a->q, &error_old), *after = dry_run(new, &a->q, &error_new), *list;
    json_t *out = json_pack("{s:s%}", "request", a->name.p, a->name.n);

    if (before && after) {
        list = compare(before, after);
    } else {
        list = json_array();
        differ(list, "connection", "", before ? "accepted" : error_old.p, after ? "accepted" : error_new.p, "", "");
    }
    json_object_set_new(out, "differences", list);
    if (is_full) {
        json_object_set(out, "old", before ? before : json_null());
        json_object_set(out, "new", after ? after : json_null());
    }
    json_decref(before);
    json_decref(after);
    return out;
}

/* --- showing --- */

static void show_value(const char *sign, const char *colour, const char *value, const char *place, bool has_colour)
{
    const char *rest = value;

    do {
        const char *end = strchr(rest, '\n');
        int n = end ? (int)(end - rest) : (int)strlen(rest);
        printf("    %s%s ", has_colour ? colour : "", sign);
        for (int i = 0; i < n; i++)
            if ((unsigned char)rest[i] < 0x20 || rest[i] == 0x7f)
                printf("\\x%02x", (unsigned char)rest[i]);
            else
                putchar(rest[i]);
        printf("%s%s%s\n", has_colour ? "\033[0m" : "", *place ? "   " : "", place);
        rest = end ? end + 1 : NULL;
    } while (rest);
}

static void show(const json_t *result, bool has_colour)
{
    const json_t *list = json_object_get(result, "differences"), *d;
    size_t i;

    printf("%s\n", show_text(result, "request"));
    if (json_array_size(list) == 0)
        puts("  the same");
    json_array_foreach(list, i, d)
    {
        printf("  %s%s%s\n", show_text(d, "what"), *show_text(d, "name") ? " " : "", show_text(d, "name"));
        show_value("-", "\033[31m", *show_text(d, "old") ? show_text(d, "old") : "(none)", show_text(d, "old_place"), has_colour);
        show_value("+", "\033[32m", *show_text(d, "new") ? show_text(d, "new") : "(none)", show_text(d, "new_place"), has_colour);
    }
}

int command_diff(int argc, char **argv)
{
    enum { REQUEST = 256, RECORDING, AS, FULL };
    static const struct option longs[] = {{"json", no_argument, NULL, 'j'}, {"request", required_argument, NULL, REQUEST}, {"recording", required_argument, NULL, RECORDING},
                                          {"as", required_argument, NULL, AS}, {"full", no_argument, NULL, FULL}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    struct asked_list list = {.arena = arena_new(65536)};
    struct str prefix = STR("./"), as = STR(""), authority, target;
    const char *url = NULL, *recording = NULL, *method = "GET";
    bool as_json = false, is_full = false, has_host = false;
    struct buf fields = {0};
    struct conf *old, *new;
    json_t *results = json_array();
    unsigned port;
    int option, rc = 0;

    while ((option = getopt_long(argc, argv, "p:H:X:h", longs, NULL)) != -1)
        switch (option) {
        case 'p': prefix = str_of(optarg); break;
        case 'X': method = optarg; break;
        case 'j': as_json = true; break;
        case REQUEST: url = optarg; break;
        case RECORDING: recording = optarg; break;
        case AS: as = str_of(optarg); break;
        case FULL: is_full = true; break;
        case 'H':
            has_host |= strncasecmp(optarg, "host:", 5) == 0;
            buf_printf(&fields, "%s\r\n", optarg);
            break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 2;
        }
    if (optind + 2 != argc || (url && (recording || dry_run_split_url(url, &authority, &port, &target) < 0))) {
        fputs(usage, stderr);
        return 2;
    }
    old = dry_run_load(prefix, str_of(argv[optind]), STR(""));
    new = dry_run_load(prefix, str_of(argv[optind + 1]), as);
    if (!old || !new)
        return 2;
    if (url)
        ask(&list, method, has_host ? STR("") : authority, port, target, buf_str(&fields));
    else if (recording && read_recording(&list, recording) < 0)
        return 2;
    if (!url && !recording) {
        ask_everything(&list, old);
        ask_everything(&list, new);
    }
    for (size_t i = 0; i < list.all.n; i++) {
        bool is_repeated = false;
        json_t *result;
        for (size_t k = 0; k < i && !recording; k++)
            is_repeated |= str_eq(list.all.items[k].q.head, list.all.items[i].q.head) && list.all.items[k].q.port == list.all.items[i].q.port;
        if (is_repeated)
            continue;
        result = run_both(old, new, &list.all.items[i], is_full);
        if (json_array_size(json_object_get(result, "differences")))
            rc = 1;
        if (!as_json && (url || json_array_size(json_object_get(result, "differences"))))
            show(result, isatty(1));
        json_array_append_new(results, result);
    }
    if (as_json) {
        char *all = json_dumps(results, JSON_COMPACT);
        puts(all ? all : "[]");
        free(all);
    } else {
        size_t i, n = 0;
        json_t *r;
        json_array_foreach(results, i, r)
            n += json_array_size(json_object_get(r, "differences")) > 0;
        printf("%zu of %zu requests differ\n", n, json_array_size(results));
    }
    json_decref(results);
    buf_free(&fields);
    return rc;
}
