/* libFuzzer target of tokenizer.json: any such file is refused, or gives a tokenizer that turns every text into tokens,
 * and tokens into text.
 *
 * Input: tokenizer.json up to the first zero byte, tokenizer_config.json up to the next, then the text. */
#include "fuzz.h"

#include "../core/drain.h"

static const char CONFIG[] =
    "{\"model_type\":\"llama\",\"hidden_size\":4,\"intermediate_size\":4,\"num_hidden_layers\":1,\"num_attention_"
    "heads\":1,\"num_key_value_heads\":1,\"max_position_embeddings\":8,\"eos_token_id\":[1,2]}";
static const char TENSORS[] = "{\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}";

static int32_t give(nb_converter *x, const char *name, const uint8_t *bytes, size_t size, nb_error *err) {
    int32_t code = nb_converter_begin(x, name, strlen(name), (double)size, err);
    for (size_t at = 0, n; at < size && code >= 0; at += n) {
        size_t capacity;
        uint8_t *space = nb_converter_space(x, &capacity);
        if (!capacity)
            break;
        n = NB_MIN(capacity, size - at);
        memcpy(space, bytes + at, n);
        code = nb_converter_commit(x, n, err);
    }
    return code < 0 ? code : nb_converter_end(x, err);
}

/* A safetensors file with a header only. */
static int32_t give_weights(nb_converter *x, nb_error *err) {
    uint8_t file[8 + sizeof TENSORS - 1 + 16] = {sizeof TENSORS - 1};
    memcpy(file + 8, TENSORS, sizeof TENSORS - 1);
    return give(x, "model.safetensors", file, sizeof file, err);
}

static nb_model *model_of(const uint8_t *json, size_t json_size, const uint8_t *config, size_t config_size) {
    nb_error err = {0};
    nb_converter *x = nb_converter_new(NB_CONVERT_HEADER, &err);
    nb_loader *l = nb_loader_new(0, NB_LOAD_HEADER, &err);
    double offset;
    int32_t code = give(x, "config.json", (const uint8_t *)CONFIG, sizeof CONFIG - 1, &err);
    if (code >= 0)
        code = give(x, "tokenizer.json", json, json_size, &err);
    if (code >= 0 && config_size)
        code = give(x, "tokenizer_config.json", config, config_size, &err);
    if (code >= 0)
        code = give_weights(x, &err);
    if (code >= 0)
        code = nb_converter_next(x, &offset, &err);
    if (code >= 0)
        code = test_drain(x, l, &err);
    nb_model *m = code >= 0 ? nb_loader_finish(l, &err) : NULL;
    demand(m || (err.code < 0 && err.message[0]));
    nb_loader_free(l);
    nb_converter_free(x);
    return m;
}

static size_t until_zero(const uint8_t *data, size_t from, size_t size) {
    while (from < size && data[from])
        from++;
    return from;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t json = until_zero(data, 0, size), from = NB_MIN(json + 1, size), config = until_zero(data, from, size);
    size_t text = NB_MIN(config + 1, size);
    nb_model *m = model_of(data, json, data + from, config - from);
    if (!m)
        return 0;
    fuzz_text(m, data + text, size - text, NULL, 0);
    nb_model_free(m);
    return 0;
}
