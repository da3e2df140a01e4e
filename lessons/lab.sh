#!/bin/sh
# The lab: two backends, the proxy on sample-configs/lab.conf, a little traffic, and the interface. Started by `make lab`.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
lab=$build/lab
conf=${CONF:-sample-configs/lab.conf}
mkdir -p "$lab/logs"
pids=
stop() {
    trap - EXIT INT TERM
    for pid in $pids; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
if [ ! -t 1 ] || [ ! -t 0 ]; then
    cat <<END
The lab needs a terminal. Without one, do the same by hand:

  $build/glassproxy backend -l 127.0.0.1:9001 -n one &
  $build/glassproxy backend -l 127.0.0.1:9002 -n two &
  $build/glassproxy -p $lab -c $PWD/$conf &
  $build/glassproxy trace -S $lab/logs/glassproxy.sock --full &
  curl http://127.0.0.1:8080/api/hello

and to see what a request would do, without any of them running:

  $build/glassproxy explain -c $conf http://127.0.0.1:8080/api/hello
END
    exit 0
fi
trap stop EXIT INT TERM
"$build/glassproxy" backend -l 127.0.0.1:9001 -n one 2>"$lab/logs/one" & pids="$pids $!"
"$build/glassproxy" backend -l 127.0.0.1:9002 -n two 2>"$lab/logs/two" & pids="$pids $!"
"$build/glassproxy" -p "$lab" -c "$PWD/$conf" 2>"$lab/logs/start" & proxy=$!
pids="$pids $proxy"
for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -S "$lab/logs/glassproxy.sock" ] && break
    kill -0 "$proxy" 2>/dev/null || { cat "$lab/logs/start" >&2; exit 1; }
    sleep 0.2
done
[ -S "$lab/logs/glassproxy.sock" ] || { echo "The proxy did not start; see $lab/logs." >&2; cat "$lab/logs/start" >&2; exit 1; }
if [ "${TRAFFIC:-on}" = on ]; then
    (
        while :; do
            for path in / /api/hello '/api/a%20b?x=1' /images/a.png /old/news /index.php /down; do
                curl -s -o "$lab/logs/last-answer" -H 'X-Forwarded-For: 203.0.113.9' "http://127.0.0.1:8080$path" || true
                sleep 2
            done
        done
    ) & pids="$pids $!"
fi
"$build/glasstui" -S "$lab/logs/glassproxy.sock"
