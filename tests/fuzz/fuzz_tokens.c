/* libFuzzer target of vocabularies: any names, scores, types, merges and character map are refused, or give a tokenizer
 * that turns every text into tokens, and tokens into text.
 *
 * Input:
 *   1 byte   model; with 8 added, the text is repeated until the tokenizer caches words
 *   1 byte   pre-tokenizer
 *   3 bytes  switches[], a bit each; the last bit: whether added tokens have flags (HAS_FLAGS)
 *   1 byte   counted[], 2 bits each
 *   1 byte   the number of tokens - 1; each token: 1 byte length of the name, 1 byte type, 4 bytes score (F32; its
 *            lowest byte is also the flags of an added token), the name
 *   1 byte   the number of merges; each: 1 byte length, the text
 *   2 bytes  length of the character map, and the map
 *   the rest is the text */
#include "fuzz.h"

static const char *const models[] = {"gpt2", "llama", "t5", "bert", "gemma4", "whitespace", "llama", "t5"};
static const char *const pre[] = {
    "default",   "gpt-2",      "llama-bpe", "qwen2",    "smollm",     "deepseek-llm", "deepseek-coder", "deepseek-v3",
    "tekken",    "gpt-4o",     "falcon",    "qwen35",   "starcoder",  "refact",       "command-r",      "bloom",
    "mpt",       "dbrx",       "olmo",      "viking",   "jais",       "poro-chat",    "chatglm-bpe",    "exaone",
    "chameleon", "minerva-7b", "superbpe",  "trillion", "bailingmoe", "seed-coder",   "hunyuan",        "kimi-k2",
};
static const char *const switches[] = {
    "add_bos_token",
    "add_eos_token",
    "add_space_prefix",
    "remove_extra_whitespaces",
    "add_space_prefix_to_words",
    "ignore_merges",
    "normalizer.lowercase",
    "normalizer.clean_text",
    "normalizer.handle_chinese_chars",
    "normalizer.strip_left",
    "normalizer.strip_right",
    "normalizer.prepend",
    "normalizer.escape",
    "pre_tokenizer.split_white",
    "pre_tokenizer.metaspace",
    "pre_tokenizer.split",
    "pre_tokenizer.prepend_spaced",
    "decoder.byte_level",
    "decoder.byte_fallback",
    "decoder.marks",
    "decoder.drop_first",
    "decoder.cleanup",
    "decoder.joins",
};
enum {
    PRES = sizeof pre / sizeof *pre,
    SWITCHES = sizeof switches / sizeof *switches,
    HAS_FLAGS = 1 << 23,
    /* GGUF's types of values */
    U8 = 0,
    U32 = 4,
    F32 = 6,
    BOOL = 7,
    STRING = 8,
    ARRAY = 9
};

/* ---- the input ---- */

typedef struct input {
    const uint8_t *at, *end;
} input;

static uint8_t take(input *in) {
    return in->at < in->end ? *in->at++ : 0;
}

static const uint8_t *take_bytes(input *in, size_t *n) {
    *n = NB_MIN(*n, (size_t)(in->end - in->at));
    in->at += *n;
    return in->at - *n;
}

/* ---- the GGUF that is made from it ---- */

static uint8_t *file;
static size_t written, capacity;

static void put(const void *bytes, size_t n) {
    if (written + n > capacity) {
        capacity = 2 * (written + n) + 1024;
        uint8_t *larger = realloc(file, capacity);
        demand(larger != NULL);
        file = larger;
    }
    if (n)
        memcpy(file + written, bytes, n);
    written += n;
}

static void put_32(uint32_t x) {
    put(&x, sizeof x);
}

static void put_64(uint64_t x) {
    put(&x, sizeof x);
}

static void put_string(const void *bytes, size_t n) {
    put_64(n);
    put(bytes, n);
}

static void put_key(const char *name, uint32_t type) {
    put_64(sizeof "tokenizer.ggml." - 1 + strlen(name));
    put("tokenizer.ggml.", sizeof "tokenizer.ggml." - 1);
    put(name, strlen(name));
    put_32(type);
}

static void put_array(const char *name, uint32_t type, uint64_t n) {
    put_key(name, ARRAY);
    put_32(type);
    put_64(n);
}

/* Writes an array of n strings under the key `name`. In the input, each is a byte for its length, `between` bytes that
 * do not belong to it, and its bytes. `in` is a copy, so the caller's input stays where it is. */
static void put_strings(input in, const char *name, uint32_t n, size_t between) {
    put_array(name, STRING, n);
    for (uint32_t i = 0; i < n; i++) {
        size_t size = take(&in), skipped = between;
        take_bytes(&in, &skipped);
        const uint8_t *text = take_bytes(&in, &size);
        put_string(text, size);
    }
}

static void put_scores_and_types(input in, uint32_t n, bool has_flags) {
    uint8_t types[256], scores[256][4];
    for (uint32_t i = 0; i < n; i++) {
        size_t size = take(&in);
        types[i] = take(&in) % 8;
        for (int k = 0; k < 4; k++)
            scores[i][k] = take(&in);
        take_bytes(&in, &size);
    }
    put_array("scores", F32, n);
    put(scores, n * sizeof *scores);
    put_array("token_type", U32, n);
    for (uint32_t i = 0; i < n; i++)
        put_32(types[i]);
    put_array(has_flags ? "token_flags" : "no_flags", U32, n);
    for (uint32_t i = 0; i < n; i++)
        put_32(scores[i][0] & 127);
}

static void skip_strings(input *in, uint32_t n, size_t between) {
    for (uint32_t i = 0; i < n; i++) {
        size_t size = take(in) + between;
        take_bytes(in, &size);
    }
}

static void write_file(input *in) {
    enum { VALUES = 7 + SWITCHES + 3 };
    uint8_t model = take(in) % 8;
    const char *name = pre[take(in) % PRES];
    uint32_t switched = take(in);
    switched |= (uint32_t)take(in) << 8;
    switched |= (uint32_t)take(in) << 16;
    uint8_t numbers = take(in);
    uint32_t tokens = take(in) + 1u;
    written = 0;
    put("GGUF", 4);
    put_32(3);
    put_64(0);
    size_t count_at = written;
    put_64(VALUES);
    put_key("model", STRING);
    put_string(models[model], strlen(models[model]));
    put_key("pre", STRING);
    put_string(name, strlen(name));
    put_strings(*in, "tokens", tokens, 5);
    put_scores_and_types(*in, tokens, switched & HAS_FLAGS);
    skip_strings(in, tokens, 5);
    uint32_t merges = take(in);
    put_strings(*in, "merges", merges, 0);
    skip_strings(in, merges, 0);
    for (int k = 0; k < SWITCHES; k++) {
        uint8_t on = switched >> k & 1;
        put_key(switches[k], BOOL);
        put(&on, 1);
    }
    /* numbers, where switches[] are booleans */
    static const char *const counted[] = {"normalizer.join_spaces", "pre_tokenizer.prepends", "decoder.strip"};
    for (int k = 0; k < 3; k++) {
        put_key(counted[k], U32);
        put_32(numbers >> 2 * k & 3);
    }
    size_t size = take(in);
    size |= (size_t)take(in) << 8;
    const uint8_t *map = take_bytes(in, &size);
    if (size) {
        put_array("precompiled_charsmap", U8, size);
        put(map, size);
        memcpy(file + count_at, &(uint64_t){VALUES + 1}, 8);
    }
}

/* Repeats the text, because the tokenizer caches words only for texts of 4,096 bytes or more. */
static void use_long_text(const nb_model *m, const uint8_t *text, size_t size) {
    enum { LONG = 4200 };
    uint8_t *all = fuzz_memory(LONG);
    for (size_t i = 0; i < LONG; i++)
        all[i] = text[i % size];
    fuzz_text(m, all, LONG, NULL, 0);
    free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    input in = {data, data + size};
    write_file(&in);
    nb_error err;
    nb_model *m = fuzz_load(file, written, SIZE_MAX, NB_LOAD_HEADER, &err);
    if (!m)
        return 0;
    demand(nb_model_describe(m, NULL, 0) > 2);
    size_t text = (size_t)(in.end - in.at);
    if (data[0] & 8 && text)
        use_long_text(m, in.at, text);
    else
        fuzz_text(m, in.at, text, NULL, 0);
    nb_model_free(m);
    return 0;
}
