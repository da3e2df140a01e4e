/*
 * What happened to requests: see trace.h.
 */
#include "trace/trace.h"

#include "phases/engine.h"

void trace_finished(struct request *r)
{
    r->connection = 0;
    request_free(r);
}
