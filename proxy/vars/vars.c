/*
 * Variables, and texts made of them: see vars.h.
 */
#include "vars/vars.h"

#include "http/request.h"
#include "http/uri.h"

struct variables {
    ARRAY_OF(struct variable_row) rows;
    ARRAY_OF(struct variable *) defined;
    ARRAY_OF(struct variable *) used; /* by index */
};

static struct variables *variables_of(const struct conf *c)
{
    return c->variables;
}

void variables_declare(struct conf *c, const struct variable_row *rows)
{
    if (!c->variables)
        c->variables = arena_zalloc(c->arena, sizeof(struct variables));
    for (; rows->name; rows++)
        *ARRAY_PUSH(&variables_of(c)->rows, c->arena) = *rows;
}

static const struct variable_row *find_row(struct variables *v, struct str name, bool as_prefix)
{
    const struct variable_row *best = NULL;

    for (size_t i = 0; i < v->rows.n; i++) {
        const struct variable_row *row = &v->rows.items[i];
        if (as_prefix != ((row->flags & VAR_PREFIX) != 0))
            continue;
        if (as_prefix ? str_has_prefix(name, str_of(row->name)) : str_eq(name, str_of(row->name)))
            if (!best || strlen(row->name) > strlen(best->name))
                best = row;
    }
    return best;
}

bool variable_names_field(struct str rest, struct str name)
{
    if (name.n != rest.n)
        return false;
    for (size_t i = 0; i < name.n; i++)
        if ((name.p[i] == '-' ? '_' : ascii_lower(name.p[i])) != rest.p[i])
            return false;
    return true;
}

struct variable *variable_define(struct conf *c, const struct directive *d, struct str name)
{
    struct variables *v = variables_of(c);
    const struct variable_row *row;
    struct variable *var;

    name = arena_lower(c->arena, name);
    row = find_row(v, name, false);
    if (row && !(row->flags & VAR_CHANGEABLE)) {
        conf_fail(c->tree, d, "the duplicate \"%.*s\" variable", STR_ARG(name));
        return NULL;
    }
    for (size_t i = 0; i < v->defined.n; i++)
        if (str_eq(v->defined.items[i]->name, name))
            return v->defined.items[i];
    var = *ARRAY_PUSH(&v->defined, c->arena) = arena_zalloc(c->arena, sizeof *var);
    var->name = name;
    var->definition = d;
    var->flags = VAR_CHANGEABLE;
    if (row) { /* `set $args`: the built-in one stays, with its setter */
        var->get = row->get;
        var->set = row->set;
        var->data = row->data;
        var->flags = row->flags;
    }
    return var;
}

int variable_index(struct conf *c, const struct directive *d, struct str name)
{
    struct variables *v = variables_of(c);
    struct variable *var;

    name = arena_lower(c->arena, name);
    for (size_t i = 0; i < v->used.n; i++)
        if (str_eq(v->used.items[i]->name, name))
            return (int)i;
    var = *ARRAY_PUSH(&v->used, c->arena) = arena_zalloc(c->arena, sizeof *var);
    var->name = name;
    var->first_use = d;
    var->index = (int)v->used.n - 1;
    return var->index;
}

static void use_row(struct variable *var, const struct variable_row *row, struct str name)
{
    var->get = row->get;
    var->set = row->set;
    var->data = row->data;
    var->flags = row->flags;
    if (row->flags & VAR_PREFIX)
        var->rest = str_skip(name, strlen(row->name));
}

/* Whether a directive that is not implemented would define it (`auth_request_set $NAME …`): that was said already. */
static bool is_of_absent_directive(const struct directive *block, struct str name)
{
    for (const struct directive *d = block->first_child; d; d = d->next) {
        if (!d->row && d->n_args > 1 && d->args[1].n > 1 && d->args[1].p[0] == '$' && str_ieq(str_skip(d->args[1], 1), name)
            && conf_known_elsewhere(d->args[0]))
            return true;
        if (is_of_absent_directive(d, name))
            return true;
    }
    return false;
}

int variables_ready(struct conf *c)
{
    struct variables *v = variables_of(c);
    int rc = 0;

    for (size_t i = 0; i < v->used.n; i++) {
        struct variable *var = v->used.items[i];
        const struct variable_row *row = NULL;
        struct variable *definition = NULL;

        for (size_t k = 0; k < v->defined.n; k++)
            if (str_eq(v->defined.items[k]->name, var->name))
                definition = v->defined.items[k];
        if (definition) {
            var->get = definition->get;
            var->set = definition->set;
            var->data = definition->data;
            var->flags = definition->flags;
            var->definition = definition->definition;
            continue;
        }
        row = find_row(v, var->name, false);
        if (!row)
            row = find_row(v, var->name, true);
        if (!row && is_of_absent_directive(&c->tree->root, var->name)) {
            rc = -1;
            continue;
        }
        if (!row && variable_known_elsewhere(var->name)) {
            conf_fail(c->tree, var->first_use, "variable \"%.*s\" of nginx's %s is not implemented by glassproxy yet", STR_ARG(var->name),
                      variable_known_elsewhere(var->name));
            rc = -1;
            continue;
        }
        if (!row) {
            conf_fail(c->tree, var->first_use, "unknown \"%.*s\" variable", STR_ARG(var->name));
            rc = -1;
            continue;
        }
        use_row(var, row, var->name);
    }
    return rc;
}

unsigned variables_count(const struct conf *c)
{
    return c->variables ? (unsigned)variables_of(c)->used.n : 0;
}

const struct variable *variable_at(const struct conf *c, int index)
{
    return variables_of(c)->used.items[index];
}

const struct value *variable_value(struct request *r, int index)
{
    const struct variable *var = variable_at(r->conf, index);
    struct value *v = &r->values[index];

    if (v->is_valid && (v->is_assigned || !(var->flags & VAR_NO_CACHE)))
        return v;
    if (!var->get) { /* defined by `set` that was not reached, or a named capture that did not match */
        if (!v->is_valid)
            *v = (struct value){.s = STR(""), .is_valid = true};
        return v;
    }
    *v = (struct value){.s = STR("")};
    if (r->variable_depth >= 100) {
        v->is_valid = v->is_not_found = true;
        return v;
    }
    r->variable_depth++;
    struct value got = {.s = STR(""), .is_valid = true};
    var->get(r, &got, var->rest, var->data);
    got.is_valid = true;
    r->variable_depth--;
    *v = got;
    return v;
}

void variables_forget(struct request *r)
{
    for (unsigned i = 0; i < variables_count(r->conf); i++)
        if (variable_at(r->conf, (int)i)->get && !r->values[i].is_assigned)
            r->values[i].is_valid = false;
}

struct value variable_by_name(struct request *r, struct str name)
{
    struct variables *v = variables_of(r->conf);
    struct value got = {.s = STR(""), .is_valid = true};
    const struct variable_row *row;

    for (size_t i = 0; i < v->used.n; i++)
        if (str_eq(v->used.items[i]->name, name))
            return *variable_value(r, (int)i);
    row = find_row(v, name, false);
    if (!row)
        row = find_row(v, name, true);
    if (!row) {
        got.is_not_found = true;
        return got;
    }
    row->get(r, &got, row->flags & VAR_PREFIX ? str_skip(name, strlen(row->name)) : STR(""), row->data);
    return got;
}

/* --- texts --- */

enum part_kind { PART_LITERAL, PART_VARIABLE, PART_CAPTURE };

struct part {
    enum part_kind kind;
    struct str literal;
    int index; /* of the variable, or the capture's number */
    bool is_args; /* behind a question mark: escaped as arguments */
};

struct text {
    struct str raw;
    ARRAY_OF(struct part) parts;
    bool is_constant, uses_captures;
};

unsigned text_count_variables(struct str s)
{
    unsigned n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '$';
    return n;
}

bool variable_is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

struct text *text_compile(struct conf *c, const struct directive *d, struct str raw)
{
    struct text *t = arena_zalloc(c->arena, sizeof *t);
    bool is_args = false;

    t->raw = raw;
    t->is_constant = true;
    for (size_t i = 0; i < raw.n;) {
        struct part *part;
        size_t start = i;

        if (raw.p[i] != '$') {
            while (i < raw.n && raw.p[i] != '$')
                is_args |= raw.p[i++] == '?';
            part = ARRAY_PUSH(&t->parts, c->arena);
            part->kind = PART_LITERAL;
            part->literal = (struct str){raw.p + start, i - start};
            continue;
        }
        t->is_constant = false;
        if (++i >= raw.n) {
            conf_fail(c->tree, d, "invalid variable name");
            return NULL;
        }
        if (raw.p[i] >= '1' && raw.p[i] <= '9') {
            part = ARRAY_PUSH(&t->parts, c->arena);
            part->kind = PART_CAPTURE;
            part->index = raw.p[i++] - '0';
            part->is_args = is_args;
            t->uses_captures = true;
            continue;
        }
        struct str name;
        if (raw.p[i] == '{') {
            start = ++i;
            while (i < raw.n && raw.p[i] != '}')
                if (!variable_is_name_char(raw.p[i++])) {
                    conf_fail(c->tree, d, "the closing bracket in \"%.*s\" variable is missing",
                              STR_ARG(str_skip(raw, start)));
                    return NULL;
                }
            if (i >= raw.n) {
                conf_fail(c->tree, d, "the closing bracket in \"%.*s\" variable is missing",
                          STR_ARG(str_skip(raw, start)));
                return NULL;
            }
            name = (struct str){raw.p + start, i++ - start};
            if (name.n == 1 && name.p[0] >= '1' && name.p[0] <= '9') {
                part = ARRAY_PUSH(&t->parts, c->arena);
                part->kind = PART_CAPTURE;
                part->index = name.p[0] - '0';
                part->is_args = is_args;
                t->uses_captures = true;
                continue;
            }
        } else {
            start = i;
            while (i < raw.n && variable_is_name_char(raw.p[i]))
                i++;
            name = (struct str){raw.p + start, i - start};
        }
        if (name.n == 0) {
            conf_fail(c->tree, d, "invalid variable name");
            return NULL;
        }
        part = ARRAY_PUSH(&t->parts, c->arena);
        part->kind = PART_VARIABLE;
        part->index = variable_index(c, d, name);
        part->is_args = is_args;
    }
    return t;
}

bool text_is_constant(const struct text *t)
{
    return t->is_constant;
}

struct str text_raw(const struct text *t)
{
    return t->raw;
}

bool text_uses_captures(const struct text *t)
{
    return t->uses_captures;
}

static struct str capture(const struct request *r, int n)
{
    return n < (int)r->captures.n ? r->captures.group[n] : STR("");
}

struct str text_value_escaped(struct request *r, const struct text *t, enum text_escape how, long *args_at)
{
    struct str few[16], *pieces = few, out;
    size_t n = 0;
    char *p;

    if (args_at)
        *args_at = -1;
    if (t->parts.n == 1 && t->parts.items[0].kind == PART_LITERAL) {
        if (args_at)
            *args_at = str_chr(t->parts.items[0].literal, '?');
        return t->parts.items[0].literal;
    }
    if (t->parts.n > 16)
        pieces = arena_alloc(r->arena, t->parts.n * sizeof *pieces);
    for (size_t i = 0; i < t->parts.n; i++) {
        const struct part *part = &t->parts.items[i];
        switch (part->kind) {
        case PART_LITERAL:
            pieces[i] = part->literal;
            if (args_at && *args_at < 0 && str_chr(part->literal, '?') >= 0)
                *args_at = (long)n + str_chr(part->literal, '?');
            break;
        case PART_VARIABLE: pieces[i] = variable_value(r, part->index)->s; break;
        case PART_CAPTURE:
            pieces[i] = capture(r, part->index);
            /* nginx: captures of a URI that was changed, or that stand in arguments, are escaped for where they
             * stand; with plain URIs they are the client's bytes already. */
            if (how != ESCAPE_NOTHING && (part->is_args || how == ESCAPE_CAPTURES_ARGS)
                && (r->is_uri_quoted || r->has_plus_in_uri))
                pieces[i] = uri_escape(r->arena, pieces[i], ESCAPE_ARGS);
            break;
        }
        n += pieces[i].n;
    }
    if (t->parts.n == 1)
        return pieces[0];
    out.p = p = arena_alloc(r->arena, n + 1);
    out.n = n;
    for (size_t i = 0; i < t->parts.n; i++) {
        if (pieces[i].n)
            memcpy(p, pieces[i].p, pieces[i].n);
        p += pieces[i].n;
    }
    *p = '\0';
    return out;
}

struct str text_value(struct request *r, const struct text *t)
{
    return text_value_escaped(r, t, ESCAPE_NOTHING, NULL);
}

int conf_parse_text(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);

    if (!s)
        return -1;
    s->ptr = text_compile(c, d, d->args[1]);
    return s->ptr ? 0 : -1;
}

/* --- regular expressions with named groups --- */

struct conf_regex *conf_regex_compile(struct conf *c, const struct directive *d, struct str pattern,
                                      enum regex_case how)
{
    struct conf_regex *cr = arena_zalloc(c->arena, sizeof *cr);
    const struct regex_name *names;
    struct str error;
    unsigned n;

    cr->re = regex_compile(c->arena, pattern, how, &error);
    if (!cr->re) {
        conf_fail(c->tree, d, "%.*s", STR_ARG(error));
        return NULL;
    }
    n = regex_names(cr->re, &names);
    for (unsigned i = 0; i < n && i < MAX_CAPTURES; i++) {
        if (!variable_define(c, d, names[i].name))
            return NULL;
        cr->names[i].group = names[i].group;
        cr->names[i].index = variable_index(c, d, names[i].name);
        cr->n_names++;
    }
    return cr;
}

bool conf_regex_match(struct request *r, const struct conf_regex *re, struct str s)
{
    struct captures found;

    if (!regex_match(re->re, s, &found))
        return false;
    if (regex_captures(re->re) || found.n)
        r->captures = found;
    for (unsigned i = 0; i < re->n_names; i++) {
        unsigned g = re->names[i].group;
        r->values[re->names[i].index] = (struct value){.s = g < found.n ? found.group[g] : STR(""), .is_valid = true, .is_assigned = true};
    }
    return true;
}
