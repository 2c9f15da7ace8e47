/* The vocabulary of a GGUF file lies under the keys tokenizer.ggml.* (ggml-org/ggml, docs/gguf.md). It is read as
 * llama.cpp reads it. */
#include "gguf_vocabulary.h"

#include "../base/error.h"
#include "../base/numbers.h"
#include "pretokenize.h"
#include "vocabulary.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define KEY(name) "tokenizer.ggml." name
#define MOST_FLOAT 0x1.fffffep127

typedef struct gguf_vocabulary {
    const nb_checkpoint *c;
    const nb_value *names, *scores, *types, *merges, *flags;
    bool strips_right, strips_mask; /* see find_strips */
} gguf_vocabulary;

static bool contains(nb_text text, const char *part, uint8_t fold) {
    size_t n = nb_length(part);
    for (size_t at = 0; at + n <= text.size; at++) {
        size_t i = 0;
        while (i < n && ((uint8_t)text.data[at + i] | fold) == ((uint8_t)part[i] | fold))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

/* Some special tokens swallow the white space beside them. No key says which ones: like llama.cpp, this infers it from
 * the model's name. */
static void find_strips(gguf_vocabulary *v) {
    nb_text name = nb_checkpoint_string(v->c, "general.name"), pre = nb_checkpoint_string(v->c, KEY("pre"));
    nb_text architecture = nb_checkpoint_string(v->c, "general.architecture");
    v->strips_mask = contains(pre, "jina-v2-de", 0) || contains(pre, "jina-v2-es", 0) ||
                     contains(pre, "jina-v2-code", 0) || contains(architecture, "nomic-bert-moe", 0) ||
                     contains(architecture, "jina-bert-v3", 0) || contains(name, "modern-bert", 0x20);
    v->strips_right = !v->strips_mask && (contains(name, "phi-3", 0x20) || contains(name, "phi3", 0x20));
}

static void next_token(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_token_entry *out) {
    const gguf_vocabulary *v = source->file;
    if (i == 0)
        *at = v->names->at;
    out->name = nb_checkpoint_next_string(v->c, at);
    out->score = v->scores ? (float)nb_checkpoint_item(v->c, v->scores, i) : 0;
    double type = v->types ? nb_checkpoint_item(v->c, v->types, i) : NB_TOKEN_NORMAL;
    out->type = type >= NB_TOKEN_NORMAL && type <= NB_TOKEN_BYTE ? (uint8_t)type : NB_TOKEN_UNDEFINED;
    bool ordinary =
        nb_text_is(out->name, "<unk>") || nb_text_is(out->name, "<s>") || nb_text_is(out->name, "<|endoftext|>");
    double flags = v->flags ? nb_checkpoint_item(v->c, v->flags, i) : 0;
    if (v->flags && flags == 0) /* no token has this id, and the name only fills the gap */
        out->name.size = 0;
    bool mask = v->strips_mask && (nb_text_is(out->name, "<mask>") || nb_text_is(out->name, "[MASK]"));
    out->flags = (uint8_t)((flags >= 0 && flags <= UINT8_MAX ? (uint32_t)flags : 0) | (mask ? NB_STRIP_LEFT : 0) |
                           (v->strips_right && !ordinary ? NB_STRIP_RIGHT : 0));
}

/* A merge is "left right". The first character belongs to the left name even if it is a space. The next space divides
 * the two. */
static void next_merge(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_text *left, nb_text *right) {
    const gguf_vocabulary *v = source->file;
    if (i == 0)
        *at = v->merges->at;
    nb_text merge = nb_checkpoint_next_string(v->c, at);
    size_t space = 1;
    while (space < merge.size && merge.data[space] != ' ')
        space++;
    if (space >= merge.size)
        return;
    *left = (nb_text){merge.data, space};
    *right = (nb_text){merge.data + space + 1, merge.size - space - 1};
}

/* *out: an array with a number for each of n tokens; NULL if the file has none. */
static int32_t find_numbers(const nb_checkpoint *c, const char *key, uint64_t n, const nb_value **out, nb_error *err) {
    *out = nb_checkpoint_find(c, key);
    if (*out && ((*out)->type != NB_VALUE_ARRAY || (*out)->item_type == NB_VALUE_STRING))
        return NB_FAIL(err, NB_ERR_FORMAT, "%s is not an array of numbers; convert the model anew", key);
    if (*out && (*out)->count < n)
        return NB_FAIL(err, NB_ERR_FORMAT, "%s has %l items for %l tokens; convert the model anew", key, (*out)->count,
                       n);
    return NB_OK;
}

static int32_t find_arrays(gguf_vocabulary *v, nb_error *err) {
    v->names = nb_checkpoint_find(v->c, KEY("tokens"));
    if (!v->names || v->names->type != NB_VALUE_ARRAY || v->names->item_type != NB_VALUE_STRING || !v->names->count)
        return NB_FAIL(err, NB_ERR_FORMAT, "tokenizer.ggml.tokens is %s; convert the model anew",
                       v->names ? "not an array of strings, or is empty" : "missing");
    NB_TRY(find_numbers(v->c, KEY("scores"), v->names->count, &v->scores, err));
    if (v->scores)
        NB_TRY(nb_checkpoint_check_items(v->c, v->scores, (nb_limits){-MOST_FLOAT, MOST_FLOAT}, err));
    NB_TRY(find_numbers(v->c, KEY("token_flags"), v->names->count, &v->flags, err));
    return find_numbers(v->c, KEY("token_type"), v->names->count, &v->types, err);
}

static int32_t find_merges(gguf_vocabulary *v, nb_vocabulary_source *source, nb_error *err) {
    v->merges = nb_checkpoint_find(v->c, KEY("merges"));
    if (!v->merges || v->merges->type != NB_VALUE_ARRAY || v->merges->item_type != NB_VALUE_STRING)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tokenizer.ggml.merges is %s, but a BPE vocabulary needs an array of strings there; convert the "
                       "model anew",
                       v->merges ? "of another type" : "missing");
    source->n_merges = v->merges->count;
    return NB_OK;
}

static int32_t find_pre(gguf_vocabulary *v, nb_vocabulary_source *source, nb_text name, nb_error *err) {
    if (!name.data || !name.size)
        name = nb_text_of("default");
    source->pre = nb_pretokenizer_find(name);
    char known[NB_LIST_BYTES];
    nb_pretokenizer_names(known, sizeof known);
    if (!source->pre)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the pre-tokenizer \"%t\" (tokenizer.ggml.pre) is not supported; supported are %s", name, known);
    return find_merges(v, source, err);
}

static int32_t find_charsmap(const nb_checkpoint *c, nb_vocabulary_source *source, nb_error *err) {
    const nb_value *map = nb_checkpoint_find(c, KEY("precompiled_charsmap"));
    if (!map)
        return NB_OK;
    if (map->type != NB_VALUE_ARRAY || nb_value_bytes(map->item_type) != 1)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tokenizer.ggml.precompiled_charsmap is not an array of bytes; convert the model anew");
    source->charsmap = (nb_text){(const char *)c->header + map->at, (size_t)map->count};
    return NB_OK;
}

/* SentencePiece's BPE has scores. A vocabulary that was converted from a tokenizer.json has merges, too. Then the
 * merges count, because the scores were derived from them. */
static int32_t find_spm(gguf_vocabulary *v, nb_vocabulary_source *source, nb_error *err) {
    source->kind = NB_KIND_SPM;
    if ((!v->scores || v->flags) && nb_checkpoint_find(v->c, KEY("merges")))
        NB_TRY(find_merges(v, source, err));
    return find_charsmap(v->c, source, err);
}

/* The token that a key names, or the fallback. */
static int32_t token_of(const nb_checkpoint *c, const char *key, int32_t fallback) {
    double n_tokens = (double)nb_checkpoint_find(c, KEY("tokens"))->count, id = nb_checkpoint_number(c, key, fallback);
    return id < 0 ? -1 : id < n_tokens ? (int32_t)id : fallback;
}

static bool is_set(const nb_checkpoint *c, const char *key, bool fallback) {
    return nb_checkpoint_number(c, key, fallback) != 0;
}

/* Reads which tokens begin and end texts, and what happens to spaces. Where a key is missing, llama.cpp's default
 * counts. In a file that was converted from a tokenizer.json, a missing key means that there is no such token. */
static int32_t find_rest(gguf_vocabulary *v, nb_vocabulary_source *s, nb_error *err) {
    static const struct {
        int32_t begin, end, unknown;
        bool add_begin, add_end;
    } defaults[] = {
        [NB_KIND_BPE] = {-1, -1, -1, false, false}, /* (not llama.cpp's 11, which may be any word) */
        [NB_KIND_SPM] = {1, 2, 0, true, false},
        [NB_KIND_UNIGRAM] = {-1, 1, 2, false, true},
        [NB_KIND_WORDPIECE] = {101, -1, 100, true, true},
    };
    const nb_checkpoint *c = v->c;
    bool converted = v->flags != NULL;
    s->begin = converted ? -1 : defaults[s->kind].begin;
    if (s->kind == NB_KIND_WORDPIECE)
        s->begin = token_of(c, KEY("cls_token_id"), s->begin);
    s->begin = token_of(c, KEY("bos_token_id"), s->begin);
    s->end = token_of(c, KEY("eos_token_id"), converted ? -1 : defaults[s->kind].end);
    s->unknown = token_of(c, KEY("unknown_token_id"), converted ? -1 : defaults[s->kind].unknown);
    s->closing = s->kind == NB_KIND_WORDPIECE ? token_of(c, KEY("seperator_token_id"), 102) : s->end; /* (sic) */
    if (converted)
        s->closing = token_of(c, KEY("closing_token_id"), -1);
    static const char *const end_keys[] = {
        KEY("eot_token_id"),     KEY("eom_token_id"),     KEY("fim_pad_token_id"),
        KEY("fim_rep_token_id"), KEY("fim_sep_token_id"),
    };
    for (size_t i = 0; i < NB_MAX_END_TOKENS; i++)
        s->ends[i] = i < COUNT(end_keys) ? token_of(c, end_keys[i], -1) : -1;
    const nb_value *ids = nb_checkpoint_find(c, KEY("end_token_ids")); /* nibble's converter writes it */
    ids = ids ? ids : nb_checkpoint_find(c, KEY("eos_token_ids"));     /* Ollama's converter writes it */
    bool numbers = ids && ids->type == NB_VALUE_ARRAY && nb_value_bytes(ids->item_type);
    for (uint64_t i = 0; numbers && i < NB_MIN(ids->count, NB_MAX_END_TOKENS - COUNT(end_keys)); i++)
        s->ends[COUNT(end_keys) + i] = (int32_t)NB_MAX(-1, NB_MIN(nb_checkpoint_item(c, ids, i), INT32_MAX));
    s->add_begin = is_set(c, KEY("add_bos_token"), s->pre ? s->pre->add_begin : defaults[s->kind].add_begin);
    s->add_begin |= s->pre && s->pre->whole_lines; /* some Gemma 4 files say false, but need it */
    s->add_closing = is_set(c, KEY("add_eos_token"), defaults[s->kind].add_end);
    if (s->kind == NB_KIND_WORDPIECE)
        s->add_begin = s->add_closing = true;
    s->add_space = converted ? s->kind == NB_KIND_SPM : is_set(c, KEY("add_space_prefix"), s->kind == NB_KIND_SPM);
    if (s->kind == NB_KIND_BPE) /* some files have add_space_prefix, which means nothing for BPE */
        s->add_space = is_set(c, KEY("add_space_prefix_to_words"), false) && !s->pre->raw;
    s->whole_words = is_set(c, KEY("ignore_merges"), s->pre && s->pre->whole_words);
    s->nfc = is_set(c, KEY("normalizer.nfc"), s->pre && s->pre->nfc);
    s->merge_spaces = !converted && is_set(c, KEY("remove_extra_whitespaces"), false);
    s->lower = is_set(c, KEY("normalizer.lowercase"), s->kind == NB_KIND_WORDPIECE);
    s->strip_accents = is_set(c, KEY("normalizer.strip_accents"), s->lower);
    if (s->kind == NB_KIND_BPE && s->lower)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tokenizer.ggml.normalizer.lowercase is set, which is supported for WordPiece only");
    return NB_OK;
}

/* Reads the steps of a tokenizer.json, which the converter (tokenizer_steps.c) writes under keys of nibble's own. */
static void find_steps(const gguf_vocabulary *v, nb_vocabulary_source *source) {
    const nb_checkpoint *c = v->c;
    source->steps = (nb_pipeline){
        .clean = is_set(c, KEY("normalizer.clean_text"), true),
        .space_chinese = is_set(c, KEY("normalizer.handle_chinese_chars"), true),
    };
    if (!v->flags) /* not converted from a tokenizer.json: the steps would need the tokens' flags */
        return;
    double join = nb_checkpoint_number(c, KEY("normalizer.join_spaces"), 0);
    double scheme = nb_checkpoint_number(c, KEY("pre_tokenizer.prepends"), NB_PREPEND_NEVER);
    source->steps = (nb_pipeline){
        .from_json = true,
        .clean = source->steps.clean,
        .space_chinese = source->steps.space_chinese,
        .strip_left = is_set(c, KEY("normalizer.strip_left"), false),
        .strip_right = is_set(c, KEY("normalizer.strip_right"), false),
        .join_spaces = join > 0,
        .join_as_metaspace = join == 2,
        .prepend = is_set(c, KEY("normalizer.prepend"), false),
        .escape = is_set(c, KEY("normalizer.escape"), false),
        .split_white = is_set(c, KEY("pre_tokenizer.split_white"), false),
        .metaspace = is_set(c, KEY("pre_tokenizer.metaspace"), false),
        .split = is_set(c, KEY("pre_tokenizer.split"), false),
        .prepend_spaced = is_set(c, KEY("pre_tokenizer.prepend_spaced"), false),
        .prepend_scheme = scheme == NB_PREPEND_ALWAYS ? NB_PREPEND_ALWAYS
                        : scheme == NB_PREPEND_FIRST  ? NB_PREPEND_FIRST
                                                      : NB_PREPEND_NEVER,
    };
    double strip = nb_checkpoint_number(c, KEY("decoder.strip"), 0);
    source->steps.decoder = (nb_decoder_steps){
        .byte_level = is_set(c, KEY("decoder.byte_level"), false),
        .byte_fallback = is_set(c, KEY("decoder.byte_fallback"), false),
        .unescape = is_set(c, KEY("decoder.marks"), false),
        .drop_first = is_set(c, KEY("decoder.drop_first"), false),
        .cleanup = is_set(c, KEY("decoder.cleanup"), false),
        .joins = is_set(c, KEY("decoder.joins"), false),
        .strip = strip >= 0 && strip <= UINT16_MAX ? (uint32_t)strip : 0,
    };
}

nb_tokenizer *nb_tokenizer_new(const nb_checkpoint *c, nb_error *err) {
    if (err)
        err->code = NB_OK;
    nb_text model = nb_checkpoint_string(c, KEY("model")), pre = nb_checkpoint_string(c, KEY("pre"));
    bool absent = !model.data && !nb_checkpoint_find(c, KEY("tokens"));
    if (absent || nb_text_is(model, "none") || nb_text_is(model, "no_vocab"))
        return NULL;
    gguf_vocabulary v = {.c = c};
    nb_vocabulary_source source = {
        .bytes = c->header,
        .n_bytes = c->header_size,
        .file = &v,
        .token = next_token,
        .merge = next_merge,
    };
    if (find_arrays(&v, err) < 0)
        return NULL;
    source.n_tokens = v.names->count;
    find_strips(&v);
    int32_t code = NB_OK;
    if (nb_text_is(model, "gpt2"))
        code = find_pre(&v, &source, pre, err);
    else if (nb_text_is(model, "gemma4") || nb_text_is(model, "whitespace"))
        code = find_pre(&v, &source, model, err);
    else if (nb_text_is(model, "llama"))
        code = find_spm(&v, &source, err);
    else if (nb_text_is(model, "bert"))
        source.kind = NB_KIND_WORDPIECE;
    else if (nb_text_is(model, "t5"))
        source.kind = NB_KIND_UNIGRAM, code = find_charsmap(c, &source, err);
    else
        code = NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the tokenizer \"%t\" (tokenizer.ggml.model) is not supported; supported are gpt2, gemma4 and "
                       "whitespace (BPE), llama (SentencePiece's BPE), t5 (unigram) and bert (WordPiece)",
                       model);
    if (code < 0 || find_rest(&v, &source, err) < 0)
        return NULL;
    find_steps(&v, &source);
    return nb_tokenizer_build(&source, err);
}
