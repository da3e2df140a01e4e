/* An upstream's status line and header. */
#include <stdint.h>

#include "http/date.h"
#include "http/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct str in = {(const char *)data, n};
    struct status_line line;
    struct header_line field;

    if (parse_status_line(in, &line) == PARSE_DONE) {
        in = str_skip(in, line.consumed);
        while (parse_header_line(in, ALLOW_UNDERSCORES, &field) == PARSE_DONE) {
            date_parse(field.value);
            str_number(field.value);
            in = str_skip(in, field.consumed);
        }
    }
    return 0;
}
