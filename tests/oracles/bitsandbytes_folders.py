#!/usr/bin/env python3
"""Small Llamas quantized by bitsandbytes, as Hugging Face folders, and their logits.

    bitsandbytes_folders.py [OUTPUT = tests/fixtures/safetensors]

transformers loads a model with a BitsAndBytesConfig and saves it again, as people do. bitsandbytes quantizes the
weights and, for the reference, dequantizes them; transformers computes the logits in F32 (files as from
safetensors_models.py). When such a model is used, bitsandbytes rounds these weights to the model's former type, and
LLM.int8() rounds activations, too; the reference does neither.
"""
import hashlib
import json
import os
import shutil
import sys
import tempfile

import bitsandbytes
import torch
import transformers

from safetensors import safe_open

from random_models import BASE, random_model
from safetensors_models import write_logits, write_model_logits, write_tokenizer

LLAMA = dict(BASE, num_hidden_layers=1)
FOUR, EIGHT = {"load_in_4bit": True}, {"load_in_8bit": True}
DOUBLE = dict(FOUR, bnb_4bit_use_double_quant=True)
OUTLIERS = {"input_layernorm": (3, 41), "post_attention_layernorm": (3, 17)}  # columns
# name: (hyper-parameters, type before, BitsAndBytesConfig)
FOLDERS = {
    # a row of down_proj has a block and a half
    "bnb-nf4": (LLAMA, torch.bfloat16, dict(FOUR, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype="bfloat16")),
    "bnb-fp4": (LLAMA, torch.float16, FOUR),
    "bnb-fp4-double": (dict(LLAMA, intermediate_size=64), torch.float16, DOUBLE),
    # 272 blocks in q_proj and o_proj: more than one absmax of absmaxes serves
    "bnb-nf4-double": (dict(LLAMA, num_key_value_heads=1, head_dim=68, intermediate_size=32),
                       torch.bfloat16, dict(DOUBLE, bnb_4bit_quant_type="nf4")),
    "bnb-nf4-stored-as-bf16": (
        dict(LLAMA, hidden_size=32, head_dim=16, intermediate_size=64, tie_word_embeddings=False), torch.bfloat16,
        dict(DOUBLE, bnb_4bit_quant_type="nf4", bnb_4bit_quant_storage="bfloat16", llm_int8_skip_modules=[
            "lm_head", "q_proj", "k_proj", "v_proj", "model.layers.0.mlp.gate_proj", "up_proj"])),
    "bnb-int8": (dict(LLAMA, intermediate_size=64), torch.float16, EIGHT),
}


def add_outliers(model):
    """Makes columns of activations larger than 6, which LLM.int8() does not round, as in models of billions of weights
    (Dettmers et al. 2022, section 4). The weights of these columns become smaller by as much, so that the model
    computes the same."""
    layer = model.model.layers[0]
    readers = {"input_layernorm": [layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj],
               "post_attention_layernorm": [layer.mlp.gate_proj, layer.mlp.up_proj]}
    with torch.no_grad():
        for norm, columns in OUTLIERS.items():
            getattr(layer, norm).weight[list(columns)] *= 16
            for linear in readers[norm]:
                linear.weight[:, list(columns)] /= 16


def dequantized(module):
    """The weights in F32, by bitsandbytes. It gets rows of one block, because with AVX-512 it misplaces blocks that
    cross the ends of longer rows."""
    weight = module.weight
    if isinstance(module, bitsandbytes.nn.Linear8bitLt):
        return bitsandbytes.functional.int8_vectorwise_dequant(weight.data, weight.SCB)
    state = weight.quant_state
    shape, state.dtype = state.shape, torch.float32
    state.shape = torch.Size((shape.numel() // state.blocksize, state.blocksize))
    return bitsandbytes.functional.dequantize_4bit(weight.data, state).reshape(shape)


def write_model(folder, model, kind, options):
    """Writes the folder, and gives the model the dequantized weights."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as plain:
        model.to(kind).save_pretrained(plain)
        exact = type(model).from_pretrained(plain, dtype=torch.float32, attn_implementation="eager").eval()
        quantized = type(model).from_pretrained(plain, dtype=kind, device_map="cpu",
                                                quantization_config=transformers.BitsAndBytesConfig(**options))
    quantized.save_pretrained(folder)
    write_tokenizer(folder)
    take_weights(exact, quantized)
    return exact


def take_weights(exact, quantized):
    with torch.no_grad():
        for name, module in quantized.named_modules():
            if isinstance(module, (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)):
                exact.get_submodule(name).weight.copy_(dequantized(module))


# The model that nibble quantizes while it is loaded, and the ways to quantize it.
PLAIN = dict(LLAMA, intermediate_size=64)
WAYS = {"nf4": dict(FOUR, bnb_4bit_quant_type="nf4"), "fp4": FOUR,
        "nf4-double": dict(DOUBLE, bnb_4bit_quant_type="nf4"),
        "int8": EIGHT}


def saved(model):
    """A summary of what transformers saves for a quantized model: config.json's quantization_config, and for each
    tensor the type, the shape and a hash of the bytes, or the text if it is JSON."""
    tensors = {}
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            config = json.load(file)["quantization_config"]
        with safe_open(os.path.join(folder, "model.safetensors"), "pt") as file:
            for name in sorted(file.keys()):
                tensor = file.get_tensor(name)
                kind = file.get_slice(name).get_dtype()
                raw = tensor.contiguous().view(-1).view(torch.uint8).numpy().tobytes()
                said = json.loads(raw) if ".quant_state." in name else hashlib.sha256(raw).hexdigest()
                tensors[name] = [kind, list(tensor.shape), said]
    return {"quantization_config": config, "tensors": tensors}


def write_plain(output, name, seed):
    """Writes the unquantized folder, and for each way the logits with bitsandbytes' weights, and a summary of what
    transformers saves."""
    folder = os.path.join(output, name)
    shutil.rmtree(folder, ignore_errors=True)
    random_model(name, PLAIN, seed).to(torch.bfloat16).save_pretrained(folder)
    write_tokenizer(folder)
    kept = {}
    for way, options in WAYS.items():
        exact = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                  attn_implementation="eager").eval()
        with tempfile.TemporaryDirectory() as temporary:
            shutil.copytree(folder, temporary, dirs_exist_ok=True)
            quantized = type(exact).from_pretrained(temporary, dtype=torch.bfloat16, device_map="cpu",
                                                    quantization_config=transformers.BitsAndBytesConfig(**options))
        kept[way] = saved(quantized)
        take_weights(exact, quantized)
        write_model_logits(os.path.join(output, f"{name}-{way}.json"), exact, seed)
    with open(os.path.join(output, f"{name}-saved.json"), "w", encoding="utf-8") as file:
        json.dump(kept, file)
        file.write("\n")


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/safetensors")
    for seed, (name, (hyper, kind, options)) in enumerate(FOLDERS.items(), 301):
        model = random_model(name, hyper, seed)
        if options is EIGHT:
            add_outliers(model)
        write_logits(output, name, write_model(os.path.join(output, name), model, kind, options), seed)
    write_plain(os.path.join(output, "../quantize"), "plain", 321)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
