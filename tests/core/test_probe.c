/* Probes: the divergence after a tensor is replaced equals that between two whole models, and is 0 after it is
 * restored. For encoders it is 1 - cosine of embeddings. */
#include "../../src/models/session.h"
#include "../../src/models/weights.h"
#include "../../src/quant/quantize.h"
#include "../../src/types/traits.h"
#include "walks.h"

#include <math.h>

static void run(nb_probe *p, uint32_t what, double *sum) {
    nb_error err = {0};
    *sum = 0;
    for (int32_t done = 0; done < TOKENS;) {
        done = nb_probe_run(p, what, done, sum, &err);
        if (!CHECK(done > 0, "%s", err.message))
            return;
    }
}

/* The sum over all windows of tokens * (1 - cosine of the embeddings by nb_session_embed). */
static double compare_embeddings(const whole *all, nb_session *a, nb_session *b) {
    enum { MOST = 64 };
    nb_error err = {0};
    float x[MOST], y[MOST];
    uint32_t size = all->model->embedding_steps.size;
    double sum = 0;
    for (int32_t window = 0; CHECK(size <= MOST, "%u", size) && window < WINDOWS; window++) {
        const int32_t *tokens = all->tokens + window * WINDOW;
        double dot = 0, of_x = 0, of_y = 0;
        CHECK(nb_session_embed(a, tokens, WINDOW, 0, 0, 0, NB_POOLING_FILE, x, &err) == WINDOW, "%s", err.message);
        CHECK(nb_session_embed(b, tokens, WINDOW, 0, 0, 0, NB_POOLING_FILE, y, &err) == WINDOW, "%s", err.message);
        for (uint32_t i = 0; i < size; i++) {
            dot += (double)x[i] * (double)y[i];
            of_x += (double)x[i] * (double)x[i];
            of_y += (double)y[i] * (double)y[i];
        }
        sum += WINDOW * (1 - dot / sqrt(of_x * of_y));
    }
    return sum;
}

/* The divergence by nb_session_score and nb_session_compare, of `other` from the original model. */
static double compare_logits(const whole *all, nb_session *a, nb_session *b) {
    enum { MOST = 16 };
    nb_error err = {0};
    static float scores[WINDOW];
    double sum = 0;
    for (int32_t window = 0; window < WINDOWS; window++) {
        const int32_t *tokens = all->tokens + window * WINDOW;
        nb_session_score(a, tokens, WINDOW, 0, 1, scores, &err);
        nb_session_score(b, tokens, WINDOW, 0, 1, scores, &err);
        for (int32_t first = 0, some; first < WINDOW; first += some) {
            double numbers[MOST * NB_COMPARED_NUMBERS];
            int32_t given;
            some = nb_session_project(a, first, WINDOW - first, &err);
            if (!CHECK(some > 0 && some <= MOST, "%s", err.message))
                break;
            const float *base = nb_session_logits(a, &given);
            CHECK(nb_session_compare(b, first, some, base, tokens + first, numbers, &err) == some, "%s", err.message);
            for (int32_t i = 0; i < some; i++)
                sum += numbers[i * NB_COMPARED_NUMBERS + NB_COMPARED_DIVERGENCE];
        }
    }
    return sum;
}

static double compare_whole(const whole *all, const nb_model *other) {
    nb_error err = {0};
    nb_session *a = nb_session_new(all->model, NULL, WINDOW, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    nb_session *b = nb_session_new(other, NULL, WINDOW, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    if (!CHECK(a && b, "%s", err.message))
        return NAN;
    double sum = all->model->shape.encoder ? compare_embeddings(all, a, b) : compare_logits(all, a, b);
    nb_session_free(a);
    nb_session_free(b);
    return sum;
}

/* The tensor's weights, encoded as Q4_0. */
static uint8_t *as_q4_0(const whole *all, uint64_t tensor, const uint8_t **own, size_t *size, size_t *own_size) {
    const nb_tensor_info *info = &all->model->checkpoint.tensors[tensor];
    uint64_t n = info->shape[0] * info->shape[1] * info->shape[2] * info->shape[3];
    *own = all->file + info->at;
    *own_size = (size_t)info->bytes;
    *size = (size_t)(n / 32) * nb_traits_of(NB_TYPE_Q4_0)->block_bytes;
    float *values = nb_alloc((size_t)n * sizeof *values);
    uint8_t *blocks = nb_alloc(*size);
    nb_vector_fill(info->type, *own, *own_size, values, (size_t)n, NULL);
    nb_quantizer_of(NB_TYPE_Q4_0)(&(nb_encoding){0}, values, blocks, (size_t)n);
    nb_free(values);
    return blocks;
}

static void check_tensor(const whole *all, nb_probe *p, nb_model *other, uint64_t tensor, uint32_t layer) {
    nb_error err = {0};
    const nb_tensor_info *info = &all->model->checkpoint.tensors[tensor];
    nb_text name = name_of(all->model, tensor);
    uint32_t what = layer == NB_NO_LAYER ? NB_PROBE_WHOLE : NB_PROBE_REST;
    size_t size, own_size;
    const uint8_t *own;
    uint8_t *blocks = as_q4_0(all, tensor, &own, &size, &own_size);
    double sum = 0, back = 1;
    CHECK(nb_probe_replace(p, name.data, name.size, NB_TYPE_Q4_0, blocks, size, &err) == NB_OK, "%s", err.message);
    CHECK(nb_model_replace(other, layer, name, NB_TYPE_Q4_0, blocks, size, &err) == NB_OK, "%s", err.message);
    run(p, what, &sum);
    CHECK(nb_probe_replace(p, name.data, name.size, info->type, own, own_size, &err) == NB_OK, "%s", err.message);
    run(p, what, &back);
    double want = compare_whole(all, other);
    CHECK(want > 0 && fabs(sum - want) <= 1e-9 * want, "%s: %t makes a divergence of %g, not %g", all->path, name, sum,
          want);
    CHECK(back == 0, "%s: %t makes a divergence of %g when it is back", all->path, name, back);
    CHECK(nb_model_replace(other, layer, name, info->type, own, own_size, &err) == NB_OK, "%s", err.message);
    nb_free(blocks);
}

/* Whether it can be replaced by Q4_0: its rows must be whole blocks, and it must not come after pooling
 * (dense_2.weight). */
static bool is_matrix(nb_text name, const nb_tensor_info *info) {
    return info->n_dimensions >= 2 && info->shape[0] % 32 == 0 && !nb_text_take(&name, "dense_");
}

/* Every matrix whose rows are whole blocks, in the probe's order. */
static void check_model(const char *path) {
    whole all, probed, other;
    nb_error err = {0};
    double sum = 0;
    uint32_t tested = 0;
    if (!open_whole(&all, path) || !open_whole(&probed, path) || !open_whole(&other, path))
        return;
    nb_probe *p = nb_probe_new(probed.model, NULL, all.tokens, WINDOWS, WINDOW, &err);
    if (!CHECK(p, "%s: %s", path, err.message))
        return;
    run(p, NB_PROBE_BASE, &sum);
    const nb_checkpoint *c = &all.model->checkpoint;
    for (int32_t layer = -1; layer < (int32_t)all.model->shape.layers; layer++) {
        for (uint64_t i = 0; i < c->n_tensors; i++) {
            nb_text rest = name_of(all.model, i);
            uint32_t number = NB_NO_LAYER;
            bool inside = nb_text_take(&rest, "blk.") && nb_text_take_number(&rest, &number);
            if ((inside ? (int32_t)number : -1) != layer || !is_matrix(name_of(all.model, i), &c->tensors[i]))
                continue;
            check_tensor(&all, p, other.model, i, number);
            tested++;
        }
        if (layer >= 0)
            run(p, NB_PROBE_NEXT, &sum);
    }
    CHECK(tested >= 8, "%s: only %u matrices were tested", path, tested);
    CHECK(nb_probe_run(p, NB_PROBE_REST, 0, &sum, &err) == NB_ERR_STATE, "no layer is left");
    nb_probe_free(p);
    close_whole(&all);
    close_whole(&probed);
    close_whole(&other);
}

static void check_refusals(void) {
    whole all;
    nb_error err = {0};
    double sum = 0;
    if (!open_whole(&all, "tests/fixtures/models/gemma2.gguf"))
        return;
    int32_t tokens[TOKENS];
    memcpy(tokens, all.tokens, sizeof tokens);
    CHECK(!nb_probe_new(all.model, NULL, tokens, 0, WINDOW, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    tokens[3] = -1;
    CHECK(!nb_probe_new(all.model, NULL, tokens, WINDOWS, WINDOW, &err) && err.code == NB_ERR_ARGUMENT, "%s",
          err.message);
    nb_probe *p = nb_probe_new(all.model, NULL, all.tokens, WINDOWS, WINDOW, &err);
    if (!CHECK(p, "%s", err.message))
        return;
    CHECK(nb_probe_run(p, NB_PROBE_REST, 0, &sum, &err) == NB_ERR_STATE, "there is no base");
    int32_t done = nb_probe_run(p, NB_PROBE_BASE, 0, &sum, &err);
    CHECK(done == WINDOW, "%d", done);
    CHECK(nb_probe_run(p, NB_PROBE_BASE, done + 1, &sum, &err) == NB_ERR_STATE, "another number");
    run(p, NB_PROBE_BASE, &sum);
    CHECK(nb_probe_run(p, NB_PROBE_BASE, 0, &sum, &err) == NB_ERR_STATE, "the base is there");
    CHECK(nb_probe_run(p, 9, 0, &sum, &err) == NB_ERR_STATE, "there is nothing of that number");
    CHECK(nb_probe_run(p, NB_PROBE_NEXT, 0, &sum, &err) == WINDOW, "%s", err.message);
    CHECK(nb_probe_run(p, NB_PROBE_REST, 0, &sum, &err) == NB_ERR_STATE, "half the tokens have passed the layer");
    const char *names[] = {"output.weight", "blk.1.attn_q.weight", "nothing.weight"};
    for (int i = 0; i < 3; i++)
        CHECK(nb_probe_replace(p, names[i], nb_length(names[i]), NB_TYPE_F32, all.file, 4, &err) == NB_ERR_ARGUMENT,
              "%s: %s", names[i], err.message);
    nb_probe_free(p);
    nb_probe_free(NULL);
    close_whole(&all);
}

void test_probe(void) {
    check_model("tests/fixtures/models/gemma2.gguf");
    check_model("tests/fixtures/models/separate-output.gguf");
    check_model("tests/fixtures/models/mixtral.gguf");
    check_model("tests/fixtures/models/phi3.gguf");
    check_model("tests/fixtures/encoders/bert.gguf");
    check_model("tests/fixtures/encoders/nomic-bert.gguf");
    check_model("tests/fixtures/encoders/gemma-embedding.gguf");
    check_refusals();
}
