/* The converter alone, with folders of a few tensors that are made here. (The loader would refuse much of what it
 * writes.) Wrong folders must be refused, and no byte may be written past an end, which the sanitizers watch. */
#include "../../src/base/error.h"
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/convert/plan.h"
#include "../../src/nibble_convert.h"
#include "check.h"

enum { MOST_TENSORS = 8, ROOM = 1 << 18 };

typedef struct tensor {
    const char *name, *dtype, *shape; /* as JSON has them, slowest side first */
    uint32_t bytes;
} tensor;

typedef struct folder {
    const char *config;
    tensor tensors[MOST_TENSORS]; /* ends with name = NULL */
    const char *preset;           /* NULL: nothing is quantized */
    const char *message;          /* a part of the error that is expected; NULL: none */
} folder;

/* Writes a safetensors file of these tensors. All bytes of their data are 1: small codes, scales and indexes. */
static size_t write_safetensors(const tensor *tensors, uint8_t *out) {
    nb_writer w = nb_writer_over((char *)out + 8, ROOM - 8);
    uint64_t at = 0;
    nb_write(&w, "{");
    for (const tensor *t = tensors; t < tensors + MOST_TENSORS && t->name; at += t->bytes, t++)
        nb_write(&w, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%l,%l]}", t == tensors ? "" : ",",
                 t->name, t->dtype, t->shape, at, at + t->bytes);
    nb_write(&w, "}");
    uint64_t length = w.length;
    memcpy(out, &length, sizeof length);
    memset(out + 8 + length, 1, (size_t)at);
    CHECK(8 + length + at <= ROOM, "the file does not fit");
    return (size_t)(8 + length + at);
}

/* Takes all that is ready and counts it. */
static int32_t drain(nb_converter *x, uint64_t *bytes, nb_error *err) {
    const uint8_t *at;
    int32_t n;
    while ((n = nb_converter_take(x, &at, err)) > 0)
        for (*bytes += (uint32_t)n; n; n--)
            (void)((volatile const uint8_t *)at)[n - 1]; /* read, so that the sanitizers see it */
    return n;
}

static int32_t give(nb_converter *x, const uint8_t *bytes, size_t size, uint64_t *made, nb_error *err) {
    for (size_t at = 0, capacity; at < size;) {
        uint8_t *space = nb_converter_space(x, &capacity);
        if (!capacity)
            break;
        capacity = NB_MIN(capacity, NB_MIN(size - at, 1000));
        memcpy(space, bytes + at, capacity);
        at += capacity;
        NB_TRY(nb_converter_commit(x, capacity, err));
        NB_TRY(drain(x, made, err));
    }
    return NB_OK;
}

static int32_t give_file(nb_converter *x, const char *name, const uint8_t *bytes, size_t size, nb_error *err) {
    uint64_t none = 0;
    NB_TRY(nb_converter_begin(x, name, nb_length(name), (double)size, err));
    NB_TRY(give(x, bytes, size, &none, err));
    return nb_converter_end(x, err);
}

static int32_t convert(const folder *f, uint64_t *made, nb_error *err) {
    uint8_t *weights = nb_alloc(ROOM);
    size_t size = write_safetensors(f->tensors, weights);
    nb_converter *x = nb_converter_new(NB_CONVERT_ALL, err);
    int32_t code = f->preset ? nb_converter_quantize(x, f->preset, nb_length(f->preset), 0, err) : NB_OK;
    if (code >= 0)
        code = give_file(x, "config.json", (const uint8_t *)f->config, nb_length(f->config), err);
    if (code >= 0)
        code = give_file(x, "model.safetensors", weights, size, err);
    double offset;
    while (code >= 0 && (code = nb_converter_next(x, &offset, err)) > 0) {
        code = drain(x, made, err);
        if (code >= 0)
            code = give(x, weights + (size_t)offset, size - (size_t)offset, made, err);
    }
    if (code >= 0)
        code = drain(x, made, err);
    nb_converter_free(x);
    nb_free(weights);
    return code;
}

static void check_folders(const folder *folders, size_t n) {
    for (size_t i = 0; i < n; i++) {
        nb_error err = {0};
        uint64_t made = 0;
        int32_t code = convert(&folders[i], &made, &err);
        if (folders[i].message)
            CHECK(code < 0 && test_contains(err.message, folders[i].message), "%s: \"%s\", not \"...%s...\"",
                  folders[i].tensors[0].name, code < 0 ? err.message : "it was converted", folders[i].message);
        else
            CHECK(code >= 0 && made > 100, "%s: %s", folders[i].tensors[0].name, err.message);
    }
}

enum { CONFIG = 1 << 18, TENSORS = 2000 };

/* A long config.json and many tensors: it must be read once, not for each tensor. */
static void test_long_config(void) {
    char *config = nb_alloc(CONFIG), *header = nb_alloc(ROOM);
    nb_writer w = nb_writer_over(config, CONFIG);
    nb_write(&w, "{\"model_type\":\"llama\",\"x\":[0");
    while (w.length < CONFIG - 16)
        nb_write(&w, ",1234567");
    nb_write(&w, "]}");
    nb_writer h = nb_writer_over(header + 8, ROOM - 8);
    for (uint32_t i = 0; i < TENSORS; i++)
        nb_write(&h, "%s\"layers.0.a.%u\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%u,%u]}", i ? "," : "{", i,
                 i, i + 1);
    nb_write(&h, "}");
    uint64_t length = h.length;
    memcpy(header, &length, sizeof length);
    nb_error err = {0};
    nb_converter *x = nb_converter_new(NB_CONVERT_HEADER, &err);
    double offset;
    CHECK(give_file(x, "config.json", (const uint8_t *)config, w.length, &err) >= 0, "%s", err.message);
    CHECK(give_file(x, "model.safetensors", (const uint8_t *)header, 8 + h.length, &err) >= 0, "%s", err.message);
    CHECK(nb_converter_next(x, &offset, &err) < 0 && test_contains(err.message, "layers.0.a.0 has type U8"), "%s",
          err.message);
    nb_converter_free(x);
    nb_free(config);
    nb_free(header);
}

#define SIZES(type)                                                                                     \
    "{\"model_type\":\"" type "\",\"hidden_size\":32,\"num_hidden_layers\":1,\"intermediate_size\":64," \
    "\"num_attention_heads\":4,\"num_key_value_heads\":2,\"max_position_embeddings\":128"

/* Many tokens that tokenizer.json does not have: each is searched for among all that it has. */
static void test_further_tokens(void) {
    enum { TOKENS = 100000, FURTHER = 1000, SIZE = 1 << 22 };
    static const tensor norm = {"model.norm.weight", "F32", "[32]", 128};
    char *text = nb_alloc(SIZE);
    uint8_t *weights = nb_alloc(ROOM);
    nb_error err = {0};
    nb_converter *x = nb_converter_new(NB_CONVERT_HEADER, &err);
    nb_text config = nb_text_of(SIZES("llama") "}");
    CHECK(give_file(x, "config.json", (const uint8_t *)config.data, config.size, &err) >= 0, "%s", err.message);
    nb_writer w = nb_writer_over(text, SIZE);
    nb_write(&w, "{\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\":{\"type\":"
                 "\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"\\u0061\":0");
    for (uint32_t i = 1; i < TOKENS; i++)
        nb_write(&w, ",\"token%u\":%u", i, i);
    nb_write(&w, "}}}");
    CHECK(give_file(x, "tokenizer.json", (const uint8_t *)text, w.length, &err) >= 0, "%s", err.message);
    w = nb_writer_over(text, SIZE);
    nb_write(&w, "{\"bos_token\":\"a\",\"additional_special_tokens\":[\"more0\"");
    for (uint32_t i = 1; i < FURTHER; i++)
        nb_write(&w, ",\"more%u\"", i);
    nb_write(&w, "]}");
    CHECK(give_file(x, "tokenizer_config.json", (const uint8_t *)text, w.length, &err) >= 0, "%s", err.message);
    size_t size = write_safetensors((const tensor[MOST_TENSORS]){norm}, weights);
    CHECK(give_file(x, "model.safetensors", weights, size, &err) >= 0, "%s", err.message);
    double offset;
    CHECK(nb_converter_next(x, &offset, &err) == 0, "%s", err.message);
    nb_converter_free(x);
    nb_free(text);
    nb_free(weights);
}

/* Two names for one tensor: a number has one spelling, and no role of a target has two sources. */
static void test_names(void) {
    static const char *const llama = SIZES("llama") "}";
    static const folder folders[] = {
        {llama,
         {{"model.layers.0.self_attn.q_proj.weight", "F32", "[32,32]", 4096},
          {"model.layers.00.self_attn.q_proj.weight", "F32", "[32,32]", 4096}},
         NULL,
         NULL}, /* unknown: kept */
        {llama,
         {{"model.layers.0.self_attn.q_proj.weight", "F32", "[32,32]", 4096},
          {"layers.0.self_attn.q_proj.weight", "F32", "[32,32]", 4096}},
         NULL,
         "are the same part"},
        {llama,
         {{"model.layers.0.self_attn.q_proj.weight", "F32", "[32,32]", 4096},
          {"model.layers.0.self_attn.q_proj.gamma", "F16", "[32,32]", 2048}},
         NULL,
         "are the same part"},
        {llama,
         {{"model.layers.0.self_attn.q_proj.weight", "F32", "[32,32]", 4096},
          {"blk.0.attn_q.weight", "F32", "[16,32]", 2048}},
         "q8_0",
         "are the same part"},
        {SIZES("stablelm") "}",
         {{"model.layers.0.self_attn.q_layernorm.norms.0.weight", "F32", "[8]", 32},
          {"model.layers.0.self_attn.q_layernorm.norms.00.weight", "F32", "[8]", 32}},
         NULL,
         NULL},
        {SIZES("stablelm") "}",
         {{"model.layers.0.self_attn.q_layernorm.norms.0.weight", "F32", "[8]", 32},
          {"layers.0.self_attn.q_layernorm.norms.0.weight", "F32", "[8]", 32}},
         NULL,
         "is there twice"},
        {SIZES("stablelm") "}",
         {{"model.layers.0.self_attn.q_layernorm.norms.0.weight", "F32", "[8]", 32},
          {"model.layers.0.self_attn.q_layernorm.norms.2.weight", "F32", "[8]", 32}},
         NULL,
         "one of them is missing"},
        {SIZES("stablelm") "}",
         {{"model.layers.0.self_attn.q_layernorm.norms.0.weight", "F32", "[8]", 32},
          {"model.layers.0.self_attn.q_norm.weight", "F32", "[8]", 32}},
         NULL,
         "are the same part"},
    };
    check_folders(folders, sizeof folders / sizeof *folders);
}

/* Names that have one hash in the plan's index (FNV-1a). To compare each with all others would take quadratic time, so
 * they are refused. */
static void test_colliding(void) {
    enum { NAMES = 1024, INDEX = 4 * NAMES };
    nb_error err = {0};
    nb_plan plan = {0};
    CHECK(nb_plan_begin(&plan, &err) == NB_OK, "%s", err.message);
    uint32_t made = 0, target = 0;
    for (uint32_t number = 0; made < NAMES && target != NB_NONE; number++) {
        char name[8];
        uint32_t hash = 2166136261u;
        for (int i = 0; i < 8; i++) {
            name[i] = (char)('a' + (number >> 4 * i & 15));
            hash = (hash ^ (uint8_t)name[i]) * 16777619u;
        }
        if (hash % INDEX == 7 && (target = nb_plan_target(&plan, (nb_text){name, sizeof name})) != NB_NONE)
            made++;
    }
    CHECK(made < NAMES && test_contains(err.message, "equal hashes"), "%u names: %s", made, err.message);
    nb_plan_free(&plan);

    plan = (nb_plan){0};
    nb_plan_begin(&plan, &err);
    for (made = 0; made < 20000; made++) {
        char name[32];
        nb_writer w = nb_writer_over(name, sizeof name);
        nb_write(&w, "blk.%u.attn_q.weight", made);
        if (nb_plan_target(&plan, (nb_text){name, w.length}) != made)
            break;
    }
    CHECK(made == 20000, "names without collisions: %s", err.message);
    nb_plan_free(&plan);
}

/* Tensors that the converter makes itself, but that the files have, too. */
static void test_generated(void) {
    static const char *const phi3 =
        SIZES("phi3") ",\"rope_scaling\":{\"type\":\"longrope\",\"short_factor\":[1,1,1,1],\"long_factor\":[2,2,2,2]}}";
    static const char *const gptq = SIZES("llama") ",\"quantization_config\":{\"quant_method\":\"gptq\",\"bits\":4,"
                                                   "\"group_size\":32,\"desc_act\":true,\"sym\":true}}";
#define Q_PROJ "model.layers.0.self_attn.q_proj."
#define GPTQ                                                                          \
    {Q_PROJ "qweight", "I32", "[8,64]", 2048}, {Q_PROJ "qzeros", "I32", "[2,8]", 64}, \
        {Q_PROJ "scales", "F16", "[2,64]", 256}, {Q_PROJ "g_idx", "I32", "[64]", 256}
    static const folder folders[] = {
        {phi3, {{"rope_factors_long.weight", "F32", "[4]", 16}}, NULL, "which nibble makes itself"},
        {phi3, {{"rope_factors_short.weight", "U8", "[4]", 4}}, NULL, "which nibble makes itself"},
        {phi3, {{"rope_factors_short.weight", "F32", "[2,64]", 512}}, "q8_0", "which nibble makes itself"},
        {phi3, {{"norm.weight", "F32", "[32]", 128}}, "q8_0", NULL},
        {gptq, {{"blk.0.attn_q.order", "F32", "[32]", 128}, GPTQ}, NULL, "which nibble makes itself"},
        {gptq,
         {GPTQ, {"zz.order", "F32", "[32]", 128}, {"blk.0.attn_q.order", "I32", "[2,2]", 16}},
         NULL,
         "nibble makes"},
        {gptq, {GPTQ, {Q_PROJ "weight", "F32", "[64,64]", 16384}}, NULL, "are the same part"},
        {gptq, {GPTQ, {"layers.0.self_attn.q_proj.scales", "F16", "[2,64]", 256}}, NULL, "are the same part"},
        {gptq,
         {{"model.layers.0.self_attn.q_layernorm.norms.0.qweight", "I32", "[8,64]", 2048},
          {"model.layers.0.self_attn.q_layernorm.norms.0.qzeros", "I32", "[2,8]", 64},
          {"model.layers.0.self_attn.q_layernorm.norms.0.scales", "F16", "[2,64]", 256}},
         NULL,
         "is not supported"},
    };
    check_folders(folders, sizeof folders / sizeof *folders);
}

/* Tensors that are reshaped and then quantized. */
static void test_reshaped(void) {
    static const char *const gpt2 = SIZES("gpt2") "}", *const neox = SIZES("gpt_neox") "}";
    static const char *const stable = SIZES("stablelm") "}";
    // clang-format off: these braces are no block
#define STACK(leaf, dtype, shape, bytes)                                            \
    {"model.layers.0.self_attn.q_layernorm.norms.0." leaf, dtype, shape, bytes},    \
        {"model.layers.0.self_attn.q_layernorm.norms.1." leaf, dtype, shape, bytes}, \
        {"model.layers.0.self_attn.q_layernorm.norms.2." leaf, dtype, shape, bytes}
    // clang-format on
    static const folder folders[] = {
        {gpt2, {{"h.0.attn.c_attn.weight", "F32", "[32,96]", 12288}}, "q8_0", NULL},
        {gpt2, {{"h.0.attn.c_attn.weight", "F16", "[256,96]", 49152}}, "q4_k_m", NULL},
        {gpt2, {{"h.0.attn.c_proj.weight", "F16", "[256,96]", 49152}}, "iq3_m", NULL},
        {gpt2, {{"h.0.attn.c_attn.weight", "F16", "[256,96]", 49152}}, "iq2_xs", NULL},
        {gpt2,
         {{"h.0.mlp.c_fc.weight", "F16", "[256,96]", 49152}},
         "iq2_xs",
         "give one (--imatrix; nibble imatrix makes it"},
        {neox, {{"gpt_neox.layers.0.attention.query_key_value.weight", "BF16", "[96,32]", 6144}}, "nf4", NULL},
        {neox, {{"gpt_neox.layers.0.attention.query_key_value.weight", "F32", "[96,32]", 12288}}, "q8_0", NULL},
        {neox, {{"gpt_neox.layers.0.attention.query_key_value.bias", "F32", "[96]", 384}}, "q8_0", NULL},
        {stable, {STACK("weight", "F32", "[64]", 256)}, "q8_0", NULL},
        {stable, {STACK("weight", "F32", "[64]", 256)}, "f16", NULL},
        {stable, {STACK("xweight", "F32", "[64]", 256)}, "q8_0", NULL},
        {stable, {STACK("xweight", "BF16", "[64]", 128)}, "nf4", NULL},
        {stable, {STACK("weight", "F32", "[3,64]", 768)}, "q8_0", NULL},
        {stable, {STACK("weight", "F32", "[1,3,64]", 768)}, "q8_0", "another type or shape"},
    };
    check_folders(folders, sizeof folders / sizeof *folders);
}

/* Planning before the weights: types are reported and chosen. Calls at the wrong time, and tensors that do not exist,
 * are refused. */
static void test_planning(void) {
    static const char config[] = SIZES("llama") "}";
    static const tensor tensors[MOST_TENSORS] = {
        {"model.layers.0.self_attn.o_proj.weight", "F32", "[2,256]", 2048},
        {"model.layers.0.input_layernorm.weight", "F32", "[32]", 128},
    };
    uint8_t *weights = nb_alloc(ROOM);
    size_t size = write_safetensors(tensors, weights);
    nb_error err = {0};
    nb_planned_tensor t;
    nb_converter *x = nb_converter_new(NB_CONVERT_HEADER, &err);
    CHECK(nb_converter_quantize(x, "q4_k_m", 6, NB_QUANTIZE_FILE, &err) >= 0, "%s", err.message);
    CHECK(nb_converter_share(x, 2, 2, &err) < 0 && nb_converter_share(x, 1, 2, &err) >= 0, "%s", err.message);
    CHECK(nb_converter_importance(x, weights, 8, &err) < 0, "bytes that are not an importance matrix are accepted");
    CHECK(nb_converter_planned(x, 0, &t, &err) < 0 && nb_converter_choose(x, 0, NB_TYPE_Q8_0, &err) < 0,
          "there is no plan yet");
    CHECK(nb_converter_total(x) == 0, "%g bytes before the plan", nb_converter_total(x));
    CHECK(give_file(x, "config.json", (const uint8_t *)config, nb_length(config), &err) >= 0, "%s", err.message);
    CHECK(give_file(x, "model.safetensors", weights, size, &err) >= 0, "%s", err.message);
    int32_t n = nb_converter_plan(x, &err);
    CHECK(n >= 2 && nb_converter_plan(x, &err) == n, "%u tensors: %s", (uint32_t)n, err.message);
    CHECK(nb_converter_share(x, 0, 2, &err) < 0 && nb_converter_importance(x, weights, size, &err) < 0,
          "it is too late for these");
    for (int32_t i = 0; i < n; i++) {
        CHECK(nb_converter_planned(x, (uint32_t)i, &t, &err) >= 0, "%s", err.message);
        bool matrix = test_contains(t.name, "attn_output");
        CHECK(t.type == (matrix ? NB_TYPE_Q4_K : NB_TYPE_F32) && t.wanted_type == t.type, "%s: type %u", t.name,
              t.type);
        CHECK(nb_converter_choose(x, (uint32_t)i, NB_TYPE_Q6_K, &err) == matrix, "%s", t.name);
        nb_converter_planned(x, (uint32_t)i, &t, &err);
        CHECK(t.type == (matrix ? NB_TYPE_Q6_K : NB_TYPE_F32), "%s: type %u", t.name, t.type);
        CHECK(nb_converter_choose(x, (uint32_t)i, NB_TYPE_I32, &err) < 0, "%s may become I32", t.name);
    }
    CHECK(nb_converter_planned(x, (uint32_t)n, &t, &err) < 0, "a tensor that does not exist is found");
    CHECK(nb_converter_simulated(x, "{}", 2, &err) >= 0, "%s", err.message);
    CHECK(nb_converter_simulated(x, "{}", 2, &err) == NB_ERR_STATE, "a second grid is accepted");
    double offset;
    CHECK(nb_converter_next(x, &offset, &err) >= 0 && nb_converter_total(x) > 400, "%s", err.message);
    CHECK(nb_converter_choose(x, 0, NB_TYPE_Q8_0, &err) < 0 && nb_converter_plan(x, &err) < 0, "the plan is final");
    nb_converter_free(x);
    nb_free(weights);
}

void test_conversion(void) {
    test_planning();
    test_names();
    test_long_config();
    test_further_tokens();
    test_colliding();
    test_generated();
    test_reshaped();
}
