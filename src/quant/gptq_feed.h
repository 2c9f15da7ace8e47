/* GPTQ's error feedback through rows of weights, for scales of any kind: of GGUF's blocks (gptq_blocks.c) or of groups
 * in folders (gptq_codes.c). */
#ifndef NB_GPTQ_FEED_H
#define NB_GPTQ_FEED_H

#include "hessian.h"
#include "quantize_search.h"

/* The numbers that the codes of some columns mean: base + step (code - origin), or step codebook[code]. */
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

    uint32_t span;    /* columns whose levels are chosen by one call: a divisor of columns, a multiple of 32 */
    uint32_t granule; /* columns that share levels, a divisor of span */
    uint32_t block;   /* columns whose spans all get their levels when the first of these columns is reached: a multiple
                           of span; 0: one span */
    bool is_upfront;  /* all levels are chosen before the first column, for the original weights */
    bool is_nearest;  /* no error is fed forward, and the Hessian need not be factored */
    bool follows_order;  /* a span is columns that follow each other in the order of quantization; else adjacent ones */
    int32_t least, most; /* codes */
    const float *codebook; /* [16]; NULL: codes are the numbers */

    /* Chooses the levels [span / granule] of a span, for its weights x [span] as corrected so far. False: the weights
     * are too large for a scale. */
    bool (*choose)(void *context, uint32_t row, uint32_t span, const float *x, nb_levels *levels);
    /* Is given the row's codes and the numbers that they mean, in the order of the matrix. */
    void (*finish)(void *context, uint32_t row, const uint8_t *codes, const float *values);
    void *context;
} nb_feed;

/* All rows; the pool's threads share them. */
int32_t nb_feed_rows(nb_feed *feed, nb_error *err);

/* x / step rounded to nearest, ties to even, within -4096 ... 4096. */
static inline int32_t nb_steps_of(float x, float step) {
    float steps = x / step;
    steps = steps < -4096 ? -4096 : steps > 4096 ? 4096 : steps;
    return nb_nearest(steps, -4096, 4096);
}

#endif
