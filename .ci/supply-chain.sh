#!/usr/bin/env bash
# Licences, sources, duplicate versions and known faults of all dependencies, as deny.toml wants them, for each workspace.
set -euo pipefail
cd "$(dirname "$0")/.."

# RustSec's database is a git repository: where it cannot be reached, advisories are not checked, and that is said.
checks=(licenses bans sources)
if git ls-remote --quiet https://github.com/RustSec/advisory-db HEAD >/dev/null 2>&1; then
    checks=(advisories "${checks[@]}")
else
    .ci/skip.sh "known faults of the dependencies" "https://github.com/RustSec/advisory-db cannot be reached"
fi

export PATH=$PWD/target/tools/bin:$PATH
command -v cargo-deny >/dev/null || CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --debug --locked --root target/tools cargo-deny@0.20.2

# One file serves all workspaces, so that none has all that it allows.
for manifest in Cargo.toml firmware/Cargo.toml; do
    [ -f "$manifest" ] || continue
    echo "── $manifest: ${checks[*]}"
    RUSTUP_TOOLCHAIN=stable cargo deny --manifest-path "$manifest" --config deny.toml --locked --all-features \
        check --allow unmatched-skip --allow license-not-encountered --allow license-exception-not-encountered \
        "${checks[@]}"
done
