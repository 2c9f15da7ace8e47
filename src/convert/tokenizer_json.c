#include "tokenizer_json.h"

#include "../base/hash.h"
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../text/vocabulary.h"
#include "tokenizer_entries.h"
#include "tokenizer_steps.h"

#include <math.h>

/* Ids may have gaps, but one large id in a small file must not take gigabytes. */
enum { MOST_TOKENS = 1 << 24, MOST_GAPS = 1 << 16 };

/* The most tokens that the other files may add to those of tokenizer.json. */
enum { MOST_FURTHER = 1024 };

typedef struct composition {
    nb_composer *x;
    nb_node tokenizer, config, model; /* config: tokenizer_config.json; model: the tokenizer's */
    nb_node special_map, added;       /* special_tokens_map.json, added_tokens.json */
    nb_vocabulary_kind kind;
    nb_tokenizer_class class;
    nb_entry *tokens; /* [size], by id */
    uint32_t size, capacity;
    uint32_t rows;      /* of the embedding; 0: unknown */
    size_t longest;     /* bytes of the longest name, with its escapes */
    bool listed;        /* the vocabulary is a list, with scores: Unigram, and BPE of tokenizer.model */
    uint32_t n_further; /* tokens that were searched for by name */
    double unknown;     /* a token, or -1 */
    nb_error *err;
} composition;

/* ---- the vocabulary -------------------------------------------------------------------------------------------- */

static int32_t bad_id(const composition *p, nb_node name) {
    return NB_FAIL(p->err, NB_ERR_FORMAT, "tokenizer.json gives token %t an impossible id; the file is damaged",
                   nb_node_raw(name));
}

/* The entry with this id, or NULL. */
static nb_entry *entry_at(const composition *p, double id) {
    return id >= 0 && id < p->size && id == (double)(uint32_t)id ? &p->tokens[(uint32_t)id] : NULL;
}

/* A string's decoded bytes in out[capacity]; .data = NULL: it is no string, or longer. */
static nb_text decoded(nb_node string, char *out, size_t capacity) {
    nb_text raw = nb_node_raw(string);
    return raw.data && raw.size <= capacity ? (nb_text){out, nb_node_decode(string, out)} : (nb_text){0};
}

nb_text nb_spelled(nb_node string, char *buffer) {
    nb_text raw = nb_node_raw(string);
    for (size_t i = 0; i < raw.size && raw.size <= NB_LONGEST_ESCAPED; i++)
        if (raw.data[i] == '\\')
            return decoded(string, buffer, NB_LONGEST_ESCAPED);
    return raw;
}

uint32_t nb_spelling_hash(nb_text text) {
    return nb_hash(0, text.data, text.size);
}

static bool same_string(nb_node a, nb_node b) {
    char x[NB_LONGEST_ESCAPED], y[NB_LONGEST_ESCAPED];
    nb_text one = nb_spelled(a, x), other = nb_spelled(b, y);
    return one.data && other.data && nb_text_equal(one, other);
}

static uint32_t hash_of(nb_node string) {
    char buffer[NB_LONGEST_ESCAPED];
    return nb_spelling_hash(nb_spelled(string, buffer));
}

/* The id of a token by its name, or -1. The name may come as { content }. */
static double id_of(const composition *p, nb_node name) {
    if (nb_node_first(name) == '{')
        name = nb_node_find(name, "content");
    uint32_t hash = hash_of(name);
    for (uint32_t i = 0; name.at && i < p->size; i++)
        if (p->tokens[i].hash == hash && p->tokens[i].type && same_string(p->tokens[i].name, name))
            return i;
    return -1;
}

/* <0xHH> */
static bool is_byte_name(nb_node name) {
    nb_text raw = nb_node_raw(name);
    return raw.size == 6 && nb_compare(raw.data, "<0x", 3) == 0 && raw.data[5] == '>';
}

/* The model's own vocabulary: { name: id }, or a list [[name, score], ...]. */
static int32_t collect_vocabulary(composition *p) {
    double place = 0;
    for (nb_members w = nb_members_of(nb_node_find(p->model, "vocab")); nb_members_next(&w); place++) {
        nb_members pair = nb_members_of(w.value);
        bool scored = p->listed && nb_members_next(&pair);
        nb_node name = scored ? pair.value : w.key;
        nb_entry *e = entry_at(p, scored ? place : nb_node_number(w.value, -1));
        if (!e || !nb_node_raw(name).data)
            return bad_id(p, name);
        bool byte = p->kind == NB_KIND_SPM && is_byte_name(name);
        *e = (nb_entry){
            .name = name,
            .hash = hash_of(name),
            .type = byte ? NB_TOKEN_BYTE : NB_TOKEN_NORMAL,
            .flags = NB_OWN,
        };
        if (scored && nb_members_next(&pair))
            e->score = (float)nb_node_number(pair.value, 0);
        if (!isfinite(e->score))
            return NB_FAIL(p->err, NB_ERR_FORMAT,
                           "tokenizer.json: the score of token %t is not finite as a float; the file is damaged",
                           nb_node_raw(name));
    }
    return NB_OK;
}

/* Turns the entry into an added token, by the object `token`. special: it is special even if that does not say so. */
static void set_added(nb_entry *e, nb_node name, nb_node token, bool special) {
    special |= nb_node_is_set(token, "special", false);
    uint32_t flags = NB_ADDED;
    flags |= e->flags & NB_OWN && same_string(e->name, name) ? NB_OWN : 0;
    flags |= special ? NB_SPECIAL : 0;
    flags |= nb_node_is_set(token, "lstrip", false) ? NB_STRIP_LEFT : 0;
    flags |= nb_node_is_set(token, "rstrip", false) ? NB_STRIP_RIGHT : 0;
    flags |= nb_node_is_set(token, "single_word", false) ? NB_WHOLE_WORD : 0;
    flags |= nb_node_is_set(token, "normalized", !special) ? NB_NORMALIZED : 0;
    e->flags = (uint8_t)flags;
    e->name = name;
    e->hash = hash_of(name);
    e->type = special ? NB_TOKEN_CONTROL : NB_TOKEN_USER_DEFINED;
}

static int32_t collect_added(composition *p) {
    for (nb_members w = nb_members_of(nb_node_find(p->tokenizer, "added_tokens")); nb_members_next(&w);) {
        nb_node name = nb_node_find(w.value, "content");
        nb_entry *e = entry_at(p, nb_node_number(nb_node_find(w.value, "id"), -1));
        if (!e || !nb_node_raw(name).data)
            return bad_id(p, name);
        set_added(e, name, w.value, false);
    }
    return NB_OK;
}

/* ---- tokens of tokenizer_config.json and special_tokens_map.json ----------------------------------------------- */

static const char *const token_keys[] = {
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
};
static const char *const list_keys[] = {"additional_special_tokens", "extra_special_tokens"};

/* The value of a key: that of special_tokens_map.json if tokenizer_config.json has no added_tokens_decoder, or else
 * that of tokenizer_config.json. */
static nb_node config_node(const composition *p, const char *key) {
    nb_node mapped =
        nb_node_find(p->config, "added_tokens_decoder").at ? (nb_node){0} : nb_node_find(p->special_map, key);
    return mapped.at ? mapped : nb_node_find(p->config, key);
}

static nb_node name_of(nb_node token) {
    return nb_node_first(token) == '{' ? nb_node_find(token, "content") : token;
}

/* *out: the entry of the token with this name, a new one if there is none. The file's id only says where to look
 * first. */
static int32_t entry_for(composition *p, nb_node name, double id, nb_entry **out) {
    *out = entry_at(p, id);
    if (*out && (*out)->type && same_string((*out)->name, name))
        return NB_OK;
    if (p->n_further++ == MOST_FURTHER)
        return NB_FAIL(p->err, NB_ERR_FORMAT,
                       "tokenizer_config.json has more than %u tokens that tokenizer.json does not have under the same "
                       "ids; the files do not belong together",
                       (uint32_t)MOST_FURTHER);
    id = id_of(p, name);
    *out = id >= 0 ? entry_at(p, id) : &p->tokens[p->size++];
    return NB_OK;
}

/* Adds the special token that a key names, unless it was added before. */
static int32_t add_special(composition *p, nb_node token) {
    nb_node name = name_of(token);
    nb_entry *e;
    if (!nb_node_raw(name).size)
        return NB_OK;
    NB_TRY(entry_for(p, name, -1, &e));
    if (!(e->flags & NB_ADDED))
        set_added(e, name, token, true);
    return NB_OK;
}

static int32_t collect_further(composition *p) {
    for (nb_members w = nb_members_of(nb_node_find(p->config, "added_tokens_decoder")); nb_members_next(&w);) {
        nb_node name = nb_node_find(w.value, "content");
        double id = 0; /* the key is a number as text */
        nb_text digits = nb_node_raw(w.key);
        for (size_t i = 0; i < digits.size && digits.data[i] >= '0' && digits.data[i] <= '9'; i++)
            id = 10 * id + (digits.data[i] - '0');
        nb_entry *e;
        if (!nb_node_raw(name).size)
            continue;
        NB_TRY(entry_for(p, name, id, &e));
        set_added(e, name, w.value, false);
    }
    bool is_listed = nb_node_find(p->config, "added_tokens_decoder").at; /* then added_tokens.json does not count */
    for (nb_members w = nb_members_of(is_listed ? (nb_node){0} : p->added); nb_members_next(&w);) { /* { name: id } */
        nb_entry *e;
        NB_TRY(entry_for(p, w.key, nb_node_number(w.value, -1), &e));
        if (!(e->flags & NB_ADDED))
            set_added(e, w.key, (nb_node){0}, false);
    }
    for (size_t i = 0; i < sizeof token_keys / sizeof *token_keys; i++)
        NB_TRY(add_special(p, config_node(p, token_keys[i])));
    for (size_t i = 0; i < sizeof list_keys / sizeof *list_keys; i++)
        for (nb_members w = nb_members_of(config_node(p, list_keys[i])); nb_members_next(&w);)
            NB_TRY(add_special(p, w.value));
    return NB_OK;
}

static int32_t collect_tokens(composition *p) {
    nb_node vocabulary = nb_node_find(p->model, "vocab");
    p->listed = nb_node_first(vocabulary) == '[' && (p->kind == NB_KIND_UNIGRAM || p->kind == NB_KIND_SPM);
    double largest = -1, place = 0, count = 0;
    for (nb_members w = nb_members_of(vocabulary); nb_members_next(&w); place++) {
        double id = p->listed ? place : nb_node_number(w.value, -1);
        largest = NB_MAX(largest, id);
        count++;
    }
    for (nb_members w = nb_members_of(nb_node_find(p->tokenizer, "added_tokens")); nb_members_next(&w);) {
        double id = nb_node_number(nb_node_find(w.value, "id"), -1);
        largest = NB_MAX(largest, id);
        count++;
    }
    bool shaped = p->listed || (p->kind != NB_KIND_UNIGRAM && nb_node_first(vocabulary) == '{');
    if (!shaped || largest < 0 || largest >= MOST_TOKENS)
        return NB_FAIL(p->err, NB_ERR_FORMAT, "tokenizer.json has no vocabulary of 1 to %u tokens; the file is damaged",
                       (uint32_t)MOST_TOKENS);
    if (largest >= 2 * count + MOST_GAPS)
        return NB_FAIL(p->err, NB_ERR_FORMAT,
                       "tokenizer.json has %u tokens, and one of them has the id %u; the file is damaged",
                       (uint32_t)count, (uint32_t)largest);
    p->size = (uint32_t)largest + 1;
    p->capacity = NB_MAX(p->size, p->rows) + MOST_FURTHER;
    p->tokens = nb_alloc_items(p->capacity, sizeof *p->tokens);
    if (!p->tokens)
        return NB_FAIL(p->err, NB_ERR_MEMORY, "no memory for %u tokens", p->capacity);
    memset(p->tokens, 0, p->capacity * sizeof *p->tokens);
    NB_TRY(collect_vocabulary(p));
    NB_TRY(collect_added(p));
    NB_TRY(collect_further(p));
    if (p->rows && p->size > p->rows)
        nb_compose_only_nibble(p->x, "its tokenizer has more tokens than its embedding has rows");
    p->size = NB_MAX(p->size, p->rows);
    for (uint32_t i = 0; i < p->size; i++)
        p->longest = NB_MAX(p->longest, nb_node_raw(p->tokens[i].name).size);
    nb_node by_id = nb_node_find(p->model, "unk_id");
    if (p->kind == NB_KIND_UNIGRAM && p->class.unknown >= 0)
        p->unknown = p->class.unknown;
    else
        p->unknown = by_id.at ? nb_node_number(by_id, -1) : id_of(p, nb_node_find(p->model, "unk_token"));
    nb_entry *unknown = p->kind == NB_KIND_BPE ? NULL : entry_at(p, p->unknown);
    if (unknown)
        unknown->type = NB_TOKEN_UNKNOWN;
    return NB_OK;
}

/* Whether an added token is also a word of WordPiece (nb_token_spelled). */
static bool is_marked(const nb_entry *e) {
    return e->type == NB_TOKEN_USER_DEFINED && e->flags & NB_OWN;
}

/* llama.cpp needs a distinct name for each row of the embedding. */
static void compose_gap(nb_composer *x, uint32_t id) {
    char name[24];
    nb_writer w = nb_writer_over(name, sizeof name);
    nb_write(&w, "[PAD%u]", id);
    nb_compose_text(x, (nb_text){name, w.length});
}

/* In GGUF, WordPiece's names begin with ▁ if they begin a word. In tokenizer.json they begin with ## if they continue
 * one. */
static int32_t compose_words(const composition *p) {
    char *buffer = nb_alloc(NB_METASPACE_SIZE + p->longest);
    if (!buffer)
        return NB_FAIL(p->err, NB_ERR_MEMORY, "no memory for a token's name of %z bytes", p->longest);
    memcpy(buffer, NB_METASPACE, NB_METASPACE_SIZE);
    for (uint32_t i = 0; i < p->size; i++) {
        if (!p->tokens[i].type) {
            compose_gap(p->x, i);
            continue;
        }
        nb_text name = decoded(p->tokens[i].name, buffer + NB_METASPACE_SIZE, p->longest);
        bool within = name.size > 2 && name.data[0] == '#' && name.data[1] == '#';
        bool word = p->tokens[i].type == NB_TOKEN_NORMAL || is_marked(&p->tokens[i]);
        nb_compose_text(p->x, !word                                 ? name
                              : within && !is_marked(&p->tokens[i]) ? (nb_text){name.data + 2, name.size - 2}
                                                                    : (nb_text){buffer, NB_METASPACE_SIZE + name.size});
    }
    nb_free(buffer);
    return NB_OK;
}

static int32_t compose_names(const composition *p) {
    nb_compose_array(p->x, "tokenizer.ggml.tokens", NB_VALUE_STRING);
    if (p->kind == NB_KIND_WORDPIECE)
        return compose_words(p);
    for (uint32_t i = 0; i < p->size; i++)
        if (p->tokens[i].type)
            nb_compose_item(p->x, p->tokens[i].name, (nb_node){0});
        else
            compose_gap(p->x, i);
    return NB_OK;
}

static void compose_merges(nb_composer *x, nb_node merges) {
    nb_compose_array(x, "tokenizer.ggml.merges", NB_VALUE_STRING);
    for (nb_members w = nb_members_of(merges); nb_members_next(&w);) {
        if (nb_node_first(w.value) == '"') { /* "left right" */
            nb_compose_item(x, w.value, (nb_node){0});
            continue;
        }
        nb_members two = nb_members_of(w.value); /* ["left", "right"] */
        nb_node left = nb_members_next(&two) ? two.value : (nb_node){0},
                right = nb_members_next(&two) ? two.value : (nb_node){0};
        nb_compose_item(x, left, right);
    }
}

static int32_t compose_scores(const composition *p, nb_node merges) {
    if (p->kind == NB_KIND_SPM && !p->listed) {
        bool done;
        NB_TRY(nb_entries_score(p->tokens, p->size, merges, &done, p->err));
        if (!done)
            nb_compose_only_nibble(p->x, "its tokens have no scores");
    }
    nb_compose_array(p->x, "tokenizer.ggml.scores", NB_VALUE_F32);
    for (uint32_t i = 0; i < p->size; i++)
        nb_compose_f32(p->x, p->tokens[i].score);
    return NB_OK;
}

static int32_t compose_vocabulary(const composition *p) {
    nb_composer *x = p->x;
    nb_node merges = nb_node_find(p->model, "merges");
    NB_TRY(compose_names(p));
    nb_compose_array(x, "tokenizer.ggml.token_type", NB_VALUE_I32);
    for (uint32_t i = 0; i < p->size; i++)
        nb_compose_u32(x, p->tokens[i].type ? p->tokens[i].type : NB_TOKEN_UNUSED);
    nb_compose_array(x, "tokenizer.ggml.token_flags", NB_VALUE_U8);
    for (uint32_t i = 0; i < p->size; i++)
        nb_compose_u8(x, p->tokens[i].flags);
    if (p->listed || p->kind == NB_KIND_SPM)
        NB_TRY(compose_scores(p, merges));
    if (!p->listed && p->kind != NB_KIND_WORDPIECE)
        compose_merges(x, merges);
    return NB_OK;
}

/* ---- beginnings and ends --------------------------------------------------------------------------------------- */

/* A token id, or the first of a list of them; -1 if there is none. */
static double first_id(nb_node n) {
    nb_members w = nb_members_of(n);
    return nb_members_next(&w) ? nb_node_number(w.value, -1) : nb_node_number(n, -1);
}

static double id_among(const composition *p, nb_node name, nb_node id, nb_node other_id) {
    double value = id_of(p, name);
    value = value >= 0 ? value : first_id(id);
    return value >= 0 ? value : first_id(other_id); /* -1: none, and then GGUF's default does not count either */
}

/* What a post-processor puts before and after a text: at most one token each. */
typedef struct around {
    double begin, end; /* or -1 */
    bool any, too_many;
} around;

static void read_template(const composition *p, nb_node template, around *out) {
    bool text_seen = false;
    for (nb_members w = nb_members_of(nb_node_find(template, "single")); !out->too_many && nb_members_next(&w);) {
        nb_node special = nb_node_find(w.value, "SpecialToken");
        double *slot = text_seen ? &out->end : &out->begin;
        text_seen |= !special.at;
        out->too_many |= special.at && *slot >= 0;
        if (special.at)
            *slot = id_of(p, nb_node_find(special, "id"));
    }
    out->any = true;
}

/* ["[SEP]", 102] */
static double second_of(nb_node pair) {
    nb_members w = nb_members_of(pair);
    nb_members_next(&w);
    return nb_members_next(&w) ? nb_node_number(w.value, -1) : -1;
}

/* Writes the key, if there is such a token. */
static void compose_id(const composition *p, const char *name, double id) {
    char key[64];
    nb_writer w = nb_writer_over(key, sizeof key);
    nb_write(&w, "tokenizer.ggml.%s", name);
    if (id >= 0 && id < p->size)
        nb_compose_number(p->x, key, id);
}

static int32_t compose_around(const composition *p, double begin, double end, double padding) {
    around a = {-1, -1, false, false};
    nb_steps s = nb_steps_of(p->tokenizer, "post_processor", "processors");
    bool known = !s.too_many;
    for (uint32_t i = 0; i < s.n; i++) {
        if (nb_step_is(s.step[i], "TemplateProcessing"))
            read_template(p, s.step[i], &a);
        else if (nb_step_is(s.step[i], "BertProcessing") || nb_step_is(s.step[i], "RobertaProcessing"))
            a = (around){
                .begin = second_of(nb_node_find(s.step[i], "cls")),
                .end = second_of(nb_node_find(s.step[i], "sep")),
                .any = true,
            };
        else
            known &= nb_step_is(s.step[i], "ByteLevel"); /* it only changes offsets */
    }
    if (!known || a.too_many)
        return nb_steps_refuse(p->err, p->kind, "post_processor", &s,
                               "TemplateProcessing with one token before and one after a text, BertProcessing, "
                               "RobertaProcessing, ByteLevel");
    bool words = p->kind == NB_KIND_WORDPIECE;
    compose_id(p, "bos_token_id", a.begin >= 0 ? a.begin : begin);
    compose_id(p, "eos_token_id", end);
    compose_id(p, "closing_token_id", a.any || words ? a.end : end);
    compose_id(p, "seperator_token_id", words ? a.end : id_of(p, config_node(p, "sep_token"))); /* (sic) */
    compose_id(p, "padding_token_id", padding);
    compose_id(p, "mask_token_id", id_of(p, config_node(p, "mask_token")));
    if (a.any && a.end >= 0 && a.end != end && !words)
        nb_compose_only_nibble(p->x, "the token that its tokenizer puts after a text is not the one that ends texts");
    nb_compose_flag(p->x, "tokenizer.ggml.add_bos_token", a.any && a.begin >= 0);
    nb_compose_flag(p->x, "tokenizer.ggml.add_eos_token", a.any && a.end >= 0);
    return NB_OK;
}

static int32_t compose_tokens(const composition *p, nb_node config, nb_node generation) {
    NB_TRY(compose_vocabulary(p));
    nb_node ends = nb_node_find(generation, "eos_token_id");
    ends = ends.at ? ends : nb_node_find(config, "eos_token_id");
    double begin = id_among(p, config_node(p, "bos_token"), nb_node_find(generation, "bos_token_id"),
                            nb_node_find(config, "bos_token_id"));
    double end = id_among(p, config_node(p, "eos_token"), ends, (nb_node){0});
    NB_TRY(
        compose_around(p, begin, end,
                       id_among(p, config_node(p, "pad_token"), nb_node_find(config, "pad_token_id"), (nb_node){0})));
    compose_id(p, "unknown_token_id", p->unknown);
    nb_compose_array(p->x, "tokenizer.ggml.end_token_ids", NB_VALUE_F32);
    if (nb_node_first(ends) != '[')
        nb_compose_f32(p->x, (float)nb_node_number(ends, -1));
    for (nb_members w = nb_members_of(ends); nb_members_next(&w);)
        nb_compose_f32(p->x, (float)nb_node_number(w.value, -1));
    return p->x->code;
}

/* ---- the kind of the model ------------------------------------------------------------------------------------- */

static bool is_said(nb_node object, const char *key) {
    nb_text text = nb_node_raw(nb_node_find(object, key));
    return text.data && text.size;
}

/* The nb_vocabulary_kind of the model, or -1. Old files do not name its type; then its members tell it. */
static int32_t kind_of(nb_node model) {
    nb_node type = nb_node_find(model, "type"), vocabulary = nb_node_find(model, "vocab");
    bool merges = nb_node_find(model, "merges").at, list = nb_node_first(vocabulary) == '[';
    bool bytes = nb_node_is_set(model, "byte_fallback", false);
    if (type.at ? nb_node_is(type, "BPE") : merges) /* CLIP's has prefixes or suffixes of words */
        return is_said(model, "continuing_subword_prefix") || is_said(model, "end_of_word_suffix") ? -1
             : bytes || list                                                                       ? NB_KIND_SPM
                                                                                                   : NB_KIND_BPE;
    if (type.at ? nb_node_is(type, "Unigram") : list)
        return bytes ? -1 : NB_KIND_UNIGRAM;
    bool words = type.at ? nb_node_is(type, "WordPiece") : is_said(model, "continuing_subword_prefix");
    return words ? NB_KIND_WORDPIECE : -1;
}

int32_t nb_tokenizer_compose(nb_composer *x, const nb_tokenizer_files *files, nb_error *err) {
    static const char *const models[] = {
        [NB_KIND_BPE] = "gpt2",
        [NB_KIND_SPM] = "llama",
        [NB_KIND_UNIGRAM] = "t5",
        [NB_KIND_WORDPIECE] = "bert",
    };
    nb_node tokenizer = files->tokenizer;
    if (!tokenizer.at) {
        nb_compose_string(x, "tokenizer.ggml.model", nb_text_of("none"));
        return x->code;
    }
    if (nb_node_is_set(files->config, "split_special_tokens", false))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tokenizer_config.json: split_special_tokens is set, which is not supported: it is for the "
                       "caller to say whether special tokens are parsed");
    nb_node model = nb_node_find(tokenizer, "model");
    int32_t kind = kind_of(model);
    if (kind < 0)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tokenizer.json: this model of the type \"%t\" is not supported; supported are BPE without "
                       "prefixes and suffixes of words, Unigram without byte_fallback and WordPiece",
                       nb_node_raw(nb_node_find(model, "type")));
    composition p = {
        .x = x,
        .tokenizer = tokenizer,
        .config = files->config,
        .special_map = files->special_map,
        .added = files->added,
        .model = model,
        .kind = (nb_vocabulary_kind)kind,
        .rows = files->rows < MOST_TOKENS ? (uint32_t)files->rows : 0,
        .err = err,
    };
    nb_compose_string(x, "tokenizer.ggml.model", nb_text_of(models[kind]));
    p.class = nb_tokenizer_class_of(files->config, files->model);
    NB_TRY(nb_steps_compose(x, tokenizer, p.kind, &p.class, err));
    bool pieces = p.kind == NB_KIND_UNIGRAM || p.kind == NB_KIND_WORDPIECE; /* for BPE the key is ignored */
    nb_compose_flag(x, "tokenizer.ggml.decoder.clean_up",
                    pieces && nb_node_is_set(files->config, "clean_up_tokenization_spaces", false));
    int32_t code = collect_tokens(&p);
    if (code == NB_OK)
        code = compose_tokens(&p, files->model, files->generation);
    nb_free(p.tokens);
    return code;
}
