/* The wider search for IQ2 and IQ3. Starting from an encoding of a superblock, it changes the groups' scales and
 * entries, and the superblock's d, as long as the error shrinks. It computes weights exactly as a reader does;
 * llama.cpp's search takes all magnitudes for odd numbers, which some are not. */
#include "quantize_best.h"
#include "quantize_grid.h"

#pragma STDC FP_CONTRACT OFF

enum { ROUNDS = 4 };

typedef struct superblock {
    const nb_grid_search *s;
    const nb_neighbours *nb;
    const float *x;
    const float *importance; /* NULL: all 1 */
    const uint8_t *signs;
    float scale; /* for which costs are computed */
} superblock;

static float importance_of(const superblock *b, int i) {
    return b->importance ? b->importance[i] : 1;
}

static float without_sign(const superblock *b, int i) {
    return b->signs[i / 8] >> i % 8 & 1 ? -b->x[i] : b->x[i];
}

static void fill_costs(const void *context, int first, float cost[NB_GRID_WIDTH][NB_GRID_NUMBERS]) {
    const superblock *b = context;
    for (int i = 0; i < b->nb->width; i++)
        for (int k = 0; k < b->nb->magnitudes; k++) {
            float off = b->scale * b->s->magnitudes[k] - without_sign(b, first + i);
            cost[i][k] = importance_of(b, first + i) * off * off;
        }
}

/* The entry for the point that begins at weight `first`. */
static uint16_t look_up(const superblock *b, int first) {
    uint8_t point[NB_GRID_WIDTH];
    bool is_entry;
    for (int i = 0; i < b->nb->width; i++) {
        float x = 2 * without_sign(b, first + i);
        point[i] = 0;
        for (int k = 0; k + 1 < b->nb->magnitudes; k++)
            point[i] += x > b->scale * (b->s->magnitudes[k] + b->s->magnitudes[k + 1]);
    }
    return (uint16_t)nb_grid_entry(b->nb, point, &is_entry, fill_costs, b, first);
}

static float magnitude_at(const superblock *b, const uint16_t *entries, int i) {
    return b->s->magnitudes[nb_grid_number(b->nb, entries[i / b->nb->width], i % b->nb->width)];
}

/* The error of the weights [first, first + n). */
static float error_of(const superblock *b, const uint16_t *entries, float scale, int first, int n) {
    float error = 0;
    for (int i = first; i < first + n; i++) {
        float off = scale * magnitude_at(b, entries, i) - without_sign(b, i);
        error += importance_of(b, i) * off * off;
    }
    return error;
}

static float scale_of(const nb_grid_block *block, int group) {
    return nb_f16_to_f32(block->d) * (float)(2 * block->scales[group] + 1);
}

static float error_of_all(const superblock *b, const nb_grid_block *block) {
    float error = 0;
    for (int at = 0; at < NB_SUPERBLOCK; at += b->s->group)
        error += error_of(b, block->entries, scale_of(block, at / b->s->group), at, b->s->group);
    return error;
}

/* Tries scales one step lower and higher for a group, with the entries that fit each best. */
static void improve_group(superblock *b, nb_grid_block *block, int group) {
    int first = group * b->s->group, points = b->s->group / b->nb->width, code = block->scales[group];
    uint16_t *entries = block->entries + first / b->nb->width;
    float least = error_of(b, block->entries, scale_of(block, group), first, b->s->group);
    for (int next = NB_MAX(0, code - 1); next <= NB_MIN(15, code + 1); next++) {
        nb_grid_block tried = *block;
        tried.scales[group] = (uint8_t)next;
        b->scale = scale_of(&tried, group);
        for (int k = 0; k < points; k++)
            tried.entries[first / b->nb->width + k] = look_up(b, first + b->nb->width * k);
        float error = error_of(b, tried.entries, b->scale, first, b->s->group);
        if (error < least) {
            least = error;
            block->scales[group] = (uint8_t)next;
            memcpy(entries, tried.entries + first / b->nb->width, (size_t)points * sizeof *entries);
        }
    }
}

/* d by linear regression, for the current entries. */
static void fit(const superblock *b, nb_grid_block *block) {
    float xq = 0, qq = 0;
    for (int i = 0; i < NB_SUPERBLOCK; i++) {
        float q = magnitude_at(b, block->entries, i) * (float)(2 * block->scales[i / b->s->group] + 1);
        xq += importance_of(b, i) * q * without_sign(b, i);
        qq += importance_of(b, i) * q * q;
    }
    if (xq > 0 && qq > 0)
        block->d = nb_f32_to_f16(xq / qq);
}

static float improve(superblock *b, nb_grid_block *block) {
    float least = error_of_all(b, block);
    for (int round = 0; round < ROUNDS; round++) {
        nb_grid_block next = *block;
        fit(b, &next);
        for (int group = 0; group < NB_SUPERBLOCK / b->s->group; group++)
            improve_group(b, &next, group);
        float error = error_of_all(b, &next);
        if (!(error < least))
            break;
        least = error;
        *block = next;
    }
    return least;
}

static void correct_shrinkage(const superblock *b, float error, float gained, nb_grid_block *block) {
    float xx = 0, xw = 0, ww = 0;
    for (int i = 0; i < NB_SUPERBLOCK; i++) {
        float x = without_sign(b, i), w = scale_of(block, i / b->s->group) * magnitude_at(b, block->entries, i);
        xx += importance_of(b, i) * x * x;
        xw += importance_of(b, i) * x * w;
        ww += importance_of(b, i) * w * w;
    }
    uint16_t before = block->d;
    block->d = nb_f32_to_f16(nb_f16_to_f32(before) * nb_shrinkage_correction(xx, xw, ww, gained));
    if (error_of_all(b, block) > error + 0.75f * gained)
        block->d = before;
}

void nb_improve_grid(const nb_grid_search *s, const nb_encoding *how, size_t at, const float *x, nb_grid_block *block,
                     nb_grid_block *other) {
    superblock b = {s, how->neighbours, x, how->importance ? how->importance + at : NULL, block->signs, 0};
    superblock second = b;
    second.signs = other->signs;
    float before = error_of_all(&b, block), error = improve(&b, block), others = improve(&second, other);
    if (others < error)
        *block = *other;
    error = NB_MIN(error, others);
    correct_shrinkage(&b, error, before - error, block);
}
