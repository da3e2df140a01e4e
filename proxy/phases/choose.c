/*
 * The phases that choose: the server was found with the header; here the location is.
 */
#include "filters/response.h"
#include "http/log.h"
#include "http/request_body.h"
#include "http/uri.h"
#include "phases/engine.h"
#include "phases/handlers.h"
#include "trace/trace.h"

int choose_server_phase(struct request *r)
{
    (void)r; /* done while the header was read: the Host field decides before the rest of the header comes */
    return PHASE_NEXT;
}

int choose_location_phase(struct request *r)
{
    const struct location *l = r->server->root;
    enum location_result result = location_choose(r->server->root, r->uri, r, &l, NULL);
    const struct core_loc *loc;

    r->location_uri = r->uri;
    request_enter_location(r, result == LOCATION_NOT_FOUND ? r->server->root : l);
    loc = r->location->loc[core_module.index]; /* of the location itself, whatever its limit_except says */
    if (result == LOCATION_ADD_SLASH) {
        struct str to = uri_escape(r->arena, r->location->name, ESCAPE_URI);
        if (r->args.n)
            to = arena_printf(r->arena, "%.*s?%.*s", STR_ARG(to), STR_ARG(r->args));
        trace_step(r, r->location->directive, r->uri, to, "only the trailing slash of a proxied prefix is missing: 301");
        response_redirect(r, to,
                                            (struct origin){ORIGIN_DEFAULT, NULL, "missing trailing slash"});
        return 301;
    }
    if (loc->internal.is_set && !r->is_internal)
        return 404;
    if (r->content_length > 0 && loc->client_max_body_size.num
        && r->content_length > loc->client_max_body_size.num && !(r->body && r->body->is_discarding)) {
        log_request(r, LOG_ERR_, 0, "client intended to send too large body: %lld bytes", r->content_length);
        if (r->expects_continue)
            r->expects_continue = false;
        return 413;
    }
    return PHASE_NEXT;
}
