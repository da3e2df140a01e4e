"""The trace, the control socket, explain, and the process itself."""
import json, os, pathlib, re, shutil, signal, socket, subprocess, tempfile, time, unittest

from lab import BUILD, PROXY, ROOT, Control, Lab


class Trace(Lab):
    # --- the trace ---

    def test_detail_of_a_request(self):
        self.curl("/api/a%20b?x", "-H", "Authorization: secret", "-H", "X-A: 1")
        c = Control(self.sock)
        d = c.ask({"cmd": "get", "id": 7, "request": 1 + self.count_before(c, "/api/a%20b?x")})
        self.assertTrue(d["ok"], d)
        self.assertEqual(d["id"], 7)
        d = d["detail"]
        fields = {f["name"]: f for f in d["upstream_request"]["fields"] if not f.get("removed")}
        self.assertEqual(d["upstream_request"]["line"], "GET /v1/a%20b?x HTTP/1.1")
        self.assertEqual(fields["Host"]["value"], "a.test")
        self.assertEqual(fields["Host"]["origin"]["place"], self.conf + ":17")
        self.assertEqual(fields["X-A"]["origin"]["kind"], "client")
        self.assertEqual(fields["Connection"]["origin"]["kind"], "default")
        self.assertEqual(fields["Authorization"]["value"], "***")
        self.assertNotIn("secret", json.dumps(d["request_fields"]))
        self.assertEqual(d["not_inherited"][0]["place"], self.conf + ":10")
        self.assertEqual([l["name"] for l in d["location_candidates"] if l["chosen"]], ["/api/"])
        self.assertEqual(d["uri_path"]["normalised"], "/api/a b")
        names = [p["phase"] for p in d["phases"]]
        self.assertEqual(names, [n for n in ("accept", "read request", "choose server", "realip", "server rewrite", "choose location", "rewrite", "limits", "access",
                                             "try files", "content", "cache", "choose upstream", "build upstream request", "connect", "send",
                                             "upstream response header", "response header filters", "body", "log") if n in names])
        self.assertIn("connect", names)
        c.close()

    def test_subscription_with_filter(self):
        c = Control(self.sock)
        self.assertTrue(c.ask({"cmd": "subscribe", "filter": "path=/api/* and status=2xx"})["ok"])
        self.curl("/other")
        self.curl("/api/x")
        event = c.read()
        self.assertEqual((event["event"], event["uri"], event["status"]), ("request", "/api/x", 200))
        c.close()

    def test_phases_as_they_come(self):
        c = Control(self.sock)
        c.ask({"cmd": "subscribe", "phases": True})
        self.curl("/old/x")
        seen = []
        while not seen or seen[-1]["event"] != "request":
            seen.append(c.read())
        self.assertIn("choose upstream", [e["phase"] for e in seen])
        c.close()

    def test_hostile_control_input(self):
        c = Control(self.sock)
        for line in (b"", b"{", b"[]", b"null", b'{"cmd":1}', b'{"cmd":"nothing"}', b'{"cmd":"get"}', b'{"cmd":"get","request":-1}', b"\xff\xfe\x00",
                     b'{"cmd":"subscribe","filter":{"nothing":1}}', b'{"cmd":"subscribe","filter":"status=x"}', b'{"cmd":"subscribe","filter":7}',
                     b'{"cmd":"list","limit":"x"}', b'{"cmd":"list","filter":"(host=a"}', b'{"cmd":"hello","cmd":"hello"}'):
            if line:
                answer = c.ask(line)
                self.assertFalse(answer["ok"], line)
                self.assertTrue(answer["error"])
        c.close()
        c = Control(self.sock)
        try:
            c.s.sendall(b"x" * 2000000)
        except BrokenPipeError:
            pass
        self.assertFalse(c.read()["ok"])
        c.close()
        self.assertIn("200 OK", self.curl("/"))

    def test_subscriber_that_does_not_read(self):
        slow = Control(self.sock)
        slow.ask({"cmd": "subscribe", "detail": "full"})
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.settimeout(10)
            for _ in range(1000):
                s.sendall(b"GET /api/%s HTTP/1.1\r\nHost: a.test\r\n\r\n" % (b"x" * 500))
                got = b""
                while b"\r\n\r\n" not in got or not got.endswith(b"}\n"):
                    got += s.recv(65536)
        dropped = 0
        try:
            slow.s.settimeout(1)
            while True:
                event = slow.read()
                if event["event"] == "dropped":
                    dropped = event["count"]
        except (TimeoutError, OSError):
            pass
        self.assertGreater(dropped, 0)
        slow.close()

    def test_socket_is_private(self):
        self.assertEqual(os.stat(self.sock).st_mode & 0o777, 0o600)

    def test_ring_is_bounded(self):
        for i in range(60):
            self.curl("/%d" % i)
        c = Control(self.sock)
        self.assertEqual(len(c.ask({"cmd": "list"})["requests"]), 50)
        c.close()

    def test_trace_command(self):
        self.curl("/api/x")
        out = self.run_proxy("trace", "-S", self.sock, "--list").stdout
        self.assertRegex(out, r"200 .* GET a\.test/api/x  location /api/  to 127\.0\.0\.1:%d" % self.up)
        self.assertEqual(self.run_proxy("trace", "-S", "/nothing").returncode, 1)
        self.assertEqual(json.loads(self.run_proxy("trace", "-S", self.sock, "--json", "--stats").stdout)["ok"], True)

    def test_control_characters_stay_off_the_terminal(self):
        self.curl("/x", "-H", "X-Evil: \x1b[31mred\x07")
        out = self.run_proxy("trace", "-S", self.sock, "--get", "2").stdout + self.run_proxy("trace", "-S", self.sock, "--list").stdout
        self.assertNotIn("\x1b", out)
        self.assertNotIn("\x07", out)

    # --- explain ---

    def test_explain_is_what_the_proxy_does(self):
        for path in ("/api/a%2Fb?c", "/old/z%20z", "/", "/x//y"):
            explained = json.loads(self.run_proxy("explain", "-c", self.conf, "--json", "-H", "X-A: 1", "http://a.test:%d%s" % (self.port, path)).stdout)
            body = json.loads(self.curl(path, "-H", "X-A: 1", "-H", "User-Agent:", "-H", "Accept:").split("\n\n", 1)[1])
            self.assertEqual(explained["upstream_request"]["line"].split(" ")[1], body["target"])
            fields = [[f["name"], f["value"]] for f in explained["upstream_request"]["fields"] if not f.get("removed")]
            self.assertEqual(fields, body["headers"])

    def test_explain_refuses(self):
        self.assertIn("no server listens on port 1", self.run_proxy("explain", "-c", self.conf, "http://a.test:1/").stderr)
        self.assertEqual(self.run_proxy("explain", "-c", self.conf).returncode, 1)

    # --- the proxy ---

    def test_reload(self):
        text = pathlib.Path(self.conf).read_text()
        pathlib.Path(self.conf).write_text(text.replace("/v1/", "/v2/"))
        self.proxy.send_signal(signal.SIGHUP)
        for _ in range(50):
            time.sleep(0.1)
            if '"target":"/v2/x"' in self.curl("/api/x"):
                break
        self.assertIn('"target":"/v2/x"', self.curl("/api/x"))
        pathlib.Path(self.conf).write_text(text.replace("proxy_pass http://app;", "proxy_pas http://app;"))
        self.proxy.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        self.assertIn('"target":"/v2/x"', self.curl("/api/x"))
        self.assertIn('unknown directive "proxy_pas" in %s:16' % self.conf, pathlib.Path(self.dir, "error.log").read_text())

    def test_all_errors_are_reported(self):
        bad = os.path.join(self.dir, "bad.conf")
        pathlib.Path(bad).write_text("events {}\nhttp {\n  serer { }\n  server { listen 127.0.0.1:8080; liste 1; location / { proxy_cache x; } }\n}\n")
        result = self.run_proxy("-t", "-p", self.dir, "-c", bad)
        self.assertEqual(result.returncode, 1)
        for text in ('unknown directive "serer" in %s:3' % bad, 'did you mean "server"?', 'unknown directive "liste" in %s:4' % bad,
                     "ngx_http_proxy_module is not implemented by glassproxy yet in %s:4" % bad, "test failed"):
            self.assertIn(text, result.stderr)

    def test_bad_gateway_says_why(self):
        self.assertIn("502 Bad Gateway", self.curl("/down"))
        c = Control(self.sock)
        d = c.ask({"cmd": "get", "request": 1 + self.count_before(c, "/down")})["detail"]
        self.assertIn("connection refused", d["attempts"][0]["why"])
        c.close()

    def test_connections_to_upstreams_are_kept(self):
        for _ in range(3):
            self.curl("/kept")
        c = Control(self.sock)
        d = c.ask({"cmd": "get", "request": 2 + self.count_before(c, "/kept")})["detail"]
        self.assertTrue(d["attempts"][0]["reused"])
        c.close()

    def test_tunnel(self):
        with socket.create_server(("127.0.0.1", self.ws)) as server, socket.create_connection(("127.0.0.1", self.port)) as client:
            client.settimeout(5)
            client.sendall(b"GET /ws HTTP/1.1\r\nHost: a.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            peer, _ = server.accept()
            head = peer.recv(65536)
            self.assertIn(b"Upgrade: websocket\r\nConnection: upgrade\r\n", head)
            peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello")
            got = b""
            while not got.endswith(b"hello"):
                got += client.recv(65536)
            self.assertTrue(got.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"))
            client.sendall(b"ping" * 50000)
            n = 0
            while n < 200000:
                n += len(peer.recv(65536))
            peer.sendall(b"pong" * 50000)
            n = 0
            while n < 200000:
                n += len(client.recv(65536))
            peer.close()
            self.assertEqual(client.recv(10), b"")


class Samples(unittest.TestCase):
    LATER = {"fastcgi.conf": "ngx_http_fastcgi_module", "cache.conf": "ngx_http_proxy_module", "tls.conf": '"ssl" parameter'}

    def test_each_is_accepted_or_says_what_is_missing(self):
        for path in sorted((ROOT / "sample-configs").glob("*.conf")):
            result = subprocess.run([PROXY, "-t", "-p", "/tmp", "-c", str(path)], capture_output=True, text=True)
            if path.name in self.LATER:
                self.assertIn(self.LATER[path.name], result.stderr)
                self.assertIn("not implemented by glassproxy yet", result.stderr)
            else:
                self.assertEqual(result.returncode, 0, result.stderr)

    # path -> what of the answer shows that the block works
    TRAFFIC = {"basic.conf": [("/x", '"target":"/x"')], "uri-replacement.conf": [("/kept/a%20b", '"target":"/kept/a%20b"'), ("/replaced/a", '"target":"/new/a"'), ("/trap/a", '"target":"/newa"'), ("/broken/a", '"target":"/fixed/a"'),
                                       ("/user/7", '"target":"/users/7?from=127.0.0.1"')],
               "baseline-headers.conf": [("/", '["X-Real-IP","127.0.0.1"]'), ("/", '["X-Forwarded-Proto","http"]')], "websocket.conf": [("/ws/", '["Connection","close"]')],
               "load-balancing.conf": [("/", '"address":"127.0.0.1:900')], "lab.conf": [("/api/x", '"target":"/v1/x"'), ("/down", "502 Bad Gateway"), ("/index.php", "403 Forbidden")]}

    def test_each_does_what_it_is_there_for(self):
        backends = [subprocess.Popen([PROXY, "backend", "-l", "127.0.0.1:%d" % port]) for port in (9001, 9002)]
        try:
            for name, requests in self.TRAFFIC.items():
                directory = tempfile.mkdtemp(prefix="samples-")
                os.mkdir(directory + "/logs")
                proxy = subprocess.Popen([PROXY, "-p", directory, "-c", str(ROOT / "sample-configs" / name), "-e", "logs/start.log"] +
                                         ([] if "daemon off" in (ROOT / "sample-configs" / name).read_text() else ["-g", "daemon off;"]))
                for path, expected in requests:
                    for _ in range(50):
                        got = subprocess.run(["curl", "-s", "http://127.0.0.1:8080" + path], capture_output=True, text=True).stdout
                        if got:
                            break
                        time.sleep(0.1)
                    self.assertIn(expected, got, name)
                proxy.terminate()
                self.assertEqual(proxy.wait(), 0)
                shutil.rmtree(directory)
        finally:
            for p in backends + [proxy]:
                p.terminate()
                p.wait()

    def test_each_runs_under_nginx_too(self):
        for path in sorted((ROOT / "sample-configs").glob("*.conf")):
            with tempfile.TemporaryDirectory() as directory:
                os.mkdir(directory + "/logs")
                subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a.test", "-days", "2", "-keyout", directory + "/key.pem", "-out",
                                directory + "/certificate.pem"], capture_output=True)
                shutil.copy(path, directory)
                result = subprocess.run(["/usr/sbin/nginx", "-t", "-p", directory, "-c", directory + "/" + path.name, "-e", "logs/error.log"], capture_output=True, text=True)
                self.assertEqual(result.returncode, 0, path.name + ": " + result.stderr)

    def test_lab_without_terminal(self):
        result = subprocess.run([str(ROOT / "lessons/lab.sh")], stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, "BUILD": str(BUILD)})
        self.assertIn("needs a terminal", result.stdout)


class Processes(Lab):
    def serving(self):
        c = Control(self.sock)
        pid = c.ask({"cmd": "hello"})["pid"]
        c.close()
        return pid

    def test_the_serving_process_is_started_again(self):
        before = self.serving()
        self.assertEqual(int(pathlib.Path(self.dir, "nginx.pid").read_text()), self.proxy.pid)
        self.assertNotEqual(before, self.proxy.pid)
        os.kill(before, signal.SIGKILL)
        for _ in range(100):
            time.sleep(0.05)
            try:
                if self.serving() != before:
                    break
            except OSError:
                pass
        self.assertIn("200 OK", self.curl("/api/x"))
        self.assertTrue(os.path.exists(self.dir + "/nginx.pid"))

    def test_master_killed(self):
        serving = self.serving()
        self.proxy.kill()
        self.proxy.wait()
        for _ in range(100):
            time.sleep(0.05)
            if not os.path.exists("/proc/%d" % serving) or "Z" in pathlib.Path("/proc/%d/stat" % serving).read_text().rsplit(")", 1)[1][:3]:
                break
        else:
            self.fail("the serving process is still there")
        self.processes[1] = subprocess.Popen([PROXY, "-p", self.dir, "-c", self.conf, "-e", "error.log"])
        time.sleep(0.5)
        self.assertIn("200 OK", self.curl("/api/x"))

    def test_daemon_says_whether_it_came_up(self):
        text = pathlib.Path(self.conf).read_text().replace("daemon off;", "")
        conf = os.path.join(self.dir, "daemon.conf")
        pathlib.Path(conf).write_text(text.replace("nginx.pid", "daemon.pid"))
        started = subprocess.run([PROXY, "-p", self.dir, "-c", conf, "-e", "error.log"], capture_output=True, text=True, timeout=20)
        self.assertEqual(started.returncode, 1)
        self.assertIn("Address already in use", started.stderr)
        self.proxy.terminate()
        self.proxy.wait()
        for master in ("on", "off"):
            pathlib.Path(conf).write_text("master_process %s;\n" % master + text.replace("nginx.pid", "daemon.pid"))
            started = subprocess.run([PROXY, "-p", self.dir, "-c", conf, "-e", "error.log"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20)
            self.assertEqual(started.returncode, 0)
            self.assertIn("200 OK", self.curl("/api/x"))
            self.assertEqual(self.run_proxy("-p", self.dir, "-c", conf, "-s", "quit").returncode, 0)
            for _ in range(100):
                time.sleep(0.05)
                if not os.path.exists(self.dir + "/daemon.pid"):
                    break
            self.assertFalse(os.path.exists(self.dir + "/daemon.pid"))
