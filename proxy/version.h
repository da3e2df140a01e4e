/*
 * What this program is, and the nginx whose behaviour it follows.
 */
#ifndef GLASSPROXY_VERSION_H
#define GLASSPROXY_VERSION_H

#define GLASSPROXY_VERSION "0.1.0"
#define GLASSPROXY_NGINX_VERSION "1.22.1"

#endif
