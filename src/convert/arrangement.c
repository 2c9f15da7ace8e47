#include "arrangement.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../kernels/traits.h"
#include "json.h"

enum { ROWS = 16 /* that are unpacked together: of codes that lie by columns, a line of the cache */ };

/* A matrix that is being unpacked. */
typedef struct matrix {
    const nb_plan *plan;
    const nb_tensor_info *to;
    nb_text name;
    uint64_t rows, columns, group, groups;
    const uint8_t *codes, *scales, *zeros, *order; /* NULL: there is no such source, or it has not arrived */
    uint32_t scale_type;
    /* NB_AS_BLOCKS: */
    uint64_t block, scale_block;         /* weights of a scale, scales of a scale's scale */
    const uint8_t *scale_codebook, *scale_scales;
    float scale_offset;
    const float *codebook;
} matrix;

static const nb_tensor_info *source_of(const nb_plan *plan, uint32_t target, nb_role role, const uint8_t **bytes) {
    uint32_t i = nb_plan_source(plan, target, role);
    *bytes = i == NB_NONE ? NULL : plan->origins[i].bytes;
    return i == NB_NONE ? NULL : &plan->in.tensors[i];
}

static matrix matrix_of(const nb_plan *plan, uint32_t target) {
    const nb_tensor_info *to = &plan->out.tensors[target];
    matrix m = {.plan = plan, .to = to, .name = nb_checkpoint_tensor_name(&plan->out, to), .rows = to->shape[1],
                .columns = to->shape[0]};
    m.group = plan->quantization.group ? plan->quantization.group : m.columns;
    m.groups = m.columns / m.group;
    source_of(plan, target, NB_ROLE_CODES, &m.codes);
    const nb_tensor_info *scales = source_of(plan, target, NB_ROLE_SCALES, &m.scales);
    source_of(plan, target, NB_ROLE_ZEROS, &m.zeros);
    source_of(plan, target, NB_ROLE_ORDER, &m.order);
    m.scale_type = scales ? scales->type : NB_TYPE_F16;
    return m;
}

/* Of tensors that lie at any address. */
static float float_at(const uint8_t *in, uint64_t i) {
    float x;
    memcpy(&x, in + 4 * i, sizeof x);
    return x;
}

/* ---- before ---------------------------------------------------------------------------------------------------- */

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
        return NB_OK; /* no name of a model's: the engine will say so */
    memcpy(name, of.data, n);
    memcpy(name + n, "order", 5);
    uint32_t order = nb_plan_target(plan, (nb_text){name, n + 5});
    if (order == NB_NONE)
        return plan->composer.code;
    plan->out.tensors[order].type = NB_TYPE_I32;
    plan->out.tensors[order].n_dimensions = 1;
    plan->out.tensors[order].shape[0] = columns;
    plan->targets[order].arrangement = NB_AS_ORDER;
    plan->targets[order].with = target;
    return NB_OK;
}

/* Of codes in words: rows and columns by the codes' shape. */
static int32_t check_words(nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_error *err) {
    const nb_quantization *q = &plan->quantization;
    nb_tensor_info *to = &plan->out.tensors[target];
    bool awq = q->method == NB_AS_AWQ;
    uint64_t rows = awq ? t->shape[0] * 8 : t->shape[0], columns = awq ? t->shape[1] : t->shape[1] * 32 / q->bits;
    uint64_t group = q->group ? q->group : columns;
    if (t->n_dimensions != 2 || columns % 32 || group % 32 || columns % group || rows * q->bits % 32)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t is quantized, of %l rows and %l columns in groups of %l; that is not supported",
                       nb_checkpoint_tensor_name(&plan->out, to), rows, columns, group);
    uint64_t groups = columns / group;
    NB_TRY(check_source(plan, target, NB_ROLE_CODES, columns / 32 * rows * q->bits * 4, err));
    NB_TRY(check_source(plan, target, NB_ROLE_SCALES, groups * rows * 2, err));
    NB_TRY(check_source(plan, target, NB_ROLE_ZEROS, groups * rows * q->bits / 8, err));
    NB_TRY(check_source(plan, target, NB_ROLE_ORDER, columns * 4, err));
    to->type = q->bits == 8 ? NB_TYPE_Q8_0 : q->symmetric ? NB_TYPE_Q4_0 : NB_TYPE_Q4_1;
    to->shape[0] = columns;
    to->shape[1] = rows;
    return q->ordered && nb_plan_source(plan, target, NB_ROLE_ORDER) != NB_NONE ? add_order(plan, target, columns) : NB_OK;
}

static int32_t check_bytes(nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_error *err) {
    nb_tensor_info *to = &plan->out.tensors[target];
    uint64_t rows = t->shape[1], columns = t->shape[0];
    if (t->n_dimensions != 2 || t->type != NB_TYPE_I8 || columns % 32)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t, of 8-bit codes, has %l rows of %l columns; only multiples of 32 columns are supported",
                       nb_checkpoint_tensor_name(&plan->out, to), rows, columns);
    NB_TRY(check_source(plan, target, NB_ROLE_SCALES, rows * 4, err));
    to->type = NB_TYPE_Q8_0;
    return NB_OK;
}

static int32_t check_blocks(nb_plan *plan, uint32_t target, const nb_tensor_info *t, nb_error *err) {
    nb_tensor_info *to = &plan->out.tensors[target];
    nb_text name = nb_checkpoint_tensor_name(&plan->out, to);
    uint32_t state = nb_plan_source(plan, target, NB_ROLE_STATE), scales = nb_plan_source(plan, target, NB_ROLE_SCALES);
    uint64_t weights = t->bytes * 2, columns = plan->targets[target].columns;
    if (state == NB_NONE || weights % columns)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the quantized matrix %t has %l weights, which are no rows of the %l that config.json asks for, or "
                       "no quant_state; the files are not whole, or not of one model",
                       name, weights, columns);
    const nb_tensor_info *s = &plan->in.tensors[scales];
    bool nested = s->type == NB_TYPE_U8, whole = columns % NB_BLOCK_NF4 == 0 && weights % s->shape[0] == 0 &&
                                                  weights / s->shape[0] % NB_BLOCK_NF4 == 0;
    NB_TRY(check_source(plan, target, NB_ROLE_SCALES, s->shape[0] * (nested ? 1 : 4), err));
    NB_TRY(check_source(plan, target, NB_ROLE_CODEBOOK, 16 * 4, err));
    NB_TRY(check_source(plan, target, NB_ROLE_SCALE_CODEBOOK, 256 * 4, err));
    if (nested && (nb_plan_source(plan, target, NB_ROLE_SCALE_CODEBOOK) == NB_NONE ||
                   nb_plan_source(plan, target, NB_ROLE_SCALE_SCALES) == NB_NONE))
        return NB_FAIL(err, NB_ERR_FORMAT, "the matrix %t lacks nested_absmax or nested_quant_map; the files are not whole",
                       name);
    bool normal = nb_text_ends(nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[state]), "nf4");
    to->type = !whole ? NB_TYPE_F32 : normal ? NB_TYPE_NF4 : NB_TYPE_FP4;
    to->n_dimensions = 2;
    to->shape[0] = columns;
    to->shape[1] = weights / columns;
    return NB_OK;
}

int32_t nb_arrangement_check(nb_plan *plan, uint32_t target, nb_error *err) {
    const nb_quantization *q = &plan->quantization;
    uint32_t codes = nb_plan_source(plan, target, NB_ROLE_CODES), zeros = nb_plan_source(plan, target, NB_ROLE_ZEROS);
    if (codes == NB_NONE || nb_plan_source(plan, target, NB_ROLE_SCALES) == NB_NONE || (!q->symmetric && zeros == NB_NONE))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "of the quantized matrix %t there are not all parts (codes, scales and, where they differ, zeros); "
                       "the files are not whole",
                       nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[target]));
    const nb_tensor_info *t = &plan->in.tensors[codes];
    plan->out.tensors[target].n_dimensions = 2;
    return q->method == NB_AS_BYTES    ? check_bytes(plan, target, t, err)
           : q->method == NB_AS_BLOCKS ? check_blocks(plan, target, t, err)
                                       : check_words(plan, target, t, err);
}

/* ---- bits ------------------------------------------------------------------------------------------------------ */

static uint32_t word_at(const uint8_t *in, uint64_t i) {
    uint32_t word;
    memcpy(&word, in + 4 * i, sizeof word);
    return word;
}

/* Number i of a stream of bits in words, the first of which is `first`, the others `stride` words further each. */
static uint8_t bits_at(const uint8_t *in, uint64_t first, uint64_t stride, uint64_t i, uint32_t bits) {
    uint64_t at = i * bits, word = first + at / 32 * stride;
    uint32_t shift = at % 32, value = word_at(in, word) >> shift;
    if (shift + bits > 32)
        value |= word_at(in, word + stride) << (32 - shift);
    return (uint8_t)(value & ((1u << bits) - 1));
}

/* AWQ: row `row`'s four bits of a word for eight rows. */
static uint8_t awq_at(const uint8_t *in, uint64_t row) {
    static const uint8_t places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return word_at(in, row / 8) >> (4 * places[row % 8]) & 15;
}

static uint8_t code_at(const matrix *m, uint64_t row, uint64_t column) {
    const nb_quantization *q = &m->plan->quantization;
    return q->method == NB_AS_AWQ     ? awq_at(m->codes + column * (m->rows / 2), row)
           : q->method == NB_AS_BYTES ? (uint8_t)(m->codes[row * m->columns + column] + 128)
                                      : bits_at(m->codes, row, m->rows, column, q->bits);
}

static uint32_t zero_at(const matrix *m, uint64_t row, uint64_t group) {
    const nb_quantization *q = &m->plan->quantization;
    const uint8_t *zeros = m->zeros + group * m->rows * q->bits / 8;
    uint32_t zero = q->method == NB_AS_AWQ ? awq_at(zeros, row) : bits_at(zeros, 0, 1, row, q->bits);
    return (zero + q->zero_offset) & ((1u << q->bits) - 1); /* the packer's -1 is all ones */
}

static uint16_t scale_at(const matrix *m, uint64_t row, uint64_t group) {
    uint16_t half;
    if (m->scale_type == NB_TYPE_F32)
        return nb_f32_to_f16(float_at(m->scales, row) / 127);
    memcpy(&half, m->scales + 2 * (group * m->rows + row), sizeof half);
    return half;
}

/* bitsandbytes': of block i, and the number that the code of weight i stands for. */
static float block_scale(const matrix *m, uint64_t i) {
    if (m->scale_type != NB_TYPE_U8)
        return float_at(m->scales, i);
    return float_at(m->scale_codebook, m->scales[i]) * float_at(m->scale_scales, i / m->scale_block) + m->scale_offset;
}

static float block_weight(const matrix *m, uint64_t i) {
    uint8_t pair = m->codes[i / 2];
    return m->codebook[i % 2 ? pair & 15 : pair >> 4] * block_scale(m, i / m->block);
}

/* ---- after ----------------------------------------------------------------------------------------------------- */

/* order[i]: the file's column that becomes column i, so that groups follow each other. */
static int32_t find_order(const matrix *m, uint32_t *order, nb_error *err) {
    uint32_t *next = nb_alloc(m->groups * sizeof *next);
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
                           "of the matrix %t the g_idx puts its columns into groups of unequal size; the file is damaged",
                           m->name);
}

/* A whole number of a block's state, or 0. */
static uint64_t whole_number(nb_node n) {
    double value = nb_node_number(n, 0);
    return value >= 1 && value < 0x1p40 ? (uint64_t)value : 0;
}

/* Fills in what quant_state says. */
static int32_t read_state(matrix *m, uint32_t target, nb_error *err) {
    const nb_plan *plan = m->plan;
    uint32_t source = nb_plan_source(plan, target, NB_ROLE_STATE);
    nb_node state;
    NB_TRY(nb_json_check(plan->origins[source].bytes, (size_t)plan->in.tensors[source].bytes, "a quant_state", &state, err));
    uint64_t sides[2] = {0}, n = 0, weights = m->rows * m->columns;
    for (nb_walk w = nb_walk_of(nb_node_find(state, "shape")); nb_walk_next(&w); n++)
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
    bool nested = m->scale_type == NB_TYPE_U8;
    if (n != 2 || sides[0] != m->rows || sides[1] != m->columns || !m->block ||
        (weights + m->block - 1) / m->block != scales->shape[0] ||
        (nested && (!m->scale_block || (scales->shape[0] + m->scale_block - 1) / m->scale_block != more->shape[0])))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the quant_state of the matrix %t says that it is [%l, %l] in blocks of %l, which is not what "
                       "config.json and its tensors ask for ([%l, %l])",
                       m->name, sides[0], sides[1], m->block, m->rows, m->columns);
    const uint8_t *codebook;
    source_of(plan, target, NB_ROLE_CODEBOOK, &codebook);
    for (int i = 0; codebook && i < 16; i++)
        if (nb_bits_of(float_at(codebook, (uint64_t)i)) << 1 != nb_bits_of(m->codebook[i]) << 1) /* either zero */
            return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the quant_map of the matrix %t has other numbers than bitsandbytes' own",
                           m->name);
    return NB_OK;
}

int32_t nb_arrangement_begin(nb_plan *plan, uint32_t target, nb_error *err) {
    if (plan->targets[target].arrangement == NB_AS_ORDER)
        return NB_OK;
    matrix m = matrix_of(plan, target);
    const nb_quantization *q = &plan->quantization;
    if (q->method == NB_AS_BLOCKS)
        return read_state(&m, target, err);
    uint32_t middle = 1u << (q->bits - 1);
    for (uint64_t g = 0; m.zeros && q->symmetric && g < m.groups; g++)
        for (uint64_t row = 0; row < m.rows; row++)
            if (zero_at(&m, row, g) != middle)
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "the matrix %t has the zero %u, but config.json says that all are %u (sym)", m.name,
                               zero_at(&m, row, g), middle);
    if (!m.order)
        return NB_OK;
    if (!q->ordered) {
        for (uint64_t i = 0; i < m.columns; i++)
            if (word_at(m.order, i) != i / m.group)
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "the matrix %t has columns of other groups between each other, but config.json says that "
                               "it has not (desc_act)",
                               m.name);
        return NB_OK;
    }
    uint32_t *order = nb_alloc(m.columns * sizeof *order);
    if (!order)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the order of %l columns", m.columns);
    nb_free(plan->targets[target].order);
    plan->targets[target].order = order;
    return find_order(&m, order, err);
}

/* codes: [columns] -> a row of the target */
static uint8_t *put_row(const matrix *m, uint64_t row, uint8_t *codes, uint8_t *out) {
    const nb_quantization *q = &m->plan->quantization;
    for (uint64_t tile = 0; tile < m->columns / 32; tile++, codes += 32) {
        uint64_t g = tile * 32 / m->group;
        uint16_t d = scale_at(m, row, g), minimum;
        memcpy(out, &d, sizeof d);
        out += sizeof d;
        if (m->to->type == NB_TYPE_Q8_0) {
            for (int i = 0; i < 32; i++)
                *out++ = (uint8_t)(codes[i] - 128);
            continue;
        }
        if (m->to->type == NB_TYPE_Q4_1) {
            minimum = nb_f32_to_f16(-(float)zero_at(m, row, g) * nb_f16_to_f32(d));
            memcpy(out, &minimum, sizeof minimum);
            out += sizeof minimum;
        }
        uint32_t more = q->symmetric ? 8 - (1u << (q->bits - 1)) : 0; /* Q4_0's zero is 8 */
        for (int i = 0; i < 16; i++)
            *out++ = (uint8_t)((codes[i] + more) | (codes[i + 16] + more) << 4);
    }
    return out;
}

/* Weights [from, from + n): whole rows. */
static void put_blocks(const matrix *m, uint64_t from, uint64_t n, uint8_t *out) {
    if (m->to->type == NB_TYPE_F32) {
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
        memcpy(out, plan->targets[plan->targets[target].with].order, (size_t)plan->out.tensors[target].bytes);
        return NB_OK;
    }
    matrix m = matrix_of(plan, target);
    if (plan->quantization.method == NB_AS_BLOCKS) {
        NB_TRY(read_state(&m, target, err));
        put_blocks(&m, first * m.columns, rows * m.columns, out);
        return NB_OK;
    }
    const uint32_t *order = plan->targets[target].order;
    uint8_t *codes = nb_alloc((size_t)(ROWS * m.columns)); /* [ROWS][columns] */
    if (!codes)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to unpack rows of %l columns", m.columns);
    for (uint64_t row = first; row < first + rows; row += ROWS) {
        uint64_t n = NB_MIN((uint64_t)ROWS, first + rows - row);
        for (uint64_t i = 0; i < m.columns; i++)
            for (uint64_t r = 0; r < n; r++)
                codes[r * m.columns + i] = code_at(&m, row + r, order ? order[i] : i);
        for (uint64_t r = 0; r < n; r++)
            out = put_row(&m, row + r, codes + r * m.columns, out);
    }
    nb_free(codes);
    return NB_OK;
}
