/*
 * Variables, and texts made of them.
 *
 * A variable is a row: a name, a function that yields its value for a request, flags. Modules declare rows;
 * `set`, `map`, `geo`, `split_clients` and named captures add more while the configuration is read. Each one
 * that is used gets an index, and a request keeps the values it has computed by index.
 *
 * Families such as $http_NAME are prefix rows: the rest of the name is given to the function.
 */
#ifndef GLASSPROXY_VARS_VARS_H
#define GLASSPROXY_VARS_VARS_H

#include "conf/conf.h"
#include "util/array.h"
#include "util/regex.h"

struct request;

enum variable_flags {
    VAR_CHANGEABLE = 1,    /* `set` and `map` may define it anew */
    VAR_NO_CACHE = 2,      /* computed at every use */
    VAR_PREFIX = 4,        /* a family: the name is a prefix */
};

struct value {
    struct str s;
    bool is_valid;     /* computed */
    bool is_not_found; /* there is none: empty in texts, "-" in logs */
    bool is_assigned; /* by `set` or a capture: never computed again */
};

/* Yields the value for R. REST is what follows a family's prefix; DATA the row's. */
typedef void variable_get(struct request *r, struct value *v, struct str rest, void *data);
typedef void variable_set(struct request *r, struct str value);

struct variable_row {
    const char *name;
    variable_get *get;
    variable_set *set;
    void *data;
    unsigned flags;
};

struct variable {
    struct str name, rest;
    variable_get *get; /* NULL until defined */
    variable_set *set;
    void *data;
    unsigned flags;
    int index;
    const struct directive *first_use, *definition;
};

/* Adds module rows; the array ends with a NULL name. */
void variables_declare(struct conf *c, const struct variable_row *rows);

/* Whether C may stand in the name of a variable. */
bool variable_is_name_char(char c);

/* The module of nginx that has a variable which this proxy has not; NULL if nginx has none of that name. */
const char *variable_known_elsewhere(struct str name);

/* Defines NAME anew (`set`, `map`, …). NULL with an error if it is a built-in one that is not changeable. */
struct variable *variable_define(struct conf *c, const struct directive *d, struct str name);

/* The index of NAME for use at D; the name need not be defined yet, variables_ready() checks that. */
int variable_index(struct conf *c, const struct directive *d, struct str name);

/* Binds every used name; errors are nginx's `unknown "x" variable`. */
int variables_ready(struct conf *c);
unsigned variables_count(const struct conf *c);
const struct variable *variable_at(const struct conf *c, int index);

/* The value for R: cached unless the variable forbids that. */
const struct value *variable_value(struct request *r, int index);
/* What was computed from R is computed anew: R was changed. What `set` gave stays. */
void variables_forget(struct request *r);
/* By name, for logs and tools; not found if there is no such variable. */
struct value variable_by_name(struct request *r, struct str name);

/* Whether REST of $http_REST and its like means the field NAME: underscores stand for dashes. */
bool variable_names_field(struct str rest, struct str name);

/* A text with $variables and $1 captures in it. */
struct text;

/* Compiles RAW. NULL with an error added. */
struct text *text_compile(struct conf *c, const struct directive *d, struct str raw);
/* For rows: the setting's ptr is the compiled argument. */
conf_parser conf_parse_text;
bool text_is_constant(const struct text *t);
struct str text_raw(const struct text *t);
bool text_uses_captures(const struct text *t);
/* Evaluates in R's arena. */
struct str text_value(struct request *r, const struct text *t);
/* As text_value, but nginx's redirect and rewrite escaping is applied to what captures and arguments yield. */
enum text_escape { ESCAPE_NOTHING, ESCAPE_CAPTURES_URI, ESCAPE_CAPTURES_ARGS };
/* ARGS_AT (may be NULL): where the "?" of the text as written ended up; -1 if it has none. */
struct str text_value_escaped(struct request *r, const struct text *t, enum text_escape how, long *args_at);

/* A regular expression whose named groups become variables. */
struct conf_regex {
    struct regex *re;
    unsigned n_names;
    struct {
        unsigned group;
        int index;
    } names[MAX_CAPTURES];
};
struct conf_regex *conf_regex_compile(struct conf *c, const struct directive *d, struct str pattern,
                                      enum regex_case how);
/* Matches S (kept as the request's captures) and sets the named variables. */
bool conf_regex_match(struct request *r, const struct conf_regex *re, struct str s);

/* Whether S mentions a variable. */
unsigned text_count_variables(struct str s);

#endif
