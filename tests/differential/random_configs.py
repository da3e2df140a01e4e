#!/usr/bin/env python3
"""Random configurations through nginx and through glassproxy: both must accept or refuse each, and answer alike.

Usage: random_configs.py GLASSPROXY [COUNT [SEED]]"""
import os, pathlib, random, subprocess, sys, tempfile

import run

PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/", "/img/", "/x.php", "/dir", "/dir/", "/dir/index.html", "/a.txt", "/a%2Fb", "/a//b", "/a/./b", "/a/../a.txt", "/%41", "/a%20b",
         "/old/x", "/nowhere", "/a?x=1", "/a/?x=1&y=2", "/x.php?a", "/A", "/a+b", "/%", "/a/b/c.txt", "/dir/sub%20dir/", "/e/404"]
HOSTS = ["a.test", "www.a.test", "b.test", "x.b.test", "c.test.", "A.TEST", "other", "n1.c.test", ""]
NAMES = ["a.test", "*.a.test", ".b.test", "www.*", "~^n(?<num>\\d)\\.c\\.test$", "b.test", '""', "_"]
FIELDS = ["X-A: 1", "X-A: 0", "Cookie: k=v; l=m", "User-Agent: ua/1.0", "Accept-Encoding: gzip", "If-None-Match: \"x\"", "Range: bytes=0-3", "X-Forwarded-For: 1.2.3.4", "Referer: http://r/",
          "Upgrade: websocket", "Via: 1.1 p", "Connection: keep-alive", "TE: trailers", "X_Bad: 1"]
VALUES = ["1", "$host", "$uri", "$request_uri", "$args", "$http_x_a", "$arg_x", "$scheme", "${host}x", "'a b'", "\"q\"", "$remote_addr", "$m", "$proxy_add_x_forwarded_for", "$is_args$args", "''", "$cookie_k",
          "$request_method", "$document_uri", "$v"]
CODES = ["200", "204", "301", "302", "303", "307", "400", "403", "404", "410", "418", "500", "503", "444"]


class Maker:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def some(self, makers, most):
        return [m() for m in self.r.choices(makers, k=self.r.randrange(most + 1))]

    def value(self):
        return self.r.choice(VALUES)

    def add_header(self):
        return "add_header X-H%d %s%s;" % (self.r.randrange(3), self.value(), self.r.choice(["", " always"]))

    def set_header(self):
        return "proxy_set_header %s %s;" % (self.r.choice(["Host", "X-S", "X-A", "Connection", "User-Agent", "X-Forwarded-For"]), self.value())

    def misc(self):
        return self.r.choice(["expires 1h;", "expires -1;", "expires max;", "expires off;", "server_tokens off;", "etag off;", "default_type text/x;", "charset utf-8;", "gzip on;", "gzip_vary on;", "gzip_min_length 0;",
                              "gzip_types *;", "proxy_redirect off;", "proxy_redirect http://up/ /p/;", "proxy_hide_header X-Up;", "proxy_pass_header Server;", "absolute_redirect off;", "port_in_redirect off;",
                              "server_name_in_redirect on;", "proxy_buffering off;", "proxy_cookie_path / /c/;", "proxy_intercept_errors on;", "msie_padding off;", "if_modified_since off;",
                              "max_ranges 0;", "log_not_found off;", "proxy_pass_request_headers off;", "proxy_method PUT;", "proxy_set_body x$args;", "keepalive_timeout 0;",
                              "proxy_ignore_headers X-Accel-Redirect;", "recursive_error_pages on;", "chunked_transfer_encoding off;", "override_charset on;", "satisfy any;", "deny 10.0.0.1;", "allow all;"])

    def error_page(self):
        return "error_page %s %s;" % (self.r.choice(["404", "403 404", "500 502", "418", "301", "410 =200", "404 =", "404 =301"]), self.r.choice(["/e/404", "/a.txt", "@n", "http://e.test/", "/dir/index.html"]))

    def rewrite(self):
        return "rewrite %s %s%s;" % (self.r.choice(["^/a/(.*)$", "^/old/(.*)$", "^(.*)$", "b", "^/(.)", "^/x\\.php$"]), self.r.choice(["/new/$1", "/a.txt", "/b?z=1", "/b/$1?", "http://r.test/$1", "$scheme://r.test$uri", "/a/$host"]),
                                     self.r.choice(["", " last", " break", " redirect", " permanent"]))

    def set(self):
        return "set $v %s;" % self.value()

    def ret(self):
        code = self.r.choice(CODES)
        return "return %s;" % self.r.choice([code, code + " text$uri", code + " /to", code + " http://to.test$request_uri", "https://to.test/", code + " \"\""])

    def condition(self):
        return self.r.choice(["$args", "$http_x_a = 1", "$uri ~ ^/a(.*)", "$request_method != GET", "!-f $request_filename", "-d $request_filename", "$arg_x ~* ^1", "$host !~ a", "-e @DIR@/a.txt", "$m"])

    def if_block(self, depth):
        return "if (%s) { %s }" % (self.condition(), " ".join(self.some([self.add_header, self.set, self.rewrite, self.ret, lambda: "break;", self.set, lambda: self.proxy(False)], 2)))

    def proxy(self, may_have_uri=True):
        """nginx refuses a URI in regular expressions' locations and in `if`, unless it has variables."""
        return "proxy_pass http://@UPSTREAM@%s;" % self.r.choice(["", "", "/u/$uri", "$request_uri"] + ["/", "/u", "/u/", "/u?k=v", "/v/%41"] * (may_have_uri or self.r.random() < 0.01))

    def files(self):
        return self.r.choice(["root @DIR@;", "alias @DIR@/;", "alias @DIR@/dir/;", "root @DIR@; index index.html a.txt;", "root @DIR@; try_files $uri $uri/ /a.txt;", "root @DIR@; try_files /no =404;",
                              "root @DIR@; try_files $uri @n;", "root @DIR@; try_files /none /dir/index.html;"])

    def location(self, depth):
        kind = self.r.choice(["", "", "", "= ", "^~ ", "~ ", "~* "])
        if kind in ("~ ", "~* "):
            name = self.r.choice(["^/a", "\\.php$", "^/(?<cap>.)", "b", "\\.txt$", "^/A", "(a|img)/(.*)$"])
        else:
            name = self.r.choice(["/", "/a", "/a/", "/a/b", "/img/", "/dir/", "/old", "/x.php", "/e", "/A", "/a+b", "/dir"])
        proxy = lambda: self.proxy(not kind.startswith("~"))
        makers = [self.add_header, self.set_header, self.misc, self.error_page, self.rewrite, self.set, lambda: self.if_block(depth)]
        body = self.some(makers, 3) + [self.r.choice([proxy, proxy, proxy, self.files, self.files, self.ret, lambda: "", lambda: "internal;"])()]
        if depth < 1 and self.r.random() < 0.15:
            body += self.some([lambda: self.location(depth + 1)], 2)
        if self.r.random() < 0.1:
            body.append("limit_except GET { deny all; }")
        return "location %s%s { %s }" % (kind, name, " ".join(body))

    def server(self, i):
        makers = [self.add_header, self.set_header, self.misc, self.error_page, self.rewrite, self.set, lambda: self.if_block(0)]
        weights = self.some(makers, 2)
        locations = [self.location(0) for _ in range(self.r.randrange(1, 6))]
        return "server { listen @LISTEN@%s; server_name %s; set $v s; %s\n%s\nlocation @n { %s }\n}" % (
            " default_server" if i == 0 else "", " ".join(sorted(set(self.r.choices(NAMES, k=self.r.randrange(1, 3))))), " ".join(weights), "\n".join(locations),
            self.r.choice(["return 200 named;", "proxy_pass http://@UPSTREAM@;", "rewrite ^ /a.txt last;"]))

    def conf(self):
        return "map $http_x_a $m { default d; 1 one; ~^0 zero; }\n%s\n%s" % (" ".join(self.some([self.add_header, self.set_header, self.misc, self.error_page], 2)),
                                                                            "\n".join(self.server(i) for i in range(self.r.randrange(1, 3))))

    def request(self):
        method = self.r.choice(["GET", "GET", "GET", "HEAD", "POST", "PUT"])
        body = self.r.choice(["", "x=y"]) if method in ("POST", "PUT") else ""
        host = self.r.choice(HOSTS)
        fields = sorted(set(self.r.choices(FIELDS, k=self.r.randrange(3))))
        lines = ["%s %s HTTP/1.1" % (method, self.r.choice(PATHS)), "Host: " + host] + fields + (["Content-Length: %d" % len(body)] if body else []) + ["Connection: close", "", body]
        return "\r\n".join(lines).encode()

    def answer(self):
        body = self.r.choice([b"ok\n", b"<html>" + b"x" * 300, b""])
        head = self.r.choice([b"200 OK", b"404 Not Found", b"302 Found\r\nLocation: http://up/x", b"500 Oops", b"301 Moved\r\nLocation: /y", b"403 No", b"204 No Content",
                              b"200 OK\r\nX-Accel-Redirect: /a.txt", b"200 OK\r\nContent-Encoding: gzip"])
        extra = self.r.choice([b"", b"\r\nX-Up: 1", b"\r\nSet-Cookie: a=b; path=/", b"\r\nServer: up", b"\r\nETag: \"x\"", b"\r\nCache-Control: private\r\nExpires: Thu, 01 Jan 1970 00:00:01 GMT"])
        length = b"" if head.startswith(b"204") else b"\r\nContent-Length: %d" % len(body)
        return b"HTTP/1.1 " + head + b"\r\nContent-Type: " + self.r.choice([b"text/html", b"text/plain; charset=koi8-r", b"image/png"]) + extra + length + b"\r\nConnection: close\r\n\r\n" + (b"" if head.startswith(b"204") else body)


def accepts(binary, conf, directory):
    conf = conf.replace("@LISTEN@", "127.0.0.1:1").replace("@LISTEN2@", "127.0.0.1:2").replace("@UPSTREAM@", "127.0.0.1:3").replace("@DIR@", directory)
    path = pathlib.Path(directory, "nginx.conf")
    path.write_text("pid %s/pid;\nerror_log %s/log;\nevents {}\nhttp {\naccess_log off;\n%s\n}\n" % (directory, directory, conf))
    result = subprocess.run([binary, "-t", "-q", "-p", directory, "-c", str(path)], capture_output=True, text=True)
    if "bind()" in result.stderr and "[emerg]" in result.stderr and len([l for l in result.stderr.splitlines() if "[emerg]" in l]) == 1:
        return True, ""
    return result.returncode == 0, result.stderr


def main():
    ours, theirs = sys.argv[1], "/usr/sbin/nginx"
    count, seed = int(sys.argv[2]) if len(sys.argv) > 2 else 100, int(sys.argv[3]) if len(sys.argv) > 3 else 1
    groups, refused, bad = [], 0, 0
    with tempfile.TemporaryDirectory() as directory:
        for i in range(count):
            maker = Maker(seed * 100000 + i)
            conf = maker.conf()
            nginx, glass = accepts(theirs, conf, directory), accepts(ours, conf, directory)
            if nginx[0] != glass[0]:
                bad += 1
                print("not the same: configuration %d: nginx %s, glassproxy %s\n%s%s%s" % (i, nginx[0], glass[0], conf, nginx[1], glass[1]))
            elif not nginx[0]:
                refused += 1
            else:
                groups.append((conf, [run.Case("%d.%d" % (i, k), maker.request(), maker.answer()) for k in range(12)]))
    print("random configurations: %d accepted, %d refused by both, %d by one" % (len(groups), refused, bad))
    return run.compare_groups(ours, theirs, groups) or bad > 0


if __name__ == "__main__":
    sys.exit(main())
