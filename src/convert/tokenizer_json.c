#include "tokenizer_json.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../text/vocabulary.h"

enum { MOST_TOKENS = 1 << 24 };

typedef struct entry {
    nb_node name;
    uint32_t type; /* NB_TOKEN_...; 0: no token has this id */
} entry;

typedef struct composition {
    nb_composer *x;
    nb_node tokenizer, config, model; /* config: tokenizer_config.json; model: the tokenizer's */
    entry *tokens;                    /* [size], by id */
    uint32_t size;
    bool pieces;                      /* SentencePiece's way: spaces are U+2581, bytes are <0xHH> */
    nb_error *err;
} composition;

static nb_node find2(nb_node object, const char *first, const char *second) {
    return nb_node_find(nb_node_find(object, first), second);
}

/* A node of this type, the node itself or the first one of a Sequence of them. */
static nb_node of_type(nb_node node, const char *list, const char *type) {
    if (nb_node_is(nb_node_find(node, "type"), type))
        return node;
    for (nb_walk w = nb_walk_of(nb_node_find(node, list)); nb_walk_next(&w);)
        if (nb_node_is(nb_node_find(w.value, "type"), type))
            return w.value;
    return (nb_node){0};
}

/* ---- pre-tokenizers -------------------------------------------------------------------------------------------- */

/* The regular expressions of Split, as JSON writes them, and whose they are in GGUF. */
#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
static const struct { const char *regex, *whole_words, *merged; } splits[] = {
    {CONTRACTIONS "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}" REST, "llama-bpe", "dbrx"},
    {CONTRACTIONS "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}" REST, NULL, "qwen2"},
};

/* GGUF's name for what cuts a text into words before byte-level BPE; NULL if nibble has none. */
static const char *pretokenizer_of(const composition *p) {
    nb_node pre = nb_node_find(p->tokenizer, "pre_tokenizer"), bytes = of_type(pre, "pretokenizers", "ByteLevel");
    nb_node split = of_type(pre, "pretokenizers", "Split"), digits = of_type(pre, "pretokenizers", "Digits");
    bool whole_words = nb_node_number(nb_node_find(p->model, "ignore_merges"), 0) != 0;
    uint32_t steps = 0;
    for (nb_walk w = nb_walk_of(nb_node_find(pre, "pretokenizers")); nb_walk_next(&w);)
        steps++;
    if (!bytes.at || nb_node_number(nb_node_find(bytes, "add_prefix_space"), 1) != 0)
        return NULL;
    if (nb_node_number(nb_node_find(bytes, "use_regex"), 1) != 0) {
        if (steps <= 1)
            return whole_words ? NULL : "gpt-2";
        bool single = steps == 2 && nb_node_number(nb_node_find(digits, "individual_digits"), 0) != 0;
        return single && !whole_words ? "smollm" : NULL;
    }
    nb_text regex = nb_node_raw(find2(split, "pattern", "Regex"));
    for (size_t i = 0; i < sizeof splits / sizeof *splits && steps == 2; i++)
        if (regex.data && nb_text_is(regex, splits[i].regex) && nb_node_is(nb_node_find(split, "behavior"), "Isolated"))
            return whole_words ? splits[i].whole_words : splits[i].merged;
    return NULL;
}

/* ---- the vocabulary -------------------------------------------------------------------------------------------- */

static int32_t add_token(composition *p, nb_node name, nb_node id, uint32_t type) {
    double number = nb_node_number(id, -1);
    if (!(number >= 0 && number < p->size) || number != (double)(uint32_t)number)
        return NB_FAIL(p->err, NB_ERR_FORMAT, "tokenizer.json gives token %t an impossible id; the file is damaged",
                       nb_node_raw(name));
    p->tokens[(uint32_t)number] = (entry){name, type};
    return NB_OK;
}

static void find_largest(nb_node id, double *largest) {
    *largest = NB_MAX(*largest, nb_node_number(id, -1));
}

/* <0xHH> */
static bool is_byte_name(nb_node name) {
    nb_text raw = nb_node_raw(name);
    return raw.size == 6 && nb_compare(raw.data, "<0x", 3) == 0 && raw.data[5] == '>';
}

static int32_t collect_tokens(composition *p) {
    nb_node vocabulary = nb_node_find(p->model, "vocab"), added = nb_node_find(p->tokenizer, "added_tokens");
    double largest = -1;
    for (nb_walk w = nb_walk_of(vocabulary); nb_walk_next(&w);)
        find_largest(w.value, &largest);
    for (nb_walk w = nb_walk_of(added); nb_walk_next(&w);)
        find_largest(nb_node_find(w.value, "id"), &largest);
    if (nb_node_first(vocabulary) != '{' || largest < 0 || largest >= MOST_TOKENS)
        return NB_FAIL(p->err, NB_ERR_FORMAT, "tokenizer.json has no vocabulary of 1 to %u tokens; the file is damaged",
                       (uint32_t)MOST_TOKENS);
    p->size = (uint32_t)largest + 1;
    p->tokens = nb_alloc(p->size * sizeof *p->tokens);
    if (!p->tokens)
        return NB_FAIL(p->err, NB_ERR_MEMORY, "no memory for %u tokens", p->size);
    memset(p->tokens, 0, p->size * sizeof *p->tokens);
    nb_text unknown = nb_node_raw(nb_node_find(p->model, "unk_token"));
    for (nb_walk w = nb_walk_of(vocabulary); nb_walk_next(&w);) {
        bool is_unknown = p->pieces && unknown.data && nb_text_equal(nb_node_raw(w.key), unknown);
        NB_TRY(add_token(p, w.key, w.value,
                         is_unknown                         ? NB_TOKEN_UNKNOWN
                         : p->pieces && is_byte_name(w.key) ? NB_TOKEN_BYTE
                                                            : NB_TOKEN_NORMAL));
    }
    for (nb_walk w = nb_walk_of(added); nb_walk_next(&w);) {
        nb_node name = nb_node_find(w.value, "content");
        bool special = nb_node_number(nb_node_find(w.value, "special"), 0) != 0;
        bool is_unknown = p->pieces && unknown.data && nb_text_equal(nb_node_raw(name), unknown);
        NB_TRY(add_token(p, name, nb_node_find(w.value, "id"),
                         is_unknown ? NB_TOKEN_UNKNOWN
                         : special  ? NB_TOKEN_CONTROL
                                    : NB_TOKEN_USER_DEFINED));
    }
    return NB_OK;
}

static void compose_vocabulary(const composition *p) {
    nb_composer *x = p->x;
    nb_compose_array(x, "tokenizer.ggml.tokens", NB_VALUE_STRING);
    for (uint32_t i = 0; i < p->size; i++)
        nb_compose_item(x, p->tokens[i].name, (nb_node){0});
    nb_compose_array(x, "tokenizer.ggml.token_type", NB_VALUE_U32);
    for (uint32_t i = 0; i < p->size; i++)
        nb_compose_u32(x, p->tokens[i].type ? p->tokens[i].type : NB_TOKEN_UNUSED);
    nb_compose_array(x, "tokenizer.ggml.merges", NB_VALUE_STRING);
    for (nb_walk w = nb_walk_of(nb_node_find(p->model, "merges")); nb_walk_next(&w);) {
        if (nb_node_first(w.value) == '"') { /* "left right" */
            nb_compose_item(x, w.value, (nb_node){0});
            continue;
        }
        nb_walk two = nb_walk_of(w.value); /* ["left", "right"] */
        nb_node left = nb_walk_next(&two) ? two.value : (nb_node){0},
                right = nb_walk_next(&two) ? two.value : (nb_node){0};
        nb_compose_item(x, left, right);
    }
}

/* ---- beginnings and ends --------------------------------------------------------------------------------------- */

/* The id of a token by its name, or -1. The name may come as { content }. */
static double id_of(const composition *p, nb_node name) {
    if (nb_node_first(name) == '{')
        name = nb_node_find(name, "content");
    nb_text wanted = nb_node_raw(name);
    for (uint32_t i = 0; wanted.data && i < p->size; i++)
        if (p->tokens[i].type && nb_text_equal(nb_node_raw(p->tokens[i].name), wanted))
            return i;
    return -1;
}

/* A token id, or the first of a list of them; -1 if there is none. */
static double first_id(nb_node n) {
    nb_walk w = nb_walk_of(n);
    return nb_walk_next(&w) ? nb_node_number(w.value, -1) : nb_node_number(n, -1);
}

static void compose_id(const composition *p, const char *key, nb_node name, nb_node id, nb_node other_id) {
    double value = id_of(p, name);
    value = value >= 0 ? value : first_id(id);
    value = value >= 0 ? value : first_id(other_id);
    nb_compose_number(p->x, key, value); /* -1: none, and then GGUF's fallbacks do not count either */
}

/* What the post-processor puts around a text, or what tokenizer_config.json says where it puts nothing. */
static void compose_template(const composition *p) {
    nb_node template = of_type(nb_node_find(p->tokenizer, "post_processor"), "processors", "TemplateProcessing");
    bool begins = false, ends = false, text_seen = false;
    for (nb_walk w = nb_walk_of(nb_node_find(template, "single")); nb_walk_next(&w);) {
        bool special = nb_node_find(w.value, "SpecialToken").at != NULL;
        begins |= special && !text_seen;
        ends |= special && text_seen;
        text_seen |= !special;
    }
    if (!template.at) {
        begins = nb_node_number(nb_node_find(p->config, "add_bos_token"), 0) != 0;
        ends = nb_node_number(nb_node_find(p->config, "add_eos_token"), 0) != 0;
    }
    nb_compose_number(p->x, "tokenizer.ggml.add_bos_token", begins);
    nb_compose_number(p->x, "tokenizer.ggml.add_eos_token", ends);
}

/* ---- the kinds ------------------------------------------------------------------------------------------------- */

/* Whether a text gets a space in front: by Prepend, in the normalizer, always; by Metaspace as it says. */
static void compose_space(const composition *p) {
    nb_node metaspace = of_type(nb_node_find(p->tokenizer, "pre_tokenizer"), "pretokenizers", "Metaspace");
    nb_node scheme = nb_node_find(metaspace, "prepend_scheme"), old = nb_node_find(metaspace, "add_prefix_space");
    bool prepend = of_type(nb_node_find(p->tokenizer, "normalizer"), "normalizers", "Prepend").at != NULL;
    bool space = metaspace.at && (scheme.at ? !nb_node_is(scheme, "never") : nb_node_number(old, 1) != 0);
    nb_compose_number(p->x, "tokenizer.ggml.add_space_prefix", prepend || space);
    nb_compose_number(p->x, "tokenizer.ggml.add_space_prefix_at_start", space && nb_node_is(scheme, "first"));
    nb_compose_number(p->x, "tokenizer.ggml.add_space_prefix_to_words", space);
}

static int32_t compose_kind(composition *p) {
    nb_text type = nb_node_raw(nb_node_find(p->model, "type"));
    bool bpe = type.data ? nb_text_is(type, "BPE") : nb_node_find(p->model, "merges").at != NULL;
    if (!bpe)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "tokenizer.json: a tokenizer of the type \"%t\" is not supported; BPE is", type);
    p->pieces = nb_node_number(nb_node_find(p->model, "byte_fallback"), 0) != 0;
    nb_compose_string(p->x, "tokenizer.ggml.model", nb_text_of(p->pieces ? "llama" : "gpt2"));
    if (p->pieces) {
        compose_space(p);
        return NB_OK;
    }
    const char *pre = pretokenizer_of(p);
    if (!pre)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "tokenizer.json: this pre_tokenizer is none of those that nibble knows for byte-level BPE "
                       "(GPT-2's, SmolLM's, Llama 3's, Qwen 2's); take a GGUF file of the model");
    nb_compose_string(p->x, "tokenizer.ggml.pre", nb_text_of(pre));
    return NB_OK;
}

int32_t nb_tokenizer_compose(nb_composer *x, nb_node tokenizer, nb_node tokenizer_config, nb_node config,
                             nb_node generation, nb_error *err) {
    if (!tokenizer.at)
        return NB_OK;
    composition p = {.x = x,
                     .tokenizer = tokenizer,
                     .config = tokenizer_config,
                     .model = nb_node_find(tokenizer, "model"),
                     .err = err};
    NB_TRY(compose_kind(&p));
    int32_t code = collect_tokens(&p);
    if (code == NB_OK) {
        compose_vocabulary(&p);
        compose_id(&p, "tokenizer.ggml.bos_token_id", nb_node_find(tokenizer_config, "bos_token"),
                   nb_node_find(generation, "bos_token_id"), nb_node_find(config, "bos_token_id"));
        nb_node ends = nb_node_find(generation, "eos_token_id");
        ends = ends.at ? ends : nb_node_find(config, "eos_token_id");
        compose_id(&p, "tokenizer.ggml.eos_token_id", nb_node_find(tokenizer_config, "eos_token"), ends, (nb_node){0});
        compose_id(&p, "tokenizer.ggml.unknown_token_id", nb_node_find(p.model, "unk_token"), (nb_node){0},
                   (nb_node){0});
        compose_template(&p);
        nb_compose_array(x, "tokenizer.ggml.end_token_ids", NB_VALUE_F32);
        if (nb_node_first(ends) != '[')
            nb_compose_f32(x, (float)nb_node_number(ends, -1));
        for (nb_walk w = nb_walk_of(ends); nb_walk_next(&w);)
            nb_compose_f32(x, (float)nb_node_number(w.value, -1));
        code = x->code;
    }
    nb_free(p.tokens);
    return code;
}
