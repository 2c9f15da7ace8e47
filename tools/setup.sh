#!/usr/bin/env bash
# Installs what a goal of the Makefile needs and the machine lacks. Usage: tools/setup.sh GOAL, one of
# node compilers native analyzers fuzz browser pip venv.
# Debian packages are installed as root, or through sudo if it asks for no password; otherwise one line says what to
# type. Nothing here installs, replaces or shadows `node`.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

installed() { dpkg-query -W -f '${Status}' "$1" 2> /dev/null | grep -q ' installed$'; }

# Installs the Debian packages that are missing.
need() {
    local missing="" package
    command -v apt-get > /dev/null ||
        fail "this is not Debian; install the equivalent of $*, or do as docs/setup.md says"
    for package in "$@"; do
        installed "$package" || missing+=" $package"
    done
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] && ! sudo -n true 2> /dev/null; then
        fail "please install what is missing: sudo apt-get install --no-install-recommends$missing"
    fi
    say "installing$missing (Debian packages)"
    as_root apt-get update -qq
    for package in $missing; do
        apt-cache show "$package" > /dev/null 2>&1 ||
            fail "this system's package sources have no $package; docs/setup.md says what to do instead"
    done
    # Debian's nodejs is version 18; a package that depends on it would change which node this machine runs.
    if apt-get install -s --no-install-recommends $missing | grep -q '^Inst nodejs '; then
        fail "installing$missing would install another nodejs, too; please install an Emscripten SDK instead, and put" \
            "emcc on the PATH"
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
        > build/apt.log 2>&1 ||
        { tail -n 5 build/apt.log >&2; fail "apt-get install$missing failed; the whole log is build/apt.log"; }
}

# Debian's emscripten depends on nodejs 18. So, if it is not installed already, it is only unpacked: build.sh needs no
# more than the compiler driver, the headers and musl's sources.
unpack_emscripten() {
    [ ! -e /usr/share/emscripten/emcc.py ] && [ ! -e build/toolchain/emscripten/emcc.py ] || return 0
    say "downloading Debian's emscripten into build/toolchain (109 MB, 46 MB unpacked)"
    local folder=build/toolchain/deb
    rm -rf $folder && mkdir -p $folder build/toolchain/emscripten.part
    (cd $folder && apt-get download -qq emscripten 2> log) || { cat $folder/log >&2
        fail "cannot download the Debian package emscripten; 'sudo apt-get update' may help"; }
    dpkg-deb --fsys-tarfile $folder/emscripten_*.deb | tar -x -C build/toolchain/emscripten.part --strip-components=4 \
        --exclude='*/cache/sysroot/lib' --exclude='*/tests' --exclude='*/docs' ./usr/share/emscripten
    rm -rf $folder build/toolchain/emscripten
    mv build/toolchain/emscripten.part build/toolchain/emscripten
}

mkdir -p build
case ${1:-} in
node) # nibble's own tools run on Node; this script never installs it
    command -v node > /dev/null && command -v npm > /dev/null || fail "please install Node 20 or later, with npm"
    [ "$(node -p 'process.versions.node.split(".")[0]')" -ge 20 ] ||
        fail "node is $(node --version); please install 20 or later"
    command -v python3 > /dev/null || fail "please install Python 3"
    ;;
compilers) # for the WebAssembly builds
    if tools/sdk.sh; then # a current Emscripten SDK needs nothing else
        say "using the Emscripten SDK of $(command -v emcc)"
    else
        need clang-22 lld-22 python3
        unpack_emscripten
    fi
    ;;
native) # for the native tests, with 64 and 32 bits
    need clang-22 libclang-rt-22-dev libsimde-dev libc6-dev-i386 lib32gcc-12-dev
    ;;
analyzers) need clang-22 clang-format-22 clang-tidy-22 ;; # for make format, lint and analyze
fuzz) need llvm-22 lib32stdc++-12-dev ;; # for line coverage, and to fuzz with 32-bit addresses
browser) command -v chromium > /dev/null || need chromium ;; # for the page's tests and benches
pip) # for the model's download: pip, or venv, which can install it
    python3 -m pip --version > /dev/null 2>&1 || python3 -c 'import venv, ensurepip' 2> /dev/null || need python3-venv
    ;;
venv) # for the oracles
    python3 -c 'import venv, ensurepip' 2> /dev/null || need python3-venv
    ;;
*) fail "unknown goal '${1:-}'; see the first lines of tools/setup.sh" ;;
esac
