/*
 * What directives mean: tables of rows, and the settings they fill.
 *
 * A module declares its directives as rows beside the code that implements them. conf_load() walks the tree,
 * finds each directive's row, checks where it stands and its arguments, and lets the row's parser fill a
 * setting. Settings live in three kinds of structures, as in nginx: one per http block (MAIN), one per server
 * (SRV), one per location (LOC; http and server blocks have one too, to inherit from). After a block is read,
 * a setting that the level does not define is copied from the level around it, the default first of all: an
 * array directive is a single setting, which is why one proxy_set_header in a location hides all of the
 * server's.
 */
#ifndef GLASSPROXY_CONF_CONF_H
#define GLASSPROXY_CONF_CONF_H

#include <stdint.h>

#include "conf/tree.h"

enum conf_context {
    IN_MAIN = 1 << 0,
    IN_EVENTS = 1 << 1,
    IN_HTTP = 1 << 2,
    IN_SERVER = 1 << 3,
    IN_LOCATION = 1 << 4,
    IN_UPSTREAM = 1 << 5,
    IN_SERVER_IF = 1 << 6,
    IN_LOCATION_IF = 1 << 7,
    IN_LIMIT_EXCEPT = 1 << 8,
    IN_ANY_HTTP = IN_HTTP | IN_SERVER | IN_LOCATION,
};

/* Which structure a row's setting lives in. */
enum conf_scope { SCOPE_CORE, SCOPE_MAIN, SCOPE_SRV, SCOPE_LOC };

/* Whether a level that does not define a setting takes it from the level around it. */
enum conf_merge { INHERIT, DO_NOT_INHERIT };

struct setting {
    const struct directive *origin; /* NULL: the default */
    bool is_set;
    union {
        long num; /* flags, numbers, sizes in bytes, times in milliseconds */
        struct str str;
        void *ptr;
    };
};

struct conf;
struct directive_row;

/* Fills a setting from D; on error adds it with conf_fail() and returns -1. */
typedef int conf_parser(struct conf *c, struct directive *d, const struct directive_row *row, void *structure);

struct conf_enum {
    const char *name;
    long value;
};

enum { ANY_NUMBER = 255 };

struct directive_row {
    const char *name;
    unsigned contexts;
    unsigned char min_args, max_args; /* without the name */
    bool is_block;
    enum conf_scope scope;
    size_t offset;
    conf_parser *parse;
    const char *default_text; /* arguments as they would be written; NULL: none */
    const char *doc;          /* one line */
    enum conf_merge merge;
    const void *extra; /* for the parser: struct conf_enum table, … */
};

struct module {
    const char *name;
    const struct directive_row *rows;
    size_t n_rows;
    size_t core_bytes, main_bytes, srv_bytes, loc_bytes;
    /* After the settings of CHILD were merged from PARENT (both this module's structures). */
    int (*merged_srv)(struct conf *c, void *parent, void *child);
    int (*merged_loc)(struct conf *c, void *parent, void *child);
    /* After the whole http block was read and merged. */
    int (*ready)(struct conf *c);
    /* Before anything is read: variables and the like. */
    int (*prepare)(struct conf *c);
    /* After everything was read. */
    int (*complete)(struct conf *c);
    int index; /* set by conf_load() */
};

/* The structures in force where a directive stands. */
struct conf_level {
    void **main, **srv, **loc; /* by module index */
};

/* One loaded configuration. */
struct conf {
    struct arena *arena;
    struct conf_tree *tree;
    struct conf_level level; /* while reading */
    struct conf_level http;  /* of the http block; http.main is NULL without one */
    const struct directive *http_directive;
    struct module **modules;
    unsigned n_modules;
    void **core; /* of the directives outside http, by module index */
    unsigned refs;
    bool is_retired; /* a newer one serves, or none does: nothing is kept for later */
    void *variables; /* vars/ */
};

/* Reads T's meaning. Errors are in T; the result is usable only if there are none. */
struct conf *conf_load(struct conf_tree *t, struct module **modules);

/* Walks the children of BLOCK as directives of CONTEXT. */
void conf_walk(struct conf *c, struct directive *block, enum conf_context context);

/* New structures for a server or a location at the present level. */
void **conf_new_structures(struct conf *c, enum conf_scope scope);

/* Takes what CHILD does not set from PARENT and calls the modules' merged_*(). */
void conf_merge(struct conf *c, enum conf_scope scope, void **parent, void **child);

/* Fills defaults into structures nobody is around. */
void conf_fill_defaults(struct conf *c, enum conf_scope scope, void **structures);

/* The row of a directive in a context, or NULL. */
const struct directive_row *conf_find_row(struct conf *c, struct str name, unsigned context);

/* The module of nginx that has a directive which this proxy has not; NULL if nginx has none of that name. */
const char *conf_known_elsewhere(struct str name);

/* The row's setting for a directive that may stand once at a level; NULL, with nginx's error, if it stood there before. */
struct setting *conf_claim(struct conf *c, struct directive *d, const struct directive_row *row, void *structure);
/* The list (BYTES, all zero when new) of a directive that may stand several times at a level. */
void *conf_claim_list(struct conf *c, struct directive *d, struct setting *s, size_t bytes);

/* Parsers for rows. "Is duplicate" is an error in all of them. */
conf_parser conf_parse_flag, conf_parse_num, conf_parse_size, conf_parse_offset, conf_parse_msec, conf_parse_sec,
    conf_parse_str, conf_parse_enum, conf_parse_bitmask, conf_parse_path;
/* Accepts the directive; its setting keeps the arguments as they are (ptr: struct directive). */
conf_parser conf_parse_directive;

/* Number readers: -1 if the text is none. Sizes take k, m (and g for offsets); times ms, s, m, h, d, w, M, y. */
long conf_read_size(struct str s);
long conf_read_offset(struct str s);
long conf_read_msec(struct str s);
long conf_read_sec(struct str s);

/* Calls SEEN for each array directive of a level around BLOCK that is not inherited there because NEAREST, at BLOCK or at a
 * level between, is of the same name. */
typedef void conf_lost_seen(void *data, const struct directive *lost, const struct directive *nearest);
void conf_each_lost(const struct directive *block, conf_lost_seen *seen, void *data);

static inline struct setting *conf_setting(const struct directive_row *row, void *structure)
{
    return (struct setting *)(void *)((char *)structure + row->offset);
}

#endif
