/* A model as one JSON object, for `nibble inspect`, for the page, and for the JavaScript layer:
 *
 *   format, version, architecture, name, bytes          of the file
 *   parameters                                           weights, all tensors together
 *   vocabulary, layers, width, feedForward, heads, kvHeads, headSize, context, encoder, causal, window, ropeBase
 *                                                        the shape (absent without weights, or if not supported)
 *   unsupported                                          why the model cannot run, if it cannot
 *   kvBytesPerToken                                      of an F16 cache
 *   embedding { size, prompts { name: text }, defaultPrompt, includePrompt (false: prompts are not pooled),
 *               maxTokens (longer texts are cut), cutsLeft,
 *               scores (of a reranker: how many its head gives; size is the same number) }
 *                                                        what a text's embedding is (models/embedding.h)
 *   tokenizer { kind, pre, nfc (texts are composed first), cleansUp (see nb_detokenizer_new), size, begin, end,
 *               beginText, endText }
 *   chatTemplate                                         Jinja source, or absent
 *   types [{ type, tensors, bytes, share }]              largest share first
 *   tensors [{ name, type, shape, bytes }]               shape as the file has it: fastest side first
 *   metadata { key: value }                              strings cut at 4,096 bytes; arrays as { array, count }
 */
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../formats/gguf.h"
#include "../types/traits.h"
#include "bind.h"
#include "family.h"
#include "outliers.h"

static const char *const VALUE_NAMES[NB_VALUE_COUNT] = {
    "u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64",
};

static uint64_t weights_in(const nb_tensor_info *t) {
    return t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3];
}

/* JSON keys are zero-terminated; the file's are not, and may be long. */
static void write_key(nb_text key, char *out, size_t capacity) {
    size_t n = NB_MIN(key.size, capacity - 1);
    memcpy(out, key.data, n);
    out[n] = 0;
}

/* What sentence-transformers' files say about texts. The host has to apply it. */
static void write_embedding(nb_writer *w, const nb_model *model) {
    const nb_checkpoint *c = &model->checkpoint;
    const nb_value *names = nb_checkpoint_find(c, "nibble.embedding.prompt_names");
    const nb_value *prompts = nb_checkpoint_find(c, "nibble.embedding.prompts");
    nb_text chosen = nb_checkpoint_string(c, "nibble.embedding.default_prompt");
    double most = nb_checkpoint_number(c, "nibble.embedding.max_tokens", 0);
    nb_json_open(w, "embedding", '{');
    nb_json_number(w, "size", model->embedding_steps.size);
    if (model->embedding_steps.head)
        nb_json_number(w, "scores", model->embedding_steps.size);
    bool strings = names && prompts && names->item_type == NB_VALUE_STRING && prompts->item_type == NB_VALUE_STRING;
    if (strings && names->count == prompts->count) {
        uint64_t name_at = names->at, prompt_at = prompts->at;
        nb_json_open(w, "prompts", '{');
        for (uint64_t i = 0; i < names->count; i++) {
            char key[256];
            write_key(nb_checkpoint_next_string(c, &name_at), key, sizeof key);
            nb_json_string(w, key, nb_checkpoint_next_string(c, &prompt_at));
        }
        nb_json_close(w, '}');
    }
    if (chosen.data)
        nb_json_string(w, "defaultPrompt", chosen);
    nb_json_bool(w, "includePrompt", nb_checkpoint_number(c, "nibble.embedding.include_prompt", 1) != 0);
    if (most >= 1)
        nb_json_number(w, "maxTokens", most);
    if (nb_checkpoint_number(c, "nibble.embedding.cuts_left", 0) != 0)
        nb_json_bool(w, "cutsLeft", true);
    nb_json_close(w, '}');
}

static void write_shape(nb_writer *w, const nb_model *model) {
    const nb_shape *s = &model->shape;
    nb_json_number(w, "vocabulary", s->vocabulary);
    nb_json_number(w, "layers", s->layers);
    nb_json_number(w, "width", s->width);
    nb_json_number(w, "feedForward", s->feed_forward);
    nb_json_number(w, "heads", s->heads);
    nb_json_number(w, "kvHeads", s->kv_heads);
    nb_json_number(w, "headSize", s->head_size);
    nb_json_number(w, "context", s->context);
    if (s->encoder)
        nb_json_bool(w, "encoder", true);
    if (s->bidirectional)
        nb_json_bool(w, "causal", false);
    if (s->window)
        nb_json_number(w, "window", s->window);
    nb_json_number(w, "ropeBase", s->ropes[0].base);
    nb_json_number(w, "kvBytesPerToken", (double)nb_model_kv_token_bytes(model, NB_TYPE_I16));
    write_embedding(w, model);
}

/* What a model of integers says of its shape (docs/integer.md). nb_integer_model_new checks it. */
static void write_integers(nb_writer *w, const nb_checkpoint *c) {
    static const char *const names[][2] = {
        {"vocabulary", "integer.vocabulary"},    {"layers", "integer.layers"},   {"width", "integer.width"},
        {"feedForward", "integer.feed_forward"}, {"heads", "integer.heads"},     {"kvHeads", "integer.kv_heads"},
        {"headSize", "integer.head_size"},       {"context", "integer.context"},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        nb_json_number(w, names[i][0], nb_checkpoint_number(c, names[i][1], 0));
    /* keys and values are codes of a byte, with a scale of 8 bytes for each head (integer_session.h) */
    nb_json_number(w, "kvBytesPerToken",
                   2 * nb_checkpoint_number(c, "integer.layers", 0) * nb_checkpoint_number(c, "integer.kv_heads", 0) *
                       (nb_checkpoint_number(c, "integer.head_size", 0) + 8));
}

/* If only the header was read, the checks of loading are run on it, so that no model is described as supported that
 * loading would refuse. */
static void write_model(nb_writer *w, const nb_model *model) {
    if (model->family) {
        write_shape(w, model);
        return;
    }
    if (nb_text_is(nb_checkpoint_string(&model->checkpoint, "general.architecture"), NB_INTEGER_ARCHITECTURE)) {
        write_integers(w, &model->checkpoint);
        return;
    }
    nb_model trial = {0};
    nb_error err = model->tokenizer_error;
    if (!err.code && model->checkpoint.n_tensors && nb_model_try(model, &trial, &err) == NB_OK)
        write_shape(w, &trial);
    else if (err.code)
        nb_json_string(w, "unsupported", nb_text_of(err.message));
    nb_model_trial_free(&trial);
}

static void write_tokenizer(nb_writer *w, const nb_model *model) {
    const nb_tokenizer *t = model->tokenizer;
    if (!t)
        return;
    nb_json_open(w, "tokenizer", '{');
    nb_json_string(w, "kind", nb_text_of(nb_tokenizer_kind(t)));
    nb_text pre = nb_checkpoint_string(&model->checkpoint, "tokenizer.ggml.pre");
    if (pre.data)
        nb_json_string(w, "pre", pre);
    if (nb_tokenizer_composes(t))
        nb_json_bool(w, "nfc", true);
    /* GGUF has no key for it. llama.cpp cleans up texts of WordPiece, and of some BPE, where transformers never
     * does. */
    bool pieces = nb_text_is(nb_text_of(nb_tokenizer_kind(t)), "wordpiece");
    if (nb_checkpoint_number(&model->checkpoint, "tokenizer.ggml.decoder.clean_up", pieces) > 0)
        nb_json_bool(w, "cleansUp", true);
    nb_json_number(w, "size", nb_tokenizer_size(t));
    int32_t begin = nb_tokenizer_begin(t), end = nb_tokenizer_end(t);
    nb_json_number(w, "begin", begin);
    nb_json_number(w, "end", end);
    nb_json_string(w, "beginText", begin < 0 ? nb_text_of("") : nb_tokenizer_name(t, begin));
    nb_json_string(w, "endText", end < 0 ? nb_text_of("") : nb_tokenizer_name(t, end));
    nb_json_close(w, '}');
}

static void write_types(nb_writer *w, const nb_checkpoint *c) {
    uint64_t count[NB_TYPE_LIMIT] = {0}, bytes[NB_TYPE_LIMIT] = {0}, all = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        count[c->tensors[i].type]++;
        bytes[c->tensors[i].type] += c->tensors[i].bytes;
        all += c->tensors[i].bytes;
    }
    nb_json_open(w, "types", '[');
    for (;;) {
        uint32_t top = 0;
        for (uint32_t type = 1; type < NB_TYPE_LIMIT; type++)
            if (bytes[type] > bytes[top])
                top = type;
        if (!bytes[top])
            break;
        nb_json_open(w, NULL, '{');
        nb_json_string(w, "type", nb_text_of(nb_traits_of(top)->name));
        nb_json_number(w, "tensors", (double)count[top]);
        nb_json_number(w, "bytes", (double)bytes[top]);
        nb_json_number(w, "share", (double)bytes[top] / (double)all);
        nb_json_close(w, '}');
        bytes[top] = 0;
    }
    nb_json_close(w, ']');
}

static void write_tensors(nb_writer *w, const nb_checkpoint *c) {
    nb_json_open(w, "tensors", '[');
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_tensor_info *t = &c->tensors[i];
        nb_json_open(w, NULL, '{');
        nb_json_string(w, "name", nb_checkpoint_tensor_name(c, t));
        nb_json_string(w, "type", nb_text_of(nb_traits_of(t->type)->name));
        nb_json_open(w, "shape", '[');
        for (uint32_t d = 0; d < t->n_dimensions; d++)
            nb_json_number(w, NULL, (double)t->shape[d]);
        nb_json_close(w, ']');
        nb_json_number(w, "bytes", (double)t->bytes);
        nb_json_close(w, '}');
    }
    nb_json_close(w, ']');
}

static void write_metadata(nb_writer *w, const nb_checkpoint *c) {
    enum { LONGEST = 4096 };
    nb_json_open(w, "metadata", '{');
    for (uint64_t i = 0; i < c->n_values; i++) {
        const nb_value *v = &c->values[i];
        char key[256];
        write_key(nb_checkpoint_key(c, v), key, sizeof key);
        if (v->type == NB_VALUE_STRING) {
            nb_json_string(w, key, (nb_text){(const char *)c->header + v->at, (size_t)NB_MIN(v->size, LONGEST)});
        } else if (v->type == NB_VALUE_ARRAY) {
            nb_json_open(w, key, '{');
            nb_json_string(w, "array", nb_text_of(VALUE_NAMES[v->item_type]));
            nb_json_number(w, "count", (double)v->count);
            nb_json_close(w, '}');
        } else if (v->type == NB_VALUE_BOOL) {
            nb_json_bool(w, key, nb_checkpoint_number_of(c, v) != 0);
        } else {
            nb_json_number(w, key, nb_checkpoint_number_of(c, v));
        }
    }
    nb_json_close(w, '}');
}

size_t nb_model_describe(const nb_model *model, char *out, size_t capacity) {
    const nb_checkpoint *c = &model->checkpoint;
    nb_writer w = nb_writer_over(out, capacity);
    nb_json_open(&w, NULL, '{');
    nb_text source = nb_checkpoint_string(c, "nibble.source");
    nb_json_string(&w, "format", source.data ? source : nb_text_of(c->format));
    nb_json_number(&w, "version", source.data && !nb_text_is(source, "GGUF") ? 0 : c->version);
    nb_text architecture = nb_checkpoint_string(c, "general.architecture"),
            name = nb_checkpoint_string(c, "general.name");
    if (architecture.data)
        nb_json_string(&w, "architecture", architecture);
    if (name.data)
        nb_json_string(&w, "name", name);
    nb_json_number(&w, "bytes", (double)c->total_bytes);
    uint64_t parameters = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++)
        if (!nb_outliers_name(nb_checkpoint_tensor_name(c, &c->tensors[i]))) /* the matrix has these columns, too */
            parameters += weights_in(&c->tensors[i]);
    nb_json_number(&w, "parameters", (double)parameters);
    write_model(&w, model);
    write_tokenizer(&w, model);
    nb_text chat = nb_checkpoint_string(c, "tokenizer.chat_template");
    if (chat.data)
        nb_json_string(&w, "chatTemplate", chat);
    write_types(&w, c);
    write_tensors(&w, c);
    write_metadata(&w, c);
    nb_json_close(&w, '}');
    return w.length;
}
