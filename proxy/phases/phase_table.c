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
    [PHASE_ACCEPT] = {"accept", NULL, "nothing"},
    [PHASE_READ_REQUEST] = {"read request", NULL, "method, URI, header"},
    [PHASE_CHOOSE_SERVER] = {"choose server", choose_server_phase, "server"},
    [PHASE_REALIP] = {"realip", realip_phase, "client address"},
    [PHASE_SERVER_REWRITE] = {"server rewrite", server_rewrite_phase, "URI, variables, response"},
    [PHASE_CHOOSE_LOCATION] = {"choose location", choose_location_phase, "location"},
    [PHASE_REWRITE] = {"rewrite", rewrite_phase, "URI, variables, location, response"},
    [PHASE_ACCESS] = {"access", access_phase, "response"},
    [PHASE_TRY_FILES] = {"try files", try_files_phase, "URI"},
    [PHASE_CONTENT] = {"content", content_phase, "response"},
    [PHASE_CACHE] = {"cache", NULL, "response"},
    [PHASE_CHOOSE_UPSTREAM] = {"choose upstream", NULL, "peer"},
    [PHASE_BUILD_UPSTREAM_REQUEST] = {"build upstream request", NULL, "upstream request"},
    [PHASE_CONNECT] = {"connect", NULL, "nothing"},
    [PHASE_SEND] = {"send", NULL, "nothing"},
    [PHASE_UPSTREAM_RESPONSE_HEADER] = {"upstream response header", NULL, "response"},
    [PHASE_RESPONSE_HEADER_FILTERS] = {"response header filters", NULL, "response header"},
    [PHASE_BODY] = {"body", NULL, "response body"},
    [PHASE_LOG] = {"log", access_log_write, "nothing"},
};
