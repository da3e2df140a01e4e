/*
 * rewrite, set, if, return, break (nginx's ngx_http_rewrite_module).
 *
 * The directives of a block become a list of operations, run in the order of the file. `if` holds a list of its own and
 * the settings of its block.
 */
#include <sys/stat.h>
#include <unistd.h>

#include "filters/response.h"
#include "http/log.h"
#include "http/request_body.h"
#include "trace/trace.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "phases/handlers.h"
#include "phases/static.h"

enum op_kind { OP_SET, OP_RETURN, OP_REWRITE, OP_IF, OP_BREAK };
enum rewrite_flag { REWRITE_NONE, REWRITE_LAST, REWRITE_BREAK, REWRITE_REDIRECT = 302, REWRITE_PERMANENT = 301 };
enum condition { COND_TRUE, COND_EQ, COND_NE, COND_REGEX, COND_NOT_REGEX, COND_FILE, COND_DIR, COND_EXISTS, COND_EXEC };

struct op {
    enum op_kind kind;
    const struct directive *directive;
    struct variable *variable; /* set */
    int index;                 /* of the variable: set, if */
    struct text *text;         /* value, replacement, body or URL, what if compares with */
    unsigned status;           /* return */
    bool drops_args;           /* a replacement that ends with "?" */
    bool is_redirect;
    enum rewrite_flag flag;
    enum condition condition;
    bool is_negated;
    struct conf_regex *regex;
    struct location *block; /* if */
    struct op_list *ops;
};

struct op_list {
    ARRAY_OF(struct op) all;
};

struct rewrite_loc {
    struct setting rewrite_log, uninitialized_variable_warn;
    struct op_list ops;
};

static struct op *add_op(struct conf *c, struct rewrite_loc *loc, enum op_kind kind, const struct directive *d)
{
    struct op *op = ARRAY_PUSH(&loc->ops.all, c->arena);

    op->kind = kind;
    op->directive = d;
    op->index = -1;
    return op;
}

static int parse_set(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct op *op;
    struct variable *v;

    (void)row;
    if (d->args[1].n < 2 || d->args[1].p[0] != '$') {
        conf_fail(c->tree, d, "invalid variable name \"%.*s\"", STR_ARG(d->args[1]));
        return -1;
    }
    v = variable_define(c, d, str_skip(d->args[1], 1));
    if (!v)
        return -1;
    op = add_op(c, structure, OP_SET, d);
    op->variable = v;
    op->index = variable_index(c, d, v->name);
    op->text = text_compile(c, d, d->args[2]);
    return op->text ? 0 : -1;
}

static int parse_break(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    (void)row;
    add_op(c, structure, OP_BREAK, d);
    return 0;
}

static int parse_return(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct op *op = add_op(c, structure, OP_RETURN, d);
    struct str first = d->args[1];
    long long status = str_number(first);

    (void)row;
    if (status < 0) {
        if (d->n_args == 2
            && (str_has_prefix(first, STR("http://")) || str_has_prefix(first, STR("https://"))
                || str_has_prefix(first, STR("$scheme")))) {
            op->status = 302;
            op->text = text_compile(c, d, first);
            return op->text ? 0 : -1;
        }
        conf_fail(c->tree, d, "invalid return code \"%.*s\"", STR_ARG(first));
        return -1;
    }
    if (status > 999) {
        conf_fail(c->tree, d, "invalid return code \"%.*s\"", STR_ARG(first));
        return -1;
    }
    op->status = (unsigned)status;
    if (d->n_args == 3) {
        op->text = text_compile(c, d, d->args[2]);
        return op->text ? 0 : -1;
    }
    return 0;
}

static int parse_rewrite(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct op *op = add_op(c, structure, OP_REWRITE, d);
    struct str to = d->args[2];

    (void)row;
    op->regex = conf_regex_compile(c, d, d->args[1], CASE_SENSITIVE);
    if (!op->regex)
        return -1;
    if (str_has_prefix(to, STR("http://")) || str_has_prefix(to, STR("https://")) || str_has_prefix(to, STR("$scheme"))) {
        op->flag = REWRITE_REDIRECT;
        op->is_redirect = true;
    }
    if (d->n_args == 4) {
        static const struct conf_enum flags[] = {{"last", REWRITE_LAST}, {"break", REWRITE_BREAK},
                                                 {"redirect", REWRITE_REDIRECT}, {"permanent", REWRITE_PERMANENT}, {NULL, 0}};
        const struct conf_enum *e = flags;
        while (e->name && !str_eq(d->args[3], str_of(e->name)))
            e++;
        if (!e->name) {
            conf_fail(c->tree, d, "invalid parameter \"%.*s\"", STR_ARG(d->args[3]));
            return -1;
        }
        op->flag = (enum rewrite_flag)e->value;
        op->is_redirect |= op->flag == REWRITE_REDIRECT || op->flag == REWRITE_PERMANENT;
    }
    if (to.n && to.p[to.n - 1] == '?') {
        to.n--;
        op->drops_args = true;
    }
    op->text = text_compile(c, d, to);
    return op->text ? 0 : -1;
}

static int compile_condition(struct conf *c, struct directive *d, struct op *op)
{
    struct str *args = arena_alloc(c->arena, d->n_args * sizeof *args), first, how;
    unsigned n = d->n_args - 1;

    memcpy(args, d->args + 1, n * sizeof *args);
    if (args[0].n < 1 || args[0].p[0] != '(' || args[n - 1].n < 1 || args[n - 1].p[args[n - 1].n - 1] != ')') {
        conf_fail(c->tree, d, "invalid condition \"%.*s\"", STR_ARG(args[0]));
        return -1;
    }
    args[0] = str_skip(args[0], 1);
    if (args[0].n == 0)
        args++, n--;
    args[n - 1].n--;
    if (args[n - 1].n == 0)
        n--;
    first = args[0];
    if (first.n > 1 && first.p[0] == '$') {
        op->index = variable_index(c, d, str_skip(first, 1));
        if (n == 1) {
            op->condition = COND_TRUE;
            return 0;
        }
        how = args[1];
        if (n != 3) {
            conf_fail(c->tree, d, "invalid condition \"%.*s\"", STR_ARG(n == 2 ? first : how));
            return -1;
        }
        if (str_eq(how, STR("=")) || str_eq(how, STR("!="))) {
            op->condition = how.n == 1 ? COND_EQ : COND_NE;
            op->text = text_compile(c, d, args[2]);
            return op->text ? 0 : -1;
        }
        if (str_eq(how, STR("~")) || str_eq(how, STR("~*")) || str_eq(how, STR("!~")) || str_eq(how, STR("!~*"))) {
            op->condition = how.p[0] == '!' ? COND_NOT_REGEX : COND_REGEX;
            op->regex = conf_regex_compile(c, d, args[2], how.p[how.n - 1] == '*' ? CASE_INSENSITIVE : CASE_SENSITIVE);
            return op->regex ? 0 : -1;
        }
        conf_fail(c->tree, d, "unexpected \"%.*s\" in condition", STR_ARG(how));
        return -1;
    }
    how = first;
    if (how.n && how.p[0] == '!') {
        op->is_negated = true;
        how = str_skip(how, 1);
    }
    if (n == 2 && how.n == 2 && how.p[0] == '-' && strchr("fdex", how.p[1])) {
        op->condition = how.p[1] == 'f' ? COND_FILE : how.p[1] == 'd' ? COND_DIR : how.p[1] == 'e' ? COND_EXISTS : COND_EXEC;
        op->text = text_compile(c, d, args[1]);
        return op->text ? 0 : -1;
    }
    conf_fail(c->tree, d, "invalid condition \"%.*s\"", STR_ARG(first.n ? first : STR(")")));
    return -1;
}

static int parse_if(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct rewrite_loc *loc = structure;
    struct location *outer = location_at_level(c), *block;
    bool is_in_server = c->level.loc == ((struct core_srv *)c->level.srv[core_module.index])->server->level.loc;
    struct op *op = add_op(c, loc, OP_IF, d);

    (void)row;
    if (compile_condition(c, d, op) < 0)
        return -1;
    block = location_new(c, d, LOCATION_NONAME);
    block->name = outer->name;
    block->kind = LOCATION_NONAME;
    *ARRAY_PUSH(&outer->children, c->arena) = block;
    op->block = block;
    op->ops = &((struct rewrite_loc *)block->loc[rewrite_module.index])->ops;
    location_read(c, block, d, is_in_server ? IN_SERVER_IF : IN_LOCATION_IF);
    return 0;
}

/* --- running --- */

static bool file_matches(struct request *r, const struct op *op)
{
    struct str path = text_value(r, op->text);
    struct stat st;
    const char *z = arena_dup(r->arena, path.p, path.n);

    if (stat(z, &st) < 0)
        return false;
    switch (op->condition) {
    case COND_FILE: return S_ISREG(st.st_mode);
    case COND_DIR: return S_ISDIR(st.st_mode);
    case COND_EXEC: return st.st_mode & S_IXUSR;
    default: return true;
    }
}

static bool condition_holds(struct request *r, const struct op *op)
{
    struct str value = op->index >= 0 ? variable_value(r, op->index)->s : STR("");

    switch (op->condition) {
    case COND_TRUE: return value.n && !str_eq(value, STR("0"));
    case COND_EQ: return str_eq(value, text_value(r, op->text));
    case COND_NE: return !str_eq(value, text_value(r, op->text));
    case COND_REGEX: return conf_regex_match(r, op->regex, value);
    case COND_NOT_REGEX: return !conf_regex_match(r, op->regex, value);
    default: return file_matches(r, op) != op->is_negated;
    }
}

struct outcome {
    int answer;       /* 0, or a status */
    bool is_uri_changed, is_broken;
};

/* What nginx undoes of the escaping in a redirect's target: up to the "?", and only printable characters. */
static struct str unescape_redirect(struct arena *a, struct str s)
{
    char *out = arena_alloc(a, s.n + 1);
    size_t n = 0, i = 0;

    while (i < s.n && s.p[i] != '?') {
        int high = s.p[i] == '%' && i + 2 < s.n ? ascii_hex(s.p[i + 1]) : -1, low = high >= 0 ? ascii_hex(s.p[i + 2]) : -1;
        char c = (char)(high * 16 + low);
        if (low < 0) {
            out[n++] = s.p[i++];
        } else if (c == '?') {
            out[n++] = c;
            i += 3;
            break;
        } else if (c > '%' && c < 0x7f) {
            out[n++] = c;
            i += 3;
        } else {
            memcpy(out + n, s.p + i, 3);
            n += 3;
            i += 3;
        }
    }
    memcpy(out + n, s.p + i, s.n - i);
    return (struct str){out, n + s.n - i};
}

static void do_rewrite(struct request *r, const struct op *op, struct outcome *o)
{
    struct str to, args = STR("");
    long args_at;

    if (!conf_regex_match(r, op->regex, r->uri))
        return;
    to = text_value_escaped(r, op->text, op->is_redirect ? ESCAPE_CAPTURES_ARGS : ESCAPE_CAPTURES_URI, &args_at);
    if (op->is_redirect) {
        to = unescape_redirect(r->arena, to);
        if (r->args.n && !op->drops_args)
            to = arena_printf(r->arena, "%.*s%c%.*s", STR_ARG(to), str_chr(text_raw(op->text), '?') >= 0 ? '&' : '?',
                              STR_ARG(r->args));
        response_redirect(r, to, (struct origin){ORIGIN_DIRECTIVE, op->directive, NULL});
        trace_step(r, op->directive, r->uri, to, "the expression matches: a redirect to the client");
        o->answer = op->flag == REWRITE_PERMANENT ? 301 : 302; /* with `last` or `break` too */
        return;
    }
    if (args_at >= 0) { /* behind the "?" of the replacement as written, not one that a capture brings */
        args = str_skip(to, (size_t)args_at + 1);
        to.n = (size_t)args_at;
        if (r->args.n && !op->drops_args)
            args = args.n ? arena_printf(r->arena, "%.*s&%.*s", STR_ARG(args), STR_ARG(r->args)) : r->args;
        r->args = args;
    } else if (op->drops_args) {
        r->args = STR("");
    }
    if (to.n == 0) {
        log_request(r, LOG_ERR_, 0, "the rewritten URI has a zero length");
        o->answer = 500;
        return;
    }
    trace_step(r, op->directive, r->uri, to, op->flag == REWRITE_BREAK ? "the expression matches; break" : "the expression matches");
    r->uri = to;
    r->exten = uri_extension(to);
    r->is_internal = true;
    r->has_valid_unparsed_uri = false;
    o->is_uri_changed = true;
    if (op->flag == REWRITE_LAST)
        o->is_broken = true;
    if (op->flag == REWRITE_BREAK) {
        o->is_broken = true;
        o->is_uri_changed = false;
        r->has_location_prefix = false;
    }
}

static void do_return(struct request *r, const struct op *op, struct outcome *o)
{
    trace_step(r, op->directive, r->uri, op->text ? text_raw(op->text) : STR(""), "return ends the search");
    o->answer = (int)op->status;
    if ((!op->text || text_raw(op->text).n == 0) && op->status >= 400) /* nginx: an empty text is none */
        return;
    if ((o->answer = (int)request_body_ignore(r)))
        return;
    o->answer = (int)op->status;
    switch (op->status) {
    case 301: case 302: case 303: case 307: case 308:
        response_redirect(r, op->text ? text_value(r, op->text) : STR(""),
                                            (struct origin){ORIGIN_DIRECTIVE, op->directive, NULL});
        return;
    }
    struct str body = op->text ? text_value(r, op->text) : STR(""), type = content_type_of(r, &r->response.content_type_origin);
    response_send_text(r, op->status, type, body);
    o->answer = PHASE_DONE;
}

static void run_ops(struct request *r, const struct op_list *ops, struct outcome *o)
{
    for (size_t i = 0; i < ops->all.n && !o->answer && !o->is_broken; i++) {
        const struct op *op = &ops->all.items[i];
        switch (op->kind) {
        case OP_SET: {
            struct str value = text_value(r, op->text);
            trace_step(r, op->directive, STR(""), value, "set");
            if (op->variable->set)
                op->variable->set(r, value);
            else
                r->values[op->index] = (struct value){.s = value, .is_valid = true, .is_assigned = true};
            break;
        }
        case OP_RETURN: do_return(r, op, o); break;
        case OP_REWRITE: do_rewrite(r, op, o); break;
        case OP_BREAK:
            if (o->is_uri_changed)
                r->has_location_prefix = false;
            o->is_broken = true;
            o->is_uri_changed = false;
            break;
        case OP_IF:
            if (!condition_holds(r, op))
                break;
            trace_step(r, op->directive, STR(""), STR(""), "the condition holds");
            r->loc_conf = op->block->loc;
            run_ops(r, op->ops, o);
            break;
        }
    }
}

static int run(struct request *r, void **loc_conf, enum phase again)
{
    const struct rewrite_loc *loc = loc_conf[rewrite_module.index];
    struct outcome o = {0};

    if (loc->ops.all.n == 0)
        return PHASE_NEXT;
    run_ops(r, &loc->ops, &o);
    if (o.answer)
        return o.answer;
    if (o.is_uri_changed && again == PHASE_CHOOSE_LOCATION) {
        if (--r->uri_changes == 0) {
            log_request(r, LOG_ERR_, 0, "rewrite or internal redirection cycle while processing \"%.*s\"", STR_ARG(r->uri));
            return 500;
        }
        r->loc_conf = r->server->root->loc;
        r->phase = PHASE_CHOOSE_LOCATION;
        return PHASE_GOTO;
    }
    return PHASE_NEXT;
}

int server_rewrite_phase(struct request *r)
{
    return run(r, r->server->root->loc, PHASE_SERVER_REWRITE);
}

int rewrite_phase(struct request *r)
{
    if (r->location == r->server->root)
        return PHASE_NEXT;
    return run(r, r->loc_conf, PHASE_CHOOSE_LOCATION); /* those of limit_except, where it applies: there are none */
}

#define REWRITE_CONTEXTS (IN_SERVER | IN_LOCATION | IN_SERVER_IF | IN_LOCATION_IF)
static const struct directive_row rows[] = {
    {"set", REWRITE_CONTEXTS, 2, 2, false, SCOPE_LOC, 0, parse_set, NULL, "Sets a variable.", DO_NOT_INHERIT, NULL},
    {"break", REWRITE_CONTEXTS, 0, 0, false, SCOPE_LOC, 0, parse_break, NULL, "Ends the rewriting.", DO_NOT_INHERIT, NULL},
    {"return", REWRITE_CONTEXTS, 1, 2, false, SCOPE_LOC, 0, parse_return, NULL, "Answers at once.", DO_NOT_INHERIT, NULL},
    {"rewrite", REWRITE_CONTEXTS, 2, 3, false, SCOPE_LOC, 0, parse_rewrite, NULL, "Changes the URI.", DO_NOT_INHERIT, NULL},
    {"if", IN_SERVER | IN_LOCATION, 1, ANY_NUMBER, true, SCOPE_LOC, 0, parse_if, NULL, "What applies where a condition holds.", DO_NOT_INHERIT, NULL},
    {"rewrite_log", IN_ANY_HTTP | IN_SERVER_IF | IN_LOCATION_IF, 1, 1, false, SCOPE_LOC, offsetof(struct rewrite_loc, rewrite_log), conf_parse_flag, "off", "Logs rewriting.", INHERIT, NULL},
    {"uninitialized_variable_warn", IN_ANY_HTTP | IN_SERVER_IF | IN_LOCATION_IF, 1, 1, false, SCOPE_LOC, offsetof(struct rewrite_loc, uninitialized_variable_warn), conf_parse_flag, "on", "Logs variables that were never set.", INHERIT, NULL},
};

struct module rewrite_module = {
    .name = "ngx_http_rewrite_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .loc_bytes = sizeof(struct rewrite_loc),
};
