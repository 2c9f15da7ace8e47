"""Common code of perplexity_vectors.py and imatrix_vectors.py: models in transformers with F32 weights, and windows of
a text."""
import json
import os

import torch
from transformers import AutoModelForCausalLM

import encoder_models
import family_models
import gemma_embedding
import llamacpp

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "../fixtures")
ROOT = os.path.join(HERE, "../..")
TINY = os.path.join(ROOT, "tests/fixtures/tiny.gguf")
TINY_BEGIN = 1  # tokenizer.ggml.bos_token_id
TEXT = json.load(open(os.path.join(FIXTURES, "llamacpp/prompts.json"), encoding="utf-8"))["logits"]["text"]


def of_file(path):
    folder, name = os.path.split(path)
    return AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()


def of_family(name):
    """The model that family_models.py writes as NAME.gguf."""
    seed = 1001 + list(family_models.MODELS).index(name)
    _, kind, values = family_models.MODELS[name]
    return family_models.random_model(kind, values, seed)


def of_name(name):
    """The model whose file is path_of(name)."""
    if name == gemma_embedding.NAME:
        return gemma_embedding.random_model()
    return encoder_models.of_name(name) if name in encoder_models.MODELS else of_family(name)


def path_of(name):
    folder = "encoders" if name in [*encoder_models.MODELS, gemma_embedding.NAME] else "models"
    return os.path.join(FIXTURES, folder, name + ".gguf")


def tokens_of(path):
    return llamacpp.LlamaCpp(path).tokenize(TEXT)


def windows(tokens, context, stride=None, begin=None):
    """Windows of `context` tokens, each `stride` tokens after the previous one. The begin token replaces the first
    token."""
    for at in range(0, len(tokens) - context + 1, stride or context):
        yield ([begin] if begin is not None else tokens[at:at + 1]) + tokens[at + 1:at + context]
