/*
 * Header fields with their provenance: see field.h.
 */
#include "http/field.h"

static const struct {
    const char *name;
    enum field_id id;
} names[] = {
    {"accept-ranges", FIELD_ACCEPT_RANGES},
    {"age", FIELD_AGE},
    {"allow", FIELD_ALLOW},
    {"authorization", FIELD_AUTHORIZATION},
    {"cache-control", FIELD_CACHE_CONTROL},
    {"connection", FIELD_CONNECTION},
    {"content-disposition", FIELD_CONTENT_DISPOSITION},
    {"content-encoding", FIELD_CONTENT_ENCODING},
    {"content-length", FIELD_CONTENT_LENGTH},
    {"content-range", FIELD_CONTENT_RANGE},
    {"content-type", FIELD_CONTENT_TYPE},
    {"cookie", FIELD_COOKIE},
    {"date", FIELD_DATE},
    {"etag", FIELD_ETAG},
    {"expect", FIELD_EXPECT},
    {"expires", FIELD_EXPIRES},
    {"host", FIELD_HOST},
    {"if-match", FIELD_IF_MATCH},
    {"if-modified-since", FIELD_IF_MODIFIED_SINCE},
    {"if-none-match", FIELD_IF_NONE_MATCH},
    {"if-range", FIELD_IF_RANGE},
    {"if-unmodified-since", FIELD_IF_UNMODIFIED_SINCE},
    {"keep-alive", FIELD_KEEP_ALIVE},
    {"last-modified", FIELD_LAST_MODIFIED},
    {"link", FIELD_LINK},
    {"location", FIELD_LOCATION},
    {"pragma", FIELD_PRAGMA},
    {"proxy-authenticate", FIELD_PROXY_AUTHENTICATE},
    {"range", FIELD_RANGE},
    {"referer", FIELD_REFERER},
    {"refresh", FIELD_REFRESH},
    {"retry-after", FIELD_RETRY_AFTER},
    {"server", FIELD_SERVER},
    {"set-cookie", FIELD_SET_COOKIE},
    {"status", FIELD_STATUS},
    {"te", FIELD_TE},
    {"trailer", FIELD_TRAILER},
    {"transfer-encoding", FIELD_TRANSFER_ENCODING},
    {"upgrade", FIELD_UPGRADE},
    {"user-agent", FIELD_USER_AGENT},
    {"vary", FIELD_VARY},
    {"via", FIELD_VIA},
    {"www-authenticate", FIELD_WWW_AUTHENTICATE},
    {"x-accel-buffering", FIELD_X_ACCEL_BUFFERING},
    {"x-accel-charset", FIELD_X_ACCEL_CHARSET},
    {"x-accel-expires", FIELD_X_ACCEL_EXPIRES},
    {"x-accel-limit-rate", FIELD_X_ACCEL_LIMIT_RATE},
    {"x-accel-redirect", FIELD_X_ACCEL_REDIRECT},
    {"x-forwarded-for", FIELD_X_FORWARDED_FOR},
    {"x-pad", FIELD_X_PAD},
};

enum { N_NAMES = sizeof names / sizeof names[0], TABLE = 256 };

static unsigned char table[TABLE]; /* 1 + index into names; open addressing */

static void fill_table(void)
{
    for (unsigned i = 0; i < N_NAMES; i++) {
        unsigned at = str_ihash(str_of(names[i].name)) % TABLE;
        while (table[at])
            at = (at + 1) % TABLE;
        table[at] = (unsigned char)(i + 1);
    }
}

enum field_id field_id(struct str name)
{
    static bool is_filled;
    unsigned at;

    if (!is_filled) {
        fill_table();
        is_filled = true;
    }
    if (name.n > 24)
        return FIELD_OTHER;
    for (at = str_ihash(name) % TABLE; table[at]; at = (at + 1) % TABLE)
        if (str_ieq(name, str_of(names[table[at] - 1].name)))
            return names[table[at] - 1].id;
    return FIELD_OTHER;
}

struct field *field_find(const field_array *fields, struct str name)
{
    for (size_t i = 0; i < fields->n; i++)
        if (!fields->items[i].is_removed && str_ieq(fields->items[i].name, name))
            return &fields->items[i];
    return NULL;
}

struct field *field_find_id(const field_array *fields, enum field_id id)
{
    for (size_t i = 0; i < fields->n; i++)
        if (fields->items[i].id == id && !fields->items[i].is_removed)
            return &fields->items[i];
    return NULL;
}

struct field *field_add(field_array *fields, struct arena *a, struct str name, struct str value, struct origin origin)
{
    struct field *f = ARRAY_PUSH(fields, a);

    f->name = name;
    f->value = value;
    f->id = field_id(name);
    f->origin = origin;
    return f;
}

struct str origin_text(struct arena *a, const struct origin *o)
{
    switch (o->kind) {
    case ORIGIN_CLIENT: return STR("client");
    case ORIGIN_UPSTREAM: return STR("upstream");
    case ORIGIN_HOP_BY_HOP: return STR("hop-by-hop");
    case ORIGIN_DEFAULT: return o->why ? arena_printf(a, "default (%s)", o->why) : STR("default");
    case ORIGIN_EDIT: return arena_printf(a, "edit %s", o->why);
    case ORIGIN_DIRECTIVE: break;
    }
    if (!o->directive)
        return STR("default");
    return arena_printf(a, "%.*s %.*s", STR_ARG(o->directive->args[0]), STR_ARG(directive_place(a, o->directive)));
}
