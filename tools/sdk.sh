#!/usr/bin/env bash
# Whether the Emscripten SDK on the PATH, if there is one, can compile nibble: build.sh and setup.sh ask. Debian's
# packages of Emscripten cannot: they have no clang beside it, and an older LLVM. (LLVM 19 ends with an internal error
# in the kernels of src/kernels/matmul_simd128.c.) With them LLVM 22 is taken in its place.
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
    v128_t f(v128_t a, v128_t b, v128_t c) { return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, c); }' > "$folder/probe.c"
emcc -c -O1 -mrelaxed-simd -pthread "$folder/probe.c" -o "$folder/probe.o" 2> /dev/null
