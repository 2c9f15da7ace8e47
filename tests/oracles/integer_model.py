"""A Llama in integers: the specification of docs/integer.md in NumPy, from which src/integer was written.

Jacob et al. 2018 (arXiv 1712.05877) multiply codes of 8 bits, add in 32 bits, and scale sums by a multiplier and a
shift; halves are rounded away from zero. Inputs of matrices get a scale per token, as in I-LLM (arXiv 2405.17849),
whose "dyadic numbers" are the pairs (m, e) here: m 2^e, with m = 0 or 2^30 <= m < 2^31. Softmax and SiLU compute the
exponential as a power of two and a polynomial, as I-BERT (arXiv 2101.01321) does. All arrays below are int64, and all
operations are exact: NumPy's floats are used only for sums of products below 2^53.

Weights are converted to integers with floats, by `quantized`, as in src/quant/integer_rows.c.
"""
import numpy as np

FRACTION = 16  # fractional bits of the residual stream, of the results of matrices, and of logits
LEVELS = 127  # codes of 8 bits: -127 ... 127
WIDE_LEVELS = 2047  # codes of 12 bits, for the inputs of ffn_down and of the output
MOST = 2**31 - 1
LOG2_E = 1549082005  # log2(e) 2^30
POWER = [2**30, -744155626, 257086653, -57137150, 7339192]  # 2^-f for 0 <= f < 1, times 2^30; error at most 8e-6
QUARTER = 1024  # steps of a quarter turn
TURN = (1073740561, 1647098)  # cosine and sine of such a step, times 2^30
I = np.int64


def bits(v):
    """The number of bits of the magnitude: 0 for 0."""
    v = np.abs(np.asarray(v, I))
    n = np.zeros(v.shape, I)
    for step in (32, 16, 8, 4, 2, 1):
        more = v >= (I(1) << step)
        n += np.where(more, step, 0)
        v = np.where(more, v >> step, v)
    return n + (v > 0)


def shift(v, s):
    """Shifts right by s, halves away from zero, or left if s is negative. Both numbers fit 32 bits."""
    v, s = np.broadcast_arrays(np.asarray(v, I), np.asarray(s, I))
    right, left = np.clip(s, 0, 62), np.clip(-s, 0, 62)
    half = np.where(right > 0, I(1) << np.maximum(right - 1, 0), 0)
    magnitude = np.where(s > 62, 0, (np.abs(v) + half) >> right)
    too_large = (left > 0) & (magnitude > (MOST >> np.minimum(left, 31)))
    magnitude = np.where(too_large, MOST, magnitude << np.where(too_large, 0, left))
    return np.sign(v) * np.minimum(magnitude, MOST)


def dyadic(v, e=0):
    """v 2^e as a pair; v >= 0. Only the highest 31 bits are kept."""
    v = np.asarray(v, I)
    more = bits(v) - 31
    m = np.where(more > 0, v >> np.maximum(more, 0), v << np.maximum(-more, 0))
    return m, np.where(v > 0, e + more, 0)


def times(a, b):
    return dyadic(a[0] * b[0], a[1] + b[1])


def scaled(v, scale):
    """v m 2^e, with FRACTION fractional bits. |v| < 2^31."""
    return shift(v * scale[0], -(scale[1] + FRACTION))


def codes(v, levels=LEVELS):
    """Rows of numbers, |v| < 2^62, as codes with a scale per row, in the unit of v."""
    most = np.abs(v).max(axis=-1, keepdims=True)
    s = bits(most) - 31
    cut = lambda x: np.where(s > 0, x >> np.maximum(s, 0), x << np.maximum(-s, 0))
    top = np.maximum(cut(most), 1)
    inverse = (I(levels) << 40) // top
    q = np.sign(v) * ((cut(np.abs(v)) * inverse + (I(1) << 39)) >> 40)
    m, e = dyadic(np.where(most > 0, (top << 20) // levels, 0), s - 20)
    return q, (m[..., 0], e[..., 0])


def wide_levels(columns):
    """The largest code with which sums fit 32 bits."""
    return min(WIDE_LEVELS, MOST // 128 // columns)


def root(v):
    """The floor of the square root, for v < 2^62."""
    r = np.sqrt(v.astype(np.float64)).astype(I)
    r = np.where(r * r > v, r - 1, r)
    return np.where((r + 1) * (r + 1) <= v, r + 1, r)


def norm(x, gain, epsilon, levels=LEVELS):
    """RMSNorm of rows of x, times gain = (numbers, shift), as codes. epsilon: in units of 2^-32."""
    g, g_shift = gain
    most = np.abs(x).max(axis=-1, keepdims=True)
    s = np.maximum(bits(most) - 24, -20)
    y = np.sign(x) * np.where(s > 0, np.abs(x) >> np.maximum(s, 0), np.abs(x) << np.maximum(-s, 0))
    eps = np.where(s > 0, I(epsilon) >> np.minimum(2 * np.maximum(s, 0), 62), I(epsilon) << np.maximum(-2 * s, 0))
    mean = (y * y).sum(axis=-1, keepdims=True) // x.shape[-1] + eps
    up = np.maximum((62 - bits(mean)) // 2 * 2, 0)
    r = np.maximum(root(mean << up), 1)[..., 0]
    q, (m, e) = codes(y * g, levels)
    return q, dyadic((m << 32) // r, e - g_shift - 32 + up[..., 0] // 2)


def product(w, q):
    """Sums of code products: [n, rows]."""
    return np.rint(q.astype(np.float64) @ w["codes"].T.astype(np.float64)).astype(I)


def rows_scale(w, scale):
    m, e = dyadic(w["multipliers"], -w["shift"])
    return times((scale[0][:, None], scale[1][:, None]), (m[None], e[None]))


def multiply(w, q, scale):
    """[n, rows], with FRACTION fractional bits."""
    return scaled(product(w, q), rows_scale(w, scale))


def add(x, y):
    return np.clip(x + y, -MOST, MOST)


def power(d):
    """2^-d, times 2^30; d >= 0 with 16 fractional bits."""
    whole, f = d >> 16, (d & 0xFFFF) << 14
    p = np.full(f.shape, POWER[4], I)
    for c in POWER[3::-1]:
        p = c + ((p * f) >> 30)
    return np.where(whole > 30, 0, p >> np.minimum(whole, 31))


def sine_table():
    c, s = 2**30, 0
    out = []
    for _ in range(QUARTER + 1):
        out.append(s)
        c, s = (c * TURN[0] - s * TURN[1] + 2**29) >> 30, (s * TURN[0] + c * TURN[1] + 2**29) >> 30
    return np.array(out + out[-1:], I)


SINES = sine_table()


def sine(phase):
    """The sine of phase / 2^32 turns, times 2^15."""
    quadrant, f = phase >> 30, phase & (2**30 - 1)
    f = np.where(quadrant & 1, 2**30 - f, f)
    at, part = f >> 20, f & (2**20 - 1)
    v = SINES[at] + (((SINES[at + 1] - SINES[at]) * part + 2**19) >> 20)
    v = (v + 2**14) >> 15
    return np.where(quadrant >= 2, -v, v)


def rotate(x, steps, positions):
    """RoPE of [n, heads, head_size] over pairs of neighbours."""
    phase = positions[:, None] * steps[None] & (2**32 - 1)  # [n, pairs]
    s, c = sine(phase)[:, None], sine((phase + 2**30) & (2**32 - 1))[:, None]
    a, b = x[..., 0::2], x[..., 1::2]
    out = np.empty_like(x)
    out[..., 0::2], out[..., 1::2] = shift(a * c - b * s, 15), shift(a * s + b * c, 15)
    return out


def attention(q, k, v, score):
    """One head: codes and scales of queries [n], of keys and values [n], all causal. Values are in units of 2^-16."""
    (qc, qs), (kc, ks), (vc, vs) = q, k, v
    n = len(qc)
    dot = np.rint(qc.astype(np.float64) @ kc.T.astype(np.float64)).astype(I)
    scale = times(times((qs[0][:, None], qs[1][:, None]), (ks[0][None], ks[1][None])), score)
    s = scaled(dot, scale)  # log2 of weights, units of 2^-16
    seen = np.tril(np.ones((n, n), bool))
    most = np.where(seen, s, -MOST).max(axis=1, keepdims=True)
    e = np.where(seen, power(np.where(seen, most - s, 0)), 0)  # times 2^30
    total = e.sum(axis=1)
    exponent = np.where(vs[0] > 0, vs[1], -1000)
    exponent = np.maximum.accumulate(exponent)  # the largest of those up to each position
    down = np.minimum(np.maximum(exponent[:, None] - np.where(vs[0] > 0, vs[1], -1000)[None], 0), 63)
    w = np.where(seen, (e * vs[0][None]) >> down, 0)
    cut = np.maximum(bits(w.max(axis=1)) - 15, 0)
    w = np.minimum(shift(w, cut[:, None]), 32767)
    acc = np.rint(w.astype(np.float64) @ vc.astype(np.float64)).astype(I)  # [n, head_size]
    spare = np.maximum(bits(np.arange(1, n + 1)) - 9, 0)
    acc = shift_wide(acc, spare[:, None])
    m, ex = dyadic((I(1) << 62) // total, -62)
    return shift(acc * m[:, None], -(ex + cut + exponent + spare)[:, None])


def shift_wide(v, s):
    """Like shift, for results that may be wider than 32 bits; s >= 0."""
    half = np.where(s > 0, I(1) << np.maximum(s - 1, 0), 0)
    return np.sign(v) * ((np.abs(v) + half) >> s)


def gated(g, u):
    """silu(g) u, in units of 2^-32."""
    e = power((np.abs(g) * LOG2_E + 2**29) >> 30)
    share = np.where(g >= 0, (I(1) << 60) // (2**30 + e), (e << 30) // (2**30 + e))
    return shift(g * share, 30) * u


def forward(model, tokens, all_logits=True):
    """Logits of all tokens, or of the last: int64 [n, vocabulary], units of 2^-16."""
    p, n, hd = model, len(tokens), model["head_size"]
    positions = np.arange(n, dtype=I)
    E = p["embedding"]
    x = shift(E["codes"][tokens].astype(I) * E["multipliers"][tokens][:, None], E["shift"] - FRACTION)
    for layer in p["layers"]:
        h = norm(x, layer["attn_norm"], p["epsilon"])
        heads = lambda y: y.reshape(n, -1, hd)
        q, k, v = (heads(multiply(layer[name], *h)) for name in ("attn_q", "attn_k", "attn_v"))
        q, k = rotate(q, p["steps"], positions), rotate(k, p["steps"], positions)
        q, k, v = codes(q), codes(k), codes(v)
        of = lambda y, i: (y[0][:, i], (y[1][0][:, i], y[1][1][:, i] - FRACTION))
        values = lambda y, i: (y[0][:, i], (y[1][0][:, i], y[1][1][:, i]))
        group = p["heads"] // p["kv_heads"]
        mixed = np.concatenate([attention(of(q, i), of(k, i // group), values(v, i // group), p["score"])
                                for i in range(p["heads"])], axis=1)
        c, (m, e) = codes(mixed)
        x = add(x, multiply(layer["attn_output"], c, (m, e - FRACTION)))
        h = norm(x, layer["ffn_norm"], p["epsilon"])
        g = gated(multiply(layer["ffn_gate"], *h), multiply(layer["ffn_up"], *h))
        c, (m, e) = codes(g, wide_levels(g.shape[1]))
        x = add(x, multiply(layer["ffn_down"], c, (m, e - 2 * FRACTION)))
    h = norm(x if all_logits else x[-1:], p["output_norm"], p["epsilon"], wide_levels(x.shape[1]))
    return multiply(p["output"], *h)


# ---- conversion from floats to integers ----


def matrix(w):
    """Rows of F32 as codes and a multiplier for each row. All multipliers of a matrix have the same shift."""
    w = np.asarray(w, np.float64)
    most = np.abs(w).max(axis=1)
    inverse = np.where(most > 0, LEVELS / np.where(most > 0, most, 1), 0)
    q = np.sign(w) * np.floor(np.abs(w) * inverse[:, None] + 0.5)
    multipliers, s = fixed(most / LEVELS)
    return {"codes": q.astype(np.int8), "multipliers": np.maximum(multipliers, 1), "shift": s}


def fixed(v):
    """Numbers as integers below 2^31 with a shift."""
    most = np.abs(v).max()
    s = int(min(max(31 - np.frexp(most)[1], 0), 62)) if most > 0 else 0
    return np.clip(np.sign(v) * np.floor(np.abs(v) * 2.0**s + 0.5), -MOST, MOST).astype(I), s


def quantized(c, tensor):
    """c: heads, kv_heads, head_size, layers, epsilon, base, and optionally factors; tensor(name): F32 by its name in
    GGUF, or None."""
    pairs = c["head_size"] // 2
    frequency = c["base"] ** (-np.arange(pairs, dtype=np.float64) * 2 / c["head_size"]) / c.get("factors", 1.0)
    embedding, output = tensor("token_embd.weight"), tensor("output.weight")
    model = {k: c[k] for k in ("heads", "kv_heads", "head_size")}
    e = matrix(embedding)
    model |= {
        "epsilon": int(np.floor(c["epsilon"] * 2.0**32 + 0.5)),
        "score": score_scale(c["head_size"]),
        "steps": np.floor(frequency / (2 * np.pi) * 2.0**32 + 0.5).astype(I) & (2**32 - 1),
        "embedding": e,
        "output": e if output is None else matrix(output),
        "output_norm": fixed(tensor("output_norm.weight").astype(np.float64)),
        "layers": [
            {name: fixed(tensor(f"blk.{i}.{name}.weight").astype(np.float64)) if name.endswith("norm") else
             matrix(tensor(f"blk.{i}.{name}.weight"))
             for name in ("attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up",
                          "ffn_down")}
            for i in range(c["layers"])
        ],
    }
    return model


def score_scale(head_size):
    """log2(e) / sqrt(head_size) as a dyadic number."""
    value = np.log2(np.e) / np.sqrt(head_size)
    e = int(np.frexp(value)[1]) - 31
    return I(int(np.floor(value * 2.0**-e + 0.5))), I(e)
