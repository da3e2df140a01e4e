/*
 * Content from files: index, try_files, and the files themselves (nginx's static, index and try_files modules), and the
 * content phase, which calls the location's handler (proxy_pass) or these.
 */
#include "phases/static.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "filters/response.h"
#include "http/log.h"
#include "http/request_body.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "phases/handlers.h"
#include "trace/trace.h"

struct index_list {
    ARRAY_OF(struct text *) names;
};

struct try_list {
    ARRAY_OF(struct text *) paths;
    unsigned status; /* of "=404"; 0: none */
    const struct directive *directive;
};

struct static_loc {
    struct setting index, try_files;
};

static struct static_loc *loc_of(struct request *r)
{
    return r->loc_conf[static_module.index];
}

struct str document_root(struct request *r)
{
    const struct root *root = CORE_LOC(r)->root.ptr;

    return text_value(r, root->path);
}

struct str file_path(struct request *r, struct str uri)
{
    const struct root *root = CORE_LOC(r)->root.ptr;
    struct str path = text_value(r, root->path);

    if (!root->is_alias)
        return arena_cat(r->arena, path, uri);
    if (root->is_regex_alias)
        return r->adds_uri_to_alias ? arena_cat(r->arena, path, uri) : arena_str(r->arena, path);
    return arena_cat(r->arena, path,
                     uri.n >= root->alias_prefix_bytes ? str_skip(uri, root->alias_prefix_bytes) : STR(""));
}

struct str content_type_of(struct request *r, struct origin *origin)
{
    const struct core_loc *loc = CORE_LOC(r);
    const struct type_list *list = loc->types.ptr;

    if (r->response.content_type.n) { /* X-Accel-Redirect brought one */
        *origin = r->response.content_type_origin;
        return r->response.content_type;
    }
    if (r->exten.n)
        for (size_t i = list->types.n; i > 0; i--)
            if (str_ieq(list->types.items[i - 1].extension, r->exten)) {
                *origin = (struct origin){ORIGIN_DIRECTIVE, loc->types.origin, "by extension"};
                return list->types.items[i - 1].type;
            }
    *origin = (struct origin){loc->default_type.origin ? ORIGIN_DIRECTIVE : ORIGIN_DEFAULT, loc->default_type.origin, NULL};
    return loc->default_type.str;
}

static void close_file(void *data)
{
    close((int)(long)data);
}

static int missing(struct request *r, struct str path, int err)
{
    switch (err) {
    case ENOENT: case ENOTDIR: case ENAMETOOLONG:
        if (CORE_LOC(r)->log_not_found.num)
            log_request(r, LOG_ERR_, err, "open() \"%.*s\" failed", STR_ARG(path));
        return 404;
    case EACCES: log_request(r, LOG_ERR_, err, "open() \"%.*s\" failed", STR_ARG(path)); return 403;
    default: log_request(r, LOG_CRIT_, err, "open() \"%.*s\" failed", STR_ARG(path)); return 500;
    }
}

static int send_file(struct request *r)
{
    struct str path = file_path(r, r->uri);
    struct stat st;
    unsigned status;
    int fd;

    if (r->method != METHOD_GET && r->method != METHOD_HEAD && r->method != METHOD_POST)
        return 405;
    if (r->is_dry_run)
        return PHASE_DONE;
    fd = open(path.p, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return missing(r, path, errno);
    arena_on_free(r->arena, close_file, (void *)(long)fd);
    if (fstat(fd, &st) < 0)
        return 500;
    if (S_ISDIR(st.st_mode)) {
        struct str to = arena_cat(r->arena, uri_escape(r->arena, r->uri, ESCAPE_URI), STR("/"));
        if (r->args.n)
            to = arena_printf(r->arena, "%.*s?%.*s", STR_ARG(to), STR_ARG(r->args));
        response_redirect(r, to, (struct origin){ORIGIN_DEFAULT, NULL, "a directory"});
        return 301;
    }
    if (!S_ISREG(st.st_mode))
        return 404;
    if (r->method == METHOD_POST)
        return 405;
    status = request_body_ignore(r);
    if (status)
        return (int)status;
    r->response.status = 200;
    r->response.content_length = st.st_size;
    r->response.last_modified = st.st_mtime;
    r->response.content_type = content_type_of(r, &r->response.content_type_origin);
    r->response.allows_ranges = true;
    if (CORE_LOC(r)->etag.num)
        response_add(r, "ETag", arena_printf(r->arena, "\"%lx-%lx\"", (unsigned long)st.st_mtime, (unsigned long)st.st_size),
                     (struct origin){ORIGIN_DEFAULT, NULL, "etag"});
    r->response.file_fd = fd;
    r->response.file_bytes = st.st_size;
    response_start(r, response_write_whole_file);
    return PHASE_DONE;
}

static int send_index(struct request *r)
{
    const struct index_list *list = loc_of(r)->index.ptr;
    struct stat st;

    if (r->method != METHOD_GET && r->method != METHOD_HEAD && r->method != METHOD_POST)
        return 405;
    for (size_t i = 0; i < list->names.n; i++) {
        struct str name = text_value(r, list->names.items[i]), uri, path;
        if (name.n && name.p[0] == '/') {
            request_redirect(r, name, r->args);
            return PHASE_DONE;
        }
        uri = arena_cat(r->arena, r->uri, name);
        path = arena_cat(r->arena, file_path(r, r->uri), name);
        if (stat(path.p, &st) == 0 && S_ISREG(st.st_mode)) {
            request_redirect(r, uri, r->args);
            return PHASE_DONE;
        }
    }
    struct str dir = file_path(r, r->uri);
    if (stat(dir.p, &st) < 0) {
        if (CORE_LOC(r)->log_not_found.num)
            log_request(r, LOG_ERR_, errno, "\"%.*s\" is not found", STR_ARG(dir));
        return 404;
    }
    log_request(r, LOG_ERR_, 0, "directory index of \"%.*s\" is forbidden", STR_ARG(dir));
    return 403;
}

int content_phase(struct request *r)
{
    struct core_loc *loc = CORE_LOC(r);

    if (loc->location->handler)
        return loc->location->handler(r);
    if (((const struct root *)loc->root.ptr)->is_alias && !r->has_location_prefix) { /* the alias replaces a prefix that is not there any more */
        log_request(r, LOG_ALERT_, 0, "\"alias\" cannot be used in location \"%.*s\" where URI was rewritten", STR_ARG(loc->location->name));
        return 500;
    }
    if (r->uri.n && r->uri.p[r->uri.n - 1] == '/')
        return send_index(r);
    return send_file(r);
}

int try_files_phase(struct request *r)
{
    const struct try_list *list = loc_of(r)->try_files.ptr;
    const struct root *root = CORE_LOC(r)->root.ptr;

    if (!list)
        return PHASE_NEXT;
    for (size_t i = 0; i < list->paths.n; i++) {
        bool is_last = i + 1 == list->paths.n && !list->status;
        struct str to = text_value(r, list->paths.items[i]), path;
        struct str raw = text_raw(list->paths.items[i]);
        bool wants_dir = raw.n && raw.p[raw.n - 1] == '/' && to.n; /* as written, whatever variables bring */
        struct stat st;

        if (is_last) {
            if (to.n && to.p[0] == '@') {
                request_redirect_named(r, to);
            } else {
                struct str args = STR("");
                long at = str_chr(to, '?');
                if (at >= 0) {
                    args = str_skip(to, (size_t)at + 1);
                    to.n = (size_t)at;
                }
                request_redirect(r, to, args); /* those of the request are gone, as in nginx */
            }
            return PHASE_DONE;
        }
        if (wants_dir)
            to.n--;
        path = to;
        if (root->is_alias && !root->is_regex_alias && to.n >= root->alias_prefix_bytes && r->uri.n >= root->alias_prefix_bytes
            && memcmp(to.p, r->uri.p, root->alias_prefix_bytes) == 0)
            path = str_skip(to, root->alias_prefix_bytes);
        path = arena_cat(r->arena, text_value(r, root->path), path);
        if (stat(path.p, &st) < 0 || (wants_dir ? !S_ISDIR(st.st_mode) : !S_ISREG(st.st_mode)))
            continue;
        if (root->is_regex_alias) {
            if (wants_dir)
                return PHASE_NEXT;
            r->adds_uri_to_alias = true;
        }
        trace_step(r, list->directive, r->uri, to, "this file exists");
        r->uri = to;
        r->exten = uri_extension(to);
        return PHASE_NEXT;
    }
    return (int)list->status;
}

static int parse_index(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_setting(row, structure);
    struct index_list *list;

    list = conf_claim_list(c, d, s, sizeof *list);
    for (unsigned i = 1; i < d->n_args; i++) {
        struct text *t = text_compile(c, d, d->args[i]);
        if (!t)
            return -1;
        if (d->args[i].n == 0) {
            conf_fail(c->tree, d, "index \"%.*s\" in \"index\" directive is invalid", STR_ARG(d->args[i]));
            return -1;
        }
        *ARRAY_PUSH(&list->names, c->arena) = t;
    }
    return 0;
}

static int parse_try_files(struct conf *c, struct directive *d, const struct directive_row *row, void *structure)
{
    struct setting *s = conf_claim(c, d, row, structure);
    struct try_list *list;
    unsigned n = d->n_args;

    if (!s)
        return -1;
    s->ptr = list = arena_zalloc(c->arena, sizeof *list);
    list->directive = d;
    if (d->args[n - 1].n && d->args[n - 1].p[0] == '=') {
        long long status = str_number(str_skip(d->args[n - 1], 1));
        if (status < 0 || status > 999) {
            conf_fail(c->tree, d, "invalid code \"%.*s\"", STR_ARG(d->args[n - 1]));
            return -1;
        }
        list->status = (unsigned)status;
        n--;
    }
    for (unsigned i = 1; i < n; i++) {
        struct text *t = text_compile(c, d, d->args[i]);
        if (!t)
            return -1;
        *ARRAY_PUSH(&list->paths, c->arena) = t;
    }
    return 0;
}

static const struct directive_row rows[] = {
    {"index", IN_ANY_HTTP, 1, ANY_NUMBER, false, SCOPE_LOC, offsetof(struct static_loc, index), parse_index, "index.html", "The file for a directory.", INHERIT, NULL},
    {"try_files", IN_SERVER | IN_LOCATION, 2, ANY_NUMBER, false, SCOPE_LOC, offsetof(struct static_loc, try_files), parse_try_files, NULL, "The first file that exists.", DO_NOT_INHERIT, NULL},
};

struct module static_module = {
    .name = "ngx_http_static_module",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .loc_bytes = sizeof(struct static_loc),
};
