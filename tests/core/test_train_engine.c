/* The trainer and the engine compute the same. Weights of a GGUF file are trained on a text and written back, and the
 * engine's losses of that file equal the trainer's. */
#include "check.h"
#include "load.h"

#include "../../src/base/memory.h"
#include "../../src/models/model.h"
#include "../../src/nibble_train.h"
#include "../../src/types/types.h"

#include <math.h>

enum { LENGTH = 48, STEPS = 20 };

static nb_train_shape shape_of(const nb_model *model) {
    const nb_shape *s = &model->shape;
    return (nb_train_shape){
        .vocabulary = s->vocabulary,
        .width = s->width,
        .layers = s->layers,
        .heads = s->heads,
        .kv_heads = s->kv_heads,
        .head_size = s->head_size,
        .hidden = s->feed_forward,
        .is_tied = !nb_checkpoint_find_tensor(&model->checkpoint, "output.weight"),
        .is_interleaved = s->ropes[0].interleaved,
        .rope_base = s->ropes[0].base,
        .epsilon = s->norm_epsilon,
    };
}

/* Copies the file's weights to the trainer, or back. */
static void copy_weights(const nb_model *model, nb_trainer *t, uint8_t *file, bool back) {
    CHECK(nb_trainer_tensors(t) == model->checkpoint.n_tensors, "%u tensors, %u in the file", nb_trainer_tensors(t),
          (uint32_t)model->checkpoint.n_tensors);
    for (uint32_t i = 0; i < nb_trainer_tensors(t); i++) {
        nb_train_tensor tensor;
        CHECK(nb_trainer_tensor(t, i, &tensor) == NB_OK, "tensor %u", i);
        const nb_tensor_info *info = nb_checkpoint_find_tensor(&model->checkpoint, tensor.name);
        if (!CHECK(info && info->type == NB_TYPE_F32 && info->shape[0] == tensor.columns &&
                       info->shape[1] == tensor.rows,
                   "%s is not in the file, or of another shape", tensor.name))
            continue;
        float *weights = nb_trainer_weights(t) + tensor.first;
        memcpy(back ? (void *)(file + info->at) : weights, back ? (void *)weights : file + info->at,
               (size_t)info->bytes);
    }
}

/* The mean loss of tokens 1 ... LENGTH - 1, by the engine. */
static double score(const uint8_t *file, size_t size, const int32_t *tokens) {
    nb_error err = {0};
    float scores[LENGTH];
    double sum = 0;
    nb_model *model = test_load(file, size, (double)size, 0, &err);
    nb_session *s = model ? nb_session_new(model, NULL, LENGTH, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err) : NULL;
    if (CHECK(s, "%s", err.message) &&
        CHECK(nb_session_score(s, tokens, LENGTH, 0, 1, scores, &err) == LENGTH, "%s", err.message))
        for (int i = 1; i < LENGTH; i++)
            sum += (double)scores[i];
    nb_session_free(s);
    nb_model_free(model);
    return sum / (LENGTH - 1);
}

static double mean_loss(nb_trainer *t, const int32_t *tokens, const int32_t *targets) {
    nb_error err = {0};
    double loss = 0;
    int32_t n = nb_trainer_evaluate(t, tokens, targets, NULL, 1, LENGTH, &loss, &err);
    CHECK(n == LENGTH - 1, "%d: %s", n, err.message);
    return loss / (LENGTH - 1);
}

static void check_file(const char *path) {
    static const nb_train_optimizer optimizer = {.rate = 0.01f,
                                                 .last_rate = 0.001f,
                                                 .warmup = 2,
                                                 .steps = STEPS,
                                                 .beta1 = 0.9f,
                                                 .beta2 = 0.95f,
                                                 .epsilon = 1e-8f,
                                                 .decay = 0.1f,
                                                 .clip = 1};
    nb_error err = {0};
    int32_t tokens[LENGTH], targets[LENGTH];
    char text[600];
    size_t size;
    uint8_t *file = test_read_all(path, &size);
    nb_model *model = test_load(file, size, (double)size, 0, &err);
    nb_train_shape shape = model ? shape_of(model) : (nb_train_shape){0};
    nb_trainer *t = model ? nb_trainer_new(NULL, &shape, 1, LENGTH, 1, &err) : NULL;
    if (!CHECK(t, "%s: %s", path, err.message))
        return;
    CHECK(test_read("LICENSE", text, sizeof text) > sizeof text, "LICENSE is too short");
    CHECK(nb_tokenize(model, text, sizeof text, NB_TOKENIZE_BARE, tokens, LENGTH, &err) > LENGTH, "%s", err.message);
    for (int i = 0; i < LENGTH; i++)
        targets[i] = i + 1 < LENGTH ? tokens[i + 1] : -1;
    copy_weights(model, t, file, false);
    CHECK(nb_trainer_set_optimizer(t, &optimizer, &err) == NB_OK, "%s", err.message);
    double first = mean_loss(t, tokens, targets), by_engine = score(file, size, tokens), loss, norm;
    CHECK(fabs(first / by_engine - 1) < 1e-5, "%s: the loss is %g, in the engine %g", path, first, by_engine);
    for (int i = 0; i < STEPS; i++) {
        CHECK(nb_trainer_accumulate(t, tokens, targets, NULL, 1, LENGTH, &loss, &err) > 0, "%s", err.message);
        CHECK(nb_trainer_step(t, &norm, &err) == NB_OK, "%s", err.message);
    }
    copy_weights(model, t, file, true);
    double last = mean_loss(t, tokens, targets);
    by_engine = score(file, size, tokens);
    CHECK(last < 0.7 * first, "%s: the loss was %g, and is %g after %d steps", path, first, last, (int32_t)STEPS);
    CHECK(fabs(last / by_engine - 1) < 1e-5, "%s, trained: the loss is %g, in the engine %g", path, last, by_engine);
    nb_trainer_free(t);
    nb_model_free(model);
    nb_free(file);
}

void test_train_engine(void) {
    check_file("tests/fixtures/models/separate-output.gguf");
    check_file("tests/fixtures/models/rope-base.gguf");
    check_file("tests/fixtures/models/one-kv-head.gguf");
}
