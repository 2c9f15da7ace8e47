/* libFuzzer target of the converter, with the loader behind it. Any files of a Hugging Face folder, or parts of a split
 * GGUF, give a model that answers, or an error. The result does not depend on the pieces that the bytes come in.
 *
 * Input: byte 0 chooses the size of the pieces; byte 1 has the flags (see load); two bytes for the allocation that
 * fails (0: none); choices and a text (fuzz.h); then files one after the other: a byte for the name (an index into
 * names[], modulo its length), three for the size, and the bytes. The last file may be cut off. */
#include "fuzz.h"

#include "../../src/base/text.h"
#include "../../src/types/types.h"
#include "../core/drain.h"

/* Names that the files may have; folder_seeds.js reads this table. */
static const char *const names[] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "tokenizer.model",
    "chat_template.jinja",
    "quantize_config.json",
    "quant_config.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "1_Pooling/config.json",
    "2_Dense/config.json",
    "3_Dense/config.json",
    "4_Dense/config.json",
    "3_Dropout/config.json",
    "3_Normalize/config.json",
    "4_LayerNorm/config.json",
    "model.safetensors",
    "model-00002-of-00002.safetensors",
    "2_Dense/model.safetensors",
    "3_Dense/model.safetensors",
    "4_Dense/model.safetensors",
    "4_LayerNorm/model.safetensors",
    "a-00001-of-00002.gguf",
    "a-00002-of-00002.gguf",
};
static const char *const presets[8] = {NULL, "nf4", "iq3_m", "int8", "q8_0", "q4_k_m", "q4_0", "bf16"};
enum {
    NAMES = sizeof names / sizeof *names,
    FIRST_WEIGHTS = 20, /* the index of model.safetensors in names[] */
    MOST_FILES = 20,
    BEFORE = 4 + FUZZ_CHOICES + FUZZ_TEXT
};

typedef struct file {
    const char *name;
    const uint8_t *bytes;
    size_t size;
} file;

/* Where the converter's output goes: its hash, and the loader, if there is one. */
typedef struct sink {
    nb_loader *l;
    uint64_t hash; /* FNV-1a */
} sink;

static int32_t drain(nb_converter *x, sink *to, nb_error *err) {
    const uint8_t *bytes;
    int32_t n, code = NB_OK;
    while (!code && (n = nb_converter_take(x, &bytes, err)) != 0) {
        for (int32_t i = 0; i < n; i++)
            to->hash = (to->hash ^ bytes[i]) * 0x100000001b3;
        if (n < 0)
            code = n;
        else if (to->l)
            code = test_feed(to->l, bytes, (size_t)n, err);
    }
    return code;
}

static int32_t give(nb_converter *x, sink *to, const file *f, size_t from, size_t piece, nb_error *err) {
    int32_t code = NB_OK;
    while (from < f->size && code >= 0) {
        size_t capacity;
        uint8_t *space = nb_converter_space(x, &capacity);
        if (!capacity)
            break;
        size_t n = NB_MIN(NB_MIN(piece, capacity), f->size - from);
        memcpy(space, f->bytes + from, n);
        from += n;
        code = nb_converter_commit(x, n, err);
        demand(code <= 0);
        if (code >= 0)
            code = drain(x, to, err);
        demand(code <= 0);
    }
    return code;
}

/* Makes the plan, and chooses other types for most tensors. */
static int32_t choose_types(nb_converter *x, nb_error *err) {
    static const uint32_t types[] = {NB_TYPE_Q6_K, NB_TYPE_Q4_0, NB_TYPE_IQ3_S,
                                     NB_TYPE_F32,  NB_TYPE_NF4,  NB_TYPE_TQ1_0};
    int32_t n = nb_converter_plan(x, err);
    for (int32_t i = 0; i < n && i < 100; i++) {
        nb_planned_tensor t;
        demand(nb_converter_planned(x, (uint32_t)i, &t, err) >= 0 && t.name[t.name_bytes] == 0);
        if (i % 7)
            demand(nb_converter_choose(x, (uint32_t)i, types[i % 7 - 1], err) >= 0);
    }
    return NB_MIN(n, 0);
}

/* Flags: 1: only the header; 2: the converter is told the files' sizes; 4, 8, 16: an index into presets[]; 32: double
 * quantization, or with 64 a file for other programs, with several types; 64: there is no loader, so the converter gets
 * further, as nothing refuses its output. *hash: of the output. */
static nb_model *load(const file *files, int32_t n, size_t piece, uint32_t flags, uint64_t *hash, nb_error *err) {
    *err = (nb_error){0};
    bool alone = flags & 64;
    nb_converter *x = nb_converter_new(flags & 1 ? NB_CONVERT_HEADER : NB_CONVERT_ALL, err);
    nb_loader *l = alone || !x ? NULL : nb_loader_new(0, flags & 1 ? NB_LOAD_HEADER : NB_LOAD_ALL, err);
    sink *to = &(sink){l, 0xcbf29ce484222325};
    int32_t code = x && (l || alone) ? NB_OK : err->code, weights[MOST_FILES], n_weights = 0;
    const char *preset = presets[flags >> 2 & 7];
    uint32_t how = !(flags >> 5 & 1) ? NB_QUANTIZE_PLAINLY
                 : alone             ? NB_QUANTIZE_FILE | NB_QUANTIZE_AGAIN
                                     : NB_QUANTIZE_DOUBLY;
    if (preset && code >= 0)
        demand_same(code = nb_converter_quantize(x, preset, nb_length(preset), how, err), NB_OK);
    for (int32_t i = 0; i < n && code >= 0; i++) {
        bool is_weights = true;
        for (int32_t k = 0; k < FIRST_WEIGHTS; k++)
            is_weights &= names[k] != files[i].name;
        if (is_weights)
            weights[n_weights++] = i;
        code =
            nb_converter_begin(x, files[i].name, nb_length(files[i].name), flags & 2 ? (double)files[i].size : 0, err);
        if (code >= 0)
            code = give(x, to, &files[i], 0, piece, err);
        if (code >= 0)
            code = nb_converter_end(x, err);
    }
    if (code >= 0 && how & NB_QUANTIZE_FILE)
        code = choose_types(x, err);
    double offset;
    while (code >= 0 && (code = nb_converter_next(x, &offset, err)) >= 0) {
        demand(code <= n_weights && offset >= 0);
        int32_t number = code;
        code = drain(x, to, err);
        demand(code <= 0);
        if (code < 0 || number == 0)
            break;
        const file *f = &files[weights[number - 1]];
        code = give(x, to, f, offset < (double)f->size ? (size_t)offset : f->size, piece, err);
    }
    nb_model *m = code >= 0 && l ? nb_loader_finish(l, err) : NULL;
    demand(m || (alone && code >= 0) || (err->code < 0 && err->message[0]));
    *hash = to->hash;
    nb_loader_free(l);
    nb_converter_free(x);
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t pieces[] = {1, 3, 7, 16, 100, 999, 4096, 65536};
    if (size < BEFORE)
        return 0;
    size_t piece = NB_MAX(pieces[data[0] % 8], size / 64);
    uint32_t flags = data[1];
    file files[MOST_FILES];
    int32_t n = 0;
    for (size_t at = BEFORE; at + 4 <= size && n < MOST_FILES; n++) {
        size_t told = data[at + 1] | (size_t)data[at + 2] << 8 | (size_t)data[at + 3] << 16,
               length = NB_MIN(told, size - at - 4);
        files[n] = (file){names[data[at] % NAMES], data + at + 4, length};
        at += 4 + length;
    }
    nb_error whole_error, cut_error;
    uint64_t whole_hash, cut_hash;
    fuzz_refuse(data[2] | (uint64_t)data[3] << 8);
    nb_model *whole = load(files, n, size, flags, &whole_hash, &whole_error);
    if (whole && !(flags & 1))
        fuzz_answer(whole, data + 4, data + 4 + FUZZ_CHOICES);
    else if (whole)
        fuzz_text(whole, data + 4 + FUZZ_CHOICES, FUZZ_TEXT, NULL, 0);
    if (!fuzz_refused) {
        nb_model *cut = load(files, n, piece, flags, &cut_hash, &cut_error);
        demand((whole == NULL) == (cut == NULL));
        demand(whole || whole_error.code == cut_error.code);
        demand(whole_error.code || whole_hash == cut_hash);
        nb_model_free(cut);
    }
    nb_model_free(whole);
    fuzz_refuse(0);
    return 0;
}
