/*
 * The response on its way to the client: header filters, body filters, framing.
 */
#ifndef GLASSPROXY_FILTERS_RESPONSE_H
#define GLASSPROXY_FILTERS_RESPONSE_H

#include "http/request.h"

/* Sends the response: what is set in r->response is the input of the header filters, and WRITE_BODY writes the body and
 * ends the response when it is its turn. */
void response_start(struct request *r, void (*write_body)(struct request *r));
/* A body for response_start(): r->response.text, or content_length bytes of r->response.file_fd. */
void response_write_text(struct request *r);
void response_write_whole_file(struct request *r);

/* The last step of a body: puts S, filtered, into the queue, chunked if the response is. */
void response_frame(struct request *r, struct str s);
/* Feeds the body filters what waits for them, as far as the client's queue has room. */
enum pump_result { PUMP_NOTHING, PUMP_MORE /* again when the queue is emptier */, PUMP_ENDED /* R may be gone */ };
enum pump_result response_pump(struct request *r);
/* What was written so far is to reach the client now. */
void response_flush(struct request *r);

/* Body bytes in order; response_end() completes the response. */
void response_write(struct request *r, struct str s);
void response_write_file(struct request *r, int fd, off_t offset, off_t length);
void response_end(struct request *r);

/* nginx's small page for STATUS (or an empty body where it sends none). */
void response_send_special(struct request *r, unsigned status);

/* A whole response in memory. */
void response_send_text(struct request *r, unsigned status, struct str type, struct str body);

/* The rest of the body will not come: closes the connection behind what is queued, without a final chunk. */
void response_truncate(struct request *r);

/* The response cannot be completed: closes the connection. */
void response_abort(struct request *r);

/* The standard words for a status, with the number: "404 Not Found"; "" if it has none. */
struct str status_words(unsigned status);

/* A Location of the proxy's own: absolute_redirect applies. */
void response_redirect(struct request *r, struct str to, struct origin origin);

/* A field of the response. */
struct field *response_add(struct request *r, const char *name, struct str value, struct origin origin);

#endif
