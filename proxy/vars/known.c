/*
 * Variables that nginx has and this proxy has not yet: using one is an error that says so. A name that ends with "*" stands
 * for a family.
 */
#include "vars/vars.h"

static const struct {
    const char *name, *module;
} known[] = {
    {"ancient_browser", "ngx_http_browser_module"},
    {"connections_active", "ngx_http_stub_status_module"},
    {"connections_reading", "ngx_http_stub_status_module"},
    {"connections_waiting", "ngx_http_stub_status_module"},
    {"connections_writing", "ngx_http_stub_status_module"},
    {"date_gmt", "ngx_http_ssi_filter_module"},
    {"date_local", "ngx_http_ssi_filter_module"},
    {"fastcgi_path_info", "ngx_http_fastcgi_module"},
    {"fastcgi_script_name", "ngx_http_fastcgi_module"},
    {"geoip_*", "ngx_http_geoip_module"},
    {"http2", "ngx_http_v2_module"},
    {"http3", "ngx_http_v3_module"},
    {"invalid_referer", "ngx_http_referer_module"},
    {"is_request_port", "ngx_http_core_module"},
    {"jwt_*", "ngx_http_auth_jwt_module"},
    {"limit_conn_status", "ngx_http_limit_conn_module"},
    {"memcached_key", "ngx_http_memcached_module"},
    {"modern_browser", "ngx_http_browser_module"},
    {"msie", "ngx_http_browser_module"},
    {"proxy_add_via", "ngx_http_proxy_module"},
    {"proxy_internal_body_length", "ngx_http_proxy_module"},
    {"proxy_internal_chunked", "ngx_http_proxy_module"},
    {"proxy_protocol_tlv_*", "ngx_http_core_module"},
    {"quic", "ngx_http_v3_module"},
    {"request_port", "ngx_http_core_module"},
    {"secure_link", "ngx_http_secure_link_module"},
    {"secure_link_expires", "ngx_http_secure_link_module"},
    {"session_log_binary_id", "ngx_http_session_log_module"},
    {"session_log_id", "ngx_http_session_log_module"},
    {"slice_range", "ngx_http_slice_module"},
    {"ssl_*", "ngx_http_ssl_module"},
    {"uid_got", "ngx_http_userid_module"},
    {"uid_reset", "ngx_http_userid_module"},
    {"uid_set", "ngx_http_userid_module"},
    {"upstream_cache_age", "ngx_http_upstream_module"},
    {"upstream_cache_etag", "ngx_http_upstream_module"},
    {"upstream_cache_last_modified", "ngx_http_upstream_module"},
    {"upstream_last_server_name", "ngx_http_upstream_module"},
};

const char *variable_known_elsewhere(struct str name)
{
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        struct str pattern = str_of(known[i].name);
        bool is_family = pattern.p[pattern.n - 1] == '*';
        if (is_family ? str_has_prefix(name, (struct str){pattern.p, pattern.n - 1}) : str_eq(name, pattern))
            return known[i].module;
    }
    return NULL;
}
