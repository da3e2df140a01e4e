/*
 * Requests without a network: header rules, variables, responses, the ring, and what happens when memory runs out at any
 * point on the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "commands/dry_run.h"
#include "filters/response.h"
#include "http/connection.h"
#include "http/network.h"
#include "http/read_request.h"
#include "load.h"
#include "phases/engine.h"
#include "trace/filter.h"
#include "trace/trace.h"
#include "upstream/upstream.h"
#include "util/mem.h"

/* A configuration whose http block is HTTP. */
static struct conf *load(const char *http)
{
    char path[] = "/tmp/request-test-XXXXXX", text[8192];
    int fd = mkstemp(path), n = snprintf(text, sizeof text, "#glass: glass_ring 3;\nevents {}\nhttp { access_log off; %s }", http);
    struct conf_tree *tree;
    struct conf *c;

    assert_true(fd >= 0 && write(fd, text, (size_t)n) == n);
    close(fd);
    c = load_configuration(STR("/tmp/"), str_of(path), STR(""), &tree);
    unlink(path);
    if (tree->n_errors)
        load_print_errors(tree);
    assert_int_equal(tree->n_errors, 0);
    return c;
}

/* A request on a connection that leads nowhere. */
struct scene {
    struct worker worker;
    struct connection *connection;
    struct conf *conf;
    const char *head, *answer;
};

static void scene_open(struct scene *s, struct conf *c, const char *head, const char *answer)
{
    struct core_main *m = c->http.main[core_module.index];

    *s = (struct scene){.conf = c, .head = head, .answer = answer};
    s->worker.loop = loop_new();
    s->worker.conf = c;
    s->connection = mem_zalloc(sizeof *s->connection);
    s->connection->worker = &s->worker;
    s->connection->conf = c;
    s->connection->listener = m->listeners.items[0];
    s->connection->io.fd = -1;
    address_from_text(c->arena, STR("192.0.2.7:1234"), &s->connection->peer);
    s->connection->local = m->listeners.items[0]->address;
}

static void scene_play(void *data)
{
    struct scene *s = data;
    struct request *r;

    read_request_start(s->connection);
    r = s->connection->request;
    r->is_dry_run = true;
    buf_addz(&s->connection->unread, s->head);
    read_request(r);
    if (s->answer && r->upstream)
        upstream_pretend_answer(r, str_of(s->answer));
}

/* What the upstream would get, or what the client would. */
static struct str scene_result(struct scene *s)
{
    struct request *r = s->connection->request;

    if (s->answer || !r->upstream || r->response.head.n)
        return arena_cat(r->arena, r->response.head, r->response.text);
    return r->upstream->request_head;
}

static void scene_close(struct scene *s)
{
    struct connection *c = s->connection;

    timer_stop(s->worker.loop, &c->timer);
    timer_stop(s->worker.loop, &c->send_timer);
    if (c->request && c->request->upstream) {
        buf_free(&c->request->upstream->in);
        output_clear(&c->request->upstream->out);
    }
    if (c->request)
        request_free(c->request);
    buf_free(&c->unread);
    output_clear(&c->out);
    mem_free(c);
    loop_free(s->worker.loop);
}

static void check(const char *http, const char *head, const char *answer, const char *expected, bool is_whole)
{
    struct conf *c = load(http);
    struct scene s;
    struct str got;

    scene_open(&s, c, head, answer);
    scene_play(&s);
    got = scene_result(&s);
    if (is_whole ? !str_eq(got, str_of(expected)) : str_find(got, str_of(expected)) < 0) {
        print_error("with %s\nexpected %s\ngot      %.*s\n", http, expected, STR_ARG(got));
        fail();
    }
    scene_close(&s);
    conf_release(c);
}

#define GET "GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: A.test:8080\r\nX-A: 1\r\nCookie: c=d; e=f\r\nConnection: keep-alive\r\nTE: x\r\n\r\n"
#define SERVER(inside) "server { listen 127.0.0.1:8080; server_name a.test; " inside " }"
#define PASS "proxy_pass http://192.0.2.1:81;"

static void builds_the_upstreams_request(void **state)
{
    static const struct {
        const char *rule, *http, *expected;
    } cases[] = {
        {"defaults", SERVER("location / { " PASS " }"), "GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: 192.0.2.1:81\r\nConnection: close\r\nX-A: 1\r\nCookie: c=d; e=f\r\n\r\n"},
        {"set, removed by an empty value", SERVER("location / { " PASS " proxy_set_header X-A ''; proxy_set_header Host $host; proxy_set_header X-B $http_x_a; }"),
         "GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: a.test\r\nX-B: 1\r\nConnection: close\r\nCookie: c=d; e=f\r\n\r\n"},
        {"inherited whole", "proxy_set_header X-Out 1; " SERVER("location / { " PASS " }"),
         "GET /a/b?x=1&y=2 HTTP/1.1\r\nX-Out: 1\r\nHost: 192.0.2.1:81\r\nConnection: close\r\nX-A: 1\r\nCookie: c=d; e=f\r\n\r\n"},
        {"not inherited beside one's own", "proxy_set_header X-Out 1; " SERVER("location / { " PASS " proxy_set_header X-In 2; }"),
         "GET /a/b?x=1&y=2 HTTP/1.1\r\nX-In: 2\r\nHost: 192.0.2.1:81\r\nConnection: close\r\nX-A: 1\r\nCookie: c=d; e=f\r\n\r\n"},
        {"no fields of the client", SERVER("location / { " PASS " proxy_pass_request_headers off; proxy_http_version 1.0; }"), "GET /a/b?x=1&y=2 HTTP/1.0\r\nHost: 192.0.2.1:81\r\nConnection: close\r\n\r\n"},
        {"method and body", SERVER("location / { " PASS " proxy_method POST; proxy_set_body hello; proxy_pass_request_headers off; }"),
         "POST /a/b?x=1&y=2 HTTP/1.1\r\nHost: 192.0.2.1:81\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"},
        {"a kept connection", SERVER("location / { " PASS " proxy_set_header Connection ''; proxy_pass_request_headers off; }"), "GET /a/b?x=1&y=2 HTTP/1.1\r\nHost: 192.0.2.1:81\r\n\r\n"},
        {"URI replaced", SERVER("location /a/ { proxy_pass http://192.0.2.1/n/; proxy_pass_request_headers off; }"), "GET /n/b?x=1&y=2 HTTP/1.1\r\nHost: 192.0.2.1\r\nConnection: close\r\n\r\n"},
        {"rewritten", SERVER("location / { rewrite ^/a/(.*) /z/$1? break; " PASS " proxy_pass_request_headers off; }"), "GET /z/b HTTP/1.1\r\nHost: 192.0.2.1:81\r\nConnection: close\r\n\r\n"},
        {"the client's address", SERVER("location / { " PASS " proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_pass_request_headers off; }"),
         "GET /a/b?x=1&y=2 HTTP/1.1\r\nX-Forwarded-For: 192.0.2.7\r\nHost: 192.0.2.1:81\r\nConnection: close\r\n\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].http, GET, NULL, cases[i].expected, true);
}

static void knows_variables(void **state)
{
    static const struct {
        const char *variables, *values;
    } cases[] = {
        {"$host $http_host $server_name $server_port $server_addr", "a.test A.test:8080 a.test 8080 127.0.0.1"},
        {"$request_method $request_uri $uri $document_uri $args $query_string $is_args", "GET /a/b?x=1&y=2 /a/b /a/b x=1&y=2 x=1&y=2 ?"},
        {"$arg_x $arg_y [$arg_z] $cookie_c $cookie_e [$cookie_z]", "1 2 [] d f []"},
        {"$http_x_a [$http_x_b] $scheme $server_protocol", "1 [] http HTTP/1.1"},
        {"$remote_addr $remote_port $proxy_add_x_forwarded_for", "192.0.2.7 1234 192.0.2.7"},
        {"$request", "GET /a/b?x=1&y=2 HTTP/1.1"},
        {"[$content_length] [$content_type] [$upstream_addr] [$proxy_host]", "[] [] [] []"},
        {"${host}x$1", "a.testx"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char http[512], expected[256];
        snprintf(http, sizeof http, SERVER("location / { return 200 \"%s\"; }"), cases[i].variables);
        snprintf(expected, sizeof expected, "\r\n\r\n%s", cases[i].values);
        check(http, GET, NULL, expected, false);
    }
    check("map $http_x_a $m { 1 one; default other; } " SERVER("set $s \"$m!\"; location ~ ^/(?<first>[^/]*)/ { return 200 \"$s $first $1\"; }"), GET, NULL, "\r\n\r\none! a a", false);
    check("geo $g { default out; 192.0.2.0/24 in; } split_clients x $p { 100% all; } " SERVER("location / { return 200 \"$g $p\"; }"), GET, NULL, "\r\n\r\nin all", false);
}

static void filters_the_response(void **state)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nServer: up\r\nX-Powered-By: p\r\nX-Accel-Expires: 1\r\nLocation: http://192.0.2.1:81/x\r\nSet-Cookie: a=b; path=/a\r\nContent-Length: 3\r\n\r\n";
    static const struct {
        const char *http, *expected;
    } cases[] = {
        {SERVER("location / { " PASS " }"), "Server: nginx/"},
        {SERVER("location / { " PASS " }"), "X-Powered-By: p\r\nSet-Cookie: a=b; path=/a\r\n"},
        {SERVER("location / { " PASS " }"), "\r\nLocation: http://a.test:8080/x\r\n"},
        {SERVER("location / { " PASS " proxy_pass_header Server; }"), "Server: up\r\n"},
        {SERVER("location / { " PASS " proxy_pass_header X-Accel-Expires; }"), "X-Accel-Expires: 1\r\n"},
        {SERVER("location / { " PASS " proxy_hide_header X-Powered-By; proxy_redirect off; }"), "close\r\nLocation: http://192.0.2.1:81/x\r\n"},
        {SERVER("location / { " PASS " proxy_cookie_path /a /b; proxy_cookie_flags a secure; }"), "Set-Cookie: a=b; path=/b; Secure\r\n"},
        {SERVER("location / { " PASS " add_header X-Added yes; expires -1; }"), "Cache-Control: no-cache\r\nX-Added: yes\r\n"},
        {SERVER("location / { return 404; } add_header X-Only-Good 1; add_header X-Ever 1 always;"), "X-Ever: 1\r\n\r\n"},
        {SERVER("location / { return 301 /elsewhere; }"), "Location: http://a.test:8080/elsewhere\r\n"},
        {SERVER("location / { return 404; } server_tokens off;"), "Server: nginx\r\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].http, GET, answer, cases[i].expected, false);
}

static void refuses_requests(void **state)
{
    static const struct {
        const char *head, *status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"}, {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "HTTP/1.1 400"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400"}, {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", "HTTP/1.1 501"},
        {"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"}, {"GET /../x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400"}, {"GET / HTTP/7.1\r\nHost: a\r\n\r\n", "HTTP/1.1 505"},
        {"GET / HTTP/1.1\r\nHost : a\r\n\r\n", "HTTP/1.1 400"}, {"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 405"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(SERVER("location / { return 200 ok; }"), cases[i].head, NULL, cases[i].status, false);
}

static void keeps_a_bounded_ring(void **state)
{
    struct conf *c = load(SERVER("location / { return 200 ok; }"));
    struct arena *a = arena_new(512);
    struct filter_error error;
    const struct filter *f = filter_compile(a, STR("path=/4 and status=200"), &error);
    unsigned n = 0, matching = 0;

    (void)state;
    for (uint64_t id = 1; id <= 5; id++) {
        char head[64];
        struct scene s;
        snprintf(head, sizeof head, "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", (int)id);
        scene_open(&s, c, head, NULL);
        s.worker.next_request_id = id - 1;
        scene_play(&s);
        trace_finished(s.connection->request);
        s.connection->request = NULL;
        scene_close(&s);
    }
    for (struct request *r = trace_oldest(); r; r = trace_next(r)) {
        assert_int_equal(r->id, 3 + n++);
        matching += filter_matches(f, r);
    }
    assert_int_equal(n, 3);
    assert_int_equal(matching, 1);
    assert_null(trace_find(2));
    assert_int_equal(trace_find(5)->response.status, 200);
    trace_clear();
    assert_null(trace_oldest());
    arena_free(a);
    conf_release(c);
}

/* Whatever allocation fails on the way, the request is given up and nothing else is: the next one is answered. */
static void survives_without_memory(void **state)
{
    static const char http[] = "map $http_x_a $m { ~^(?<d>1) one; } " SERVER("location / { rewrite ^/a/(.*) /z/$1; " PASS " proxy_set_header X-M $m$d; add_header X-Y $m; "
                                                                                           "gzip on; charset utf-8; }");
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX: y\r\n\r\n";
    struct conf *c = load(http);
    unsigned long failed = 0;

    (void)state;
    for (unsigned long n = 1; n < 10000; n++) {
        struct scene s;
        bool is_whole;
        scene_open(&s, c, GET, answer);
        mem_fail_after(n);
        is_whole = loop_guard(scene_play, &s);
        mem_fail_after(0);
        if (is_whole && str_find(scene_result(&s), STR("X-Y: one")) < 0) {
            print_error("%lu: %.*s\n", n, STR_ARG(scene_result(&s)));
            fail();
        }
        scene_close(&s);
        failed += !is_whole;
        if (is_whole)
            break;
    }
    assert_true(failed > 2);
    conf_release(c);
}

static void end_at_once(size_t bytes)
{
    (void)bytes;
    _exit(1);
}

/* While the configuration is read there is nothing to go back to: the program says so and ends. */
static void ends_without_memory_for_the_configuration(void **state)
{
    (void)state;
    for (unsigned long n = 1; n < 200; n += 20) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            struct conf_tree *tree;
            mem_on_failure(end_at_once); /* as the program does, but without a check for leaks */
            mem_fail_after(n);
            load_configuration(STR("/tmp/"), STR("/nonexistent"), STR("events {} http { server { location / { return 200; } } }"), &tree);
            _exit(0); /* it needed fewer allocations than that */
        }
        waitpid(child, &status, 0);
        assert_true(WIFEXITED(status));
        assert_true(WEXITSTATUS(status) == 1 || n > 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_the_upstreams_request), cmocka_unit_test(knows_variables),      cmocka_unit_test(filters_the_response),
        cmocka_unit_test(refuses_requests),             cmocka_unit_test(keeps_a_bounded_ring), cmocka_unit_test(survives_without_memory),
        cmocka_unit_test(ends_without_memory_for_the_configuration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
