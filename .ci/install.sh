#!/usr/bin/env bash
# Installs those of Debian's packages that are not there: install.sh PACKAGE …. One caller at a time, since apt waits for
# no other one.
set -euo pipefail
missing=()
for package in "$@"; do
    dpkg -s "$package" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
exec 9>"${TMPDIR:-/tmp}/cnn-install.lock"
flock 9
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
