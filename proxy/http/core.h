/*
 * The http, server and location blocks: what they hold, and how they are chosen.
 *
 * nginx documentation: ngx_http_core_module, "Server names", "How nginx processes a request".
 */
#ifndef GLASSPROXY_HTTP_CORE_H
#define GLASSPROXY_HTTP_CORE_H

#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>

#include "conf/conf.h"
#include "util/array.h"
#include "vars/vars.h"

struct request;
struct location;

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
    } u;
    socklen_t bytes;
    struct str text; /* "127.0.0.1:80", "[::1]:80", "unix:/path" */
};

struct server_name {
    struct str name; /* lower-cased; of a wildcard: without the "*" */
    enum { NAME_EXACT, NAME_LEADING_WILDCARD, NAME_TRAILING_WILDCARD, NAME_REGEX } kind;
    struct conf_regex *regex;
    struct server *server;
    const struct directive *directive;
    bool is_dotted; /* of ".example.com", beside the exact name in front of it */
};

struct server {
    struct conf_level level;
    const struct directive *directive;
    struct location *root; /* its children are the server's locations */
    ARRAY_OF(struct server_name) names;
    struct str name; /* the first server_name */
    bool has_listen;
};

/* One listening address with the servers on it. */
enum keepalive_option { KEEPALIVE_AS_THE_SYSTEM, KEEPALIVE_ON, KEEPALIVE_OFF };

/* The parameters of `listen` that are of the socket. */
struct listen_options {
    bool is_set; /* any of them */
    bool is_ipv6only, has_reuseport, is_deferred;
    int backlog, fastopen; /* -1: no fastopen */
    int rcvbuf_bytes, sndbuf_bytes;
    enum keepalive_option keepalive;
    long keepalive_idle_s, keepalive_interval_s;
    int keepalive_count;
};

struct listener {
    struct address address;
    const struct directive *directive;
    ARRAY_OF(struct server *) servers;
    struct server *default_server;
    struct listen_options options;
    bool has_explicit_default;
    int fd; /* -1 until opened */
    unsigned port;
};

enum location_kind {
    LOCATION_PREFIX,
    LOCATION_PREFIX_NO_REGEX, /* ^~ */
    LOCATION_EXACT,
    LOCATION_REGEX,
    LOCATION_NAMED,
    LOCATION_NONAME /* `if` and limit_except */
};

struct location {
    enum location_kind kind;
    struct str name; /* the pattern of a regex; with its @ if named */
    struct conf_regex *regex;
    const struct directive *directive;
    struct location *parent;
    void **loc;
    int (*handler)(struct request *r); /* the content handler; NULL: files */
    bool redirects_without_slash;      /* a proxied prefix that ends with a slash */
    ARRAY_OF(struct location *) children; /* in the order of the file */
    ARRAY_OF(struct location *) prefixes; /* exact and prefix, longest first */
    ARRAY_OF(struct location *) regexes;
    struct location *limit_except;
    unsigned allowed_methods; /* bits by enum method, of limit_except */
};

struct error_page {
    unsigned status;
    int overwrite; /* -1: as it is; 0: the target's own status; else this one */
    struct text *uri;
    struct str args;
    const struct directive *directive;
};

struct error_page_list {
    ARRAY_OF(struct error_page) pages;
};

struct type_entry {
    struct str extension, type;
};
struct type_list {
    ARRAY_OF(struct type_entry) types;
};

struct root {
    struct text *path;
    bool is_alias;
    size_t alias_prefix_bytes; /* of the location's name that the alias replaces; all of it for a regex */
    bool is_regex_alias;
};

struct buffer_sizes {
    long n, bytes;
};
/* NUMBER SIZE, for struct buffer_sizes; the row's extra: a long, the least number (1 if NULL). */
conf_parser parse_buffers;

struct core_main {
    ARRAY_OF(struct server *) servers;
    ARRAY_OF(struct listener *) listeners;
    struct setting server_names_hash_max_size, server_names_hash_bucket_size, variables_hash_max_size,
        variables_hash_bucket_size;
};

struct core_srv {
    struct server *server;
    struct setting client_header_timeout, client_header_buffer_size, large_client_header_buffers,
        ignore_invalid_headers, underscores_in_headers, merge_slashes, connection_pool_size, request_pool_size,
        max_headers;
};

struct core_loc {
    struct location *location;
    struct setting root, types, default_type, client_max_body_size, client_body_buffer_size, client_body_timeout,
        client_body_in_file_only, client_body_in_single_buffer, client_body_temp_path, send_timeout,
        keepalive_timeout, keepalive_requests, keepalive_time, keepalive_disable, lingering_close, lingering_time,
        lingering_timeout, error_page, internal, etag, if_modified_since, max_ranges, server_tokens,
        absolute_redirect, server_name_in_redirect, port_in_redirect, chunked_transfer_encoding, log_not_found,
        log_subrequest, satisfy, msie_padding, msie_refresh, recursive_error_pages, limit_rate, limit_rate_after,
        sendfile, sendfile_max_chunk, tcp_nopush, tcp_nodelay, reset_timedout_connection, postpone_output,
        types_hash_max_size, types_hash_bucket_size, resolver, resolver_timeout, open_file_cache, auth_delay,
        output_buffers, directio, read_ahead;
};

extern struct module core_module;

#define CORE_LOC(r) ((struct core_loc *)(r)->loc_conf[core_module.index])
/* The servers and listeners of C; NULL if there is no C, or no http block in it. */
static inline struct core_main *core_main(const struct conf *c)
{
    return c && c->http.main ? c->http.main[core_module.index] : NULL;
}

#define CORE_SRV(r) ((struct core_srv *)(r)->srv_conf[core_module.index])

/* The candidates of a choice, recorded when somebody wants to know. */
struct candidate {
    struct str name, why;
    const struct directive *directive;
    bool is_chosen;
};
struct candidates {
    struct arena *arena;
    ARRAY_OF(struct candidate) list;
};

/* The server for HOST (lower-cased, without port) on L. R may be NULL (then regex names set no variables).
 * CANDIDATES may be NULL. */
struct server *server_choose(const struct listener *l, struct str host, struct request *r, struct candidates *seen);

enum location_result { LOCATION_FOUND, LOCATION_NOT_FOUND, LOCATION_ADD_SLASH };

/* The location for URI below ROOT (nginx: ngx_http_core_find_location). */
enum location_result location_choose(const struct location *root, struct str uri, struct request *r,
                                     const struct location **found, struct candidates *seen);
const struct location *location_find_named(const struct server *s, struct str name);

/* L with its modifier, as it is written; "" for a server's own level. */
struct str location_text(struct arena *a, const struct location *l);

/* A new location below the present level; its structures are the present level's afterwards. */
struct location *location_new(struct conf *c, struct directive *d, enum location_kind kind);

/* Reads the block of L with its own structures as the present level. */
void location_read(struct conf *c, struct location *l, struct directive *block, enum conf_context context);

/* The location whose structures are at the present level. */
struct location *location_at_level(struct conf *c);

/* Parses "host:port", "unix:/path", "[::1]:80"; resolves names (blocking: only while starting). Addresses are
 * added to OUT. NULL, or why it failed. */
typedef ARRAY_OF(struct address) address_array;
const char *address_parse(struct arena *a, struct str s, unsigned default_port, address_array *out);
struct str address_text(struct arena *a, const struct sockaddr *sa, bool with_port);
unsigned address_port(const struct sockaddr *sa);
bool address_eq(const struct address *a, const struct address *b);

#endif
