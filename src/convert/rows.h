/* Turns rows of weights from the files into rows of the GGUF's tensors. */
#ifndef NB_ROWS_H
#define NB_ROWS_H

#include "../quant/quantize_neighbours.h"
#include "plan.h"

/* Memory that is reused. */
typedef struct nb_buffer {
    void *bytes; /* owned */
    size_t capacity;
} nb_buffer;

typedef struct nb_rows {
    const nb_plan *plan;
    nb_grids grids;
    nb_buffer output;  /* rows that were made */
    nb_buffer weights; /* floats of a row */
} nb_rows;

void nb_rows_free(nb_rows *r);

/* Makes room for so many bytes of rows. The content is lost. NULL: there is no memory, or more than an int32_t can
 * count. */
uint8_t *nb_rows_output(nb_rows *r, uint64_t bytes);

static inline uint64_t nb_rows_of(const nb_tensor_info *t) {
    return t->shape[1] * t->shape[2] * t->shape[3];
}

/* For rows whose numbers stay in their places: n rows at `in` of a target's only source become its rows
 * [row, row + n). */
int32_t nb_rows_convert(nb_rows *r, uint32_t target, uint64_t row, const uint8_t *in, size_t n, uint8_t *out,
                        nb_error *err);

/* Refuses a number that is not finite among these bytes of a target's only source. They are whole blocks, and begin
 * with weight `first`. */
int32_t nb_rows_check(const nb_rows *r, uint32_t target, uint64_t first, const uint8_t *in, size_t bytes,
                      nb_error *err);

/* For rows that are made from several places or sources (arrangement.h): makes the target's rows [row, row + n). All
 * its sources have arrived. */
int32_t nb_rows_assemble(nb_rows *r, uint32_t target, uint64_t row, uint64_t n, uint8_t *out, nb_error *err);

/* Whether the scales of the target's blocks are quantized, too (double_quant). nb_rows_finish does that, and needs all
 * rows of the target. */
bool nb_rows_need_all(const nb_rows *r, uint32_t target);
void nb_rows_finish(const nb_rows *r, uint32_t target, uint8_t *blocks);

#endif
