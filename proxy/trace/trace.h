/*
 * What happened to requests, for those who want to see it.
 */
#ifndef GLASSPROXY_TRACE_TRACE_H
#define GLASSPROXY_TRACE_TRACE_H

struct request;

/* R is finished; takes it over. */
void trace_finished(struct request *r);

#endif
