/*
 * Reading configuration files into a tree: see tree.h.
 *
 * The lexer is nginx's: tokens end at white space, `;` or `{`; a token that starts with a quote ends with
 * it; a backslash keeps the next character from ending the token, and before a quote, a backslash, t, r
 * or n it is itself replaced; `${` does not open a block; `#` starts a comment only where a token could start.
 *
 * One addition: a comment that starts with `#glass:` is read as if those characters were not there, so that
 * directives of this proxy can stand in a file that nginx reads too.
 */
#include "conf/tree.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/array.h"
#include "util/buf.h"

enum { MAX_DEPTH = 64, MAX_ERRORS = 100 };

static const struct str own_comment = {"#glass:", 7};

struct lexer {
    struct conf_tree *tree;
    const struct conf_source *source;
    const char *at, *end;
    unsigned line;
    const char *line_start;
    unsigned include_depth;
};

typedef ARRAY_OF(struct str) token_array;

enum statement { STATEMENT_SIMPLE, STATEMENT_BLOCK, STATEMENT_BLOCK_END, STATEMENT_END_OF_FILE, STATEMENT_ERROR };

static void read_source(struct conf_tree *t, struct directive *parent,
                        const struct conf_source *source, unsigned include_depth);

/* --- errors --- */

static struct str source_line(const struct conf_source *s, unsigned line)
{
    const char *p = s->text.p, *end = p + s->text.n, *eol;

    for (unsigned i = 1; i < line; i++) {
        p = memchr(p, '\n', (size_t)(end - p));
        if (!p)
            return STR("");
        p++;
    }
    eol = memchr(p, '\n', (size_t)(end - p));
    return str_from(p, eol ? eol : end);
}

/* Errors stand in the order in which nginx, which reads and understands at once, would come upon them. */
static void insert_error(struct conf_tree *t, struct conf_error *e)
{
    struct conf_error **at = &t->errors;

    while (*at && (*at)->position <= e->position)
        at = &(*at)->next;
    e->next = *at;
    *at = t->newest_error = e;
}

static void add_error(struct conf_tree *t, struct str message, unsigned position, const struct conf_source *source, unsigned line,
                      unsigned column)
{
    struct conf_error *e;

    if (t->n_errors++ >= MAX_ERRORS)
        return;
    e = arena_zalloc(t->arena, sizeof *e);
    e->message = message;
    e->position = position;
    if (source && line) {
        struct buf b = {0};
        struct str text = source_line(source, line);
        if (source->is_file)
            buf_printf(&b, " in %.*s:%u", STR_ARG(source->path), line);
        else
            buf_printf(&b, " in %.*s", STR_ARG(source->path));
        e->message = arena_cat(t->arena, message, buf_str(&b));
        buf_consume(&b, buf_len(&b));
        if (column && text.n && text.n < 400) {
            buf_printf(&b, "%6u | %.*s\n       | ", line, STR_ARG(text));
            for (unsigned i = 1; i < column && i <= text.n; i++)
                buf_add(&b, text.p[i - 1] == '\t' ? "\t" : " ", 1);
            buf_addz(&b, "^");
            e->excerpt = arena_str(t->arena, buf_str(&b));
        }
        buf_free(&b);
    }
    insert_error(t, e);
}

void conf_fail(struct conf_tree *t, const struct directive *d, const char *format, ...)
{
    va_list args;
    struct str message;
    unsigned position = t->position;

    if (d && d->lacks_something && 2 * d->ordinal < position) /* what it holds was not read to the end */
        return;
    if (d && 2 * d->ordinal > position)
        position = 2 * d->ordinal;
    va_start(args, format);
    message = arena_vprintf(t->arena, format, args);
    va_end(args);
    if (d && d->source)
        add_error(t, message, position, d->source, d->line, d->column);
    else
        add_error(t, message, position, NULL, 0, 0);
}

/* Something between BLOCK's braces could not be read. */
static void lacks_something(struct conf_tree *t, struct directive *block)
{
    t->root.lacks_something = true;
    for (; block; block = block->parent)
        block->lacks_something = true;
}

static void lex_fail(struct lexer *x, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void lex_fail(struct lexer *x, const char *format, ...)
{
    va_list args;
    struct str message;

    va_start(args, format);
    message = arena_vprintf(x->tree->arena, format, args);
    va_end(args);
    add_error(x->tree, message, 2 * x->tree->n_directives + 1, x->source, x->line, (unsigned)(x->at - x->line_start) + 1);
}

/* --- tokens --- */

static void newline(struct lexer *x, const char *after)
{
    x->line++;
    x->line_start = after;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static struct str unescape(struct arena *a, const char *p, const char *end)
{
    char *out = arena_alloc(a, (size_t)(end - p) + 1), *o = out;

    while (p < end) {
        if (*p == '\\' && p + 1 < end) {
            switch (p[1]) {
            case '"':
            case '\'':
            case '\\':
                p++;
                break;
            case 't':
                *o++ = '\t', p += 2;
                continue;
            case 'r':
                *o++ = '\r', p += 2;
                continue;
            case 'n':
                *o++ = '\n', p += 2;
                continue;
            }
        }
        *o++ = *p++;
    }
    *o = '\0';
    return str_from(out, o);
}

/* Skips white space and comments. */
static void skip_blank(struct lexer *x)
{
    while (x->at < x->end) {
        if (*x->at == '\n') {
            newline(x, x->at + 1);
        } else if (*x->at == '#') {
            if (str_has_prefix(str_from(x->at, x->end), own_comment)) {
                x->at += own_comment.n;
                continue;
            }
            while (x->at < x->end && *x->at != '\n')
                x->at++;
            continue;
        } else if (!is_blank(*x->at)) {
            return;
        }
        x->at++;
    }
}

/* A quoted token; AT is behind the opening quote. False at the end of the file. */
static bool read_quoted(struct lexer *x, char quote, struct str *token)
{
    const char *start = x->at;

    for (; x->at < x->end; x->at++) {
        if (*x->at == '\n')
            newline(x, x->at + 1);
        if (*x->at == '\\' && x->at + 1 < x->end) {
            x->at++;
            if (*x->at == '\n')
                newline(x, x->at + 1);
        } else if (*x->at == quote) {
            *token = unescape(x->tree->arena, start, x->at++);
            return true;
        }
    }
    return false;
}

static bool read_bare(struct lexer *x, struct str *token)
{
    const char *start = x->at;

    for (; x->at < x->end; x->at++) {
        char c = *x->at;
        if (c == '\\' && x->at + 1 < x->end) {
            x->at++;
            if (*x->at == '\n')
                newline(x, x->at + 1);
        } else if (c == '{' && x->at > start && x->at[-1] == '$') {
            continue;
        } else if (is_blank(c) || c == ';' || c == '{') {
            *token = unescape(x->tree->arena, start, x->at);
            return true;
        }
    }
    return false;
}

static enum statement unexpected_end(struct lexer *x, bool is_in_statement)
{
    lex_fail(x, "unexpected end of file, expecting %s", is_in_statement ? "\";\" or \"}\"" : "\"}\"");
    return STATEMENT_ERROR;
}

/* Reads up to and including `;`, `{` or `}`. */
static enum statement read_statement(struct lexer *x, token_array *tokens, unsigned *line, unsigned *column)
{
    bool needs_space = false;

    tokens->n = 0;
    for (;;) {
        const char *before = x->at;
        skip_blank(x);
        if (x->at >= x->end) {
            if (tokens->n)
                return unexpected_end(x, true);
            return STATEMENT_END_OF_FILE;
        }
        if (needs_space && x->at == before && *x->at != ';' && *x->at != '{') {
            if (*x->at == ')') {
                needs_space = false;
            } else {
                lex_fail(x, "unexpected \"%c\"", *x->at);
                return STATEMENT_ERROR;
            }
        }
        switch (*x->at) {
        case ';':
        case '{':
            if (tokens->n == 0) {
                lex_fail(x, "unexpected \"%c\"", *x->at);
                return STATEMENT_ERROR;
            }
            return *x->at++ == '{' ? STATEMENT_BLOCK : STATEMENT_SIMPLE;
        case '}':
            if (tokens->n) {
                lex_fail(x, "unexpected \"}\"");
                return STATEMENT_ERROR;
            }
            x->at++;
            return STATEMENT_BLOCK_END;
        }
        if (tokens->n == 0) {
            *line = x->line;
            *column = (unsigned)(x->at - x->line_start) + 1;
        }
        struct str *token = ARRAY_PUSH(tokens, x->tree->arena);
        bool is_complete;
        if (*x->at == '"' || *x->at == '\'') {
            char quote = *x->at++;
            is_complete = read_quoted(x, quote, token);
            needs_space = true;
        } else {
            is_complete = read_bare(x, token);
            needs_space = false;
        }
        if (!is_complete)
            return unexpected_end(x, true);
    }
}

/* --- the tree --- */

static struct directive *add_directive(struct lexer *x, struct directive *parent, const token_array *tokens,
                                       unsigned line, unsigned column)
{
    struct arena *a = x->tree->arena;
    struct directive *d = arena_zalloc(a, sizeof *d);

    d->args = arena_alloc(a, tokens->n * sizeof *d->args);
    memcpy(d->args, tokens->items, tokens->n * sizeof *d->args);
    d->n_args = (unsigned)tokens->n;
    d->source = x->source;
    d->line = line;
    d->column = column;
    d->parent = parent;
    d->ordinal = ++x->tree->n_directives;
    if (parent->last_child)
        parent->last_child->next = d;
    else
        parent->first_child = d;
    parent->last_child = d;
    return d;
}

static struct conf_source *load_file(struct conf_tree *t, const struct directive *from, struct str path)
{
    struct conf_source *s;
    struct stat st;
    const char *failed = NULL;
    char *text = NULL;
    ssize_t n = 0;
    int fd, err;

    for (s = t->sources; s; s = s->next)
        if (s->is_file && str_eq(s->path, path))
            return s;
    fd = open(path.p, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        err = errno;
        conf_fail(t, from, "open() \"%s\" failed (%d: %s)", path.p, err, strerror(err));
        return NULL;
    }
    if (fstat(fd, &st) < 0) {
        failed = "fstat()";
    } else {
        text = arena_alloc(t->arena, (size_t)st.st_size + 1);
        n = read(fd, text, (size_t)st.st_size);
        if (n < 0)
            failed = "read()";
    }
    err = errno;
    close(fd);
    if (failed) {
        conf_fail(t, from, "%s \"%s\" failed (%d: %s)", failed, path.p, err, strerror(err));
        return NULL;
    }
    s = arena_zalloc(t->arena, sizeof *s);
    s->path = path;
    s->text = (struct str){text, (size_t)n};
    s->is_file = true;
    if (t->last_source)
        t->last_source->next = s;
    else
        t->sources = s;
    t->last_source = s;
    return s;
}

static void include(struct lexer *x, struct directive *parent, struct directive *d)
{
    struct conf_tree *t = x->tree;
    struct str path;
    glob_t found;

    if (d->n_args != 2) {
        conf_fail(t, d, "invalid number of arguments in \"include\" directive");
        lacks_something(t, parent);
        return;
    }
    if (x->include_depth >= MAX_DEPTH) {
        conf_fail(t, d, "\"include\" is nested too deeply, does \"%.*s\" include itself?", STR_ARG(d->args[1]));
        lacks_something(t, parent);
        return;
    }
    path = conf_full_path(t, t->conf_prefix, d->args[1]);
    if (strpbrk(path.p, "*?[") == NULL) {
        struct conf_source *s = load_file(t, d, path);
        if (s)
            read_source(t, parent, s, x->include_depth + 1);
        else
            lacks_something(t, parent);
        return;
    }
    if (glob(path.p, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            struct str one = arena_str(t->arena, str_of(found.gl_pathv[i]));
            struct conf_source *s = load_file(t, d, one);
            if (s)
                read_source(t, parent, s, x->include_depth + 1);
            else
                lacks_something(t, parent);
        }
        globfree(&found);
    }
}

static void read_block(struct lexer *x, struct directive *parent, unsigned depth)
{
    token_array tokens = {0};
    unsigned line = 0, column = 0;

    for (;;) {
        struct directive *d;
        enum statement s = read_statement(x, &tokens, &line, &column);

        switch (s) {
        case STATEMENT_ERROR:
            lacks_something(x->tree, parent);
            x->at = x->end; /* what follows would be guesses */
            return;
        case STATEMENT_END_OF_FILE:
            if (depth && !parent->lacks_something) {
                unexpected_end(x, false);
                lacks_something(x->tree, parent);
            }
            return;
        case STATEMENT_BLOCK_END:
            if (depth == 0) {
                x->at--;
                lex_fail(x, "unexpected \"}\"");
                lacks_something(x->tree, parent);
                x->at = x->end;
            }
            return;
        case STATEMENT_SIMPLE:
            d = add_directive(x, parent, &tokens, line, column);
            if (str_eq(d->args[0], STR("include")))
                include(x, parent, d);
            break;
        case STATEMENT_BLOCK:
            d = add_directive(x, parent, &tokens, line, column);
            d->is_block = true;
            if (depth >= MAX_DEPTH) {
                conf_fail(x->tree, d, "blocks are nested too deeply");
                lacks_something(x->tree, d);
                x->at = x->end;
                return;
            }
            read_block(x, d, depth + 1);
            break;
        }
    }
}

static void read_source(struct conf_tree *t, struct directive *parent,
                        const struct conf_source *source, unsigned include_depth)
{
    struct lexer x = {t, source, source->text.p, source->text.p + source->text.n, 1, source->text.p, include_depth};

    read_block(&x, parent, 0);
}

struct str conf_full_path(struct conf_tree *t, struct str prefix, struct str path)
{
    if (path.n && path.p[0] == '/')
        return arena_str(t->arena, path);
    return arena_cat(t->arena, prefix, path);
}

struct conf_tree *conf_tree_new(struct arena *arena, struct str prefix, struct str conf_file)
{
    struct conf_tree *t = arena_zalloc(arena, sizeof *t);
    size_t n;

    t->arena = arena;
    t->prefix = arena_str(arena, prefix);
    t->conf_file = conf_full_path(t, t->prefix, conf_file);
    for (n = t->conf_file.n; n && t->conf_file.p[n - 1] != '/'; n--)
        ;
    t->conf_prefix = arena_str(arena, (struct str){t->conf_file.p, n});
    t->root.is_block = true;
    return t;
}

void conf_tree_read(struct conf_tree *t)
{
    conf_tree_read_file(t, t->conf_file);
}

void conf_tree_read_file(struct conf_tree *t, struct str file)
{
    struct conf_source *s = load_file(t, NULL, file);

    if (!s) {
        t->is_missing = true;
        return;
    }
    s->path = t->conf_file;
    read_source(t, &t->root, s, 0);
}

void conf_tree_read_text(struct conf_tree *t, struct str text, struct str called)
{
    struct conf_source *s = arena_zalloc(t->arena, sizeof *s);

    s->path = called;
    s->text = arena_str(t->arena, text);
    read_source(t, &t->root, s, 0);
}

struct str directive_place(struct arena *a, const struct directive *d)
{
    if (!d || !d->source)
        return STR("built in");
    return arena_printf(a, "%.*s:%u", STR_ARG(d->source->path), d->line);
}

struct str directive_text(struct arena *a, const struct directive *d)
{
    struct buf b = {0};
    struct str s;

    for (unsigned i = 0; i < d->n_args; i++) {
        bool needs_quotes = d->args[i].n == 0;
        for (size_t k = 0; k < d->args[i].n; k++)
            needs_quotes |= is_blank(d->args[i].p[k]) || d->args[i].p[k] == ';';
        if (i)
            buf_addz(&b, " ");
        if (needs_quotes)
            buf_addz(&b, "\"");
        buf_adds(&b, d->args[i]);
        if (needs_quotes)
            buf_addz(&b, "\"");
    }
    buf_addz(&b, d->is_block ? " { … }" : ";");
    s = arena_str(a, buf_str(&b));
    buf_free(&b);
    return s;
}
