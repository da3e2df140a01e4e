"""Every diagnosis: a configuration and request that trigger it, and one that must not. Also lint and diff."""
import gzip, json, os, pathlib, shutil, socket, subprocess, tempfile, threading, time, unittest

from lab import PROXY, Control, free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
BASE = "proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $remote_addr; "


class Upstream:
    """Gives ANSWER to whatever comes; None closes at once, "reset" resets, "silent" says nothing."""

    def __init__(self, answer):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.answer = answer
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            peer.recv(65536)
            if self.answer == "silent":
                time.sleep(3)
            elif self.answer == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            elif self.answer:
                peer.sendall(self.answer)
            peer.close()


class Diagnose(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="diagnose-")

    def tearDown(self):
        shutil.rmtree(self.dir)

    def write(self, http, name="nginx.conf"):
        path = os.path.join(self.dir, name)
        pathlib.Path(path).write_text("daemon off;\npid %s/nginx.pid;\nerror_log %s/error.log;\nevents {}\nhttp {\naccess_log off;\n%s\n}\n" % (self.dir, self.dir, http))
        return path

    def findings(self, http, request, answer=OK):
        """The ids of the findings about REQUEST, by the running proxy."""
        upstream, port = Upstream(answer), free_port()
        path = self.write(http.replace("@UP@", "127.0.0.1:%d" % upstream.port).replace("@PORT@", "127.0.0.1:%d" % port))
        p = subprocess.Popen([PROXY, "-p", self.dir, "-c", path, "-e", "error.log"])
        try:
            for _ in range(100):
                try:
                    control = Control(self.dir + "/nginx.sock")
                    break
                except OSError:
                    time.sleep(0.05)
            with socket.create_connection(("127.0.0.1", port)) as s:
                s.settimeout(5)
                s.sendall(request.replace(b"\n", b"\r\n"))
                try:
                    while s.recv(65536):
                        pass
                except OSError:
                    pass
            for _ in range(50):
                requests = control.ask({"cmd": "list"})["requests"]
                if requests:
                    break
                time.sleep(0.05)
            d = control.ask({"cmd": "get", "request": requests[-1]["request"]})["detail"]
            control.close()
        finally:
            p.terminate()
            p.wait()
            upstream.socket.close()
        for f in d["findings"]:
            self.assertTrue(f["reason"] and f["remedy"] and f["title"], f)
        self.last = {f["id"]: f for f in d["findings"]}
        return set(self.last)

    def server(self, inside, outside=""):
        return outside + " server { listen @PORT@; " + inside + " }"

    def pair(self, id, bad, good):
        """BAD and GOOD: (configuration, request, answer)."""
        self.assertIn(id, self.findings(*bad), bad)
        self.assertNotIn(id, self.findings(*good), good)

    GET = b"GET /a/b HTTP/1.1\nHost: a.test\nConnection: close\n\n"

    def test_host_is_proxy_host(self):
        self.pair("host-is-proxy-host", (self.server("location / { proxy_pass http://@UP@; }"), self.GET), (self.server("location / { proxy_pass http://@UP@; " + BASE + "}"), self.GET))

    def test_client_address_lost(self):
        self.pair("client-address-lost", (self.server("location / { proxy_pass http://@UP@; proxy_set_header Host $host; }"), self.GET),
                  (self.server("location / { proxy_pass http://@UP@; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }"), self.GET))

    def test_forwarded_trusted(self):
        spoofed = self.GET.replace(b"Connection", b"X-Real-IP: 1.2.3.4\nConnection")
        self.pair("forwarded-trusted", (self.server("location / { proxy_pass http://@UP@; }"), spoofed), (self.server("location / { proxy_pass http://@UP@; " + BASE + "}"), spoofed))
        appended = self.GET.replace(b"Connection", b"X-Forwarded-For: 1.2.3.4\nConnection")
        self.pair("forwarded-trusted", (self.server("location / { proxy_pass http://@UP@; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }"), appended),
                  (self.server("location / { proxy_pass http://@UP@; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }"), self.GET))
        twice = self.GET.replace(b"Connection", b"X-Forwarded-Host: a\nX-Forwarded-Host: b\nConnection")
        self.findings(self.server("location / { proxy_pass http://@UP@; }"), twice)
        self.assertIn("2 fields", self.last["forwarded-trusted"]["reason"])

    def test_redirect_scheme(self):
        https = self.GET.replace(b"Connection", b"X-Forwarded-Proto: https\nConnection")
        answer = b"HTTP/1.1 302 Found\r\nLocation: http://a.test/x\r\nContent-Length: 0\r\n\r\n"
        self.pair("redirect-scheme", (self.server("location / { proxy_pass http://@UP@; " + BASE + "}"), https, answer),
                  (self.server("location / { proxy_pass http://@UP@; proxy_redirect http:// https://; " + BASE + "}"), https, answer))

    def test_redirect_to_upstream(self):
        answer = b"HTTP/1.1 302 Found\r\nLocation: http://app/x\r\nContent-Length: 0\r\n\r\n"
        group = "upstream app { server @UP@; }"
        self.pair("redirect-to-upstream", (self.server("location / { proxy_pass http://app; proxy_redirect off; }", group), self.GET, answer),
                  (self.server("location / { proxy_pass http://app; }", group), self.GET, answer))

    def test_websocket(self):
        upgrade = self.GET.replace(b"Connection: close", b"Upgrade: websocket\nConnection: upgrade").replace(b"\n\n", b"\nConnection: close\n\n")
        map = "map $http_upgrade $connection_upgrade { default upgrade; '' close; }"
        good = self.server("location / { proxy_pass http://@UP@; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }", map)
        self.pair("websocket", (self.server("location / { proxy_pass http://@UP@; }"), upgrade), (good, upgrade))
        self.assertNotIn("websocket", self.findings(self.server("location / { proxy_pass http://@UP@; }"), self.GET))
        self.assertIn("websocket", self.findings(good.replace("proxy_set_header Upgrade", "proxy_http_version 1.0; proxy_set_header Upgrade"), upgrade))

    def test_inheritance_lost(self):
        self.pair("inheritance-lost", (self.server("location / { proxy_pass http://@UP@; proxy_set_header X-In 1; }", "proxy_set_header X-Out 1;"), self.GET),
                  (self.server("location / { proxy_pass http://@UP@; proxy_set_header X-Out 2; }", "proxy_set_header X-Out 1;"), self.GET))

    def test_trailing_slash(self):
        for bad in ("location /a/ { proxy_pass http://@UP@/x; }", "location /a { proxy_pass http://@UP@/x/; }"):
            self.pair("trailing-slash", (self.server(bad), self.GET), (self.server("location /a/ { proxy_pass http://@UP@/x/; }"), self.GET))

    def test_no_answer_says_why(self):
        closed = free_port()
        cases = ((OK, "proxy_pass http://127.0.0.1:%d;" % closed, "refused"), ("reset", "proxy_pass http://@UP@;", "reset"), (None, "proxy_pass http://@UP@;", "closed the connection"),
                 ("silent", "proxy_pass http://@UP@; proxy_read_timeout 200ms;", "proxy_read_timeout"),
                 (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\n\r\n", "proxy_pass http://@UP@;", "proxy_buffer_size"),
                 (b"HTTP/1.1 200 OK\r\nbad\0header\r\n\r\n", "proxy_pass http://@UP@;", "not HTTP"),
                 (OK, "set $h nowhere.test; proxy_pass http://$h;", "no resolver"), (OK, "resolver 127.0.0.1:%d; resolver_timeout 300ms; set $h nowhere.test; proxy_pass http://$h;" % closed, "resolved"))
        for answer, directives, words in cases:
            self.assertIn("no-answer", self.findings(self.server("location / { %s }" % directives), self.GET, answer), words)
            self.assertIn(words, self.last["no-answer"]["reason"])
        self.findings(self.server("location / { proxy_pass http://app; }", "upstream app { server @UP@ down; server @UP@ down; server @UP@ down backup; }"), self.GET)
        self.assertIn("no server of the group", self.last["no-answer"]["reason"])
        self.assertNotIn("no-answer", self.findings(self.server("location / { proxy_pass http://@UP@; }"), self.GET))

    def test_too_large(self):
        post = b"POST /a HTTP/1.1\nHost: a.test\nContent-Length: 2000\nConnection: close\n\n" + b"x" * 2000
        self.pair("too-large", (self.server("client_max_body_size 1k; location / { proxy_pass http://@UP@; }"), post), (self.server("client_max_body_size 2k; location / { proxy_pass http://@UP@; }"), post))
        long = self.GET.replace(b"Connection", b"Cookie: " + b"x" * 2000 + b"\nConnection")
        self.pair("too-large", (self.server("large_client_header_buffers 2 1k; location / { proxy_pass http://@UP@; }"), long), (self.server("location / { proxy_pass http://@UP@; }"), long))

    def test_field_ignored(self):
        odd = self.GET.replace(b"Connection", b"X_Odd: 1\nConnection")
        self.pair("field-ignored", (self.server("location / { proxy_pass http://@UP@; }"), odd), (self.server("underscores_in_headers on; location / { proxy_pass http://@UP@; }"), odd))

    def test_cookie_prevents_caching(self):
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nCache-Control: max-age=60\r\nSet-Cookie: a=b\r\n\r\n"
        conf = self.server("location / { proxy_pass http://@UP@; }")
        self.pair("cookie-prevents-caching", (conf, self.GET, answer), (conf, self.GET, answer.replace(b"max-age=60", b"private")))

    def test_compressed_twice(self):
        def answer(body, type=b"text/plain"):
            return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (type, len(body), body)
        conf = self.server("location / { proxy_pass http://@UP@; }")
        once = gzip.compress(b"text" * 100)
        self.pair("compressed-twice", (conf, self.GET, answer(gzip.compress(once))), (conf, self.GET, answer(once)))
        self.assertIn("compressed-twice", self.findings(conf, self.GET, answer(once, b"application/gzip")))

    def test_events_buffered(self):
        answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 0\r\n\r\n"
        self.pair("events-buffered", (self.server("location / { proxy_pass http://@UP@; }"), self.GET, answer), (self.server("proxy_buffering off; location / { proxy_pass http://@UP@; }"), self.GET, answer))

    def test_keepalive_unused(self):
        group = "upstream app { server @UP@; keepalive 2; }"
        self.pair("keepalive-unused", (self.server("location / { proxy_pass http://app; }", group), self.GET), (self.server("location / { proxy_pass http://app; proxy_set_header Connection ''; }", group), self.GET))

    # --- lint ---

    def lint(self, http):
        path = self.write(http.replace("@PORT@", "127.0.0.1:8080").replace("@UP@", "127.0.0.1:9001"))
        result = subprocess.run([PROXY, "lint", "--json", "-c", path], capture_output=True, text=True)
        found = json.loads(result.stdout)["findings"]
        self.assertEqual(result.returncode, 2 if any(f["severity"] != "hint" for f in found) else 0)
        for f in found:
            self.assertRegex(f["place"], r"^%s:\d+$" % path)
        return {f["id"] for f in found}

    def test_lint(self):
        good = BASE + "proxy_pass http://@UP@;"
        self.assertEqual(self.lint(self.server("location / { %s }" % good)), set())
        for id, bad, fine in (
                ("host-is-proxy-host", "location / { proxy_pass http://@UP@; }", None),
                ("client-address-lost", "location / { proxy_pass http://@UP@; }", None),
                ("forwarded-trusted", "location / { proxy_pass http://@UP@; proxy_set_header X-Real-IP $http_x_real_ip; }", None),
                ("forwarded-trusted", "set_real_ip_from 0.0.0.0/0; location / { %s }" % good, "set_real_ip_from 10.0.0.0/8; location / { %s }" % good),
                ("websocket", "location / { proxy_set_header Connection upgrade; %s }" % good, "location / { proxy_set_header Connection ''; %s }" % good),
                ("websocket", "location / { proxy_set_header Upgrade $http_upgrade; %s }" % good, None),
                ("inheritance-lost", "proxy_set_header X-A 1; location / { %s }" % good, "proxy_set_header Host x; location / { %s }" % good),
                ("inheritance-lost", "add_header X-A 1; location / { add_header X-B 1; %s }" % good, "add_header X-A 1; location / { %s }" % good),
                ("trailing-slash", "location /a/ { proxy_pass http://@UP@/b; %s }" % BASE, "location /a/ { proxy_pass http://@UP@/b/; %s }" % BASE),
                ("trailing-slash", "location /a { alias /b/; }", "location /a/ { alias /b/; }"),
                ("no-resolver", "set $h x.test; location / { proxy_pass http://$h; %s }" % BASE, "resolver 127.0.0.1; set $h x.test; location / { proxy_pass http://$h; %s }" % BASE)):
            self.assertIn(id, self.lint(self.server(bad)), bad)
            self.assertNotIn(id, self.lint(self.server(fine or "location / { %s }" % good)), fine)
        group = "upstream app { server @UP@; keepalive 2; }"
        self.assertEqual(self.lint(self.server("location / { %s proxy_pass http://app; }" % BASE, group)), {"keepalive-unused"})
        self.assertEqual(self.lint(self.server("location / { %s proxy_pass http://app; proxy_set_header Connection ''; }" % BASE, group)), set())
        text = subprocess.run([PROXY, "lint", "-c", self.write("server { location / { proxy_pass http://127.0.0.1:1; } }")], capture_output=True, text=True)
        self.assertIn("nginx.conf:7", text.stdout)
        self.assertIn("remedy  proxy_set_header Host $host;", text.stdout)
        self.assertEqual(subprocess.run([PROXY, "lint", "-c", "/nonexistent"], capture_output=True).returncode, 1)

    # --- diff ---

    def diff(self, old, new, *args):
        paths = [self.write(http.replace("@PORT@", "127.0.0.1:8080"), name) for http, name in ((old, "old.conf"), (new, "new.conf"))]
        result = subprocess.run([PROXY, "diff", "--json", *args, *paths], capture_output=True, text=True)
        self.assertIn(result.returncode, (0, 1), result.stderr)
        return json.loads(result.stdout), result.returncode

    def test_diff_of_one_request(self):
        old = self.server("location /a/ { proxy_pass http://127.0.0.1:9001/x/; proxy_set_header Host $host; } location = /r { return 301 /old; }")
        new = self.server("location /a/ { proxy_pass http://127.0.0.1:9002/y; proxy_set_header X-New 1; } location = /r { return 302 /new; }")
        (result,), rc = self.diff(old, new, "--request", "http://a.test:8080/a/b", "-H", "X-A: 1")
        self.assertEqual(rc, 1)
        d = {(x["what"], x.get("name")): x for x in result["differences"]}
        self.assertEqual((d["upstream request", None]["old"], d["upstream request", None]["new"]), ("GET /x/b HTTP/1.1", "GET /yb HTTP/1.1"))
        self.assertEqual((d["upstream header", "Host"]["old"], d["upstream header", "Host"]["new"]), ("a.test:8080" if False else "a.test", "127.0.0.1:9002"))
        self.assertRegex(d["upstream header", "X-New"]["new_place"], r"new\.conf:7$")
        self.assertIn("127.0.0.1:9002", d["peers", None]["new"])
        self.assertNotIn(("upstream header", "X-A"), d)
        (result,), rc = self.diff(old, new, "--request", "http://a.test:8080/r")
        d = {(x["what"], x.get("name")): x for x in result["differences"]}
        self.assertIn("301", d["response", None]["old"])
        self.assertEqual(d["response header", "Location"]["new"], "http://a.test:8080/new")
        self.assertEqual(self.diff(old, old, "--request", "http://a.test:8080/r")[1], 0)

    def test_diff_of_a_recording(self):
        answer = b"HTTP/1.1 302 Found\r\nLocation: http://app/x\r\nX-Powered-By: y\r\nContent-Length: 0\r\n\r\n"
        upstream, port = Upstream(answer), free_port()
        http = self.server("location / { proxy_pass http://app; }", "upstream app { server 127.0.0.1:%d; }" % upstream.port).replace("@PORT@", "127.0.0.1:%d" % port)
        path = self.write(http)
        p = subprocess.Popen([PROXY, "-p", self.dir, "-c", path, "-e", "error.log"])
        recording = os.path.join(self.dir, "recording")
        for _ in range(100):
            if os.path.exists(self.dir + "/nginx.sock"):
                break
            time.sleep(0.05)
        record = subprocess.Popen([PROXY, "record", "-S", self.dir + "/nginx.sock", "-n", "2", "-o", recording, "path=/a*"], stderr=subprocess.PIPE)
        time.sleep(0.3)
        for uri in ("/a1", "/b", "/a2"):
            subprocess.run(["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:%d%s" % (port, uri)])
        self.assertEqual(record.wait(5), 0)
        self.assertIn(b"2 requests recorded", record.stderr.read())
        record.stderr.close()
        p.terminate()
        p.wait()
        upstream.socket.close()
        new = http.replace("location / {", "location /a { proxy_hide_header X-Powered-By; proxy_redirect http://app/ /app/; ")
        results, rc = self.diff(http, new, "--recording", recording)
        self.assertEqual(len(results), 2)
        d = {(x["what"], x.get("name")): x for x in results[0]["differences"]}
        self.assertEqual((d["response header", "X-Powered-By"]["old"], d["response header", "X-Powered-By"]["new"]), ("y", ""))
        self.assertEqual(d["response header", "Location"]["new"], "http://127.0.0.1:%d/app/x" % port)
        self.assertEqual(d["location", None]["new"], "/a")
        for bad, words in (("{", "recording:1:"), ("{}\n", '"request_line" is missing'), ("", "no request in it")):
            pathlib.Path(recording).write_text(bad)
            r = subprocess.run([PROXY, "diff", "--recording", recording, path, path], capture_output=True, text=True)
            self.assertEqual(r.returncode, 2)
            self.assertIn(words, r.stderr)

    def test_diff_of_everything(self):
        old = self.server("location /a/ { return 200 a; } location /b/ { return 200 b; }")
        results, rc = self.diff(old, old.replace("200 b", "200 c"))
        changed = [r["request"] for r in results if r["differences"]]
        self.assertEqual(changed, ["GET 127.0.0.1:8080/b/", "GET 127.0.0.1:8080/b/x?y=z"])
        self.assertGreaterEqual(len(results), 5)
