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
        f.write(CONTEXTS[context] % ("%s %s;" % (name, arguments)))
        f.flush()
        theirs, ours = first_error("nginx", prefix, f.name), first_error(binary, prefix, f.name)
    if theirs == ours or (theirs and "unknown directive" in theirs) or (ours and "not implemented" in ours):
        return None
    return "%s: %s %s;\n    nginx: %s\n    we:    %s" % (context, name, arguments, theirs, ours)


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
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            differ = [d for d in pool.map(one, jobs) if d]
    print("\n".join(differ))
    print("configuration errors: %d cases, %d differ" % (len(jobs), len(differ)))
    sys.exit(bool(differ))


main()
