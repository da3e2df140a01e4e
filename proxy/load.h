/*
 * Reading a whole configuration with all modules there are.
 */
#ifndef GLASSPROXY_LOAD_H
#define GLASSPROXY_LOAD_H

#include "conf/conf.h"

/* The configuration, with its errors in *TREE; NULL if the files could not be read. It belongs to the caller. */
struct conf *load_configuration(struct str prefix, struct str file, struct str globals, struct conf_tree **tree);
/* The same; FILE is read as though it stood at AS (if that is not ""). */
struct conf *load_configuration_as(struct str prefix, struct str file, struct str as, struct conf_tree **tree);
/* The errors, with carets, to stderr. */
void load_print_errors(const struct conf_tree *t);

#endif
