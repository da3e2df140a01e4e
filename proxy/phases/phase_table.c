/*
 * The phases of a request, in their order: the program's table of contents.
 *
 * A row without a handler is a step that the connection (accept, read request) or the upstream machine (connect to
 * upstream response header) or the filters drive; it stands here because the trace shows it like any other.
 */
#include "phases/phase.h"

#include "http/access_log.h"
#include "phases/handlers.h"

const struct phase_row phase_table[PHASE_COUNT] = {
    [PHASE_ACCEPT] = {"accept", NULL, "nothing", "receive"},
    [PHASE_READ_REQUEST] = {"read request", NULL, "method, URI, header", "receive"},
    [PHASE_CHOOSE_SERVER] = {"choose server", choose_server_phase, "server", "route"},
    [PHASE_REALIP] = {"realip", realip_phase, "client address", "route"},
    [PHASE_SERVER_REWRITE] = {"server rewrite", server_rewrite_phase, "URI, variables, response", "route"},
    [PHASE_CHOOSE_LOCATION] = {"choose location", choose_location_phase, "location", "route"},
    [PHASE_REWRITE] = {"rewrite", rewrite_phase, "URI, variables, location, response", "route"},
    [PHASE_LIMITS] = {"limits", limit_req_phase, "response", "route"},
    [PHASE_ACCESS] = {"access", access_phase, "response", "route"},
    [PHASE_TRY_FILES] = {"try files", try_files_phase, "URI", "route"},
    [PHASE_CONTENT] = {"content", content_phase, "response", "route"},
    [PHASE_CACHE] = {"cache", NULL, "response", "ask"},
    [PHASE_CHOOSE_UPSTREAM] = {"choose upstream", NULL, "peer", "ask"},
    [PHASE_BUILD_UPSTREAM_REQUEST] = {"build upstream request", NULL, "upstream request", "ask"},
    [PHASE_CONNECT] = {"connect", NULL, "nothing", "ask"},
    [PHASE_SEND] = {"send", NULL, "nothing", "ask"},
    [PHASE_UPSTREAM_RESPONSE_HEADER] = {"upstream response header", NULL, "response", "ask"},
    [PHASE_RESPONSE_HEADER_FILTERS] = {"response header filters", NULL, "response header", "answer"},
    [PHASE_BODY] = {"body", NULL, "response body", "answer"},
    [PHASE_LOG] = {"log", access_log_write, "nothing", "log"},
};
