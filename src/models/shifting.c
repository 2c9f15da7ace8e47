/* Context shift, as llama.cpp's: a part of the text is forgotten, and what follows it moves to earlier positions. Its
 * keys were rotated for the old positions, so they are rotated back by the difference. Its values stay as they are,
 * although they were computed when the model still saw the forgotten part. */
#include "../kernels/ops.h"
#include "blocks.h"
#include "family.h"
#include "pages.h"
#include "rope.h"
#include "session.h"

static uint8_t *tile_of(const nb_session *s, uint8_t *tiles, uint32_t position) {
    return tiles + s->sequence->pages[position / NB_CACHE_TILE] * s->cache.tile_bytes;
}

/* All positions from keep + drop on, of one head. */
static void shift_head(const nb_session *s, const nb_rotation *r, uint8_t *tiles, uint32_t keep, uint32_t drop) {
    float key[NB_MAX_HEAD_SIZE], value[NB_MAX_HEAD_SIZE];
    const nb_cache *c = &s->cache;
    for (uint32_t from = keep + drop; from < s->sequence->held; from++) {
        uint32_t to = from - drop;
        nb_cache_load(c, tile_of(s, tiles, from), from % NB_CACHE_TILE, key, value);
        nb_rotate(key, r->cosines, r->sines, r->rope->pairs, r->rope->interleaved);
        nb_cache_store(c, tile_of(s, tiles, to), to % NB_CACHE_TILE, key, value);
    }
}

/* The heads are divided among the threads. */
typedef struct shift {
    nb_session *s;
    uint32_t keep, drop;
} shift;

static void shift_some(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    (void)thread;
    const shift *job = context;
    nb_session *s = job->s;
    uint32_t heads = s->model->shape.kv_heads;
    nb_step p = nb_step_of(s, (uint32_t)index / heads);
    uint32_t head = (uint32_t)index % heads;
    shift_head(s, p.rotation, p.tiles + nb_cache_tile_at(&s->cache, s->n_pages, head, 0), job->keep, job->drop);
}

int32_t nb_session_shift(nb_session *s, int32_t keep, int32_t drop, nb_error *err) {
    const nb_model *m = s->model;
    if (s->walks || m->shape.bidirectional || m->positions.rows)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the cache of a %s model cannot be shifted, as its positions are learned, or its attention is "
                       "not causal; contextOverflow: 'slide' is possible",
                       m->family->name);
    if (!drop)
        return NB_OK;
    if (keep < 0 || drop < 0 || keep > (int32_t)s->sequence->held - drop)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "tokens %d to %d + %d are not all held", keep, keep, drop);
    s->logits_rows = s->scored_rows = 0;
    nb_pages_write(s, s->sequence, (uint32_t)keep, s->sequence->held);
    for (nb_rotation *r = s->rotations; r < s->rotations + NB_ROPES; r++) {
        nb_rope_angles(r->frequencies, 1, r->rope->pairs, (uint32_t)drop, 1, r->cosines, r->sines);
        nb_scale(r->sines, -1, r->rope->pairs);
    }
    nb_parallel(s->pool, (uint64_t)m->shape.layers * m->shape.kv_heads, false, shift_some,
                &(shift){s, (uint32_t)keep, (uint32_t)drop});
    memmove(s->sequence->tokens + keep, s->sequence->tokens + keep + drop,
            (s->sequence->held - (uint32_t)(keep + drop)) * sizeof *s->sequence->tokens);
    s->sequence->held -= (uint32_t)drop;
    return NB_OK;
}
