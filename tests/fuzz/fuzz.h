/* What the fuzz targets share: assertions, failing allocations, loading a model, and using all functions of one. */
#ifndef NB_FUZZ_H
#define NB_FUZZ_H

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/nibble.h"
#include "../../src/quant/imatrix.h"

#include <math.h>
#include <stdlib.h>

static inline void demand(bool holds) {
    if (!holds)
        __builtin_trap();
}

/* Which call of nb_alloc fails, counted from 1; 0: none. Unless it is 0, any function of the core may fail. */
static uint64_t fuzz_refused;

static inline void fuzz_refuse(uint64_t nth) {
    fuzz_refused = nth;
    nb_refuse_allocation(nth);
}

/* Demands that a call, made again, returns the same. It may fail if an allocation fails. */
static inline void demand_same(int32_t again, int32_t before) {
    demand(again == before || (again < 0 && fuzz_refused));
}

/* Memory for the target itself, which never fails. */
static inline void *fuzz_memory(size_t bytes) {
    void *p = malloc(bytes ? bytes : 1);
    demand(p != NULL);
    return p;
}

/* Loads a GGUF in pieces. Returns the model, or NULL with *err filled. */
static inline nb_model *fuzz_load(const uint8_t *data, size_t size, size_t piece, uint32_t flags, nb_error *err) {
    *err = (nb_error){0};
    nb_loader *l = nb_loader_new((double)size, flags, err);
    int32_t code = l ? NB_OK : err->code;
    if (l && flags == NB_LOAD_ALL)
        nb_loader_expect(l, NULL, 48, 1, 25, 1); /* like web/worker/load-model.js */
    for (size_t at = 0, n; at < size && code >= 0; at += n) {
        size_t capacity;
        uint8_t *space = nb_loader_space(l, &capacity);
        if (!capacity)
            break;
        n = NB_MIN(NB_MIN(piece, capacity), size - at);
        memcpy(space, data + at, n);
        code = nb_loader_commit(l, n, err);
        char name[16];
        demand(code <= 0 && nb_loader_total(l) >= 0);
        nb_loader_tensor(l, name, sizeof name);
    }
    nb_model *m = code >= 0 ? nb_loader_finish(l, err) : NULL;
    demand(m || (err->code < 0 && err->message[0]));
    nb_loader_free(l);
    return m;
}

/* ---- text ---- */

/* Decodes tokens[n]. Each token is first pushed with no room for its text, which must not consume the token. */
static inline void fuzz_detokenize(const nb_model *m, uint32_t flags, const int32_t *tokens, int32_t n) {
    nb_error err;
    nb_detokenizer *d = nb_detokenizer_new(m, flags, &err);
    if (!d)
        return;
    for (int32_t i = 0; i < n; i++) {
        int32_t size = nb_detokenizer_push(d, tokens[i], NULL, 0, &err);
        if (size < 0)
            break; /* an allocation failed */
        char *out = fuzz_memory((size_t)size);
        if (size)
            demand_same(nb_detokenizer_push(d, tokens[i], out, size, &err), size);
        free(out);
    }
    int32_t kept = nb_detokenizer_flush(d, NULL, 0);
    demand(kept >= 0);
    if (kept) {
        char *rest = fuzz_memory((size_t)kept);
        demand(nb_detokenizer_flush(d, rest, kept) == kept);
        free(rest);
    }
    nb_detokenizer_free(d);
}

/* Tokenizes the text with its second half as a quote, in which tokens[0] is plain text. */
static inline void fuzz_quote(const nb_model *m, const char *text, size_t size, const int32_t *tokens) {
    nb_error err;
    nb_quote quote = {(uint32_t)(size / 2), (uint32_t)size, 3};
    nb_plain plain = {tokens[0], 1 << 3};
    int32_t n = nb_tokenize_quoted(m, text, size, NB_TOKENIZE_PARSE_SPECIAL, &quote, 1, &plain, 1, NULL, 0, &err);
    if (n < 0)
        return;
    int32_t *all = fuzz_memory((size_t)n * sizeof *all);
    demand_same(nb_tokenize_quoted(m, text, size, NB_TOKENIZE_PARSE_SPECIAL, &quote, 1, &plain, 1, all, n, &err), n);
    free(all);
}

/* Tokenizes the text with all combinations of flags, and decodes the tokens. Writes up to `capacity` tokens of the last
 * combination to `tokens`, and returns how many. */
static inline int32_t fuzz_text(const nb_model *m, const uint8_t *text, size_t size, int32_t *tokens,
                                int32_t capacity) {
    nb_error err;
    int32_t last = 0;
    char *copy = fuzz_memory(size); /* so that reading beyond the end is found */
    if (size)
        memcpy(copy, text, size);
    for (uint32_t flags = NB_TOKENIZE_BARE; flags <= (NB_TOKENIZE_ADD_SPECIAL | NB_TOKENIZE_PARSE_SPECIAL); flags++) {
        int32_t n = nb_tokenize(m, copy, size, flags, NULL, 0, &err);
        if (n < 0)
            continue;
        int32_t *all = fuzz_memory((size_t)n * sizeof *all);
        int32_t again = nb_tokenize(m, copy, size, flags, all, n, &err);
        demand_same(again, n);
        n = again == n ? n : 0;
        for (int32_t i = 0; i < n; i++)
            // NOLINTNEXTLINE(clang-analyzer-security.ArrayBound): all has n numbers
            demand(all[i] >= 0 && all[i] < nb_model_vocabulary(m) && nb_model_token_type(m, all[i]) >= 0);
        fuzz_detokenize(m, NB_DETOKENIZE_TEXT, all, n);
        fuzz_detokenize(m, NB_DETOKENIZE_SPECIAL, all, n);
        fuzz_detokenize(m, NB_DETOKENIZE_SPECIAL | NB_DETOKENIZE_WHOLE, all, n);
        if (n && size)
            fuzz_quote(m, copy, size, all);
        last = NB_MIN(n, capacity);
        if (last)
            memcpy(tokens, all, (size_t)last * sizeof *all);
        free(all);
    }
    free(copy);
    return last;
}

/* ---- answers ---- */

enum { FUZZ_TEXT = 16, FUZZ_SAMPLER = 36, FUZZ_CHOICES = FUZZ_SAMPLER + 4 };

/* A number that a byte chooses: mostly within 0 ... most, and now and then one that is refused. */
static inline float fuzz_number(uint8_t byte, float most) {
    return byte == 255 ? NAN : byte == 254 ? -1 : most * (float)byte / 250;
}

/* A sampler with parameters from data[FUZZ_SAMPLER], or with usual ones. */
static inline nb_sampler *fuzz_sampler(const nb_model *m, const uint8_t *data, bool usual, nb_error *err) {
    nb_sampler_params params = {
        .temperature = fuzz_number(data[0], 4),
        .temperature_range = fuzz_number(data[1], 4),
        .temperature_exponent = fuzz_number(data[2], 3),
        .top_k = data[3] - 1,
        .top_p = fuzz_number(data[4], 1),
        .min_p = fuzz_number(data[5], 1),
        .typical_p = fuzz_number(data[6], 1),
        .top_sigmas = fuzz_number(data[7], 4),
        .xtc_probability = fuzz_number(data[8], 1),
        .xtc_threshold = fuzz_number(data[9], 1),
        .repeat_penalty = fuzz_number(data[10], 3),
        .presence_penalty = fuzz_number(data[11], 1e6f),
        .frequency_penalty = fuzz_number(data[12], 2),
        .penalty_last = data[13] - 2,
        .dry_multiplier = fuzz_number(data[14], 1e6f),
        .dry_base = fuzz_number(data[15], 10),
        .dry_allowed_length = data[16] % 8,
        .dry_last = data[17] - 2,
        .mirostat = data[18] % 4,
        .mirostat_tau = fuzz_number(data[19], 20),
        .mirostat_eta = fuzz_number(data[20], 20),
        .seed = data[21],
    };
    memcpy(&params.steps, data + 22, sizeof params.steps);
    if (data[26] % 8)
        params.steps = NB_STEPS_DEFAULT;
    if (usual)
        params = (nb_sampler_params){
            .temperature = 0.8f,
            .top_k = 5,
            .top_p = 0.95f,
            .min_p = 0.05f,
            .typical_p = 1,
            .repeat_penalty = 1.1f,
            .penalty_last = 8,
            .dry_base = 1,
            .steps = NB_STEPS_DEFAULT,
            .seed = data[21],
        };
    nb_bias bias = {0, params.temperature};
    nb_sampler *sampler = nb_sampler_new(m, &params, &bias, usual, err);
    if (sampler && data[27] & 1) /* refused where there is no tokenizer */
        nb_sampler_break(sampler, m, (const char *)data + 28, data[27] >> 1 & 7, err);
    return sampler;
}

static inline void fuzz_evaluate(nb_session *s, const int32_t *tokens, int32_t n) {
    nb_error err;
    volatile float sum = 0; /* reads the logits */
    for (int32_t held = 0, rows; held < n;) {
        held = nb_session_advance(s, tokens, n, NB_LOGITS_ALL, &err);
        if (held < 0)
            return;
        const float *logits = nb_session_logits(s, &rows);
        demand(rows >= 1 && rows <= held);
        sum = sum + logits[0];
    }
    demand(nb_session_holds(s, tokens, n) == n);
}

static inline void fuzz_generate(nb_session *s, const nb_model *m, nb_sampler *sampler, int32_t *tokens, int32_t n,
                                 int32_t count, bool past_end) {
    nb_error err;
    int32_t made = nb_session_generate(s, sampler, tokens, n, count, past_end, &err);
    demand(made <= count);
    for (int32_t i = 0; i < made; i++)
        demand(tokens[n + i] >= 0 && tokens[n + i] < nb_model_vocabulary(m));
    int32_t guesses = NB_MAX(made, 1) - 1; /* the tokens made before: some of them may be right */
    made = nb_session_speculate(s, sampler, tokens, n, guesses, past_end, &err);
    demand(made <= guesses + 1);
    for (int32_t i = 0; i < made; i++)
        demand(tokens[n + i] >= 0 && tokens[n + i] < nb_model_vocabulary(m));
}

/* Scores the tokens, and collects an importance matrix. Returns the collector, to be freed after the session; NULL if
 * an allocation failed. */
static inline nb_collector *fuzz_calibrate(nb_session *s, const int32_t *tokens, int32_t n, uint32_t format) {
    nb_error err;
    nb_collector *c = nb_collector_new(s, &err);
    float *scores = fuzz_memory((size_t)n * sizeof *scores);
    int32_t done = 0;
    while (done >= 0 && done < n)
        done = nb_session_score(s, tokens, n, done, NB_MAX(1, n / 2), scores, &err);
    for (int32_t i = NB_MAX(1, n / 2); done > 0 && i < n; i++)
        // NOLINTNEXTLINE(clang-analyzer-security.ArrayBound): scores has n numbers
        demand(scores[i] > -1e-3f); /* false for NaN, too */
    free(scores);
    int32_t size = c ? nb_collector_write(c, format, 4, "text", 4, NULL, 0, &err) : -1;
    if (size > 0) {
        uint8_t *out = fuzz_memory((size_t)size + 1);
        demand_same(nb_collector_write(c, format, 4, "text", 4, out, (size_t)size + 1, &err), size);
        nb_imatrix *read;
        nb_imatrix_read(out, (size_t)size, &read, &err);
        demand(read || fuzz_refused);
        nb_imatrix_free(read);
        free(out);
    }
    return c;
}

/* Evaluates the tokens in several sequences, which are forked and rewound. Sequence numbers and lengths may be out of
 * range. */
static inline void fuzz_together(nb_session *s, const int32_t *tokens, int32_t n, const uint8_t *choices) {
    enum { TURNS = 3, ROUNDS = 6 };
    nb_error err;
    const int32_t *prefixes[TURNS] = {tokens, tokens, tokens};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        nb_turn turns[TURNS];
        const uint8_t *choice = choices + round;
        for (uint32_t i = 0; i < TURNS; i++)
            turns[i] = (nb_turn){(i + choice[0]) % 5, (choice[i] >> 2) % (n + 1), choice[i] % 8u, 0, 0};
        uint32_t n_turns = 1 + choice[1] % TURNS;
        bool is_done = nb_session_advance_all(s, turns, prefixes, n_turns, &err) == NB_OK;
        for (uint32_t i = 0; i < n_turns && is_done; i++)
            demand(turns[i].held <= turns[i].n && (turns[i].row < 0) == (turns[i].held < turns[i].n));
        nb_session_select(s, choice[2] % 5, &err);
        nb_session_fork(s, choice[3] % 5, choice[1] % 8, &err);
    }
}

/* Describes the model, tokenizes text[FUZZ_TEXT] and decodes it, evaluates, generates, embeds and calibrates.
 * choices[FUZZ_CHOICES] are a sampler's parameters, and a byte each for context, batch, type of the cache, switches. */
static inline void fuzz_answer(const nb_model *m, const uint8_t *choices, const uint8_t *text) {
    enum { MOST_TOKENS = 40, GENERATED = 4 };
    static const uint32_t kv_types[] = {25, 8, 1, 0, 7, 2, 520}; /* I16, Q8_0, F16, F32, Q5_1 (refused), Q4_0, a mix */
    const uint8_t *choice = choices + FUZZ_SAMPLER;
    nb_error err;
    demand(nb_model_describe(m, NULL, 0) > 2);
    int32_t tokens[MOST_TOKENS + GENERATED], vocabulary = nb_model_vocabulary(m);
    int32_t n = fuzz_text(m, text, FUZZ_TEXT, tokens, MOST_TOKENS);
    for (; n < 3 && vocabulary; n++) /* a model may have no tokenizer */
        tokens[n] = text[n] % vocabulary;
    uint32_t context = 1u + choice[0] % 48, batch = 1u + choice[1] % 8, kv_type = kv_types[choice[2] % 7],
             sequences = 1 + choice[1] / 8 % 4;
    nb_session *s = nb_session_new(m, NULL, context, batch, kv_type, choice[3] >> 1 & 1, sequences, &err);
    nb_collector *collector = NULL;
    demand(!s || nb_session_bytes(m, context, batch, kv_type, sequences) > 0); /* it allocates nothing */
    if (s) {
        int32_t width = nb_model_width(m), size = nb_model_embedding_size(m);
        float *vector = fuzz_memory((size_t)NB_MAX(size, width) * sizeof *vector);
        nb_sampler *sampler = fuzz_sampler(m, choices, choice[3] & 4, &err);
        if (sampler)
            fuzz_generate(s, m, sampler, tokens, n, GENERATED, choice[3] & 8);
        fuzz_evaluate(s, tokens, n);
        fuzz_together(s, tokens, n, choices);
        for (int32_t done = 0; done >= 0 && done < n;)
            done =
                nb_session_embed(s, tokens, n, done, choice[3] >> 6, choice[3] & 15, choice[3] >> 4 & 3, vector, &err);
        collector = fuzz_calibrate(s, tokens, n, choice[3] & 1);
        nb_sampler_free(sampler);
        free(vector);
    }
    nb_session_free(s);
    nb_collector_free(collector);
}

#endif
