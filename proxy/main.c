/*
 * glassproxy: flags, signals, starting and stopping (nginx's command line).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands/commands.h"
#include "conf/conf.h"
#include "http/connection.h"
#include "http/log.h"
#include "load.h"
#include "main_conf.h"
#include "master.h"
#include "trace/control.h"
#include "trace/hold.h"
#include "trace/trace.h"
#include "upstream/pool.h"
#include "version.h"

static struct options {
    struct str prefix, conf_file, error_log, globals, signal;
    bool is_test, dumps, is_quiet, shows_version, shows_configuration, shows_help;
} options = {.prefix = {"/usr/local/glassproxy/", 22}, .conf_file = {"conf/nginx.conf", 15}, .error_log = {"logs/error.log", 14}};

static struct worker worker;
static struct str pid_path;

static struct conf *load(struct conf_tree **tree)
{
    return load_configuration(options.prefix, options.conf_file, options.globals, tree);
}

static void write_pid(struct conf *c, pid_t pid)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)pid), fd;

    pid_path = main_pid_path(c);
    fd = open(pid_path.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, (size_t)n) < 0) {
        fprintf(stderr, "glassproxy: [emerg] open() \"%s\" failed (%d: %s)\n", pid_path.p, errno, strerror(errno));
        exit(1);
    }
    close(fd);
}

/* nginx.pid has nginx.sock beside it. */
static void open_control(struct conf *c)
{
    struct str path = pid_path;

    if (path.n > 4 && str_eq(str_skip(path, path.n - 4), STR(".pid")))
        path.n -= 4;
    breakpoints_open(arena_printf(c->arena, "%.*s.breakpoints", STR_ARG(path)));
    path = trace_control_path(c, arena_printf(c->arena, "%.*s.sock", STR_ARG(path)));
    if (control_open(&worker, path) < 0)
        log_event(c, LOG_WARN_, errno, "the control socket \"%.*s\" cannot be opened: nothing can attach", STR_ARG(path));
}

static void stop_now(int signal_number)
{
    (void)signal_number;
    loop_stop(worker.loop);
}

static struct timer shutdown_timer;

static void shutdown_expired(struct timer *t)
{
    (void)t;
    loop_stop(worker.loop);
}

static void on_idle(struct worker *w)
{
    loop_stop(w->loop);
}

static void stop_gracefully(int signal_number)
{
    (void)signal_number;
    worker.is_quitting = true;
    worker.on_idle = on_idle;
    worker.conf->is_retired = true;
    hold_release_all("the proxy is quitting");
    pools_close(worker.conf);
    listeners_close(&worker, worker.conf, NULL);
    connections_close_idle(&worker, NULL);
    shutdown_timer.handler = shutdown_expired;
    if (main_shutdown_timeout_ms(worker.conf))
        timer_start(worker.loop, &shutdown_timer, main_shutdown_timeout_ms(worker.conf));
    if (worker.n_connections == 0)
        loop_stop(worker.loop);
}

static const char *reload(void)
{
    static char words[1000];
    struct conf *old = worker.conf, *c;
    struct conf_tree *t;

    log_event(old, LOG_NOTICE_, 0, "reconfiguring");
    c = load(&t);
    if (c && t->n_errors == 0 && log_open(c) == 0 && listeners_open(&worker, c, old) == 0) {
        worker.conf = c;
        worker.connection_limit = main_connection_limit(c);
        old->is_retired = true;
        pools_close(old);
        listeners_close(&worker, old, c);
        connections_close_idle(&worker, old);
        log_event(c, LOG_NOTICE_, 0, "reconfigured");
        conf_release(old);
        return NULL;
    }
    snprintf(words, sizeof words, "%.*s", t->errors ? (int)t->errors->message.n : 0, t->errors ? t->errors->message.p : "");
    for (const struct conf_error *e = t->errors; e; e = e->next)
        log_event(old, LOG_EMERG_, 0, "%.*s", STR_ARG(e->message));
    if (c)
        log_close(c);
    arena_free(t->arena);
    return words;
}

static void on_reload_signal(int signal_number)
{
    (void)signal_number;
    reload();
}

static void reopen(int signal_number)
{
    (void)signal_number;
    log_reopen(worker.conf);
}

static int send_signal(struct conf *c)
{
    static const struct {
        const char *word;
        int signal_number;
    } words[] = {{"stop", SIGTERM}, {"quit", SIGQUIT}, {"reopen", SIGUSR1}, {"reload", SIGHUP}};
    struct str path = main_pid_path(c);
    FILE *f = fopen(path.p, "r");
    int pid = 0;

    if (!f || fscanf(f, "%d", &pid) != 1 || pid <= 0) {
        fprintf(stderr, "glassproxy: [error] no process number in \"%s\"\n", path.p);
        if (f)
            fclose(f);
        return 1;
    }
    fclose(f);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (str_eq(options.signal, str_of(words[i].word)) && kill(pid, words[i].signal_number) < 0) {
            fprintf(stderr, "glassproxy: [alert] kill(%d) failed (%d: %s)\n", pid, errno, strerror(errno));
            return 1;
        }
    return 0;
}

static void show_version(void)
{
    fprintf(stderr, "glassproxy version: glassproxy/" GLASSPROXY_VERSION "\nnginx version: nginx/" GLASSPROXY_NGINX_VERSION "\n");
    if (!options.shows_configuration)
        return;
    fprintf(stderr, "configure arguments:");
    static const char *const absent[] = {"ssi", "userid", "auth_basic", "mirror", "autoindex", "referer", "fastcgi", "uwsgi", "scgi", "grpc", "memcached",
        "limit_conn", "empty_gif", "browser", "upstream_hash", "upstream_ip_hash", "upstream_least_conn",
        "upstream_random", "upstream_zone"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        fprintf(stderr, " --without-http_%s_module", absent[i]);
    fprintf(stderr, " --without-http-cache --without-mail_pop3_module --without-mail_imap_module --without-mail_smtp_module\n");
}

static void show_help(void)
{
    fprintf(stderr, "Usage: glassproxy [-?hvVtTq] [-s signal] [-p prefix] [-e filename] [-c filename] [-g directives]\n"
                    "       glassproxy explain|diff|lint|trace|record|control|backend ... (-h with each says more)\n\n"
                    "  -?,-h         : this help\n"
                    "  -v            : show version and exit\n"
                    "  -V            : show version and configure options then exit\n"
                    "  -t            : test configuration and exit\n"
                    "  -T            : test configuration, dump it and exit\n"
                    "  -q            : suppress non-error messages during configuration testing\n"
                    "  -s signal     : send signal to a running process: stop, quit, reopen, reload\n"
                    "  -p prefix     : set prefix path\n"
                    "  -e filename   : set error log file\n"
                    "  -c filename   : set configuration file\n"
                    "  -g directives : set global directives out of configuration file\n");
}

static int parse_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *p = argv[i];
        if (*p++ != '-') {
            fprintf(stderr, "glassproxy: invalid option: \"%s\"\n", argv[i]);
            return -1;
        }
        while (*p) {
            struct str *value = NULL;
            switch (*p++) {
            case '?': case 'h': options.shows_help = true; break;
            case 'v': options.shows_version = true; break;
            case 'V': options.shows_version = options.shows_configuration = true; break;
            case 't': options.is_test = true; break;
            case 'T': options.is_test = options.dumps = true; break;
            case 'q': options.is_quiet = true; break;
            case 'p': value = &options.prefix; break;
            case 'c': value = &options.conf_file; break;
            case 'e': value = &options.error_log; break;
            case 'g': value = &options.globals; break;
            case 's': value = &options.signal; break;
            default: fprintf(stderr, "glassproxy: invalid option: \"%c\"\n", p[-1]); return -1;
            }
            if (!value)
                continue;
            if (!*p && i + 1 < argc)
                p = argv[++i];
            if (!*p) {
                fprintf(stderr, "glassproxy: option \"%s\" requires a value\n", argv[i]);
                return -1;
            }
            *value = str_of(p);
            break;
        }
    }
    if (options.prefix.p[options.prefix.n - 1] != '/') {
        char *p = malloc(options.prefix.n + 2);
        if (!p)
            return -1;
        snprintf(p, options.prefix.n + 2, "%.*s/", STR_ARG(options.prefix));
        options.prefix = str_of(p);
    }
    if (options.signal.n && !str_eq(options.signal, STR("stop")) && !str_eq(options.signal, STR("quit"))
        && !str_eq(options.signal, STR("reopen")) && !str_eq(options.signal, STR("reload"))) {
        fprintf(stderr, "glassproxy: invalid option: \"-s %.*s\"\n", STR_ARG(options.signal));
        return -1;
    }
    return 0;
}

static int test(struct conf_tree *t)
{
    if (t->n_errors) {
        load_print_errors(t);
        fprintf(stderr, "glassproxy: configuration file %.*s test failed\n", STR_ARG(t->conf_file));
        return 1;
    }
    if (!options.is_quiet)
        fprintf(stderr, "glassproxy: the configuration file %.*s syntax is ok\nglassproxy: configuration file %.*s test is successful\n",
                STR_ARG(t->conf_file), STR_ARG(t->conf_file));
    for (const struct conf_source *s = t->sources; options.dumps && s; s = s->next)
        printf("# configuration file %.*s:\n%.*s\n", STR_ARG(s->path), STR_ARG(s->text));
    return 0;
}

/* The proxy itself, from opening its sockets to the last connection (master.h). */
static int serve(int ready_fd)
{
    bool has_master;
    struct conf_tree *t;
    struct conf *c = load(&t); /* anew: a process that is started again takes what is there now */

    if (t->n_errors) {
        load_print_errors(t);
        return 1;
    }
    has_master = main_has_master(c);
    main_raise_limits(c);
    if (!str_eq(options.error_log, STR("stderr"))) {
        struct str path = conf_full_path(t, t->prefix, options.error_log);
        int fd = open(path.p, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0)
            log_set_default(fd);
    }
    worker.loop = loop_new();
    if (log_open(c) < 0 || listeners_open(&worker, c, NULL) < 0) {
        load_print_errors(t);
        return 1;
    }
    worker.conf = c;
    worker.connection_limit = main_connection_limit(c);
    signal(SIGPIPE, SIG_IGN);
    loop_on_signal(worker.loop, SIGTERM, stop_now);
    loop_on_signal(worker.loop, SIGINT, stop_now);
    loop_on_signal(worker.loop, SIGQUIT, stop_gracefully);
    loop_on_signal(worker.loop, SIGHUP, on_reload_signal);
    loop_on_signal(worker.loop, SIGUSR1, reopen);
    worker.reload = reload;
    write_pid(c, has_master ? getppid() : getpid());
    if (main_become_user(c) < 0) {
        log_event(c, LOG_EMERG_, errno, "the user of the configuration cannot be taken on");
        return 1;
    }
    log_event(c, LOG_NOTICE_, 0, "glassproxy/" GLASSPROXY_VERSION " (nginx/" GLASSPROXY_NGINX_VERSION ") started");
    open_control(c);
    if (ready_fd >= 0) {
        (void)!write(ready_fd, "+", 1);
        close(ready_fd);
    }
    loop_run(worker.loop);
    control_close();
    breakpoints_close();
    log_close(worker.conf);
    listeners_close(&worker, worker.conf, NULL);
    if (!has_master)
        unlink(pid_path.p);
    return 0;
}

int main(int argc, char **argv)
{
    struct conf_tree *t;
    struct conf *c;
    int rc;

    if (argc > 1 && argv[1][0] != '-') {
        rc = command_run(argc, argv);
        fflush(stdout);
        _exit(rc); /* a command's memory goes with its process */
    }
    if (parse_options(argc, argv) < 0)
        return 1;
    if (options.shows_help || options.shows_version) {
        show_version();
        if (options.shows_help)
            show_help();
        return 0;
    }
    c = load(&t);
    if (options.is_test)
        return test(t);
    if (t->n_errors) {
        load_print_errors(t);
        return 1;
    }
    if (options.signal.n)
        return send_signal(c);
    if (!main_has_master(c))
        return master_run_alone(serve, main_is_daemon(c));
    rc = master_run(serve, main_is_daemon(c));
    if (rc == 0)
        unlink(main_pid_path(c).p);
    return rc;
}
