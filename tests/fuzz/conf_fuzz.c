/* The configuration's lexer and tree. */
#include <stdint.h>

#include "conf/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(1024);
    struct conf_tree *t = conf_tree_new(a, STR("/nonexistent/"), STR("nginx.conf"));

    conf_tree_read_text(t, arena_str(a, (struct str){(const char *)data, n}), STR("fuzz"));
    for (const struct directive *d = t->root.first_child; d; d = d->next)
        directive_text(a, d);
    arena_free(a);
    return 0;
}
