/*
 * Files: paths from URIs, media types.
 */
#ifndef GLASSPROXY_PHASES_STATIC_H
#define GLASSPROXY_PHASES_STATIC_H

#include "http/request.h"

/* The file that URI means for R: root or alias applied. NUL-terminated. */
struct str file_path(struct request *r, struct str uri);
/* $document_root. */
struct str document_root(struct request *r);
/* The media type for R's extension. */
struct str content_type_of(struct request *r, struct origin *origin);

#endif
