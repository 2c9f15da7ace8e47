#!/usr/bin/env bash
# Analyzes one C source with clang-tidy (.clang-tidy lists the checks). It is called like a compiler:
#   analyze.sh COMPILER FLAG... -MMD -MF DEPENDENCIES -c SOURCE -o OBJECT
# If nothing is found, it writes DEPENDENCIES and an empty OBJECT, so that build.sh knows that the source is done.
# COMPILER must be clang, with clang-tidy of the same version beside it.
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
