/* libFuzzer target of trainers that round weights, or tune the scales of blocks (nibble_train.h): with any shape,
 * settings, weights, blocks and tokens a call succeeds, or returns an error with a message. The input is that of
 * choices.h. */
#include "trained.h"

enum { LENGTH = 4, STEPS = 2, MOST_TENSORS = 1 + 2 * 9 + 2 };

static const uint32_t TYPES[] = {8, 2, 3, 6, 7, 35, 42, 10, 11, 12, 13, 14, 20, 23, 0, 0};

/* ---- what both kinds of trainers do ------------------------------------------------------------------------------ */

static void fill_weights(input *in, nb_trainer *t) {
    float *weights = nb_trainer_weights(t), scale = choice(in, 3) & 128 ? 1e30f : 1.0f / 64;
    for (uint32_t i = 0; i < nb_trainer_floats(t); i++)
        weights[i] = scale * (float)(int8_t)byte_at(in, i);
    if (choice(in, 3) & 64)
        weights[choice(in, 4) % nb_trainer_floats(t)] = number_at(in, 0);
}

static void set_up(input *in, nb_trainer *t) {
    nb_train_optimizer o = {.rate = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-8f, .decay = 0.1f, .clip = 1};
    nb_train_loss loss = {.share = choice(in, 5) & 1 ? 1 : 0, .temperature = 1};
    if (choice(in, 5) & 2)
        fill(in, &loss, sizeof loss);
    if (choice(in, 5) & 4)
        fill(in, &o, sizeof o);
    if (choice(in, 5) & 8)
        o.rate = 1e6f;
    done(in, nb_trainer_set_loss(t, &loss, &in->err));
    done(in, nb_trainer_set_optimizer(t, &o, &in->err));
}

static void step(input *in, nb_trainer *t, const nb_train_shape *shape) {
    int32_t tokens[LENGTH], targets[LENGTH];
    float teacher[LENGTH * MOST_VOCABULARY];
    double loss = 0, norm = 0;
    for (uint32_t i = 0; i < LENGTH; i++) {
        tokens[i] = (int32_t)((byte_at(in, i) + i) % shape->vocabulary);
        targets[i] = i ? (int32_t)((byte_at(in, i) + 2 * i) % shape->vocabulary) : -1;
    }
    if (choice(in, 6) & 1)
        fill(in, tokens, sizeof tokens);
    if (choice(in, 6) & 2)
        fill(in, targets, sizeof targets);
    fill(in, teacher, sizeof teacher);
    for (uint32_t i = 0; i < LENGTH * MOST_VOCABULARY && !(choice(in, 6) & 4); i++)
        teacher[i] = (float)(i % 7);
    const float *given = choice(in, 6) & 8 ? NULL : teacher;
    if (done(in, nb_trainer_evaluate(t, tokens, targets, given, 1, LENGTH, &loss, &in->err)))
        demand(__builtin_isfinite(loss));
    if (done(in, nb_trainer_accumulate(t, tokens, targets, given, 1, LENGTH, &loss, &in->err)))
        demand(__builtin_isfinite(loss));
    if (done(in, nb_trainer_step(t, &norm, &in->err)))
        demand(__builtin_isfinite(norm) && norm >= 0);
    if (choice(in, 6) & 16) {
        float *logits = fuzz_memory(sizeof(float) * LENGTH * shape->vocabulary);
        done(in, nb_trainer_logits(t, tokens, 1, LENGTH, logits, &in->err));
        free(logits);
    }
}

/* ---- rounding ---------------------------------------------------------------------------------------------------- */

static nb_train_rounding rounding_of(const input *in, uint32_t index) {
    uint32_t b = byte_at(in, 8 * (size_t)index), c = byte_at(in, 8 * (size_t)index + 1);
    nb_train_rounding r = {
        .method = choice(in, 7) & 1 ? NB_TRAIN_ABSMEAN : NB_TRAIN_LEARNED,
        .type = TYPES[choice(in, 8) % (sizeof TYPES / sizeof *TYPES)],
        .levels = 3 + b % 254,
        .has_minima = b & 1,
        .group = choice(in, 7) & 2 ? NB_TRAIN_GROUP_ROW : NB_TRAIN_GROUP_OF_TYPE,
        .fit = c & 1,
        .rate = choice(in, 7) & 4 ? 0 : 0.1f,
    };
    if (choice(in, 7) & 8)
        r = (nb_train_rounding){b % 4,
                                c % 64,
                                b + c,
                                c % 3,
                                (int32_t)(int8_t)c * (b & 1 ? 8 : 1),
                                b % 3,
                                number_at(in, index)};
    return r;
}

static nb_train_signals signals_of(const input *in) {
    nb_train_signals s = {
        .inputs = choice(in, 9) % 6,
        .input_levels = 3 + choice(in, 10) % 254,
        .input_minima = choice(in, 10) & 1,
        .frozen = choice(in, 10) >> 6,
        .average = 0.9f,
        .rate = 0.1f,
        .gradient_bits = choice(in, 11) % 10,
        .seed = choice(in, 12),
    };
    if (choice(in, 9) & 128)
        fill(in, &s, sizeof s);
    return s;
}

/* Demands that the exported blocks of a tensor stand for its rounded weights. */
static void demand_export(input *in, nb_trainer *t, uint32_t index) {
    nb_train_tensor tensor;
    demand(nb_trainer_tensor(t, index, &tensor) == NB_OK);
    size_t n = (size_t)tensor.rows * tensor.columns;
    const nb_traits *traits = nb_traits_of(nb_trainer_export_type(t, index));
    uint8_t *blocks = fuzz_memory((size_t)nb_trainer_export_bytes(t, index));
    float *values = calloc(n, sizeof *values);
    demand(values != NULL);
    if (done(in, nb_trainer_export(t, index, blocks, &in->err))) {
        traits->dequantize(blocks, values, n);
        const float *rounded = nb_trainer_rounded(t, index);
        for (size_t i = 0; i < n; i++)
            demand(values[i] == rounded[i] || !is_number(rounded[i]));
    }
    free(values);
    free(blocks);
}

static void round_weights(input *in, const nb_train_shape *shape) {
    nb_train_rounding roundings[MOST_TENSORS] = {{0}};
    uint32_t tensors = nb_train_tensors_of(shape, &in->err);
    demand(tensors <= MOST_TENSORS);
    for (uint32_t i = 0; i < tensors; i++) {
        nb_train_tensor tensor;
        demand(nb_train_tensor_of(shape, i, &tensor, &in->err) == NB_OK);
        if (tensor.decays || choice(in, 7) & 16)
            roundings[i] = rounding_of(in, i);
    }
    nb_train_signals signals = signals_of(in);
    nb_trainer *t = nb_trainer_new_rounded(NULL, shape, roundings, choice(in, 9) & 64 ? NULL : &signals, 1, LENGTH,
                                           !(choice(in, 7) & 32), &in->err);
    if (!done(in, t ? 0 : -1))
        return;
    fill_weights(in, t);
    done(in, nb_trainer_fit_steps(t, &in->err));
    if (choice(in, 13) & 1) /* give the steps of the grids any values */
        for (uint32_t i = 0, first = 0; i < tensors; i++)
            for (uint32_t k = nb_trainer_own_of(t, i, &first); k-- > 0;)
                nb_trainer_weights(t)[first + k] = number_at(in, 3 * (size_t)k);
    set_up(in, t);
    for (uint32_t i = 0; i < STEPS; i++)
        step(in, t, shape);
    for (uint32_t i = 0; i < tensors; i++)
        demand_export(in, t, i);
    nb_trainer_free(t);
}

/* ---- tuning ------------------------------------------------------------------------------------------------------ */

/* Fills blocks with any bytes, or with bytes that make small scales. */
static void fill_blocks(input *in, nb_trainer *t, uint32_t index) {
    uint8_t *blocks = nb_trainer_blocks(t, index);
    for (uint32_t i = 0; blocks && i < nb_trainer_blocks_bytes(t, index); i++)
        blocks[i] = (uint8_t)(choice(in, 13) & 2 ? byte_at(in, i) : byte_at(in, i) & 0x33);
}

static void tune_scales(input *in, const nb_train_shape *shape) {
    nb_train_type types[MOST_TENSORS] = {{{0}, 0}};
    nb_train_tensor tensor;
    uint32_t n = nb_train_tensors_of(shape, &in->err);
    demand(n <= MOST_TENSORS);
    for (uint32_t i = 0; i < n; i++) {
        demand(nb_train_tensor_of(shape, i, &tensor, &in->err) == NB_OK);
        memcpy(types[i].name, tensor.name, sizeof tensor.name);
        types[i].type = tensor.rows == 1 ? NB_TYPE_F32 : TYPES[choice(in, 8) % (sizeof TYPES / sizeof *TYPES)];
        if (choice(in, 7) & 8)
            types[i].type = byte_at(in, i) % 64;
    }
    uint32_t given = choice(in, 7) & 64 ? n - NB_MIN(n, 1) : n;
    nb_trainer *t = nb_trainer_new_tuned(NULL, shape, types, given, 1, LENGTH, &in->err);
    if (!done(in, t ? 0 : -1))
        return;
    fill_weights(in, t);
    for (uint32_t i = 0; i < n; i++)
        fill_blocks(in, t, i);
    bool begins = done(in, nb_trainer_begin_tuning(t, &in->err));
    if (choice(in, 13) & 1)
        nb_trainer_weights(t)[choice(in, 14) * 37 % nb_trainer_floats(t)] = number_at(in, 1);
    set_up(in, t);
    for (uint32_t i = 0; i < STEPS; i++)
        step(in, t, shape);
    /* the rounded blocks can be tuned again, so all of their scales are finite */
    if (done(in, nb_trainer_round_blocks(t, &in->err)) && begins)
        demand(nb_trainer_begin_tuning(t, &in->err) == NB_OK);
    nb_trainer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in;
    if (!read_input(data, size, &in))
        return 0;
    nb_train_shape shape = shape_of(&in);
    fuzz_refuse(data[size - 1] % 32);
    if (choice(&in, 15) & 1)
        round_weights(&in, &shape);
    else
        tune_scales(&in, &shape);
    fuzz_refuse(0);
    return 0;
}
