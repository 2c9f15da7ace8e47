/* The GGUF of a Llama -> the GGUF of its integers, as it arrives. Only one tensor at a time is in memory. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../formats/gguf.h"
#include "../nibble_quantize.h"
#include "../types/traits.h"
#include "integer_rows.h"

#include <math.h>

enum { FIRST = 1 << 20, MOST_TENSOR = 1 << 30 };

/* What becomes of a tensor. */
typedef enum nb_becomes { BECOMES_MATRIX, BECOMES_SCALES, BECOMES_FACTORS } nb_becomes;

struct nb_integer_maker {
    nb_gguf gguf;
    nb_checkpoint c;
    enum { HEADER, WEIGHTS, COMPLETE, FAILED } stage;
    uint8_t *in; /* HEADER: the file so far; WEIGHTS: what has arrived of the tensor at hand */
    size_t in_size, in_filled;
    uint64_t file_at; /* WEIGHTS: where in the file the next byte lies */
    uint64_t tensor;  /* at hand */
    uint8_t *out;     /* what is to be taken */
    uint64_t out_size, out_filled;
    bool out_failed;
    uint32_t width, layers, feed_forward, heads, kv_heads, head_size, vocabulary, context, epsilon;
    double base, linear;
    double *factors; /* [head_size / 2], of RoPE; NULL: none */
};

nb_integer_maker *nb_integer_maker_new(nb_error *err) {
    nb_integer_maker *m = nb_alloc(sizeof *m);
    uint8_t *in = nb_alloc(FIRST);
    if (!m || !in) {
        nb_free(m);
        nb_free(in);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory to begin");
    }
    *m = (nb_integer_maker){.in = in, .in_size = FIRST};
    return m;
}

void nb_integer_maker_free(nb_integer_maker *m) {
    if (!m)
        return;
    nb_checkpoint_free(&m->c);
    nb_free(m->in);
    nb_free(m->out);
    nb_free(m->factors);
    nb_free(m);
}

/* ---- writing ---- */

/* Room for n more bytes, or NULL: out_failed then stays. */
static uint8_t *room_for(nb_integer_maker *m, uint64_t n) {
    if (m->out_filled + n > m->out_size && !m->out_failed) {
        uint64_t size = m->out_filled + n + FIRST;
        uint8_t *larger = nb_alloc_items(size, 1);
        if (larger) {
            if (m->out_filled)
                memcpy(larger, m->out, (size_t)m->out_filled);
            nb_free(m->out);
            m->out = larger;
            m->out_size = size;
        }
        m->out_failed = !larger;
    }
    if (m->out_failed)
        return NULL;
    uint8_t *at = m->out + m->out_filled;
    m->out_filled += n;
    return at;
}

static void put(nb_integer_maker *m, const void *bytes, size_t n) {
    uint8_t *at = room_for(m, n);
    if (at && n)
        memcpy(at, bytes, n);
}

static void put_u32(nb_integer_maker *m, uint32_t v) {
    put(m, &v, sizeof v);
}

static void put_u64(nb_integer_maker *m, uint64_t v) {
    put(m, &v, sizeof v);
}

static void put_text(nb_integer_maker *m, nb_text text) {
    put_u64(m, text.size);
    put(m, text.data, text.size);
}

static void put_string(nb_integer_maker *m, const char *key, const char *value) {
    put_text(m, nb_text_of(key));
    put_u32(m, NB_VALUE_STRING);
    put_text(m, nb_text_of(value));
}

static void pad(nb_integer_maker *m, uint64_t n) {
    uint64_t more = NB_ROUND_UP(n, (uint64_t)NB_GGUF_ALIGNMENT) - n;
    uint8_t *at = room_for(m, more);
    if (at)
        memset(at, 0, (size_t)more);
}

/* ---- the header ---- */

static nb_text name_of(const nb_integer_maker *m, uint64_t i) {
    return nb_checkpoint_tensor_name(&m->c, &m->c.tensors[i]);
}

/* The layer and the rest of a name "blk.N.REST". */
static bool take_layer(nb_text *name, uint32_t *layer) {
    return nb_text_take(name, "blk.") && nb_text_take_number(name, layer) && nb_text_take(name, ".");
}

/* A tensor's name, what it becomes, and the shape that it must have. */
typedef struct nb_part {
    const char *name;
    nb_becomes kind;
    uint32_t columns, rows;
} nb_part;

enum { OUTER_PARTS = 4, LAYER_PARTS = 9 };

/* Those outside the layers, and then those of a layer, behind "blk.N.". */
static void list_parts(const nb_integer_maker *m, nb_part parts[OUTER_PARTS + LAYER_PARTS]) {
    uint32_t of_heads = m->heads * m->head_size, of_kv = m->kv_heads * m->head_size;
    const nb_part all[OUTER_PARTS + LAYER_PARTS] = {
        {"rope_freqs.weight", BECOMES_FACTORS, m->head_size / 2, 1},
        {"output.weight", BECOMES_MATRIX, m->width, m->vocabulary},
        {"token_embd.weight", BECOMES_MATRIX, m->width, m->vocabulary},
        {"output_norm.weight", BECOMES_SCALES, m->width, 1},
        {"attn_norm.weight", BECOMES_SCALES, m->width, 1},
        {"attn_q.weight", BECOMES_MATRIX, m->width, of_heads},
        {"attn_k.weight", BECOMES_MATRIX, m->width, of_kv},
        {"attn_v.weight", BECOMES_MATRIX, m->width, of_kv},
        {"attn_output.weight", BECOMES_MATRIX, of_heads, m->width},
        {"ffn_norm.weight", BECOMES_SCALES, m->width, 1},
        {"ffn_gate.weight", BECOMES_MATRIX, m->width, m->feed_forward},
        {"ffn_up.weight", BECOMES_MATRIX, m->width, m->feed_forward},
        {"ffn_down.weight", BECOMES_MATRIX, m->feed_forward, m->width},
    };
    memcpy(parts, all, sizeof all);
}

static int32_t find_part(const nb_integer_maker *m, uint64_t i, nb_part *part, nb_error *err) {
    nb_part parts[OUTER_PARTS + LAYER_PARTS];
    list_parts(m, parts);
    nb_text name = name_of(m, i);
    uint32_t layer = 0;
    bool in_layer = take_layer(&name, &layer);
    size_t from = in_layer ? OUTER_PARTS : 0, to = in_layer ? OUTER_PARTS + LAYER_PARTS : OUTER_PARTS;
    for (size_t k = from; k < to && layer < m->layers; k++)
        if (nb_text_is(name, parts[k].name)) {
            *part = parts[k];
            return NB_OK;
        }
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "tensor %t has no place in a model of integers: Llamas without biases, experts and norms of heads "
                   "can become one",
                   name_of(m, i));
}

static int32_t require(const nb_integer_maker *m, const char *name, nb_error *err) {
    return nb_checkpoint_find_tensor(&m->c, name)
             ? NB_OK
             : NB_FAIL(err, NB_ERR_FORMAT, "tensor %s is missing; the file is damaged", name);
}

/* All tensors are there; an output matrix and factors of RoPE may be missing. */
static int32_t require_all(const nb_integer_maker *m, nb_error *err) {
    nb_part parts[OUTER_PARTS + LAYER_PARTS];
    list_parts(m, parts);
    for (size_t k = 2; k < OUTER_PARTS; k++)
        NB_TRY(require(m, parts[k].name, err));
    for (uint32_t layer = 0; layer < m->layers; layer++)
        for (size_t k = OUTER_PARTS; k < OUTER_PARTS + LAYER_PARTS; k++) {
            char name[64];
            nb_writer w = nb_writer_over(name, sizeof name);
            nb_write(&w, "blk.%u.%s", layer, parts[k].name);
            NB_TRY(require(m, name, err));
        }
    return NB_OK;
}

/* By how much RoPE turns. Without a type the scaling is linear, as llama.cpp takes it (models/configure.c). */
static int32_t read_rope(nb_integer_maker *m, nb_error *err) {
    const nb_limits factors = {0, 1e6};
    double magnitude = 1;
    nb_text kind = nb_checkpoint_string(&m->c, "llama.rope.scaling.type");
    m->base = 10000;
    m->linear = 1;
    NB_TRY(nb_checkpoint_read(&m->c, "llama.rope.freq_base", (nb_limits){1, 1e12}, &m->base, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.rope.scale_linear", factors, &m->linear, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.rope.scaling.factor", factors, &m->linear, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.rope.scaling.attn_factor", factors, &magnitude, err));
    bool is_off = kind.data && nb_text_is(kind, "none");
    if (kind.data && !nb_text_is(kind, "linear") && !is_off)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "RoPE scaling \"%t\" has no integer form here; none, linear and factors (rope_freqs) have",
                       kind);
    if (magnitude != 1 || nb_checkpoint_number(&m->c, "llama.rope.interleaved", 1) != 1)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers can have neither llama.rope.scaling.attn_factor, which is %g, nor pairs of "
                       "RoPE that are no neighbours (llama.rope.interleaved)",
                       magnitude);
    if (m->linear == 0 || is_off) /* llama.cpp takes 0 for absent */
        m->linear = 1;
    if (m->linear < 1e-6)
        return NB_FAIL(err, NB_ERR_FORMAT, "RoPE is scaled by %g, which scales nothing; the file is damaged",
                       m->linear);
    return NB_OK;
}

/* What a Llama may be, and integers cannot. */
static int32_t refuse_attention(const nb_integer_maker *m, nb_error *err) {
    if (nb_checkpoint_number(&m->c, "llama.attention.sliding_window", 0) > 0)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "a model of integers cannot have a sliding window");
    if (nb_checkpoint_number(&m->c, "llama.attention.causal", 1) == 0)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers is causal, and this one is not (llama.attention.causal)");
    return NB_OK;
}

static int32_t read_shape(nb_integer_maker *m, nb_error *err) {
    const nb_limits size = {1, 1 << 16};
    double width = 0, layers = 0, inner = 0, heads = 0, kv_heads, head, context = 0, epsilon = 1e-5;
    NB_TRY(nb_checkpoint_read(&m->c, "llama.embedding_length", size, &width, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.block_count", (nb_limits){1, 1 << 10}, &layers, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.feed_forward_length", size, &inner, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.attention.head_count", (nb_limits){1, 1 << 10}, &heads, err));
    kv_heads = heads;
    NB_TRY(nb_checkpoint_read(&m->c, "llama.attention.head_count_kv", (nb_limits){1, 1 << 10}, &kv_heads, err));
    head = heads > 0 ? floor(width / heads) : 0;
    NB_TRY(nb_checkpoint_read(&m->c, "llama.attention.key_length", (nb_limits){2, 512}, &head, err));
    double value = head, turned = head;
    NB_TRY(nb_checkpoint_read(&m->c, "llama.attention.value_length", (nb_limits){2, 512}, &value, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.rope.dimension_count", (nb_limits){2, 512}, &turned, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.context_length", (nb_limits){1, 0x1p31}, &context, err));
    NB_TRY(nb_checkpoint_read(&m->c, "llama.attention.layer_norm_rms_epsilon", (nb_limits){0, 2e-4}, &epsilon, err));
    if (!width || !layers || !inner || !heads || !context)
        return NB_FAIL(err, NB_ERR_FORMAT, "the file does not say how large the model is; it is damaged");
    if (head < 2 || head > 512 || (uint32_t)head % 2 || (uint32_t)heads % (uint32_t)kv_heads || value != head ||
        turned != head || heads * head > 1 << 16)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers has heads of an even size, 512 at most, which are turned whole by RoPE; "
                       "this one has %g of %g, with %g of values",
                       heads, head, value);
    const nb_tensor_info *embedding = nb_checkpoint_find_tensor(&m->c, "token_embd.weight");
    if (!embedding || embedding->shape[1] > 1 << 24)
        return NB_FAIL(err, NB_ERR_FORMAT, "the file has no token embedding, or one of too many tokens; it is damaged");
    m->width = (uint32_t)width;
    m->layers = (uint32_t)layers;
    m->feed_forward = (uint32_t)inner;
    m->heads = (uint32_t)heads;
    m->kv_heads = (uint32_t)kv_heads;
    m->head_size = (uint32_t)head;
    m->context = (uint32_t)NB_MIN(context, 1 << 20);
    m->epsilon = (uint32_t)(epsilon * 4294967296.0 + 0.5);
    m->vocabulary = (uint32_t)embedding->shape[1];
    return NB_OK;
}

/* Whether a value goes into the new file as it is. */
static bool is_kept(nb_text key) {
    nb_text rest = key;
    bool about_weights = nb_text_take(&rest, "llama.") || nb_text_take(&rest, "integer.") ||
                         nb_text_take(&rest, "split.") || nb_text_take(&rest, "nibble.");
    return !about_weights && !nb_text_is(key, "general.architecture") && !nb_text_is(key, "general.file_type") &&
           !nb_text_is(key, "general.alignment") && !nb_text_is(key, "general.quantization_version");
}

static void put_values(nb_integer_maker *m) {
    uint32_t score = 0, score_shift = 0;
    nb_integer_scale(1.4426950408889634 / sqrt((double)m->head_size), &score, &score_shift);
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"integer.version", 1},
        {"integer.vocabulary", m->vocabulary},
        {"integer.width", m->width},
        {"integer.layers", m->layers},
        {"integer.feed_forward", m->feed_forward},
        {"integer.heads", m->heads},
        {"integer.kv_heads", m->kv_heads},
        {"integer.head_size", m->head_size},
        {"integer.context", m->context},
        {"integer.epsilon", m->epsilon},
        {"integer.score.multiplier", score},
        {"integer.score.shift", score_shift},
    };
    uint64_t kept = 0;
    for (uint64_t i = 0; i < m->c.n_values; i++)
        kept += is_kept(nb_checkpoint_key(&m->c, &m->c.values[i]));
    put_u64(m, kept + 2 + sizeof numbers / sizeof *numbers);
    put_string(m, "general.architecture", NB_INTEGER_ARCHITECTURE); /* first: who loads it looks there */
    put_string(m, "nibble.only", "its weights are integers for arithmetic without floating point");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        put_text(m, nb_text_of(numbers[i].key));
        put_u32(m, NB_VALUE_U32);
        put_u32(m, numbers[i].value);
    }
    for (uint64_t i = 0; i < m->c.n_values; i++) {
        const nb_value *v = &m->c.values[i];
        size_t from = (size_t)v->key_at - sizeof(uint64_t); /* the key's length stands before it */
        if (is_kept(nb_checkpoint_key(&m->c, v)))
            put(m, m->c.header + from, (size_t)(v->at + v->size) - from);
    }
}

/* "NAME.weight" becomes "NAME.SUFFIX". */
static void put_tensor(nb_integer_maker *m, nb_text name, const char *suffix, uint32_t type, uint64_t columns,
                       uint64_t rows, uint64_t *at) {
    static const char weight[] = ".weight";
    nb_text stem = {name.data, nb_text_ends(name, weight) ? name.size - (sizeof weight - 1) : name.size},
            end = nb_text_of(suffix);
    put_u64(m, stem.size + end.size);
    put(m, stem.data, stem.size);
    put(m, end.data, end.size);
    put_u32(m, rows > 1 ? 2 : 1);
    put_u64(m, columns);
    if (rows > 1)
        put_u64(m, rows);
    put_u32(m, type);
    put_u64(m, *at);
    *at += NB_ROUND_UP(columns * rows * (type == NB_TYPE_I8 ? 1 : sizeof(int32_t)), (uint64_t)NB_GGUF_ALIGNMENT);
}

/* Checks all tensors, and counts those of the new file. */
static int32_t check_tensors(const nb_integer_maker *m, uint64_t *count, nb_error *err) {
    *count = 1;
    for (uint64_t i = 0; i < m->c.n_tensors; i++) {
        const nb_tensor_info *t = &m->c.tensors[i];
        nb_part part = {0};
        NB_TRY(find_part(m, i, &part, err));
        if (t->shape[0] != part.columns || t->shape[1] != part.rows || t->shape[2] * t->shape[3] != 1)
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t is [%l, %l], not [%u, %u]; the file is damaged",
                           name_of(m, i), t->shape[1], t->shape[0], part.rows, part.columns);
        if (!nb_traits_of(t->type)->dequantize || t->bytes > MOST_TENSOR ||
            (uint64_t)part.columns * part.rows > MOST_TENSOR)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED, "tensor %t is of a type or size that cannot become integers",
                           name_of(m, i));
        *count += part.kind == BECOMES_MATRIX ? 2 : part.kind == BECOMES_SCALES;
    }
    return require_all(m, err);
}

static int32_t put_header(nb_integer_maker *m, nb_error *err) {
    uint64_t count, at = 0;
    NB_TRY(check_tensors(m, &count, err));
    put(m, "GGUF", 4);
    put_u32(m, 3);
    put_u64(m, count);
    put_values(m);
    for (uint64_t i = 0; i < m->c.n_tensors; i++) {
        nb_part part = {0};
        NB_TRY(find_part(m, i, &part, err));
        if (part.kind == BECOMES_MATRIX) {
            put_tensor(m, name_of(m, i), ".weight", NB_TYPE_I8, part.columns, part.rows, &at);
            put_tensor(m, name_of(m, i), ".multipliers", NB_TYPE_I32, (uint64_t)part.rows + 1, 1, &at);
        } else if (part.kind == BECOMES_SCALES)
            put_tensor(m, name_of(m, i), ".scales", NB_TYPE_I32, (uint64_t)part.columns + 1, 1, &at);
    }
    put_tensor(m, nb_text_of("rope"), ".steps", NB_TYPE_I32, m->head_size / 2, 1, &at);
    pad(m, m->out_filled);
    return NB_OK;
}

/* ---- the tensors ---- */

static int32_t not_finite(const nb_integer_maker *m, nb_error *err) {
    return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t has infinities or NaN; the file is damaged", name_of(m, m->tensor));
}

static int32_t put_matrix(nb_integer_maker *m, const float *w, uint32_t columns, uint32_t rows, double *wide,
                          nb_error *err) {
    uint64_t codes_size = (uint64_t)columns * rows, multipliers_size = ((uint64_t)rows + 1) * sizeof(int32_t);
    uint64_t apart = NB_ROUND_UP(codes_size, (uint64_t)NB_GGUF_ALIGNMENT);
    uint8_t *at = room_for(m, NB_ROUND_UP(apart + multipliers_size, (uint64_t)NB_GGUF_ALIGNMENT));
    int32_t *multipliers = nb_alloc_items(rows + 1, sizeof *multipliers);
    int32_t code = NB_OK;
    if (at && multipliers) {
        memset(at, 0, (size_t)NB_ROUND_UP(apart + multipliers_size, (uint64_t)NB_GGUF_ALIGNMENT));
        if (nb_integer_rows(w, rows, columns, wide, (int8_t *)at, multipliers))
            memcpy(at + apart, multipliers, (size_t)multipliers_size);
        else
            code = not_finite(m, err);
    }
    m->out_failed |= !multipliers;
    nb_free(multipliers);
    return code;
}

static int32_t put_scales(nb_integer_maker *m, const double *wide, uint32_t n, nb_error *err) {
    int32_t *numbers = nb_alloc_items((uint64_t)n + 1, sizeof *numbers), code = NB_OK;
    if (!numbers)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u numbers", n);
    if (nb_integer_fixed(wide, n, numbers)) {
        put(m, numbers, ((size_t)n + 1) * sizeof *numbers);
        pad(m, ((uint64_t)n + 1) * sizeof *numbers);
    } else
        code = not_finite(m, err);
    nb_free(numbers);
    return code;
}

static int32_t keep_factors(nb_integer_maker *m, const double *wide, uint32_t n, nb_error *err) {
    for (uint32_t i = 0; i < n; i++)
        if (!(wide[i] >= 1e-6 && wide[i] <= 1e6))
            return NB_FAIL(err, NB_ERR_FORMAT, "number %u of tensor %t is %g, which is no factor of RoPE", i,
                           name_of(m, m->tensor), wide[i]);
    nb_free(m->factors);
    m->factors = nb_alloc_items(n, sizeof *m->factors);
    if (!m->factors)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u numbers", n);
    memcpy(m->factors, wide, n * sizeof *wide);
    return NB_OK;
}

/* All of the tensor at hand has arrived. */
static int32_t put_tensor_data(nb_integer_maker *m, nb_error *err) {
    const nb_tensor_info *t = &m->c.tensors[m->tensor];
    nb_part part = {0};
    NB_TRY(find_part(m, m->tensor, &part, err));
    uint64_t n = (uint64_t)part.columns * part.rows;
    float *w = nb_alloc_items(n, sizeof *w);
    double *wide = nb_alloc_items(NB_MAX(part.columns, part.rows), sizeof *wide);
    int32_t code = w && wide
                     ? NB_OK
                     : NB_FAIL(err, NB_ERR_MEMORY, "no memory for the weights of tensor %t", name_of(m, m->tensor));
    if (code == NB_OK) {
        nb_traits_of(t->type)->dequantize(m->in, w, (size_t)n);
        for (uint32_t i = 0; i < part.columns && part.kind != BECOMES_MATRIX; i++)
            wide[i] = (double)w[i];
        code = part.kind == BECOMES_MATRIX ? put_matrix(m, w, part.columns, part.rows, wide, err)
             : part.kind == BECOMES_SCALES ? put_scales(m, wide, part.columns, err)
                                           : keep_factors(m, wide, part.columns, err);
    }
    nb_free(w);
    nb_free(wide);
    return code;
}

static void put_steps(nb_integer_maker *m) {
    uint32_t pairs = m->head_size / 2;
    for (uint32_t i = 0; i < pairs; i++) {
        double frequency = pow(m->base, -2.0 * i / m->head_size) / m->linear / (m->factors ? m->factors[i] : 1);
        put_u32(m, nb_integer_step(frequency));
    }
    pad(m, pairs * sizeof(uint32_t));
}

/* ---- bytes in, bytes out ---- */

static int32_t grow(nb_integer_maker *m, uint64_t size, nb_error *err) {
    if (size <= m->in_size)
        return NB_OK;
    uint8_t *larger = nb_alloc_items(size, 1);
    if (!larger)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l bytes of the file", size);
    memcpy(larger, m->in, m->in_filled);
    nb_free(m->in);
    m->in = larger;
    m->in_size = (size_t)size;
    return NB_OK;
}

static int32_t read_header(nb_integer_maker *m, nb_error *err) {
    nb_checkpoint *c = &m->c;
    int32_t code = nb_gguf_parse(&m->gguf, c, m->in, m->in_filled, err);
    NB_TRY(code);
    if (code == NB_GGUF_MORE)
        return m->in_filled == m->in_size ? grow(m, 2 * (uint64_t)m->in_size, err) : NB_OK;
    NB_TRY(nb_checkpoint_keep_header(c, m->in, m->gguf.at, err));
    if (!nb_text_is(nb_checkpoint_string(c, "general.architecture"), "llama"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "only models of the architecture llama can become integers, and this one is \"%t\"",
                       nb_checkpoint_string(c, "general.architecture"));
    NB_TRY(read_shape(m, err));
    NB_TRY(read_rope(m, err));
    NB_TRY(refuse_attention(m, err));
    NB_TRY(put_header(m, err));
    m->stage = WEIGHTS;
    m->file_at = m->gguf.at;
    m->in_filled -= m->gguf.at;
    memmove(m->in, m->in + m->gguf.at, m->in_filled);
    return NB_OK;
}

/* Takes what is whole from the beginning of m->in. */
static int32_t read_tensors(nb_integer_maker *m, nb_error *err) {
    while (m->tensor < m->c.n_tensors) {
        const nb_tensor_info *t = &m->c.tensors[m->tensor];
        size_t gap = (size_t)NB_MIN(t->at - m->file_at, m->in_filled);
        m->file_at += gap;
        m->in_filled -= gap;
        memmove(m->in, m->in + gap, m->in_filled);
        NB_TRY(grow(m, t->bytes + FIRST, err));
        if (m->in_filled < t->bytes || m->file_at < t->at)
            return NB_OK;
        NB_TRY(put_tensor_data(m, err));
        m->file_at += t->bytes;
        m->in_filled -= (size_t)t->bytes;
        memmove(m->in, m->in + t->bytes, m->in_filled);
        m->tensor++;
    }
    put_steps(m);
    m->stage = COMPLETE;
    return NB_OK;
}

uint8_t *nb_integer_maker_space(nb_integer_maker *m, size_t *capacity) {
    *capacity = m->stage == HEADER || m->stage == WEIGHTS ? m->in_size - m->in_filled : 0;
    return m->in + m->in_filled;
}

int32_t nb_integer_maker_commit(nb_integer_maker *m, size_t n, nb_error *err) {
    if (m->stage == FAILED || m->stage == COMPLETE)
        return NB_FAIL(err, NB_ERR_STATE, "no more bytes are taken");
    if (n > m->in_size - m->in_filled)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%z bytes were committed where %z fit", n, m->in_size - m->in_filled);
    m->in_filled += n;
    int32_t code = m->stage == HEADER ? read_header(m, err) : NB_OK;
    if (code == NB_OK && m->stage == WEIGHTS)
        code = read_tensors(m, err);
    if (code == NB_OK && m->out_failed)
        code = NB_FAIL(err, NB_ERR_MEMORY, "no memory for the integers");
    if (code < 0)
        m->stage = FAILED;
    return code;
}

const uint8_t *nb_integer_maker_take(nb_integer_maker *m, size_t *size) {
    *size = (size_t)m->out_filled;
    m->out_filled = 0;
    return m->out;
}

int32_t nb_integer_maker_end(const nb_integer_maker *m, nb_error *err) {
    return m->stage == COMPLETE ? NB_OK : NB_FAIL(err, NB_ERR_TRUNCATED, "the file ends before its last tensor");
}
