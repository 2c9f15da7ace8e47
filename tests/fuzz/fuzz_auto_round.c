/* libFuzzer target of AutoRound (nibble_train.h: nb_auto_round): with any shape, settings, weights, streams, grids and
 * blocks a call succeeds, or returns an error with a message. Losses are finite, and so are the weights that the results
 * mean, unless the caller's own blocks have the scales. The input is that of choices.h. */
#include "trained.h"

enum { TENSORS = 9 };

static const uint32_t TYPES[] = {2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 0, 0, 0, 0, 0};

static nb_auto_round_settings settings_of(const input *in) {
    nb_auto_round_settings s = {
        .windows = 1 + choice(in, 3) % 4,
        .window = 1 + (choice(in, 3) >> 2) % 4,
        .steps = 1 + choice(in, 4) % 4,
        .batch = 1 + (choice(in, 4) >> 2) % 4,
        .seed = choice(in, 5),
    };
    if (choice(in, 5) & 128) /* any of them may be 0 */
        s = (nb_auto_round_settings){byte_at(in, 0) % 4, byte_at(in, 1) % 4, byte_at(in, 2) % 4, byte_at(in, 3) % 4, 0};
    return s;
}

/* how: 128: large numbers; 64: one that may be any. */
static void fill_floats(const input *in, float *out, size_t n, uint32_t how) {
    float scale = how & 128 ? 1e30f : 1.0f / 64;
    for (size_t i = 0; i < n; i++)
        out[i] = scale * (float)(int8_t)byte_at(in, i + how);
    if (n && how & 64)
        out[byte_at(in, how) % n] = number_at(in, how);
}

static nb_auto_round_grid grid_of(const input *in, uint32_t i) {
    uint32_t b = byte_at(in, i), c = byte_at(in, i + TENSORS);
    nb_auto_round_grid g = {
        .type = TYPES[(choice(in, 8) + (choice(in, 9) & 1 ? i : 0)) % (sizeof TYPES / sizeof *TYPES)],
        .bits = 2 + choice(in, 10) % 7,
        .group = choice(in, 9) & 2 ? 0 : 32,
        .symmetric = choice(in, 9) >> 2 & 1,
        .least_zero = choice(in, 9) >> 3 & 1,
    };
    if (choice(in, 9) & 16)
        g = (nb_auto_round_grid){b % 64, c % 10, b, c % 3, b % 3};
    return g;
}

static size_t blocks_of(const nb_train_tensor *t, uint32_t type) {
    const nb_traits *traits = nb_traits_of(type);
    return (size_t)t->rows * (t->columns / traits->block_weights) * traits->block_bytes;
}

static void choose(input *in, nb_auto_round *a, uint32_t i, const nb_train_tensor *t, const nb_auto_round_grid *grid) {
    uint8_t *blocks = NULL;
    if ((nb_auto_round_takes(grid->type) == 2) != (choice(in, 9) >> 5 & 1)) {
        size_t bytes = nb_auto_round_takes(grid->type) ? blocks_of(t, grid->type) : 0;
        blocks = fuzz_memory(bytes);
        fill(in, blocks, bytes);
    }
    done(in, nb_auto_round_choose(a, i, grid, blocks, &in->err));
    free(blocks);
}

static void read_blocks(input *in, nb_auto_round *a, uint32_t i, const nb_train_tensor *t, uint32_t type) {
    uint8_t *blocks = fuzz_memory(blocks_of(t, type));
    float *values = fuzz_memory(sizeof *values * t->rows * t->columns);
    if (done(in, nb_auto_round_blocks(a, i, blocks, &in->err)) && nb_auto_round_takes(type) == 1) {
        nb_traits_of(type)->dequantize(blocks, values, (size_t)t->rows * t->columns);
        demand_numbers(values, (size_t)t->rows * t->columns);
    }
    free(values);
    free(blocks);
}

static void read_codes(input *in, nb_auto_round *a, uint32_t i, const nb_train_tensor *t, uint32_t bits) {
    size_t n = (size_t)t->rows * t->columns; /* also the most groups that there can be */
    uint8_t *codes = fuzz_memory(n), *zeros = fuzz_memory(n);
    uint16_t *scales = fuzz_memory(n * sizeof *scales);
    float *values = fuzz_memory(n * sizeof *values);
    if (done(in, nb_auto_round_codes(a, i, codes, scales, zeros, values, &in->err))) {
        demand_numbers(values, n);
        for (size_t k = 0; k < n; k++)
            demand(codes[k] < 1 << bits);
    }
    free(values);
    free(scales);
    free(zeros);
    free(codes);
}

static void round_layer(input *in, nb_auto_round *a, const nb_auto_round_settings *s, uint32_t layer) {
    nb_train_tensor tensors[TENSORS + 1];
    nb_auto_round_grid grids[TENSORS];
    uint32_t n = 0;
    for (float *w; (w = nb_auto_round_tensor(a, n, &tensors[n])); n++)
        fill_floats(in, w, (size_t)tensors[n].rows * tensors[n].columns, n == choice(in, 7) ? choice(in, 6) : n);
    demand(n == TENSORS);
    if (choice(in, 11) & 1) /* in the wrong order */
        done(in, nb_auto_round_step(a, &in->err));
    for (int32_t left = (int32_t)s->windows; left > 0;) {
        left = nb_auto_round_pass(a, &in->err);
        if (!done(in, left))
            return;
    }
    fill_floats(in, nb_auto_round_inputs(a), (size_t)s->windows * s->window * tensors[0].columns, choice(in, 12));
    for (uint32_t i = 0; i < TENSORS; i++) {
        grids[i] = grid_of(in, i + layer);
        for (uint32_t times = choice(in, 11) & 2 ? 2 : 1; times; times--)
            choose(in, a, i, &tensors[i], &grids[i]);
    }
    for (int32_t left = 1; left > 0;) {
        left = nb_auto_round_step(a, &in->err);
        if (!done(in, left))
            return;
    }
    double first = nb_auto_round_first_loss(a), least = nb_auto_round_least_loss(a);
    demand(__builtin_isfinite(first) && least >= 0 && least <= first);
    for (uint32_t i = 0; i < TENSORS; i++) {
        if (nb_auto_round_takes(grids[i].type))
            read_blocks(in, a, i, &tensors[i], grids[i].type);
        read_codes(in, a, i, &tensors[i], grids[i].bits);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in;
    if (!read_input(data, size, &in))
        return 0;
    nb_train_shape shape = shape_of(&in);
    nb_auto_round_settings settings = settings_of(&in);
    fuzz_refuse(data[size - 1] % 32);
    nb_auto_round *a = nb_auto_round_new(NULL, &shape, &settings, &in.err);
    if (done(&in, a ? 0 : -1)) {
        size_t n = (size_t)settings.windows * settings.window * shape.width;
        fill_floats(&in, nb_auto_round_exact(a), n, choice(&in, 13));
        uint32_t layers = in.columns < 256 ? 2 : 1; /* with 256 columns one layer is slow enough */
        for (uint32_t layer = 0; layer < layers; layer++)
            round_layer(&in, a, &settings, layer);
    }
    nb_auto_round_free(a);
    fuzz_refuse(0);
    return 0;
}
