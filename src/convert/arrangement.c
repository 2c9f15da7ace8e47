#include "arrangement.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../kernels/types.h"

enum { ROWS = 16 /* that are unpacked together: of codes that lie by columns, a line of the cache */ };

/* A matrix that is being unpacked. */
typedef struct matrix {
    const nb_plan *plan;
    const nb_tensor_info *to;
    nb_text name;
    uint64_t rows, columns, group, groups;
    const uint8_t *codes, *scales, *zeros, *order; /* NULL: there is no such source, or it has not arrived */
    uint32_t scale_type;
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

int32_t nb_arrangement_check(nb_plan *plan, uint32_t target, nb_error *err) {
    const nb_quantization *q = &plan->quantization;
    nb_text name = nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[target]);
    uint32_t codes = nb_plan_source(plan, target, NB_ROLE_CODES), zeros = nb_plan_source(plan, target, NB_ROLE_ZEROS);
    if (codes == NB_NONE || nb_plan_source(plan, target, NB_ROLE_SCALES) == NB_NONE || (!q->symmetric && zeros == NB_NONE))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "of the quantized matrix %t there are not all parts (codes, scales and, where they differ, zeros); "
                       "the files are not whole",
                       name);
    const nb_tensor_info *t = &plan->in.tensors[codes];
    bool awq = q->method == NB_AS_AWQ;
    uint64_t rows = awq ? t->shape[0] * 8 : t->shape[0], columns = awq ? t->shape[1] : t->shape[1] * 32 / q->bits;
    uint64_t group = q->group ? q->group : columns;
    if (t->n_dimensions != 2 || columns % 32 || group % 32 || columns % group || rows * q->bits % 32)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t is quantized, of %l rows and %l columns in groups of %l; that is not supported", name,
                       rows, columns, group);
    uint64_t groups = columns / group;
    NB_TRY(check_source(plan, target, NB_ROLE_CODES, columns / 32 * rows * q->bits * 4, err));
    NB_TRY(check_source(plan, target, NB_ROLE_SCALES, groups * rows * 2, err));
    NB_TRY(check_source(plan, target, NB_ROLE_ZEROS, groups * rows * q->bits / 8, err));
    NB_TRY(check_source(plan, target, NB_ROLE_ORDER, columns * 4, err));
    nb_tensor_info *to = &plan->out.tensors[target];
    to->type = q->bits == 8 ? NB_TYPE_Q8_0 : q->symmetric ? NB_TYPE_Q4_0 : NB_TYPE_Q4_1;
    to->n_dimensions = 2;
    to->shape[0] = columns;
    to->shape[1] = rows;
    return q->ordered && nb_plan_source(plan, target, NB_ROLE_ORDER) != NB_NONE ? add_order(plan, target, columns) : NB_OK;
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
    return q->method == NB_AS_AWQ ? awq_at(m->codes + column * (m->rows / 2), row)
                                  : bits_at(m->codes, row, m->rows, column, q->bits);
}

static uint32_t zero_at(const matrix *m, uint64_t row, uint64_t group) {
    const nb_quantization *q = &m->plan->quantization;
    const uint8_t *zeros = m->zeros + group * m->rows * q->bits / 8;
    uint32_t zero = q->method == NB_AS_AWQ ? awq_at(zeros, row) : bits_at(zeros, 0, 1, row, q->bits);
    return (zero + q->zero_offset) & ((1u << q->bits) - 1); /* the packer's -1 is all ones */
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

int32_t nb_arrangement_begin(nb_plan *plan, uint32_t target, nb_error *err) {
    matrix m = matrix_of(plan, target);
    const nb_quantization *q = &plan->quantization;
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
        uint16_t d, minimum;
        memcpy(&d, m->scales + 2 * (g * m->rows + row), sizeof d);
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

int32_t nb_arrangement_rows(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out,
                            nb_error *err) {
    if (plan->targets[target].arrangement == NB_AS_ORDER) {
        memcpy(out, plan->targets[plan->targets[target].with].order, (size_t)plan->out.tensors[target].bytes);
        return NB_OK;
    }
    matrix m = matrix_of(plan, target);
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
