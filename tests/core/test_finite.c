/* Numbers that are not finite, of weights that are or are not: nothing breaks. */
#include "../../src/models/session.h"
#include "check.h"
#include "load.h"

#include <math.h>

enum { TOKENS = 40, CONTEXT = 64 };

static uint8_t *file;
static size_t file_size;

static void open_file(const char *path) {
    nb_free(file);
    file = test_read_all(path, &file_size);
}

static nb_model *load(nb_error *err) {
    return test_load(file, file_size, (double)file_size, 100000, err);
}


/* Every element of a vector of F32 becomes x. */
static void fill_vector(const char *name, float x) {
    nb_error err;
    nb_model *m = load(&err);
    const nb_tensor_info *t = nb_checkpoint_find_tensor(&m->checkpoint, name);
    for (uint64_t i = 0; i < t->shape[0]; i++)
        memcpy(file + t->at + 4 * i, &x, 4);
    nb_model_free(m);
}

/* Scores of experts that overflow: of a sum of infinities, and of differences of them. */
static void check_experts(float norm) {
    nb_error err = {0};
    open_file("tests/fixtures/models/qwen2moe.gguf");
    fill_vector("blk.0.ffn_norm.weight", norm);
    fill_vector("blk.1.ffn_norm.weight", norm);
    nb_model *m = load(&err);
    if (!CHECK(m, "%s", err.message))
        return;
    int32_t tokens[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++)
        tokens[i] = 2 + i;
    nb_pool *pool = test_pool_new(2);
    for (uint32_t batch = 1; batch <= TOKENS; batch += TOKENS - 1) {
        nb_session *s = nb_session_new(m, pool, CONTEXT, batch, NB_TYPE_F32, NB_PRECISION_EXACT, &err);
        for (int32_t held = 0; held >= 0 && held < TOKENS;)
            held = nb_session_advance(s, tokens, TOKENS, NB_LOGITS_LAST, &err);
        for (uint32_t t = 0; t < batch; t++)
            for (uint32_t i = 0; i < m->shape.experts_used; i++)
                for (uint32_t k = 0; k < i; k++)
                    CHECK(s->choices[t * m->shape.experts_used + i].index != s->choices[t * m->shape.experts_used + k].index,
                          "norm %g, token %u: choices %u and %u are one expert", (double)norm, t, k, i);
        nb_session_free(s);
    }
    test_pool_free(pool);
    nb_model_free(m);
}

void test_finite(void) {
    check_experts(1e20f);
    check_experts(3e38f);
    check_experts(-3e38f);
    nb_free(file);
    file = NULL;
}
