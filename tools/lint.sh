#!/usr/bin/env bash
# Fails if a source is not in the form of .clang-format and biome.jsonc, or if Biome finds a fault, or if an oracle takes of another what that has not. `make format` mends the form.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=0
git ls-files -z '*.c' '*.h' | xargs -0 clang-format-22 --style=file --dry-run --Werror || bad=1
node_modules/.bin/biome check --error-on-warnings --max-diagnostics=50 || bad=1
python3 tests/oracles/one.py --check || bad=1
[ $bad = 0 ] || { echo "lint: 'make format' mends what is only form" >&2; exit 1; }
