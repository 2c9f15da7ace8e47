"""What the scripts that write small GGUF models share."""
import gguf
import numpy as np


def add_vocabulary(out, tokens, merges):
    """Adds byte-level BPE, whose first tokens are <|begin|> and <|end|>."""
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([gguf.TokenType.CONTROL if t.startswith("<|") else gguf.TokenType.NORMAL for t in tokens])
    out.add_token_merges(merges)
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)


def copy_keys(reader, out, without=(), renamed=lambda name: name):
    """Copies all keys of a file but the architecture, which GGUFWriter has already, and those of `without`."""
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture" and name not in without:
            kind = field.types[0]
            out.add_key_value(renamed(name), field.contents(), kind,
                              field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)


def copy_tensors(reader, out):
    for t in reader.tensors:
        out.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)


def write(out):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
