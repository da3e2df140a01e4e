/*
 * glassproxy backend: an upstream for labs that answers with what it received, as JSON or, for browsers, as a page.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands/commands.h"
#include "http/core.h"
#include "http/field.h"
#include "http/parse.h"
#include "loop/loop.h"
#include "trace/json_write.h"
#include "util/buf.h"
#include "util/mem.h"

static const char usage[] =
    "Usage: glassproxy backend [-l address:port]... [-n name] [-s status] [-d ms] [-H 'Name: value']...\n\n"
    "Answers every request with what it received, as JSON; as a page if Accept prefers text/html.\n"
    "  -l  where to listen (default 127.0.0.1:9001); unix:/path too\n"
    "  -n  the name it gives itself\n"
    "  -s  the status of all answers (default 200)\n"
    "  -d  how long it thinks, in milliseconds\n"
    "  -H  a field for all answers\n";

enum { MAX_HEAD = 1 << 16, MAX_BODY = 1 << 20 };

static struct loop *loop;
static struct arena *memory;
static const char *name = "backend";
static unsigned status = 200;
static unsigned long delay_ms;
static struct buf extra;

struct peer_io {
    struct io io;
    struct timer timer;
    struct str address;
    struct buf in, out;
    bool keeps_alive;
};

struct message {
    struct request_line line;
    field_array fields;
    struct buf body;
    size_t consumed;
};

static void done(struct peer_io *p)
{
    timer_stop(loop, &p->timer);
    loop_watch(loop, &p->io, 0);
    close(p->io.fd);
    buf_free(&p->in);
    buf_free(&p->out);
    mem_free(p);
}

/* 1: a whole request is there; 0: not yet; -1: it is bad. */
static int parse(struct arena *a, struct str in, struct message *m)
{
    const struct field *f;
    size_t all = in.n;
    enum parse_result result = parse_request_line(in, &m->line);

    if (result != PARSE_DONE)
        return result == PARSE_AGAIN && in.n < MAX_HEAD ? 0 : -1;
    in = str_skip(in, m->line.consumed);
    for (;;) {
        struct header_line line;
        result = parse_header_line(in, ALLOW_UNDERSCORES, &line);
        if (result == PARSE_AGAIN)
            return all < MAX_HEAD ? 0 : -1;
        if (result == PARSE_INVALID_HEADER)
            return -1;
        in = str_skip(in, line.consumed);
        if (result == PARSE_END_OF_HEADER)
            break;
        field_add(&m->fields, a, arena_str(a, line.name), arena_str(a, line.value), (struct origin){0});
    }
    f = field_find_id(&m->fields, FIELD_TRANSFER_ENCODING);
    if (f && str_ieq(f->value, STR("chunked"))) {
        struct chunked c = {0};
        struct str data;
        enum chunked_result chunk;
        while ((chunk = chunked_decode(&c, &in, &data)) == CHUNKED_DATA)
            buf_adds(&m->body, data);
        if (chunk == CHUNKED_INVALID)
            return -1;
        if (chunk != CHUNKED_DONE)
            return all < MAX_HEAD + MAX_BODY ? 0 : -1;
    } else if ((f = field_find_id(&m->fields, FIELD_CONTENT_LENGTH))) {
        long long n = str_number(f->value);
        if (n < 0 || n > MAX_BODY)
            return -1;
        if ((long long)in.n < n)
            return 0;
        buf_add(&m->body, in.p, (size_t)n);
        in = str_skip(in, (size_t)n);
    }
    m->consumed = all - in.n;
    return 1;
}

static void add_html(struct buf *b, struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        switch (s.p[i]) {
        case '<': buf_addz(b, "&lt;"); break;
        case '>': buf_addz(b, "&gt;"); break;
        case '&': buf_addz(b, "&amp;"); break;
        case '"': buf_addz(b, "&quot;"); break;
        default: buf_add(b, s.p + i, 1);
        }
}

static void write_json(struct buf *b, const struct peer_io *p, const struct message *m)
{
    write_open(b, NULL, '{');
    write_str(b, "backend", str_of(name));
    write_str(b, "address", p->address);
    write_str(b, "method", m->line.method);
    write_str(b, "target", m->line.target);
    write_str(b, "version", m->line.version >= 1001 ? STR("HTTP/1.1") : STR("HTTP/1.0"));
    write_open(b, "headers", '[');
    for (size_t i = 0; i < m->fields.n; i++) {
        write_open(b, NULL, '[');
        write_str(b, NULL, m->fields.items[i].name);
        write_str(b, NULL, m->fields.items[i].value);
        write_close(b, ']');
    }
    write_close(b, ']');
    write_str(b, "body", buf_str(&m->body));
    write_close(b, '}');
    buf_addz(b, "\n");
}

static void write_page(struct buf *b, const struct peer_io *p, const struct message *m)
{
    buf_addz(b, "<!DOCTYPE html>\n<html lang=en><meta charset=utf-8><title>What the upstream received</title>\n<h1>");
    add_html(b, str_of(name));
    buf_printf(b, " at %.*s received</h1>\n<pre>", STR_ARG(p->address));
    add_html(b, m->line.line);
    buf_addz(b, "</pre>\n<table>\n");
    for (size_t i = 0; i < m->fields.n; i++) {
        buf_addz(b, "<tr><th align=left>");
        add_html(b, m->fields.items[i].name);
        buf_addz(b, "<td>");
        add_html(b, m->fields.items[i].value);
        buf_addz(b, "\n");
    }
    buf_addz(b, "</table>\n<pre>");
    add_html(b, buf_str(&m->body));
    buf_addz(b, "</pre>\n");
}

static void answer(struct peer_io *p, const struct message *m)
{
    const struct field *accept = field_find(&m->fields, STR("Accept")), *connection = field_find_id(&m->fields, FIELD_CONNECTION);
    bool is_page = accept && str_find(accept->value, STR("text/html")) >= 0;
    struct buf body = {0};

    p->keeps_alive = m->line.version >= 1001 && !(connection && str_ifind(connection->value, STR("close")) >= 0);
    (is_page ? write_page : write_json)(&body, p, m);
    buf_printf(&p->out, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nX-Backend: %s\r\n%.*s%s\r\n", status,
               status == 200 ? "OK" : "As Asked", is_page ? "text/html; charset=utf-8" : "application/json", buf_len(&body), name,
               STR_ARG(buf_str(&extra)), p->keeps_alive ? "" : "Connection: close\r\n");
    if (!str_eq(m->line.method, STR("HEAD")))
        buf_adds(&p->out, buf_str(&body));
    buf_free(&body);
}

static void flush(struct peer_io *p)
{
    while (buf_len(&p->out)) {
        ssize_t n = send(p->io.fd, buf_str(&p->out).p, buf_len(&p->out), MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            done(p);
            return;
        }
        buf_consume(&p->out, (size_t)n);
    }
    if (buf_len(&p->out) == 0 && !p->keeps_alive) {
        done(p);
        return;
    }
    loop_watch(loop, &p->io, IO_READ | (buf_len(&p->out) ? IO_WRITE : 0));
}

static void delayed(struct timer *t)
{
    flush(t->data);
}

static void handle(struct io *io, unsigned ready)
{
    struct peer_io *p = io->data;
    ssize_t n;

    if (ready & IO_WRITE) {
        flush(p);
        return;
    }
    n = recv(io->fd, buf_reserve(&p->in, 16384), 16384, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        done(p);
        return;
    }
    p->in.end += (size_t)n;
    for (;;) {
        struct arena *a = arena_new(4096);
        struct message m = {0};
        int rc = buf_len(&p->in) ? parse(a, buf_str(&p->in), &m) : 0;
        if (rc > 0) {
            answer(p, &m);
            buf_consume(&p->in, m.consumed);
        }
        buf_free(&m.body);
        arena_free(a);
        if (rc < 0) {
            buf_addz(&p->out, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            p->keeps_alive = false;
        }
        if (rc <= 0)
            break;
    }
    if (buf_len(&p->out) == 0)
        return;
    if (delay_ms)
        timer_start(loop, &p->timer, delay_ms);
    else
        flush(p);
}

static void accept_one(struct io *io, unsigned ready)
{
    int fd = accept4(io->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct peer_io *p;

    (void)ready;
    if (fd < 0)
        return;
    p = mem_zalloc(sizeof *p);
    p->io = (struct io){.fd = fd, .handler = handle, .data = p};
    p->timer.handler = delayed;
    p->timer.data = p;
    p->address = ((struct address *)io->data)->text;
    p->keeps_alive = true;
    loop_watch(loop, &p->io, IO_READ);
}

static int listen_on(const char *where)
{
    address_array found = {0};
    const char *error = address_parse(memory, str_of(where), 9001, &found);
    int one = 1;

    if (error) {
        fprintf(stderr, "glassproxy: %s in \"%s\"\n", error, where);
        return -1;
    }
    for (size_t i = 0; i < found.n; i++) {
        struct io *io = mem_zalloc(sizeof *io);
        int fd = socket(found.items[i].u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (found.items[i].u.any.sa_family == AF_UNIX)
            unlink(found.items[i].u.un.sun_path);
        if (fd < 0 || bind(fd, &found.items[i].u.any, found.items[i].bytes) < 0 || listen(fd, 511) < 0) {
            fprintf(stderr, "glassproxy: cannot listen on %.*s: %s\n", STR_ARG(found.items[i].text), strerror(errno));
            return -1;
        }
        *io = (struct io){.fd = fd, .handler = accept_one, .data = &found.items[i]};
        loop_watch(loop, io, IO_READ);
    }
    return 0;
}

static void stop(int signal_number)
{
    (void)signal_number;
    loop_stop(loop);
}

int command_backend(int argc, char **argv)
{
    bool is_listening = false;
    int option;

    loop = loop_new();
    memory = arena_new(4096);
    while ((option = getopt(argc, argv, "l:n:s:d:H:h")) != -1)
        switch (option) {
        case 'l':
            if (listen_on(optarg) < 0)
                return 1;
            is_listening = true;
            break;
        case 'n': name = optarg; break;
        case 's': status = (unsigned)atoi(optarg); break;
        case 'd': delay_ms = strtoul(optarg, NULL, 10); break;
        case 'H': buf_printf(&extra, "%s\r\n", optarg); break;
        default: fputs(usage, option == 'h' ? stdout : stderr); return option == 'h' ? 0 : 1;
        }
    if (status < 200 || status > 599 || optind < argc) {
        fputs(usage, stderr);
        return 1;
    }
    if (!is_listening && listen_on("127.0.0.1:9001") < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    loop_on_signal(loop, SIGTERM, stop);
    loop_on_signal(loop, SIGINT, stop);
    loop_run(loop);
    return 0;
}
