#!/usr/bin/env bash
# Succeeds if there is an Emscripten SDK on the PATH that can compile nibble; build.sh and setup.sh ask. Debian's
# packages of Emscripten cannot: they come without clang, and want an older LLVM, so build.sh uses LLVM 22 with them.
# (LLVM 19 ends with an internal error in src/kernels/matmul_simd128.c.)
set -euo pipefail
OLDEST_LLVM=20
command -v emcc > /dev/null && command -v em-config > /dev/null || exit 1
llvm=$(em-config LLVM_ROOT)
[ -x "$llvm/clang" ] && [ -x "$llvm/wasm-ld" ] || exit 1
version=$("$llvm/clang" --version | sed -n '1s/.*clang version \([0-9]*\).*/\1/p')
[ "${version:-0}" -ge $OLDEST_LLVM ] || exit 1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo '#include <wasm_simd128.h>
    v128_t f(v128_t a, v128_t b, v128_t c) { return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, c); }' \
    > "$folder/probe.c"
emcc -c -O1 -mrelaxed-simd -pthread "$folder/probe.c" -o "$folder/probe.o" 2> /dev/null
