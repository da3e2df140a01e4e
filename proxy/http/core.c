/*
 * The directives of http, server and location blocks: see core.h.
 */
#include "http/core.h"

#include <unistd.h>

#include "http/listen.h"
#include "http/temp_file.h"
#include "main_conf.h"
#include "upstream/resolver.h"

static struct core_loc *core_loc_at(struct conf *c)
{
    return c->level.loc[core_module.index];
}

struct location *location_at_level(struct conf *c)
{
    return core_loc_at(c)->location;
}

struct location *location_new(struct conf *c, struct directive *d, enum location_kind kind)
{
    struct location *l = arena_zalloc(c->arena, sizeof *l);

    l->kind = kind;
    l->directive = d;
    l->parent = c->level.loc ? location_at_level(c) : NULL;
    l->loc = conf_new_structures(c, SCOPE_LOC);
    ((struct core_loc *)l->loc[core_module.index])->location = l;
    return l;
}

void location_read(struct conf *c, struct location *l, struct directive *block, enum conf_context context)
{
    void **outer = c->level.loc;

    c->level.loc = l->loc;
    conf_walk(c, block, context);
    c->level.loc = outer;
}

/* --- http, server --- */

static void sort_locations(struct conf *c, struct location *in)
{
    for (size_t i = 0; i < in->children.n; i++) {
        struct location *l = in->children.items[i];
        sort_locations(c, l);
        if (l->kind == LOCATION_REGEX) {
            *ARRAY_PUSH(&in->regexes, c->arena) = l;
        } else if (l->kind <= LOCATION_EXACT) {
            size_t at;
            *ARRAY_PUSH(&in->prefixes, c->arena) = NULL;
            for (at = in->prefixes.n - 1; at > 0; at--) {
                struct location *before = in->prefixes.items[at - 1];
                if (before->kind == LOCATION_EXACT && l->kind != LOCATION_EXACT)
                    break;
                if ((before->kind == LOCATION_EXACT) == (l->kind == LOCATION_EXACT) && before->name.n >= l->name.n)
                    break;
                in->prefixes.items[at] = before;
            }
            in->prefixes.items[at] = l;
        }
    }
    for (size_t i = 0; i < in->prefixes.n; i++)
        for (size_t k = i + 1; k < in->prefixes.n; k++) {
            struct location *x = in->prefixes.items[i], *y = in->prefixes.items[k];
            if (str_eq(x->name, y->name) && (x->kind == LOCATION_EXACT) == (y->kind == LOCATION_EXACT))
                conf_fail(c->tree, y->directive, "duplicate location \"%.*s\"", STR_ARG(y->name));
        }
}

static void merge_locations(struct conf *c, struct location *in)
{
    for (size_t i = 0; i < in->children.n; i++) {
        struct location *l = in->children.items[i];
        conf_merge(c, SCOPE_LOC, in->loc, l->loc);
        merge_locations(c, l);
    }
}

static int parse_http(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct core_main *m;
    struct location *root;

    (void)row, (void)structure;
    if (c->http.main) {
        conf_fail(c->tree, d, "\"http\" directive is duplicate");
        return -1;
    }
    c->http_directive = d;
    c->level.main = c->http.main = conf_new_structures(c, SCOPE_MAIN);
    c->level.srv = c->http.srv = conf_new_structures(c, SCOPE_SRV);
    c->level.loc = NULL;
    root = location_new(c, d, LOCATION_NONAME);
    c->level.loc = c->http.loc = root->loc;
    conf_walk(c, d, IN_HTTP);
    if (d->lacks_something)
        return -1;
    conf_fill_defaults(c, SCOPE_MAIN, c->http.main);
    conf_fill_defaults(c, SCOPE_SRV, c->http.srv);
    conf_fill_defaults(c, SCOPE_LOC, c->http.loc);
    m = core_main(c);
    for (unsigned i = 0; i < c->n_modules; i++) { /* what modules compute from defaults, at the top level too */
        if (c->modules[i]->merged_loc && c->http.loc[i])
            c->modules[i]->merged_loc(c, NULL, c->http.loc[i]);
    }
    for (size_t i = 0; i < m->servers.n; i++) {
        struct server *s = m->servers.items[i];
        conf_merge(c, SCOPE_SRV, c->http.srv, s->level.srv);
        conf_merge(c, SCOPE_LOC, c->http.loc, s->level.loc);
        merge_locations(c, s->root);
        sort_locations(c, s->root);
    }
    for (unsigned i = 0; i < c->n_modules; i++)
        if (c->modules[i]->ready)
            c->modules[i]->ready(c);
    variables_ready(c);
    return 0;
}

static int parse_server(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct conf_level outer = c->level;
    struct core_main *m = core_main(c);
    struct server *s = arena_zalloc(c->arena, sizeof *s);

    (void)row, (void)structure;
    *ARRAY_PUSH(&m->servers, c->arena) = s;
    s->directive = d;
    c->level.srv = conf_new_structures(c, SCOPE_SRV);
    ((struct core_srv *)c->level.srv[core_module.index])->server = s;
    s->root = location_new(c, d, LOCATION_NONAME);
    c->level.loc = s->root->loc;
    s->level = c->level;
    conf_walk(c, d, IN_SERVER);
    if (!s->has_listen)
        listen_add_default(c, d);
    if (s->names.n == 0) {
        struct server_name *n = ARRAY_PUSH(&s->names, c->arena);
        n->server = s;
        n->directive = d;
        n->name = STR("");
    }
    if (!s->name.p)
        s->name = STR("");
    c->level = outer;
    return 0;
}

static int parse_server_name(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct server *s = ((struct core_srv *)structure)->server;

    (void)row;
    for (unsigned i = 1; i < d->n_args; i++) {
        struct str arg = d->args[i];
        struct server_name *n = ARRAY_PUSH(&s->names, c->arena);
        char *low = arena_dup(c->arena, arg.p, arg.n);

        if (str_eq(arg, STR(".")) || (arg.n && arg.p[0] == '*' && (arg.n < 3 || arg.p[1] != '.')))
            conf_fail(c->tree, d, "server name \"%.*s\" is invalid", STR_ARG(arg));
        n->server = s;
        n->directive = d;
        if (!s->name.p)
            s->name = arg.n && arg.p[0] == '.' ? str_skip(arg, 1) : arg;
        if (arg.n && arg.p[0] == '~') {
            n->kind = NAME_REGEX;
            n->name = str_skip(arg, 1);
            n->regex = conf_regex_compile(c, d, n->name, CASE_INSENSITIVE);
            if (arg.n == 1)
                conf_fail(c->tree, d, "empty regex in server name \"%.*s\"", STR_ARG(arg));
            continue;
        }
        for (size_t k = 0; k < arg.n; k++)
            low[k] = ascii_lower(low[k]);
        n->name = (struct str){low, arg.n};
        if (arg.n >= 2 && arg.p[0] == '*' && arg.p[1] == '.') {
            n->kind = NAME_LEADING_WILDCARD;
            n->name = str_skip(n->name, 1);
        } else if (arg.n >= 2 && arg.p[0] == '.') {
            struct server_name *below = ARRAY_PUSH(&s->names, c->arena);
            n = &s->names.items[s->names.n - 2];
            *below = (struct server_name){n->name, NAME_LEADING_WILDCARD, NULL, s, d, true};
            n->name = str_skip(n->name, 1);
        } else if (arg.n >= 3 && arg.p[arg.n - 1] == '*' && arg.p[arg.n - 2] == '.') {
            n->kind = NAME_TRAILING_WILDCARD;
            n->name.n--;
        }
    }
    return 0;
}

/* --- location --- */

static int parse_location(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    static const struct {
        const char *modifier;
        enum location_kind kind;
    } modifiers[] = {{"=", LOCATION_EXACT}, {"^~", LOCATION_PREFIX_NO_REGEX}, {"~*", LOCATION_REGEX}, {"~", LOCATION_REGEX}};
    struct location *outer = ((struct core_loc *)structure)->location, *l;
    struct str modifier = STR(""), name = d->args[d->n_args - 1];
    enum location_kind kind = LOCATION_PREFIX;

    (void)row;
    if (d->n_args == 3) {
        size_t i;
        modifier = d->args[1];
        for (i = 0; i < 4 && !str_eq(modifier, str_of(modifiers[i].modifier)); i++)
            ;
        if (i == 4) {
            conf_fail(c->tree, d, "invalid location modifier \"%.*s\"", STR_ARG(modifier));
            return -1;
        }
        kind = modifiers[i].kind;
    } else {
        for (size_t i = 0; i < 4; i++)
            if (str_has_prefix(name, str_of(modifiers[i].modifier))) { /* "~*\.gif" without a space */
                modifier = str_of(modifiers[i].modifier);
                name = str_skip(name, modifier.n);
                kind = modifiers[i].kind;
                break;
            }
        if (kind == LOCATION_PREFIX && name.n && name.p[0] == '@')
            kind = LOCATION_NAMED;
    }
    l = location_new(c, d, kind);
    l->name = name;
    if (kind == LOCATION_REGEX) {
        l->regex = conf_regex_compile(c, d, name, modifier.n == 2 ? CASE_INSENSITIVE : CASE_SENSITIVE);
        if (!l->regex)
            return -1;
    }
    if (outer->parent && outer->directive && str_eq(outer->directive->args[0], STR("location"))) {
        const char *problem = NULL;
        if (outer->kind == LOCATION_EXACT)
            problem = "exact location";
        else if (outer->kind == LOCATION_NAMED)
            problem = "named location";
        if (problem) {
            conf_fail(c->tree, d, "location \"%.*s\" cannot be inside the %s \"%.*s\"", STR_ARG(name), problem,
                      STR_ARG(outer->name));
            return -1;
        }
        if (kind == LOCATION_NAMED) {
            conf_fail(c->tree, d, "named location \"%.*s\" can be on the server level only", STR_ARG(name));
            return -1;
        }
        if (kind != LOCATION_REGEX && !str_has_prefix(name, outer->name)) { /* nginx: against the text of an outer regular expression too */
            conf_fail(c->tree, d, "location \"%.*s\" is outside location \"%.*s\"", STR_ARG(name), STR_ARG(outer->name));
            return -1;
        }
    }
    *ARRAY_PUSH(&outer->children, c->arena) = l;
    location_read(c, l, d, IN_LOCATION);
    return 0;
}

static int parse_root(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct core_loc *loc = structure;
    struct setting *s = &loc->root;
    struct location *l = loc->location;
    bool is_alias = str_eq(d->args[0], STR("alias"));
    struct root *root = arena_zalloc(c->arena, sizeof *root);
    struct str path = d->args[1];

    (void)row;
    if (s->is_set) {
        const struct root *before = s->ptr;
        if (before->is_alias == is_alias)
            conf_fail(c->tree, d, "\"%.*s\" directive is duplicate", STR_ARG(d->args[0]));
        else
            conf_fail(c->tree, d, "\"%.*s\" directive is duplicate, \"%s\" directive was specified earlier",
                      STR_ARG(d->args[0]), before->is_alias ? "alias" : "root");
        return -1;
    }
    if (is_alias && l->kind == LOCATION_NAMED) {
        conf_fail(c->tree, d, "the \"alias\" directive cannot be used inside the named location");
        return -1;
    }
    if (!is_alias && path.n && path.p[path.n - 1] == '/')
        path.n--;
    if (!(path.n && (path.p[0] == '/' || path.p[0] == '$')) && !(d->args[1].n == 1 && d->args[1].p[0] == '/'))
        path = arena_cat(c->arena, c->tree->prefix, path);
    root->path = text_compile(c, d, arena_str(c->arena, path));
    if (!root->path)
        return -1;
    root->is_alias = is_alias;
    root->alias_prefix_bytes = l->name.n;
    root->is_regex_alias = is_alias && l->kind == LOCATION_REGEX;
    *s = (struct setting){.origin = d, .is_set = true, .ptr = root};
    return 0;
}

static int parse_types(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct type_list *list;

    list = conf_claim_list(c, d, s, sizeof *list);
    for (struct directive *e = d->first_child; e; e = e->next) {
        if (str_eq(e->args[0], STR("include")))
            continue;
        for (unsigned i = 1; i < e->n_args; i++) {
            struct type_entry *t = ARRAY_PUSH(&list->types, c->arena);
            t->extension = e->args[i];
            t->type = e->args[0];
        }
    }
    return 0;
}

static int default_types(struct conf *c, struct setting *s)
{
    static const struct type_entry three[] = {
        {{"html", 4}, {"text/html", 9}}, {{"gif", 3}, {"image/gif", 9}}, {{"jpg", 3}, {"image/jpeg", 10}}};
    struct type_list *list = arena_zalloc(c->arena, sizeof *list);

    for (int i = 0; i < 3; i++)
        *ARRAY_PUSH(&list->types, c->arena) = three[i];
    *s = (struct setting){.is_set = true, .ptr = list};
    return 0;
}

static int parse_error_page(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct error_page_list *list;
    struct str uri = d->args[d->n_args - 1], args = STR(""), option = d->args[d->n_args - 2];
    unsigned n = d->n_args - 1;
    struct text *text;
    int overwrite = -1;
    long at;

    list = conf_claim_list(c, d, s, sizeof *list);
    if (n >= 2 && option.n && option.p[0] == '=') {
        n--;
        if (option.n > 1) {
            overwrite = (int)str_number(str_skip(option, 1));
            if (overwrite < 0) {
                conf_fail(c->tree, d, "invalid value \"%.*s\"", STR_ARG(option));
                return -1;
            }
        } else {
            overwrite = 0;
        }
    }
    if (n < 2) {
        conf_fail(c->tree, d, "invalid number of arguments in \"error_page\" directive");
        return -1;
    }
    text = text_compile(c, d, uri);
    if (!text)
        return -1;
    if (text_is_constant(text) && uri.n && uri.p[0] == '/' && (at = str_chr(uri, '?')) >= 0) {
        args = str_skip(uri, (size_t)at + 1);
        text = text_compile(c, d, (struct str){uri.p, (size_t)at});
    }
    for (unsigned i = 1; i < n; i++) {
        long long status = str_number(d->args[i]);
        struct error_page *page;
        if (status < 0 || status == 499) {
            conf_fail(c->tree, d, "invalid value \"%.*s\"", STR_ARG(d->args[i]));
            return -1;
        }
        if (status < 300 || status > 599) {
            conf_fail(c->tree, d, "value \"%.*s\" must be between 300 and 599", STR_ARG(d->args[i]));
            return -1;
        }
        page = ARRAY_PUSH(&list->pages, c->arena);
        *page = (struct error_page){(unsigned)status, overwrite, text, args, d};
        /* nginx: 494 to 499 of its own are answered as 400, so the page keeps that unless told otherwise. */
        if (overwrite == -1)
            switch (status) {
            case 494: case 495: case 496: case 497: page->overwrite = 400; break;
            }
    }
    return 0;
}

static int parse_keepalive_timeout(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    long *two;

    if (!s)
        return -1;
    s->ptr = two = arena_zalloc(c->arena, 2 * sizeof *two); /* time-out in ms; seconds of the Keep-Alive field, 0 for none */
    two[0] = conf_read_msec(d->args[1]);
    two[1] = d->n_args > 2 ? conf_read_sec(d->args[2]) : 0;
    if (two[0] < 0 || two[1] < 0) {
        conf_fail(c->tree, d, "\"%s\" directive invalid value", row->name);
        return -1;
    }
    return 0;
}

int parse_buffers(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct buffer_sizes *b;

    if (!s)
        return -1;
    s->ptr = b = arena_zalloc(c->arena, sizeof *b);
    b->n = (long)str_number(d->args[1]);
    b->bytes = conf_read_size(d->args[2]);
    if (b->n < 1 || b->bytes <= 0) {
        conf_fail(c->tree, d, "\"%s\" directive invalid value", row->name);
        return -1;
    }
    return 0;
}

/* A size with variables, or one that can be checked now. */
static int parse_rate(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    if (conf_parse_text(c, d, row, structure) < 0)
        return -1;
    if (text_count_variables(d->args[1]) || conf_read_size(d->args[1]) >= 0)
        return 0;
    conf_fail(c->tree, d, "\"%s\" directive invalid value", row->name);
    return -1;
}

/* The pools are nginx's; their limits are its, too. */
static int parse_pool_size(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    enum { LEAST_BYTES = 112, ALIGNMENT = 16 };
    long bytes;

    if (conf_parse_size(c, d, row, structure) < 0)
        return -1;
    bytes = conf_setting(row, structure)->num;
    if (bytes >= LEAST_BYTES && bytes % ALIGNMENT == 0)
        return 0;
    if (bytes < LEAST_BYTES)
        conf_fail(c->tree, d, "the pool size must be no less than %d", LEAST_BYTES);
    else
        conf_fail(c->tree, d, "the pool size must be a multiple of %d", ALIGNMENT);
    return -1;
}

static int parse_internal(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    (void)c;
    *conf_setting(row, structure) = (struct setting){.origin = d, .is_set = true, .num = 1};
    return 0;
}

static int parse_limit_except(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    static const struct conf_enum methods[] = {{"GET", 1 << 1 | 1 << 2}, {"HEAD", 1 << 2}, {"POST", 1 << 3},
                                               {"PUT", 1 << 4}, {"DELETE", 1 << 5}, {"OPTIONS", 1 << 6}, {NULL, 0}};
    struct location *outer = ((struct core_loc *)structure)->location, *l;

    (void)row;
    if (outer->limit_except) {
        conf_fail(c->tree, d, "\"limit_except\" directive is duplicate");
        return -1;
    }
    l = location_new(c, d, LOCATION_NONAME);
    l->name = outer->name;
    for (unsigned i = 1; i < d->n_args; i++) {
        const struct conf_enum *m = methods;
        while (m->name && !str_ieq(d->args[i], str_of(m->name)))
            m++;
        if (!m->name) {
            conf_fail(c->tree, d, "invalid method \"%.*s\"", STR_ARG(d->args[i]));
            return -1;
        }
        outer->allowed_methods |= (unsigned)m->value;
    }
    outer->limit_except = l;
    *ARRAY_PUSH(&outer->children, c->arena) = l;
    location_read(c, l, d, IN_LIMIT_EXCEPT);
    return 0;
}

static int merged_loc(struct conf *c, void *parent, void *child)
{
    struct core_loc *loc = child, *outer = parent;

    if (!loc->types.is_set)
        default_types(c, &loc->types);
    if (!loc->error_page.is_set && outer)
        loc->error_page = outer->error_page;
    return 0;
}

static const struct conf_enum on_off_build[] = {{"off", 0}, {"on", 1}, {"build", 2}, {NULL, 0}};
static const struct conf_enum satisfies[] = {{"all", 0}, {"any", 1}, {NULL, 0}};
static const struct conf_enum file_only[] = {{"off", 0}, {"on", 1}, {"clean", 2}, {NULL, 0}};
static const struct conf_enum lingering[] = {{"off", 0}, {"on", 1}, {"always", 2}, {NULL, 0}};
static const struct conf_enum modified_since[] = {{"off", 0}, {"exact", 1}, {"before", 2}, {NULL, 0}};
static const struct conf_enum keepalive_disables[] = {{"none", 1}, {"msie6", 2}, {"safari", 4}, {NULL, 0}};

#define LOC(field) SCOPE_LOC, offsetof(struct core_loc, field)
#define SRV(field) SCOPE_SRV, offsetof(struct core_srv, field)
#define MAIN(field) SCOPE_MAIN, offsetof(struct core_main, field)
#define IN_HTTP_SERVER (IN_HTTP | IN_SERVER)
#define IN_HTTP_SERVER_LOC_IF (IN_ANY_HTTP | IN_LOCATION_IF)

static const struct directive_row rows[] = {
    {"http", IN_MAIN, 0, 0, true, SCOPE_CORE, 0, parse_http, NULL, "Holds the servers.", DO_NOT_INHERIT, NULL},
    {"server", IN_HTTP, 0, 0, true, SCOPE_MAIN, 0, parse_server, NULL, "A virtual server.", DO_NOT_INHERIT, NULL},
    {"listen", IN_SERVER, 1, ANY_NUMBER, false, SCOPE_SRV, 0, listen_parse, NULL, "An address and port to accept on.", DO_NOT_INHERIT, NULL},
    {"server_name", IN_SERVER, 1, ANY_NUMBER, false, SCOPE_SRV, 0, parse_server_name, NULL, "Names of the server.", DO_NOT_INHERIT, NULL},
    {"location", IN_SERVER | IN_LOCATION, 1, 2, true, SCOPE_LOC, 0, parse_location, NULL, "What applies to a part of the URIs.", DO_NOT_INHERIT, NULL},
    {"limit_except", IN_LOCATION, 1, ANY_NUMBER, true, SCOPE_LOC, 0, parse_limit_except, NULL, "What applies to all other methods.", DO_NOT_INHERIT, NULL},
    {"root", IN_HTTP_SERVER_LOC_IF, 1, 1, false, LOC(root), parse_root, "html", "The directory that URIs are appended to.", INHERIT, NULL},
    {"alias", IN_LOCATION, 1, 1, false, LOC(root), parse_root, NULL, "The path that replaces the location's prefix.", INHERIT, NULL},
    {"types", IN_ANY_HTTP, 0, 0, true, LOC(types), parse_types, NULL, "Media types by file name extension.", INHERIT, NULL},
    {"default_type", IN_ANY_HTTP, 1, 1, false, LOC(default_type), conf_parse_str, "text/plain", "The media type of all other files.", INHERIT, NULL},
    {"client_header_timeout", IN_HTTP_SERVER, 1, 1, false, SRV(client_header_timeout), conf_parse_msec, "60s", "Time for the whole request header.", INHERIT, NULL},
    {"client_header_buffer_size", IN_HTTP_SERVER, 1, 1, false, SRV(client_header_buffer_size), conf_parse_size, "1k", "The first header buffer.", INHERIT, NULL},
    {"large_client_header_buffers", IN_HTTP_SERVER, 2, 2, false, SRV(large_client_header_buffers), parse_buffers, "4 8k", "Number and size of further header buffers.", INHERIT, NULL},
    {"ignore_invalid_headers", IN_HTTP_SERVER, 1, 1, false, SRV(ignore_invalid_headers), conf_parse_flag, "on", "Drops fields with invalid names.", INHERIT, NULL},
    {"underscores_in_headers", IN_HTTP_SERVER, 1, 1, false, SRV(underscores_in_headers), conf_parse_flag, "off", "Lets names have underscores.", INHERIT, NULL},
    {"merge_slashes", IN_HTTP_SERVER, 1, 1, false, SRV(merge_slashes), conf_parse_flag, "on", "Takes repeated slashes as one.", INHERIT, NULL},
    {"connection_pool_size", IN_HTTP_SERVER, 1, 1, false, SRV(connection_pool_size), parse_pool_size, "512", "Memory set aside for a connection.", INHERIT, NULL},
    {"request_pool_size", IN_HTTP_SERVER, 1, 1, false, SRV(request_pool_size), parse_pool_size, "4k", "Memory set aside for a request.", INHERIT, NULL},
    {"max_headers", IN_HTTP_SERVER, 1, 1, false, SRV(max_headers), conf_parse_num, "1000", "The number of fields a request may have.", INHERIT, NULL},
    {"client_max_body_size", IN_ANY_HTTP, 1, 1, false, LOC(client_max_body_size), conf_parse_offset, "1m", "The longest body; 0 for any.", INHERIT, NULL},
    {"client_body_buffer_size", IN_ANY_HTTP, 1, 1, false, LOC(client_body_buffer_size), conf_parse_size, "16k", "Of a body, what is kept in memory.", INHERIT, NULL},
    {"client_body_timeout", IN_ANY_HTTP, 1, 1, false, LOC(client_body_timeout), conf_parse_msec, "60s", "Time between two reads of a body.", INHERIT, NULL},
    {"client_body_in_file_only", IN_ANY_HTTP, 1, 1, false, LOC(client_body_in_file_only), conf_parse_enum, "off", "Always saves bodies to files.", INHERIT, file_only},
    {"client_body_in_single_buffer", IN_ANY_HTTP, 1, 1, false, LOC(client_body_in_single_buffer), conf_parse_flag, "off", "Keeps a body in one buffer.", INHERIT, NULL},
    {"client_body_temp_path", IN_ANY_HTTP, 1, 4, false, LOC(client_body_temp_path), conf_parse_temp_path, "client_body_temp", "Where bodies are saved.", INHERIT, NULL},
    {"send_timeout", IN_ANY_HTTP, 1, 1, false, LOC(send_timeout), conf_parse_msec, "60s", "Time between two writes to the client.", INHERIT, NULL},
    {"keepalive_timeout", IN_ANY_HTTP, 1, 2, false, LOC(keepalive_timeout), parse_keepalive_timeout, "75s", "How long an idle client connection stays.", INHERIT, NULL},
    {"keepalive_requests", IN_ANY_HTTP, 1, 1, false, LOC(keepalive_requests), conf_parse_num, "1000", "Requests on one connection.", INHERIT, NULL},
    {"keepalive_time", IN_ANY_HTTP, 1, 1, false, LOC(keepalive_time), conf_parse_msec, "1h", "How long one connection serves requests.", INHERIT, NULL},
    {"keepalive_disable", IN_ANY_HTTP, 1, 2, false, LOC(keepalive_disable), conf_parse_bitmask, "msie6", "Browsers without keep-alive.", INHERIT, keepalive_disables},
    {"lingering_close", IN_ANY_HTTP, 1, 1, false, LOC(lingering_close), conf_parse_enum, "on", "Reads on before closing.", INHERIT, lingering},
    {"lingering_time", IN_ANY_HTTP, 1, 1, false, LOC(lingering_time), conf_parse_msec, "30s", "The longest reading on.", INHERIT, NULL},
    {"lingering_timeout", IN_ANY_HTTP, 1, 1, false, LOC(lingering_timeout), conf_parse_msec, "5s", "The longest wait while reading on.", INHERIT, NULL},
    {"error_page", IN_HTTP_SERVER_LOC_IF, 2, ANY_NUMBER, false, LOC(error_page), parse_error_page, NULL, "What to show for statuses.", INHERIT, NULL},
    {"internal", IN_LOCATION, 0, 0, false, LOC(internal), parse_internal, NULL, "Only for internal redirects.", INHERIT, NULL},
    {"etag", IN_ANY_HTTP, 1, 1, false, LOC(etag), conf_parse_flag, "on", "ETag for files.", INHERIT, NULL},
    {"if_modified_since", IN_ANY_HTTP, 1, 1, false, LOC(if_modified_since), conf_parse_enum, "exact", "How If-Modified-Since is compared.", INHERIT, modified_since},
    {"max_ranges", IN_ANY_HTTP, 1, 1, false, LOC(max_ranges), conf_parse_num, "2147483647", "Ranges in one request.", INHERIT, NULL},
    {"server_tokens", IN_ANY_HTTP, 1, 1, false, LOC(server_tokens), conf_parse_enum, "on", "The version in Server and error pages.", INHERIT, on_off_build},
    {"absolute_redirect", IN_ANY_HTTP, 1, 1, false, LOC(absolute_redirect), conf_parse_flag, "on", "Scheme and host in the proxy's own redirects.", INHERIT, NULL},
    {"server_name_in_redirect", IN_ANY_HTTP, 1, 1, false, LOC(server_name_in_redirect), conf_parse_flag, "off", "server_name instead of Host in redirects.", INHERIT, NULL},
    {"port_in_redirect", IN_ANY_HTTP, 1, 1, false, LOC(port_in_redirect), conf_parse_flag, "on", "The port in redirects.", INHERIT, NULL},
    {"chunked_transfer_encoding", IN_ANY_HTTP, 1, 1, false, LOC(chunked_transfer_encoding), conf_parse_flag, "on", "Chunked answers for HTTP/1.1.", INHERIT, NULL},
    {"log_not_found", IN_ANY_HTTP, 1, 1, false, LOC(log_not_found), conf_parse_flag, "on", "Logs files that are missing.", INHERIT, NULL},
    {"log_subrequest", IN_ANY_HTTP, 1, 1, false, LOC(log_subrequest), conf_parse_flag, "off", "Logs subrequests.", INHERIT, NULL},
    {"satisfy", IN_ANY_HTTP, 1, 1, false, LOC(satisfy), conf_parse_enum, "all", "All or any of the access checks.", INHERIT, satisfies},
    {"msie_padding", IN_ANY_HTTP, 1, 1, false, LOC(msie_padding), conf_parse_flag, "on", "Pads error pages for old browsers.", INHERIT, NULL},
    {"recursive_error_pages", IN_ANY_HTTP, 1, 1, false, LOC(recursive_error_pages), conf_parse_flag, "off", "error_page within error_page.", INHERIT, NULL},
    {"limit_rate", IN_HTTP_SERVER_LOC_IF, 1, 1, false, LOC(limit_rate), parse_rate, "0", "Bytes a second to a client.", INHERIT, NULL},
    {"limit_rate_after", IN_HTTP_SERVER_LOC_IF, 1, 1, false, LOC(limit_rate_after), parse_rate, "0", "Bytes before limit_rate starts.", INHERIT, NULL},
    {"sendfile", IN_HTTP_SERVER_LOC_IF, 1, 1, false, LOC(sendfile), conf_parse_flag, "off", "Sends files without copying them.", INHERIT, NULL},
    {"sendfile_max_chunk", IN_ANY_HTTP, 1, 1, false, LOC(sendfile_max_chunk), conf_parse_size, "2m", "The most sent of a file at once.", INHERIT, NULL},
    {"tcp_nopush", IN_ANY_HTTP, 1, 1, false, LOC(tcp_nopush), conf_parse_flag, "off", "Full packets only.", INHERIT, NULL},
    {"tcp_nodelay", IN_ANY_HTTP, 1, 1, false, LOC(tcp_nodelay), conf_parse_flag, "on", "Sends small packets at once.", INHERIT, NULL},
    {"reset_timedout_connection", IN_ANY_HTTP, 1, 1, false, LOC(reset_timedout_connection), conf_parse_flag, "off", "Resets connections that timed out.", INHERIT, NULL},
    {"postpone_output", IN_ANY_HTTP, 1, 1, false, LOC(postpone_output), conf_parse_size, "1460", "Collects small pieces of output.", INHERIT, NULL},
    {"server_names_hash_max_size", IN_HTTP, 1, 1, false, MAIN(server_names_hash_max_size), conf_parse_num, "512", "A size of nginx's tables.", DO_NOT_INHERIT, NULL},
    {"server_names_hash_bucket_size", IN_HTTP, 1, 1, false, MAIN(server_names_hash_bucket_size), conf_parse_num, "64", "A size of nginx's tables.", DO_NOT_INHERIT, NULL},
    {"variables_hash_max_size", IN_HTTP, 1, 1, false, MAIN(variables_hash_max_size), conf_parse_num, "1024", "A size of nginx's tables.", DO_NOT_INHERIT, NULL},
    {"variables_hash_bucket_size", IN_HTTP, 1, 1, false, MAIN(variables_hash_bucket_size), conf_parse_num, "64", "A size of nginx's tables.", DO_NOT_INHERIT, NULL},
    {"resolver", IN_ANY_HTTP, 1, ANY_NUMBER, false, LOC(resolver), parse_resolver, NULL, "DNS servers for names that only a request knows.", INHERIT, NULL},
    {"resolver_timeout", IN_ANY_HTTP, 1, 1, false, LOC(resolver_timeout), conf_parse_msec, "30s", "Time to resolve a name.", INHERIT, NULL},
    {"types_hash_max_size", IN_ANY_HTTP, 1, 1, false, LOC(types_hash_max_size), conf_parse_num, "1024", "A size of nginx's tables.", INHERIT, NULL},
    {"types_hash_bucket_size", IN_ANY_HTTP, 1, 1, false, LOC(types_hash_bucket_size), conf_parse_num, "64", "A size of nginx's tables.", INHERIT, NULL},
};

static int merged_server(struct conf *c, void *parent, void *child)
{
    const struct core_srv *srv = child;
    const struct buffer_sizes *large = srv->large_client_header_buffers.ptr;
    const struct directive *d = srv->large_client_header_buffers.origin ? srv->large_client_header_buffers.origin : srv->connection_pool_size.origin;

    (void)parent;
    if (large->bytes < srv->connection_pool_size.num)
        conf_fail(c->tree, d, "the \"large_client_header_buffers\" size must be equal to or greater than \"connection_pool_size\"");
    return 0;
}

/* As nginx, which looks only where names decide: at addresses with several servers. */
static void check_names(struct conf *c, const struct listener *l)
{
    for (size_t i = 0; l->servers.n > 1 && i < l->servers.n; i++)
        for (size_t k = 0; k < l->servers.items[i]->names.n; k++) {
            const struct server_name *n = &l->servers.items[i]->names.items[k];
            if (n->kind != NAME_REGEX && (str_chr(n->name, '*') >= 0 || str_ifind(n->name, STR("..")) >= 0))
                conf_fail(c->tree, n->directive, "invalid server name or wildcard \"%.*s\" on %.*s", STR_ARG(n->name), STR_ARG(l->address.text));
        }
}

static int complete(struct conf *c)
{
    const struct core_main *m = core_main(c);

    for (size_t i = 0; m && i < m->listeners.n; i++)
        check_names(c, m->listeners.items[i]);
    if (m && main_worker_connections(c) < m->listeners.n + 1)
        conf_fail(c->tree, NULL, "%u worker_connections are not enough for %zu listening sockets", main_worker_connections(c), m->listeners.n);
    return 0;
}

struct module core_module = {
    .name = "ngx_http_core_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .main_bytes = sizeof(struct core_main),
    .srv_bytes = sizeof(struct core_srv),
    .merged_srv = merged_server,
    .loc_bytes = sizeof(struct core_loc),
    .merged_loc = merged_loc,
    .complete = complete,
};
