/* The request line, header lines, URI and host. */
#include <stdint.h>

#include "http/parse.h"
#include "http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct arena *a = arena_new(1024);
    struct str in = arena_str(a, (struct str){(const char *)data, n});
    struct request_line line;
    struct header_line field;
    struct uri_parts parts;

    if (parse_request_line(in, &line) == PARSE_DONE) {
        if (uri_normalize(a, line.uri, MERGE_SLASHES, &parts) == 0) {
            uri_extension(parts.path);
            uri_escape(a, parts.path, ESCAPE_URI);
        }
        host_validate(line.host, arena_alloc(a, line.host.n + 1));
        in = str_skip(in, line.consumed);
        while (parse_header_line(in, REFUSE_UNDERSCORES, &field) == PARSE_DONE) {
            host_validate(field.value, arena_alloc(a, field.value.n + 1));
            in = str_skip(in, field.consumed);
        }
    }
    arena_free(a);
    return 0;
}
