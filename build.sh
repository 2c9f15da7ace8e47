#!/usr/bin/env bash
# Compiles the core. Usage: ./build.sh [GOAL ...], where a goal is one of (default: wasm)
#   wasm    build/wasm/nibble-{simd128,relaxed,relaxed-dot}.wasm and the same with -threads, the engine, and
#           build/wasm/nibble-convert.wasm, the converter, and
#           build/wasm/nibble-{quantize,quantize-threads}.wasm, the quantizer, and
#           build/wasm/nibble-{train,train-threads}.wasm, the trainer, and
#           build/wasm/nibble-{integer,integer-threads}.wasm, the integer engine, without floating-point instructions,
#           and build/wasm/nibble-grammar.wasm, which holds answers to grammars, without such instructions, too
#   native  build/native/core-tests: the core and tests/core under ASan and UBSan, with SIMDe, through which the same
#           SIMD kernels compile natively
#   native-32   build/native/core-tests-32: the same with 32-bit addresses, as in WebAssembly
#   tests   build/tests/core-<build>.wasm: the core and tests/core as WebAssembly, for tests/core/run.js
#   fuzz    build/fuzz-checked/fuzz_*: the core with the targets of tests/fuzz under libFuzzer, ASan and UBSan
#   fuzz-memory, fuzz-32, fuzz-lines   build/fuzz-{memory,32,lines}/fuzz_*: the same targets under MSan alone; as fuzz,
#           but with 32-bit addresses; with line coverage and no sanitizer
#   bench   build/bench/kernels-{simd128,relaxed,relaxed-dot}.wasm, for tests/bench/kernels.js
#   analyze   clang-tidy and the static analyzer over the core, tests/core and tests/fuzz (.clang-tidy)
# Emscripten's clang compiles, and wasm-ld of the same LLVM links; neither Emscripten's JavaScript nor Binaryen is used.
# CORE_DEFINES="-DX" adds macros; JOBS=n sets how many compilers run at once; CC=... is the compiler of
# native builds (default: clang-22, clang or gcc, the first that is there).
set -euo pipefail
cd "$(dirname "$0")"
mkdir -p build/o
exec 9>build/.lock && flock 9 # two builds at once would write the same objects

BUILDS="simd128 simd128-threads relaxed relaxed-threads relaxed-dot relaxed-dot-threads"
MAX_BYTES=409600 MAX_GZIP_BYTES=153600 # of the engine: 400 and 150 KiB
MAX_MODULE_BYTES=307200 MAX_MODULE_GZIP_BYTES=114688 # of each other module: 300 and 112 KiB
MAX_GRAMMAR_BYTES=65536 MAX_GRAMMAR_GZIP_BYTES=24576 # of the grammars' module: 64 and 24 KiB
JOBS=${JOBS:-$(nproc)}

WARN="-Wall -Wextra -Werror"
# fp-contract=off: otherwise clang fuses a*x+y into relaxed_madd, which devices round differently.
# no-builtin-strlen: otherwise clang turns a loop that looks for a zero byte into a call of strlen; there is no libc.
COMMON="-O2 -std=c11 -ffp-contract=off -fno-math-errno -fno-builtin-strlen -fvisibility=hidden ${CORE_DEFINES:-}"
# shorten-64-to-32: a 64-bit size needs a cast to become a size_t.
WASM="-mbulk-memory -mnontrapping-fptoint -msign-ext -mmutable-globals -Wshorten-64-to-32"
# The parts of musl's maths that the core may call; the linker picks those that it does call.
MATH="expf exp2f exp2f_data powf powf_data logf logf_data log2f log2f_data log1pf expm1f tanhf sinf cosf erff erf
    roundf fmodf exp exp_data pow pow_data log log_data sin cos __sin __cos __sindf __cosdf __rem_pio2 __rem_pio2f
    __rem_pio2_large scalbn floor __math_oflow __math_uflow __math_xflow __math_divzero __math_invalid
    __math_oflowf __math_uflowf __math_xflowf __math_divzerof __math_invalidf"

fail() { echo "build.sh: $*" >&2; exit 1; }

# ---- which Emscripten -----------------------------------------------------------------------------------------

# Sets EMCC, EM_ROOT, LD and TOOLCHAIN: those of a current SDK on the PATH (tools/sdk.sh), or else of Debian's
# emscripten (installed, or unpacked by tools/setup.sh). The latter is run with Debian's LLVM 22, because the LLVM that
# Debian's package depends on is too old. Leaves build/toolchain/probe.c for clang_of.
find_emscripten() {
    local probe=build/toolchain/probe
    mkdir -p build/toolchain
    echo '#include <wasm_simd128.h>
        v128_t f(v128_t a, v128_t b, v128_t c) { return wasm_i32x4_relaxed_dot_i8x16_i7x16_add(a, b, c); }' > $probe.c
    local llvm
    if tools/sdk.sh; then
        EMCC=emcc
        EM_ROOT=$(em-config EMSCRIPTEN_ROOT)
        llvm=$(em-config LLVM_ROOT)
        LD=$llvm/wasm-ld
    else
        llvm=/usr/lib/llvm-22/bin
        EM_ROOT=/usr/share/emscripten
        [ -e $EM_ROOT/emcc.py ] || EM_ROOT=$PWD/build/toolchain/emscripten
        [ -e $EM_ROOT/emcc.py ] && [ -x $llvm/clang ] && [ -x $llvm/wasm-ld ] ||
            fail "no usable Emscripten: put a current SDK on the PATH, or run 'make setup' (it installs Debian's)"
        # Emscripten 3.1.6 looks for its tools in one folder, and Debian's patch makes it look for names that end in
        # -14. So each tool is linked under both names.
        mkdir -p build/toolchain/llvm
        local tool
        for tool in clang clang++ wasm-ld lld; do
            ln -sf $llvm/$tool build/toolchain/llvm/$tool
            ln -sf $llvm/$tool build/toolchain/llvm/$tool-14
        done
        cat > build/toolchain/emscripten.py <<END
EMSCRIPTEN_ROOT = '$EM_ROOT'
LLVM_ROOT = '$PWD/build/toolchain/llvm'
BINARYEN_ROOT = '/usr'
NODE_JS = '$(command -v node)'
CACHE = '$EM_ROOT/cache'
FROZEN_CACHE = True
END
        export EM_CONFIG=$PWD/build/toolchain/emscripten.py
        EMCC="python3 $EM_ROOT/emcc.py"
        LD=$llvm/wasm-ld
        $EMCC -c -O1 -mrelaxed-simd -pthread $probe.c -o $probe.o ||
            fail "Emscripten in $EM_ROOT with LLVM in $llvm cannot compile relaxed SIMD (its message is above)"
    fi
    TOOLCHAIN="emscripten $(tr -d '"' < "$EM_ROOT/emscripten-version.txt") in $EM_ROOT"
    TOOLCHAIN+=", $("$llvm/clang" --version | sed -n '1s/.*\(clang version [0-9.]*\).*/\1/p') in $llvm"
    echo "build.sh: $TOOLCHAIN"
}

# ---- compiling ------------------------------------------------------------------------------------------------

# Whether an object must be compiled again: it is missing, or its source or a header that it includes is newer or gone.
stale() { # object source
    [ -e "$1" ] && [ -e "${1%.o}.d" ] && [ ! "$2" -nt "$1" ] || return 0
    local words word
    read -r -d '' -a words < "${1%.o}.d" || true
    for word in "${words[@]:1}"; do
        [ "$word" = '\' ] && continue
        [ -e "$word" ] && [ ! "$word" -nt "$1" ] || return 0
    done
    return 1
}

# Flags that one source of the core needs beside COMMON (-O2) when it is compiled to WebAssembly. With -O3 matrix
# products take 6 % less time for prompts. Code that reads files or only calls kernels is compiled for size (-Oz), code
# that goes through text byte by byte with -Os. Quantizers and the trainer use no relaxed SIMD, because they must write
# the same bytes on every device.
flags_of() { # SOURCE
    case $1 in
    src/kernels/matmul_*.c | src/integer/integer_matrix.c) echo -O3 ;;
    src/base/threads.c) ;;
    src/quant/imatrix.c | src/quant/presets.c | src/quant/range_histogram.c) echo -Oz ;;
    src/quant/*) echo -mno-relaxed-simd ;;
    src/train/product.c) echo -O3 -mno-relaxed-simd ;;
    src/train/*) echo -mno-relaxed-simd ;;
    src/sampling/candidates.c | src/text/bpe.c | src/text/byte_level.c | src/text/bytes.c | src/text/heap.c | \
        src/text/merge.c | src/text/metaspace.c | src/text/names.c | src/text/normalize.c | src/text/splits.c | \
        src/text/pretokenize.c | src/text/spm.c | src/text/unigram.c | src/text/word_cache.c | \
        src/text/workspace.c) echo -Os ;;
    src/grammar/automaton.c | src/grammar/masks.c | src/grammar/lexicon.c) ;;
    src/base/* | src/grammar/* | src/formats/* | src/models/* | src/calibrate/* | src/text/* | src/sampling/* | src/convert/*)
        echo -Oz
        ;;
    esac
}

# The path of a source's object. It follows the source's path, so that two folders may have files of the same name.
object_of() { # FOLDER SOURCE
    local path=${2#"${EM_ROOT:-none}/"} # musl's sources lie in EM_ROOT
    echo "$1/${path%.c}.o"
}

# The clang command that emcc runs for this command, as -v prints it. Running it directly saves the start of emcc, which
# takes longer than compiling most files. If it cannot be found out, this is the command itself.
clang_of() { # COMMAND
    local probe=build/toolchain/probe words
    words=$($1 -c -v $probe.c -o $probe.o 2>&1 |
        sed -n '1s/^ *"\{0,1\}\([^ "]*clang\)"\{0,1\} \(.*\) -c -v .*/\1 \2/p') || true
    echo "${words:-$1}"
}

# compile FOLDER COMMAND SOURCE...: compiles the sources whose objects in build/o/FOLDER are stale, or all if the
# command, the toolchain or flags_of changed. Sets OBJECTS to the objects of all of them.
compile() {
    local folder=build/o/$1 command=$2 source object flags queue=""
    shift 2
    mkdir -p "$folder"
    local key="$command $TOOLCHAIN $(declare -f flags_of)"
    [ "$(cat "$folder/command" 2> /dev/null)" = "$key" ] || rm -rf "${folder:?}"/*
    echo "$key" > "$folder/command"
    case $command in "${EMCC:-none} "*) command=$(clang_of "$command") ;; esac
    OBJECTS=""
    for source in "$@"; do
        object=$(object_of "$folder" "$source")
        OBJECTS+=" $object"
        mkdir -p "${object%/*}"
        if stale "$object" "$source"; then
            case $folder in
            build/o/native-* | build/o/fuzz-* | build/o/analyze) flags="" ;;
            *) flags=$(flags_of "$source") ;;
            esac
            queue+="$command $flags -MMD -MF ${object%.o}.d -c $source -o $object"$'\n'
        fi
    done
    [ -z "$queue" ] || printf %s "$queue" | xargs -P "$JOBS" -I{} sh -c '{}' || fail "compiling $folder failed"
}

# ---- the modules ----------------------------------------------------------------------------------------------

# The folders and files of src/ that make each module.
ENGINE="base types formats kernels text sampling models calibrate quant/range_histogram.c"
# The converter leaves out base/threads.c: it computes in one thread, and shall not export the functions of the thread
# pool.
ENCODERS=$(cd src && echo quant/quantize*.c)
CONVERTER="base/error.c base/memory.c base/sort.c base/text.c base/writer.c types formats text/unicode.c $ENCODERS
    quant/imatrix.c quant/presets.c convert"
# The linker leaves out what no exported function needs, such as quant/presets.c here.
QUANTIZER="base/error.c base/memory.c base/sort.c base/text.c base/threads.c base/writer.c types formats text/unicode.c
    quant"
TRAINER="base/error.c base/memory.c base/text.c base/threads.c base/writer.c types kernels/ops.c models/rope.c
    text/byte_level.c text/splits.c text/pretokenize.c text/unicode.c train"
# Compiled with -DNB_NO_FLOATS, which leaves out the floating-point parts of messages and of the table of types.
INTEGER="base/error.c base/memory.c base/sort.c base/text.c base/threads.c base/writer.c types/traits.c formats integer"
# Compiled without floating-point numbers, too.
GRAMMAR="base/checksum.c base/error.c base/memory.c base/sort.c base/text.c base/writer.c grammar"

# The sources in these folders and files, without duplicates.
sources_of() { # PART...
    find "${@/#/src/}" -name '*.c' | LC_ALL=C sort -u
}

CORE=$(find src -name '*.c' | LC_ALL=C sort)
unused=$(comm -23 <(echo "$CORE") <(sources_of $ENGINE $CONVERTER $QUANTIZER $TRAINER $INTEGER $GRAMMAR))
[ -z "$unused" ] || fail "these sources are in no module; add their folder to a module in build.sh: $unused"
TESTS=$(find tests/core -name '*.c' ! -name 'host_native.c' 2> /dev/null | LC_ALL=C sort)

# ---- building -------------------------------------------------------------------------------------------------

wasm_flags() { # build
    local flags=-msimd128
    case $1 in relaxed*) flags+=" -mrelaxed-simd" ;; esac
    case $1 in *-dot*) flags+=" -DNB_DOT" ;; esac
    case $1 in *-threads) flags+=" -pthread -DNB_THREADS" ;; esac
    echo "$flags"
}

compile_math() {
    local musl=$EM_ROOT/system/lib/libc/musl name sources=""
    for name in $MATH; do
        [ ! -e "$musl/src/math/$name.c" ] || sources+=" $musl/src/math/$name.c"
    done
    compile math "$EMCC -O2 -std=c99 -D_XOPEN_SOURCE=700 -ffp-contract=off -fvisibility=hidden -w $WASM \
-I$musl/src/internal -I$musl/src/include -I$musl/arch/emscripten" $sources
    MATH_OBJECTS=$OBJECTS
}

# Removes OUT if it was linked from another list of objects. Times of files alone would not show that a source was
# deleted.
relink_if_other() { # OUT OBJECT...
    local list
    list=build/o/${1//\//-}.objects
    [ "$(cat "$list" 2> /dev/null)" = "$*" ] || rm -f "$1"
    echo "$*" > "$list"
}

# link BUILD OUT OBJECT...: links OUT if an object or this script is newer, or if the list of objects changed. The
# stack comes first in memory, so that an overflow traps. The initial memory has 16 pages, or 48 for the C suite, which
# has all modules in one. tools/trim-names.js leaves names only to functions that profiles show.
link() {
    local build=$1 out=$2 memory="--max-memory=4294967296 --initial-memory=1048576" object
    shift 2
    case $out in build/tests/*) memory=${memory/1048576/3145728} ;; esac
    case $build in *-threads) memory+=" --shared-memory --import-memory" ;; esac
    relink_if_other "$out" "$@"
    for object in "$@" "$0"; do
        [ "$object" -nt "$out" ] || continue
        mkdir -p "$(dirname "$out")"
        $LD --no-entry --stack-first -z stack-size=262144 --gc-sections -O2 --strip-debug --compress-relocations \
            $memory --export-dynamic --export=__stack_pointer "$@" --start-lib $MATH_OBJECTS --end-lib -o "$out.part" ||
            fail "linking $out failed (if a maths function is undefined, add its musl source to MATH in build.sh)"
        node tools/trim-names.js "$out.part" || fail "trimming the names of $out failed"
        mv "$out.part" "$out"
        return
    done
}

# link_small BUILD OUT OBJECT...: links, and fails if the result is too large.
link_small() {
    local out=$2 bytes zipped most=$MAX_BYTES most_zipped=$MAX_GZIP_BYTES
    case $out in
    *-convert.wasm | *-quantize*.wasm | *-train*.wasm | *-integer*.wasm)
        most=$MAX_MODULE_BYTES most_zipped=$MAX_MODULE_GZIP_BYTES
        ;;
    *-grammar.wasm) most=$MAX_GRAMMAR_BYTES most_zipped=$MAX_GRAMMAR_GZIP_BYTES ;;
    esac
    link "$@"
    bytes=$(wc -c < "$out") zipped=$(gzip -9 -c "$out" | wc -c)
    echo "build.sh: $out $bytes bytes, $zipped gzipped"
    [ "$bytes" -le $most ] && [ "$zipped" -le $most_zipped ] ||
        fail "$out is larger than $most bytes, or $most_zipped gzipped"
}

# The objects of these sources, which were compiled into FOLDER.
objects_of() { # FOLDER SOURCE...
    local folder=build/o/$1 source
    shift
    for source in "$@"; do
        object_of "$folder" "$source"
    done
}

build_wasm() {
    local build
    for build in $BUILDS; do
        compile "$build" "$EMCC $COMMON $WARN $WASM $(wasm_flags "$build") -Isrc" $CORE
        link_small "$build" "build/wasm/nibble-$build.wasm" $(objects_of "$build" $(sources_of $ENGINE))
    done
    link_small simd128 build/wasm/nibble-convert.wasm $(objects_of simd128 $(sources_of $CONVERTER))
    for build in simd128 simd128-threads; do
        link_small "$build" "build/wasm/nibble-quantize${build#simd128}.wasm" \
            $(objects_of "$build" $(sources_of $QUANTIZER))
        link_small "$build" "build/wasm/nibble-train${build#simd128}.wasm" \
            $(objects_of "$build" $(sources_of $TRAINER))
        compile "$build-integer" "$EMCC $COMMON -DNB_NO_FLOATS $WARN $WASM $(wasm_flags "$build") -Isrc" \
            $(sources_of $INTEGER)
        link_small "$build" "build/wasm/nibble-integer${build#simd128}.wasm" $OBJECTS
    done
    compile grammar "$EMCC $COMMON -DNB_NO_FLOATS $WARN $WASM -Isrc" $(sources_of $GRAMMAR)
    link_small grammar build/wasm/nibble-grammar.wasm $OBJECTS
}

build_tests() {
    local build core
    for build in $BUILDS; do
        compile "$build" "$EMCC $COMMON $WARN $WASM $(wasm_flags "$build") -Isrc" $CORE
        core=$OBJECTS
        compile "$build-tests" "$EMCC $COMMON $WARN $WASM $(wasm_flags "$build") -Isrc" $TESTS
        link "$build" "build/tests/core-$build.wasm" $core $OBJECTS
        echo "build.sh: build/tests/core-$build.wasm"
    done
}

build_bench() {
    local build
    for build in simd128 relaxed relaxed-dot; do
        compile "$build" "$EMCC $COMMON $WARN $WASM $(wasm_flags "$build") -Isrc" $CORE
        set -- $OBJECTS
        compile "$build-bench" "$EMCC $COMMON $WARN $WASM $(wasm_flags "$build") -Isrc" tests/bench/kernels.c
        link "$build" "build/bench/kernels-$build.wasm" "$@" $OBJECTS
    done
}

# The sanitizers or the instrumentation of a native build.
instrumentation() { # checked | 32 | memory | lines
    local checked="-fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=undefined,float-cast-overflow"
    case $1 in
    checked) echo "$checked" ;;
    32) echo "-m32 -msse4.1 $checked" ;;
    memory) echo "-fsanitize=memory" ;;
    lines) echo "-fprofile-instr-generate -fcoverage-mapping" ;;
    esac
}

# Sets CC, CC_VERSION and NATIVE_FLAGS, the flags of every native build.
find_native() {
    CC=${CC:-$(command -v clang-22 || command -v clang || command -v gcc)} ||
        fail "no native C compiler: run 'make setup', or set CC"
    [ -e /usr/include/simde ] || fail "SIMDe is missing (Debian: libsimde-dev): run 'make setup'"
    CC_VERSION=$($CC --version | head -n 1)
    NATIVE_FLAGS="-O1 -g -std=c11 -ffp-contract=off -fno-math-errno -fno-omit-frame-pointer -pthread \
-DNB_NATIVE -DNB_THREADS -DNB_DOT ${CORE_DEFINES:-}"
    mkdir -p build/native
    echo "build.sh: $CC, $CC_VERSION"
}

# link_native OUT FLAGS OBJECT...
link_native() {
    local out=$1 flags=$2 object
    shift 2
    relink_if_other "$out" "$@"
    for object in "$@"; do
        [ "$object" -nt "$out" ] || continue
        mkdir -p "$(dirname "$out")"
        $CC $flags "$@" -lm -o "$out"
        break
    done
    echo "build.sh: $out"
}

build_native() { # INSTRUMENTATION
    find_native
    local TOOLCHAIN=$CC_VERSION out=build/native/core-tests flags
    [ "$1" = checked ] || out+=-$1
    flags="$NATIVE_FLAGS $(instrumentation "$1")"
    compile "native-$1" "$CC $flags $WARN -Isrc" $CORE $TESTS tests/core/host_native.c
    link_native "$out" "$flags" $OBJECTS
}

build_fuzz() { # INSTRUMENTATION
    local core target flags
    find_native
    local TOOLCHAIN=$CC_VERSION
    flags="$NATIVE_FLAGS $(instrumentation "$1")"
    compile "fuzz-$1" "$CC $flags -fsanitize=fuzzer-no-link $WARN -Isrc" $CORE tests/fuzz/*.c
    core=$(objects_of "fuzz-$1" $CORE)
    for target in tests/fuzz/fuzz_*.c; do
        link_native "build/fuzz-$1/$(basename "$target" .c)" "$flags -fsanitize=fuzzer" \
            $(objects_of "fuzz-$1" "$target") $core
    done
}

# Analyzes each source by itself, and again only if it, one of its headers, .clang-tidy, tools/analyze.sh, the flags or
# the compiler has changed. tools/analyze.sh makes an empty object for a source in which it finds nothing.
build_analyze() {
    find_native
    local TOOLCHAIN
    TOOLCHAIN="$CC_VERSION $(cat .clang-tidy tools/analyze.sh | cksum)"
    compile analyze "tools/analyze.sh $CC $NATIVE_FLAGS $WARN -Isrc" \
        $CORE $TESTS tests/core/host_native.c tests/fuzz/*.c
    echo "build.sh: clang-tidy and the static analyzer find nothing in $(wc -w <<< "$OBJECTS") files"
}

[ $# -gt 0 ] || set -- wasm
for goal in "$@"; do
    case $goal in wasm | tests | bench) find_emscripten && compile_math && break ;; esac
done
for goal in "$@"; do
    case $goal in
    wasm | tests | bench) "build_$goal" ;;
    native) build_native checked ;;
    native-32) build_native 32 ;;
    fuzz) build_fuzz checked ;;
    analyze) build_analyze ;;
    fuzz-memory | fuzz-32 | fuzz-lines) build_fuzz "${goal#fuzz-}" ;;
    *) fail "unknown goal '$goal'; see the first lines of build.sh" ;;
    esac
done
