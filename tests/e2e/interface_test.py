"""glasstui in a real terminal (tmux): every view, every key, at 80x24 and at 140x45."""
import json, os, pathlib, re, signal, socket, subprocess, threading, time

from lab import Control, Lab

SIZES = ((80, 24), (140, 45))


class Interface(Lab):
    def each_size(self):
        for width, height in SIZES:
            self.interface(width, height, env="EDITOR=%s/editor" % self.dir)
            yield width, height
            self.assertTrue(all(len(line) <= width for line in self.capture().split("\n")))
            self.end_interface()

    def editor(self, script):
        """What $EDITOR does next: a sed script on the file."""
        pathlib.Path(self.dir, "script").write_text(script)
        path = pathlib.Path(self.dir, "editor")
        path.write_text('#!/bin/sh\ncp "$1" %s/before\nexec sed -i -f %s/script "$1"\n' % (self.dir, self.dir))
        path.chmod(0o755)

    def start(self, path, *more):
        t = threading.Thread(target=lambda: self.results.__setitem__(path, self.curl(path, *more)))
        t.start()
        self.addCleanup(t.join)
        return t

    results = {}

    # --- the list and the details ---

    def test_tabs(self):
        c = Control(self.sock)  # bodies are kept while somebody is attached
        self.addCleanup(c.close)
        c.ask({"cmd": "stats"})
        self.curl("/api/a%20b", "-H", "X-Evil: \x1b[31m", "--data", '{"a":[1,2]}')
        self.curl("/down")
        for width, height in self.each_size():
            self.press("g")
            screen = self.see("a.test/api/a%20b", "from the client", "to the upstream", "Host: a.test", "^ proxy_set_header Host $host;")
            self.assertNotIn("\x1b[31m", screen)
            self.press("2")
            self.see("normalised    /api/a b", "-> /api/")
            self.press("3")
            self.see("Attempts", "127.0.0.1:%d" % self.up)
            self.press("4")
            self.see("to the client", "HTTP/1.1 200 OK")
            self.press("5")
            self.see("accept", "read request")
            self.press("Enter", "G")
            self.see("log")
            self.press("Escape", "Tab")
            self.see("Response body  application/json")
            self.press("r")
            self.see("Request body", '"a": [')
            self.press("h")
            self.see('{"a":[1,2]}')
            self.press("h")
            self.see("00000000  7b 22 61")
            self.press("h", "r", "7")
            self.see("protocol      HTTP/1.1", "not encrypted")
            self.press("8")
            self.see("warning: The upstream does not learn the client's address", "remedy")
            self.press("BTab")
            self.see("protocol")
            self.press("1", "Right")
            self.see(" client  ", absent=["from the client"])
            self.press("Left", "q")

    def test_bodies_are_decompressed(self):
        import gzip
        with socket.create_server(("127.0.0.1", self.ws)) as server:
            def serve():
                peer, _ = server.accept()
                peer.recv(65536)
                body = gzip.compress(b"plain text " * 10)
                peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                peer.close()
            threading.Thread(target=serve, daemon=True).start()
            self.interface()
            subprocess.run(["curl", "-s", "-o", "/dev/null", "-H", "Host: a.test", "http://127.0.0.1:%d/ws" % self.port])
        self.press("6")
        self.see("(decompressed)", "plain text plain text")
        self.press("z")
        self.see("00000000  1f 8b", absent=["(decompressed)"])

    def test_list(self):
        for path in ("/api/1", "/down", "/api/2", "/old/3", "/api/1%0a"):
            self.curl(path)
        for width, height in self.each_size():
            self.see("5 of 5 requests", "following")
            self.press("g", "Down", "j", "k")
            self.see("/down", absent=["following"])
            self.press("F")
            self.see("following")
            # filter, with the proxy's language
            self.press("f")
            self.type("status>=500 and path=/d*")
            self.press("Enter")
            self.see("filter: status>=500", "1 of 1 requests", absent=["/api/1"])
            self.press("f", "C-u")
            self.type("path=/a and statos=5")
            self.press("Enter")
            self.see('filter, column 13: there is no "statos"; did you mean "status"?')
            self.press("f")
            self.see("Filter: path=/a and statos=5_")
            self.press("C-u", "Enter")
            self.see("5 of 5 requests", absent=["filter:"])
            # search
            self.press("g", "/")
            self.type("/old")
            self.press("Enter")
            self.press("2")
            self.see("received      /old/3")
            self.press(".")
            self.press("/")
            self.type("nowhere")
            self.press("Enter")
            self.see('"nowhere" is not here.')
            # order
            self.press("o")
            self.see("Sorted by status.", "by status")
            self.press("O")
            self.see("falling")
            screen = self.see("502")
            self.assertLess(screen.index("/down"), screen.index("/api/2"))
            self.press("O", "o", "o", "o", "o")
            self.see("Sorted by time.")
            # marks
            self.press("g", "m", "v")
            self.see("marked only", "1 of 5 requests", "*")
            self.press("x", "C-u")
            self.type(self.dir + "/out.jsonl")
            self.press("Enter")
            self.see("1 requests are in")
            (line,) = pathlib.Path(self.dir, "out.jsonl").read_text().splitlines()
            self.assertEqual(json.loads(line)["uri"], "/api/1")
            self.press("v", "g", "m")
            self.see("5 of 5 requests", absent=["marked only"])
            # curl
            self.press("g", "y")
            self.see("curl -i -H 'Host: a.test'")
            # pause
            self.press("Space")
            self.curl("/wp")
            self.see("PAUSED (1 came)")
            self.press("p")
            self.see("6 of 6 requests" if width == 80 else "7 of 7 requests", "/wp", absent=["PAUSED"])
            if width == 80:
                self.press("q")
                break
        self.end_interface()
        self.interface(140, 45)
        self.see("6 of 6 requests")

    def test_long_and_wide_lines(self):
        self.curl("/api/" + "x" * 300, "-H", "X-Wide: \u65e5\u672c\u8a9e\u65e5\u672c\u8a9e")
        for width, height in self.each_size():
            self.see("x\u2026")
            self.press("Enter", "G")
            self.see("\u65e5\u672c\u8a9e")

    def test_resize(self):
        self.curl("/api/x")
        self.interface(140, 45)
        for width, height in ((80, 24), (200, 60), (60, 16), (100, 30)):
            self.tmux("resize-window", "-x", str(width), "-y", str(height))
            screen = self.see("Requests", "/api/x", "q quit")
            self.assertTrue(all(len(line) <= width for line in screen.split("\n")))
        self.tmux("resize-window", "-x", "30", "-y", "8")
        self.see("too small")
        self.tmux("resize-window", "-x", "80", "-y", "24")
        self.see("/api/x", "q quit")

    def test_monochrome(self):
        self.curl("/api/x")
        self.interface(options="-m")
        self.see("/api/x")
        colours = self.tmux("capture-pane", "-p", "-e")
        self.assertNotRegex(colours, r"\x1b\[[0-9;]*3[0-7]m")
        self.end_interface()
        self.interface(env="TERM=xterm-256color")
        self.see("/api/x")
        self.assertRegex(self.tmux("capture-pane", "-p", "-e"), r"\x1b\[[0-9;]*3[0-7]m")

    def test_help_for_every_view(self):
        for width, height in self.each_size():
            for key, name in (("R", "Requests"), ("C", "Configuration"), ("T", "Statistics"), ("L", "Error log"), ("B", "Breakpoints"), ("W", "What-if")):
                self.press(key)
                self.see("glasstui  " + name, "? help  q quit")
                self.press("?")
                self.see("Help", 'Keys in "%s"' % name)
                for _ in range(5):
                    self.press("NPage")
                self.see("duration bytes" if name != "Requests" else "Filters")
                self.press("x")
                self.see(absent=["Help ("])
            self.press("F3")
            self.see("glasstui  Configuration")
            self.press("F2")
            self.see("glasstui  Requests")

    # --- the other views ---

    def test_configuration_with_its_lines(self):
        self.curl("/api/x")
        for width, height in self.each_size():
            self.press("C")
            self.see(">  17          location /api/", "   16")
            self.press("]", "]")
            self.press("Escape", "1", "Enter")
            self.press("/")
            self.type("Host $host")
            self.press("Enter", "Enter")
            self.see("glasstui  Configuration")
            self.press("Escape", "Escape")
            self.see("glasstui  Requests")

    def test_statistics_and_log(self):
        self.curl("/down")
        for width, height in self.each_size():
            self.press("T")
            self.see("statuses", "5xx 1", "Upstream app")
            self.curl("/api/x")
            self.see("2xx %d" % (1 if width == 80 else 2))
            self.press("L")
            self.see("[error]", "connect() failed")
            self.press("q")

    def test_mouse(self):
        for path in ("/api/1", "/api/2", "/api/3"):
            self.curl(path)

        def click(button, column, line):
            self.tmux("send-keys", "-l", "\x1b[M" + chr(32 + button) + chr(32 + column) + chr(32 + line))
            if button == 0:
                self.tmux("send-keys", "-l", "\x1b[M#" + chr(32 + column) + chr(32 + line))  # and let go

        for width, height in self.each_size():
            self.press("2", "M")
            self.see("The mouse chooses")
            click(0, 20, 3)
            self.see("received      /api/1")
            click(0, 20, 4)
            self.see("received      /api/2")
            click(65, 20, 4)
            click(64, 20, 4)
            self.press("M")
            self.see("The mouse is the terminal's.")
            self.press("q")

    def test_moving(self):
        for i in range(40):
            self.curl("/api/%d" % i)
        for width, height in self.each_size():
            self.see("a.test/api/39")
            self.press("2", "Home")
            self.see("received      /api/0")
            self.press("NPage")
            self.see("a.test/api/", absent=["received      /api/0"])
            self.press("PPage")
            self.see("received      /api/0")
            self.press("Down", "j", "Up", "k", "End")
            self.see("received      /api/39")
            self.press("g")
            self.see("received      /api/0")
            self.press("G")
            self.see("received      /api/39")
            self.press("/")
            self.type("api/1")
            self.press("Enter")
            self.see("received      /api/1\n")
            self.press(".")
            self.see("received      /api/10")
            self.press(",")
            self.see("received      /api/1\n")
            self.press("Enter", "End", "Home", "Escape", "F3")
            self.see("glasstui  Configuration")
            self.press("]", "[", "Tab", "End", "Home", "NPage", "PPage")
            self.press("F4")
            self.see("glasstui  Statistics")
            self.press("Enter", "F5")
            self.see("glasstui  Error log")
            self.press("F6")
            self.see("glasstui  Breakpoints")
            self.press("F7")
            self.see("glasstui  What-if")
            self.press("F2", "F1")
            self.see("Help")
            self.press("x", "q")

    # --- debugging ---

    def break_at(self, text):
        self.press("b")
        self.see("Break at")
        self.type(text)
        self.press("Enter")

    def test_breakpoints(self):
        for width, height in self.each_size():
            self.press("B")
            self.see("There are none.")
            self.press("b")
            self.type("conn")
            self.press("Tab")
            self.see("Tab: phases): connect_")
            self.type(": path=/api/*")
            self.press("Enter")
            self.see("enabled", "0 hits", "at connect", "path=/api/*")
            self.press("Space")
            self.see("disabled")
            self.assertIn("200 OK", self.curl("/api/x"))
            self.press("t")
            self.see("enabled", absent=["disabled"])
            self.break_at("nowhere")
            self.see('there is no phase "nowhere"')
            self.break_at("log: path=")
            self.see("filter, column 7: a value is expected here")
            self.press("g", "d")
            self.see("There are none.")
            self.press("Escape")
            self.see("glasstui  Requests")

    def test_step_next_continue(self):
        for width, height in self.each_size():
            self.break_at("once read request")
            self.see("Breakpoint")
            t = self.start("/api/s%d" % width)
            self.see("1 HELD", "HELD read request")
            self.press("s")
            self.see("HELD choose server", "s step", "n next", "c continue")
            self.press("2")
            self.see("received      /api/s%d" % width)
            self.press("n")
            self.see("HELD cache")
            self.press("s", "s")
            self.see("HELD build upstream")
            self.press("s")
            self.see("HELD connect")
            self.press("1")
            self.see("GET /v1/s%d HTTP/1.1" % width)
            self.press("c")
            t.join(5)
            self.assertIn("200 OK", self.results["/api/s%d" % width])
            self.see("1 of 1 requests" if width == 80 else "2 of 2 requests", absent=["HELD"])
            self.press("B", "d", "Escape")

    def test_continue_all_and_abort(self):
        for width, height in self.each_size():
            self.break_at("content")
            self.see("Breakpoint")
            threads = [self.start("/api/c%d-%d" % (width, i)) for i in range(3)]
            self.see("3 HELD")
            self.press("a")
            self.see("Answer with status", "503")
            self.press("C-u")
            self.type("418")
            self.press("Enter")
            self.see("2 HELD")
            self.press("A")
            self.see(absent=["HELD"])
            for t in threads:
                t.join(5)
            answers = sorted(self.results["/api/c%d-%d" % (width, i)][:12] for i in range(3))
            self.assertEqual(answers, ["HTTP/1.1 200", "HTTP/1.1 200", "HTTP/1.1 418"])
            self.press("B", "d", "Escape")

    def test_edit_in_the_editor(self):
        for width, height in self.each_size():
            self.break_at("choose location")
            self.see("Breakpoint")
            t = self.start("/x%d" % width, "--data", "old")
            self.see("HELD choose location")
            self.editor("s/^%method .*/%method PUT/\ns,^%uri .*,%uri /api/edited,\ns/^User-Agent: .*/X-Edited: yes/")
            self.press("e")
            self.see("Edited.")
            self.press("1")
            self.see("edited: method  POST  =>  PUT", "X-Edited: yes")
            self.assertIn('held at "choose location": the request', pathlib.Path(self.dir, "before").read_text())
            self.press("n")
            self.see("HELD cache")
            self.editor("")
            self.press("e", "s")
            self.see("HELD choose upstream")
            self.press("c")
            t.join(5)
            got = json.loads(self.results["/x%d" % width].split("\n\n", 1)[1])
            self.assertEqual((got["method"], got["target"]), ("PUT", "/v1/edited"))
            self.assertIn(["X-Edited", "yes"], got["headers"])
            self.assertNotIn("User-Agent", [h[0] for h in got["headers"]])
            self.see(absent=["HELD"])
            # what cannot be
            t = self.start("/y%d" % width)
            self.see("HELD choose location")
            self.editor("s/^%method .*/%method A B/")
            self.press("e")
            self.see('"method" must be')
            self.editor("1a nonsense")
            self.press("e")
            self.see("means nothing", "nothing is edited")
            self.press("A")
            t.join(5)
            self.press("B", "d", "Escape")

    def test_choose_the_upstream(self):
        for width, height in self.each_size():
            self.break_at("connect")
            self.see("Breakpoint")
            t = self.start("/down")
            self.see("HELD connect")
            self.press("u")
            self.see("Ask this upstream")
            self.press("C-u", "Tab")
            self.see("of the group): 127.0.0.1:1_")
            self.press("C-u")
            self.type("127.0.0.1:%d" % self.up)
            self.press("Enter")
            self.see("Edited.")
            self.press("c")
            t.join(5)
            self.assertIn("200 OK", self.results["/down"])
            self.see("200e")
            self.press("B", "d", "Escape")

    def test_edit_the_response(self):
        for width, height in self.each_size():
            self.break_at("response header filters")
            self.see("Breakpoint")
            t = self.start("/api/r")
            self.see("HELD response header")
            self.editor("s/^%status .*/%status 404/\n$a %body\\nnot today")
            self.press("e")
            self.see("Edited.")
            self.press("c")
            t.join(5)
            self.assertRegex(self.results["/api/r"], r"(?s)^HTTP/1.1 404.*not today")
            self.press("B", "d", "Escape")

    def test_client_and_interface_go_away(self):
        self.interface()
        self.break_at("connect")
        self.see("Breakpoint")
        s = socket.create_connection(("127.0.0.1", self.port))
        s.sendall(b"GET /api/gone HTTP/1.1\r\nHost: a.test\r\n\r\n")
        self.see("HELD connect")
        s.close()
        self.see("the client went away")
        self.press("A")
        t = self.start("/api/killed")
        self.see("HELD connect")
        os.kill(int(self.tmux("list-panes", "-F", "#{pane_pid}")), signal.SIGKILL)
        t.join(5)
        self.assertIn("200 OK", self.results["/api/killed"])

    def test_killed_at_each_phase(self):
        c = Control(self.sock)
        phases = [p["name"] for p in c.ask({"cmd": "phases"})["phases"]]
        c.close()
        for phase in phases:
            self.interface()
            self.break_at("once " + phase)
            self.see("Breakpoint")
            path = "/api/k-" + phase.replace(" ", "-")
            t = self.start(path)
            self.see("1 HELD")
            os.kill(int(self.tmux("list-panes", "-F", "#{pane_pid}")), signal.SIGKILL)
            t.join(5)
            self.assertIn("200 OK", self.results[path], phase)
            self.end_interface()

    def test_proxy_comes_back(self):
        self.interface()
        self.proxy.terminate()
        self.proxy.wait()
        self.see("PROXY GONE")
        from lab import PROXY
        self.processes[1] = self.proxy = subprocess.Popen([PROXY, "-p", self.dir, "-c", self.conf, "-e", "error.log"])
        self.see("Requests", absent=["PROXY GONE"])
        self.curl("/api/again")
        self.see("/api/again")

    # --- what-if ---

    def test_what_if(self):
        self.curl("/api/x")
        for width, height in self.each_size():
            original = pathlib.Path(self.conf).read_text()
            self.see("/api/x")
            self.editor("s,/v1/,/v9/,")
            self.press("w")
            self.see("glasstui  What-if", "as it would be", "GET /v1/x HTTP/1.1", "GET /v9/x HTTP/1.1")
            self.assertEqual(pathlib.Path(self.conf).read_text(), original)
            self.editor("s,/v9/,/v8/,")
            self.press("e")
            self.see("GET /v8/x HTTP/1.1")
            self.press("d")
            self.see("is dropped")
            self.assertEqual(pathlib.Path(self.conf).read_text(), original)
            self.editor("s,proxy_pass,proxy_pas,")
            self.press("w")
            self.see("cannot be used", 'unknown directive "proxy_pas"', 'did you mean "proxy_pass"?')
            self.press("y")
            self.press("d")
            self.assertEqual(pathlib.Path(self.conf).read_text(), original)
            self.editor("s,/v1/,/v2/,")
            self.press("w")
            self.see("GET /v2/x HTTP/1.1")
            self.press("y")
            self.see("in force")
            self.assertIn('"target":"/v2/y"', self.curl("/api/y"))
            self.assertEqual(os.stat(self.conf).st_mode & 0o777, 0o644)
            pathlib.Path(self.conf).write_text(original)
            self.proxy.send_signal(signal.SIGHUP)
            time.sleep(0.3)
            self.curl("/api/x")

    # --- under load ---

    def test_under_load_it_samples_and_answers(self):
        self.interface()
        stop = time.time() + 4
        sent = [0]

        def load():
            while time.time() < stop:
                with socket.create_connection(("127.0.0.1", self.port)) as s:
                    s.settimeout(10)
                    for _ in range(40):
                        s.sendall(b"GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n" * 20)
                        got = b""
                        while got.count(b"</html>\r\n") < 20:
                            got += s.recv(65536)
                        sent[0] += 20

        threads = [threading.Thread(target=load) for _ in range(2)]
        for t in threads:
            t.start()
        self.see("SAMPLING:", "more were not shown")
        asked = time.time()
        self.press("T")
        self.see("glasstui  Statistics", seconds=2)
        self.press("R")
        self.see("glasstui  Requests", seconds=2)
        self.assertLess(time.time() - asked, 2)
        for t in threads:
            t.join()
        self.assertGreater(sent[0], 2000)
