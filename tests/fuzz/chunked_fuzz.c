/* The chunked coding: whole, and in pieces of three bytes, must decode alike. */
#include <stdint.h>
#include <stdlib.h>

#include "http/parse.h"
#include "util/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static enum chunked_result decode(const uint8_t *data, size_t n, size_t piece, struct buf *out)
{
    struct chunked c = {0};
    enum chunked_result result = CHUNKED_AGAIN;

    for (size_t at = 0; at < n && result == CHUNKED_AGAIN; at += piece) {
        struct str in = {(const char *)data + at, n - at < piece ? n - at : piece}, part;
        while ((result = chunked_decode(&c, &in, &part)) == CHUNKED_DATA)
            buf_adds(out, part);
    }
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct buf whole = {0}, pieces = {0};
    enum chunked_result x = decode(data, n, n ? n : 1, &whole), y = decode(data, n, 3, &pieces);

    if (x != y || !str_eq(buf_str(&whole), buf_str(&pieces)))
        abort();
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
