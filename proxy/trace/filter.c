/*
 * The filter language: see filter.h. A recursive descent parser makes a tree of terms; each name is a row of a table.
 */
#include "trace/filter.h"

#include <arpa/inet.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>

#include "trace/trace.h"
#include "upstream/upstream.h"
#include "util/regex.h"

enum { MAX_DEPTH = 64, MAX_NODES = 1000 };

enum filter_kind { FILTER_AND, FILTER_OR, FILTER_NOT, FILTER_TERM };
enum comparison { IS_THERE, EQUAL, NOT_EQUAL, MATCHES, MATCHES_NOT, LESS, LESS_EQUAL, MORE, MORE_EQUAL, CONTAINS };

struct scratch {
    char text[300];
};

struct filter_name {
    const char *name;
    bool is_family, is_number; /* a family takes a field's name behind it */
    struct str (*text)(struct request *r, struct str rest, struct scratch *s);
    long long (*number)(struct request *r); /* -1: not known */
    const char *does;
};

struct filter {
    enum filter_kind kind;
    struct filter *left, *right;
    const struct filter_name *name;
    struct str rest, value;
    enum comparison comparison;
    long long low, high; /* of numbers */
    struct regex *regex;
};

/* --- what a request has --- */

static struct str get_method(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return r->original_method;
}

static struct str get_host(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return r->host;
}

static struct str get_path(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return r->original_uri;
}

static struct str get_uri(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return r->unparsed_uri;
}

static struct str get_args(struct request *r, struct str rest, struct scratch *s)
{
    long at = str_chr(r->unparsed_uri, '?');

    (void)rest, (void)s;
    return at < 0 ? STR("") : str_skip(r->unparsed_uri, (size_t)at + 1);
}

static struct str get_location(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return trace_location_text(r);
}

static struct str get_server(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return r->server ? r->server->name : STR("");
}

static struct str get_client(struct request *r, struct str rest, struct scratch *s)
{
    const char *text = s->text;

    (void)rest;
    if (!r->client)
        return STR("");
    if (r->client->u.any.sa_family == AF_UNIX)
        return STR("unix:");
    if (r->client->u.any.sa_family == AF_INET)
        text = inet_ntop(AF_INET, &r->client->u.in.sin_addr, s->text, sizeof s->text);
    else
        text = inet_ntop(AF_INET6, &r->client->u.in6.sin6_addr, s->text, sizeof s->text);
    return text ? str_of(text) : STR("");
}

static struct str get_upstream(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return r->attempts && r->attempts->all.n ? r->attempts->all.items[r->attempts->all.n - 1].peer : STR("");
}

static struct str get_group(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return r->upstream && r->upstream->group ? r->upstream->group->name : STR("");
}

static struct str get_protocol(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest;
    if (r->version == 9)
        return STR("HTTP/0.9");
    if (!r->version)
        return STR("");
    snprintf(s->text, sizeof s->text, "HTTP/%u.%u", r->version / 1000, r->version % 1000);
    return str_of(s->text);
}

static struct str get_phase(struct request *r, struct str rest, struct scratch *s)
{
    (void)rest, (void)s;
    return str_of(phase_table[r->phase < PHASE_COUNT ? r->phase : PHASE_LOG].name);
}

static struct str get_header(struct request *r, struct str rest, struct scratch *s)
{
    const struct field *f = field_find(&r->fields, rest);

    (void)s;
    return f ? f->value : (struct str){NULL, 0};
}

static struct str get_response(struct request *r, struct str rest, struct scratch *s)
{
    const struct field *f = field_find(&r->response.fields, rest);

    (void)s;
    if (!f && str_ieq(rest, STR("content-type")) && r->response.content_type.n)
        return r->response.content_type;
    return f ? f->value : (struct str){NULL, 0};
}

static long long get_status(struct request *r)
{
    return r->response.status ? (long long)r->response.status : r->upstream && r->upstream->status.code ? (long long)r->upstream->status.code : -1;
}

static long long get_duration(struct request *r)
{
    return r->finished_us ? (long long)(r->finished_us / 1000) : -1;
}

static long long get_bytes(struct request *r)
{
    return r->finished_us ? (long long)r->bytes_sent : -1;
}

static const struct filter_name names[] = {
    {"method", false, false, get_method, NULL, "as the client sent it"},
    {"host", false, false, get_host, NULL, "lower-cased, without port"},
    {"path", false, false, get_path, NULL, "normalised, without arguments"},
    {"uri", false, false, get_uri, NULL, "as received"},
    {"args", false, false, get_args, NULL, "behind the ?"},
    {"server", false, false, get_server, NULL, "the chosen server's first name"},
    {"location", false, false, get_location, NULL, "the chosen location with its modifier"},
    {"client", false, false, get_client, NULL, "its address"},
    {"upstream", false, false, get_upstream, NULL, "the last peer asked"},
    {"group", false, false, get_group, NULL, "the upstream block"},
    {"protocol", false, false, get_protocol, NULL, "HTTP/1.1"},
    {"phase", false, false, get_phase, NULL, "where the request is, or ended"},
    {"header.", true, false, get_header, NULL, "a field of the request"},
    {"response.", true, false, get_response, NULL, "a field of the response"},
    {"status", false, true, NULL, get_status, "of the response"},
    {"duration", false, true, NULL, get_duration, "milliseconds"},
    {"bytes", false, true, NULL, get_bytes, "sent to the client"},
};

/* --- reading --- */

struct reader {
    struct arena *arena;
    struct str text;
    size_t at;
    unsigned depth, n_nodes;
    struct filter_error *error;
};

__attribute__((format(printf, 3, 4))) static struct filter *fail(struct reader *p, size_t at, const char *format, ...)
{
    va_list args;

    if (p->error->words[0])
        return NULL;
    p->error->column = (unsigned)at + 1;
    va_start(args, format);
    vsnprintf(p->error->words, sizeof p->error->words, format, args);
    va_end(args);
    return NULL;
}

static void skip_space(struct reader *p)
{
    while (p->at < p->text.n && (p->text.p[p->at] == ' ' || p->text.p[p->at] == '\t'))
        p->at++;
}

static bool is_name_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

static struct str word_at(struct reader *p)
{
    size_t end = p->at;

    while (end < p->text.n && is_name_byte(p->text.p[end]))
        end++;
    return (struct str){p->text.p + p->at, end - p->at};
}

static bool take_word(struct reader *p, const char *word)
{
    skip_space(p);
    if (!str_ieq(word_at(p), str_of(word)))
        return false;
    p->at += strlen(word);
    return true;
}

static struct filter *node(struct reader *p, enum filter_kind kind, struct filter *left, struct filter *right)
{
    struct filter *f;

    if (p->error->words[0] || (kind != FILTER_TERM && !left) || (right == NULL && (kind == FILTER_AND || kind == FILTER_OR)))
        return NULL;
    if (++p->n_nodes > MAX_NODES)
        return fail(p, p->at, "the filter has more than %d parts", MAX_NODES);
    f = arena_zalloc(p->arena, sizeof *f);
    f->kind = kind;
    f->left = left;
    f->right = right;
    return f;
}

static bool read_quoted(struct reader *p, struct str *out)
{
    char quote = p->text.p[p->at], *text = arena_alloc(p->arena, p->text.n + 1);
    size_t start = p->at++, n = 0;

    for (; p->at < p->text.n && p->text.p[p->at] != quote; p->at++) {
        if (p->text.p[p->at] == '\\' && p->at + 1 < p->text.n)
            p->at++;
        text[n++] = p->text.p[p->at];
    }
    if (p->at == p->text.n) {
        fail(p, start, "this quote is not closed");
        return false;
    }
    p->at++;
    text[n] = '\0';
    *out = (struct str){text, n};
    return true;
}

static bool read_value(struct reader *p, struct str *out)
{
    size_t start;
    unsigned open = 0;

    skip_space(p);
    start = p->at;
    if (p->at < p->text.n && (p->text.p[p->at] == '"' || p->text.p[p->at] == '\''))
        return read_quoted(p, out);
    for (; p->at < p->text.n && p->text.p[p->at] != ' ' && p->text.p[p->at] != '\t'; p->at++) { /* a regex may have its own parentheses */
        open += p->text.p[p->at] == '(';
        if (p->text.p[p->at] == ')' && open-- == 0)
            break;
    }
    if (p->at == start) {
        fail(p, start, "a value is expected here");
        return false;
    }
    *out = arena_str(p->arena, (struct str){p->text.p + start, p->at - start});
    return true;
}

static const struct filter_name *find_name(struct str word, struct str *rest)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct str name = str_of(names[i].name);
        if (names[i].is_family ? str_has_iprefix(word, name) && word.n > name.n : str_ieq(word, name)) {
            *rest = str_skip(word, name.n < word.n ? name.n : word.n);
            return &names[i];
        }
    }
    return NULL;
}

static struct filter *unknown_name(struct reader *p, size_t at, struct str word)
{
    const char *near = NULL;
    unsigned best = 3;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (str_distance(word, str_of(names[i].name)) < best) {
            best = str_distance(word, str_of(names[i].name));
            near = names[i].name;
        }
    if (near)
        return fail(p, at, "there is no \"%.*s\"; did you mean \"%s\"?", STR_ARG(word), near);
    return fail(p, at, "there is no \"%.*s\": method host path uri args server location client upstream group protocol phase header.NAME response.NAME "
                       "status duration bytes", (int)(word.n < 40 ? word.n : 40), word.p);
}

static bool read_operator(struct reader *p, enum comparison *out)
{
    static const struct {
        const char *text;
        enum comparison comparison;
    } operators[] = {{"==", EQUAL}, {"!=", NOT_EQUAL}, {"!~", MATCHES_NOT}, {"<=", LESS_EQUAL}, {">=", MORE_EQUAL}, {"=", EQUAL}, {"~", MATCHES}, {"<", LESS}, {">", MORE}};

    skip_space(p);
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (str_has_prefix(str_skip(p->text, p->at), str_of(operators[i].text))) {
            p->at += strlen(operators[i].text);
            *out = operators[i].comparison;
            return true;
        }
    return false;
}

static struct filter *read_number(struct reader *p, struct filter *f, size_t at)
{
    bool is_class = f->value.n == 3 && str_ieq(str_skip(f->value, 1), STR("xx")) && f->value.p[0] >= '1' && f->value.p[0] <= '5';

    if (f->comparison == MATCHES || f->comparison == MATCHES_NOT)
        return fail(p, at, "%s is a number: = != < > <= >= can be used", f->name->name);
    if (is_class && (f->comparison == EQUAL || f->comparison == NOT_EQUAL)) {
        f->low = (f->value.p[0] - '0') * 100;
        f->high = f->low + 99;
        return f;
    }
    f->low = f->high = str_number(f->value);
    if (f->low < 0)
        return fail(p, at, "%s needs a number%s, not \"%.*s\"", f->name->name, strcmp(f->name->name, "status") == 0 ? " or a class like 5xx" : "",
                    (int)(f->value.n < 40 ? f->value.n : 40), f->value.p);
    return f;
}

static struct filter *read_term(struct reader *p)
{
    size_t start = p->at, value_at;
    struct filter *f = node(p, FILTER_TERM, NULL, NULL);
    struct str word, error;

    if (!f)
        return NULL;
    if (p->text.p[p->at] == '"' || p->text.p[p->at] == '\'') {
        f->comparison = CONTAINS;
        return read_quoted(p, &f->value) ? f : NULL;
    }
    word = word_at(p);
    if (word.n == 0)
        return fail(p, start, "a name, a quoted text, \"not\" or \"(\" is expected here");
    f->name = find_name(word, &f->rest);
    if (!f->name)
        return unknown_name(p, start, word);
    f->rest = arena_str(p->arena, f->rest);
    p->at += word.n;
    if (!read_operator(p, &f->comparison)) {
        f->comparison = IS_THERE;
        return f;
    }
    bool ignores_case = (f->comparison == MATCHES || f->comparison == MATCHES_NOT) && p->at < p->text.n && p->text.p[p->at] == '*';
    p->at += ignores_case;
    skip_space(p);
    value_at = p->at;
    if (!read_value(p, &f->value))
        return NULL;
    if (f->name->is_number)
        return read_number(p, f, value_at);
    if (f->comparison >= LESS)
        return fail(p, start + word.n, "%s is text: = != ~ !~ can be used", f->name->name);
    if (f->comparison == MATCHES || f->comparison == MATCHES_NOT) {
        f->regex = regex_compile(p->arena, f->value, ignores_case ? CASE_INSENSITIVE : CASE_SENSITIVE, &error);
        if (!f->regex)
            return fail(p, value_at, "%.*s", STR_ARG(error));
    }
    return f;
}

static struct filter *read_or(struct reader *p);

static struct filter *read_factor(struct reader *p)
{
    struct filter *f;
    size_t start;

    skip_space(p);
    start = p->at;
    if (p->at == p->text.n)
        return fail(p, p->at, "the filter ends where a condition is expected");
    if (++p->depth > MAX_DEPTH)
        return fail(p, p->at, "the filter is nested more than %d deep", MAX_DEPTH);
    if (p->text.p[p->at] == '!' || str_ieq(word_at(p), STR("not"))) {
        p->at += p->text.p[p->at] == '!' ? 1 : 3;
        f = node(p, FILTER_NOT, read_factor(p), NULL);
    } else if (p->text.p[p->at] == '(') {
        p->at++;
        f = read_or(p);
        skip_space(p);
        if (f && (p->at == p->text.n || p->text.p[p->at] != ')'))
            return fail(p, p->at == p->text.n ? start : p->at, p->at == p->text.n ? "this parenthesis is not closed" : "\"and\", \"or\" or \")\" is expected here");
        p->at++;
    } else {
        f = read_term(p);
    }
    p->depth--;
    return f;
}

static struct filter *read_and(struct reader *p)
{
    struct filter *f = read_factor(p);

    for (;;) {
        skip_space(p);
        if (!f || p->at >= p->text.n || p->text.p[p->at] == ')' || str_ieq(word_at(p), STR("or")))
            return f;
        take_word(p, "and");
        f = node(p, FILTER_AND, f, read_factor(p));
    }
}

static struct filter *read_or(struct reader *p)
{
    struct filter *f = read_and(p);

    while (f && take_word(p, "or"))
        f = node(p, FILTER_OR, f, read_and(p));
    return f;
}

struct filter *filter_compile(struct arena *arena, struct str text, struct filter_error *error)
{
    struct reader p = {.arena = arena, .text = text, .error = error};
    struct filter *f;

    *error = (struct filter_error){0};
    skip_space(&p);
    if (p.at == text.n)
        return NULL;
    f = read_or(&p);
    if (f && p.at < text.n)
        return fail(&p, p.at, "this parenthesis was not opened");
    return error->words[0] ? NULL : f;
}

/* --- matching --- */

static bool globs(struct str pattern, struct str s, bool ignores_case)
{
    char z[4096];

    if (s.n >= sizeof z)
        s.n = sizeof z - 1;
    if (s.n)
        memcpy(z, s.p, s.n);
    z[s.n] = '\0';
    return fnmatch(pattern.p, z, ignores_case ? FNM_CASEFOLD : 0) == 0;
}

static bool compare_number(const struct filter *f, long long n)
{
    if (n < 0)
        return false;
    switch (f->comparison) {
    case IS_THERE: return true;
    case EQUAL: return n >= f->low && n <= f->high;
    case NOT_EQUAL: return n < f->low || n > f->high;
    case LESS: return n < f->low;
    case LESS_EQUAL: return n <= f->low;
    case MORE: return n > f->low;
    case MORE_EQUAL: return n >= f->low;
    default: return false;
    }
}

static bool contains(struct request *r, struct str words)
{
    struct str parts[] = {r->original_method, r->host, r->unparsed_uri.n ? r->unparsed_uri : r->request_line, trace_location_text(r), get_upstream(r, STR(""), NULL)};
    char status[16];

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (str_ifind(parts[i], words) >= 0)
            return true;
    snprintf(status, sizeof status, "%u", r->response.status);
    return str_eq(str_of(status), words);
}

static bool term_matches(const struct filter *f, struct request *r)
{
    struct scratch scratch;
    struct str s;

    if (f->comparison == CONTAINS)
        return contains(r, f->value);
    if (f->name->is_number)
        return compare_number(f, f->name->number(r));
    s = f->name->text(r, f->rest, &scratch);
    switch (f->comparison) {
    case IS_THERE: return f->name->is_family ? s.p != NULL : s.n > 0;
    case EQUAL: return s.p && globs(f->value, s, f->name->text == get_host || f->name->text == get_protocol);
    case NOT_EQUAL: return !s.p || !globs(f->value, s, f->name->text == get_host || f->name->text == get_protocol);
    case MATCHES: return s.p && regex_match(f->regex, s, NULL);
    case MATCHES_NOT: return !s.p || !regex_match(f->regex, s, NULL);
    default: return false;
    }
}

bool filter_matches(const struct filter *f, struct request *r)
{
    if (!f)
        return true;
    switch (f->kind) {
    case FILTER_AND: return filter_matches(f->left, r) && filter_matches(f->right, r);
    case FILTER_OR: return filter_matches(f->left, r) || filter_matches(f->right, r);
    case FILTER_NOT: return !filter_matches(f->left, r);
    case FILTER_TERM: return term_matches(f, r);
    }
    return false;
}
