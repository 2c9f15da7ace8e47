#include "integer_header.h"

#include "../base/numbers.h"
#include "../base/writer.h"
#include "../formats/gguf.h"
#include "../types/traits.h"
#include "integer_rows.h"

#include <math.h>

enum { MOST_TENSOR = 1 << 30, OUTER = 4, OPTIONAL = 2, PER_LAYER = 9, ALL = OUTER + PER_LAYER };

/* ---- the tensors ------------------------------------------------------------------------------------------------- */

/* First the tensors outside the layers, of which a file may lack the first OPTIONAL ones. Then those of a layer. */
static void list_tensors(const nb_integer_shape *s, nb_integer_tensor out[ALL]) {
    uint32_t queries = s->heads * s->head_size, keys = s->kv_heads * s->head_size;
    const nb_integer_tensor all[ALL] = {
        {"rope_freqs.weight", NB_INTEGER_ANGLES, s->head_size / 2, 1},
        {"output.weight", NB_INTEGER_CODES, s->width, s->vocabulary},
        {"token_embd.weight", NB_INTEGER_CODES, s->width, s->vocabulary},
        {"output_norm.weight", NB_INTEGER_SCALES, s->width, 1},
        {"attn_norm.weight", NB_INTEGER_SCALES, s->width, 1},
        {"attn_q.weight", NB_INTEGER_CODES, s->width, queries},
        {"attn_k.weight", NB_INTEGER_CODES, s->width, keys},
        {"attn_v.weight", NB_INTEGER_CODES, s->width, keys},
        {"attn_output.weight", NB_INTEGER_CODES, queries, s->width},
        {"ffn_norm.weight", NB_INTEGER_SCALES, s->width, 1},
        {"ffn_gate.weight", NB_INTEGER_CODES, s->width, s->feed_forward},
        {"ffn_up.weight", NB_INTEGER_CODES, s->width, s->feed_forward},
        {"ffn_down.weight", NB_INTEGER_CODES, s->feed_forward, s->width},
    };
    memcpy(out, all, sizeof all);
}

static nb_text name_of(const nb_checkpoint *c, uint64_t i) {
    return nb_checkpoint_tensor_name(c, &c->tensors[i]);
}

/* Removes "blk.N." from the beginning of a name. */
static bool take_layer(nb_text *name, uint32_t *layer) {
    return nb_text_take(name, "blk.") && nb_text_take_number(name, layer) && nb_text_take(name, ".");
}

int32_t nb_integer_tensor_find(const nb_checkpoint *c, const nb_integer_shape *shape, uint64_t i,
                               nb_integer_tensor *out, nb_error *err) {
    nb_integer_tensor all[ALL];
    list_tensors(shape, all);
    nb_text name = name_of(c, i);
    uint32_t layer = 0;
    bool in_layer = take_layer(&name, &layer);
    for (size_t k = in_layer ? OUTER : 0; k < (in_layer ? ALL : OUTER) && layer < shape->layers; k++)
        if (nb_text_is(name, all[k].name)) {
            *out = all[k];
            return NB_OK;
        }
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "a model of integers cannot have the tensor %t: only Llamas without biases, experts and norms of "
                   "heads can become one",
                   name_of(c, i));
}

static int32_t require(const nb_checkpoint *c, const char *name, nb_error *err) {
    return nb_checkpoint_find_tensor(c, name)
             ? NB_OK
             : NB_FAIL(err, NB_ERR_FORMAT, "tensor %s is missing; the file is damaged", name);
}

static int32_t require_all(const nb_checkpoint *c, const nb_integer_shape *shape, nb_error *err) {
    nb_integer_tensor all[ALL];
    list_tensors(shape, all);
    for (size_t k = OPTIONAL; k < OUTER; k++)
        NB_TRY(require(c, all[k].name, err));
    for (uint32_t layer = 0; layer < shape->layers; layer++)
        for (size_t k = OUTER; k < ALL; k++) {
            char name[64];
            nb_writer w = nb_writer_over(name, sizeof name);
            nb_write(&w, "blk.%u.%s", layer, all[k].name);
            NB_TRY(require(c, name, err));
        }
    return NB_OK;
}

int32_t nb_integer_tensors_check(const nb_checkpoint *c, const nb_integer_shape *shape, nb_error *err) {
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_tensor_info *t = &c->tensors[i];
        nb_integer_tensor is = {0};
        NB_TRY(nb_integer_tensor_find(c, shape, i, &is, err));
        if (t->shape[0] != is.columns || t->shape[1] != is.rows || t->shape[2] * t->shape[3] != 1)
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t is [%l, %l], not [%u, %u]; the file is damaged",
                           name_of(c, i), t->shape[1], t->shape[0], is.rows, is.columns);
        if (!nb_traits_of(t->type)->dequantize || t->bytes > MOST_TENSOR ||
            (uint64_t)is.columns * is.rows > MOST_TENSOR)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED, "tensor %t is of a type or size that cannot become integers",
                           name_of(c, i));
    }
    return require_all(c, shape, err);
}

/* ---- the values -------------------------------------------------------------------------------------------------- */

/* Whether a value of the Llama's file is written, too. */
static bool is_kept(nb_text key) {
    nb_text rest = key;
    bool about_weights = nb_text_take(&rest, "llama.") || nb_text_take(&rest, "integer.") ||
                         nb_text_take(&rest, "split.") || nb_text_take(&rest, "nibble.");
    return !about_weights && !nb_text_is(key, "general.architecture") && !nb_text_is(key, "general.file_type") &&
           !nb_text_is(key, "general.alignment") && !nb_text_is(key, "general.quantization_version");
}

static void put_string(nb_gguf_writer *w, const char *key, const char *value) {
    nb_gguf_put_key(w, key, NB_VALUE_STRING);
    nb_gguf_put_text(w, nb_text_of(value));
}

static void put_number(nb_gguf_writer *w, const char *key, uint32_t value) {
    nb_gguf_put_key(w, key, NB_VALUE_U32);
    nb_gguf_put_u32(w, value);
}

enum { OWN_VALUES = 14 }; /* that put_values writes beside those that are kept */

static void put_values(nb_gguf_writer *w, const nb_checkpoint *c, const nb_integer_shape *shape) {
    uint32_t score = 0, score_shift = 0;
    nb_integer_scale(1.4426950408889634 / sqrt((double)shape->head_size), &score, &score_shift); /* log2(e) */
    put_string(w, "general.architecture", NB_INTEGER_ARCHITECTURE); /* first, as readers look there first */
    put_string(w, "nibble.only", "its weights are integers for arithmetic without floating point");
    put_number(w, "integer.version", 1);
    put_number(w, "integer.vocabulary", shape->vocabulary);
    put_number(w, "integer.width", shape->width);
    put_number(w, "integer.layers", shape->layers);
    put_number(w, "integer.feed_forward", shape->feed_forward);
    put_number(w, "integer.heads", shape->heads);
    put_number(w, "integer.kv_heads", shape->kv_heads);
    put_number(w, "integer.head_size", shape->head_size);
    put_number(w, "integer.context", shape->context);
    put_number(w, "integer.epsilon", shape->epsilon);
    put_number(w, "integer.score.multiplier", score);
    put_number(w, "integer.score.shift", score_shift);
    for (uint64_t i = 0; i < c->n_values; i++)
        if (is_kept(nb_checkpoint_key(c, &c->values[i])))
            nb_gguf_put_value(w, c, &c->values[i]);
}

/* ---- the header -------------------------------------------------------------------------------------------------- */

/* A tensor of the new file: "NAME.weight" with another suffix. *offset: of its data, and then of the next one's. */
static void put_tensor(nb_gguf_writer *w, nb_text name, const char *suffix, uint32_t type, uint64_t columns,
                       uint64_t rows, uint64_t *offset) {
    static const char weight[] = ".weight";
    const uint64_t shape[2] = {columns, rows};
    size_t stem = nb_text_ends(name, weight) ? name.size - (sizeof weight - 1) : name.size;
    char text[64];
    nb_writer renamed = nb_writer_over(text, sizeof text);
    nb_write_bytes(&renamed, name.data, stem);
    nb_write(&renamed, "%s", suffix);
    nb_gguf_put_tensor(w, nb_text_of(text), type, rows > 1 ? 2 : 1, shape, *offset);
    *offset += NB_ROUND_UP(columns * rows * (type == NB_TYPE_I8 ? 1 : sizeof(int32_t)), (uint64_t)NB_GGUF_ALIGNMENT);
}

static int32_t put_tensors(nb_gguf_writer *w, const nb_checkpoint *c, const nb_integer_shape *shape, uint64_t *count,
                           nb_error *err) {
    uint64_t offset = 0;
    *count = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        nb_integer_tensor is = {0};
        NB_TRY(nb_integer_tensor_find(c, shape, i, &is, err));
        if (is.kind == NB_INTEGER_CODES) {
            put_tensor(w, name_of(c, i), ".weight", NB_TYPE_I8, is.columns, is.rows, &offset);
            put_tensor(w, name_of(c, i), ".multipliers", NB_TYPE_I32, (uint64_t)is.rows + 1, 1, &offset);
            *count += 2;
        } else if (is.kind == NB_INTEGER_SCALES) {
            put_tensor(w, name_of(c, i), ".scales", NB_TYPE_I32, (uint64_t)is.columns + 1, 1, &offset);
            *count += 1;
        }
    }
    put_tensor(w, nb_text_of("rope"), ".steps", NB_TYPE_I32, shape->head_size / 2, 1, &offset);
    *count += 1;
    return NB_OK;
}

int32_t nb_integer_header_write(const nb_checkpoint *c, const nb_integer_shape *shape, nb_gguf_writer *w,
                                nb_error *err) {
    nb_gguf_writer counting = {0};
    uint64_t n_tensors, n_values = OWN_VALUES;
    NB_TRY(put_tensors(&counting, c, shape, &n_tensors, err));
    for (uint64_t i = 0; i < c->n_values; i++)
        n_values += is_kept(nb_checkpoint_key(c, &c->values[i]));
    nb_gguf_put_start(w, n_tensors, n_values);
    put_values(w, c, shape);
    NB_TRY(put_tensors(w, c, shape, &n_tensors, err));
    nb_gguf_put_padding(w);
    return NB_OK;
}
