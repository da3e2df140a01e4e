#!/bin/sh
# Installs those of the named Debian packages that are missing; through sudo when not root.
set -eu
missing=
for package; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' && continue
    [ "$package" = nginx-light ] && [ -x /usr/sbin/nginx ] && continue
    missing="$missing $package"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "These Debian packages (or your system's equivalents) are needed:$missing" >&2
    exit 1
fi
as_root=
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "Not root and no sudo: install$missing first" >&2; exit 1; }
    as_root=sudo
fi
# Debian would start nginx at once: the tests start their own, on ports of their own.
export DEBIAN_FRONTEND=noninteractive
$as_root apt-get update -qq
$as_root apt-get install -y -qq --no-install-recommends $missing </dev/null >/dev/null
