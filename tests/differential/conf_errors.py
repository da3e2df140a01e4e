"""What nginx -t says of directives in every context with few, many and odd arguments, and what we say: usage conf_errors.py BINARY [CASES|DIRECTIVE…].

Every directive of the tables is tried; one that nginx does not have, or that we say is not implemented, is left out. The first
error must be the same, word for word, and so must the verdict."""
import concurrent.futures, os, pathlib, random, re, subprocess, sys, tempfile

CONTEXTS = {
    "main": "%s\nevents {} http { server { listen 127.0.0.1:8199; } }",
    "events": "events {\n%s\n} http { server { listen 127.0.0.1:8199; } }",
    "http": "events {} http {\n%s\nserver { listen 127.0.0.1:8199; } }",
    "server": "events {} http { server { listen 127.0.0.1:8199;\n%s\n} }",
    "location": "events {} http { server { listen 127.0.0.1:8199; location / {\n%s\n} } }",
    "if": "events {} http { server { listen 127.0.0.1:8199; location / { if ($args) {\n%s\n} } } }",
    "server if": "events {} http { server { listen 127.0.0.1:8199; if ($args) {\n%s\n} } }",
    "limit_except": "events {} http { server { listen 127.0.0.1:8199; location / { limit_except GET {\n%s\n} } } }",
    "upstream": "events {} http { upstream u { server 127.0.0.1:1;\n%s\n} server { listen 127.0.0.1:8199; } }",
}
ARGUMENTS = ("", "1", "on", "off", "x", "10k", "5s", "-1", "$uri", "''", "/a", "x y", "1 2", "404 /x", "$a b", "x y z", "1 2 3 4", "a b c d e f g h i")
# Where we differ on purpose, or nginx says something of the machine.
LEFT_OUT = {"http", "server", "location", "if", "types", "map", "geo", "split_clients", "upstream", "limit_except", "events", "charset_map",
            "include", "load_module", "user", "pid", "error_log", "access_log", "daemon", "master_process", "worker_cpu_affinity", "lock_file"}

# Lines whose parameters have rules of their own: always tried.
LINES = {
    "server": ["listen 127.0.0.1:8198 %s;" % p for p in (
        "bind", "deferred", "fastopen=x", "backlog=0", "rcvbuf=x", "sndbuf=-1", "so_keepalive=x", "so_keepalive=30m::10", "so_keepalive=::", "ipv6only=oops",
        "ipv6only=x", "setfib=1", "frob", "default_server", "bind; listen 127.0.0.1:8198", "; listen 127.0.0.1:8198 default_server")] + [
        "listen 99999;", "listen unix:;", "listen 127.0.0.1:0;", "listen [::1;", "listen [::1]:x;", "listen *:8198;", "listen :8198;", "listen 8198-8190;", "listen a/b;",
        "server_name *;", "server_name a*b;", "server_name *.a.*;", "server_name .;", "server_name ~;", "server_name ~(;", "server_name ~(?<x>a) ~(?<y>b);", "server_name www.*;",
        "return;", "return 200;", "return 200 a b;", "return 1000;", "return abc;", "return http://x;", "return $uri;", "return -1;", "return 99;", "return 999 x;",
        "rewrite a;", "rewrite ( b;", "rewrite a b c;", "rewrite a b last break;", "rewrite a b permanent;", "rewrite a $9;", "rewrite ^ http://$host$request_uri? redirect;",
        "set a b;", "set $a;", "set $ b;", "set $a $a;", "set $a ${a;", "set $a $;", "set $a ${};", "set $1 b;", "set $uri x;", "set $args x;",
        "if (a) { }", "if ($a) { }", "if ($uri = x) { }", "if ($uri == x) { }", "if ($uri ~ ( ) { }", "if (-f) { }", "if (-q $uri) { }", "if ($uri x y) { }", "if $uri { }", "if ( $uri ) { }",
        "if ($uri != \"\") { set $b 1; }", "if (!-e $uri) { }", "if ($uri !~* x) { }", "if () { }", "if ($uri =) { }",
        "location { }", "location /a /b { }", "location = { }", "location ~ ( { }", "location ^~ /a { location /b { } }", "location /a { location /a/b { } }", "location @a { location /b { } }",
        "location = /a { location /a { } }", "location /a { } location /a { }", "location ~ a { location /a { } }", "location @n { } location @n { }", "location =/a { }", "location ~* { }",
        "location / { proxy_pass http://127.0.0.1:1/; } location ~ x { proxy_pass http://127.0.0.1:1/; }", "location / { proxy_pass ftp://x; }", "location / { proxy_pass http://; }",
        "location / { proxy_pass 127.0.0.1; }", "location / { proxy_pass http://127.0.0.1:99999; }", "location / { proxy_pass http://unix:/x; }", "location / { proxy_pass http://unix:/x:; }",
        "location / { proxy_pass http://127.0.0.1:1; proxy_pass http://127.0.0.1:2; }", "location @a { proxy_pass http://127.0.0.1:1/x; }", "location / { if ($args) { proxy_pass http://127.0.0.1:1/x; } }",
        "location / { proxy_pass http://nonexistent.invalid; }", "location / { proxy_pass http://$host; }", "location / { proxy_redirect default; }",
        "location / { proxy_pass http://$host; proxy_redirect default; }", "location / { proxy_pass http://127.0.0.1:1; proxy_redirect ~( x; }", "location / { proxy_redirect a; }",
        "location / { proxy_cookie_path ~( x; }", "location / { proxy_cookie_flags a; }", "location / { proxy_cookie_flags a b; }", "location / { proxy_cookie_domain off a; }",
        "location / { alias /a; root /b; }", "location / { root /a; root /b; }", "location / { root /a; alias /b; }", "location / { try_files /a; }", "location / { try_files a =x; }", "location / { try_files $uri =404; }",
        "location / { limit_except { } }", "location / { limit_except FOO { } }", "location / { limit_except GET POST { deny all; } }", "location / { error_page; }", "location / { error_page 404; }",
        "location / { error_page 200 /x; }", "location / { error_page 404 =x /x; }", "location / { error_page 404 = /x; }", "location / { error_page 600 /x; }", "location / { error_page a /x; }", "location / { error_page 499 404 =200 @x; }",
        "location / { add_header a; }", "location / { add_header a b c; }", "location / { add_header a b always; }", "location / { add_trailer a b x; }", "location / { expires modified; }",
        "location / { expires @25h; }", "location / { expires modified @1h; }", "location / { expires modified -1h; }", "location / { internal x; }", "location / { types { text/html; } }", "location / { types { a b c; } }",
        "location / { allow x; }", "location / { deny 10.0.0.1/33; }", "location / { allow 10.0.0.1/8; }", "location / { deny all; allow unix:; }", "location / { satisfy some; }",
        "location / { access_log logs/a nothing; }", "location / { access_log logs/a combined buffer=x; }", "location / { access_log logs/a combined gzip=10; }", "location / { access_log off x; }", "location / { access_log logs/a combined if=; }",
        "location / { error_log logs/a nothing; }", "location / { error_log logs/a debug_http; }", "location / { keepalive_timeout 1 x; }", "location / { charset; }", "location / { gzip_types; }",
        "location / { limit_req zone=none; }", "location / { limit_req; }", "location / { limit_req burst=1; }", "location / { gzip_proxied x; }", "location / { proxy_next_upstream x; }", "location / { proxy_next_upstream off error; }",
        "location / { real_ip_header x y; }", "location / { proxy_http_version 2.0; }", "location / { proxy_set_header a; }", "location / { proxy_set_header a $nothing; }", "location / { resolver 127.0.0.1 valid=x; }", "location / { resolver 127.0.0.1 ipv6=x; }"],
    "http": ["map $uri $a { a; }", "map $uri { a b; }", "map uri $a { a b; }", "map $uri a { a b; }", "map $uri $a { a b c; }", "map $uri $a { hostnames; *.a 1; a.* 2; default 3; }", "map $uri $a { a 1; a 2; }",
             "map $uri $a { ~( 1; }", "map $uri $a { volatile; default 1; }", "map $uri $a { include nothing; }", "map $uri $a { default 1; default 2; }", "map $uri $a { hostnames; *.a 1; *.a 2; }", "map $uri $uri { a b; }",
             "geo $a { 10.0.0.0/33 1; }", "geo $a { 10.0.0.1/8 1; }", "geo $uri $a { default x; }", "geo a { }", "geo $a { ranges; 1.2.3.4 x; }", "geo $a { ranges; 1.2.3.4-1.2.3.1 x; }", "geo $a { 1.2.3.4 x; ranges; }", "geo $a { proxy x; }",
             "geo $a { delete 1.2.3.4; }", "geo $a { 1.2.3.4 a; 1.2.3.4 b; }", "geo $a { a; }", "split_clients $uri { }", "split_clients $uri $a { 10% a; * b; }", "split_clients $uri $a { 110% a; }", "split_clients $uri $a { 60% a; 60% b; }",
             "split_clients $uri $a { x% a; }", "split_clients uri $a { * b; }", "split_clients $uri $a { 0.001% a; * b; }", "split_clients $uri $a { 0% a; }", "log_format a;", "log_format a b; log_format a c;", "log_format combined a;", "log_format a escape=x b;", "log_format a $nothing_at_all;",
             "limit_req_zone $uri;", "limit_req_zone $uri zone=a:1m;", "limit_req_zone $uri zone=a:1m rate=1r/s;", "limit_req_zone $uri zone=a rate=1r/s;", "limit_req_zone $uri zone=a:1k rate=1r/s;", "limit_req_zone $uri zone=a:1m rate=xr/s;", "limit_req_zone $uri rate=1r/s;",
             "upstream a { }", "upstream a { server; }", "upstream a { server 127.0.0.1:1 x; }", "upstream a { server 127.0.0.1:1 weight=0; }", "upstream a { server 127.0.0.1:1 max_fails=x; }", "upstream a { server 127.0.0.1:1 fail_timeout=x; }", "upstream a { server 127.0.0.1:1 down backup; }",
             "upstream a { server 127.0.0.1:1 backup; }", "upstream a { server 127.0.0.1:1; } upstream a { server 127.0.0.1:1; }", "upstream a { server 127.0.0.1:x; }", "upstream a { server a/b; }", "upstream a { keepalive 2; server 127.0.0.1:1; }", "upstream a { server 127.0.0.1:1; keepalive 0; }",
             "upstream a { server unix:; }", "upstream a { server nonexistent.invalid; }", "upstream a { server http://127.0.0.1; }", "upstream { server 127.0.0.1; }", "upstream a b { server 127.0.0.1; }", "types { text/html html; text/plain html; }", "include nothing.conf;", "include nothing*.conf;", "include;",
             "charset_map a b { 80 81; }", "charset_map a { }", "charset_map a a { }", "charset_map a b { 80; }", "charset_map a b { xx yy; }", "server { listen 127.0.0.1:8197; } server { listen 127.0.0.1:8197 default_server; server_name a; } server { listen 127.0.0.1:8197 default_server; }"],
}


def directives():
    names = set()
    for path in pathlib.Path(__file__).parents[2].glob("proxy/**/*.c"):
        names.update(re.findall(r'^\s*\{"(\w+)", (?:IN_|\()', path.read_text(), re.M))
    return sorted(n for n in names - LEFT_OUT if not n.startswith("glass_"))


def first_error(binary, prefix, conf):
    r = subprocess.run([binary, "-t", "-p", prefix, "-c", conf, "-e", "stderr"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    for line in r.stdout.split("\n"):
        m = re.search(r"\[emerg\] (?:\d+#\d+: )?(.*)", line)
        if m:
            said = m.group(1).replace(conf, "CONF")
            # nginx names no line for these, or that of the closing brace of http
            return re.sub(r" in CONF:\d+$", "", said) if re.search(r"^unknown \"\w+\" variable|zero size shared|proxy_buffers|connection_pool_size\"$|connection_pool_size\" in|at least 2", said) else said
    return None if r.returncode == 0 else r.stdout


def one(job):
    binary, prefix, name, context, arguments = job
    with tempfile.NamedTemporaryFile("w", dir=prefix, suffix=".conf") as f:
        f.write(CONTEXTS[context] % (arguments if name is None else "%s %s;" % (name, arguments)))
        f.flush()
        theirs, ours = first_error("nginx", prefix, f.name), first_error(binary, prefix, f.name)
    if theirs == ours or (theirs and "unknown directive" in theirs) or (ours and "not implemented" in ours):
        return None
    return "%s: %s %s\n    nginx: %s\n    we:    %s" % (context, name or "", arguments, theirs, ours)


def main():
    binary = os.path.abspath(sys.argv[1])
    rest = sys.argv[2:]
    sample = int(rest.pop(0)) if rest and rest[0].isdigit() else 0
    only = set(rest)
    with tempfile.TemporaryDirectory() as prefix:
        os.mkdir(prefix + "/logs")
        jobs = [(binary, prefix, name, context, arguments) for name in directives() if not only or name in only
                for context in CONTEXTS for arguments in ARGUMENTS]
        if sample:
            jobs = random.Random(os.environ.get("SEED")).sample(jobs, sample)
        if not only:
            jobs += [(binary, prefix, None, context, line) for context in LINES for line in LINES[context]]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            differ = [d for d in pool.map(one, jobs) if d]
    print("\n".join(differ))
    print("configuration errors: %d cases, %d differ" % (len(jobs), len(differ)))
    sys.exit(bool(differ))


main()
