/* AutoRound's results: blocks of a type of GGUF, or codes with scales and zero points. */
#include "auto_round.h"

#include "../types/code_layout.h"
#include "../types/traits.h"
#include "block_scales.h"

static int32_t find(const nb_auto_round *a, uint32_t i, bool has_type, const nb_rounded_matrix **found, nb_error *err) {
    const nb_rounded_matrix *m = i < NB_LAYER_TENSORS ? &a->matrices[i] : NULL;
    if (!m || m->rule == NB_ROUND_NOT || (m->grid.type != NB_TYPE_F32) != has_type || !a->step)
        return NB_FAIL(err, NB_ERR_STATE,
                       "tensor %u has no results of this kind: choose such a grid for it, and call nb_auto_round_step",
                       i);
    *found = m;
    return NB_OK;
}

int32_t nb_auto_round_blocks(const nb_auto_round *a, uint32_t i, void *blocks, nb_error *err) {
    const nb_rounded_matrix *m;
    NB_TRY(find(a, i, true, &m, err));
    const nb_traits *traits = nb_traits_of(m->grid.type);
    const nb_code_layout *layout = nb_code_layout_of(m->grid.type);
    size_t n = (size_t)m->rows * (m->columns / traits->block_weights), bytes = traits->block_bytes;
    uint32_t in_block = traits->block_weights / m->group;
    if (m->blocks)
        memcpy(blocks, m->blocks, n * bytes);
    else
        memset(blocks, 0, n * bytes);
    uint8_t *block = blocks;
    const uint8_t *codes = m->best_codes;
    const nb_round_levels *l = m->best_levels;
    for (size_t b = 0; b < n; b++, block += bytes, codes += traits->block_weights, l += in_block) {
        for (uint32_t k = 0; k < traits->block_weights; k++)
            nb_put_code(layout, k, codes[k], block);
        if (!m->blocks)
            nb_scales_write(m->grid.type, (float[2]){l->s, l->b}, block);
    }
    return NB_OK;
}

int32_t nb_auto_round_codes(const nb_auto_round *a, uint32_t i, uint8_t *codes, uint16_t *scales, uint8_t *zeros,
                            float *values, nb_error *err) {
    const nb_rounded_matrix *m;
    NB_TRY(find(a, i, false, &m, err));
    size_t groups = (size_t)m->rows * m->groups;
    memcpy(codes, m->best_codes, groups * m->group);
    for (size_t g = 0; g < groups; g++) {
        const nb_round_levels *l = &m->best_levels[g];
        scales[g] = nb_f32_to_f16(l->s);
        zeros[g] = (uint8_t)l->z;
        for (uint32_t k = 0; k < m->group; k++, values++)
            *values = l->s * (float)(*codes++ - l->z);
    }
    return NB_OK;
}
