/* Running out of memory: each allocation of loading and answering fails once, one after the other. Then there is either
 * an error that says so or, if the memory was not essential, the usual result; the sanitizers check that nothing leaks
 * and no access is out of bounds. Native builds only, as WebAssembly has an allocator of its own. */
#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "check.h"
#include "drain.h"

#ifdef NB_NATIVE

enum { MOST_FILES = 6, MOST_ALLOCATIONS = 4000 };

typedef struct model_files {
    const char *folder, *names[MOST_FILES]; /* NULL after the last */
    const char *preset;                     /* what the weights are quantized to; NULL: nothing */
    uint32_t flags;                         /* for the loader */
} model_files;

static const model_files cases[] = {
    {"tests/fixtures/models/mixtral", {"mixtral.gguf"}, NULL, NB_LOAD_ALL},
    {"tests/fixtures/models/outliers-merged", {"outliers-merged.gguf"}, NULL, NB_LOAD_ALL},
    {"tests/fixtures/text/spm", {"spm.gguf"}, NULL, NB_LOAD_HEADER},
    {"tests/fixtures/text/unigram", {"unigram.gguf"}, NULL, NB_LOAD_HEADER},
    {"tests/fixtures/text/qwen2", {"qwen2.gguf"}, NULL, NB_LOAD_HEADER},
    {"tests/fixtures/encoders/bert", {"bert.gguf"}, NULL, NB_LOAD_ALL},
    {"tests/fixtures/safetensors/llama-f32",
     {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"},
     "q4_k_m",
     NB_LOAD_ALL},
    {"tests/fixtures/safetensors/phi3-long",
     {"config.json", "tokenizer.json", "model.safetensors"},
     "nf4",
     NB_LOAD_ALL},
    {"tests/fixtures/safetensors/gptq-desc-act-zeros",
     {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"},
     NULL,
     NB_LOAD_ALL},
    {"tests/fixtures/safetensors/bnb-nf4-double", {"config.json", "model.safetensors"}, NULL, NB_LOAD_ALL},
    {"tests/fixtures/safetensors/ct-packed-4-bits-zeros", {"config.json", "model.safetensors"}, NULL, NB_LOAD_ALL},
    {"tests/fixtures/safetensors/qwen2-moe",
     {"config.json", "tokenizer.json", "model.safetensors"},
     "int8",
     NB_LOAD_ALL},
    {"tests/fixtures/safetensors/bert",
     {"config.json", "tokenizer.json", "modules.json", "1_Pooling/config.json", "model.safetensors"},
     NULL,
     NB_LOAD_ALL},
};

typedef struct contents {
    uint8_t *bytes[MOST_FILES];
    size_t sizes[MOST_FILES];
    int32_t n;
} contents;

static bool is_gguf(const char *name) {
    return test_contains(name, ".gguf");
}

static contents read_files(const model_files *f) {
    contents c = {.n = 0};
    for (; c.n < MOST_FILES && f->names[c.n]; c.n++) {
        char path[256];
        nb_writer w = nb_writer_over(path, sizeof path);
        if (is_gguf(f->names[c.n]))
            nb_write(&w, "%s.gguf", f->folder);
        else
            nb_write(&w, "%s/%s", f->folder, f->names[c.n]);
        c.bytes[c.n] = test_read_all(path, &c.sizes[c.n]);
    }
    return c;
}

static int32_t give_loader(nb_loader *l, const uint8_t *bytes, size_t size, nb_error *err) {
    for (size_t at = 0, capacity; at < size;) {
        uint8_t *space = nb_loader_space(l, &capacity);
        if (!capacity)
            break;
        capacity = NB_MIN(capacity, size - at);
        memcpy(space, bytes + at, capacity);
        at += capacity;
        NB_TRY(nb_loader_commit(l, capacity, err));
    }
    return NB_OK;
}

static int32_t give_converter(nb_converter *x, nb_loader *l, const uint8_t *bytes, size_t size, nb_error *err) {
    for (size_t at = 0, capacity; at < size;) {
        uint8_t *space = nb_converter_space(x, &capacity);
        if (!capacity)
            break;
        capacity = NB_MIN(capacity, size - at);
        memcpy(space, bytes + at, capacity);
        at += capacity;
        NB_TRY(nb_converter_commit(x, capacity, err));
        NB_TRY(test_drain(x, l, err));
    }
    return NB_OK;
}

/* The folder, whose last file has the weights. */
static int32_t convert(nb_converter *x, nb_loader *l, const model_files *f, const contents *c, nb_error *err) {
    if (!CHECK(c->n > 0, "no files"))
        return NB_ERR_ARGUMENT;
    if (f->preset)
        NB_TRY(nb_converter_quantize(x, f->preset, nb_length(f->preset), 0, err));
    for (int32_t i = 0; i < c->n; i++) {
        NB_TRY(nb_converter_begin(x, f->names[i], nb_length(f->names[i]), (double)c->sizes[i], err));
        NB_TRY(give_converter(x, l, c->bytes[i], c->sizes[i], err));
        NB_TRY(nb_converter_end(x, err));
    }
    double offset;
    for (int32_t next; (next = nb_converter_next(x, &offset, err)) != 0;) {
        if (next < 0)
            return next;
        NB_TRY(test_drain(x, l, err));
        NB_TRY(give_converter(x, l, c->bytes[c->n - 1] + (size_t)offset, c->sizes[c->n - 1] - (size_t)offset, err));
    }
    return test_drain(x, l, err);
}

static nb_model *load(const model_files *f, const contents *c, nb_error *err) {
    nb_loader *l = nb_loader_new(0, f->flags, err);
    if (!l)
        return NULL;
    int32_t code;
    if (is_gguf(f->names[0])) {
        code = give_loader(l, c->bytes[0], c->sizes[0], err);
    } else {
        nb_converter *x = nb_converter_new(NB_CONVERT_ALL, err);
        code = x ? convert(x, l, f, c, err) : NB_ERR_MEMORY;
        nb_converter_free(x);
    }
    nb_model *m = code < 0 ? NULL : nb_loader_finish(l, err);
    nb_loader_free(l);
    return m;
}

/* Tokens, their text, an answer and an embedding. NB_OK or the first error; *chosen: the token that greedy sampling
 * takes. */
static int32_t answer(const nb_model *m, const model_files *f, int32_t *chosen, nb_error *err) {
    static const char text[] = "The quick <s> fox\n";
    int32_t tokens[64] = {1, 2, 3},
            n = nb_tokenize(m, text, sizeof text - 1, NB_TOKENIZE_PARSE_SPECIAL, tokens, 32, err);
    if (n == NB_ERR_UNSUPPORTED) /* there is no tokenizer */
        n = 3;
    NB_TRY(n);
    if (f->flags & NB_LOAD_HEADER) {
        *chosen = n;
        return NB_OK;
    }
    nb_detokenizer *d = nb_detokenizer_new(m, NB_DETOKENIZE_SPECIAL, err);
    nb_session *s = nb_session_new(m, NULL, 48, 8, 25, NB_PRECISION_EXACT, 1, err);
    nb_sampler *sampler =
        nb_sampler_new(m, &(nb_sampler_params){.top_p = 1, .repeat_penalty = 1, .dry_base = 1}, NULL, 0, err);
    int32_t broken = sampler && n != 3 ? nb_sampler_break(sampler, m, "\n", 1, err) : NB_OK;
    float *vector = nb_alloc_items((uint64_t)NB_MAX(nb_model_width(m), nb_model_embedding_size(m)), sizeof *vector);
    int32_t code = s && sampler && vector ? broken : NB_ERR_MEMORY;
    char out[256];
    for (int32_t i = 0; d && i < n && code >= 0; i++)
        code = nb_detokenizer_push(d, tokens[i], out, sizeof out, err);
    if (code >= 0 && !test_contains(f->folder, "bert")) {
        code = nb_session_generate(s, sampler, tokens, n, 1, 1, err);
        *chosen = tokens[n];
    }
    for (int32_t done = 0; code >= 0 && done < n; done = code)
        code = nb_session_embed(s, tokens, n, done, 0, 0, NB_POOLING_FILE, vector, err);
    nb_free(vector);
    nb_sampler_free(sampler);
    nb_session_free(s);
    nb_detokenizer_free(d);
    return NB_MIN(code, 0);
}

static void check_case(const model_files *f) {
    contents c = read_files(f);
    int32_t right = -1;
    uint64_t nth = 0, left = 0;
    do { /* the first time none fails */
        nb_error err = {0};
        int32_t chosen = -1;
        nb_refuse_allocation(nth);
        nb_model *m = load(f, &c, &err);
        int32_t code = m ? answer(m, f, &chosen, &err) : err.code;
        left = nb_refuse_allocation(0);
        CHECK(code == NB_OK || (nth && code == NB_ERR_MEMORY), "%s, allocation %l: %d, %s", f->folder, nth, code,
              err.message);
        if (!nth)
            right = chosen;
        CHECK(code < 0 || chosen == right, "%s, allocation %l: token %d, not %d", f->folder, nth, chosen, right);
        nb_model_free(m);
    } while (nth++ < MOST_ALLOCATIONS && !left);
    CHECK(left && nth > 10, "%s: %l allocations", f->folder, nth);
    for (int32_t i = 0; i < c.n; i++)
        nb_free(c.bytes[i]);
}

void test_no_memory(void) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_case(&cases[i]);
}

#endif
