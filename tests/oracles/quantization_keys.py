#!/usr/bin/env python3
"""Writes the keys of the configurations that quantizers write into folders.

    quantization_keys.py [OUTPUT = tests/fixtures/quantize/keys.json]

They are the fields of the libraries' own classes, as their constructors take them.
src/convert/huggingface_quantization.c must know all of them. Needs requirements-gptq.txt as well as requirements.txt.
"""
import dataclasses
import importlib.util
import inspect
import json
import os
import sys
import types

os.cpu_count = lambda: 8  # gptqmodel expects several

from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from gptqmodel.quantization import config as gptqmodel
from transformers.utils import quantization_config as transformers


def awq_of_autoawq():
    """Without the parts of the package that need a graphics card."""
    package = types.ModuleType("awq")
    package.__path__ = importlib.util.find_spec("awq").submodule_search_locations
    sys.modules["awq"] = package
    for name in ("awq.models",):
        module = types.ModuleType(name)
        module.__path__ = [os.path.join(package.__path__[0], "models")]
        sys.modules[name] = module
    from awq.models._config import AwqConfig
    return AwqConfig


def parameters(kind):
    found = inspect.signature(kind.__init__).parameters
    return sorted(name for name, p in found.items() if name != "self" and p.kind != p.VAR_KEYWORD)


def fields(kind):
    return sorted(f.name for f in dataclasses.fields(kind))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/quantize/keys.json")
    keys = {
        "GPTQModel GPTQConfig": fields(gptqmodel.GPTQConfig),
        "GPTQModel AWQConfig": fields(gptqmodel.AWQConfig),
        "AutoAWQ AwqConfig": fields(awq_of_autoawq()),
        "transformers GPTQConfig": parameters(transformers.GPTQConfig) + ["checkpoint_format", "quant_method"],
        "transformers AwqConfig": parameters(transformers.AwqConfig) + ["version", "format", "quant_method"],
        "transformers BitsAndBytesConfig": parameters(transformers.BitsAndBytesConfig) + ["quant_method"],
        "transformers CompressedTensorsConfig": parameters(transformers.CompressedTensorsConfig),
        "compressed-tensors QuantizationConfig": sorted(QuantizationConfig.model_fields),
        "compressed-tensors QuantizationScheme": sorted(QuantizationScheme.model_fields),
        "compressed-tensors QuantizationArgs": sorted(QuantizationArgs.model_fields),
    }
    with open(output, "w", encoding="utf-8") as out:
        json.dump(keys, out, indent=1)
        out.write("\n")
    print({name: len(listed) for name, listed in keys.items()})


if __name__ == "__main__":
    main()
