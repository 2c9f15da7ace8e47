/* Encodes rounded weights as blocks of their type of GGUF, which mean exactly the same numbers. */
#include "trainer.h"
#include "weight_rounding.h"

#include "../types/code_layout.h"
#include "../types/traits.h"
#include "block_scales.h"

static const nb_weight_grid *grid_of(const nb_trainer *t, uint32_t index) {
    const nb_weight_grid *grid = index < t->n_tensors ? &t->grids[index] : NULL;
    return grid && grid->method != NB_TRAIN_PLAIN && grid->type != NB_TYPE_F32 ? grid : NULL;
}

uint32_t nb_trainer_export_type(const nb_trainer *t, uint32_t index) {
    const nb_weight_grid *grid = grid_of(t, index);
    return grid ? grid->type : NB_TYPE_F32;
}

double nb_trainer_export_bytes(const nb_trainer *t, uint32_t index) {
    const nb_traits *traits = nb_traits_of(nb_trainer_export_type(t, index));
    if (index >= t->n_tensors)
        return 0;
    return (double)t->tensors[index].rows * t->tensors[index].columns / traits->block_weights * traits->block_bytes;
}

typedef struct job {
    const nb_derivation *d;
    const nb_weight_grid *grid;
    const nb_traits *traits;
    const nb_code_layout *layout;
    uint8_t *out;
} job;

/* The scales in the order of block_scales.h: d, m, codes of scales, codes of minima. */
static void put_scales(const job *j, const nb_group_step *steps, uint8_t *block) {
    const nb_scale_layout *layout = nb_scale_layout_of(j->grid->type);
    float values[NB_MOST_SCALES], *at = values;
    *at++ = steps->d;
    if (layout->halves == 2)
        *at++ = (float)-layout->sign * steps->m; /* W = s q - z, but types with sign 1 add m */
    for (uint32_t g = 0; g < layout->groups; g++)
        *at++ = (float)steps[g].scale;
    for (uint32_t g = 0; g < layout->groups && layout->halves == 2; g++)
        *at++ = (float)steps[g].minimum;
    nb_scales_write(j->grid->type, values, block);
}

static void put_block(const job *j, const nb_group_step *steps, const float *w, uint8_t *block) {
    uint32_t n = j->traits->block_weights, group = n / j->grid->in_superblock;
    memset(block, 0, j->traits->block_bytes);
    for (uint32_t i = 0; i < n; i++) {
        float q = nb_grid_nearest(j->grid, nb_grid_place(&steps[i / group], w[i]));
        nb_put_code(j->layout, i, (uint32_t)((int32_t)q + nb_scale_layout_of(j->grid->type)->zero), block);
    }
    put_scales(j, steps, block);
}

static void export_row(void *context, uint64_t row, uint64_t rows, int32_t thread) {
    (void)rows, (void)thread;
    const job *j = context;
    uint32_t n = j->traits->block_weights, blocks = j->d->columns / n;
    uint32_t superblock = j->grid->group ? j->grid->group * j->grid->in_superblock : j->d->columns;
    const float *w = j->d->master + row * j->d->columns;
    uint8_t *out = j->out + row * blocks * j->traits->block_bytes;
    for (uint32_t i = 0; i < blocks; i++, w += n, out += j->traits->block_bytes) {
        nb_group_step steps[NB_MOST_GROUPS];
        nb_weight_rounding_steps(j->d, (uint32_t)row, i * n / superblock, steps);
        put_block(j, steps, w, out);
    }
}

int32_t nb_trainer_export(nb_trainer *t, uint32_t index, void *out, nb_error *err) {
    const nb_weight_grid *grid = grid_of(t, index);
    if (!grid)
        return NB_FAIL(err, NB_ERR_STATE, "tensor %u is not rounded for a type of GGUF, so no blocks hold it", index);
    NB_TRY(nb_trainer_check_finite(t, index, err));
    const nb_derivation *d = &t->derivations[index];
    job j = {d, grid, nb_traits_of(grid->type), nb_code_layout_of(grid->type), out};
    nb_trainer_rounded(t, index); /* updates the steps that follow from weights */
    nb_parallel(t->pass.pool, d->rows, false, export_row, &j);
    return NB_OK;
}
