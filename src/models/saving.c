/* Saves what a session holds, and restores it: its tokens, and their keys and values. Numbers are little-endian. Each
 * piece ends with a checksum of what comes before it in the piece.
 *
 *     piece 0    saved_head
 *     piece 1    tokens [positions]
 *     others     tiles [nb_cache_tiles(positions)] of layer 0, KV head 0; of layer 0, KV head 1; ... */
#include "../base/hash.h"
#include "../base/numbers.h"
#include "adapter.h"
#include "family.h"
#include "pages.h"

enum { VERSION = 1 };

static const char MARK[8] = {'n', 'i', 'b', 'b', 'l', 'e', 'K', 'V'};

typedef struct saved_head {
    char mark[8];
    uint32_t version;
    uint32_t type;      /* of the cache */
    uint32_t positions; /* that the session holds */
    uint32_t heads;     /* KV heads of all layers */
    uint64_t tile_bytes;
    uint64_t model; /* the model's checksum */
    uint64_t sum;
} saved_head;

_Static_assert(sizeof(saved_head) == NB_SAVED_HEAD, "the head's size is public");

/* Weights, the frequencies of rotations, which also depend on the context in some models, and adapters. */
static uint64_t model_sum(nb_session *s) {
    const nb_model *m = s->model;
    if (s->model_sum)
        return nb_adapters_sum(s, s->model_sum);
    uint64_t sum = nb_checksum(0, m->vectors.base, (size_t)m->vectors.used);
    sum = nb_checksum(sum, m->matrices.base, (size_t)m->matrices.used);
    for (const nb_rotation *r = s->rotations; r < s->rotations + NB_ROPES; r++) {
        sum = nb_checksum(sum, r->frequencies, r->rope->pairs * sizeof *r->frequencies);
        sum = nb_checksum(sum, &r->magnitude, sizeof r->magnitude);
    }
    return nb_adapters_sum(s, s->model_sum = sum);
}

static uint32_t heads_of(const nb_session *s) {
    return s->model->shape.layers * s->model->shape.kv_heads;
}

/* Bytes of a piece with its checksum; 0: there are no more. */
static size_t piece_bytes(const nb_session *s, uint32_t positions, int32_t piece) {
    if (piece == 0)
        return NB_SAVED_HEAD;
    if (piece == 1)
        return positions * sizeof(int32_t) + sizeof(uint64_t);
    if ((uint32_t)piece - 2 < heads_of(s))
        return nb_cache_tiles(positions) * s->cache.tile_bytes + sizeof(uint64_t);
    return 0;
}

/* Tile i of a head of the sequence; head: counted through all layers. */
static uint8_t *tile_of(const nb_session *s, uint32_t head, uint32_t i) {
    return s->tiles + nb_cache_tile_at(&s->cache, s->n_pages, head, s->sequence->pages[i]);
}

/* The last tile may have keys and values of an earlier text behind those of this one: they become zeros. */
static void clear_rest(const nb_cache *c, uint8_t *tiles, uint32_t positions) {
    float zeros[NB_MAX_HEAD_SIZE] = {0};
    uint8_t *last = tiles + (size_t)(positions / NB_CACHE_TILE) * c->tile_bytes;
    for (uint32_t at = positions % NB_CACHE_TILE; at && at < NB_CACHE_TILE; at++)
        nb_cache_store(c, last, at, zeros, zeros);
}

static int32_t check_causal(const nb_session *s, nb_error *err) {
    if (s->walks || s->model->shape.encoder || s->model->shape.bidirectional)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a %s model is not causal: it cannot go on from a text, so there is nothing to save",
                       s->model->family->name);
    return NB_OK;
}

int32_t nb_session_save(nb_session *s, int32_t piece, uint8_t *out, nb_error *err) {
    NB_TRY(check_causal(s, err));
    size_t size = piece < 0 ? 0 : piece_bytes(s, s->sequence->held, piece), body = size - sizeof(uint64_t);
    if (!size || !out)
        return (int32_t)size;
    if (piece == 0) {
        saved_head head = {.version = VERSION,
                           .type = s->cache.type,
                           .positions = s->sequence->held,
                           .heads = heads_of(s)};
        memcpy(head.mark, MARK, sizeof MARK);
        head.tile_bytes = s->cache.tile_bytes;
        head.model = model_sum(s);
        memcpy(out, &head, sizeof head);
    } else if (piece == 1) {
        memcpy(out, s->sequence->tokens, body);
    } else {
        for (uint32_t i = 0; i < nb_cache_tiles(s->sequence->held); i++)
            memcpy(out + i * s->cache.tile_bytes, tile_of(s, (uint32_t)piece - 2, i), s->cache.tile_bytes);
        clear_rest(&s->cache, out, s->sequence->held);
    }
    uint64_t sum = nb_checksum(0, out, body);
    memcpy(out + body, &sum, sizeof sum);
    return (int32_t)size;
}

/* NB_OK if the session can take what the head announces. */
static int32_t check_head(nb_session *s, const saved_head *head, nb_error *err) {
    if (head->type != s->cache.type) {
        const char *name = nb_cache_type_name(head->type);
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "the saved bytes are of a KV cache of type %s (%u), and this one is %s: load the model with the "
                       "same kvType",
                       name ? name : "unknown", head->type, nb_cache_type_name(s->cache.type));
    }
    if (head->heads != heads_of(s) || head->tile_bytes != s->cache.tile_bytes || head->model != model_sum(s))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "the saved bytes are of another model, of this one loaded in another way, or of other adapters; "
                       "only the same weights can go on from them");
    if (head->positions > s->context)
        return NB_FAIL(err, NB_ERR_CONTEXT,
                       "the saved bytes hold %u tokens, which do not fit the context of %u; load the model with a "
                       "larger one",
                       head->positions, s->context);
    return NB_OK;
}

/* NB_OK if piece 0 begins as this version writes it. */
static int32_t check_mark(const uint8_t *bytes, size_t size, nb_error *err) {
    uint32_t version = VERSION;
    if (size < sizeof MARK || memcmp(bytes, MARK, sizeof MARK) != 0)
        return NB_FAIL(err, NB_ERR_FORMAT, "these bytes are not what nibble saves: they do not begin with nibbleKV");
    if (size >= sizeof MARK + sizeof version)
        memcpy(&version, bytes + sizeof MARK, sizeof version);
    if (version != VERSION)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the saved bytes are of format %u, and this nibble reads %u: evaluate the text again", version,
                       (uint32_t)VERSION);
    return NB_OK;
}

/* Whether a piece ends with the checksum of what comes before. */
static bool is_whole(const uint8_t *bytes, size_t size) {
    uint64_t sum;
    memcpy(&sum, bytes + size - sizeof sum, sizeof sum);
    return sum == nb_checksum(0, bytes, size - sizeof sum);
}

static int32_t begin(nb_session *s, const uint8_t *bytes, nb_error *err) {
    saved_head head;
    memcpy(&head, bytes, sizeof head);
    NB_TRY(check_head(s, &head, err));
    s->sequence->held = s->logits_rows = s->scored_rows = 0;
    s->sequence->restored = head.positions;
    nb_pages_cut(s, s->sequence, 0);
    nb_pages_write(s, s->sequence, 0, head.positions);
    return NB_OK;
}

int32_t nb_session_restore(nb_session *s, int32_t piece, const uint8_t *bytes, size_t size, nb_error *err) {
    NB_TRY(check_causal(s, err));
    if (piece < 0 || (piece && (uint32_t)piece != s->sequence->pieces))
        return NB_FAIL(err, NB_ERR_STATE, "piece %d is out of order; begin again with piece 0", piece);
    if (piece == 0)
        NB_TRY(check_mark(bytes, size, err));
    s->sequence->pieces = 0; /* if a check fails, restoring must begin again */
    if (size != piece_bytes(s, s->sequence->restored, piece) || !is_whole(bytes, size))
        return NB_FAIL(err, NB_ERR_FORMAT, "the saved bytes are damaged or incomplete; evaluate the text again");
    size_t body = size - sizeof(uint64_t);
    if (piece == 0) {
        NB_TRY(begin(s, bytes, err));
    } else if (piece == 1) {
        memcpy(s->sequence->tokens, bytes, body);
        NB_TRY(nb_session_check_tokens(s, s->sequence->tokens, 0, s->sequence->restored, err));
    } else {
        for (uint32_t i = 0; i < nb_cache_tiles(s->sequence->restored); i++)
            memcpy(tile_of(s, (uint32_t)piece - 2, i), bytes + i * s->cache.tile_bytes, s->cache.tile_bytes);
    }
    int32_t next = (int32_t)piece_bytes(s, s->sequence->restored, piece + 1);
    if (next)
        s->sequence->pieces = (uint32_t)piece + 1;
    else
        s->sequence->held = s->sequence->restored;
    return next;
}
