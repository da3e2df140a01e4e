/*
 * The handlers of the phase table.
 */
#ifndef GLASSPROXY_PHASES_HANDLERS_H
#define GLASSPROXY_PHASES_HANDLERS_H

#include "conf/conf.h"

struct request;

int choose_server_phase(struct request *r);
int server_rewrite_phase(struct request *r);
int choose_location_phase(struct request *r);
int rewrite_phase(struct request *r);
int realip_phase(struct request *r);
int limit_req_phase(struct request *r);
int access_phase(struct request *r);
int try_files_phase(struct request *r);
int content_phase(struct request *r);

extern struct module rewrite_module, access_module, realip_module, static_module, limit_req_module;

#endif
