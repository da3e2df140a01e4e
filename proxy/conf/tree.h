/*
 * The configuration as a tree that stays.
 *
 * conf_tree_read() turns files into a tree of directives: nginx's lexical grammar, `include` expanded in
 * place, nothing yet known of what a directive means. Every directive keeps its file, line and column for the
 * life of the configuration; origins (trace/), -T, explain and the diagnoses point into this tree.
 *
 * nginx documentation: "Beginner's Guide, Configuration File's Structure".
 */
#ifndef GLASSPROXY_CONF_TREE_H
#define GLASSPROXY_CONF_TREE_H

#include <stdbool.h>

#include "util/arena.h"

/* One file (or the -g text) that was read. */
struct conf_source {
    struct conf_source *next;
    struct str path; /* absolute; "command line" for -g */
    struct str text;
    bool is_file;
};

struct directive_row;

struct directive {
    struct str *args; /* args[0] is the name */
    unsigned n_args;
    bool is_block;
    const struct conf_source *source;
    unsigned line, column; /* of the name, from 1 */
    unsigned ordinal; /* in the order of reading, from 1 */
    bool lacks_something; /* an error stopped the reading of what it holds */
    struct directive *parent, *first_child, *last_child, *next;
    const struct directive_row *row; /* what it turned out to be; NULL for entries of map and the like */
};

struct conf_error {
    struct conf_error *next;
    struct str message; /* nginx's words, with "in FILE:LINE" */
    struct str excerpt; /* the source line and a caret under the place; "" if there is none */
    unsigned position; /* twice the ordinal of the last directive before it; odd: between two */
};

struct conf_tree {
    struct arena *arena;
    struct str prefix;      /* -p, with a trailing slash */
    struct str conf_prefix; /* directory of the main file, with a trailing slash */
    struct str conf_file;   /* the main file, absolute */
    struct conf_source *sources, *last_source;
    struct directive root;
    struct conf_error *errors, *newest_error;
    unsigned n_errors, n_directives;
    unsigned position; /* of the directive that is being understood: twice its ordinal */
    bool is_missing; /* the main file could not be read */
};

/* An empty tree whose memory is ARENA's. CONF_FILE is relative to PREFIX unless absolute. */
struct conf_tree *conf_tree_new(struct arena *arena, struct str prefix, struct str conf_file);

/* Reads the main file into the tree; errors are added to it. */
void conf_tree_read(struct conf_tree *t);

/* Reads FILE as though it were the main file. */
void conf_tree_read_file(struct conf_tree *t, struct str file);

/* Reads TEXT as the directives of -g, which come before those of the file. */
void conf_tree_read_text(struct conf_tree *t, struct str text, struct str called);

/* Adds an error at D (may be NULL). The message is followed by " in FILE:LINE". */
void conf_fail(struct conf_tree *t, const struct directive *d, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* PATH as nginx resolves it: relative to PREFIX. */
struct str conf_full_path(struct conf_tree *t, struct str prefix, struct str path);

/* "FILE:LINE" for people. */
struct str directive_place(struct arena *a, const struct directive *d);

/* The directive written out again on one line, without the block. */
struct str directive_text(struct arena *a, const struct directive *d);

#endif
