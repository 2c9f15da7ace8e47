/* Tuning the scales of quantized models: the blocks are exactly what was trained, codes do not change, gradients follow
 * from those of the weights by the chain rule (test_scales.c has PyTorch's), and the divergence from the teacher
 * falls. */
#include "train_inputs.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/quant/quantize.h"
#include "../../src/train/block_scales.h"
#include "../../src/train/trainer.h"
#include "../../src/types/code_layout.h"
#include "../../src/types/traits.h"

#include <math.h>

enum { SEQUENCES = 2, LENGTH = 12, N = SEQUENCES * LENGTH, VOCABULARY = 32, MATRICES = 9, TENSORS = 12, STEPS = 20 };

static const nb_train_shape shape = {.vocabulary = VOCABULARY,
                                     .width = 256,
                                     .layers = 1,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_size = 128,
                                     .hidden = 256,
                                     .is_interleaved = 1,
                                     .rope_base = 10000,
                                     .epsilon = 1e-5f};
static const nb_train_optimizer optimizer =
    {.rate = 0.01f, .last_rate = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-8f, .decay = 0.1f, .clip = 1};
static const nb_train_loss distillation = {.share = 1, .temperature = 1};

/* The matrices' types, in the trainer's order. */
static const uint32_t mixes[2][MATRICES] = {
    {NB_TYPE_Q6_K, NB_TYPE_Q2_K, NB_TYPE_Q3_K, NB_TYPE_Q4_K, NB_TYPE_Q5_K, NB_TYPE_Q4_0, NB_TYPE_Q4_1, NB_TYPE_IQ4_XS,
     NB_TYPE_Q8_0},
    {NB_TYPE_Q5_0, NB_TYPE_Q5_1, NB_TYPE_IQ4_NL, NB_TYPE_TQ2_0, NB_TYPE_F32, NB_TYPE_Q2_0, NB_TYPE_BF16, NB_TYPE_Q2_K,
     NB_TYPE_Q3_K},
};

static int32_t tokens[N], targets[N];
static float teacher[N * VOCABULARY];
static nb_train_type types[TENSORS];

static void name_of(const char *from, char *to) {
    for (uint32_t i = 0; i < sizeof types->name; i++)
        to[i] = from[i];
}

/* A teacher of random weights, and its logits. */
static nb_trainer *new_teacher(const uint32_t *mix) {
    nb_error err = {0};
    nb_trainer *t = nb_trainer_new(NULL, &shape, SEQUENCES, LENGTH, 1, &err);
    if (!CHECK(t && nb_trainer_tensors(t) == TENSORS, "%s", err.message))
        return NULL;
    uint32_t seed = 7;
    for (uint32_t i = 0, matrix = 0; i < TENSORS; i++) {
        nb_train_tensor tensor;
        nb_trainer_tensor(t, i, &tensor);
        for (uint32_t k = 0; k < tensor.rows * tensor.columns; k++)
            nb_trainer_weights(t)[tensor.first + k] = (tensor.decays ? 0.0f : 1.0f) + test_random_float(&seed) / 8;
        name_of(tensor.name, types[i].name);
        types[i].type = tensor.decays ? mix[matrix++] : NB_TYPE_F32;
    }
    for (uint32_t i = 0; i < N; i++) {
        tokens[i] = (int32_t)(test_random(&seed) % VOCABULARY);
        targets[i] = i % LENGTH + 1 < LENGTH ? 0 : -1;
    }
    CHECK(nb_trainer_logits(t, tokens, SEQUENCES, LENGTH, teacher, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_set_loss(t, &distillation, &err) == NB_OK, "%s", err.message);
    return t;
}

static uint32_t weights_of(const nb_trainer *t, uint32_t index, uint32_t *first) {
    nb_train_tensor tensor;
    nb_trainer_tensor(t, index, &tensor);
    *first = tensor.first;
    return tensor.rows * tensor.columns;
}

/* The teacher's weights, quantized. */
static nb_trainer *new_pupil(nb_pool *pool, nb_trainer *from) {
    nb_error err = {0};
    nb_trainer *t = nb_trainer_new_tuned(pool, &shape, types, TENSORS, SEQUENCES, LENGTH, &err);
    if (!CHECK(t, "%s", err.message))
        return NULL;
    for (uint32_t i = 0; i < TENSORS; i++) {
        uint32_t at, to, n = weights_of(from, i, &at);
        const float *w = nb_trainer_weights(from) + at;
        uint8_t *blocks = nb_trainer_blocks(t, i);
        weights_of(t, i, &to);
        if (!blocks)
            memcpy(nb_trainer_weights(t) + to, w, n * sizeof *w);
        else if (types[i].type == NB_TYPE_F32)
            memcpy(blocks, w, n * sizeof *w);
        else
            nb_quantizer_of(types[i].type)(&(nb_encoding){0}, w, blocks, n);
    }
    CHECK(nb_trainer_set_loss(t, &distillation, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_set_optimizer(t, &optimizer, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_begin_tuning(t, &err) == NB_OK, "%s", err.message);
    return t;
}

static double loss_of(nb_trainer *t, bool learns) {
    nb_error err = {0};
    double loss = 0;
    CHECK((learns ? nb_trainer_accumulate : nb_trainer_evaluate)(t, tokens, targets, teacher, SEQUENCES, LENGTH, &loss,
                                                                 &err) > 0,
          "%s", err.message);
    return loss;
}

static void steps(nb_trainer *t, uint32_t n) {
    nb_error err = {0};
    double norm;
    for (uint32_t i = 0; i < n; i++) {
        loss_of(t, true);
        CHECK(nb_trainer_step(t, &norm, &err) == NB_OK, "%s", err.message);
    }
}

/* Dequantizes the blocks into the weights of a plain trainer. */
static void read_file(nb_trainer *tuned, nb_trainer *plain) {
    nb_error err = {0};
    CHECK(nb_trainer_round_blocks(tuned, &err) == NB_OK, "%s", err.message);
    for (uint32_t i = 0; i < TENSORS; i++) {
        uint32_t from, to, n = weights_of(plain, i, &to);
        const uint8_t *blocks = nb_trainer_blocks(tuned, i);
        float *w = nb_trainer_weights(plain) + to;
        weights_of(tuned, i, &from);
        if (blocks)
            nb_traits_of(types[i].type)->dequantize(blocks, w, n);
        else
            memcpy(w, nb_trainer_weights(tuned) + from, n * sizeof *w);
    }
}

static uint64_t sum_of(const uint8_t *bytes, uint32_t n) { /* FNV-1a */
    uint64_t h = 0xcbf29ce484222325;
    for (uint32_t i = 0; i < n; i++)
        h = (h ^ bytes[i]) * 0x100000001b3;
    return h;
}

static uint64_t sum_of_codes(nb_trainer *t) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < TENSORS; i++) {
        const nb_code_layout *codes = nb_code_layout_of(types[i].type);
        const nb_traits *traits = nb_traits_of(types[i].type);
        uint32_t first, n = weights_of(t, i, &first);
        for (uint32_t k = 0; codes && nb_trainer_blocks(t, i) && k < n; k++)
            sum = sum * 31 + nb_code_at(codes, k % traits->block_weights,
                                        nb_trainer_blocks(t, i) + k / traits->block_weights * traits->block_bytes);
    }
    return sum;
}

static uint64_t sum_of_blocks(nb_trainer *t) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < TENSORS; i++)
        if (nb_trainer_blocks(t, i))
            sum = sum * 31 + sum_of(nb_trainer_blocks(t, i), nb_trainer_blocks_bytes(t, i));
    return sum;
}

/* Checks a tensor's gradients by the chain rule, from the gradients of weights in a plain trainer. */
static void check_gradient(nb_trainer *tuned, nb_trainer *plain, uint32_t index) {
    const nb_derivation *d = &tuned->derivations[index];
    const nb_scale_layout *layout = nb_scale_layout_of(types[index].type);
    const nb_traits *traits = nb_traits_of(types[index].type);
    uint32_t first, n = weights_of(plain, index, &first) / traits->block_weights, count = nb_scale_count(layout);
    double means[2] = {0}, worst = 0, most = 0;
    float values[NB_MOST_SCALES], want[NB_MOST_SCALES];
    for (uint32_t i = 0; i < n; i++) {
        nb_scales_read(types[index].type, nb_trainer_blocks(tuned, index) + i * traits->block_bytes, values);
        for (uint32_t k = 0; k < layout->halves; k++)
            means[k] += fabs((double)values[k]) / n;
    }
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *block = nb_trainer_blocks(tuned, index) + i * traits->block_bytes;
        nb_scales_read(types[index].type, block, values);
        nb_scales_backward(types[index].type, block, nb_trainer_gradients(plain) + first + i * traits->block_weights,
                           want);
        for (uint32_t k = 0; k < count; k++) {
            bool is_whole = k >= layout->halves, is_scale = k < (uint32_t)layout->halves + layout->groups;
            double expected = (double)want[k] * (is_whole ? (double)layout->most : means[k]);
            if (is_whole && ((values[k] == (float)layout->most && expected < 0) ||
                             (values[k] == (float)(is_scale ? layout->least : 0) && expected > 0)))
                expected = 0; /* at the range's end */
            worst = NB_MAX(worst, fabs((double)d->d_own[i * count + k] - expected));
            most = NB_MAX(most, fabs(expected));
        }
    }
    CHECK(most > 0 && worst < 1e-5 * most, "%s: gradients of scales differ by %g of %g", traits->name, worst, most);
}

static void check_mix(nb_pool *pool, const uint32_t *mix) {
    nb_trainer *plain = new_teacher(mix), *tuned = plain ? new_pupil(NULL, plain) : NULL;
    if (!plain || !tuned)
        return;
    uint64_t blocks = sum_of_blocks(tuned), codes = sum_of_codes(tuned);
    read_file(tuned, plain);
    CHECK(sum_of_blocks(tuned) == blocks, "what was read is written otherwise");
    double first = loss_of(tuned, true);
    CHECK(first > 0 && first == loss_of(plain, true), "another loss than of the file's weights");
    for (uint32_t i = 0; i < TENSORS; i++)
        if (nb_train_tunes(types[i].type))
            check_gradient(tuned, plain, i);
    nb_error err = {0};
    CHECK(nb_trainer_resume(tuned, 0, &err) == NB_OK, "%s", err.message);
    steps(tuned, STEPS);
    double last = loss_of(tuned, false);
    CHECK(last < 0.7 * first, "the divergence was %g, and is %g", first, last);
    read_file(tuned, plain);
    CHECK(last == loss_of(plain, false), "the file has another loss than what was trained");
    CHECK(sum_of_codes(tuned) == codes && sum_of_blocks(tuned) != blocks, "codes changed, or no scale did");

    /* The same bits with threads, and after stopping and resuming. */
    nb_trainer *taught = new_teacher(mix), *other = new_pupil(pool, taught), *resumed = new_pupil(pool, taught);
    if (!other || !resumed)
        return;
    steps(other, STEPS / 2);
    test_copy_arrays(resumed, other);
    CHECK(nb_trainer_resume(resumed, STEPS / 2, &err) == NB_OK, "%s", err.message);
    steps(resumed, STEPS / 2);
    CHECK(loss_of(resumed, false) == last && nb_trainer_round_blocks(resumed, &err) == NB_OK &&
              sum_of_blocks(resumed) == sum_of_blocks(tuned),
          "threads or a break change what is learned");
    nb_trainer *all[] = {plain, tuned, taught, other, resumed};
    for (int i = 0; i < 5; i++)
        nb_trainer_free(all[i]);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void refuse(nb_train_type *list, uint32_t n, const char *part) {
    nb_error err = {0};
    nb_trainer *t = nb_trainer_new_tuned(NULL, &shape, list, n, SEQUENCES, LENGTH, &err);
    CHECK(!t && test_contains(err.message, part), "%s: expected '%s'", err.message, part);
    nb_trainer_free(t);
}

static void check_refusals(void) {
    nb_error err = {0};
    nb_trainer *plain = new_teacher(mixes[0]), *tuned = new_pupil(NULL, plain);
    if (!plain || !tuned)
        return;
    refuse(types, TENSORS - 1, "no tensor output.weight");
    types[0].type = NB_TYPE_LIMIT;
    refuse(types, TENSORS, "token_embd.weight");
    CHECK(nb_trainer_begin_tuning(plain, &err) == NB_ERR_STATE && nb_trainer_round_blocks(plain, &err) == NB_ERR_STATE,
          "%s", err.message);
    CHECK(!nb_trainer_blocks(plain, 0) && !nb_trainer_blocks(tuned, TENSORS) && !nb_trainer_blocks(tuned, 1) &&
              nb_trainer_blocks_bytes(tuned, UINT32_MAX) == 0,
          "blocks that are not there");
    uint32_t own = 0;
    nb_trainer_own_of(tuned, 2, &own);
    for (uint32_t k = 0; k < 4; k++) { /* d, m, and the first integers of Q2_K */
        float *scale = nb_trainer_weights(tuned) + own + k, kept = *scale;
        double loss;
        *scale = NAN;
        CHECK(nb_trainer_evaluate(tuned, tokens, targets, teacher, SEQUENCES, LENGTH, &loss, &err) == NB_ERR_FORMAT,
              "with a scale that is NaN the loss is %g", loss);
        CHECK(nb_trainer_round_blocks(tuned, &err) == NB_ERR_FORMAT && test_contains(err.message, "attn_q.weight"),
              "%s", err.message);
        *scale = kept;
    }
    CHECK(nb_trainer_round_blocks(tuned, &err) == NB_OK, "%s", err.message);
    const uint16_t infinite = 0x7c00;
    memcpy(nb_trainer_blocks(tuned, 7) + sizeof(nb_block_q4_0) * 9, &infinite, sizeof infinite);
    types[0].type = mixes[0][0];
    CHECK(nb_trainer_begin_tuning(tuned, &err) == NB_ERR_FORMAT && test_contains(err.message, "in row 1 is not finite"),
          "%s", err.message);
    nb_trainer_free(plain);
    nb_trainer_free(tuned);
}

#ifdef NB_NATIVE
/* Each allocation fails once. */
static void check_memory(void) {
    bool reached = true;
    uint64_t nth = 0;
    while (reached) {
        nb_error err = {0};
        nb_refuse_allocation(++nth);
        nb_trainer *t = nb_trainer_new_tuned(NULL, &shape, types, TENSORS, SEQUENCES, LENGTH, &err);
        reached = nb_refuse_allocation(0) == 0;
        CHECK(reached ? !t && err.code == NB_ERR_MEMORY : t != NULL, "allocation %u: %d, %s", (uint32_t)nth, err.code,
              err.message);
        nb_trainer_free(t);
    }
    CHECK(nth == 6, "only %u allocations", (uint32_t)nth);
}
#endif

void test_tuning(void) {
    nb_pool *pool = test_pool_new(3);
    for (int i = 0; i < 2; i++)
        check_mix(pool, mixes[i]);
    check_refusals();
#ifdef NB_NATIVE
    check_memory();
#endif
    test_pool_free(pool);
}
