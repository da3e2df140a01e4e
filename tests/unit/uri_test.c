/* Unit tests for proxy/http/uri.c: a table of what is received and what locations are matched against. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/uri.h"

static const struct {
    const char *rule, *raw, *path, *args;
    enum merge_slashes merge;
} rows[] = {
    {"plain", "/a/b", "/a/b", "", MERGE_SLASHES},
    {"empty path is the root", "", "/", "", MERGE_SLASHES},
    {"arguments are split off", "/a?x=1&y", "/a", "x=1&y", MERGE_SLASHES},
    {"a fragment is dropped", "/a?x#f", "/a", "x", MERGE_SLASHES},
    {"repeated slashes merge", "//a///b//", "/a/b/", "", MERGE_SLASHES},
    {"repeated slashes stay", "//a//b", "//a//b", "", KEEP_SLASHES},
    {"dot segments go", "/a/./b/.", "/a/b/", "", MERGE_SLASHES},
    {"dot-dot removes a segment", "/a/b/../c", "/a/c", "", MERGE_SLASHES},
    {"dot-dot at the end", "/a/b/..", "/a/", "", MERGE_SLASHES},
    {"above the root is refused", "/a/../../b", NULL, "", MERGE_SLASHES},
    {"escapes are decoded", "/%61%2Fb", "/a/b", "", MERGE_SLASHES},
    {"an encoded dot-dot counts", "/a/%2e%2E/b", "/b", "", MERGE_SLASHES},
    {"an encoded question mark is path", "/a%3Fb", "/a?b", "", MERGE_SLASHES},
    {"a bad escape is refused", "/a%zz", NULL, "", MERGE_SLASHES},
    {"a cut escape is refused", "/a%4", NULL, "", MERGE_SLASHES},
    {"NUL is refused", "/a%00", NULL, "", MERGE_SLASHES},
    {"three dots are a name", "/a/.../b", "/a/.../b", "", MERGE_SLASHES},
};

static void normalizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena *a = arena_new(1024);
        struct uri_parts parts;
        int rc = uri_normalize(a, str_of(rows[i].raw), rows[i].merge, &parts);
        if (!rows[i].path) {
            if (rc == 0)
                fail_msg("%s: accepted", rows[i].rule);
        } else if (rc < 0 || !str_eq(parts.path, str_of(rows[i].path)) || !str_eq(parts.args, str_of(rows[i].args))) {
            fail_msg("%s: %d \"%.*s\" \"%.*s\"", rows[i].rule, rc, STR_ARG(parts.path), STR_ARG(parts.args));
        }
        arena_free(a);
    }
}

static void escapes_what_nginx_escapes(void **state)
{
    struct arena *a = arena_new(1024);

    (void)state;
    assert_true(str_eq(uri_escape(a, STR("/a b%?#\"<>^`{|}\x7f\xc3"), ESCAPE_URI),
                       STR("/a%20b%25%3F%23%22%3C%3E%5E%60%7B%7C%7D%7F%C3")));
    assert_true(str_eq(uri_escape(a, STR("a&b=c+d;e"), ESCAPE_ARGS), STR("a%26b=c%2Bd%3Be")));
    assert_true(str_eq(uri_unescape(a, STR("a%20b%zz%4")), STR("a b%zz%4")));
    arena_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(normalizes), cmocka_unit_test(escapes_what_nginx_escapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
