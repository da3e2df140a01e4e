/* Unit tests for proxy/http/parse.c: every input whole and cut at every point. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/parse.h"
#include "util/buf.h"

static void reads_request_lines(void **state)
{
    static const struct {
        const char *in;
        enum parse_result result;
        const char *uri, *host;
        unsigned version;
    } rows[] = {
        {"GET / HTTP/1.1\r\n", PARSE_DONE, "/", "", 1001},
        {"\r\nPOST /a?b=c HTTP/1.0\n", PARSE_DONE, "/a?b=c", "", 1000},
        {"GET http://h.example:81/x HTTP/1.1\r\n", PARSE_DONE, "/x", "h.example", 1001},
        {"GET http://[::1]:81/x HTTP/1.1\r\n", PARSE_DONE, "/x", "[::1]", 1001},
        {"GET http://h?a HTTP/1.1\r\n", PARSE_DONE, "?a", "h", 1001},
        {"GET /\r\n", PARSE_DONE, "/", "", 9},
        {"get / HTTP/1.1\r\n", PARSE_INVALID_METHOD, "", "", 0},
        {"GET * HTTP/1.1\r\n", PARSE_INVALID_REQUEST, "", "", 0},
        {"GET /a b HTTP/1.1\r\n", PARSE_INVALID_REQUEST, "", "", 0},
        {"GET / HTTP/2.0\r\n", PARSE_INVALID_VERSION, "", "", 0},
        {"GET / HTTP/1.1\rX", PARSE_INVALID_REQUEST, "", "", 0},
        {"GET /\x01 HTTP/1.1\r\n", PARSE_INVALID_REQUEST, "", "", 0},
        {"POST /\r\n", PARSE_INVALID_09_METHOD, "", "", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str in = str_of(rows[i].in);
        struct request_line line;
        enum parse_result r = parse_request_line(in, &line);
        if (r != rows[i].result)
            fail_msg("\"%s\": %d", rows[i].in, r);
        if (r != PARSE_DONE)
            continue;
        assert_true(str_eq(line.uri, str_of(rows[i].uri)));
        assert_true(str_eq(line.host, str_of(rows[i].host)));
        assert_int_equal(line.version, rows[i].version);
        assert_int_equal(line.consumed, in.n);
        for (size_t n = 0; n < in.n; n++)
            assert_int_equal(parse_request_line((struct str){in.p, n}, &line), PARSE_AGAIN);
    }
}

static void reads_header_lines(void **state)
{
    static const struct {
        const char *in;
        enum parse_result result;
        const char *name, *value;
        bool is_invalid;
    } rows[] = {
        {"Host: a\r\n", PARSE_DONE, "Host", "a", false},
        {"X:   b c  \r\n", PARSE_DONE, "X", "b c", false},
        {"X:\n", PARSE_DONE, "X", "", false},
        {"X_Y: z\r\n", PARSE_DONE, "X_Y", "z", true},
        {"X.Y: z\r\n", PARSE_DONE, "X.Y", "z", true},
        {"X : z\r\n", PARSE_INVALID_HEADER, "", "", false},
        {" X: folded\r\n", PARSE_INVALID_HEADER, "", "", false},
        {"X: a\rb\r\n", PARSE_INVALID_HEADER, "", "", false},
        {": no name\r\n", PARSE_INVALID_HEADER, "", "", false},
        {"\r\n", PARSE_END_OF_HEADER, "", "", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str in = str_of(rows[i].in);
        struct header_line line;
        enum parse_result r = parse_header_line(in, REFUSE_UNDERSCORES, &line);
        if (r != rows[i].result)
            fail_msg("\"%s\": %d", rows[i].in, r);
        if (r != PARSE_DONE)
            continue;
        assert_true(str_eq(line.name, str_of(rows[i].name)));
        assert_true(str_eq(line.value, str_of(rows[i].value)));
        assert_int_equal(line.is_invalid, rows[i].is_invalid);
        for (size_t n = 0; n < in.n; n++)
            assert_int_equal(parse_header_line((struct str){in.p, n}, REFUSE_UNDERSCORES, &line), PARSE_AGAIN);
    }
    struct header_line line;
    assert_int_equal(parse_header_line((struct str){"X: \0\r\n", 6}, REFUSE_UNDERSCORES, &line), PARSE_INVALID_HEADER);
}

static enum chunked_result decode(struct chunked *c, struct str in, struct buf *out)
{
    struct str data;
    enum chunked_result r;

    while ((r = chunked_decode(c, &in, &data)) == CHUNKED_DATA)
        buf_adds(out, data);
    return r;
}

static void decodes_chunks_at_every_split(void **state)
{
    struct str in = STR("5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n");

    (void)state;
    for (size_t split = 0; split < in.n; split++) {
        struct chunked c = {0};
        struct buf out = {0};
        assert_int_equal(decode(&c, (struct str){in.p, split}, &out), CHUNKED_AGAIN);
        assert_int_equal(decode(&c, str_skip(in, split), &out), CHUNKED_DONE);
        assert_true(str_eq(buf_str(&out), STR("hello world")));
        buf_free(&out);
    }
    struct chunked c = {0};
    struct buf out = {0};
    assert_int_equal(decode(&c, STR("x\r\n"), &out), CHUNKED_INVALID);
    c = (struct chunked){0};
    assert_int_equal(decode(&c, STR("ffffffffffffffffff\r\n"), &out), CHUNKED_INVALID);
    buf_free(&out);
}

static void validates_hosts(void **state)
{
    char out[64];

    (void)state;
    assert_int_equal(host_validate(STR("WWW.Example.COM:8080"), out), 15);
    assert_memory_equal(out, "www.example.com", 15);
    assert_int_equal(host_validate(STR("a."), out), 1);
    assert_int_equal(host_validate(STR("[::1]:80"), out), 5);
    assert_int_equal(host_validate(STR("a..b"), out), -1);
    assert_int_equal(host_validate(STR("a/b"), out), -1);
    assert_int_equal(host_validate(STR(""), out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reads_request_lines), cmocka_unit_test(reads_header_lines),
                                       cmocka_unit_test(decodes_chunks_at_every_split),
                                       cmocka_unit_test(validates_hosts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
