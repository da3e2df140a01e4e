#!/usr/bin/env python3
"""Requests a second, processor time a request and latency of glassproxy against nginx with one worker, in one run. On a small
machine the load generator and the upstream take part of it, so that the processor time is what differs least from run to run.
 Usage: bench.py BUILD [SECONDS]"""
import os, pathlib, re, resource, shutil, socket, subprocess, sys, tempfile, time

BUILD = pathlib.Path(sys.argv[1]).resolve()
SECONDS = sys.argv[2] if len(sys.argv) > 2 else "3"
DIR = tempfile.mkdtemp(prefix="bench-")
os.chmod(DIR, 0o755)
MAIN = "daemon off;\nworker_processes 1;\npid %s/%s.pid;\nerror_log %s/%s.log;\nworker_rlimit_nofile 20000;\nevents { worker_connections 15000; }\n"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()[1]


def start(binary, name, http):
    path = "%s/%s.conf" % (DIR, name)
    pathlib.Path(path).write_text(MAIN % (DIR, name, DIR, name) + "http {\naccess_log off;\nkeepalive_requests 1000000000;\nkeepalive_timeout 600s;\n" + http + "\n}\n")
    return subprocess.Popen([binary, "-p", DIR, "-c", path, "-e", "start.log"])


def wrk(port, connections):
    out = subprocess.run(["wrk", "-t", "1", "-c", str(connections), "-d", SECONDS + "s", "--latency", "http://127.0.0.1:%d/x" % port],
                         capture_output=True, text=True).stdout
    rate, p99 = re.search(r"Requests/sec: +([\d.]+)", out), re.search(r"99% +(\S+)", out)
    errors = re.search(r"(Socket errors|Non-2xx).*", out)
    return (float(rate[1]) if rate else 0), (p99[1] if p99 else "?"), (errors[0] if errors else "")


def family(pid):
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [pid] + [int(p) for p in children]


def processor_seconds(pids):
    fields = [pathlib.Path("/proc/%d/stat" % p).read_text().rsplit(")", 1)[1].split() for p in pids]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


def measure(process, port, connections):
    """Requests a second, 99th percentile, errors, and microseconds of processor time a request."""
    pids = family(process.pid)
    before = processor_seconds(pids)
    rate, p99, errors = wrk(port, connections)
    return rate, p99, errors, (processor_seconds(pids) - before) * 1e6 / max(1, rate * float(SECONDS))


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
up, theirs, ours = free_port(), free_port(), free_port()
proxy = "upstream u { server 127.0.0.1:%d; keepalive 64; }\nserver { listen 127.0.0.1:%%d backlog=4096; location / { proxy_pass http://u; proxy_http_version 1.1; proxy_set_header Connection ''; } }" % up
processes = [start("/usr/sbin/nginx", "up", "server { listen 127.0.0.1:%d backlog=4096; location / { return 200 '%s'; } }" % (up, "x" * 1000)),
             start("/usr/sbin/nginx", "nginx", proxy % theirs), start(str(BUILD / "glassproxy"), "glassproxy", proxy % ours)]
time.sleep(1)
tracer, idle = None, []
try:
    print("%-28s %10s %10s %7s %8s %8s %7s  %s" % ("", "nginx/s", "ours/s", "ratio", "nginx us", "ours us", "ratio", "99% of nginx, ours"))
    for label, connections, setup in (("1 connection", 1, ""), ("16", 16, ""), ("64", 64, ""), ("256", 256, ""),
                                      ("64, one tracer", 64, "trace"), ("64, 5000 idle", 64, "idle")):
        if setup == "trace":
            tracer = subprocess.Popen([str(BUILD / "glassproxy"), "trace", "--json", "-S", DIR + "/glassproxy.sock"], stdout=subprocess.DEVNULL)
            time.sleep(0.3)
        if setup == "idle":
            tracer.terminate()
            for port in (theirs, ours):
                for _ in range(5000):
                    s = socket.create_connection(("127.0.0.1", port))
                    s.sendall(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
                    idle.append(s)
            time.sleep(1)
        n, g = measure(processes[1], theirs, connections), measure(processes[2], ours, connections)
        print("%-28s %10.0f %10.0f %7.2f %8.1f %8.1f %7.2f  %s, %s  %s" % (label, n[0], g[0], g[0] / n[0] if n[0] else 0, n[3], g[3], n[3] / g[3] if g[3] else 0, n[1], g[1], g[2]), flush=True)
finally:
    for p in processes + ([tracer] if tracer else []):
        p.terminate()
        p.wait()
    shutil.rmtree(DIR)
