#!/usr/bin/env bash
# Counts tests: count.sh LOG SKIPPED prints what was skipped and why, and as its last line
#
#   N passed, N failed, N skipped
#
# LOG is what `cargo test` printed, of any number of runs. SKIPPED has a line for everything that was left out while
# running (tests/skipped, .ci/skip.sh): its kind, its name and the reason, with tabs between them. libtest counts a test
# that skips while running as passed; here it counts as skipped. A test that another one runs is ignored, not skipped.
set -euo pipefail
{
    sed -n 's/^test \(.*\) \.\.\. ignored, \(.*\)$/\1: \2/p; s/^test \(.*\) \.\.\. ignored$/\1: no reason is given/p' "$1" |
        { grep -v ': run by [a-z0-9_:]*$' || true; }
    awk -F '\t' '{ print $2 ": " $3 }' "$2"
} | sort | uniq -c | sed 's/^ *\([0-9]*\) /skipped (\1×): /'
awk -F '\t' '
    in_log && /^test result:/ { split($0, words, " "); passed += words[4]; failed += words[6]; skipped += words[8] }
    in_log && / \.\.\. ignored, run by [a-z0-9_:]*$/ { skipped-- }
    !in_log { skipped++; if ($1 == "test") passed-- }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped }
' in_log=1 "$1" in_log=0 "$2"
