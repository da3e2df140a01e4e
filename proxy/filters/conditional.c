/*
 * Conditional and range requests: see conditional.h.
 */
#include "filters/conditional.h"

#include <limits.h>

#include "filters/response.h"
#include "http/date.h"
#include "phases/engine.h"

/* --- conditions --- */

static bool tag_matches(struct request *r, struct str list, bool is_weak)
{
    const struct field *etag = field_find_id(&r->response.fields, FIELD_ETAG);
    struct str own;

    if (str_eq(list, STR("*")))
        return true;
    if (!etag)
        return false;
    own = etag->value;
    if (is_weak && str_has_prefix(own, STR("W/")))
        own = str_skip(own, 2);
    while (list.n) {
        if (is_weak && str_has_prefix(list, STR("W/")))
            list = str_skip(list, 2);
        if (str_has_prefix(list, own)) {
            struct str rest = str_skip(list, own.n);
            while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
                rest = str_skip(rest, 1);
            if (rest.n == 0 || rest.p[0] == ',')
                return true;
        }
        while (list.n && list.p[0] != ',')
            list = str_skip(list, 1);
        while (list.n && (list.p[0] == ' ' || list.p[0] == '\t' || list.p[0] == ','))
            list = str_skip(list, 1);
    }
    return false;
}

static bool is_modified(struct request *r, struct str since)
{
    time_t own = r->response.last_modified, asked;
    long how = CORE_LOC(r)->if_modified_since.num;

    if (own == (time_t)-1 || how == 0)
        return true;
    asked = date_parse(since);
    return asked == own ? false : how == 1 || asked < own;
}

static void remove_field(struct request *r, enum field_id id, const char *why)
{
    for (size_t i = 0; i < r->response.fields.n; i++)
        if (r->response.fields.items[i].id == id && !r->response.fields.items[i].is_removed) {
            r->response.fields.items[i].is_removed = true;
            r->response.fields.items[i].origin = (struct origin){ORIGIN_DEFAULT, NULL, why};
        }
}

void not_modified_filter(struct request *r)
{
    struct response *out = &r->response;
    const struct str *unmodified = request_field(r, FIELD_IF_UNMODIFIED_SINCE), *match = request_field(r, FIELD_IF_MATCH);
    const struct str *modified = request_field(r, FIELD_IF_MODIFIED_SINCE), *none = request_field(r, FIELD_IF_NONE_MATCH);

    if (out->status != 200 || out->is_not_cacheable)
        return;
    if ((unmodified && (out->last_modified == (time_t)-1 || date_parse(*unmodified) < out->last_modified))
        || (match && !tag_matches(r, *match, false))) {
        out->replaced_by = 412;
        return;
    }
    if ((!modified && !none) || (modified && is_modified(r, *modified)) || (none && !tag_matches(r, *none, true)))
        return;
    out->status = 304;
    out->status_line = STR("");
    out->content_type = STR("");
    out->content_length = -1;
    out->allows_ranges = false;
    remove_field(r, FIELD_ACCEPT_RANGES, "304");
    remove_field(r, FIELD_CONTENT_ENCODING, "304");
}

/* --- ranges --- */

enum ranges_result { RANGES_FOUND, RANGES_IGNORED, RANGES_BAD };

static bool read_number(struct str *s, long long *n)
{
    if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
        return false;
    for (*n = 0; s->n && s->p[0] >= '0' && s->p[0] <= '9'; *s = str_skip(*s, 1)) {
        if (*n > (LLONG_MAX - 9) / 10)
            return false;
        *n = *n * 10 + (s->p[0] - '0');
    }
    return true;
}

static void skip_spaces(struct str *s)
{
    while (s->n && s->p[0] == ' ')
        *s = str_skip(*s, 1);
}

static enum ranges_result parse_ranges(struct request *r, struct str s, long limit)
{
    struct response *out = &r->response;
    long long length = out->content_length, total = 0;

    for (;;) {
        long long start = 0, end = 0;
        bool is_suffix = false, is_open = false;
        skip_spaces(&s);
        if (s.n && s.p[0] == '-') {
            is_suffix = true;
            s = str_skip(s, 1);
        } else {
            if (!read_number(&s, &start))
                return RANGES_BAD;
            skip_spaces(&s);
            if (s.n == 0 || s.p[0] != '-')
                return RANGES_BAD;
            s = str_skip(s, 1);
            skip_spaces(&s);
            is_open = s.n == 0 || s.p[0] == ',';
        }
        if (is_open) {
            end = length;
        } else {
            if (!read_number(&s, &end))
                return RANGES_BAD;
            skip_spaces(&s);
            if (s.n && s.p[0] != ',')
                return RANGES_BAD;
            if (is_suffix) {
                start = end < length ? length - end : 0;
                end = length - 1;
            }
            end = end >= length ? length : end + 1;
        }
        if (start < end) {
            struct byte_range *range = ARRAY_PUSH(&out->ranges, r->arena);
            range->start = start;
            range->end = end;
            total += end - start;
            if (limit-- == 0)
                return RANGES_IGNORED;
        } else if (start == 0) {
            return RANGES_IGNORED;
        }
        if (s.n == 0 || s.p[0] != ',')
            break;
        s = str_skip(s, 1);
    }
    if (out->ranges.n == 0)
        return RANGES_BAD;
    return total > length ? RANGES_IGNORED : RANGES_FOUND;
}

static bool if_range_holds(struct request *r)
{
    const struct str *given = request_field(r, FIELD_IF_RANGE);
    const struct field *etag = field_find_id(&r->response.fields, FIELD_ETAG);

    if (!given)
        return true;
    if (given->n >= 2 && given->p[given->n - 1] == '"')
        return etag && str_eq(*given, etag->value);
    return r->response.last_modified != (time_t)-1 && date_parse(*given) == r->response.last_modified;
}

static const struct origin by_range = {ORIGIN_DEFAULT, NULL, "range request"};

static void set_parts(struct request *r)
{
    static unsigned long long n;
    struct response *out = &r->response;
    struct str type = out->content_type;
    struct str boundary = arena_printf(r->arena, "%020llu", ++n);
    long long length = 0;

    if (out->charset.n)
        type = arena_printf(r->arena, "%.*s; charset=%.*s", STR_ARG(type), STR_ARG(out->charset));
    for (size_t i = 0; i < out->ranges.n; i++) {
        struct byte_range *range = &out->ranges.items[i];
        range->part_header = type.n ? arena_printf(r->arena, "\r\n--%.*s\r\nContent-Type: %.*s\r\nContent-Range: bytes %lld-%lld/%lld\r\n\r\n",
                                                   STR_ARG(boundary), STR_ARG(type), range->start, range->end - 1, out->content_length)
                                    : arena_printf(r->arena, "\r\n--%.*s\r\nContent-Range: bytes %lld-%lld/%lld\r\n\r\n",
                                                   STR_ARG(boundary), range->start, range->end - 1, out->content_length);
        length += (long long)range->part_header.n + range->end - range->start;
    }
    out->parts_end = arena_printf(r->arena, "\r\n--%.*s--\r\n", STR_ARG(boundary));
    out->content_type = arena_printf(r->arena, "multipart/byteranges; boundary=%.*s", STR_ARG(boundary));
    out->charset = STR("");
    out->content_length = length + (long long)out->parts_end.n;
}

void range_filter(struct request *r)
{
    struct response *out = &r->response;
    const struct str *asked = request_field(r, FIELD_RANGE);
    long limit = out->single_range ? 1 : CORE_LOC(r)->max_ranges.num;

    if (r->version < 1000 || out->status != 200 || out->content_length < 0 || !out->allows_ranges || CORE_LOC(r)->max_ranges.num == 0)
        return;
    if (asked && asked->n >= 7 && str_has_iprefix(*asked, STR("bytes=")) && if_range_holds(r)) {
        switch (parse_ranges(r, str_skip(*asked, 6), limit)) {
        case RANGES_FOUND:
            out->status = 206;
            out->status_line = STR("");
            if (out->ranges.n == 1) {
                struct byte_range *range = &out->ranges.items[0];
                response_add(r, "Content-Range", arena_printf(r->arena, "bytes %lld-%lld/%lld", range->start, range->end - 1, out->content_length), by_range);
                out->content_length = range->end - range->start;
            } else {
                set_parts(r);
            }
            return;
        case RANGES_BAD:
            out->replaced_by = 416;
            out->ranges.n = 0;
            response_add(r, "Content-Range", arena_printf(r->arena, "bytes */%lld", out->content_length), by_range);
            return;
        case RANGES_IGNORED: out->ranges.n = 0; break;
        }
    }
    response_add(r, "Accept-Ranges", STR("bytes"), by_range);
}
