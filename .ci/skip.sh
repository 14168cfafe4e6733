#!/usr/bin/env bash
# Says that a step of .ci/run is left out: skip.sh STEP WHY. It counts as skipped in .ci/run's last line.
set -euo pipefail
echo "skipped: $1: $2"
if [ -n "${CNN_SKIPPED:-}" ]; then
    printf 'step\t%s\t%s\n' "$1" "$2" >>"$CNN_SKIPPED"
fi
