/* libFuzzer target of everything behind a file: any GGUF is refused, or it is a model that describes itself, turns text into
 * tokens and back, evaluates, generates and embeds within its memory, whatever its numbers are.
 *
 * Input: the sampler's parameters (9 words), 4 bytes of choices, 16 bytes of text, then the file. */
#include "fuzz.h"

enum { TEXT = 16, CHOICES = sizeof(nb_sampler_params) + 4, MOST_TOKENS = 40, GENERATED = 4 };

/* A sampler of any parameters, or of usual ones. */
static nb_sampler *sampler_of(const nb_model *m, const uint8_t *data, bool usual, nb_error *err) {
    nb_sampler_params params;
    memcpy(&params, data, sizeof params);
    if (usual)
        params = (nb_sampler_params){.temperature = 0.8f, .top_k = 5, .top_p = 0.95f, .min_p = 0.05f, .repeat_penalty = 1.1f,
                                     .penalty_last = 8, .seed = params.seed};
    struct { int32_t token; float bias; } bias = {0, params.temperature};
    return nb_sampler_new(m, &params, &bias, usual, err);
}

static void evaluate_all(nb_session *s, const int32_t *tokens, int32_t n, float *sum) {
    nb_error err;
    for (int32_t held = 0, rows; held < n;) {
        held = nb_session_advance(s, tokens, n, NB_LOGITS_ALL, &err);
        if (held < 0)
            return;
        const float *logits = nb_session_logits(s, &rows);
        demand(rows >= 1 && rows <= held);
        *sum += logits[0];
    }
}

static void generate(nb_session *s, const nb_model *m, nb_sampler *sampler, int32_t *tokens, int32_t n, bool past_end) {
    nb_error err;
    int32_t made = nb_session_generate(s, sampler, tokens, n, GENERATED, past_end, &err);
    demand(made <= GENERATED);
    for (int32_t i = 0; i < made; i++)
        demand(tokens[n + i] >= 0 && tokens[n + i] < nb_model_vocabulary(m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint32_t kv_types[] = {25, 8, 1, 0, 7};
    if (size <= CHOICES + TEXT)
        return 0;
    const uint8_t *choice = data + sizeof(nb_sampler_params), *text = data + CHOICES;
    nb_error err;
    nb_model *m = fuzz_load(text + TEXT, size - CHOICES - TEXT, choice[3] & 1 ? 777 : SIZE_MAX, NB_LOAD_ALL, &err);
    if (!m)
        return 0;
    demand(nb_model_describe(m, NULL, 0) > 2);
    int32_t tokens[MOST_TOKENS + GENERATED];
    int32_t n = fuzz_text(m, text, TEXT, tokens, MOST_TOKENS), vocabulary = nb_model_vocabulary(m);
    for (; n < 3 && vocabulary; n++) /* there need be no tokenizer */
        tokens[n] = text[n] % vocabulary;
    nb_session *s = nb_session_new(m, NULL, 1u + choice[0] % 48, 1u + choice[1] % 8, kv_types[choice[2] % 5], choice[3] >> 1 & 1, &err);
    if (s) {
        int32_t width = nb_model_width(m), size = nb_model_embedding_size(m);
        float sum = 0, *vector = nb_alloc((size_t)(size > width ? size : width) * sizeof *vector);
        nb_sampler *sampler = sampler_of(m, data, choice[3] & 4, &err);
        if (sampler)
            generate(s, m, sampler, tokens, n, choice[3] & 8);
        evaluate_all(s, tokens, n, &sum);
        for (int32_t done = 0; vector && done >= 0 && done < n;)
            done = nb_session_embed(s, tokens, n, done, 0, choice[3] >> 4 & 3, vector, &err);
        nb_sampler_free(sampler);
        nb_free(vector);
    }
    nb_session_free(s);
    nb_model_free(m);
    return 0;
}
