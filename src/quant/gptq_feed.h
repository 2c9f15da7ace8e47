/* GPTQ's error feedback through rows of weights, for any scales: of GGUF's blocks (gptq_blocks.c) and of groups in
 * folders (gptq_codes.c). */
#ifndef NB_GPTQ_FEED_H
#define NB_GPTQ_FEED_H

#include "hessian.h"
#include "quantize_search.h"

/* What the codes of some columns stand for: base + step (code - origin), or step codebook[code]. */
typedef struct nb_levels {
    float base, step;
    int32_t origin;
} nb_levels;

enum { NB_CODEBOOK = 16 };

typedef struct nb_feed {
    nb_quantizer *q;
    uint32_t source_type;
    const void *weights; /* [rows, columns] */
    uint32_t rows, first_row;

    uint32_t span;    /* columns whose scales are chosen together: a divisor of columns, a multiple of 32 */
    uint32_t granule; /* columns that share levels, a divisor of span */
    uint32_t block;   /* columns before whose first all their spans are chosen, a multiple of the span; 0: the span */
    bool is_upfront;  /* scales are chosen before the first column, for the weights as they were */
    bool is_nearest;  /* no error is fed forward: the Hessian need not be factored */
    bool is_by_turn;  /* spans are of columns in the order in which they are quantized, not side by side */
    int32_t least, most;   /* codes */
    const float *codebook; /* [16]; NULL: codes stand for themselves */

    /* The levels [span / granule] of a span, for the weights x [span] as they are now. False: no scale holds them. */
    bool (*choose)(void *context, uint32_t row, uint32_t span, const float *x, nb_levels *levels);
    /* The row's codes and what they stand for, in the order of the matrix. */
    void (*finish)(void *context, uint32_t row, const uint8_t *codes, const float *values);
    void *context;
} nb_feed;

/* All rows; the pool's threads share them. */
int32_t nb_feed_rows(nb_feed *feed, nb_error *err);

/* x / step rounded to nearest, ties to even, within some thousands. */
static inline int32_t nb_steps_of(float x, float step) {
    float steps = x / step;
    steps = steps < -4096 ? -4096 : steps > 4096 ? 4096 : steps;
    return nb_nearest(steps, -4096, 4096);
}

#endif
