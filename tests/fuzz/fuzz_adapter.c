/* libFuzzer target of LoRA adapters: any file is refused, or is an adapter with which a model answers and stays within
 * its memory, and after which it answers as before. If an allocation fails, this is an error, too.
 *
 * Input: which model, the scale, two bytes for the allocation that fails (0: none), then the file. The models are
 * fixtures, so the target runs in the root of the repository. */
#include "fuzz.h"

#include "../../src/models/adapter.h"

#include <stdio.h>

enum { BEFORE = 4, TOKENS = 9, GENERATED = 3, CONTEXT = 16, BATCH = 4, MOST_VOCABULARY = 512, MOST_BYTES = 1 << 18 };

/* A llama with biases; one of merged matrices; a mixture of experts. (adapter_seeds.js has the same list.) */
static const char *const PATHS[] = {"tests/fixtures/models/biases.gguf", "tests/fixtures/models/outliers-merged.gguf",
                                    "tests/fixtures/models/mixtral.gguf"};
enum { MODELS = sizeof PATHS / sizeof *PATHS };

static const nb_model *model_of(uint8_t choice) {
    static nb_model *models[MODELS];
    uint32_t i = choice % MODELS;
    if (!models[i]) {
        nb_error err;
        FILE *f = fopen(PATHS[i], "rb");
        demand(f != NULL);
        uint8_t *bytes = fuzz_memory(MOST_BYTES);
        size_t size = fread(bytes, 1, MOST_BYTES, f);
        demand(fclose(f) == 0);
        models[i] = fuzz_load(bytes, size, SIZE_MAX, NB_LOAD_ALL, &err);
        free(bytes);
        demand(models[i] && nb_model_vocabulary(models[i]) <= MOST_VOCABULARY);
    }
    return models[i];
}

static const int32_t TEXT[TOKENS] = {3, 1, 4, 1, 5, 9, 2, 6, 5};

/* Writes the logits after the last token of the text. Returns false if an allocation failed, or numbers were not finite,
 * as they may be with an adapter. */
static bool evaluate(nb_session *s, const nb_model *m, float *logits) {
    nb_error err = {0};
    int32_t rows, held = 0, vocabulary = nb_model_vocabulary(m);
    while (held >= 0 && held < TOKENS)
        held = nb_session_advance(s, TEXT, TOKENS, NB_LOGITS_ALL, &err);
    const float *all = nb_session_logits(s, &rows);
    demand(held < 0 ? rows == 0 && err.message[0] : rows > 0);
    if (held > 0)
        memcpy(logits, all + (size_t)(rows - 1) * (size_t)vocabulary, (size_t)vocabulary * sizeof *logits);
    return held > 0;
}

/* Computes with the adapter, several times, in each way that a session has. */
static void use(nb_session *s, const nb_model *m, const nb_adapter *a, uint8_t scale) {
    static const uint8_t usual[FUZZ_SAMPLER];
    nb_error err = {0};
    uint32_t n = 1u + scale % 3;
    float logits[MOST_VOCABULARY], scales[] = {fuzz_number(scale, 4), -1, 0.5f};
    int32_t code = nb_session_adapt(s, (const nb_adapter *const[]){a, a, a}, scales, n, &err);
    demand(code == NB_OK || (fuzz_refused && err.message[0]));
    demand(code || nb_session_holds(s, TEXT, TOKENS) == 0);
    evaluate(s, m, logits);
    int32_t tokens[TOKENS + GENERATED];
    memcpy(tokens, TEXT, sizeof TEXT);
    nb_sampler *sampler = fuzz_sampler(m, usual, true, &err);
    if (sampler)
        fuzz_generate(s, m, sampler, tokens, TOKENS, GENERATED, true);
    nb_sampler_free(sampler);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size <= BEFORE)
        return 0;
    const nb_model *m = model_of(data[0]);
    nb_error err = {0};
    fuzz_refuse(data[2] | (uint64_t)data[3] << 8);
    nb_session *s = nb_session_new(m, NULL, CONTEXT, BATCH, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    uint8_t *file = fuzz_memory(size - BEFORE); /* its bytes are not needed afterwards */
    memcpy(file, data + BEFORE, size - BEFORE);
    err = (nb_error){0};
    nb_adapter *a = nb_adapter_new(m, file, size - BEFORE, &err);
    free(file);
    demand(a ? nb_adapter_bytes(a) > 0 : err.code < 0 && err.message[0]);
    float before[MOST_VOCABULARY], after[MOST_VOCABULARY];
    if (s && a && evaluate(s, m, before)) {
        use(s, m, a, data[1]);
        demand(nb_session_adapt(s, NULL, NULL, 0, &err) == NB_OK || fuzz_refused);
        if (evaluate(s, m, after))
            demand(fuzz_refused || !memcmp(before, after, (size_t)nb_model_vocabulary(m) * sizeof *before));
        else
            demand(fuzz_refused);
        nb_collector *c = NULL;
        if (nb_session_adapt(s, &(const nb_adapter *){a}, &(float){1}, 1, &err) == NB_OK)
            c = fuzz_calibrate(s, TEXT, TOKENS, data[1] & 1);
        nb_session_free(s);
        nb_collector_free(c);
        s = NULL;
    }
    nb_session_free(s);
    nb_adapter_free(a);
    fuzz_refuse(0);
    return 0;
}
