/* Rows of weights as they came from the files -> rows of the tensors that the GGUF has of them. */
#ifndef NB_ROWS_H
#define NB_ROWS_H

#include "../quant/quantize_neighbours.h"
#include "plan.h"

/* Memory that is used again and again. */
typedef struct nb_room {
    void *bytes; /* owned */
    size_t capacity;
} nb_room;

typedef struct nb_rows {
    const nb_plan *plan;
    nb_grids grids;
    nb_room output;  /* rows that were made */
    nb_room weights; /* floats of a row */
} nb_rows;

void nb_rows_free(nb_rows *r);

/* Room for so many bytes of rows; what was there is lost. NULL: there is no memory, or an int32_t could not count
 * them. */
uint8_t *nb_rows_output(nb_rows *r, uint64_t bytes);

static inline uint64_t nb_rows_of(const nb_tensor_info *t) {
    return t->shape[1] * t->shape[2] * t->shape[3];
}

/* Rows whose numbers stay in their places: n rows of a target's only source at `in` become the target's rows
 * [row, row + n). */
int32_t nb_rows_change(nb_rows *r, uint32_t target, uint64_t row, const uint8_t *in, size_t n, uint8_t *out,
                       nb_error *err);

/* An error if a number is not finite among the bytes of a target's only source. They are whole blocks and begin with
 * weight `first`. */
int32_t nb_rows_check(const nb_rows *r, uint32_t target, uint64_t first, const uint8_t *in, size_t bytes,
                      nb_error *err);

/* Rows whose numbers are arranged anew (arrangement.h): makes the target's rows [row, row + n). All its sources are
 * there. */
int32_t nb_rows_arrange(nb_rows *r, uint32_t target, uint64_t row, uint64_t n, uint8_t *out, nb_error *err);

/* Whether the scales of the target's blocks are quantized, too. That needs all its rows at once; nb_rows_finish does
 * it. */
bool nb_rows_wait(const nb_rows *r, uint32_t target);
void nb_rows_finish(const nb_rows *r, uint32_t target, uint8_t *blocks);

#endif
