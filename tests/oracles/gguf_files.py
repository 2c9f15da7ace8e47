"""What the scripts that write small GGUF models have in common."""
import gguf


def add_vocabulary(out, tokens, merges):
    """Byte-level BPE, of tokens that begin with <|begin|> and <|end|>."""
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    out.add_token_list(tokens)
    out.add_token_types([gguf.TokenType.CONTROL if t.startswith("<|") else gguf.TokenType.NORMAL for t in tokens])
    out.add_token_merges(merges)
    out.add_bos_token_id(0)
    out.add_eos_token_id(1)


def write(out):
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
