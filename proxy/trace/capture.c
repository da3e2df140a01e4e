/*
 * Bodies as they passed: see capture.h.
 */
#include "trace/capture.h"

#include <openssl/evp.h>
#include <unistd.h>
#include <zlib.h>

#include "trace/json_write.h"
#include "trace/trace.h"

enum { DECODED_BYTES = 1 << 20 };

static bool is_enabled;

void capture_enable(bool wanted)
{
    is_enabled = wanted;
}

static struct captured *room_for(struct request *r, enum captured_body which, size_t n)
{
    size_t limit = trace_body_limit(r->conf);
    struct captured *c;

    if (!is_enabled || limit == 0)
        return NULL;
    if (!r->captured)
        r->captured = arena_zalloc(r->arena, sizeof *r->captured);
    c = which == CAPTURED_REQUEST ? &r->captured->request : &r->captured->response;
    c->total_bytes += n;
    if (n > limit - c->n)
        n = limit - c->n;
    if (c->n + n > c->room) {
        size_t room = c->room * 2 > c->n + n ? c->room * 2 : c->n + n;
        char *more = arena_alloc(r->arena, room);
        if (c->n)
            memcpy(more, c->data, c->n);
        c->data = more;
        c->room = room;
    }
    return c;
}

static size_t still_free(const struct captured *c, size_t n)
{
    return n < c->room - c->n ? n : c->room - c->n;
}

void capture_add(struct request *r, enum captured_body which, struct str s)
{
    struct captured *c = room_for(r, which, s.n);

    if (!c)
        return;
    s.n = still_free(c, s.n);
    if (s.n)
        memcpy(c->data + c->n, s.p, s.n);
    c->n += s.n;
}

void capture_add_file(struct request *r, enum captured_body which, int fd, off_t offset, off_t length)
{
    struct captured *c = room_for(r, which, (size_t)length);
    size_t n = c ? still_free(c, (size_t)length) : 0;
    ssize_t got = n ? pread(fd, c->data + c->n, n, offset) : 0;

    if (got > 0)
        c->n += (size_t)got;
}

/* Undoes gzip, zlib and raw deflate; as much as there is. NULL, or why not. */
static const char *decode(struct str in, struct buf *out)
{
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)in.p, .avail_in = (unsigned)in.n};
    int rc = inflateInit2(&z, 15 + 32);

    while (rc == Z_OK && buf_len(out) < DECODED_BYTES) {
        z.next_out = (unsigned char *)buf_reserve(out, 16384);
        z.avail_out = 16384;
        rc = inflate(&z, Z_SYNC_FLUSH);
        out->end += 16384 - z.avail_out;
        if (z.avail_out && rc == Z_OK && z.avail_in == 0)
            break;
    }
    inflateEnd(&z);
    return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? NULL : "the body is not in the coding that its Content-Encoding says";
}

static void write_base64(struct buf *b, struct str s)
{
    struct buf text = {0};
    char *p = buf_reserve(&text, s.n * 4 / 3 + 8);

    text.end += (size_t)EVP_EncodeBlock((unsigned char *)p, (const unsigned char *)s.p, (int)s.n);
    write_str(b, "base64", buf_str(&text));
    buf_free(&text);
}

const char *capture_describe(struct buf *b, struct request *r, enum captured_body which, bool decodes)
{
    const struct captured *c = !r->captured ? NULL : which == CAPTURED_REQUEST ? &r->captured->request : &r->captured->response;
    const field_array *fields = which == CAPTURED_REQUEST ? &r->fields : &r->response.fields;
    const struct field *coding = field_find_id(fields, FIELD_CONTENT_ENCODING), *type = field_find_id(fields, FIELD_CONTENT_TYPE);
    struct str body = c ? (struct str){c->data, c->n} : STR("");
    struct buf decoded = {0};
    const char *error = NULL;

    if (decodes && coding && body.n) {
        if (str_ieq(coding->value, STR("gzip")) || str_ieq(coding->value, STR("deflate")))
            error = decode(body, &decoded);
        else
            error = "only gzip and deflate can be decoded";
        body = buf_str(&decoded);
    }
    write_str(b, "type", which == CAPTURED_RESPONSE ? r->response.content_type : type ? type->value : STR(""));
    write_str(b, "encoding", coding ? coding->value : STR(""));
    write_bool(b, "captured", c != NULL);
    write_num(b, "total", c ? (long long)c->total_bytes : 0);
    write_num(b, "kept", c ? (long long)c->n : 0);
    write_bool(b, "decoded", decodes && coding && !error);
    write_base64(b, body);
    buf_free(&decoded);
    return error;
}

bool capture_is_compressed_twice(const struct request *r)
{
    const struct captured *c = r->captured ? &r->captured->response : NULL;
    struct buf once = {0};
    bool is_twice;

    if (!c || c->n < 2)
        return false;
    is_twice = !decode((struct str){c->data, c->n}, &once) && buf_len(&once) > 2 && (unsigned char)buf_str(&once).p[0] == 0x1f
               && (unsigned char)buf_str(&once).p[1] == 0x8b;
    buf_free(&once);
    return is_twice;
}
