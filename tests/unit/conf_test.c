/*
 * The configuration: lexer, errors, inheritance, and the choice of servers and locations.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "http/core.h"
#include "load.h"

static struct conf_tree *read_text(const char *text)
{
    struct arena *a = arena_new(1024);
    struct conf_tree *t = conf_tree_new(a, STR("/nonexistent/"), STR("nginx.conf"));

    conf_tree_read_text(t, str_of(text), STR("test"));
    return t;
}

static void lexes_as_nginx(void **state)
{
    static const struct {
        const char *text;
        unsigned n_args;
        const char *second;
    } cases[] = {
        {"a b;", 2, "b"}, {"a 'b c';", 2, "b c"}, {"a \"b \\\"c\";", 2, "b \"c"}, {"a b\\ c;", 2, "b\\ c"}, {"a # comment\n b;", 2, "b"},
        {"a b#c;", 2, "b#c"}, {"a ${b}c;", 2, "${b}c"}, {"a 'it\\'s';", 2, "it's"}, {"a \"\\t\\n\";", 2, "\t\n"}, {"a '';", 2, ""}, {"a\tb\r\nc;", 3, "b"},
        {"a ~^/x{2}$;", 2, NULL}, {"a \"b\"  c;", 3, "b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf_tree *t = read_text(cases[i].text);
        const struct directive *d = t->root.first_child;
        if (!cases[i].second) {
            assert_true(t->n_errors > 0 || d->is_block);
        } else {
            assert_int_equal(t->n_errors, 0);
            assert_int_equal(d->n_args, cases[i].n_args);
            assert_true(str_eq(d->args[1], str_of(cases[i].second)));
        }
        arena_free(t->arena);
    }
}

static void refuses_what_nginx_refuses(void **state)
{
    static const char *const bad[] = {"a", "a {", "}", "a { b; ", ";", "a 'b;", "{ }", "a \"b\"c;", "a b { c; } }"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct conf_tree *t = read_text(bad[i]);
        if (!t->n_errors)
            print_error("accepted: %s\n", bad[i]);
        assert_true(t->n_errors > 0);
        arena_free(t->arena);
    }
}

static struct conf *load_http(const char *http)
{
    static char text[4096];
    struct conf_tree *t;
    struct conf *c;

    snprintf(text, sizeof text, "events {} http { %s }", http);
    c = load_configuration(STR("/nonexistent/"), STR("/dev/null"), str_of(text), &t);
    if (t->n_errors)
        load_print_errors(t);
    assert_int_equal(t->n_errors, 0);
    return c;
}

static struct server *server_of(struct conf *c, size_t i)
{
    struct core_main *m = c->http.main[core_module.index];

    return m->servers.items[i];
}

static const char *why_not(const char *http)
{
    static char said[2048];
    struct conf_tree *t;

    load_configuration(STR("/nonexistent/"), STR("/dev/null"), str_of(http), &t);
    said[0] = '\0';
    if (t->n_errors)
        snprintf(said, sizeof said, "%.*s%.*s", STR_ARG(t->errors->message), STR_ARG(t->errors->excerpt));
    arena_free(t->arena);
    return said;
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"http { serve { } }", "unknown directive \"serve\""},
        {"http { serve { } }", "did you mean \"server\"?"},
        {"http { fastcgi_index x; }", "of nginx's ngx_http_fastcgi_module is not implemented"},
        {"http { proxy_pass http://x; }", "\"proxy_pass\" directive is not allowed here"},
        {"http { sendfile maybe; }", "it must be \"on\" or \"off\""},
        {"http { server { listen 127.0.0.1:80; location /a { } location /a { } } }", "duplicate location \"/a\""},
        {"http { server { location ~ ( { } } }", "pcre"},
        {"http { server { location / { proxy_pass http://127.0.0.1:99999; } } }", "invalid port in upstream"},
        {"http { server { location ~ x { proxy_pass http://127.0.0.1/u; } } }", "cannot have URI part"},
        {"http { server { return 200 $nothing; } }", "unknown \"nothing\" variable"},
        {"http { upstream u { } }", "no servers are inside upstream"},
        {"http { keepalive_timeout 5x; }", "invalid value"},
        {"http { server { listen 127.0.0.1:80; listen 127.0.0.1:80; } }", "a duplicate listen"},
        {"http { etag on; etag off; }", "is duplicate"},
        {"http { root; }", "invalid number of arguments"},
        {"http { server; }", "has no opening \"{\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *said = why_not(cases[i].text);
        if (!strstr(said, cases[i].error))
            print_error("%s: %s\n", cases[i].text, said);
        assert_non_null(strstr(said, cases[i].error));
    }
}

static void inherits_as_nginx(void **state)
{
    struct conf *c = load_http("root /outer; client_max_body_size 5m; error_page 404 /a;"
                               "server { listen 127.0.0.1:1; location /x { client_max_body_size 7k; location /x/y { root /inner; } } location /z { } }");
    struct server *s = server_of(c, 0);
    const struct location *x = s->root->children.items[0], *y = x->children.items[0], *z = s->root->children.items[1];
    struct core_loc *lx = x->loc[core_module.index], *ly = y->loc[core_module.index], *lz = z->loc[core_module.index];

    (void)state;
    assert_int_equal(lx->client_max_body_size.num, 7 * 1024);
    assert_int_equal(ly->client_max_body_size.num, 7 * 1024);
    assert_int_equal(lz->client_max_body_size.num, 5 * 1024 * 1024);
    assert_true(ly->root.origin->parent == y->directive);
    assert_true(lx->root.origin == lz->root.origin);
    assert_ptr_equal(lz->error_page.ptr, ly->error_page.ptr);
    assert_null(lx->send_timeout.origin);
    assert_int_equal(lx->send_timeout.num, 60000);
    arena_free(c->arena);
}

static void chooses_locations(void **state)
{
    static const struct {
        const char *uri, *name;
    } cases[] = {{"/", "/"}, {"/a", "/a"}, {"/a/b", "/a"}, {"/a/b.php", "\\.php$"}, {"/img/x.php", "/img/"}, {"/exact", "/exact"}, {"/exactly", "/"},
                 {"/n/m", "^/n/m"}, {"/n/o", "/n/"}};
    struct conf *c = load_http("server { listen 127.0.0.1:1; location / { } location /a { } location ^~ /img/ { } location = /exact { }"
                               "location ~ \\.php$ { } location /n/ { location ~ ^/n/m { } } }");
    const struct location *root = server_of(c, 0)->root;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct location *found = NULL;
        struct candidates seen = {.arena = c->arena};
        size_t n_chosen = 0;
        assert_int_equal(location_choose(root, str_of(cases[i].uri), NULL, &found, &seen), LOCATION_FOUND);
        assert_true(str_eq(found->name, str_of(cases[i].name)));
        for (size_t k = 0; k < seen.list.n; k++)
            n_chosen += seen.list.items[k].is_chosen;
        assert_int_equal(n_chosen, 1);
    }
    arena_free(c->arena);
}

static void chooses_servers(void **state)
{
    static const struct {
        const char *host;
        size_t server;
    } cases[] = {{"a.test", 1}, {"www.b.test", 2}, {"b.test", 3}, {"www.zz", 4}, {"x12", 5}, {"", 0}, {"else", 0}};
    struct conf *c = load_http("server { listen 127.0.0.1:1; } server { listen 127.0.0.1:1; server_name a.test; }"
                               "server { listen 127.0.0.1:1; server_name *.b.test; } server { listen 127.0.0.1:1; server_name b.test; }"
                               "server { listen 127.0.0.1:1; server_name www.*; } server { listen 127.0.0.1:1; server_name ~^x\\d+$; }");
    struct core_main *m = c->http.main[core_module.index];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_ptr_equal(server_choose(m->listeners.items[0], str_of(cases[i].host), NULL, NULL), m->servers.items[cases[i].server]);
    arena_free(c->arena);
}

static void reads_sizes_and_times(void **state)
{
    (void)state;
    assert_int_equal(conf_read_size(STR("8k")), 8192);
    assert_int_equal(conf_read_size(STR("1M")), 1048576);
    assert_int_equal(conf_read_offset(STR("2g")), 2147483648);
    assert_int_equal(conf_read_size(STR("2g")), -1);
    assert_int_equal(conf_read_size(STR("")), -1);
    assert_int_equal(conf_read_msec(STR("500ms")), 500);
    assert_int_equal(conf_read_msec(STR("1h30m")), 5400000);
    assert_int_equal(conf_read_msec(STR("1m 30s")), 90000);
    assert_int_equal(conf_read_msec(STR("30m1h")), -1);
    assert_int_equal(conf_read_sec(STR("1d")), 86400);
    assert_int_equal(conf_read_sec(STR("1ms")), -1);
}

/* Every error is told, in the order in which nginx would come upon them; what was not read is not missed. */
static void tells_all_errors_in_order(void **state)
{
    static const struct {
        const char *text, *errors[6];
    } cases[] = {
        {"events {} http { foo; server { bar; include /nonexistent/x; baz; } \"a\"b; }",
         {"unknown directive \"foo\"", "unknown directive \"bar\"", "open() \"/nonexistent/x\" failed", "unknown directive \"baz\"", "unexpected \"b\"", NULL}},
        {"http { upstream u { } ", {"no servers are inside upstream", "unexpected end of file", NULL}},
        {"http { upstream u { ", {"unexpected end of file", NULL}}, /* whether it lacks servers nobody knows */
        {"http { server { return 200 $nothing; } ", {"unexpected end of file", NULL}},
        {"http { }", {"no \"events\" section", NULL}},
        {"events {} http { server { return 200 $ssl_cipher; } }", {"variable \"ssl_cipher\" of nginx's ngx_http_ssl_module is not implemented", NULL}},
        {"events {} http { server { auth_request_set $a $b; return 200 $a; } }", {"ngx_http_auth_request_module is not implemented", NULL}},
        {"events {} http { server { location / { proxy_buffer_size 64k; proxy_pass http://127.0.0.1:1; } } }", {"must be less than the size of all \"proxy_buffers\" minus one buffer", NULL}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf_tree *t;
        const struct conf_error *e;
        load_configuration(STR("/nonexistent/"), STR("/dev/null"), str_of(cases[i].text), &t);
        e = t->errors;
        for (size_t k = 0; cases[i].errors[k]; k++, e = e->next) {
            assert_non_null(e);
            if (str_ifind(e->message, str_of(cases[i].errors[k])) < 0)
                print_error("%s: %.*s\n", cases[i].text, STR_ARG(e->message));
            assert_true(str_ifind(e->message, str_of(cases[i].errors[k])) >= 0);
        }
        if (e)
            print_error("%s: %.*s\n", cases[i].text, STR_ARG(e->message));
        assert_null(e);
        arena_free(t->arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lexes_as_nginx), cmocka_unit_test(refuses_what_nginx_refuses),
                                       cmocka_unit_test(says_what_is_wrong), cmocka_unit_test(tells_all_errors_in_order), cmocka_unit_test(inherits_as_nginx),
                                       cmocka_unit_test(chooses_locations), cmocka_unit_test(chooses_servers),
                                       cmocka_unit_test(reads_sizes_and_times)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
