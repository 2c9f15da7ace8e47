#!/usr/bin/env python3
"""Trains tests/fixtures/tiny.gguf: a Llama of 0.7 million weights that tells short stories, small enough for the \
repository.

    tiny_model.py TEXT [--output tests/fixtures/tiny.gguf] [--minutes 15] [--early 2]

TEXT holds short stories separated by lines of <|endoftext|>, as the TinyStories corpus does (.xz is unpacked). Half of
the stories are also shown to the model as answers within the chat template, so that the demo page can chat with it.
The schedule depends on the time budget, not on a number of steps; after --early minutes a first version is written, so
that a trained file exists early. One thread: several would be hardly faster.

Needs torch, numpy, tokenizers and gguf (tests/oracles/requirements.txt).

The weights have GGUF's layout: RoPE rotates neighbouring pairs (x[2i], x[2i+1]), so the export permutes nothing. The
file has several tensor types so that tests reach several kernels: F16 embeddings (tied to the output), Q4_1 and Q8_0
matrices, F32 norms.
"""
import argparse
import json
import lzma
import math
import random
import re
import time

import gguf
import numpy as np
import torch
import torch.nn.functional as F
from gguf.quants import quantize
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import gguf_files

WIDTH, LAYERS, HEADS, KV_HEADS, FEED_FORWARD, CONTEXT, VOCABULARY = 96, 6, 6, 2, 256, 512, 1024
HEAD = WIDTH // HEADS
ROPE_BASE, EPSILON = 10000.0, 1e-5
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
END_OF_TEXT, CHAT_START, CHAT_END = range(3)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] "
    "+ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# Topics of requests for a story, if it has no name.
TOPICS = """dog cat bird rabbit bear fish frog duck mouse lion tree flower garden park forest beach ball car truck train
boat doll toy bike cake apple cookie soup hat dress box book star moon sun rain snow mom dad grandma friend farmer
princess king dragon monster""".split()
REQUESTS = ["Tell me a story about {}.", "Write a story about {}.", "Can you tell me a story about {}?",
            "A story about {}, please.", "I want a story about {}."]
OPEN_REQUESTS = ["Hello!", "Hi!", "Tell me a story.", "Tell me a short story, please.", "What can you do?"]


# ---- text ------------------------------------------------------------------------------------------------------------

def read_stories(path):
    data = (lzma.open if path.endswith(".xz") else open)(path, "rt", encoding="utf-8").read()
    plain = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "—": "-", "–": "-", "…": "..."})
    stories = (re.sub(r"\s*\n\s*", "\n", s.strip()).translate(plain) for s in data.split("<|endoftext|>"))
    return [s for s in stories if s.isascii() and s]


def train_tokenizer(stories):
    """Byte-level BPE after the pre-tokenizer that llama.cpp calls 'smollm': digits one by one, then GPT-2's regex."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(stories + ["user\nsystem\nassistant\n"] * 50, trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return tokenizer


def request_for(story, rng):
    """A request that fits this story."""
    if rng.random() < 0.15:
        return rng.choice(OPEN_REQUESTS)
    names = re.findall(r"\bnamed ([A-Z][a-z]+)", story)
    topics = [t for t in TOPICS if re.search(rf"\b{t}\b", story)]
    named = names and (not topics or rng.random() < 0.5)
    subject = names[0] if named else "a " + rng.choice(topics) if topics else "a good day"
    return rng.choice(REQUESTS).format(subject)


def sample_tokens(tokenizer, stories, rng):
    """All stories once, in a new order, as one sequence of tokens: half plain, half as chats."""
    tokens = []
    for index in rng.sample(range(len(stories)), len(stories)):
        story = stories[index]
        if rng.random() < 0.5:
            tokens += tokenizer.encode(story).ids + [END_OF_TEXT]
            continue
        newline = tokenizer.encode("\n").ids
        for role, content in (("user", request_for(story, rng)), ("assistant", story)):
            tokens += [CHAT_START] + tokenizer.encode(role + "\n" + content).ids + [CHAT_END] + newline
    return np.array(tokens, dtype=np.int64)


# ---- model -----------------------------------------------------------------------------------------------------------

def initial_weights(generator):
    """Tensors under GGUF's names; matrices are [out, in]."""
    def normal(*shape, scale=0.02):
        return (torch.randn(*shape, generator=generator) * scale).requires_grad_()

    residual = 0.02 / math.sqrt(2 * LAYERS)  # Radford et al. 2019, section 2.3
    w = {"token_embd": normal(VOCABULARY, WIDTH), "output_norm": torch.ones(WIDTH, requires_grad=True)}
    for i in range(LAYERS):
        w[f"blk.{i}.attn_norm"] = torch.ones(WIDTH, requires_grad=True)
        w[f"blk.{i}.attn_q"] = normal(HEADS * HEAD, WIDTH, scale=WIDTH ** -0.5)
        w[f"blk.{i}.attn_k"] = normal(KV_HEADS * HEAD, WIDTH, scale=WIDTH ** -0.5)
        w[f"blk.{i}.attn_v"] = normal(KV_HEADS * HEAD, WIDTH, scale=WIDTH ** -0.5)
        w[f"blk.{i}.attn_output"] = normal(WIDTH, HEADS * HEAD, scale=residual)
        w[f"blk.{i}.ffn_norm"] = torch.ones(WIDTH, requires_grad=True)
        w[f"blk.{i}.ffn_gate"] = normal(FEED_FORWARD, WIDTH, scale=WIDTH ** -0.5)
        w[f"blk.{i}.ffn_up"] = normal(FEED_FORWARD, WIDTH, scale=WIDTH ** -0.5)
        w[f"blk.{i}.ffn_down"] = normal(WIDTH, FEED_FORWARD, scale=residual)
    return w


def rope_tables(n):
    angle = torch.arange(n)[:, None] * ROPE_BASE ** (-torch.arange(0, HEAD, 2) / HEAD)  # [n, HEAD/2]
    return torch.cos(angle), torch.sin(angle)


def rotate(x, cos, sin):  # x [batch, heads, n, HEAD]
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1).flatten(-2)


def forward(w, tokens, cos, sin):
    """tokens [batch, n] -> logits [batch, n, VOCABULARY]."""
    batch, n = tokens.shape
    cos, sin = cos[:n], sin[:n]
    x = w["token_embd"][tokens]  # [batch, n, WIDTH]
    for i in range(LAYERS):
        p = f"blk.{i}."
        h = F.rms_norm(x, (WIDTH,), w[p + "attn_norm"], EPSILON)
        q = rotate((h @ w[p + "attn_q"].T).view(batch, n, HEADS, HEAD).transpose(1, 2), cos, sin)
        k = rotate((h @ w[p + "attn_k"].T).view(batch, n, KV_HEADS, HEAD).transpose(1, 2), cos, sin)
        v = (h @ w[p + "attn_v"].T).view(batch, n, KV_HEADS, HEAD).transpose(1, 2)
        k, v = (t.repeat_interleave(HEADS // KV_HEADS, dim=1) for t in (k, v))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)  # [batch, HEADS, n, HEAD]
        x = x + o.transpose(1, 2).reshape(batch, n, HEADS * HEAD) @ w[p + "attn_output"].T
        h = F.rms_norm(x, (WIDTH,), w[p + "ffn_norm"], EPSILON)
        x = x + (F.silu(h @ w[p + "ffn_gate"].T) * (h @ w[p + "ffn_up"].T)) @ w[p + "ffn_down"].T
    return F.rms_norm(x, (WIDTH,), w["output_norm"], EPSILON) @ w["token_embd"].T


def train(w, tokenizer, stories, minutes, early, export, batch=16, length=256, rate=4e-3):
    rng = random.Random(1)
    cos, sin = rope_tables(length)
    decayed = [t for t in w.values() if t.dim() == 2]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1},
                                   {"params": [t for t in w.values() if t.dim() == 1], "weight_decay": 0.0}],
                                  lr=rate, betas=(0.9, 0.98))
    held_out, stories = stories[:40], stories[40:]
    test = sample_tokens(tokenizer, held_out, random.Random(2))
    test = torch.from_numpy(test[: (len(test) - 1) // length * length + 1])
    tokens, at, step, seen, recent = np.empty(0, np.int64), 0, 0, 0, []
    start, exported = time.monotonic(), False
    while (spent := (time.monotonic() - start) / (60 * minutes)) < 1:
        if at + batch * length + 1 > len(tokens):
            tokens, at = np.concatenate((tokens[at:], sample_tokens(tokenizer, stories, rng))), 0
        piece = torch.from_numpy(tokens[at: at + batch * length + 1])
        at += batch * length
        for group in optimizer.param_groups:  # a short warm-up, then half a cosine down to a twentieth
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * spent)))
        loss = F.cross_entropy(forward(w, piece[:-1].view(batch, length), cos, sin).flatten(0, 1), piece[1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(w.values()), 1.0)
        optimizer.step()
        step, seen = step + 1, seen + batch * length
        recent = recent[-49:] + [loss.item()]
        if step % 100 == 0:
            with torch.no_grad():
                held = F.cross_entropy(forward(w, test[:-1].view(-1, length), cos, sin).flatten(0, 1), test[1:]).item()
            print(f"step {step}, {seen / 1e6:.2f} M tokens, {100 * spent:.0f} % of the time, "
                  f"loss {np.mean(recent):.3f}, held out {held:.3f}", flush=True)
        if not exported and spent * minutes >= early:
            export()
            exported = True
    export()


# ---- export ----------------------------------------------------------------------------------------------------------

TYPES = {"token_embd": gguf.GGMLQuantizationType.F16, "attn_q": gguf.GGMLQuantizationType.Q4_1,
         "attn_k": gguf.GGMLQuantizationType.Q4_1, "attn_v": gguf.GGMLQuantizationType.Q8_0,
         "attn_output": gguf.GGMLQuantizationType.Q8_0, "ffn_gate": gguf.GGMLQuantizationType.Q4_1,
         "ffn_up": gguf.GGMLQuantizationType.Q4_1, "ffn_down": gguf.GGMLQuantizationType.Q8_0}


def write_gguf(path, w, vocabulary, merges):
    out = gguf.GGUFWriter(path, "llama")
    out.add_name("nibble tiny stories")
    out.add_description("A 0.7 M weight Llama that tells very simple stories; made by tests/oracles/tiny_model.py")
    out.add_license("mit")
    out.add_vocab_size(VOCABULARY)
    out.add_context_length(CONTEXT)
    out.add_embedding_length(WIDTH)
    out.add_block_count(LAYERS)
    out.add_feed_forward_length(FEED_FORWARD)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_rope_dimension_count(HEAD)
    out.add_rope_freq_base(ROPE_BASE)
    out.add_layer_norm_rms_eps(EPSILON)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("smollm")
    out.add_token_list(vocabulary)
    out.add_token_types([gguf.TokenType.CONTROL if t in SPECIAL else gguf.TokenType.NORMAL for t in vocabulary])
    out.add_token_merges(merges)
    out.add_bos_token_id(CHAT_START)
    out.add_eos_token_id(CHAT_END)
    out.add_unk_token_id(END_OF_TEXT)
    out.add_pad_token_id(CHAT_END)
    out.add_add_bos_token(False)
    out.add_chat_template(CHAT_TEMPLATE)
    for name, tensor in w.items():
        data = tensor.detach().numpy()
        kind = TYPES.get(name.split(".")[-1], gguf.GGMLQuantizationType.F32)
        out.add_tensor(name + ".weight", quantize(data, kind), raw_dtype=kind)
    gguf_files.write(out)
    print(f"wrote {path}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("text")
    parser.add_argument("--output", default="tests/fixtures/tiny.gguf")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--early", type=float, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    stories = read_stories(args.text)
    tokenizer = train_tokenizer(stories)
    by_id = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
    merges = [" ".join(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    w = initial_weights(torch.Generator().manual_seed(1))
    print(f"{len(stories)} stories, {sum(t.numel() for t in w.values())} weights, {len(merges)} merges", flush=True)
    train(w, tokenizer, stories, args.minutes, args.early,
          lambda: write_gguf(args.output, w, [token for token, _ in by_id], merges))


if __name__ == "__main__":
    main()
