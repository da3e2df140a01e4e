/*
 * The directives outside the http block: see main_conf.h.
 *
 * One process serves: worker_processes and its like are accepted, checked, and mean what they mean to a single process.
 */
#include "main_conf.h"

#include <sys/resource.h>

struct main_conf {
    struct setting daemon, master_process, pid, user, worker_processes, worker_rlimit_nofile, worker_connections, use,
        multi_accept, accept_mutex, timer_resolution, worker_priority, worker_cpu_affinity, worker_shutdown_timeout,
        working_directory, lock_file, pcre_jit, events;
};

static struct main_conf *of(struct conf *c)
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

void main_raise_limits(struct conf *c)
{
    struct rlimit limit;

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
        *conf_setting(row, structure) = (struct setting){.origin = d, .is_set = true, .num = 1};
        return 0;
    }
    return conf_parse_num(c, d, row, structure);
}

#define CORE(field) SCOPE_CORE, offsetof(struct main_conf, field)
static const struct directive_row rows[] = {
    {"daemon", IN_MAIN, 1, 1, false, CORE(daemon), conf_parse_flag, "on", "Goes to the background.", DO_NOT_INHERIT, NULL},
    {"master_process", IN_MAIN, 1, 1, false, CORE(master_process), conf_parse_flag, "on", "One process serves either way.", DO_NOT_INHERIT, NULL},
    {"pid", IN_MAIN, 1, 1, false, CORE(pid), conf_parse_path, "logs/glassproxy.pid", "The file with the process number.", DO_NOT_INHERIT, NULL},
    {"worker_processes", IN_MAIN, 1, 1, false, CORE(worker_processes), parse_processes, "1", "One process serves whatever the number.", DO_NOT_INHERIT, NULL},
    {"worker_rlimit_nofile", IN_MAIN, 1, 1, false, CORE(worker_rlimit_nofile), conf_parse_num, NULL, "The limit of open files.", DO_NOT_INHERIT, NULL},
    {"pcre_jit", IN_MAIN, 1, 1, false, CORE(pcre_jit), conf_parse_flag, "off", "Expressions are compiled to machine code anyway.", DO_NOT_INHERIT, NULL},
    {"events", IN_MAIN, 0, 0, true, CORE(events), parse_events, NULL, "How connections are waited for.", DO_NOT_INHERIT, NULL},
    {"worker_connections", IN_EVENTS, 1, 1, false, CORE(worker_connections), conf_parse_num, "512", "Of nginx; the limit here is that of open files.", DO_NOT_INHERIT, NULL},
    {"multi_accept", IN_EVENTS, 1, 1, false, CORE(multi_accept), conf_parse_flag, "off", "Accepting is in bounded bursts.", DO_NOT_INHERIT, NULL},
    {"accept_mutex", IN_EVENTS, 1, 1, false, CORE(accept_mutex), conf_parse_flag, "off", "One process needs no mutex.", DO_NOT_INHERIT, NULL},
    {"use", IN_EVENTS, 1, 1, false, CORE(use), conf_parse_str, NULL, "It is select() whatever the name.", DO_NOT_INHERIT, NULL},
};

struct module main_module = {
    .name = "core",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .core_bytes = sizeof(struct main_conf),
};
