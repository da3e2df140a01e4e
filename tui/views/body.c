/*
 * Bodies: as text, as JSON in a readable form, or as bytes.
 */
#include <ctype.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "views/views.h"

char *body_bytes(const json_t *body, size_t *n)
{
    const char *in = text(body, "base64");
    size_t length = strlen(in);
    char *out = malloc(length + 1);
    int got;

    *n = 0;
    if (!out || !flag(body, "captured")) {
        free(out);
        return NULL;
    }
    got = EVP_DecodeBlock((unsigned char *)out, (const unsigned char *)in, (int)length);
    if (got < 0)
        got = 0;
    while (length && in[length - 1] == '=' && got) { /* the padding is decoded to zeros */
        length--;
        got--;
    }
    *n = (size_t)got;
    out[got] = '\0';
    return out;
}

static void add_hex(struct pane *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i += 16) {
        char line[100];
        int at = snprintf(line, sizeof line, "%08zx ", i);
        for (size_t k = 0; k < 16; k++)
            at += i + k < n ? snprintf(line + at, sizeof line - (size_t)at, "%s%02x", k == 8 ? "  " : " ", (unsigned char)s[i + k])
                            : snprintf(line + at, sizeof line - (size_t)at, "%s  ", k == 8 ? "  " : " ");
        at += snprintf(line + at, sizeof line - (size_t)at, "  ");
        for (size_t k = 0; k < 16 && i + k < n; k++)
            line[at++] = isprint((unsigned char)s[i + k]) ? s[i + k] : '.';
        line[at] = '\0';
        pane_add(p, STYLE_PLAIN, "%s", line);
    }
}

static void add_text(struct pane *p, const char *s, size_t n)
{
    while (n) {
        const char *end = memchr(s, '\n', n);
        size_t length = end ? (size_t)(end - s) : n;
        pane_add(p, STYLE_PLAIN, "%.*s", (int)(length && s[length - 1] == '\r' ? length - 1 : length), s);
        length += end != NULL;
        s += length;
        n -= length;
    }
}

static bool is_binary(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < 0x20 && s[i] != '\n' && s[i] != '\r' && s[i] != '\t')
            return true;
    return false;
}

void body_build(struct app *a, struct pane *p)
{
    const json_t *body = a->m.bodies[a->shows_response_body];
    size_t n;
    char *s = body ? body_bytes(body, &n) : NULL;
    json_t *parsed = NULL;

    pane_add(p, STYLE_BOLD, "%s body  %s  %lld bytes%s%s%s%s", a->shows_response_body ? "Response" : "Request", text(body, "type"), number(body, "total"),
             *text(body, "encoding") ? ", " : "", text(body, "encoding"), flag(body, "decoded") ? " (decompressed)" : "", *text(body, "problem") ? "  PROBLEM: " : "");
    if (*text(body, "problem"))
        pane_add(p, STYLE_WARNING, "%s", text(body, "problem"));
    if (!s) {
        pane_add(p, STYLE_DIM, "It has none, or nobody was attached when it passed.");
        return;
    }
    if (number(body, "kept") < number(body, "total"))
        pane_add(p, STYLE_WARNING, "Only the first %lld bytes are kept (glass_body).", number(body, "kept"));
    if (a->body_mode == BODY_AUTO && n && (s[0] == '{' || s[0] == '[' || strstr(text(body, "type"), "json")))
        parsed = json_loadb(s, n, JSON_DECODE_ANY, NULL);
    if (parsed) {
        char *pretty = json_dumps(parsed, JSON_INDENT(2) | JSON_ENCODE_ANY);
        if (pretty)
            add_text(p, pretty, strlen(pretty));
        free(pretty);
        json_decref(parsed);
    } else if (a->body_mode == BODY_HEX || (a->body_mode == BODY_AUTO && is_binary(s, n))) {
        add_hex(p, s, n);
    } else {
        add_text(p, s, n);
    }
    free(s);
}
