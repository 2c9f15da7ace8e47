#!/usr/bin/env bash
# Fails if a source is not formatted (.clang-format, biome.jsonc), if Biome finds a fault, or if a script of
# tests/oracles imports a name from another script that does not have it. `make format` formats.
set -euo pipefail
cd "$(dirname "$0")/.."

bad=0
git ls-files -z '*.c' '*.h' | xargs -0 clang-format-22 --style=file --dry-run --Werror || bad=1
node_modules/.bin/biome check --error-on-warnings --max-diagnostics=50 || bad=1
python3 tests/oracles/one.py --check || bad=1
[ $bad = 0 ] || { echo "lint: 'make format' mends what is only formatting" >&2; exit 1; }
