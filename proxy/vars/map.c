/*
 * map and split_clients: variables computed from others (nginx's ngx_http_map_module, ngx_http_split_clients_module).
 */
#include "vars/map.h"

#include <stdlib.h>

#include "http/request.h"
#include "util/mem.h"

struct map_entry {
    struct str key; /* lower-cased; of a wildcard: ".example.com" or "www.example." */
    struct conf_regex *regex;
    struct text *value;
    const struct directive *directive;
};

typedef ARRAY_OF(struct map_entry) entry_array;

struct map {
    struct text *source;
    bool has_hostnames;
    struct map_entry *fallback;
    entry_array exact, leading, trailing, regexes; /* exact: sorted by key */
};

static int compare(const void *x, const void *y)
{
    return str_cmp(((const struct map_entry *)x)->key, ((const struct map_entry *)y)->key);
}

static const struct map_entry *find_exact(const entry_array *all, struct str key)
{
    struct map_entry wanted = {.key = key};

    return all->n ? bsearch(&wanted, all->items, all->n, sizeof wanted, compare) : NULL;
}

static const struct map_entry *find_wildcard(const struct map *m, struct str key)
{
    const struct map_entry *best = NULL;

    for (size_t i = 0; i < m->leading.n; i++) {
        const struct map_entry *e = &m->leading.items[i];
        if (key.n > e->key.n && str_eq(str_skip(key, key.n - e->key.n), e->key) && (!best || e->key.n > best->key.n))
            best = e;
    }
    for (size_t i = 0; !best && i < m->trailing.n; i++) {
        const struct map_entry *e = &m->trailing.items[i];
        if (key.n > e->key.n && str_has_prefix(key, e->key))
            best = e;
    }
    return best;
}

static void get_map(struct request *r, struct value *v, struct str rest, void *data)
{
    const struct map *m = data;
    struct str s = text_value(r, m->source), key;
    const struct map_entry *e;

    (void)rest;
    if (m->has_hostnames && s.n && s.p[s.n - 1] == '.')
        s.n--;
    key = arena_lower(r->arena, s);
    e = find_exact(&m->exact, key);
    if (!e && m->has_hostnames)
        e = find_wildcard(m, key);
    for (size_t i = 0; !e && i < m->regexes.n; i++)
        if (conf_regex_match(r, m->regexes.items[i].regex, s))
            e = &m->regexes.items[i];
    if (!e)
        e = m->fallback;
    v->s = e ? text_value(r, e->value) : STR("");
}

static int add_entry(struct conf *c, struct map *m, struct directive *d)
{
    struct str key = d->args[0];
    struct map_entry made = {.directive = d}, *e;
    entry_array *to = &m->exact;

    made.value = text_compile(c, d, d->args[1]);
    if (!made.value)
        return -1;
    if (str_eq(key, STR("default"))) {
        if (m->fallback) {
            conf_fail(c->tree, d, "duplicate default map parameter");
            return -1;
        }
        m->fallback = arena_zalloc(c->arena, sizeof *m->fallback);
        *m->fallback = made;
        return 0;
    }
    if (key.n && key.p[0] == '~') {
        bool is_caseless = key.n > 1 && key.p[1] == '*';
        made.regex = conf_regex_compile(c, d, str_skip(key, is_caseless ? 2 : 1), is_caseless ? CASE_INSENSITIVE : CASE_SENSITIVE);
        if (!made.regex)
            return -1;
        *ARRAY_PUSH(&m->regexes, c->arena) = made;
        return 0;
    }
    if (key.n && key.p[0] == '\\')
        key = str_skip(key, 1);
    made.key = arena_lower(c->arena, key);
    if (m->has_hostnames) {
        if (key.n > 1 && key.p[0] == '.') { /* the name and all below it */
            *ARRAY_PUSH(&m->leading, c->arena) = made;
            made.key = str_skip(made.key, 1);
        } else if (key.n > 2 && key.p[0] == '*' && key.p[1] == '.') {
            made.key = str_skip(made.key, 1);
            to = &m->leading;
        } else if (key.n > 2 && key.p[key.n - 1] == '*' && key.p[key.n - 2] == '.') {
            made.key.n--;
            to = &m->trailing;
        } else if (str_chr(key, '*') >= 0) {
            conf_fail(c->tree, d, "invalid hostname or wildcard \"%.*s\"", STR_ARG(key));
            return -1;
        }
    }
    for (size_t i = 0; i < to->n; i++)
        if (str_eq(to->items[i].key, made.key)) {
            conf_fail(c->tree, d, "conflicting parameter \"%.*s\"", STR_ARG(key));
            return -1;
        }
    e = ARRAY_PUSH(to, c->arena);
    *e = made;
    return 0;
}

static struct variable *new_variable(struct conf *c, struct directive *d)
{
    struct str name = d->args[2];

    if (name.n < 2 || name.p[0] != '$') {
        conf_fail(c->tree, d, "invalid variable name \"%.*s\"", STR_ARG(name));
        return NULL;
    }
    return variable_define(c, d, str_skip(name, 1));
}

static int parse_map(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct map *m = arena_zalloc(c->arena, sizeof *m);
    struct variable *var = new_variable(c, d);
    int rc = 0;

    (void)row, (void)structure;
    if (!var || !(m->source = text_compile(c, d, d->args[1])))
        return -1;
    var->get = get_map;
    var->data = m;
    var->flags = VAR_CHANGEABLE;
    for (struct directive *e = d->first_child; e; e = e->next) {
        if (e->is_block || e->n_args > 2 || (e->n_args < 2 && !str_eq(e->args[0], STR("hostnames")) && !str_eq(e->args[0], STR("volatile")))) {
            conf_fail(c->tree, e, "invalid number of the map parameters");
            rc = -1;
        } else if (str_eq(e->args[0], STR("include"))) {
            continue;
        } else if (e->n_args == 1) {
            if (str_eq(e->args[0], STR("hostnames")))
                m->has_hostnames = true;
            else
                var->flags |= VAR_NO_CACHE;
        } else if (add_entry(c, m, e) < 0) {
            rc = -1;
        }
    }
    if (m->exact.n)
        qsort(m->exact.items, m->exact.n, sizeof *m->exact.items, compare);
    return rc;
}

/* --- split_clients --- */

struct share {
    struct text *value;
    uint32_t limit; /* of the hash; 0: all that is left */
};

struct split {
    struct text *source;
    ARRAY_OF(struct share) shares;
};

/* MurmurHash2 by Austin Appleby (public domain), with a zero seed: what nginx splits by. */
static uint32_t murmur2(struct str s)
{
    uint32_t h = (uint32_t)s.n, k;
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = s.n;

    for (; n >= 4; p += 4, n -= 4) {
        k = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        k *= 0x5bd1e995;
        k ^= k >> 24;
        k *= 0x5bd1e995;
        h *= 0x5bd1e995;
        h ^= k;
    }
    if (n >= 3)
        h ^= (uint32_t)p[2] << 16;
    if (n >= 2)
        h ^= (uint32_t)p[1] << 8;
    if (n >= 1) {
        h ^= p[0];
        h *= 0x5bd1e995;
    }
    h ^= h >> 13;
    h *= 0x5bd1e995;
    h ^= h >> 15;
    return h;
}

static void get_split(struct request *r, struct value *v, struct str rest, void *data)
{
    const struct split *split = data;
    uint32_t hash = murmur2(text_value(r, split->source));

    (void)rest;
    v->s = STR("");
    for (size_t i = 0; i < split->shares.n; i++)
        if (hash < split->shares.items[i].limit || split->shares.items[i].limit == 0) {
            v->s = text_value(r, split->shares.items[i].value);
            return;
        }
}

/* "12.34%" in hundredths of a percent; -1 if it is none. */
static long read_percent(struct str s)
{
    long whole, hundredths = 0;
    long dot;

    if (s.n < 2 || s.p[s.n - 1] != '%')
        return -1;
    s.n--;
    dot = str_chr(s, '.');
    whole = (long)str_number((struct str){s.p, dot < 0 ? s.n : (size_t)dot});
    if (dot >= 0) {
        struct str tail = str_skip(s, (size_t)dot + 1);
        if (tail.n == 0 || tail.n > 2)
            return -1;
        hundredths = (long)str_number(tail) * (tail.n == 1 ? 10 : 1);
    }
    return whole < 0 || hundredths < 0 ? -1 : whole * 100 + hundredths;
}

static int parse_split(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct split *split = arena_zalloc(c->arena, sizeof *split);
    struct variable *var = new_variable(c, d);
    long sum = 0;

    (void)row, (void)structure;
    if (!var || !(split->source = text_compile(c, d, d->args[1])))
        return -1;
    var->get = get_split;
    var->data = split;
    for (struct directive *e = d->first_child; e; e = e->next) {
        struct share *share;
        long percent = 0;
        if (str_eq(e->args[0], STR("include")))
            continue;
        if (e->n_args != 2 || e->is_block) {
            conf_fail(c->tree, e, "invalid number of arguments in \"split_clients\" parameter");
            return -1;
        }
        if (!str_eq(e->args[0], STR("*"))) {
            percent = read_percent(e->args[0]);
            if (percent <= 0) {
                conf_fail(c->tree, e, "invalid percent value \"%.*s\"", STR_ARG(e->args[0]));
                return -1;
            }
        }
        share = ARRAY_PUSH(&split->shares, c->arena);
        if (!(share->value = text_compile(c, e, e->args[1])))
            return -1;
        sum += percent;
        if (sum > 10000) {
            conf_fail(c->tree, d, "percent total is greater than 100%%");
            return -1;
        }
        share->limit = percent == 0 ? 0 : sum == 10000 ? 0xffffffff : (uint32_t)((uint64_t)sum * 0xffffffff / 10000);
    }
    return 0;
}

struct sizes {
    struct setting max_size, bucket_size;
};

static const struct directive_row rows[] = {
    {"map", IN_HTTP, 2, 2, true, SCOPE_MAIN, 0, parse_map, NULL, "A variable looked up by the value of others.", DO_NOT_INHERIT, NULL},
    {"map_hash_max_size", IN_HTTP, 1, 1, false, SCOPE_MAIN, offsetof(struct sizes, max_size), conf_parse_num, "2048", "A size of nginx's tables.", DO_NOT_INHERIT, NULL},
    {"map_hash_bucket_size", IN_HTTP, 1, 1, false, SCOPE_MAIN, offsetof(struct sizes, bucket_size), conf_parse_num, "64", "A size of nginx's tables.", DO_NOT_INHERIT, NULL},
    {"split_clients", IN_HTTP, 2, 2, true, SCOPE_MAIN, 0, parse_split, NULL, "A variable by shares of a hash.", DO_NOT_INHERIT, NULL},
};

struct module map_module = {
    .name = "ngx_http_map_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .main_bytes = sizeof(struct sizes),
};
