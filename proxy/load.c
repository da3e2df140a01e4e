/*
 * Reading a whole configuration: see load.h. This is the list of modules.
 */
#include "load.h"

#include <stdio.h>

#include "filters/charset.h"
#include "filters/gzip.h"
#include "filters/headers.h"
#include "http/access_log.h"
#include "http/core.h"
#include "http/log.h"
#include "main_conf.h"
#include "phases/handlers.h"
#include "trace/trace.h"
#include "upstream/codec/http.h"
#include "upstream/upstream.h"
#include "vars/core_vars.h"
#include "vars/map.h"

static struct module *modules[] = {&main_module, &trace_module, &core_module, &core_vars_module, &log_module,
                                   &access_log_module, &map_module, &geo_module, &realip_module, &rewrite_module,
                                   &limit_req_module, &access_module, &static_module, &headers_module, &charset_module, &gzip_module, &upstream_module, &proxy_module, NULL};

void load_print_errors(const struct conf_tree *t)
{
    for (const struct conf_error *e = t->errors; e; e = e->next) {
        fprintf(stderr, "glassproxy: [emerg] %.*s\n", STR_ARG(e->message));
        if (e->excerpt.n)
            fprintf(stderr, "%.*s\n", STR_ARG(e->excerpt));
    }
}

static struct conf *give_meaning(struct conf_tree *tree)
{
    struct conf *c;

    if (tree->is_missing)
        return NULL;
    c = conf_load(tree, modules);
    c->refs = 1;
    return c;
}

struct conf *load_configuration(struct str prefix, struct str file, struct str globals, struct conf_tree **tree)
{
    *tree = conf_tree_new(arena_new(16384), prefix, file);
    if (globals.n)
        conf_tree_read_text(*tree, globals, STR("command line"));
    conf_tree_read(*tree);
    return give_meaning(*tree);
}

struct conf *load_configuration_as(struct str prefix, struct str file, struct str as, struct conf_tree **tree)
{
    *tree = conf_tree_new(arena_new(16384), prefix, as.n ? as : file);
    conf_tree_read_file(*tree, file);
    return give_meaning(*tree);
}
