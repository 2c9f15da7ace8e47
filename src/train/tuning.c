/* Trainers of quantized models, whose codes stay and whose scales learn (nibble_train.h: nb_trainer_new_tuned). */
#include "trainer.h"

#include "../base/text.h"
#include "../types/traits.h"
#include "block_scales.h"

/* Context of a derivation. A parameter p means the number unit * p in the block. The unit of d and of m is their mean
 * magnitude in the tensor; that of the groups' integers is the largest one of the type. So parameters are about 1, and
 * a change of 0.001 changes weights by about a thousandth, which suits AdamW's learning rate. */
typedef struct blocks {
    uint32_t type;
    const nb_traits *traits;
    const nb_scale_layout *layout; /* NULL: nothing learns */
    uint8_t *at;
    uint64_t n, bytes;
    float units[2]; /* of d and m; 0: tuning has not begun */
} blocks;

static bool has_begun(const blocks *b) {
    return b->units[0] != 0;
}

static float unit_of(const blocks *b, uint32_t parameter) {
    return parameter < b->layout->halves ? b->units[parameter] : (float)b->layout->most;
}

/* ---- forward and backward ---------------------------------------------------------------------------------------- */

enum { BLOCKS = 64 }; /* that a thread claims at a time */

static void write_block(const blocks *b, const float *parameters, uint8_t *block) {
    float values[NB_MOST_SCALES];
    for (uint32_t i = 0; i < nb_scale_count(b->layout); i++)
        values[i] = unit_of(b, i) * parameters[i];
    nb_scales_write(b->type, values, block);
}

static void derive_piece(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const nb_derivation *d = context;
    const blocks *b = d->context;
    uint64_t first = index * BLOCKS, end = NB_MIN(b->n, first + BLOCKS);
    uint32_t weights = b->traits->block_weights, bytes = b->traits->block_bytes;
    if (b->layout && has_begun(b))
        for (uint64_t i = first; i < end; i++)
            write_block(b, d->own_at + i * nb_scale_count(b->layout), b->at + i * bytes);
    b->traits->dequantize(b->at + first * bytes, d->weights + first * weights, (size_t)(end - first) * weights);
}

static void derive(const nb_derivation *d, nb_pool *pool) {
    const blocks *b = d->context;
    nb_parallel(pool, nb_pieces(b->n, BLOCKS), false, derive_piece, (void *)d);
}

/* Whether the gradient pushes an integer at the end of its range beyond the end, from where it would hardly return. */
static bool is_beyond(const blocks *b, uint32_t parameter, float value, float gradient) {
    const nb_scale_layout *l = b->layout;
    if (parameter < l->halves)
        return false;
    float least = parameter < (uint32_t)l->halves + l->groups ? (float)l->least : 0;
    return (value >= (float)l->most && gradient < 0) || (value <= least && gradient > 0);
}

static void learn_piece(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const nb_derivation *d = context;
    const blocks *b = d->context;
    uint32_t n = nb_scale_count(b->layout);
    float gradients[NB_MOST_SCALES];
    for (uint64_t i = index * BLOCKS; i < NB_MIN(b->n, (index + 1) * BLOCKS); i++) {
        const float *own = d->own_at + i * n;
        nb_scales_backward(b->type, b->at + i * b->traits->block_bytes, d->gradient + i * b->traits->block_weights,
                           gradients);
        for (uint32_t k = 0; k < n; k++)
            if (!is_beyond(b, k, unit_of(b, k) * own[k], gradients[k]))
                d->d_own[i * n + k] += unit_of(b, k) * gradients[k];
    }
}

static void learn(const nb_derivation *d, nb_pool *pool) {
    const blocks *b = d->context;
    if (b->layout)
        nb_parallel(pool, nb_pieces(b->n, BLOCKS), false, learn_piece, (void *)d);
}

static const nb_derivation_kind of_blocks = {derive, learn};

/* ---- the trainer ------------------------------------------------------------------------------------------------- */

int32_t nb_train_tunes(uint32_t type) {
    return nb_scale_layout_of(type) != NULL;
}

static int32_t find_blocks(const nb_train_tensor *tensor, uint32_t type, blocks *b, nb_error *err) {
    const nb_traits *traits = nb_traits_of(type);
    uint64_t weights = (uint64_t)tensor->rows * tensor->columns;
    if (!traits || tensor->columns % traits->block_weights)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s has %u columns, which are not whole blocks of type %u (%s)",
                       tensor->name, tensor->columns, type, traits ? traits->name : "unknown");
    *b = (blocks){
        .type = type,
        .traits = traits,
        .layout = nb_scale_layout_of(type),
        .n = weights / traits->block_weights,
        .bytes = weights / traits->block_weights * traits->block_bytes,
    };
    if (b->bytes > UINT32_MAX || (b->layout && b->n * nb_scale_count(b->layout) > UINT32_MAX))
        return nb_memory_refuse(tensor->name, b->bytes, err);
    return NB_OK;
}

static bool is_trained_norm(const nb_train_tensor *tensor, uint32_t type) {
    return type == NB_TYPE_F32 && tensor->rows == 1;
}

typedef struct file_types {
    const nb_train_type *types;
    uint32_t n;
} file_types;

static int32_t find_type(const file_types *file, const nb_train_tensor *tensor, uint32_t *type, nb_error *err) {
    for (uint32_t i = 0; i < file->n; i++)
        if (nb_text_is(nb_text_of(tensor->name), file->types[i].name)) {
            *type = file->types[i].type;
            return NB_OK;
        }
    return NB_FAIL(err, NB_ERR_ARGUMENT, "the quantized model has no tensor %s; the file is broken", tensor->name);
}

/* Describes the blocks of all tensors. It is called twice: to measure, and with memory. */
static int32_t find_all(nb_trainer *t, const file_types *file, nb_arena *arena, nb_error *err) {
    blocks *table = nb_arena_take(arena, t->n_tensors, sizeof *table);
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        nb_derivation *d = &t->derivations[i];
        blocks b;
        uint32_t type;
        NB_TRY(find_type(file, &t->tensors[i], &type, err));
        if (is_trained_norm(&t->tensors[i], type))
            continue;
        NB_TRY(find_blocks(&t->tensors[i], type, &b, err));
        b.at = nb_arena_take(arena, b.bytes, 1);
        if (!table)
            continue;
        table[i] = b;
        d->kind = &of_blocks;
        d->context = &table[i];
        d->own = b.layout ? b.n * nb_scale_count(b.layout) : 0;
    }
    return NB_OK;
}

static int32_t choose_derivations(nb_trainer *t, const void *context, nb_error *err) {
    nb_arena arena = {0};
    NB_TRY(find_all(t, context, &arena, err));
    NB_TRY(nb_arena_allocate(&arena, "the blocks whose scales learn", err));
    t->blocks = arena;
    return find_all(t, context, &arena, err);
}

nb_trainer *nb_trainer_new_tuned(nb_pool *pool, const nb_train_shape *shape, const nb_train_type *types, uint32_t n,
                                 uint32_t sequences, uint32_t length, nb_error *err) {
    file_types file = {types, n};
    return nb_trainer_make(pool, shape, sequences, length, 1, choose_derivations, &file, err);
}

static blocks *blocks_of(const nb_trainer *t, uint32_t index) {
    bool is_tuned = t->blocks.base && index < t->n_tensors && t->derivations[index].kind == &of_blocks;
    return is_tuned ? (blocks *)t->derivations[index].context : NULL;
}

uint8_t *nb_trainer_blocks(nb_trainer *t, uint32_t index) {
    const blocks *b = blocks_of(t, index);
    return b ? b->at : NULL;
}

uint32_t nb_trainer_blocks_bytes(const nb_trainer *t, uint32_t index) {
    const blocks *b = blocks_of(t, index);
    return b ? (uint32_t)b->bytes : 0;
}

/* ---- the first parameters ---------------------------------------------------------------------------------------- */

/* If all numbers are 0, any unit will do. */
static void find_units(blocks *b, const float *values) {
    uint32_t n = nb_scale_count(b->layout);
    for (uint32_t k = 0; k < b->layout->halves; k++) {
        double sum = 0;
        for (uint64_t i = 0; i < b->n; i++)
            sum += __builtin_fabs((double)values[i * n + k]);
        b->units[k] = sum > 0 ? (float)(sum / (double)b->n) : 1;
    }
}

static int32_t begin(const nb_train_tensor *tensor, const nb_derivation *d, blocks *b, nb_error *err) {
    uint32_t n = nb_scale_count(b->layout);
    for (uint64_t i = 0; i < b->n; i++)
        if (!nb_scales_read(b->type, b->at + i * b->traits->block_bytes, d->own_at + i * n))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "%s: a scale in row %u is not finite; the file is damaged, take another one", tensor->name,
                           (uint32_t)(i * b->traits->block_weights / tensor->columns));
    find_units(b, d->own_at);
    for (uint64_t i = 0; i < b->n; i++)
        for (uint32_t k = 0; k < n; k++)
            d->own_at[i * n + k] /= unit_of(b, k);
    return NB_OK;
}

static int32_t check_tuned(const nb_trainer *t, nb_error *err) {
    return t->blocks.base ? NB_OK
                          : NB_FAIL(err, NB_ERR_STATE, "this trainer has no blocks: make it by nb_trainer_new_tuned");
}

int32_t nb_trainer_begin_tuning(nb_trainer *t, nb_error *err) {
    NB_TRY(check_tuned(t, err));
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        blocks *b = blocks_of(t, i);
        if (b && b->layout)
            NB_TRY(begin(&t->tensors[i], &t->derivations[i], b, err));
    }
    return NB_OK;
}

int32_t nb_trainer_round_blocks(nb_trainer *t, nb_error *err) {
    NB_TRY(check_tuned(t, err));
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        if (!blocks_of(t, i))
            continue;
        NB_TRY(nb_trainer_check_finite(t, i, err));
        derive(&t->derivations[i], t->pass.pool);
    }
    return NB_OK;
}
