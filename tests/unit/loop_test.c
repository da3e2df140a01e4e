/*
 * The loop: timers in order, descriptors, posted work; and JSON that is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <unistd.h>

#include "loop/loop.h"
#include "trace/json_write.h"

static int order[16], n_order;

static void note(struct timer *t)
{
    order[n_order++] = *(int *)t->data;
}

static void runs_timers_in_order(void **state)
{
    static const int delays[] = {30, 10, 20, 10, 0};
    struct loop *l = loop_new();
    struct timer timers[5] = {0};
    int names[5] = {0, 1, 2, 3, 4};

    (void)state;
    n_order = 0;
    for (int i = 0; i < 5; i++) {
        timers[i].handler = note;
        timers[i].data = &names[i];
        timer_start(l, &timers[i], (uint64_t)delays[i]);
    }
    timer_stop(l, &timers[3]);
    assert_false(timer_is_running(&timers[3]));
    while (n_order < 4)
        loop_turn(l, 100);
    assert_int_equal(order[0], 4);
    assert_int_equal(order[1], 1);
    assert_int_equal(order[2], 2);
    assert_int_equal(order[3], 0);
    loop_free(l);
}

static void many_timers(void **state)
{
    enum { N = 2000 };
    static struct timer timers[N];
    static int name;
    struct loop *l = loop_new();

    (void)state;
    for (int i = 0; i < N; i++) {
        timers[i].handler = note;
        timers[i].data = &name;
        timer_start(l, &timers[i], (uint64_t)(100000 + i * 7919 % N));
    }
    for (int i = 0; i < N; i += 2)
        timer_start(l, &timers[i], 200000);
    for (int i = 0; i < N; i++)
        timer_stop(l, &timers[i]);
    n_order = 0;
    loop_turn(l, 0);
    assert_int_equal(n_order, 0);
    loop_free(l);
}

static void on_readable(struct io *io, unsigned ready)
{
    char byte;

    assert_true(ready & IO_READ);
    assert_int_equal(read(io->fd, &byte, 1), 1);
    ++*(int *)io->data;
}

static void watches_descriptors(void **state)
{
    struct loop *l = loop_new();
    int fds[2], n = 0;
    struct io io;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    io = (struct io){.fd = fds[0], .handler = on_readable, .data = &n};
    loop_watch(l, &io, IO_READ);
    loop_turn(l, 0);
    assert_int_equal(n, 0);
    assert_int_equal(write(fds[1], "ab", 2), 2);
    loop_turn(l, 100);
    assert_int_equal(n, 1);
    loop_watch(l, &io, IO_READ | IO_COLD);
    for (int i = 0; i < 20 && n < 2; i++)
        loop_turn(l, 10);
    assert_int_equal(n, 2);
    loop_watch(l, &io, 0);
    close(fds[0]);
    close(fds[1]);
    loop_free(l);
}

static void writes_valid_json(void **state)
{
    struct buf b = {0};
    json_t *read;

    (void)state;
    write_open(&b, NULL, '{');
    write_str(&b, "plain", STR("a\"b\\c\n\x01\xff\xc3\xbc\xed\xa0\x80"));
    write_num(&b, "n", -5);
    write_open(&b, "list", '[');
    write_bool(&b, NULL, true);
    write_null(&b, NULL);
    write_close(&b, ']');
    write_close(&b, '}');
    read = json_loadb(buf_str(&b).p, buf_len(&b), 0, NULL);
    assert_non_null(read);
    assert_string_equal(json_string_value(json_object_get(read, "plain")), "a\"b\\c\n\x01\xc3\xbf\xc3\xbc\xc3\xad\xc2\xa0\xc2\x80");
    assert_int_equal(json_integer_value(json_object_get(read, "n")), -5);
    assert_int_equal(json_array_size(json_object_get(read, "list")), 2);
    json_decref(read);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(runs_timers_in_order), cmocka_unit_test(many_timers),
                                       cmocka_unit_test(watches_descriptors), cmocka_unit_test(writes_valid_json)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
