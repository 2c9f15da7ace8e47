#include "arrangement.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../types/traits.h"
#include "json.h"
#include "reshape.h"

enum { MOST_COLUMNS = 1 << 24 };
enum { ROWS = 16 /* rows that are unpacked together: where columns are stored one by one, they fill a cache line */ };

/* A matrix that is being unpacked. */
typedef struct matrix {
    const nb_plan *plan;
    nb_arrangement arrangement;
    nb_quantization q;
    uint32_t type; /* what its codes become: target->source_type */
    nb_text name;
    uint64_t rows, columns, group, groups;
    const uint8_t *codes, *scales, *zeros, *order; /* NULL: there is no such source, or it has not arrived */
    uint32_t scale_type;
    bool one_scale; /* of the whole matrix */
    /* NB_AS_BLOCKS: */
    uint64_t block, scale_block; /* weights of a scale, scales of a scale's scale */
    const uint8_t *scale_codebook, *scale_scales;
    float scale_offset;
    const float *codebook;
} matrix;

static const nb_tensor_info *source_of(const nb_plan *plan, uint32_t target, nb_role role, const uint8_t **bytes) {
    uint32_t i = nb_plan_source(plan, target, role);
    *bytes = i == NB_NONE ? NULL : plan->sources[i].bytes;
    return i == NB_NONE ? NULL : &plan->in.tensors[i];
}

static matrix matrix_of(const nb_plan *plan, uint32_t target) {
    const nb_tensor_info *to = &plan->out.tensors[target];
    const nb_target *t = &plan->targets[target];
    matrix m = {
        .plan = plan,
        .arrangement = t->arrangement,
        .q = t->quantization,
        .type = t->source_type,
        .name = nb_checkpoint_tensor_name(&plan->out, to),
        .rows = to->shape[1],
        .columns = to->shape[0],
    };
    m.group = m.q.group ? m.q.group : m.columns;
    m.groups = m.columns / m.group;
    source_of(plan, target, NB_ROLE_CODES, &m.codes);
    const nb_tensor_info *scales = source_of(plan, target, NB_ROLE_SCALES, &m.scales);
    source_of(plan, target, NB_ROLE_ZEROS, &m.zeros);
    source_of(plan, target, NB_ROLE_ORDER, &m.order);
    m.scale_type = scales ? scales->type : NB_TYPE_F16;
    m.one_scale = scales && m.q.library == NB_BY_COMPRESSED && scales->shape[0] * scales->shape[1] == 1;
    return m;
}

/* Tensors may lie at unaligned addresses. */
static float float_at(const uint8_t *in, uint64_t i) {
    float x;
    memcpy(&x, in + 4 * i, sizeof x);
    return x;
}

/* ---- shapes ---------------------------------------------------------------------------------------------------- */

static int32_t check_source(const nb_plan *plan, uint32_t target, nb_role role, uint64_t bytes, nb_error *err) {
    uint32_t i = nb_plan_source(plan, target, role);
    const nb_tensor_info *t = i == NB_NONE ? NULL : &plan->in.tensors[i];
    if (t && t->bytes != bytes)
        return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t has %l bytes, but its matrix and config.json ask for %l",
                       nb_checkpoint_tensor_name(&plan->in, t), t->bytes, bytes);
    return NB_OK;
}

static int32_t add_order(nb_plan *plan, uint32_t target, uint64_t columns) {
    char name[256];
    nb_text of = nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[target]);
    size_t n = of.size - NB_MIN(of.size, nb_length("weight"));
    if (n + 6 > sizeof name)
        return NB_OK; /* no model has such a name: the engine refuses it */
    memcpy(name, of.data, n);
    memcpy(name + n, "order", 5);
    uint32_t order = nb_plan_generate(plan, (nb_text){name, n + 5}, NB_AS_ORDER);
    if (order == NB_NONE)
        return plan->composer.code;
    plan->out.tensors[order].type = NB_TYPE_I32;
    plan->out.tensors[order].n_dimensions = 1;
    plan->out.tensors[order].shape[0] = columns;
    plan->targets[order].after = target;
    return NB_OK;
}

static int32_t refuse_shape(const nb_plan *plan, uint32_t target, uint64_t rows, uint64_t columns, nb_error *err) {
    const nb_quantization *q = &plan->targets[target].quantization;
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "tensor %t is quantized to %u bits in groups of %l columns, and has %l rows and %l columns; that is "
                   "not supported",
                   nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[target]), q->bits, q->group, rows, columns);
}

/* Sets the target's type and shape, and checks all its sources but the scales. Adding a target may move all others in
 * memory. */
static int32_t settle(nb_plan *plan, uint32_t target, uint64_t rows, uint64_t columns, nb_error *err) {
    const nb_quantization *q = &plan->targets[target].quantization;
    nb_tensor_info *to = &plan->out.tensors[target];
    uint64_t group = q->group ? q->group : columns;
    if (!rows || !columns || columns > MOST_COLUMNS || columns % 32 || group % 32 || columns % group ||
        rows * q->bits % 32)
        return refuse_shape(plan, target, rows, columns, err);
    NB_TRY(check_source(plan, target, NB_ROLE_CODES, columns / 32 * rows * q->bits * 4, err));
    NB_TRY(check_source(plan, target, NB_ROLE_ZEROS, columns / group * rows * q->bits / 8, err));
    NB_TRY(check_source(plan, target, NB_ROLE_ORDER, columns * 4, err));
    to->type = q->bits <= 4 ? (q->symmetric ? NB_TYPE_Q4_0 : NB_TYPE_Q4_1) : q->symmetric ? NB_TYPE_Q8_0 : NB_TYPE_F16;
    plan->targets[target].source_type = to->type;
    to->shape[0] = columns;
    to->shape[1] = rows;
    return q->ordered && nb_plan_source(plan, target, NB_ROLE_ORDER) != NB_NONE ? add_order(plan, target, columns)
                                                                                : NB_OK;
}

/* Infers a module's own bits and group from the shapes of its tensors; 0 bits if these do not fit each other. */
static void read_sizes(const nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_quantization *q) {
    bool awq = plan->targets[target].arrangement == NB_AS_AWQ;
    uint32_t order = nb_plan_source(plan, target, NB_ROLE_ORDER);
    uint64_t groups = plan->in.tensors[nb_plan_source(plan, target, NB_ROLE_SCALES)].shape[1];
    uint64_t columns = awq              ? t->shape[1]
                     : order != NB_NONE ? plan->in.tensors[order].shape[0]
                                        : plan->targets[target].columns;
    uint64_t bits = awq ? 4 : t->shape[1] * 32 / columns;
    bool known = (bits == 2 || bits == 3 || bits == 4 || bits == 8) && (awq || bits * columns == t->shape[1] * 32);
    q->bits = known ? (uint32_t)bits : 0;
    q->group = groups && columns % groups == 0 && groups > 1 ? columns / groups : 0;
}

/* GPTQ and AWQ: the shape of the codes tells rows and columns. */
static int32_t check_columns(nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_error *err) {
    nb_quantization *q = &plan->targets[target].quantization;
    bool awq = plan->targets[target].arrangement == NB_AS_AWQ;
    if (q->by_tensors)
        read_sizes(plan, target, t, q);
    if (!q->bits)
        return refuse_shape(plan, target, t->shape[0], t->shape[1], err);
    uint64_t rows = awq ? t->shape[0] * 8 : t->shape[0], columns = awq ? t->shape[1] : t->shape[1] * 32 / q->bits;
    const nb_tensor_info *scales = &plan->in.tensors[nb_plan_source(plan, target, NB_ROLE_SCALES)];
    if (scales->type != NB_TYPE_F16 && scales->type != NB_TYPE_BF16)
        return refuse_shape(plan, target, rows, columns, err);
    NB_TRY(check_source(plan, target, NB_ROLE_SCALES, columns / (q->group ? q->group : NB_MAX(columns, 1)) * rows * 2,
                        err));
    return settle(plan, target, rows, columns, err);
}

/* compressed-tensors: config.json tells the columns, and then the shapes tell bits and groups. */
static int32_t check_rows(nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_error *err) {
    nb_target *to = &plan->targets[target];
    nb_quantization *q = &to->quantization;
    const nb_tensor_info *scales = &plan->in.tensors[nb_plan_source(plan, target, NB_ROLE_SCALES)];
    bool packed = to->arrangement == NB_AS_PACKED;
    uint64_t columns = packed ? to->columns : t->shape[0], rows = t->shape[1], groups = scales->shape[0];
    q->bits = packed ? (uint32_t)(t->shape[0] * 32 / columns) : 8;
    q->group = columns % groups == 0 ? columns / groups : 1;
    q->symmetric = nb_plan_source(plan, target, NB_ROLE_ZEROS) == NB_NONE;
    q->ordered = true;
    bool kind = scales->type == NB_TYPE_F32 || scales->type == NB_TYPE_F16 || scales->type == NB_TYPE_BF16;
    bool one_scale = scales->shape[0] == 1 && scales->shape[1] == 1;
    if ((q->bits != 2 && q->bits != 4 && q->bits != 8) || (scales->shape[1] != rows && !one_scale) || !kind ||
        (!packed && t->type != NB_TYPE_I8))
        return refuse_shape(plan, target, rows, columns, err);
    return settle(plan, target, rows, columns, err);
}

/* LLM.int8(). */
static int32_t check_bytes(nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_error *err) {
    plan->targets[target].quantization.bits = 8;
    if (t->type != NB_TYPE_I8 || plan->in.tensors[nb_plan_source(plan, target, NB_ROLE_SCALES)].type != NB_TYPE_F32)
        return refuse_shape(plan, target, t->shape[1], t->shape[0], err);
    NB_TRY(settle(plan, target, t->shape[1], t->shape[0], err));
    return check_source(plan, target, NB_ROLE_SCALES, t->shape[1] * 4, err);
}

static int32_t check_blocks(nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_error *err) {
    nb_tensor_info *to = &plan->out.tensors[target];
    nb_text name = nb_checkpoint_tensor_name(&plan->out, to);
    uint32_t state = nb_plan_source(plan, target, NB_ROLE_STATE), scales = nb_plan_source(plan, target, NB_ROLE_SCALES);
    uint64_t weights = t->bytes * 2, columns = plan->targets[target].columns;
    if (state == NB_NONE || weights % columns)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the quantized matrix %t has no quant_state, or its %l weights are not whole rows of %l, as "
                       "config.json says; files are missing, or do not belong together",
                       name, weights, columns);
    const nb_tensor_info *s = &plan->in.tensors[scales];
    bool nested = s->type == NB_TYPE_U8,
         whole = columns % NB_BLOCK_NF4 == 0 && weights % s->shape[0] == 0 && weights / s->shape[0] % NB_BLOCK_NF4 == 0;
    NB_TRY(check_source(plan, target, NB_ROLE_SCALES, s->shape[0] * (nested ? 1 : 4), err));
    NB_TRY(check_source(plan, target, NB_ROLE_CODEBOOK, 16 * 4, err));
    NB_TRY(check_source(plan, target, NB_ROLE_SCALE_CODEBOOK, 256 * 4, err));
    if (nested && (nb_plan_source(plan, target, NB_ROLE_SCALE_CODEBOOK) == NB_NONE ||
                   nb_plan_source(plan, target, NB_ROLE_SCALE_SCALES) == NB_NONE))
        return NB_FAIL(err, NB_ERR_FORMAT, "the matrix %t lacks nested_absmax or nested_quant_map; files are missing",
                       name);
    uint32_t more = nb_plan_source(plan, target, NB_ROLE_SCALE_SCALES);
    if (more != NB_NONE)
        NB_TRY(check_source(plan, target, NB_ROLE_SCALE_SCALES, plan->in.tensors[more].shape[0] * 4, err));
    bool normal = nb_text_ends(nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[state]), "nf4");
    to->type = !whole ? NB_TYPE_F32 : normal ? NB_TYPE_NF4 : NB_TYPE_FP4;
    plan->targets[target].source_type = to->type;
    to->n_dimensions = 2;
    to->shape[0] = columns;
    to->shape[1] = weights / columns;
    return NB_OK;
}

int32_t nb_arrangement_check(nb_plan *plan, uint32_t target, nb_error *err) {
    if (nb_is_reshaped(&plan->targets[target]))
        return nb_reshape_check(plan, target, err);
    if (plan->targets[target].groups)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t is quantized, and its rows would have to be regrouped; that is not supported. Take "
                       "the model's floating-point version, or a GGUF file of it",
                       nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[target]));
    nb_target *to = &plan->targets[target];
    to->quantization = plan->quantization;
    uint32_t codes = nb_plan_source(plan, target, NB_ROLE_CODES), zeros = nb_plan_source(plan, target, NB_ROLE_ZEROS);
    bool needs_zeros = to->arrangement <= NB_AS_AWQ && !to->quantization.symmetric;
    if (codes == NB_NONE || nb_plan_source(plan, target, NB_ROLE_SCALES) == NB_NONE ||
        (needs_zeros && zeros == NB_NONE))
        return NB_FAIL(err, NB_ERR_FORMAT, "the quantized matrix %t lacks codes, scales or zeros; files are missing",
                       nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[target]));
    const nb_tensor_info *t = &plan->in.tensors[codes];
    if (plan->sources[codes].row != NB_NONE) /* one of several that would be stacked */
        return refuse_shape(plan, target, t->shape[1], t->shape[0], err);
    plan->out.tensors[target].n_dimensions = 2;
    if (t->bytes > (uint64_t)1 << 40)
        return refuse_shape(plan, target, t->shape[1], t->shape[0], err);
    if (to->arrangement == NB_AS_BLOCKS)
        return check_blocks(plan, target, t, err);
    if (t->n_dimensions != 2)
        return refuse_shape(plan, target, t->shape[1], t->shape[0], err);
    return to->quantization.library == NB_BY_COMPRESSED ? check_rows(plan, target, t, err)
         : to->arrangement == NB_AS_BYTES               ? check_bytes(plan, target, t, err)
                                                        : check_columns(plan, target, t, err);
}

/* ---- codes, zeros and scales ----------------------------------------------------------------------------------- */

static uint32_t word_at(const uint8_t *in, uint64_t i) {
    uint32_t word;
    memcpy(&word, in + 4 * i, sizeof word);
    return word;
}

/* Number i of a stream of bits. The stream's words are `first`, first + stride, first + 2 stride, ... */
static uint8_t bits_at(const uint8_t *in, uint64_t first, uint64_t stride, uint64_t i, uint32_t bits) {
    uint64_t at = i * bits, word = first + at / 32 * stride;
    uint32_t shift = at % 32, value = word_at(in, word) >> shift;
    if (shift + bits > 32)
        value |= word_at(in, word + stride) << (32 - shift);
    return (uint8_t)(value & ((1u << bits) - 1));
}

/* AWQ: the four bits of a row, out of words for eight rows each. */
static uint8_t awq_at(const uint8_t *in, uint64_t row) {
    static const uint8_t places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return word_at(in, row / 8) >> (4 * places[row % 8]) & 15;
}

static uint8_t code_at(const matrix *m, uint64_t row, uint64_t column) {
    switch (m->arrangement) {
    case NB_AS_AWQ: return awq_at(m->codes + column * (m->rows / 2), row);
    case NB_AS_BYTES: return (uint8_t)(m->codes[row * m->columns + column] + 128);
    case NB_AS_PACKED: return bits_at(m->codes, row * (m->columns * m->q.bits / 32), 1, column, m->q.bits);
    case NB_AS_GPTQ: return bits_at(m->codes, row, m->rows, column, m->q.bits);
    default: __builtin_trap(); /* no other arrangement has codes */
    }
}

static uint32_t zero_at(const matrix *m, uint64_t row, uint64_t group) {
    const uint8_t *zeros = m->zeros;
    uint64_t line = group * m->rows * m->q.bits / 32; /* in words */
    switch (m->arrangement) {
    case NB_AS_AWQ: return awq_at(zeros + 4 * line, row);
    case NB_AS_BYTES: return (uint8_t)(zeros[row * m->groups + group] + 128);
    case NB_AS_PACKED: return bits_at(zeros, group, m->groups, row, m->q.bits);
    case NB_AS_GPTQ: /* modulo 2^bits: zero - 1 is stored as all ones if zero is 0 */
        return (bits_at(zeros, line, 1, row, m->q.bits) + m->q.zero_offset) & ((1u << m->q.bits) - 1);
    default: __builtin_trap(); /* no other arrangement has zeros */
    }
}

static float scale_at(const matrix *m, uint64_t row, uint64_t group) {
    bool columns = m->arrangement == NB_AS_GPTQ || m->arrangement == NB_AS_AWQ;
    uint64_t i = m->one_scale ? 0 : columns ? group * m->rows + row : row * m->groups + group;
    if (m->scale_type == NB_TYPE_F32)
        return m->q.library == NB_BY_BITSANDBYTES ? float_at(m->scales, i) / 127 : float_at(m->scales, i);
    uint16_t half;
    memcpy(&half, m->scales + 2 * i, sizeof half);
    return m->scale_type == NB_TYPE_BF16 ? nb_bf16_to_f32(half) : nb_f16_to_f32(half);
}

/* bitsandbytes: the scale of block i, and weight i. */
static float block_scale(const matrix *m, uint64_t i) {
    if (m->scale_type != NB_TYPE_U8)
        return float_at(m->scales, i);
    return float_at(m->scale_codebook, m->scales[i]) * float_at(m->scale_scales, i / m->scale_block) + m->scale_offset;
}

static float block_weight(const matrix *m, uint64_t i) {
    uint8_t pair = m->codes[i / 2];
    return m->codebook[i % 2 ? pair & 15 : pair >> 4] * block_scale(m, i / m->block);
}

/* ---- unpacking ------------------------------------------------------------------------------------------------- */

/* order[i]: the file's column that becomes column i, so that the columns of each group are adjacent. */
static int32_t find_order(const matrix *m, uint32_t *order, nb_error *err) {
    uint32_t *next = nb_alloc_items(m->groups, sizeof *next);
    if (!next)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l groups", m->groups);
    for (uint32_t g = 0; g < m->groups; g++)
        next[g] = (uint32_t)(g * m->group);
    bool whole = true;
    for (uint32_t column = 0; column < m->columns && whole; column++) {
        uint32_t g = word_at(m->order, column);
        whole = g < m->groups && next[g] < (g + 1) * m->group;
        if (whole)
            order[next[g]++] = column;
    }
    nb_free(next);
    return whole ? NB_OK
                 : NB_FAIL(err, NB_ERR_FORMAT,
                           "the g_idx of the matrix %t makes groups of unequal size; the file is damaged", m->name);
}

/* A whole number, or 0. */
static uint64_t whole_number(nb_node n) {
    double value = nb_node_number(n, 0);
    return value >= 1 && value < 0x1p40 ? (uint64_t)value : 0;
}

/* Reads quant_state. */
static int32_t read_state(matrix *m, uint32_t target, nb_error *err) {
    const nb_plan *plan = m->plan;
    uint32_t source = nb_plan_source(plan, target, NB_ROLE_STATE);
    nb_node state;
    NB_TRY(nb_json_check(plan->sources[source].bytes, (size_t)plan->in.tensors[source].bytes, "a quant_state", &state,
                         err));
    uint64_t sides[2] = {0}, n = 0, weights = m->rows * m->columns;
    for (nb_members w = nb_members_of(nb_node_find(state, "shape")); nb_members_next(&w); n++)
        if (n < 2)
            sides[n] = whole_number(w.value);
    m->block = whole_number(nb_node_find(state, "blocksize"));
    m->scale_block = whole_number(nb_node_find(state, "nested_blocksize"));
    m->scale_offset = (float)nb_node_number(nb_node_find(state, "nested_offset"), 0);
    const uint8_t *bytes;
    const nb_tensor_info *scales = source_of(plan, target, NB_ROLE_SCALES, &bytes);
    const nb_tensor_info *more = source_of(plan, target, NB_ROLE_SCALE_SCALES, &m->scale_scales);
    source_of(plan, target, NB_ROLE_SCALE_CODEBOOK, &m->scale_codebook);
    m->codebook = nb_node_is(nb_node_find(state, "quant_type"), "nf4") ? nb_nf4_codebook : nb_fp4_codebook;
    bool nested = m->scale_type == NB_TYPE_U8, cut = m->type != NB_TYPE_F32 && m->block % NB_BLOCK_NF4;
    if (n != 2 || cut || sides[0] != m->rows || sides[1] != m->columns || !m->block ||
        (weights + m->block - 1) / m->block != scales->shape[0] ||
        (nested && (!m->scale_block || (scales->shape[0] + m->scale_block - 1) / m->scale_block != more->shape[0])))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the quant_state of the matrix %t says that it is [%l, %l] in blocks of %l, but by config.json "
                       "and its tensors it is [%l, %l]; the files do not belong together",
                       m->name, sides[0], sides[1], m->block, m->rows, m->columns);
    const uint8_t *codebook;
    source_of(plan, target, NB_ROLE_CODEBOOK, &codebook);
    for (int i = 0; codebook && i < 16; i++) /* signs are not compared: 0 may have either */
        if (nb_bits_of(float_at(codebook, (uint64_t)i)) << 1 != nb_bits_of(m->codebook[i]) << 1)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "the quant_map of the matrix %t has other numbers than bitsandbytes' own", m->name);
    return NB_OK;
}

/* Compares weight_shape, if there is one. */
static int32_t check_shape(const matrix *m, uint32_t target, nb_error *err) {
    const uint8_t *state;
    const nb_tensor_info *t = source_of(m->plan, target, NB_ROLE_STATE, &state);
    uint64_t sides[2];
    if (!t || t->bytes != sizeof sides)
        return NB_OK;
    memcpy(sides, state, sizeof sides);
    if (sides[0] != m->rows || sides[1] != m->columns)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the weight_shape of the matrix %t is [%l, %l], but config.json asks for [%l, %l]", m->name,
                       sides[0], sides[1], m->rows, m->columns);
    return NB_OK;
}

int32_t nb_arrangement_begin(nb_plan *plan, uint32_t target, nb_error *err) {
    if (plan->targets[target].arrangement == NB_AS_ORDER || nb_is_reshaped(&plan->targets[target]))
        return NB_OK;
    matrix m = matrix_of(plan, target);
    if (m.arrangement == NB_AS_BLOCKS)
        return read_state(&m, target, err);
    NB_TRY(check_shape(&m, target, err));
    uint32_t middle = 1u << (m.q.bits - 1);
    for (uint64_t g = 0; m.zeros && m.q.symmetric && g < m.groups; g++)
        for (uint64_t row = 0; row < m.rows; row++)
            if (zero_at(&m, row, g) != middle)
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "the matrix %t has the zero %u, but config.json says that all are %u (sym)", m.name,
                               zero_at(&m, row, g), middle);
    if (!m.order)
        return NB_OK;
    if (!m.q.ordered) {
        for (uint64_t i = 0; i < m.columns; i++)
            if (word_at(m.order, i) != i / m.group)
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "the g_idx of the matrix %t mixes the columns of groups, but config.json says that it "
                               "does not (desc_act)",
                               m.name);
        return NB_OK;
    }
    uint32_t *order = nb_alloc_items(m.columns, sizeof *order);
    if (!order)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the order of %l columns", m.columns);
    nb_free(plan->targets[target].order);
    plan->targets[target].order = order;
    return find_order(&m, order, err);
}

static uint8_t *put_half(uint8_t *out, float x) {
    uint16_t half = nb_f32_to_f16(x);
    memcpy(out, &half, sizeof half);
    return out + sizeof half;
}

/* Writes a row of the target from its codes: [columns]. */
static uint8_t *put_row(const matrix *m, uint64_t row, const uint8_t *codes, uint8_t *out) {
    uint32_t middle = 1u << (m->q.bits - 1);
    for (uint64_t tile = 0; tile < m->columns / 32; tile++, codes += 32) {
        uint64_t g = tile * 32 / m->group;
        float d = scale_at(m, row, g), zero = m->q.symmetric ? (float)middle : (float)zero_at(m, row, g);
        if (m->type == NB_TYPE_F16) {
            for (int i = 0; i < 32; i++)
                out = put_half(out, d * ((float)codes[i] - zero));
            continue;
        }
        out = put_half(out, d);
        if (m->type == NB_TYPE_Q8_0) {
            for (int i = 0; i < 32; i++)
                *out++ = (uint8_t)(codes[i] - 128);
            continue;
        }
        if (m->type == NB_TYPE_Q4_1)
            out = put_half(out, -zero * d);
        uint32_t more = m->q.symmetric ? 8 - middle : 0; /* Q4_0's zero is 8 */
        for (int i = 0; i < 16; i++)
            *out++ = (uint8_t)((codes[i] + more) | (codes[i + 16] + more) << 4);
    }
    return out;
}

/* Writes weights [from, from + n), which are whole rows. */
static void put_blocks(const matrix *m, uint64_t from, uint64_t n, uint8_t *out) {
    if (m->type == NB_TYPE_F32) {
        for (uint64_t i = from; i < from + n; i++, out += sizeof(float)) {
            float x = block_weight(m, i);
            memcpy(out, &x, sizeof x);
        }
        return;
    }
    for (uint64_t i = from; i < from + n; i += NB_BLOCK_NF4, out += sizeof(nb_block_nf4)) {
        nb_block_nf4 block = {.d = block_scale(m, i / m->block)};
        memcpy(block.q, m->codes + i / 2, sizeof block.q);
        memcpy(out, &block, sizeof block);
    }
}

int32_t nb_arrangement_rows(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out,
                            nb_error *err) {
    if (plan->targets[target].arrangement == NB_AS_ORDER) {
        memcpy(out, plan->targets[plan->targets[target].after].order, (size_t)plan->out.tensors[target].bytes);
        return NB_OK;
    }
    if (nb_is_reshaped(&plan->targets[target])) {
        nb_reshape_rows(plan, target, first, rows, out);
        return NB_OK;
    }
    const nb_target *t = &plan->targets[target];
    matrix m = matrix_of(plan, target);
    if (m.arrangement == NB_AS_BLOCKS) {
        NB_TRY(read_state(&m, target, err));
        const nb_traits *traits = nb_traits_of(m.type);
        uint64_t bytes = m.columns / traits->block_weights * traits->block_bytes;
        if (!t->permuted)
            put_blocks(&m, first * m.columns, rows * m.columns, out);
        for (uint64_t row = first; t->permuted && row < first + rows; row++, out += bytes)
            put_blocks(&m, nb_row_in_files(t, row) * m.columns, m.columns, out);
        return NB_OK;
    }
    if (!m.codes || m.q.bits > 8)
        __builtin_trap(); /* nb_arrangement_check lets none of these through */
    const uint32_t *order = t->order;
    uint8_t *codes = nb_alloc_items(ROWS, m.columns); /* [ROWS][columns] */
    if (!codes)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to unpack rows of %l columns", m.columns);
    for (uint64_t row = first; row < first + rows; row += ROWS) {
        uint64_t n = NB_MIN((uint64_t)ROWS, first + rows - row);
        for (uint64_t i = 0; i < m.columns; i++)
            for (uint64_t r = 0; r < n; r++)
                codes[r * m.columns + i] = code_at(&m, nb_row_in_files(t, row + r), order ? order[i] : i);
        for (uint64_t r = 0; r < n; r++)
            out = put_row(&m, nb_row_in_files(t, row + r), codes + r * m.columns, out);
    }
    nb_free(codes);
    return NB_OK;
}
