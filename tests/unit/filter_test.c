/*
 * The filter language: what it accepts, what it matches, and where it says an error is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "trace/filter.h"
#include "upstream/upstream.h"

static void says_where_the_error_is(void **state)
{
    static const struct {
        const char *text;
        unsigned column;
        const char *words;
    } bad[] = {
        {"metod=GET", 1, "did you mean \"method\""}, {"method=", 8, "a value is expected"}, {"method=GET and", 15, "ends where a condition"},
        {"(method=GET", 1, "not closed"}, {"method=GET)", 11, "was not opened"}, {"host=\"a", 6, "not closed"}, {"status~5", 8, "is a number"},
        {"status=abc", 8, "needs a number or a class"}, {"path<3", 5, "is text"}, {"path~(", 6, ""}, {"=x", 1, "a name"}, {"not", 4, "ends where"},
        {"method=GET or or", 15, "there is no \"or\""}, {"header.=x", 1, "there is no"}, {"host=a and and", 12, "there is no \"and\""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct arena *a = arena_new(512);
        struct filter_error error;
        assert_null(filter_compile(a, str_of(bad[i].text), &error));
        if (!strstr(error.words, bad[i].words) || error.column != bad[i].column)
            print_error("%s: column %u: %s\n", bad[i].text, error.column, error.words);
        assert_int_equal(error.column, bad[i].column);
        assert_non_null(strstr(error.words, bad[i].words));
        assert_true(error.words[0]);
        arena_free(a);
    }
}

static void matches(void **state)
{
    static const struct {
        const char *text;
        bool expected;
    } cases[] = {
        {"", true}, {"  ", true}, {"method=GET", true}, {"method=get", false}, {"method!=GET", false}, {"method=G*", true}, {"host=*.test", true},
        {"host=A.TEST", true}, {"path~^/api/", true}, {"path~^/API/", false}, {"path~*^/API/", true}, {"path!~^/x", true}, {"status=200", true},
        {"status=2xx", true}, {"status!=2xx", false}, {"status>=200 and status<300", true}, {"status>200", false}, {"status<=200", true},
        {"header.x-a", true}, {"header.x-a=1", true}, {"header.X-A!=1", false}, {"header.x-b", false}, {"header.x-b!=1", true}, {"not header.x-b", true},
        {"! header.x-a", false}, {"method=POST or host=a.test", true}, {"method=POST or host=b.test", false}, {"method=GET host=b.test", false},
        {"method=GET (host=b.test or host=a.test)", true}, {"not (method=GET and host=a.test)", false}, {"not not method=GET", true},
        {"method=POST and host=a.test or status=200", true}, {"method=POST and (host=a.test or status=200)", false}, {"\"api\"", true}, {"'200'", true},
        {"'nothing'", false}, {"response.x-r=r", true}, {"response.x-none", false}, {"protocol=HTTP/1.1", true}, {"protocol=http/1.1", true},
        {"args=x=1", true}, {"uri=\"/api/a%20b?x=1\"", true}, {"path=\"/api/a b\"", true}, {"path~^/(api|x)/", true}, {"(path~^/(api|x)/)", true},
        {"upstream", false}, {"duration>5", false}, {"host = a.test", true}, {"location", false}, {"header.x-a='1'", true},
    };
    struct arena *a = arena_new(512);
    struct server server = {.name = {"a.test", 6}};
    struct request r = {.arena = a, .host = {"a.test", 6}, .original_method = {"GET", 3}, .original_uri = {"/api/a b", 8}, .unparsed_uri = {"/api/a%20b?x=1", 14},
                        .version = 1001, .server = &server, .response = {.status = 200}};

    (void)state;
    field_add(&r.fields, a, STR("X-A"), STR("1"), (struct origin){ORIGIN_CLIENT, NULL, NULL});
    field_add(&r.response.fields, a, STR("X-R"), STR("r"), (struct origin){ORIGIN_UPSTREAM, NULL, NULL});
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct filter_error error;
        struct filter *f = filter_compile(a, str_of(cases[i].text), &error);
        if (error.words[0] || filter_matches(f, &r) != cases[i].expected)
            print_error("%s: %s\n", cases[i].text, error.words);
        assert_string_equal(error.words, "");
        assert_int_equal(filter_matches(f, &r), cases[i].expected);
    }
    arena_free(a);
}

static void depth_is_limited(void **state)
{
    struct arena *a = arena_new(512);
    struct filter_error error;
    char text[4096];

    (void)state;
    memset(text, '(', sizeof text);
    assert_null(filter_compile(a, (struct str){text, sizeof text}, &error));
    assert_non_null(strstr(error.words, "nested"));
    memset(text, '!', sizeof text);
    assert_null(filter_compile(a, (struct str){text, sizeof text}, &error));
    assert_non_null(strstr(error.words, "nested"));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(says_where_the_error_is), cmocka_unit_test(matches), cmocka_unit_test(depth_is_limited)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
