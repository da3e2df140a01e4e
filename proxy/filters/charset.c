/*
 * Character sets: see charset.h.
 *
 * A map between two sets of single bytes is a table of 256 bytes each way. A map to UTF-8 is a table of sequences one way,
 * and a table by code point the other way; what has no place in the single-byte set becomes a character reference.
 */
#include "filters/charset.h"

#include <stdio.h>

#include "filters/body.h"
#include "http/log.h"
#include "util/buf.h"

enum { SEQUENCE_BYTES = 3 };

struct sequence {
    unsigned char n, bytes[SEQUENCE_BYTES];
};

struct charset {
    struct str name;
    bool is_utf8;
};

/* Between FROM and TO; only TO may be UTF-8. */
struct charset_map {
    const struct charset *from, *to;
    unsigned char forward[256], back[256];
    struct sequence sequences[256];    /* to UTF-8 */
    unsigned char *by_code_point[256]; /* from UTF-8: pages of 256 */
};

struct charset_main {
    ARRAY_OF(struct charset *) charsets;
    ARRAY_OF(struct charset_map *) maps;
    ARRAY_OF(void **) levels; /* the locations, to check that their maps are there */
};

/* What `charset` or `source_charset` says. */
struct charset_choice {
    const struct charset *charset; /* NULL: off, or TEXT */
    struct text *text;             /* with variables */
};

struct charset_loc {
    struct setting charset, source_charset, override_charset, charset_types;
};

static struct charset_main *main_of(struct conf *c)
{
    return c->http.main[charset_module.index];
}

static const struct charset *find_charset(const struct charset_main *m, struct str name)
{
    for (size_t i = 0; i < m->charsets.n; i++)
        if (str_ieq(m->charsets.items[i]->name, name))
            return m->charsets.items[i];
    return NULL;
}

static const struct charset_map *find_map(const struct charset_main *m, const struct charset *a, const struct charset *b)
{
    for (size_t i = 0; i < m->maps.n; i++) {
        const struct charset_map *map = m->maps.items[i];
        if ((map->from == a && map->to == b) || (map->from == b && map->to == a))
            return map;
    }
    return NULL;
}

/* --- recoding --- */

struct recoding {
    struct body_filter filter;
    const struct charset_map *map;
    bool is_back; /* from the map's second set to its first */
    unsigned char begun[4]; /* of a UTF-8 sequence that is not complete yet */
    size_t n_begun;
};

static void recode_bytes(struct request *r, struct body_filter *f, struct str in)
{
    const struct recoding *c = (const struct recoding *)f;
    const unsigned char *table = c->is_back ? c->map->back : c->map->forward;

    while (in.n) {
        char out[4096];
        size_t n = in.n < sizeof out ? in.n : sizeof out;
        for (size_t i = 0; i < n; i++)
            out[i] = (char)table[(unsigned char)in.p[i]];
        body_pass(r, f, (struct str){out, n});
        in = str_skip(in, n);
    }
}

static void recode_to_utf8(struct request *r, struct body_filter *f, struct str in)
{
    const struct recoding *c = (const struct recoding *)f;

    while (in.n) {
        char out[4096];
        size_t n = 0, i;
        for (i = 0; i < in.n && n + SEQUENCE_BYTES <= sizeof out; i++) {
            const struct sequence *s = &c->map->sequences[(unsigned char)in.p[i]];
            memcpy(out + n, s->bytes, s->n);
            n += s->n;
        }
        body_pass(r, f, (struct str){out, n});
        in = str_skip(in, i);
    }
}

enum { CODE_INVALID = -1, CODE_INCOMPLETE = -2 };

/* The code point at P and in *LENGTH how many bytes it has; of an invalid one, those to skip. It may be larger than there are.
 * As lenient as nginx 1.22: whatever is above 0x7f continues a sequence, and 0xf8 to 0xff begin one of four bytes. */
static long decode(const unsigned char *p, size_t n, size_t *length)
{
    long code, least;
    size_t more;

    *length = 1;
    if (p[0] < 0x80)
        return p[0];
    if (p[0] < 0xc2)
        return CODE_INVALID;
    more = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1;
    code = p[0] & (more == 3 ? 0x07 : more == 2 ? 0x0f : 0x1f);
    least = more == 3 ? 0x10000 : more == 2 ? 0x800 : 0x80;
    if (n <= more)
        return CODE_INCOMPLETE;
    for (size_t i = 1; i <= more; i++) {
        *length = i + 1;
        if (p[i] < 0x80)
            return CODE_INVALID;
        code = code << 6 | (p[i] & 0x3f);
    }
    return code < least ? CODE_INVALID : code;
}

static void recode_from_utf8(struct request *r, struct body_filter *f, struct str in)
{
    struct recoding *c = (struct recoding *)f;
    struct buf all = {0};
    const unsigned char *p;
    size_t n, length;
    struct buf out = {0};

    buf_add(&all, c->begun, c->n_begun);
    buf_adds(&all, in);
    p = (const unsigned char *)buf_str(&all).p;
    n = buf_len(&all);
    c->n_begun = 0;
    while (n) {
        long code = decode(p, n, &length);
        const unsigned char *page;
        if (code == CODE_INCOMPLETE) {
            memcpy(c->begun, p, n);
            c->n_begun = n;
            break;
        }
        page = code >= 0 && code < 0x10000 ? c->map->by_code_point[code >> 8] : NULL;
        if (code == CODE_INVALID || code > 0x10ffff)
            buf_addz(&out, "?");
        else if (page && page[code & 0xff])
            buf_add(&out, &page[code & 0xff], 1);
        else if (code < 0x80)
            buf_add(&out, p, 1);
        else
            buf_printf(&out, "&#%ld;", code);
        p += length;
        n -= length;
    }
    body_pass(r, f, buf_str(&out));
    buf_free(&all);
    buf_free(&out);
}

static void start_recoding(struct request *r, const struct charset_map *map, const struct charset *to)
{
    struct recoding *c = arena_zalloc(r->arena, sizeof *c);

    c->map = map;
    c->is_back = map->from == to;
    c->filter.write = !map->to->is_utf8 ? recode_bytes : c->is_back ? recode_from_utf8 : recode_to_utf8;
    if (map->to->is_utf8)
        r->response.content_length = -1;
    body_filter_add(r, &c->filter);
}

/* --- the header filter --- */

void charset_of_type(struct response *out)
{
    long at = str_ifind(out->content_type, STR("charset="));
    long semicolon = str_chr(out->content_type, ';');
    struct str charset;

    if (at < 0 || semicolon < 0 || semicolon > at)
        return;
    charset = str_skip(out->content_type, (size_t)at + 8);
    if (charset.n >= 2 && charset.p[0] == '"' && charset.p[charset.n - 1] == '"')
        charset = (struct str){charset.p + 1, charset.n - 2};
    out->charset = charset;
}

/* The name that a choice yields; empty for none. */
static struct str chosen_name(struct request *r, const struct charset_choice *choice)
{
    if (!choice)
        return STR("");
    return choice->charset ? choice->charset->name : choice->text ? text_value(r, choice->text) : STR("");
}

/* Says that the response is in CHARSET; a redirect says nothing, as in nginx. */
static void name_charset(struct request *r, struct str charset, const struct setting *by)
{
    struct response *out = &r->response;
    long semicolon = str_chr(out->content_type, ';');

    if (semicolon >= 0 && str_ifind(out->content_type, STR("charset=")) >= 0)
        out->content_type = str_trim((struct str){out->content_type.p, (size_t)semicolon});
    out->charset = out->status == 301 || out->status == 302 ? STR("") : charset;
    if (out->charset.n && by->origin)
        out->content_type_origin = (struct origin){ORIGIN_DIRECTIVE, by->origin, "charset"};
}

void charset_filter(struct request *r)
{
    const struct charset_loc *loc = r->loc_conf[charset_module.index];
    const struct charset_main *m = main_of(r->conf);
    struct response *out = &r->response;
    const struct charset *from, *to;
    const struct charset_map *map;
    struct str before, after, received;

    if (out->content_type.n == 0)
        return;
    if (out->charset.n == 0)
        charset_of_type(out);
    received = out->charset;
    if (out->override_charset.n) {
        after = out->override_charset;
        if (!find_charset(m, after)) {
            log_request(r, LOG_ERR_, 0, "unknown charset \"%.*s\" to override", STR_ARG(after));
            after = STR("");
        }
    } else if (received.n ? !loc->override_charset.num : !media_types_match(loc->charset_types.ptr, r)) {
        after = STR("");
    } else {
        after = chosen_name(r, loc->charset.ptr);
    }
    before = received.n ? received : chosen_name(r, loc->source_charset.ptr);
    if (after.n == 0) {
        if (received.n) /* as it came */
            out->charset = str_ifind(out->content_type, STR("charset=")) >= 0 ? STR("") : received;
        return;
    }
    from = find_charset(m, before);
    to = find_charset(m, after);
    if (before.n == 0 || (from && from == to) || (!from && !to && str_ieq(before, after))) {
        name_charset(r, after, &loc->charset);
        return;
    }
    if (field_find_id(&out->fields, FIELD_CONTENT_ENCODING)) {
        out->charset = str_ifind(out->content_type, STR("charset=")) >= 0 ? STR("") : received;
        return;
    }
    map = from && to ? find_map(m, from, to) : NULL;
    if (!map) {
        log_request(r, LOG_ERR_, 0, "no \"charset_map\" between the charsets \"%.*s\" and \"%.*s\"", STR_ARG(before), STR_ARG(after));
        out->charset = str_ifind(out->content_type, STR("charset=")) >= 0 ? STR("") : received;
        return;
    }
    name_charset(r, after, &loc->charset);
    start_recoding(r, map, to);
}

/* --- directives --- */

static const struct charset *add_charset(struct conf *c, struct str name)
{
    struct charset_main *m = main_of(c);
    const struct charset *there = find_charset(m, name);
    struct charset *made;

    if (there)
        return there;
    made = *ARRAY_PUSH(&m->charsets, c->arena) = arena_zalloc(c->arena, sizeof *made);
    made->name = name;
    made->is_utf8 = str_ieq(name, STR("utf-8"));
    return made;
}

static int parse_charset(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct charset_choice *choice;

    if (!s)
        return -1;
    s->ptr = choice = arena_zalloc(c->arena, sizeof *choice);
    if (str_eq(d->args[1], STR("off")) && row->offset == offsetof(struct charset_loc, charset))
        return 0;
    if (d->args[1].n && d->args[1].p[0] == '$') {
        choice->text = text_compile(c, d, d->args[1]);
        return choice->text ? 0 : -1;
    }
    choice->charset = add_charset(c, d->args[1]);
    return 0;
}

static int hex_value(struct str s)
{
    int v = 0;

    if (s.n == 0 || s.n > 2)
        return -1;
    for (size_t i = 0; i < s.n; i++) {
        int digit = ascii_hex(s.p[i]);
        if (digit < 0)
            return -1;
        v = v * 16 + digit;
    }
    return v;
}

/* One line of a map: "C0 FE", or "C0 D18E" to UTF-8. */
static int parse_entry(struct conf *c, struct directive *e, struct charset_map *map)
{
    int from = hex_value(e->args[0]), to;
    struct sequence *s;
    size_t length;
    long code;

    if (e->n_args != 2 || e->is_block) {
        conf_fail(c->tree, e, "invalid parameters number");
        return -1;
    }
    if (from < 0) {
        conf_fail(c->tree, e, "invalid value \"%.*s\"", STR_ARG(e->args[0]));
        return -1;
    }
    if (!map->to->is_utf8) {
        to = hex_value(e->args[1]);
        if (to < 0) {
            conf_fail(c->tree, e, "invalid value \"%.*s\"", STR_ARG(e->args[1]));
            return -1;
        }
        map->forward[from] = (unsigned char)to;
        map->back[to] = (unsigned char)from;
        return 0;
    }
    s = &map->sequences[from];
    s->n = 0;
    for (size_t i = 0; i < e->args[1].n; i += 2) {
        to = hex_value((struct str){e->args[1].p + i, e->args[1].n - i < 2 ? e->args[1].n - i : 2});
        if (to < 0 || s->n == SEQUENCE_BYTES) {
            conf_fail(c->tree, e, "invalid value \"%.*s\"", STR_ARG(e->args[1]));
            return -1;
        }
        s->bytes[s->n++] = (unsigned char)to;
    }
    code = decode(s->bytes, s->n, &length);
    if (code < 0 || code > 0xffff) {
        conf_fail(c->tree, e, "invalid value \"%.*s\"", STR_ARG(e->args[1]));
        return -1;
    }
    if (!map->by_code_point[code >> 8])
        map->by_code_point[code >> 8] = arena_zalloc(c->arena, 256);
    map->by_code_point[code >> 8][code & 0xff] = (unsigned char)from;
    return 0;
}

static int parse_map(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct charset_main *m = structure;
    const struct charset *from = add_charset(c, d->args[1]), *to = add_charset(c, d->args[2]);
    struct charset_map *map;

    (void)row;
    if (from == to) {
        conf_fail(c->tree, d, "\"charset_map\" between the same charsets \"%.*s\" and \"%.*s\"", STR_ARG(d->args[1]), STR_ARG(d->args[2]));
        return -1;
    }
    if (from->is_utf8) {
        conf_fail(c->tree, d, "\"charset_map\" with \"utf-8\" charset should be given in the second column");
        return -1;
    }
    if (find_map(m, from, to)) {
        conf_fail(c->tree, d, "duplicate \"charset_map\" between \"%.*s\" and \"%.*s\"", STR_ARG(d->args[1]), STR_ARG(d->args[2]));
        return -1;
    }
    map = *ARRAY_PUSH(&m->maps, c->arena) = arena_zalloc(c->arena, sizeof *map);
    map->from = from;
    map->to = to;
    for (int i = 0; i < 256; i++) {
        map->forward[i] = map->back[i] = i < 128 ? (unsigned char)i : '?';
        map->sequences[i] = (struct sequence){1, {i < 128 ? (unsigned char)i : '?'}};
    }
    for (struct directive *e = d->first_child; e; e = e->next)
        if (!str_eq(e->args[0], STR("include")) && parse_entry(c, e, map) < 0)
            return -1;
    return 0;
}

static int merged(struct conf *c, void *parent, void *child)
{
    (void)parent;
    *ARRAY_PUSH(&main_of(c)->levels, c->arena) = child;
    return 0;
}

/* A location that recodes needs its map from the start. */
static int ready(struct conf *c)
{
    const struct charset_main *m = main_of(c);

    for (size_t i = 0; i < m->levels.n; i++) {
        const struct charset_loc *loc = (const void *)m->levels.items[i];
        const struct charset_choice *from = loc->source_charset.ptr, *to = loc->charset.ptr;
        if (!from || !to || !from->charset || !to->charset || from->charset == to->charset || find_map(m, from->charset, to->charset))
            continue;
        conf_fail(c->tree, NULL, "no \"charset_map\" between the charsets \"%.*s\" and \"%.*s\"", STR_ARG(from->charset->name), STR_ARG(to->charset->name));
        return -1;
    }
    return 0;
}

static const char *const default_types[] = {NULL};

#define LOC(field) SCOPE_LOC, offsetof(struct charset_loc, field)
static const struct directive_row rows[] = {
    {"charset", IN_ANY_HTTP | IN_LOCATION_IF, 1, 1, false, LOC(charset), parse_charset, NULL, "The character set of responses.", INHERIT, NULL},
    {"source_charset", IN_ANY_HTTP | IN_LOCATION_IF, 1, 1, false, LOC(source_charset), parse_charset, NULL, "The character set that responses are in before.", INHERIT, NULL},
    {"override_charset", IN_ANY_HTTP | IN_LOCATION_IF, 1, 1, false, LOC(override_charset), conf_parse_flag, "off", "Recodes what upstreams say a character set of.", INHERIT, NULL},
    {"charset_types", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(charset_types), parse_media_types, "text/html text/xml text/plain text/vnd.wap.wml application/javascript application/rss+xml", "The types that charset is for.", INHERIT, default_types},
    {"charset_map", IN_HTTP, 2, 2, true, SCOPE_MAIN, 0, parse_map, NULL, "How one character set becomes another.", DO_NOT_INHERIT, NULL},
};

struct module charset_module = {
    .name = "ngx_http_charset_filter_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .main_bytes = sizeof(struct charset_main),
    .loc_bytes = sizeof(struct charset_loc),
    .merged_loc = merged,
    .ready = ready,
};
