"""Exhaustive tables: every request against every form of location and proxy_pass."""

URIS = ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c?x=1&y=%20", "/ab", "/A/B", "/a//b", "/a/./b", "/a/../a/b", "/a/%62", "/a/%2Fb", "/a/b%20c",
        "/a/b%3Fc", "/a/%25", "/a/b+c", "/a/b;c=d", "/a/b#frag", "/a?q", "/a/?", "/a/%C3%BC", "/a/b%00", "/../a", "/a/..", "/a/b.php",
        "/a/b.PHP", "/x/y.php/z", "/%61/b", "/a/b?c=d?e", "/a/b%0Ac", "/a/%zz", "http://other/a/b", "*"]

PASSES = ["http://@UPSTREAM@", "http://@UPSTREAM@/", "http://@UPSTREAM@/u", "http://@UPSTREAM@/u/", "http://@UPSTREAM@/u?k=v",
          "http://@UPSTREAM@$request_uri", "http://@UPSTREAM@$uri", "http://@UPSTREAM@/v$is_args$args", "http://$upstream_name"]


def get(uri, host="a.test"):
    return ("GET %s HTTP/1.0\r\nHost: %s\r\n\r\n" % (uri, host)).encode()


def groups():
    for place in ("/a/", "/a", "/a/b", "/"):
        for number, to in enumerate(PASSES):
            conf = ("server { listen @LISTEN@; set $upstream_name @UPSTREAM@; location %s { proxy_pass %s; } }" % (place, to))
            yield conf, [("location %s proxy_pass %s: %s" % (place, to, u), get(u)) for u in URIS]
    rewrites = ["rewrite ^/a/(.*)$ /n/$1 break;", "rewrite ^/a/(.*)$ /n/$1? break;", "rewrite ^/a/(.*)$ /n/$1?k=v break;",
                "rewrite ^/a/(.*)$ /n/$1 last;", "rewrite ^/a/(.*)$ /n/$1;", "rewrite ^/a/b$ http://h/$1 redirect;",
                "rewrite ^(.*)$ $1?u=$uri permanent;", "if ($args) { rewrite ^ /with-args break; }"]
    for rewrite in rewrites:
        for to in ("http://@UPSTREAM@", "http://@UPSTREAM@/u/"):
            conf = ("server { listen @LISTEN@; location /a/ { %s proxy_pass %s; } location /n/ { proxy_pass http://@UPSTREAM@/last/; } }"
                    % (rewrite, to))
            yield conf, [("%s with proxy_pass %s: %s" % (rewrite, to, u), get(u)) for u in URIS]
    locations = """server { listen @LISTEN@;
        location = / { return 200 exact-root; } location / { return 200 root; } location /a { return 200 a; }
        location ^~ /a/b { return 200 no-regex; } location ~ \\.php$ { return 200 php; } location ~* \\.PHP$ { return 200 php-caseless; }
        location /x/ { return 200 x; location ~ ^/x/y { return 200 nested; } location = /x/z { return 200 x-z; } }
        location "/sp ace" { return 200 space; } location ~ ^/user/(?<id>\\d+)$ { return 200 "user $id $1"; }
        location @named { return 200 named; } location /try { try_files /nothing @named; } location /in { internal; return 200 internal; } }"""
    more = ["/sp%20ace", "/sp%20ace/x", "/user/42", "/user/x", "/x/", "/x/y", "/x/z", "/x", "/try", "/in", "/a/b/c.php", "/a/c.php", "/a/c.PHP", "/@named", "//a//b"]
    yield locations, [("locations: %s" % u, get(u)) for u in URIS + more]
    names = """server { listen @LISTEN@ default_server; server_name _; return 200 default; }
        server { listen @LISTEN@; server_name a.test www.a.test; return 200 exact; }
        server { listen @LISTEN@; server_name *.a.test; return 200 leading; }
        server { listen @LISTEN@; server_name .b.test; return 200 "dot $server_name"; }
        server { listen @LISTEN@; server_name www.*; return 200 trailing; }
        server { listen @LISTEN@; server_name ~^(?<who>.+)\\.re\\.test$; return 200 "regex $who"; }
        server { listen @LISTEN@; server_name ""; return 200 "no host"; }"""
    hosts = ["a.test", "A.TEST", "www.a.test", "x.a.test", "x.y.a.test", "b.test", "x.b.test", "www.zz", "www.b.test", "joe.re.test", "nothing", "a.test.",
             "a.test:80", "", "a.test:port", "[::1]", "a..test", ".", "a/b", "a test", "-", "127.0.0.1", "WWW.Zz", "re.test", "x.re.test."]
    yield names, [("server names: %r" % h, get("/", h)) for h in hosts] + [("server names: none", b"GET / HTTP/1.0\r\n\r\n")]
