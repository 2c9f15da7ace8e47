#!/usr/bin/env bash
# make oracles: every vector under tests/fixtures anew, in a virtual environment under build/. `git diff --stat` then says what
# changed: nothing, on the machine's kind that made them (x86-64 with AVX2); elsewhere last digits may.
# Not made here: demo/tiny.gguf (tests/oracles/tiny_model.py TEXT), since training is not reproducible to the bit.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ ! build/venv/installed -nt tests/oracles/requirements.txt ]; then
    echo "oracles: installing the reference implementations in build/venv (about 1.5 GB)"
    [ -x build/venv/bin/python ] || python3 -m venv build/venv
    build/venv/bin/pip install --quiet -r tests/oracles/requirements.txt
    touch build/venv/installed
fi
python=build/venv/bin/python
real=build/models/SmolLM2-135M-Instruct.Q4_1.gguf
fixtures=tests/fixtures/llamacpp
mkdir -p build/oracles

$python tests/oracles/dequantize_vectors.py
$python tests/oracles/text_fixtures.py
$python tests/oracles/random_models.py
vectors() { # MODEL NAME
    exact=build/oracles/$2-f32.gguf
    rm -f "$exact"
    $python tests/oracles/greedy_vectors.py "$1" "$fixtures/$2-greedy.json" --exact "$exact"
    $python tests/oracles/logits_vectors.py "$1" "$fixtures/$2-logits.json" --exact "$exact" --full "build/oracles/$2-logits.f32"
}
vectors demo/tiny.gguf tiny
if [ -e "$real" ]; then
    vectors "$real" smollm2
else
    echo "oracles: $real is missing, its vectors stay as they are: run make setup"
fi
