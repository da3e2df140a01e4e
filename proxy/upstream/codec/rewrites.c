/*
 * What proxy_redirect and proxy_cookie_* change: see rewrites.h.
 */
#include "upstream/codec/rewrites.h"

#include "util/buf.h"

struct rule {
    struct text *from, *to;
    struct str from_plain, to_plain; /* of the default form */
    struct conf_regex *regex;
    unsigned n_flags;
    struct text *flags[3];
    bool is_plain;
    const struct directive *directive;
};

struct rule_list {
    ARRAY_OF(struct rule) all;
    bool is_off;
};

static struct str from_of(struct request *r, const struct rule *rule)
{
    return rule->is_plain ? rule->from_plain : text_value(r, rule->from);
}

static struct str to_of(struct request *r, const struct rule *rule)
{
    return rule->is_plain ? rule->to_plain : text_value(r, rule->to);
}

static void changed(struct field *f, struct str value, const struct directive *d, const char *why)
{
    f->value = value;
    f->origin = (struct origin){d ? ORIGIN_DIRECTIVE : ORIGIN_DEFAULT, d, why};
}

void rewrite_location(struct request *r, const struct rewrites *w, struct field *f)
{
    const struct rule_list *list = w->redirect.ptr;
    struct str value = f->value, url = value;

    if (!list || list->is_off)
        return;
    if (f->id == FIELD_REFRESH) { /* "5; url=http://…": the rules see the URL */
        long at = str_ifind(value, STR("url="));
        if (at < 0)
            return;
        url = str_skip(value, (size_t)at + 4);
    }
    for (size_t i = 0; i < list->all.n; i++) {
        const struct rule *rule = &list->all.items[i];
        struct str made;
        if (rule->regex) {
            if (!conf_regex_match(r, rule->regex, url))
                continue;
            made = to_of(r, rule);
        } else {
            struct str from = from_of(r, rule);
            if (!str_has_prefix(url, from))
                continue;
            made = arena_cat(r->arena, to_of(r, rule), str_skip(url, from.n));
        }
        changed(f, arena_cat(r->arena, (struct str){value.p, value.n - url.n}, made), rule->directive,
                rule->is_plain ? "proxy_redirect default" : NULL);
        f->is_own_redirect = f->id == FIELD_LOCATION;
        return;
    }
}

/* --- cookies --- */

struct attribute {
    struct str name, value;
    bool has_value, is_dropped;
};

typedef ARRAY_OF(struct attribute) attribute_array;

static struct str trim_spaces(struct str s)
{
    while (s.n && s.p[0] == ' ')
        s = str_skip(s, 1);
    while (s.n && s.p[s.n - 1] == ' ')
        s.n--;
    return s;
}

static void split(struct arena *a, struct str s, attribute_array *out)
{
    for (;;) {
        long end = str_chr(s, ';');
        struct str part = {s.p, end < 0 ? s.n : (size_t)end};
        long equals = str_chr(part, '=');
        struct attribute *at = ARRAY_PUSH(out, a);
        at->name = trim_spaces((struct str){part.p, equals < 0 ? part.n : (size_t)equals});
        if (equals >= 0) {
            at->value = trim_spaces(str_skip(part, (size_t)equals + 1));
            at->has_value = true;
        }
        if (end < 0)
            return;
        s = str_skip(s, (size_t)end + 1);
    }
}

static bool change_value(struct request *r, const struct setting *s, bool is_domain, struct attribute *at, const struct directive **by)
{
    const struct rule_list *list = s->ptr;

    if (!list || list->is_off || !at->has_value)
        return false;
    for (size_t i = 0; i < list->all.n; i++) {
        const struct rule *rule = &list->all.items[i];
        struct str value = at->value, from;
        *by = rule->directive;
        if (rule->regex) {
            if (!conf_regex_match(r, rule->regex, value))
                continue;
            at->value = to_of(r, rule);
            return true;
        }
        from = from_of(r, rule);
        if (is_domain) {
            struct str bare = value.n && value.p[0] == '.' ? str_skip(value, 1) : value;
            if (!str_ieq(bare, from))
                continue;
            at->value = arena_cat(r->arena, (struct str){value.p, value.n - bare.n}, to_of(r, rule));
            return true;
        }
        if (!str_has_prefix(value, from))
            continue;
        at->value = arena_cat(r->arena, to_of(r, rule), str_skip(value, from.n));
        return true;
    }
    return false;
}

enum { SECURE = 1, NO_SECURE = 2, HTTPONLY = 4, NO_HTTPONLY = 8, STRICT = 16, LAX = 32, NONE = 64, NO_SAMESITE = 128 };

static const struct conf_enum flag_names[] = {
    {"secure", SECURE}, {"nosecure", NO_SECURE}, {"httponly", HTTPONLY}, {"nohttponly", NO_HTTPONLY},
    {"samesite=strict", STRICT}, {"samesite=lax", LAX}, {"samesite=none", NONE}, {"nosamesite", NO_SAMESITE}, {NULL, 0}};

static unsigned flags_for(struct request *r, const struct rule_list *list, struct str name, const struct directive **by)
{
    unsigned flags = 0;

    for (size_t i = 0; list && !list->is_off && i < list->all.n; i++) {
        const struct rule *rule = &list->all.items[i];
        if (rule->regex ? !conf_regex_match(r, rule->regex, name) : !str_ieq(from_of(r, rule), name))
            continue;
        for (unsigned k = 0; k < rule->n_flags; k++) {
            struct str value = text_value(r, rule->flags[k]);
            for (const struct conf_enum *e = flag_names; e->name; e++)
                if (str_ieq(value, str_of(e->name)))
                    flags |= (unsigned)e->value;
        }
        *by = rule->directive;
        break;
    }
    return flags;
}

static void edit_flags(struct arena *a, attribute_array *all, unsigned flags)
{
    static const struct { unsigned flag; const char *value; } sites[] = {{STRICT, "Strict"}, {LAX, "Lax"}, {NONE, "None"}};
    size_t n = all->n;

    for (size_t i = 1; i < n; i++) {
        struct attribute *at = &all->items[i];
        if (str_ieq(at->name, STR("secure"))) {
            at->is_dropped = !(flags & SECURE) && (flags & NO_SECURE);
            flags &= ~(unsigned)SECURE;
        } else if (str_ieq(at->name, STR("httponly"))) {
            at->is_dropped = !(flags & HTTPONLY) && (flags & NO_HTTPONLY);
            flags &= ~(unsigned)HTTPONLY;
        } else if (str_ieq(at->name, STR("samesite"))) {
            bool is_set = false;
            for (size_t k = 0; k < 3 && !is_set; k++)
                if (flags & sites[k].flag) {
                    is_set = true;
                    flags &= ~sites[k].flag;
                    if (!str_ieq(at->value, str_of(sites[k].value)))
                        *at = (struct attribute){STR("SameSite"), str_of(sites[k].value), true, false};
                }
            at->is_dropped = !is_set && (flags & NO_SAMESITE);
        }
    }
    if (flags & SECURE)
        ARRAY_PUSH(all, a)->name = STR("Secure");
    if (flags & HTTPONLY)
        ARRAY_PUSH(all, a)->name = STR("HttpOnly");
    for (size_t k = 0; k < 3; k++)
        if (flags & sites[k].flag) {
            *ARRAY_PUSH(all, a) = (struct attribute){STR("SameSite"), str_of(sites[k].value), true, false};
            break;
        }
}

void rewrite_cookie(struct request *r, const struct rewrites *w, struct field *f)
{
    attribute_array all = {0};
    const struct directive *by = NULL;
    bool is_changed = false;
    unsigned flags;
    struct buf b = {0};

    if (!w->cookie_domain.ptr && !w->cookie_path.ptr && !w->cookie_flags.ptr)
        return;
    split(r->arena, f->value, &all);
    if (!all.items[0].has_value)
        return;
    for (size_t i = 1; i < all.n; i++) {
        struct attribute *at = &all.items[i];
        const struct directive *rule = NULL;
        bool here = (str_ieq(at->name, STR("domain")) && change_value(r, &w->cookie_domain, true, at, &rule))
                    || (str_ieq(at->name, STR("path")) && change_value(r, &w->cookie_path, false, at, &rule));
        if (here)
            by = rule;
        is_changed |= here;
    }
    flags = flags_for(r, w->cookie_flags.ptr, all.items[0].name, &by);
    if (flags) {
        edit_flags(r->arena, &all, flags);
        is_changed = true;
    }
    if (!is_changed)
        return;
    for (size_t i = 0; i < all.n; i++) {
        if (all.items[i].is_dropped)
            continue;
        if (i)
            buf_addz(&b, "; ");
        buf_adds(&b, all.items[i].name);
        if (all.items[i].has_value) {
            buf_addz(&b, "=");
            buf_adds(&b, all.items[i].value);
        }
    }
    changed(f, arena_str(r->arena, buf_str(&b)), by, NULL);
    buf_free(&b);
}

/* --- directives --- */

static struct rule *default_rule(struct conf *c, const struct rewrites *w, struct rule_list *list)
{
    struct rule *rule = ARRAY_PUSH(&list->all, c->arena);

    rule->is_plain = true;
    rule->from_plain = w->has_uri ? w->url : arena_cat(c->arena, w->url, STR("/"));
    rule->to_plain = w->has_uri ? w->location : STR("/");
    return rule;
}

void rewrites_merged(struct conf *c, const struct rewrites *outer, struct rewrites *w)
{
    (void)outer;
    if (!w->redirect.is_set && w->url.p) {
        struct rule_list *list = arena_zalloc(c->arena, sizeof *list);
        w->redirect = (struct setting){.is_set = true, .ptr = list};
        default_rule(c, w, list);
    }
}

static struct rule_list *list_of(struct conf *c, struct directive *d, struct setting *s)
{
    return conf_claim_list(c, d, s, sizeof(struct rule_list));
}

/* "off" as the only argument. -1: something else that is wrong. */
static int read_off(struct conf *c, struct directive *d, struct rule_list *list)
{
    if (!str_eq(d->args[1], STR("off"))) {
        conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    if (list->all.n || list->is_off) {
        conf_fail(c->tree, d, "\"%.*s\" directive is duplicate", STR_ARG(d->args[0]));
        return -1;
    }
    list->is_off = true;
    return 0;
}

static int read_from(struct conf *c, struct directive *d, struct rule *rule, bool is_always_caseless)
{
    struct str from = d->args[1];

    rule->directive = d;
    if (from.n && from.p[0] == '~') {
        bool is_caseless = !is_always_caseless && from.n > 1 && from.p[1] == '*';
        rule->regex = conf_regex_compile(c, d, str_skip(from, is_caseless ? 2 : 1),
                                         is_caseless || is_always_caseless ? CASE_INSENSITIVE : CASE_SENSITIVE);
        return rule->regex ? 0 : -1;
    }
    rule->from = text_compile(c, d, from);
    return rule->from ? 0 : -1;
}

int parse_proxy_redirect(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    /* the structure's setting is the first member of its rewrites */
    struct rewrites *w = (struct rewrites *)(void *)((char *)s - offsetof(struct rewrites, redirect));
    struct rule_list *list = list_of(c, d, s);
    struct rule *rule;

    if (list->is_off) {
        conf_fail(c->tree, d, "\"proxy_redirect\" directive is duplicate");
        return -1;
    }
    if (d->n_args == 2 && str_eq(d->args[1], STR("default"))) {
        if (w->has_variables) {
            conf_fail(c->tree, d, "\"proxy_redirect default\" cannot be used with \"proxy_pass\" directive with variables");
            return -1;
        }
        if (!w->url.p) {
            conf_fail(c->tree, d, "\"proxy_redirect default\" should be placed after the \"proxy_pass\" directive");
            return -1;
        }
        default_rule(c, w, list)->directive = d;
        return 0;
    }
    if (d->n_args == 2)
        return read_off(c, d, list);
    rule = ARRAY_PUSH(&list->all, c->arena);
    if (read_from(c, d, rule, false) < 0)
        return -1;
    rule->to = text_compile(c, d, d->args[2]);
    return rule->to ? 0 : -1;
}

int parse_proxy_cookie(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct rule_list *list = list_of(c, d, conf_setting(row, structure));
    struct rule *rule;

    if (d->n_args == 2)
        return read_off(c, d, list);
    if (list->is_off) {
        conf_fail(c->tree, d, "\"%s\" directive is duplicate", row->name);
        return -1;
    }
    rule = ARRAY_PUSH(&list->all, c->arena);
    if (str_eq(d->args[0], STR("proxy_cookie_domain"))) {
        struct str *from = &d->args[1];
        if (from->n && from->p[0] == '.') /* the dot in front of a domain is optional */
            *from = str_skip(*from, 1);
        if (read_from(c, d, rule, true) < 0)
            return -1;
    } else if (read_from(c, d, rule, false) < 0) {
        return -1;
    }
    rule->to = text_compile(c, d, d->args[2].n && d->args[2].p[0] == '.' && str_eq(d->args[0], STR("proxy_cookie_domain"))
                                      ? str_skip(d->args[2], 1) : d->args[2]);
    return rule->to ? 0 : -1;
}

int parse_proxy_cookie_flags(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct rule_list *list = list_of(c, d, conf_setting(row, structure));
    struct rule *rule;

    if (d->n_args == 2)
        return read_off(c, d, list);
    if (list->is_off) {
        conf_fail(c->tree, d, "\"%s\" directive is duplicate", row->name);
        return -1;
    }
    rule = ARRAY_PUSH(&list->all, c->arena);
    if (read_from(c, d, rule, true) < 0)
        return -1;
    for (unsigned i = 2; i < d->n_args; i++) {
        rule->flags[rule->n_flags] = text_compile(c, d, d->args[i]);
        if (!rule->flags[rule->n_flags++])
            return -1;
    }
    return 0;
}
