/*
 * The directives outside the http block: see main_conf.h.
 *
 * One process serves: worker_processes and its like are accepted, checked, and mean what they mean to a single process.
 */
#include "main_conf.h"

#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct main_conf {
    struct setting daemon, master_process, pid, user, worker_processes, worker_rlimit_nofile, worker_connections, use,
        multi_accept, accept_mutex, timer_resolution, worker_priority, worker_cpu_affinity, worker_shutdown_timeout,
        working_directory, lock_file, pcre_jit, events, worker_rlimit_core, debug_points, accept_mutex_delay, defaults;
};

static struct main_conf *of(const struct conf *c)
{
    return c->core[main_module.index];
}

struct str main_pid_path(struct conf *c)
{
    return of(c)->pid.str;
}

bool main_is_daemon(struct conf *c)
{
    return of(c)->daemon.num;
}

bool main_has_master(struct conf *c)
{
    return of(c)->master_process.num;
}

unsigned main_connection_limit(struct conf *c)
{
    return of(c)->worker_connections.origin ? (unsigned)(of(c)->worker_connections.num * of(c)->worker_processes.num) : 0;
}

enum main_defaults main_defaults(const struct conf *c)
{
    return (enum main_defaults)of(c)->defaults.num;
}

void main_raise_limits(struct conf *c)
{
    struct rlimit limit, core = {(rlim_t)of(c)->worker_rlimit_core.num, (rlim_t)of(c)->worker_rlimit_core.num};

    if (of(c)->worker_rlimit_core.is_set)
        setrlimit(RLIMIT_CORE, &core);

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (of(c)->worker_rlimit_nofile.is_set && (rlim_t)of(c)->worker_rlimit_nofile.num < limit.rlim_cur)
        limit.rlim_cur = (rlim_t)of(c)->worker_rlimit_nofile.num;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static int parse_events(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    if (conf_parse_directive(c, d, row, structure) < 0)
        return -1;
    conf_walk(c, d, IN_EVENTS);
    return 0;
}

static int parse_processes(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    if (str_eq(d->args[1], STR("auto"))) {
        *conf_setting(row, structure) = (struct setting){.origin = d, .is_set = true, .num = sysconf(_SC_NPROCESSORS_ONLN)};
        return 0;
    }
    if (str_number(d->args[1]) < 0) {
        conf_fail(c->tree, d, "\"%s\" directive invalid value", row->name);
        return -1;
    }
    return conf_parse_num(c, d, row, structure);
}

static int parse_connections(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    if (str_number(d->args[1]) < 0) {
        conf_fail(c->tree, d, "invalid number \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    return conf_parse_num(c, d, row, structure);
}

static int parse_priority(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    bool is_negative = str_has_prefix(d->args[1], STR("-")), has_sign = is_negative || str_has_prefix(d->args[1], STR("+"));
    long n = (long)str_number(str_skip(d->args[1], has_sign));

    if (!s)
        return -1;
    if (n < 0) {
        conf_fail(c->tree, d, "\"%s\" directive invalid number", row->name);
        return -1;
    }
    s->num = is_negative ? -n : n;
    return 0;
}

static int parse_use(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    static const char *const methods[] = {"epoll", "poll", "select"}; /* those of nginx on Linux */

    if (conf_parse_str(c, d, row, structure) < 0)
        return -1;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++)
        if (str_eq(d->args[1], str_of(methods[i])))
            return 0;
    conf_fail(c->tree, d, "invalid event type \"%.*s\"", STR_ARG(d->args[1]));
    return -1;
}

static int parse_user(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    if (conf_parse_directive(c, d, row, structure) < 0)
        return -1;
    if (geteuid() != 0)
        return 0; /* nginx warns that it "makes sense only if the master process runs with super-user privileges" */
    if (!getpwnam(arena_dup(c->arena, d->args[1].p, d->args[1].n))) {
        conf_fail(c->tree, d, "getpwnam(\"%.*s\") failed", STR_ARG(d->args[1]));
        return -1;
    }
    if (d->n_args == 3 && !getgrnam(arena_dup(c->arena, d->args[2].p, d->args[2].n))) {
        conf_fail(c->tree, d, "getgrnam(\"%.*s\") failed", STR_ARG(d->args[2]));
        return -1;
    }
    return 0;
}

/* Debian's packages put a load_module line per module into every configuration; refusing them would refuse Debian. */
static int parse_load_module(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    (void)c, (void)d, (void)row, (void)structure;
    return 0;
}

static int parse_env(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    long at = str_chr(d->args[1], '=');

    (void)row, (void)structure;
    if (at > 0)
        setenv(arena_dup(c->arena, d->args[1].p, (size_t)at), arena_dup(c->arena, d->args[1].p + at + 1, d->args[1].n - (size_t)at - 1), 1);
    return 0;
}

int main_become_user(struct conf *c)
{
    const struct directive *d = of(c)->user.ptr;
    const struct passwd *who;
    const struct group *group;
    gid_t gid;

    if (of(c)->working_directory.is_set && chdir(arena_dup(c->arena, of(c)->working_directory.str.p, of(c)->working_directory.str.n)) < 0)
        return -1;
    if (of(c)->worker_priority.is_set)
        (void)!nice((int)of(c)->worker_priority.num);
    if (!d || geteuid() != 0)
        return 0;
    who = getpwnam(arena_dup(c->arena, d->args[1].p, d->args[1].n));
    if (!who)
        return -1;
    gid = who->pw_gid;
    if (d->n_args == 3) {
        group = getgrnam(arena_dup(c->arena, d->args[2].p, d->args[2].n));
        if (!group)
            return -1;
        gid = group->gr_gid;
    }
    return setgid(gid) < 0 || initgroups(who->pw_name, gid) < 0 || setuid(who->pw_uid) < 0 ? -1 : 0;
}

uint64_t main_shutdown_timeout_ms(struct conf *c)
{
    return (uint64_t)of(c)->worker_shutdown_timeout.num;
}

static const struct conf_enum defaults[] = {{"current", DEFAULTS_CURRENT}, {"1.22", DEFAULTS_1_22}, {NULL, 0}};

#define CORE(field) SCOPE_CORE, offsetof(struct main_conf, field)
static const struct conf_enum debug_points[] = {{"stop", 1}, {"abort", 2}, {NULL, 0}};

static const struct directive_row rows[] = {
    {"daemon", IN_MAIN, 1, 1, false, CORE(daemon), conf_parse_flag, "on", "Goes to the background.", DO_NOT_INHERIT, NULL},
    {"master_process", IN_MAIN, 1, 1, false, CORE(master_process), conf_parse_flag, "on", "Whether a second process watches over the one that serves.", DO_NOT_INHERIT, NULL},
    {"pid", IN_MAIN, 1, 1, false, CORE(pid), conf_parse_path, "logs/glassproxy.pid", "The file with the process number.", DO_NOT_INHERIT, NULL},
    {"worker_processes", IN_MAIN, 1, 1, false, CORE(worker_processes), parse_processes, "1", "One process serves whatever the number; it counts for the limit of connections.", DO_NOT_INHERIT, NULL},
    {"worker_rlimit_nofile", IN_MAIN, 1, 1, false, CORE(worker_rlimit_nofile), conf_parse_num, NULL, "The limit of open files.", DO_NOT_INHERIT, NULL},
    {"pcre_jit", IN_MAIN, 1, 1, false, CORE(pcre_jit), conf_parse_flag, "off", "Expressions are compiled to machine code anyway.", DO_NOT_INHERIT, NULL},
    {"user", IN_MAIN, 1, 2, false, CORE(user), parse_user, NULL, "Who to be, when started by root.", DO_NOT_INHERIT, NULL},
    {"load_module", IN_MAIN, 1, 1, false, SCOPE_CORE, 0, parse_load_module, NULL, "Modules of nginx are not loaded: what is there is built in.", DO_NOT_INHERIT, NULL},
    {"env", IN_MAIN, 1, 1, false, SCOPE_CORE, 0, parse_env, NULL, "The environment is kept; a value sets one.", DO_NOT_INHERIT, NULL},
    {"working_directory", IN_MAIN, 1, 1, false, CORE(working_directory), conf_parse_path, NULL, "The directory to be in.", DO_NOT_INHERIT, NULL},
    {"worker_priority", IN_MAIN, 1, 1, false, CORE(worker_priority), parse_priority, NULL, "The scheduling priority.", DO_NOT_INHERIT, NULL},
    {"glass_defaults", IN_MAIN, 1, 1, false, CORE(defaults), conf_parse_enum, "current", "The version of nginx whose defaults are in force.", DO_NOT_INHERIT, defaults},
    {"worker_cpu_affinity", IN_MAIN, 1, ANY_NUMBER, false, CORE(worker_cpu_affinity), conf_parse_directive, NULL, "The system places the one process.", DO_NOT_INHERIT, NULL},
    {"worker_shutdown_timeout", IN_MAIN, 1, 1, false, CORE(worker_shutdown_timeout), conf_parse_msec, NULL, "How long quitting waits.", DO_NOT_INHERIT, NULL},
    {"timer_resolution", IN_MAIN, 1, 1, false, CORE(timer_resolution), conf_parse_msec, NULL, "The time is read once a turn anyway.", DO_NOT_INHERIT, NULL},
    {"lock_file", IN_MAIN, 1, 1, false, CORE(lock_file), conf_parse_str, NULL, "One process needs no lock.", DO_NOT_INHERIT, NULL},
    {"worker_rlimit_core", IN_MAIN, 1, 1, false, CORE(worker_rlimit_core), conf_parse_offset, NULL, "The longest core file.", DO_NOT_INHERIT, NULL},
    {"debug_points", IN_MAIN, 1, 1, false, CORE(debug_points), conf_parse_enum, NULL, "For nginx's own debugging.", DO_NOT_INHERIT, debug_points},
    {"accept_mutex_delay", IN_EVENTS, 1, 1, false, CORE(accept_mutex_delay), conf_parse_msec, "500ms", "One process needs no mutex.", DO_NOT_INHERIT, NULL},
    {"events", IN_MAIN, 0, 0, true, CORE(events), parse_events, NULL, "How connections are waited for.", DO_NOT_INHERIT, NULL},
    {"worker_connections", IN_EVENTS, 1, 1, false, CORE(worker_connections), parse_connections, "512", "With worker_processes: the limit of clients, if it is configured.", DO_NOT_INHERIT, NULL},
    {"multi_accept", IN_EVENTS, 1, 1, false, CORE(multi_accept), conf_parse_flag, "off", "Accepting is in bounded bursts.", DO_NOT_INHERIT, NULL},
    {"accept_mutex", IN_EVENTS, 1, 1, false, CORE(accept_mutex), conf_parse_flag, "off", "One process needs no mutex.", DO_NOT_INHERIT, NULL},
    {"use", IN_EVENTS, 1, 1, false, CORE(use), parse_use, NULL, "It is select() whatever the name.", DO_NOT_INHERIT, NULL},
};

unsigned main_worker_connections(const struct conf *c)
{
    return (unsigned)of(c)->worker_connections.num;
}

static int complete(struct conf *c)
{
    if (!of(c)->events.is_set)
        conf_fail(c->tree, NULL, "no \"events\" section in configuration");
    return 0;
}

struct module main_module = {
    .name = "core",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .core_bytes = sizeof(struct main_conf),
    .complete = complete,
};
