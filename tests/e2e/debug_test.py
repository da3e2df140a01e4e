"""Breakpoints, held requests, editing: what the control socket gives a debugger."""
import base64, json, pathlib, socket, subprocess, threading, time

from lab import PROXY, Control, Lab


class Debug(Lab):
    def setUp(self):
        super().setUp()
        self.c = Control(self.sock)
        self.assertTrue(self.c.ask({"cmd": "debug"})["ok"])
        self.results = {}

    def tearDown(self):
        self.c.close()
        super().tearDown()

    def ask(self, cmd, **members):
        """The answer, with events that come meanwhile kept."""
        self.c.s.sendall(json.dumps({"cmd": cmd, **members}).encode() + b"\n")
        while True:
            m = self.c.read()
            if "event" not in m:
                return m
            self.events.append(m)

    events = []

    def event(self, name):
        while True:
            for i, e in enumerate(self.events):
                if e["event"] == name:
                    return self.events.pop(i)
            self.events.append(self.c.read())

    def start(self, path, *more):
        t = threading.Thread(target=lambda: self.results.__setitem__(path, self.curl(path, *more)))
        t.start()
        self.addCleanup(t.join)
        return t

    def hold(self, phase, path, *more, filter=""):
        self.events = []
        answer = self.ask("break", phase=phase, filter=filter)
        self.assertTrue(answer["ok"], answer)
        thread = self.start(path, *more)
        return thread, self.event("held")

    # --- breakpoints ---

    def test_breakpoints_on_every_phase(self):
        phases = [p["name"] for p in self.ask("phases")["phases"]]
        self.assertEqual(len(phases), 20)
        for phase in phases:
            b = self.ask("break", phase=phase)["breakpoint"]
            self.events = []
            t = self.start("/api/" + phase.replace(" ", "-"))
            held = self.event("held")
            self.assertEqual((held["phase"], held["held"]["breakpoint"]), (phase, b))
            self.assertTrue(t.is_alive() or phase == "log")  # the response is out by then
            detail = self.ask("get", request=held["request"])["detail"]
            self.assertEqual(detail["phases"][-1]["phase"], phase)
            self.assertTrue(self.ask("continue", request=held["request"])["ok"])
            t.join(5)
            self.assertIn("200 OK", self.results["/api/" + phase.replace(" ", "-")], phase)
            self.assertEqual(self.ask("breakpoints")["breakpoints"][-1]["hits"], 1)
            self.assertTrue(self.ask("delete", breakpoint=b)["ok"])
        self.assertFalse(self.ask("delete", breakpoint=1)["ok"])

    def test_stepping(self):
        t, held = self.hold("accept", "/old/x")
        seen = [held["phase"]]
        while seen[-1] != "log":
            self.ask("step", request=held["request"])
            seen.append(self.event("held")["phase"])
        self.assertEqual(seen, ["accept", "read request", "choose server", "realip", "server rewrite", "choose location", "rewrite", "choose location",
                                "rewrite", "limits", "access", "try files", "content", "cache", "choose upstream", "build upstream request", "connect", "send",
                                "upstream response header", "response header filters", "body", "log"])
        self.ask("continue", request=held["request"])
        t.join(5)
        self.assertIn('"target":"/v1/x"', self.results["/old/x"])

    def test_next_steps_over_a_group(self):
        t, held = self.hold("accept", "/api/n")
        seen = [held["phase"]]
        for _ in range(4):
            self.ask("next", request=held["request"])
            seen.append(self.event("held")["phase"])
        self.assertEqual(seen, ["accept", "choose server", "cache", "response header filters", "log"])
        self.ask("continue", request=held["request"])
        t.join(5)
        self.assertIn("200 OK", self.results["/api/n"])

    def test_conditions_once_and_disabled(self):
        once = self.ask("break", phase="content", filter="path=/api/* and header.x-a=1", once=True)["breakpoint"]
        self.assertIn("200 OK", self.curl("/api/x"))
        self.assertIn("200 OK", self.curl("/other", "-H", "X-A: 1"))
        self.events = []
        t = self.start("/api/y", "-H", "X-A: 1")
        held = self.event("held")
        self.ask("continue", request=held["request"])
        t.join(5)
        self.assertIn("200 OK", self.curl("/api/y", "-H", "X-A: 1"))
        b = [b for b in self.ask("breakpoints")["breakpoints"] if b["id"] == once][0]
        self.assertEqual((b["enabled"], b["hits"]), (False, 1))
        self.assertTrue(self.ask("enable", breakpoint=once)["ok"])
        t = self.start("/api/z", "-H", "X-A: 1")
        self.ask("continue", request=self.event("held")["request"])
        t.join(5)
        answer = self.ask("break", filter="path=/a and statos=5")
        self.assertIn('column 13: there is no "statos"; did you mean "status"', answer["error"])
        self.assertIn("there is no phase", self.ask("break", phase="nowhere")["error"])

    def test_breakpoints_are_kept_over_a_restart(self):
        self.ask("break", phase="connect", filter="path=/api/*")
        self.ask("disable", breakpoint=self.ask("break", phase="log")["breakpoint"])
        self.c.close()
        self.proxy.terminate()
        self.assertEqual(self.proxy.wait(), 0)
        self.processes[1] = self.proxy = subprocess.Popen([PROXY, "-p", self.dir, "-c", self.conf, "-e", "error.log"])
        for _ in range(100):
            try:
                self.c = Control(self.sock)
                break
            except OSError:
                time.sleep(0.05)
        kept = self.ask("breakpoints")["breakpoints"]
        self.assertEqual([(b["phase"], b["filter"], b["enabled"]) for b in kept], [("connect", "path=/api/*", True), ("log", "", False)])

    # --- holding ---

    def test_a_held_request_holds_up_nobody(self):
        t, held = self.hold("connect", "/api/held", filter="path=/api/held")
        before = self.cpu()
        started = time.time()
        with socket.create_connection(("127.0.0.1", self.port)) as s:
            s.settimeout(10)
            for _ in range(1000):
                s.sendall(b"GET /api/x HTTP/1.1\r\nHost: a.test\r\n\r\n")
                got = b""
                while b"\r\n\r\n" not in got or not got.endswith(b"}\n"):
                    got += s.recv(65536)
                self.assertIn(b"200 OK", got)
        self.assertLess(time.time() - started, 20)
        self.assertTrue(t.is_alive())
        before = self.cpu()
        time.sleep(1)
        self.assertLessEqual(self.cpu() - before, 3)  # clock ticks of 10 ms: it does not spin
        self.assertEqual([r["request"] for r in self.ask("held")["requests"]], [held["request"]])
        self.ask("continue", all=True)
        t.join(5)
        self.assertIn("200 OK", self.results["/api/held"])

    def cpu(self):
        fields = pathlib.Path("/proc/%d/stat" % self.ask("hello")["pid"]).read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def test_detaching_continues_everything(self):
        t, held = self.hold("send", "/api/d")
        self.c.close()
        t.join(5)
        self.assertIn("200 OK", self.results["/api/d"])
        self.c = Control(self.sock)
        self.assertIn("200 OK", self.curl("/api/nobody-watches"))

    def test_a_debugger_killed_at_any_phase_loses_nothing(self):
        phases = [p["name"] for p in self.ask("phases")["phases"]]
        for phase in phases:
            path = "/api/killed-" + phase.replace(" ", "-")
            self.ask("break", phase=phase)
            self.events = []
            t = self.start(path)
            self.event("held")
            self.c.s.close()
            self.c.f.close()
            t.join(5)
            self.assertIn("200 OK", self.results[path], phase)
            self.c = Control(self.sock)
            self.ask("debug")
            for b in self.ask("breakpoints")["breakpoints"]:
                self.ask("delete", breakpoint=b["id"])

    def test_abort(self):
        for phase, status in (("content", 418), ("connect", 503), ("upstream response header", 404), ("response header filters", 500)):
            t, held = self.hold(phase, "/api/" + str(status))
            self.assertTrue(self.ask("abort", request=held["request"], status=status)["ok"])
            t.join(5)
            self.assertRegex(self.results["/api/" + str(status)], r"^HTTP/1.1 %d" % status)
            self.ask("delete", breakpoint=held["held"]["breakpoint"])
        t, held = self.hold("send", "/api/444")
        self.assertFalse(self.ask("abort", request=held["request"], status=99)["ok"])
        self.ask("abort", request=held["request"], status=444)
        t.join(5)
        self.assertEqual(self.results["/api/444"], "")

    def test_client_goes_away_while_held(self):
        self.ask("break", phase="connect")
        self.events = []
        s = socket.create_connection(("127.0.0.1", self.port))
        s.sendall(b"GET /api/gone HTTP/1.1\r\nHost: a.test\r\n\r\n")
        held = self.event("held")
        s.close()
        gone = self.event("changed")
        self.assertEqual((gone["request"], gone["why"], gone["held"]["client_gone"]), (held["request"], "client gone", True))
        self.ask("continue", all=True)
        self.assertIn("200 OK", self.run_after_deleting("/api/after"))

    def run_after_deleting(self, path):
        for b in self.ask("breakpoints")["breakpoints"]:
            self.ask("delete", breakpoint=b["id"])
        return self.curl(path)

    def test_upstream_goes_away_while_held(self):
        with socket.create_server(("127.0.0.1", self.ws)) as server:
            peers = []

            def serve():
                peers.append(server.accept()[0])
                peers[0].recv(65536)
                peers[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe")

            threading.Thread(target=serve, daemon=True).start()
            t, held = self.hold("upstream response header", "/ws")
            peers[0].close()
            gone = self.event("changed")
            self.assertTrue(gone["held"]["upstream_gone"])
            self.ask("continue", request=held["request"])
            t.join(5)
            self.assertIn("200 OK", self.results["/ws"])

    def test_limit_and_time_out(self):
        text = pathlib.Path(self.conf).read_text()
        pathlib.Path(self.conf).write_text("#glass: glass_hold_limit 2;\n#glass: glass_hold_timeout 1s;\n" + text)
        self.assertTrue(self.ask("reload")["ok"])
        self.ask("break", phase="content")
        self.events = []
        threads = [self.start("/api/%d" % i) for i in range(3)]
        self.event("held"), self.event("held")
        self.assertIn("glass_hold_limit", self.event("not held")["why"])
        for t in threads:
            t.join(5)
        for i in range(3):
            self.assertIn("200 OK", self.results["/api/%d" % i])

    def test_quitting_lets_go(self):
        t, held = self.hold("connect", "/api/q")
        self.run_proxy("-p", self.dir, "-c", self.conf, "-s", "quit")
        t.join(5)
        self.assertIn("200 OK", self.results["/api/q"])
        self.assertEqual(self.proxy.wait(10), 0)

    # --- editing ---

    def edited(self, phase, path, changes, *more):
        t, held = self.hold(phase, path, *more)
        answer = self.ask("edit", request=held["request"], changes=changes)
        self.assertTrue(answer["ok"], answer)
        self.ask("continue", request=held["request"])
        t.join(5)
        self.ask("delete", breakpoint=held["held"]["breakpoint"])
        d = self.ask("get", request=held["request"])["detail"]
        return self.results[path], d

    def received(self, response):
        return json.loads(response.split("\n\n", 1)[1])

    def test_edit_the_clients_request(self):
        response, d = self.edited("choose location", "/x", {"method": "PUT", "uri": "/api/edited?y", "headers": {"X-New": "1", "User-Agent": None, "X-Two": ["a", "b"]},
                                                           "body": "hello"})
        got = self.received(response)
        names = [n for n, v in got["headers"]]
        self.assertEqual((got["method"], got["target"], got["body"]), ("PUT", "/v1/edited?y", "hello"))
        self.assertIn(["X-New", "1"], got["headers"])
        self.assertEqual(names.count("X-Two"), 2)
        self.assertNotIn("User-Agent", names)
        self.assertEqual([e["what"] for e in d["edits"]], ["method", "uri", "header X-New", "header User-Agent", "header X-Two", "body"])
        self.assertRegex(d["edits"][0]["who"], r"uid \d+ \(process \d+\)")
        self.assertEqual((d["edits"][1]["before"], d["edits"][1]["after"], d["edits"][1]["phase"]), ("/x", "/api/edited?y", "choose location"))
        origins = {f["name"]: f["origin"]["kind"] for f in d["request_fields"]}
        self.assertEqual(origins["X-New"], "edit")
        self.assertIn("GET /x", d["request_line"])

    def test_edit_the_upstreams_request(self):
        for phase in ("connect", "send"):
            response, d = self.edited(phase, "/api/u-" + phase, {"method": "POST", "uri": "/elsewhere", "headers": {"Host": "edited.test"}, "body": "abc"})
            got = self.received(response)
            self.assertEqual((got["method"], got["target"], got["body"]), ("POST", "/elsewhere", "abc"))
            self.assertIn(["Host", "edited.test"], got["headers"])

    def test_edit_the_choice_of_the_upstream(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            address = "127.0.0.1:%d" % other.getsockname()[1]

            def serve():
                for _ in range(2):
                    peer, _ = other.accept()
                    peer.recv(65536)
                    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nother\n")
                    peer.close()

            threading.Thread(target=serve, daemon=True).start()
            for phase in ("choose upstream", "connect"):
                response, d = self.edited(phase, "/api/other-" + phase.replace(" ", "-"), {"upstream": address})
                self.assertTrue(response.endswith("other\n"), response)
                self.assertEqual((d["attempts"][0]["peer"], d["attempts"][0]["why"]), (address, "a person chose it"))

    def test_edit_the_answer(self):
        response, d = self.edited("upstream response header", "/api/a1", {"status": 201, "headers": {"X-Up": "1"}})
        self.assertRegex(response, r"^HTTP/1.1 201 Created")
        self.assertIn("X-Up: 1", response)
        response, d = self.edited("response header filters", "/api/a2", {"status": 503, "headers": {"X-Own": "2", "Content-Type": "text/plain"}, "body": "busy\n"})
        self.assertRegex(response, r"^HTTP/1.1 503 Service")
        self.assertIn("X-Own: 2", response)
        self.assertIn("Content-Length: 5", response)
        self.assertTrue(response.endswith("busy\n"))

    def test_edits_that_cannot_be(self):
        t, held = self.hold("read request", "/api/no")
        self.assertIn("cannot be edited", self.ask("edit", request=held["request"], changes={"method": "PUT"})["error"])
        self.ask("step", request=held["request"])
        self.event("held")
        for changes, words in (({}, "at least one"), (7, "object"), ({"colour": "red"}, 'no "colour"'), ({"method": "a b"}, "method"), ({"uri": "x"}, "slash"),
                               ({"uri": "/\r\nX: y"}, "control character"), ({"uri": "/%zz"}, "invalid"), ({"headers": {"a b": "c"}}, "name"),
                               ({"headers": {"a": "b\r\nc: d"}}, "line ends"), ({"headers": {"Content-Length": "3"}}, "body"), ({"headers": 1}, "object"),
                               ({"status": 404}, "cannot be edited"), ({"body": 1}, "text"), ({"headers": {"a": ["b", 2]}}, "text")):
            answer = self.ask("edit", request=held["request"], changes=changes)
            self.assertFalse(answer["ok"], changes)
            self.assertIn(words, answer["error"])
        self.ask("continue", all=True)
        t.join(5)
        self.assertIn('"target":"/v1/no"', self.results["/api/no"])
        self.assertFalse(self.ask("edit", request=held["request"], changes={"method": "PUT"})["ok"])
        for cmd in ("step", "next", "continue", "abort", "edit"):
            for request in ({}, {"request": "x"}, {"request": 99999}):
                self.assertFalse(self.ask(cmd, **request)["ok"])

    # --- what else a debugger sees ---

    def test_bodies(self):
        self.curl("/api/b", "--data", "a=1&b=2")
        id = 1 + self.count_before(self.c, "/api/b")
        body = self.ask("body", request=id, of="request")["body"]
        self.assertEqual((base64.b64decode(body["base64"]), body["total"], body["kept"]), (b"a=1&b=2", 7, 7))
        body = self.ask("body", request=id, of="response", decode=True)["body"]
        self.assertIn(b'"target":"/v1/b"', base64.b64decode(body["base64"]))
        self.assertFalse(self.ask("body", request=id, of="both")["ok"])

    def test_log_and_statistics(self):
        self.curl("/down")
        lines = self.ask("logs")["lines"]
        self.assertTrue(any("connect() failed" in l["line"] and l["level"] == "error" for l in lines), lines)
        s = self.ask("stats")
        self.assertEqual(s["by_class"]["5xx"], 1)
        self.assertEqual(sum(s["by_duration"]), s["finished"])
        self.assertIn("app", [u["name"] for u in s["upstreams"]])

    def test_sampling_is_said(self):
        self.c.close()
        self.c = Control(self.sock)
        self.assertTrue(self.c.ask({"cmd": "subscribe", "max_per_second": 10})["ok"])
        n = 0
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", self.port)) as s:
                s.settimeout(10)
                for _ in range(200):
                    s.sendall(b"GET /api/x HTTP/1.1\r\nHost: a.test\r\n\r\n")
                    got = b""
                    while b"\r\n\r\n" not in got or not got.endswith(b"}\n"):
                        got += s.recv(65536)
            time.sleep(1)
        self.curl("/api/last")
        events, sampled = 0, 0
        self.c.s.settimeout(1)
        try:
            while True:
                e = self.c.read()
                events += e["event"] == "request"
                sampled += e["count"] if e["event"] == "sampled" else 0
        except (TimeoutError, OSError):
            pass
        self.assertEqual(events + sampled, 601)
        self.assertLess(events, 60)
        self.c = Control(self.sock)

    def test_phase_events_say_what_went_in_and_out(self):
        self.c.close()
        self.c = Control(self.sock)
        self.c.ask({"cmd": "subscribe", "phases": True})
        self.curl("/old/a%20b?q")
        seen = []
        while not seen or seen[-1]["event"] != "request":
            seen.append(self.c.read())
        by = {e["phase"]: e for e in seen if e["event"] == "phase"}
        self.assertEqual((by["read request"]["in"], by["read request"]["out"]), ("GET /old/a%20b?q HTTP/1.1", "/old/a b"))
        self.assertEqual((by["choose location"]["in"], by["choose location"]["out"]), ("/api/a b", "/api/"))
        self.assertEqual(by["choose location"]["place"], self.conf + ":17")
        self.assertEqual((by["build upstream request"]["out"]), "GET /v1/a%20b?q HTTP/1.1")
        self.assertEqual(by["connect"]["out"], "127.0.0.1:%d" % self.up)
        rewrites = [e for e in seen if e["event"] == "phase" and e["phase"] == "rewrite"]
        self.assertEqual((rewrites[0]["in"], rewrites[0]["out"], rewrites[0]["place"]), ("/old/a b", "/api/a b", self.conf + ":18"))
        self.assertEqual([e["us"] for e in seen if e["event"] == "phase"], sorted(e["us"] for e in seen if e["event"] == "phase"))

    # --- from a shell ---

    def test_control_and_trace_commands(self):
        run = lambda *a: self.run_proxy(a[0], "-S", self.sock, *a[1:])
        out = run("control", "break phase=upstream response header filter=path=/api/* and not header.x-no", '{"cmd":"breakpoints"}')
        self.assertEqual(out.returncode, 0, out.stderr)
        b = json.loads(out.stdout.splitlines()[1])["breakpoints"][0]
        self.assertEqual((b["phase"], b["filter"]), ("upstream response header", "path=/api/* and not header.x-no"))
        self.assertIn("enabled", run("trace", "--breakpoints").stdout)
        self.events = []
        t = self.start("/api/shell", "--data", "abc")
        held = self.event("held")
        self.assertIn("/api/shell", run("trace", "--held").stdout)
        self.assertEqual(run("control", "step request=%d" % held["request"]).returncode, 0)
        self.assertEqual(self.event("held")["phase"], "response header filters")
        self.assertEqual(run("control", "step request=999").returncode, 1)
        self.assertEqual(run("control", "continue all=true").returncode, 0)
        t.join(5)
        self.assertEqual(run("trace", "--body", str(held["request"]), "--of", "request").stdout, "abc")
        self.assertIn('"target":"/v1/shell"', run("trace", "--body", str(held["request"])).stdout)
        self.assertEqual(run("control", "{").returncode, 1)

    def test_breakpoints_without_a_debugger(self):
        text = pathlib.Path(self.conf).read_text()
        pathlib.Path(self.conf).write_text("#glass: glass_hold_detached on;\n" + text)
        self.assertTrue(self.ask("reload")["ok"])
        t, held = self.hold("connect", "/api/alone")
        self.ask("debug", on=False)
        t.join(0.5)
        self.assertTrue(t.is_alive())
        self.assertEqual(len(self.ask("held")["requests"]), 1)
        self.ask("continue", all=True)
        t.join(5)
        self.assertIn("200 OK", self.results["/api/alone"])

    def test_random_commands(self):
        import random
        r = random.Random(7)
        self.ask("break", phase="connect", filter="path=/api/held")
        self.events = []
        t = self.start("/api/held", "-m", "60")
        held = self.event("held")
        names = ["hello", "subscribe", "unsubscribe", "list", "get", "body", "config", "logs", "stats", "debug", "break", "breakpoints", "enable", "disable", "held",
                 "abort", "edit", "phases", "", "x" * 300]
        members = ["request", "filter", "phase", "breakpoint", "changes", "status", "limit", "of", "detail", "once", "on", "who", "max_per_second"]
        values = [None, True, 0, -1, 99999999999999, 1.5, "", "x" * 1000, "\u0000", [], {}, {"method": 1}, [[[]]], "path=", "((((", "connect", "log"]
        for _ in range(1500):
            c = {"cmd": r.choice(names)}
            for _ in range(r.randrange(4)):
                c[r.choice(members)] = r.choice(values)
            if c["cmd"] == "debug" and c.get("on") is False:
                continue
            line = bytearray(json.dumps(c).encode())
            if r.random() < 0.3:
                for _ in range(r.randrange(1, 5)):
                    line[r.randrange(len(line))] = r.choice(b'\x00\xff{}[]",:\\a0')
            line = bytes(line).replace(b"\n", b" ")
            self.c.s.sendall(line + b"\n")
            while "event" in self.c.read():
                pass
        half = Control(self.sock)
        half.s.sendall(b'{"cmd":"hel')
        half.close()
        self.assertTrue(self.ask("debug")["ok"])
        self.ask("continue", all=True)
        for b in self.ask("breakpoints")["breakpoints"]:
            self.ask("delete", breakpoint=b["id"])
        self.assertIn("200 OK", self.curl("/api/after"))
        t.join(10)
