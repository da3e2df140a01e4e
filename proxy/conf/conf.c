/*
 * From the tree to settings: see conf.h.
 */
#include "conf/conf.h"

#include <stdio.h>

static void *structure_for(struct conf *c, const struct module *m, enum conf_scope scope)
{
    switch (scope) {
    case SCOPE_MAIN: return c->level.main[m->index];
    case SCOPE_SRV: return c->level.srv[m->index];
    case SCOPE_LOC: return c->level.loc[m->index];
    case SCOPE_CORE: break;
    }
    return c->core[m->index];
}

const struct directive_row *conf_find_row(struct conf *c, struct str name, unsigned context)
{
    for (unsigned m = 0; m < c->n_modules; m++)
        for (size_t i = 0; i < c->modules[m]->n_rows; i++) {
            const struct directive_row *row = &c->modules[m]->rows[i];
            if ((row->contexts & context) && str_eq(str_of(row->name), name))
                return row;
        }
    return NULL;
}

static void suggest(struct conf *c, struct directive *d, enum conf_context context)
{
    const char *best = NULL;
    unsigned best_distance = d->args[0].n <= 4 ? 2 : 3;

    for (unsigned m = 0; m < c->n_modules; m++)
        for (size_t i = 0; i < c->modules[m]->n_rows; i++) {
            const struct directive_row *row = &c->modules[m]->rows[i];
            unsigned distance = str_distance(d->args[0], str_of(row->name));
            if ((row->contexts & context) && distance < best_distance) {
                best = row->name;
                best_distance = distance;
            }
        }
    if (best && c->tree->newest_error) {
        struct conf_error *e = c->tree->newest_error;
        e->excerpt = arena_printf(c->arena, "%.*s did you mean \"%s\"?", STR_ARG(e->excerpt), best);
    }
}

static void unknown_directive(struct conf *c, struct directive *d, enum conf_context context)
{
    const struct directive_row *elsewhere = conf_find_row(c, d->args[0], ~0u);
    const char *module;

    if (elsewhere) {
        conf_fail(c->tree, d, "\"%.*s\" directive is not allowed here", STR_ARG(d->args[0]));
        return;
    }
    module = conf_known_elsewhere(d->args[0]);
    if (module) {
        conf_fail(c->tree, d, "directive \"%.*s\" of nginx's %s is not implemented by glassproxy yet",
                  STR_ARG(d->args[0]), module);
        return;
    }
    conf_fail(c->tree, d, "unknown directive \"%.*s\"", STR_ARG(d->args[0]));
    suggest(c, d, context);
}

static void handle(struct conf *c, struct directive *d, enum conf_context context)
{
    const struct module *module = NULL;
    const struct directive_row *row = NULL;

    c->tree->position = 2 * d->ordinal;
    for (unsigned m = 0; m < c->n_modules && !row; m++)
        for (size_t i = 0; i < c->modules[m]->n_rows; i++)
            if ((c->modules[m]->rows[i].contexts & context)
                && str_eq(str_of(c->modules[m]->rows[i].name), d->args[0])) {
                module = c->modules[m];
                row = &module->rows[i];
                break;
            }
    if (!row) {
        unknown_directive(c, d, context);
        return;
    }
    d->row = row;
    if (row->is_block && !d->is_block) {
        conf_fail(c->tree, d, "directive \"%s\" has no opening \"{\"", row->name);
        return;
    }
    if (!row->is_block && d->is_block) {
        conf_fail(c->tree, d, "directive \"%s\" is not terminated by \";\"", row->name);
        return;
    }
    if (d->n_args - 1 < row->min_args || (row->max_args != ANY_NUMBER && d->n_args - 1 > row->max_args)) {
        conf_fail(c->tree, d, "invalid number of arguments in \"%s\" directive", row->name);
        return;
    }
    row->parse(c, d, row, structure_for(c, module, row->scope));
}

void conf_walk(struct conf *c, struct directive *block, enum conf_context context)
{
    for (struct directive *d = block->first_child; d; d = d->next)
        if (!str_eq(d->args[0], STR("include")))
            handle(c, d, context);
    if (block->lacks_something && c->tree->position < 2 * block->ordinal + 1)
        c->tree->position = 2 * block->ordinal + 1; /* behind its opening brace, though nothing stood there */
}

void **conf_new_structures(struct conf *c, enum conf_scope scope)
{
    void **all = arena_zalloc(c->arena, c->n_modules * sizeof *all);

    for (unsigned m = 0; m < c->n_modules; m++) {
        const struct module *module = c->modules[m];
        size_t bytes = scope == SCOPE_CORE   ? module->core_bytes
                       : scope == SCOPE_MAIN ? module->main_bytes
                       : scope == SCOPE_SRV  ? module->srv_bytes
                                             : module->loc_bytes;
        all[m] = bytes ? arena_zalloc(c->arena, bytes) : NULL;
    }
    return all;
}

void conf_fill_defaults(struct conf *c, enum conf_scope scope, void **structures)
{
    for (unsigned m = 0; m < c->n_modules; m++)
        for (size_t i = 0; i < c->modules[m]->n_rows; i++) {
            const struct directive_row *row = &c->modules[m]->rows[i];
            struct directive d = {0};
            struct str args[8], rest;
            struct setting *s;

            if (row->scope != scope || !row->default_text)
                continue;
            s = conf_setting(row, structures[m]);
            if (s->is_set)
                continue;
            args[d.n_args++] = str_of(row->name);
            rest = str_of(row->default_text);
            while (rest.n && d.n_args < 8) {
                long n = str_chr(rest, ' ');
                args[d.n_args++] = (struct str){rest.p, n < 0 ? rest.n : (size_t)n};
                rest = n < 0 ? STR("") : str_skip(rest, (size_t)n + 1);
            }
            d.args = args;
            d.row = row;
            row->parse(c, &d, row, structures[m]);
            s->origin = NULL;
        }
}

void conf_merge(struct conf *c, enum conf_scope scope, void **parent, void **child)
{
    for (unsigned m = 0; m < c->n_modules; m++) {
        const struct module *module = c->modules[m];
        int (*merged)(struct conf *, void *, void *) = scope == SCOPE_SRV ? module->merged_srv : module->merged_loc;

        for (size_t i = 0; i < module->n_rows; i++) {
            const struct directive_row *row = &module->rows[i];
            if (row->scope != scope || row->merge == DO_NOT_INHERIT)
                continue;
            struct setting *to = conf_setting(row, child[m]);
            const struct setting *from = conf_setting(row, parent[m]);
            if (!to->is_set)
                *to = *from;
        }
        if (merged && child[m])
            merged(c, parent[m], child[m]);
    }
}

struct conf *conf_load(struct conf_tree *t, struct module **modules)
{
    struct conf *c = arena_zalloc(t->arena, sizeof *c);

    c->arena = t->arena;
    c->tree = t;
    c->modules = modules;
    for (c->n_modules = 0; modules[c->n_modules]; c->n_modules++)
        modules[c->n_modules]->index = (int)c->n_modules;
    c->core = conf_new_structures(c, SCOPE_CORE);
    for (unsigned m = 0; m < c->n_modules; m++)
        if (modules[m]->prepare)
            modules[m]->prepare(c);
    conf_walk(c, &t->root, IN_MAIN);
    conf_fill_defaults(c, SCOPE_CORE, c->core);
    for (unsigned m = 0; m < c->n_modules && !t->root.lacks_something; m++)
        if (modules[m]->complete)
            modules[m]->complete(c);
    return c;
}

/* --- number readers --- */

static long read_scaled(struct str s, bool with_giga)
{
    long scale = 1;
    long long v;

    if (s.n) {
        switch (s.p[s.n - 1]) {
        case 'k': case 'K': scale = 1024; break;
        case 'm': case 'M': scale = 1024 * 1024; break;
        case 'g': case 'G': scale = with_giga ? 1024L * 1024 * 1024 : 1; break;
        }
        if (scale > 1)
            s.n--;
    }
    v = str_number(s);
    if (v < 0 || v > (long long)(__LONG_MAX__ / scale))
        return -1;
    return (long)v * scale;
}

long conf_read_size(struct str s)
{
    return read_scaled(s, false);
}

long conf_read_offset(struct str s)
{
    return read_scaled(s, true);
}

/* nginx: units must come in falling order, each once; a number without unit counts in UNIT_MS and comes last. */
static long read_time(struct str s, bool in_ms)
{
    enum { START, YEARS, MONTHS, WEEKS, DAYS, HOURS, MINUTES, SECONDS, MILLISECONDS, LAST } step = START, max;
    long total = 0, value = 0;
    bool has_digits = false;
    long scale;

    if (s.n == 0)
        return -1;
    for (size_t i = 0; i < s.n;) {
        char ch = s.p[i++];
        if (ch >= '0' && ch <= '9') {
            if (value > 100000000000L)
                return -1;
            value = value * 10 + (ch - '0');
            has_digits = true;
            continue;
        }
        switch (ch) {
        case 'y': max = YEARS, scale = 60 * 60 * 24 * 365L; break;
        case 'M': max = MONTHS, scale = 60 * 60 * 24 * 30L; break;
        case 'w': max = WEEKS, scale = 60 * 60 * 24 * 7L; break;
        case 'd': max = DAYS, scale = 60 * 60 * 24L; break;
        case 'h': max = HOURS, scale = 60 * 60L; break;
        case 'm':
            if (i < s.n && s.p[i] == 's') {
                if (!in_ms)
                    return -1;
                i++;
                max = MILLISECONDS, scale = 0;
            } else {
                max = MINUTES, scale = 60;
            }
            break;
        case 's': max = SECONDS, scale = 1; break;
        case ' ': max = LAST, scale = 1; break;
        default: return -1;
        }
        if (!has_digits || step >= max)
            return -1;
        step = max;
        if (scale == 0)
            total += value;
        else
            total += value * scale * (in_ms ? 1000 : 1);
        value = 0;
        has_digits = false;
        while (i < s.n && s.p[i] == ' ')
            i++;
    }
    if (has_digits)
        total += value * (in_ms && step != MILLISECONDS ? 1000 : 1);
    return total;
}

long conf_read_msec(struct str s)
{
    return read_time(s, true);
}

long conf_read_sec(struct str s)
{
    return read_time(s, false);
}

/* --- parsers --- */

struct setting *conf_claim(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);

    if (s->is_set) {
        conf_fail(c->tree, d, "\"%s\" directive is duplicate", row->name);
        return NULL;
    }
    s->is_set = true;
    s->origin = d;
    return s;
}

void *conf_claim_list(struct conf *c, struct directive *d, struct setting *s, size_t bytes)
{
    if (!s->is_set)
        *s = (struct setting){.origin = d, .is_set = true, .ptr = arena_zalloc(c->arena, bytes)};
    return s->ptr;
}

int conf_parse_flag(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    if (str_ieq(d->args[1], STR("on"))) {
        s->num = 1;
    } else if (str_ieq(d->args[1], STR("off"))) {
        s->num = 0;
    } else {
        conf_fail(c->tree, d, "invalid value \"%.*s\" in \"%s\" directive, it must be \"on\" or \"off\"",
                  STR_ARG(d->args[1]), row->name);
        return -1;
    }
    return 0;
}

static int parse_with(struct conf *c, struct directive *d, const struct directive_row *row, void *structure,
                      long (*read)(struct str), const char *complaint)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    s->num = read(d->args[1]);
    if (s->num < 0) {
        conf_fail(c->tree, d, "\"%s\" directive %s", row->name, complaint);
        return -1;
    }
    return 0;
}

static long read_number(struct str s)
{
    return (long)str_number(s);
}

int conf_parse_num(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    s->num = read_number(d->args[1]);
    if (s->num < 0) {
        conf_fail(c->tree, d, "\"%s\" directive invalid number", row->name);
        return -1;
    }
    return 0;
}

int conf_parse_size(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    return parse_with(c, d, row, structure, conf_read_size, "invalid value");
}

int conf_parse_offset(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    return parse_with(c, d, row, structure, conf_read_offset, "invalid value");
}

int conf_parse_msec(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    return parse_with(c, d, row, structure, conf_read_msec, "invalid value");
}

int conf_parse_sec(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    return parse_with(c, d, row, structure, conf_read_sec, "invalid value");
}

int conf_parse_str(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    s->str = d->args[1];
    return 0;
}

int conf_parse_path(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    s->str = conf_full_path(c->tree, c->tree->prefix, d->args[1]);
    return 0;
}

int conf_parse_enum(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    for (const struct conf_enum *e = row->extra; e->name; e++)
        if (str_ieq(d->args[1], str_of(e->name))) {
            s->num = e->value;
            return 0;
        }
    conf_fail(c->tree, d, "invalid value \"%.*s\"", STR_ARG(d->args[1]));
    return -1;
}

int conf_parse_bitmask(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    int rc = 0;

    if (!s->is_set)
        s->num = 0;
    s->is_set = true;
    s->origin = d;
    for (unsigned i = 1; i < d->n_args; i++) {
        const struct conf_enum *e = row->extra;
        while (e->name && !str_ieq(d->args[i], str_of(e->name)))
            e++;
        if (!e->name) {
            conf_fail(c->tree, d, "invalid value \"%.*s\"", STR_ARG(d->args[i]));
            rc = -1;
        } else {
            s->num |= e->value;
        }
    }
    return rc;
}

int conf_parse_directive(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    s->ptr = d;
    return 0;
}

void conf_each_lost(const struct directive *block, conf_lost_seen *seen, void *data)
{
    static const char *const names[] = {"proxy_set_header", "add_header", "proxy_hide_header", "proxy_pass_header", "error_page", "proxy_redirect",
                                        "proxy_cookie_domain", "proxy_cookie_path", "access_log", "allow", "deny"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct directive *nearest = NULL;
        for (const struct directive *level = block; level; level = level->parent)
            for (const struct directive *d = level->first_child; d; d = d->next) {
                if (!str_eq(d->args[0], str_of(names[i])))
                    continue;
                if (!nearest)
                    nearest = d;
                if (nearest->parent != d->parent)
                    seen(data, d, nearest);
            }
    }
}
