#!/usr/bin/env bash
# What embeddings.js needs of transformers.js, all of it in build/onnx (1.8 GB): the package, and all-MiniLM-L6-v2 as
# ONNX in int8, exported by Optimum and quantized by ONNX Runtime's quantize_dynamic. First: make minilm.
#     tests/bench/onnx.sh [FOLDER_OF_THE_MODEL]
set -euo pipefail
cd "$(dirname "$0")/../.."
model=$(realpath "${1:-build/models/all-MiniLM-L6-v2}") to=build/onnx

mkdir -p $to
cd $to
[ -e package.json ] || echo '{ "private": true, "type": "module" }' > package.json
npm install --no-save --ignore-scripts --no-audit --no-fund --loglevel=error @huggingface/transformers@4.3.2
[ -e venv ] || python3 -m venv venv
venv/bin/pip install --quiet optimum-onnx==0.1.0 onnxruntime==1.32.0 torch==2.13.0 transformers==4.57.6
HF_HUB_OFFLINE=1 venv/bin/optimum-cli export onnx --task feature-extraction --model "$model" f32
venv/bin/python - <<'END'
import pathlib
import shutil

from onnxruntime.quantization import QuantType, quantize_dynamic

folder = pathlib.Path("all-MiniLM-L6-v2")
(folder / "onnx").mkdir(parents=True, exist_ok=True)
for name in ["config.json", "tokenizer.json", "tokenizer_config.json"]:
    shutil.copy(f"f32/{name}", folder / name)
quantize_dynamic("f32/model.onnx", folder / "onnx" / "model_int8.onnx", weight_type=QuantType.QInt8)
END
