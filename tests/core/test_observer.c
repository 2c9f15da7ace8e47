/* All products with a model's matrices go through one function, so a session's observer sees every matrix of the file,
 * with inputs of its width. */
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/models/session.h"
#include "check.h"
#include "load.h"

static const char *const paths[] = {
    "tests/fixtures/models/biases.gguf",
    "tests/fixtures/models/deepseek.gguf",
    "tests/fixtures/models/falcon.gguf",
    "tests/fixtures/models/gemma2.gguf",
    "tests/fixtures/models/gpt2.gguf",
    "tests/fixtures/models/gptneox.gguf",
    "tests/fixtures/models/head-size-merged.gguf",
    "tests/fixtures/models/mixtral.gguf",
    "tests/fixtures/models/phi2.gguf",
    "tests/fixtures/models/phi3.gguf",
    "tests/fixtures/models/qwen2moe.gguf",
    "tests/fixtures/models/separate-output.gguf",
    "tests/fixtures/models/stablelm.gguf",
    "tests/fixtures/encoders/bert.gguf",
    "tests/fixtures/encoders/nomic-bert.gguf",
    "tests/fixtures/encoders/gemma-embedding.gguf",
};

enum { MOST_TENSORS = 512, TOKENS = 40 };

typedef struct seen {
    const nb_checkpoint *c;
    uint32_t products[MOST_TENSORS];
    uint32_t wrong;
    float sum;
} seen;

static void see_one(seen *all, const nb_matrix *w, const float *x, uint32_t n) {
    const nb_tensor_info *info = w->tensor < all->c->n_tensors ? &all->c->tensors[w->tensor] : NULL;
    all->wrong +=
        !info || info->shape[0] != w->columns || w->first + w->rows > info->shape[1] * info->shape[2] || n == 0;
    if (info)
        all->products[w->tensor]++;
    for (uint32_t i = 0; i < n * w->columns; i++)
        all->sum += x[i]; /* so that a sanitizer checks the memory */
}

static bool see(void *context, const nb_matmul_job *jobs, uint32_t n_jobs, const float *x, uint32_t n) {
    for (uint32_t i = 0; i < n_jobs; i++)
        see_one(context, jobs[i].w, x, n);
    return true;
}

/* Whether a tensor is a matrix that is multiplied. Vectors are not, nor tables whose rows are looked up. */
static bool is_multiplied(nb_text name, const nb_tensor_info *info) {
    char text[128];
    nb_writer w = nb_writer_over(text, sizeof text);
    nb_write(&w, "%t", name);
    return info->n_dimensions > 1 && !test_contains(text, "norm") && !test_contains(text, "position_embd") &&
           !test_contains(text, "token_types") && !test_contains(text, "token_embd");
}

static void check_model(const char *path) {
    size_t size;
    uint8_t *file = test_read_all(path, &size);
    nb_error err = {0};
    nb_model *m = test_load(file, size, (double)size, 0, &err);
    nb_session *s = m ? nb_session_new(m, NULL, 64, 16, 25, NB_PRECISION_EXACT, 1, &err) : NULL;
    if (!CHECK(s && m->checkpoint.n_tensors <= MOST_TENSORS, "%s: %s", path, err.message))
        return;
    seen all = {.c = &m->checkpoint};
    s->observer = (nb_observer){.see = see, .context = &all};
    int32_t tokens[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++)
        tokens[i] = i * 7 % nb_model_vocabulary(m);
    float *vector = nb_alloc_items((uint64_t)NB_MAX(nb_model_width(m), nb_model_embedding_size(m)), sizeof *vector);
    for (int32_t done = 0; done >= 0 && done < TOKENS;)
        done = nb_session_embed(s, tokens, TOKENS, done, 0, 0, NB_POOLING_FILE, vector, &err);
    int32_t code = m->shape.encoder ? NB_OK : nb_session_advance(s, tokens, 1, NB_LOGITS_ALL, &err);
    CHECK(code >= 0 && all.wrong == 0, "%s: %s; %u wrong inputs", path, err.message, all.wrong);
    for (uint64_t i = 0; i < m->checkpoint.n_tensors; i++) {
        nb_text name = nb_checkpoint_tensor_name(&m->checkpoint, &m->checkpoint.tensors[i]);
        if (is_multiplied(name, &m->checkpoint.tensors[i]))
            CHECK(all.products[i] > 0, "%s: nobody saw %t multiplied", path, name);
    }
    nb_free(vector);
    nb_session_free(s);
    nb_model_free(m);
    nb_free(file);
}

void test_observer(void) {
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        check_model(paths[i]);
}
