/* The filter language: compiling and matching. */
#include <stdint.h>

#include "trace/filter.h"
#include "upstream/upstream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(512);
    struct server server = {.name = {"a", 1}};
    struct request r = {.arena = a, .host = {"a", 1}, .original_method = {"GET", 3}, .original_uri = {"/x", 2}, .unparsed_uri = {"/x", 2}, .server = &server};
    struct filter_error error;
    struct filter *f = filter_compile(a, (struct str){(const char *)data, n}, &error);

    filter_matches(f, &r);
    arena_free(a);
    return 0;
}
