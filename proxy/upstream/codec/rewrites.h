/*
 * What proxy_redirect and proxy_cookie_* change in an upstream's response header.
 */
#ifndef GLASSPROXY_UPSTREAM_CODEC_REWRITES_H
#define GLASSPROXY_UPSTREAM_CODEC_REWRITES_H

#include "http/request.h"

struct rewrites {
    struct setting redirect, cookie_domain, cookie_path, cookie_flags;
    struct str url, location; /* of proxy_pass, for the default form; url is NULL with variables */
    bool has_uri, has_variables;
};

/* A Location or Refresh field. */
void rewrite_location(struct request *r, const struct rewrites *w, struct field *f);
/* A Set-Cookie field. */
void rewrite_cookie(struct request *r, const struct rewrites *w, struct field *f);

/* proxy_redirect's default, where nothing is configured. */
void rewrites_merged(struct conf *c, const struct rewrites *outer, struct rewrites *w);

conf_parser parse_proxy_redirect, parse_proxy_cookie, parse_proxy_cookie_flags;

#endif
