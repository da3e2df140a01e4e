#!/usr/bin/env python3
"""Random, mostly hostile requests through nginx and glassproxy. Usage: random_requests.py GLASSPROXY [COUNT] [SEED]"""
import random, sys

import run

CONF = """
large_client_header_buffers 4 1k;
server { listen @LISTEN@; server_name a.test; client_max_body_size 100;
  location / { proxy_pass http://@UPSTREAM@; }
  location /r/ { proxy_pass http://@UPSTREAM@/x/; proxy_set_header Host $host; proxy_set_header X-F $proxy_add_x_forwarded_for; proxy_set_header X-U $uri; }
  location /t { return 200 "$host|$uri|$args|$http_x_a|$cookie_a|$request_method|$content_length|$arg_a"; }
  location ~* \\.(gif|php)$ { return 200 "re $1 $uri"; }
  location /f/ { alias @DIR@/; }
  location /rw { rewrite ^/rw/([^/]*)/(.*)$ /r/$2?a=$1 last; rewrite ^/rw(.*)$ /t$1? break; proxy_pass http://@UPSTREAM@; }
}
server { listen @LISTEN@; server_name *.b.test; location / { return 200 "b $host"; } }
"""
METHODS = [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"get", b"G@T", b"PROPFIND", b"TRACE", b"CONNECT", b"A-B", b""]
PATHS = [b"/", b"/r/a", b"/t?a=1&b=2", b"/x.gif", b"/f/a.txt", b"/f/dir", b"/rw/q/z?y", b"/rw", b"/%2e%2e/r", b"/r/%2F/..%2f", b"/r//a/./../b", b"*", b"http://x.b.test/q",
         b"//", b"/r/\xc3\xbc", b"/t?%00", b"/r/a%20b%3f", b"/r/a#f", b"/./r/.", b"/r/..", b"/f/../f/a.txt", b"/r/a?", b"/r/?a?b#c", b"/%", b"/%4", b"HTTP://b.test", b"/\x7f", b"/r/a+b%2B"]
VERSIONS = [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.1 ", b"HTTP/1.10", b"HTTP/01.1", b"http/1.1", b"HTTP/2.0", b"HTTP/1", b"", b"HTTP/0.9", b"HTTP/1.1\t"]
FIELDS = [b"Host: a.test", b"Host: x.b.test:80", b"host:a.test", b"Host: ", b"Host: a b", b"Host: a.test\x00", b"X-A: 1", b"X-A:  spaced  ", b"X-A:\tt\t", b"x_a: 1", b"X A: 1", b"X-A : 1",
          b": empty", b"novalue", b"Cookie: a=1; b=2", b"Cookie: b=3; a=\"q\"", b"Connection: close", b"Connection: keep-alive", b"Connection: Upgrade", b"Upgrade: x", b"Content-Length: 3", b"Content-Length: 0",
          b"Content-Length: 03", b"Content-Length: 3 ", b"Content-Length: 3, 3", b"Content-Length: x", b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked",
          b"Transfer-Encoding: identity", b"Transfer-Encoding:chunked ", b"Transfer-Encoding: chunked, chunked", b"Expect: 100-continue", b"Expect: x", b"Range: bytes=0-1", b"Range: bytes=5-1", b"Range: bytes=-0,1-2",
          b"If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT", b"If-None-Match: *", b"If-Match: *", b"X-Forwarded-For: 1.1.1.1, 2.2.2.2", b"TE: x", b"Keep-Alive: 1", b"X-\xff: 1", b"X-A: \xff", b" folded",
          b"Referer: " + b"r" * 600, b"User-Agent: MSIE 6.0", b"Accept-Encoding: gzip"]
BODIES = [b"", b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"3;x\r\nabc\r\n0\r\nT: v\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"zz\r\n", b"0\r\n\r\nGET /t HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", b"ffffffffffffffff\r\n", b"03\r\nabc\r\n00\r\n\r\n"]


def make(rng):
    pick = rng.choice
    head = [pick(METHODS) if rng.random() < 0.4 else b"GET", pick(PATHS), pick(VERSIONS) if rng.random() < 0.3 else b"HTTP/1.1"]
    line = b" ".join(p for p in head if p or rng.random() < 0.5)
    fields = [pick(FIELDS) for _ in range(rng.randrange(5))]
    if rng.random() < 0.8:
        fields.insert(0, b"Host: a.test")
    if rng.random() < 0.7:
        fields.append(b"Connection: close")
    end = b"\r\n" if rng.random() < 0.9 else b"\n"
    request = end.join([line] + fields) + end + end + pick(BODIES)
    if rng.random() < 0.15:
        at = rng.randrange(len(request))
        request = request[:at] + bytes([rng.choice([0, 9, 10, 13, 32, 37, 58, 127, 255])]) + request[at + rng.randrange(2):]
    return request


def main():
    count, seed = int(sys.argv[2]) if len(sys.argv) > 2 else 500, int(sys.argv[3]) if len(sys.argv) > 3 else 1
    rng = random.Random(seed)
    cases = [run.Case("random %d of seed %d" % (i, seed), make(rng)) for i in range(count)]
    size = (count + 15) // 16
    return run.compare_groups(sys.argv[1], "/usr/sbin/nginx", [(CONF, cases[i:i + size]) for i in range(0, count, size)])


if __name__ == "__main__":
    sys.exit(main())
