#!/usr/bin/env python3
"""Runs the same configuration and request through nginx and through glassproxy and compares what the upstream and the
client receive, byte for byte after normalising Date, the ports, and ETag and dates of files.

Usage: run.py GLASSPROXY [NGINX] [case files...]

A case file has sections that begin with "=== ". "=== conf" is the inside of http {}; "=== request NAME" is a request as
sent (lines get CRLF; \\x00, \\r, \\n and \\t are read as in C); "=== answer" after a request is what the upstream says to it. A section is
its lines with CRLF between them: two empty lines at its end are the end of a header.
@LISTEN@, @LISTEN2@ and @UPSTREAM@ are addresses with ports, @DIR@ a directory with files. tables.py adds more.
"""
import concurrent.futures, itertools, os, pathlib, queue, re, shutil, socket, subprocess, sys, tempfile, threading, time

import tables

WORKERS = 4
HERE = pathlib.Path(__file__).parent
DEFAULT_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


def unescape(text):
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|r|n|t|\\)",
                  lambda m: {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}.get(m[1]) or bytes([int(m[1][1:], 16)]), text)


def raw(lines):
    return unescape("\r\n".join(lines).encode("utf-8", "surrogateescape"))


class Case:
    def __init__(self, name, request, answer=DEFAULT_ANSWER):
        self.name, self.request, self.answer = name, request, answer


def read_cases(path):
    """[(conf, [Case])] of a file."""
    groups, kind, lines, name = [], None, [], ""

    def end():
        if kind == "conf":
            groups.append(("\n".join(lines), []))
        elif kind == "request":
            groups[-1][1].append(Case(path.stem + ": " + name, raw(lines)))
        elif kind == "answer":
            groups[-1][1][-1].answer = raw(lines)

    for line in path.read_text(errors="surrogateescape").removesuffix("\n").split("\n"):
        if line.startswith("=== "):
            end()
            kind, _, name = line[4:].partition(" ")
            lines = []
        elif kind:
            lines.append(line)
    end()
    return groups


class Upstream(threading.Thread):
    """Keeps what it receives; gives the answer it is told to."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.socket.getsockname()[1]
        self.answer, self.received = DEFAULT_ANSWER, []
        self.start()

    def run(self):
        while True:
            peer, _ = self.socket.accept()
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        data = b""
        peer.settimeout(1)
        try:
            while not self.is_complete(data):
                more = peer.recv(65536)
                if not more:
                    break
                data += more
        except OSError:
            pass
        try:
            self.received.append(data)
            peer.sendall(self.answer)
            peer.shutdown(socket.SHUT_WR)
            while peer.recv(65536):
                pass
        except OSError:
            pass
        peer.close()

    @staticmethod
    def is_complete(data):
        head, end, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if re.search(rb"(?i)\r\ntransfer-encoding: *chunked", head):
            return body.endswith(b"0\r\n\r\n")
        return end and len(body) >= (int(length[1]) if length else 0)


ports = itertools.cycle(range(12000, 32000))  # below those that the system gives to clients
ports_lock = threading.Lock()
for _ in range(os.getpid() * 37 % 20000):
    next(ports)


def free_port():
    with ports_lock:
        for port in ports:
            try:
                socket.create_server(("127.0.0.1", port)).close()
                return port
            except OSError:
                continue


class Proxy:
    def __init__(self, binary, conf, upstream, directory):
        self.dir = tempfile.mkdtemp(prefix="differential-")
        self.ports = [free_port(), free_port()]
        for name in ("LISTEN", "LISTEN2"):
            conf = conf.replace("@%s@" % name, "127.0.0.1:%d" % self.ports[name == "LISTEN2"])
        conf = conf.replace("@UPSTREAM@", "127.0.0.1:%d" % upstream.port).replace("@DIR@", directory)
        path = pathlib.Path(self.dir, "nginx.conf")
        path.write_text("daemon off;\nmaster_process off;\npid %s/pid;\nerror_log %s/error.log info;\nevents { worker_connections 64; }\nhttp {\n"
                        "access_log off;\nproxy_http_version 1.0;\nclient_body_temp_path %s/t1;\nproxy_temp_path %s/t2;\n"
                        "%s\n}\n" % (self.dir, self.dir, self.dir, self.dir, conf), errors="surrogateescape")
        self.process = subprocess.Popen([binary, "-p", self.dir, "-c", str(path), "-e", "error.log"], stderr=subprocess.PIPE)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.ports[0]), 0.2).close()
                time.sleep(0.01)
                if self.process.poll() is None:
                    return
                raise OSError("somebody else listens there")
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit("%s does not start:\n%s\n%s" % (binary, self.process.stderr.read().decode(), path.read_text()))
                time.sleep(0.02)
        raise SystemExit("%s does not listen" % binary)

    def ask(self, request):
        got = b""
        try:
            s = socket.create_connection(("127.0.0.1", self.ports[0]), 3)
        except ConnectionRefusedError:
            return b"[it has died]"
        with s:
            s.settimeout(1.5)
            try:
                s.sendall(request.replace(b"@PORT@", b"%d" % self.ports[0]))
                while True:
                    more = s.recv(65536)
                    if not more:
                        break
                    got += more
            except (ConnectionResetError, BrokenPipeError):
                got += b"[reset]"
            except socket.timeout:
                got += b"[open]"
        return got

    def normal(self, data):
        for port in self.ports:
            data = data.replace(b":%d" % port, b":PORT")
        return data

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def normal(data):
    data = re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: DATE", data)
    data = re.sub(rb"boundary=\d+", b"boundary=N", data)
    data = re.sub(rb"--0\d{19}", b"--N", data)
    data = re.sub(rb"(Expires: )[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} 20(?!37)[^\r]*", rb"\1DATE", data)
    return data


def run(proxy, upstream, case):
    upstream.received.clear()
    upstream.answer = case.answer
    got = proxy.ask(case.request)
    return proxy.normal(normal(got)), [proxy.normal(r) for r in upstream.received]


def main():
    ours, theirs = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "/usr/sbin/nginx"
    paths = [pathlib.Path(p) for p in sys.argv[3:]] or sorted((HERE / "cases").glob("*.case"))
    groups = [g for p in paths for g in read_cases(p)]
    if len(sys.argv) <= 3:
        groups += [(conf, [Case(n, r) for n, r in requests]) for conf, requests in tables.groups()]
    return compare_groups(ours, theirs, groups)


def compare_groups(ours, theirs, groups):
    n, bad = 0, 0
    directory = tempfile.mkdtemp(prefix="files-")
    os.chmod(directory, 0o755)
    os.makedirs(directory + "/dir/sub dir")
    for name, text in (("a.txt", "0123456789" * 10), ("index.html", "<p>index\n"), ("dir/index.html", "dir\n"), ("dir/b%c.html", "b\n")):
        pathlib.Path(directory, name).write_text(text)
        os.utime(pathlib.Path(directory, name), (1700000000, 1700000000))
    upstreams = queue.SimpleQueue()
    for _ in range(WORKERS):
        upstreams.put(Upstream())

    def compare(group):
        conf, cases = group
        upstream, report = upstreams.get(), []
        nginx, proxy = Proxy(theirs, conf, upstream, directory), Proxy(ours, conf, upstream, directory)
        for case in cases:
            want, got = run(nginx, upstream, case), run(proxy, upstream, case)
            if want == got:
                continue
            report.append("not the same: %s\n  request  %r" % (case.name, case.request[:300]))
            for what, w, g in (("client", want[0], got[0]), ("upstream", want[1], got[1])):
                if w != g:
                    report[-1] += "\n  %s\n    nginx      %r\n    glassproxy %r" % (what, w, g)
        nginx.stop()
        proxy.stop()
        upstreams.put(upstream)
        return len(cases), report

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for count, report in pool.map(compare, groups):
            n += count
            bad += len(report)
            for line in report:
                print(line)
    shutil.rmtree(directory)
    print("differential: %d cases, %d differ" % (n, bad))
    return bad > 0


if __name__ == "__main__":
    sys.exit(main())
