/*
 * proxy_pass: asking an HTTP upstream (nginx's ngx_http_proxy_module).
 *
 * The structures are open to the diagnoses (diagnose/), which look for what a configuration does not do.
 */
#ifndef GLASSPROXY_UPSTREAM_CODEC_HTTP_H
#define GLASSPROXY_UPSTREAM_CODEC_HTTP_H

#include "upstream/codec/rewrites.h"
#include "upstream/upstream.h"

extern struct module proxy_module;

struct proxy_target {
    struct upstream_group *group;
    struct str url;          /* as written, or as its variables made it */
    struct str host;         /* without the port; "/path" of a unix socket */
    struct str host_port;    /* as the Host field has it: without the default port */
    struct str address_text; /* what is to be resolved */
    struct str uri;          /* "" if there is none */
    unsigned port;
    bool has_port, is_unix;
    struct text *text; /* with variables */
    const struct directive *directive;
};

struct set_header {
    struct str name;
    struct text *value;
    const struct directive *directive;
};

struct header_list {
    ARRAY_OF(struct set_header) all;
};

struct name_list {
    ARRAY_OF(struct str) all;
};

struct bind_to {
    struct text *text; /* NULL: off */
    bool is_transparent;
};

struct proxy_loc {
    struct location *location;
    struct rewrites rewrites;
    struct setting proxy_pass, proxy_set_header, proxy_hide_header, proxy_pass_header, proxy_http_version,
        proxy_connect_timeout, proxy_send_timeout, proxy_read_timeout, proxy_buffering, proxy_buffer_size, proxy_buffers,
        proxy_busy_buffers_size, proxy_next_upstream, proxy_next_upstream_tries, proxy_next_upstream_timeout,
        proxy_method, proxy_set_body, proxy_pass_request_headers, proxy_pass_request_body, proxy_intercept_errors,
        proxy_temp_path, proxy_max_temp_file_size, proxy_temp_file_write_size, proxy_ignore_headers, proxy_request_buffering,
        proxy_limit_rate, proxy_force_ranges, proxy_ignore_client_abort, proxy_socket_keepalive, proxy_bind,
        proxy_headers_hash_max_size, proxy_headers_hash_bucket_size, proxy_send_lowat;
};

/* proxy_ignore_headers. */
enum { IGNORE_REDIRECT = 1, IGNORE_EXPIRES = 2, IGNORE_CACHE_FIELDS = 4, IGNORE_LIMIT_RATE = 8, IGNORE_BUFFERING = 16,
       IGNORE_CHARSET = 32 };

/* What is configured where R is. */
static inline struct proxy_loc *proxy_loc_of(struct request *r)
{
    return r->loc_conf[proxy_module.index];
}

extern const struct codec http_codec;

#endif
