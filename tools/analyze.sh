#!/usr/bin/env bash
# Analyzes one source of C: analyze.sh COMPILER FLAG... -MMD -MF DEPENDENCIES -c SOURCE -o OBJECT, as build.sh would compile it.
# Writes OBJECT, which is empty, and DEPENDENCIES if clang-tidy (.clang-tidy says what it looks for) finds nothing. The
# compiler must be clang, with clang-tidy and the static analyzer of the same version beside it.
set -euo pipefail

compiler=$1
shift
arguments=("$@")
source=${arguments[-3]} object=${arguments[-1]}
flags=("${arguments[@]:0:$#-7}") # without -MMD -MF DEPENDENCIES -c SOURCE -o OBJECT
tidy=${compiler/clang/clang-tidy}
rm -f "$object"
"$compiler" "${flags[@]}" -MMD -MF "${arguments[-5]}" -MT "$object" -fsyntax-only "$source"
"$tidy" --quiet "$source" -- "${flags[@]}" 2> "$object.log" || { cat "$object.log" >&2; exit 1; }
rm "$object.log"
: > "$object"
