"""What the end-to-end tests share: a proxy on a configuration of its own, with a backend, on free ports."""
import json, os, pathlib, shutil, socket, subprocess, tempfile, time, unittest

BUILD = pathlib.Path(os.environ["BUILD"]).resolve()
PROXY, TUI = str(BUILD / "glassproxy"), str(BUILD / "glasstui")
ROOT = pathlib.Path(__file__).parent.parent.parent

CONF = """
daemon off;
pid @DIR@/nginx.pid;
error_log @DIR@/error.log info;
#glass: glass_mask Authorization;
#glass: glass_ring 50;
events {}
http {
    access_log off;
    proxy_set_header X-Outer outer;
    map $http_upgrade $connection_upgrade { default upgrade; '' close; }
    upstream app { server 127.0.0.1:@UP@; keepalive 4; }
    server {
        listen 127.0.0.1:@PORT@;
        server_name a.test;
        location / { proxy_pass http://app; }
        location /api/ { proxy_pass http://app/v1/; proxy_set_header Host $host; }
        location /old/ { rewrite ^/old/(.*)$ /api/$1 last; }
        location /down { proxy_pass http://127.0.0.1:1; }
        location /ws { proxy_pass http://127.0.0.1:@WS@; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; }
        location /kept { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }
}
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


class Control:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(5)
        self.s.connect(path)
        self.f = self.s.makefile("rb")

    def ask(self, line):
        self.s.sendall((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n")
        return self.read()

    def read(self):
        return json.loads(self.f.readline())

    def close(self):
        self.f.close()
        self.s.close()


class Lab(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="e2e-")
        self.port, self.up, self.ws = free_port(), free_port(), free_port()
        self.conf = os.path.join(self.dir, "nginx.conf")
        text = CONF.replace("@DIR@", self.dir)
        for name, value in (("PORT", self.port), ("UP", self.up), ("WS", self.ws)):
            text = text.replace("@%s@" % name, str(value))
        pathlib.Path(self.conf).write_text(text)
        self.sock = os.path.join(self.dir, "nginx.sock")
        self.processes = [subprocess.Popen([PROXY, "backend", "-l", "127.0.0.1:%d" % self.up]),
                          subprocess.Popen([PROXY, "-p", self.dir, "-c", self.conf, "-e", "error.log"])]
        self.proxy = self.processes[1]
        for _ in range(100):
            if os.path.exists(self.sock):
                break
            time.sleep(0.05)
        for port in (self.up, self.port):
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", port)).close()
                    break
                except OSError:
                    time.sleep(0.05)

    def tearDown(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            self.assertEqual(p.wait(), 0)
        shutil.rmtree(self.dir)

    def curl(self, path, *more):
        return subprocess.run(["curl", "-s", "-i", "--max-time", "5", "-H", "Host: a.test", *more, "http://127.0.0.1:%d%s" % (self.port, path)],
                              capture_output=True, text=True).stdout

    def run_proxy(self, *args):
        return subprocess.run([PROXY, *args], capture_output=True, text=True, timeout=20)

    def count_before(self, c, uri):
        summaries = c.ask({"cmd": "list"})["requests"]
        return [s["request"] for s in summaries if s["uri"] == uri][0] - 1

    def tmux(self, *args):
        return subprocess.run(["tmux", "-L", self.dir.replace("/", "-"), "-f", "/dev/null", *args], capture_output=True, text=True).stdout

    def interface(self, width=100, height=32, env="", options=""):
        self.tmux("new-session", "-d", "-x", str(width), "-y", str(height), "%s TMPDIR=%s LC_ALL=C.UTF-8 exec %s -S %s %s" % (env, self.dir, TUI, self.sock, options))
        self.addCleanup(self.tmux, "kill-server")
        return self.see("glasstui")

    def end_interface(self):
        self.tmux("kill-server")
        while "server" not in self.tmux_errors("list-sessions"):
            time.sleep(0.05)

    def tmux_errors(self, *args):
        return subprocess.run(["tmux", "-L", self.dir.replace("/", "-"), *args], capture_output=True, text=True).stderr

    def capture(self):
        return self.tmux("capture-pane", "-p")

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def type(self, text):
        self.tmux("send-keys", "-l", text)

    def see(self, *texts, absent=(), seconds=5):
        """The screen, as soon as all TEXTS are on it and none of ABSENT."""
        until = time.time() + seconds
        while True:
            screen = self.capture()
            missing = [t for t in texts if t not in screen] + ["no " + t for t in absent if t in screen]
            if not missing:
                return screen
            if time.time() > until:
                raise AssertionError("not seen: %r\n%s" % (missing, screen))
            time.sleep(0.05)
