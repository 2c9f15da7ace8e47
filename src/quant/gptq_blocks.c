/* GPTQ for GGUF's types. It must know only where the codes of a type lie in a block (code_layout.h). The type's encoder
 * writes a block with its scales, and its dequantizer tells which numbers the codes then mean. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../types/code_layout.h"
#include "../types/traits.h"
#include "../types/types.h"
#include "gptq_feed.h"

/* ---- blocks ----------------------------------------------------------------------------------------------------- */

enum { MOST_BYTES = sizeof(nb_block_q6_k), MOST_WEIGHTS = NB_SUPERBLOCK }; /* of the types in code_layout.c */

typedef struct blocks {
    nb_quantizer *q;
    const nb_traits *traits;
    const nb_code_layout *layout;
    nb_quantize *encode;
    nb_encoding how;
    uint8_t *out;
    size_t row_bytes;
    uint8_t mask[MOST_BYTES]; /* the bits of a block that do not belong to codes */
    /* The code bits of a block. [0]: all codes are the smallest one; [1]: all are the largest one. With a codebook [0]
     * has the code of `reference` everywhere, and [1] is unused. */
    uint8_t ends[2][MOST_BYTES];
    float codebook[NB_CODEBOOK];
    float reference; /* the codebook's number of the largest magnitude; 0: the type has no codebook */
} blocks;

static void fill_codebook(blocks *b) {
    uint32_t largest = 0;
    for (uint32_t i = 0; i < NB_CODEBOOK; i++) {
        b->codebook[i] = b->layout->codebook ? (float)b->layout->codebook[i] : b->layout->float_codebook[i];
        if (__builtin_fabsf(b->codebook[i]) > __builtin_fabsf(b->codebook[largest]))
            largest = i;
    }
    b->reference = b->codebook[largest];
    for (uint32_t i = 0; i < b->traits->block_weights; i++)
        nb_put_code(b->layout, i, largest, b->ends[0]);
}

static void fill_ends(blocks *b) {
    for (uint32_t i = 0; i < b->traits->block_weights; i++) {
        nb_put_code(b->layout, i, (uint32_t)b->layout->least, b->ends[0]);
        nb_put_code(b->layout, i, (uint32_t)b->layout->most, b->ends[1]);
    }
}

static void fill_patterns(blocks *b) {
    uint8_t ones[MOST_BYTES] = {0};
    for (uint32_t i = 0; i < b->traits->block_weights; i++)
        nb_put_code(b->layout, i, 255u ^ b->layout->flip, ones);
    for (uint32_t i = 0; i < b->traits->block_bytes; i++)
        b->mask[i] = (uint8_t)~ones[i];
    if (b->layout->codebook || b->layout->float_codebook)
        fill_codebook(b);
    else
        fill_ends(b);
}

/* The weights that the block would have if its codes were those of ends[end]. */
static void values_at(const blocks *b, const uint8_t *block, int end, float *out) {
    _Alignas(8) uint8_t filled[MOST_BYTES];
    for (uint32_t i = 0; i < b->traits->block_bytes; i++)
        filled[i] = (uint8_t)((block[i] & b->mask[i]) | b->ends[end][i]);
    b->traits->dequantize(filled, out, b->traits->block_weights);
}

static bool choose_block(void *context, uint32_t row, uint32_t index, const float *x, nb_levels *levels) {
    const blocks *b = context;
    const nb_code_layout *l = b->layout;
    uint32_t n = b->traits->block_weights;
    uint8_t *block = b->out + row * b->row_bytes + (size_t)index * b->traits->block_bytes;
    float low[MOST_WEIGHTS], high[MOST_WEIGHTS];
    nb_encoding how = b->how;
    how.importance += (size_t)index * n;
    b->encode(&how, x, block, n);
    values_at(b, block, 0, low);
    values_at(b, block, 1, high);
    bool is_finite = true;
    for (uint32_t i = 0; i < n; i += l->granule, levels++) {
        *levels = b->reference != 0 ? (nb_levels){0, low[i] / b->reference, 0}
                                    : (nb_levels){low[i], (high[i] - low[i]) / (float)(l->most - l->least), l->least};
        is_finite &= __builtin_fabsf(levels->step) <= 0x1.fffffep127f && __builtin_fabsf(low[i]) <= 0x1.fffffep127f;
    }
    return is_finite;
}

static void finish_row(void *context, uint32_t row, const uint8_t *codes, const float *values) {
    (void)values;
    const blocks *b = context;
    uint32_t n = b->traits->block_weights;
    uint8_t *block = b->out + row * b->row_bytes;
    for (uint32_t i = 0; i < b->q->columns; i++)
        nb_put_code(b->layout, i % n, codes[i], block + i / n * b->traits->block_bytes);
}

/* ---- without feedback ------------------------------------------------------------------------------------------- */

typedef struct plain_rows {
    const blocks *b;
    uint32_t source_type;
    const void *weights;
    uint32_t bad_row;
} plain_rows;

static void encode_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows;
    plain_rows *p = context;
    const blocks *b = p->b;
    float *x = b->q->scratch + (size_t)thread * b->q->columns * NB_TILE;
    if (nb_weights_row(b->q->columns, p->source_type, p->weights, (uint32_t)row, x))
        b->encode(&b->how, x, b->out + row * b->row_bytes, b->q->columns);
    else
        nb_mark_row(&p->bad_row, (uint32_t)row);
}

/* ---- functions of nibble_quantize.h ------------------------------------------------------------------------------ */

uint32_t nb_quantizer_block(uint32_t type) {
    return nb_encoder_of(type) ? nb_traits_of(type)->block_weights : 0;
}

uint32_t nb_quantizer_block_bytes(uint32_t type) {
    return nb_encoder_of(type) ? nb_traits_of(type)->block_bytes : 0;
}

int32_t nb_quantizer_feeds(uint32_t type) {
    return nb_code_layout_of(type) != NULL;
}

static int32_t check_order(const nb_quantizer *q, const nb_traits *traits, nb_error *err) {
    const nb_gptq_settings *s = &q->settings;
    if (s->order == NB_ORDER_NATURAL || (s->order == NB_ORDER_GROUP_AWARE && s->group == traits->block_weights))
        return NB_OK;
    return NB_FAIL(err, NB_ERR_ARGUMENT,
                   "blocks of %s must be quantized one after the other: take the natural order of columns, or the "
                   "group-aware one with groups of %u",
                   traits->name, traits->block_weights);
}

int32_t nb_quantizer_rows(nb_quantizer *q, uint32_t type, uint32_t flags, uint32_t source_type, const void *weights,
                          uint32_t first_row, uint32_t rows, void *out, nb_error *err) {
    NB_TRY(nb_hessian_check_ready(q, flags, err));
    NB_TRY(nb_weights_check(q->columns, source_type, err));
    if (!nb_encoder_of(type))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "nibble does not write tensors of type %u", type);
    NB_TRY(nb_weights_check(q->columns, type, err));
    blocks b = {.q = q,
                .traits = nb_traits_of(type),
                .layout = flags & NB_ROWS_NEAREST ? NULL : nb_code_layout_of(type),
                .encode = nb_encoder_of(type),
                .how = {.importance = q->importance, .best = flags & NB_ROWS_BEST},
                .out = out,
                .row_bytes = nb_weights_row_bytes(q->columns, type)};
    NB_TRY(nb_grids_find(&q->grids, type, &b.how.neighbours, err));
    if (!b.layout) {
        plain_rows p = {&b, source_type, weights, NB_NO_ROW};
        nb_parallel(q->pool, rows, false, encode_row, &p);
        return p.bad_row == NB_NO_ROW
                 ? NB_OK
                 : nb_weights_refuse(q->columns, source_type, weights, p.bad_row, first_row, q->panel, err);
    }
    NB_TRY(check_order(q, b.traits, err));
    fill_patterns(&b);
    bool has_codebook = b.reference != 0;
    nb_feed feed = {.q = q,
                    .source_type = source_type,
                    .weights = weights,
                    .rows = rows,
                    .first_row = first_row,
                    .span = b.traits->block_weights,
                    .granule = b.layout->granule,
                    .least = b.layout->least,
                    .most = b.layout->most,
                    .codebook = has_codebook ? b.codebook : NULL,
                    .choose = choose_block,
                    .finish = finish_row,
                    .context = &b};
    return nb_feed_rows(&feed, err);
}
