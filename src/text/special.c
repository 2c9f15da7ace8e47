/* Special tokens: which begin, end and stop a text, and where a text holds their names. The rules are llama.cpp's. */
#include "vocabulary.h"

#include "../base/numbers.h"

/* Names that end a generation wherever they occur. */
static const char *const end_names[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
    /* fill in the middle: padding, the next repository, the next file */
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>",
    "<reponame>", "<|file_sep|>"};

/* Names of control tokens that some files call normal. */
static const char *const control_names[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
    "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
    "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>",
    "▁<MID>", "<|code_middle|>", "<|middle|>"};

/* Names that structure an answer and are shown with it. */
static const char *const shown_names[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int32_t find_name(const nb_tokenizer *t, const char *name) {
    return nb_vocabulary_find(t, nb_text_of(name), (nb_text){0});
}

static bool is_end_name(const nb_tokenizer *t, const char *name) {
    int32_t token = find_name(t, name);
    return token >= 0 && t->tokens[token].is_end;
}

/* In some vocabularies a name of the list above is an ordinary part of an answer: their other names tell. */
static void except_end(nb_tokenizer *t, const char *name, uint8_t type) {
    int32_t token = find_name(t, name);
    if (token >= 0 && t->tokens[token].is_end) {
        t->tokens[token].is_end = false;
        t->tokens[token].type = type;
    }
}

static void mark_ends(nb_tokenizer *t, const nb_vocabulary_source *source) {
    for (size_t i = 0; i < COUNT(end_names) + COUNT(control_names); i++) {
        bool ends = i < COUNT(end_names);
        int32_t token = find_name(t, ends ? end_names[i] : control_names[i - COUNT(end_names)]);
        if (token < 0)
            continue;
        t->tokens[token].is_end = ends;
        t->tokens[token].type = NB_TOKEN_CONTROL;
    }
    for (size_t i = 0; i < COUNT(shown_names); i++) {
        int32_t token = find_name(t, shown_names[i]);
        if (token >= 0)
            t->tokens[token].type = NB_TOKEN_USER_DEFINED;
    }
    if (t->end >= 0)
        t->tokens[t->end].is_end = true;
    for (size_t i = 0; i < NB_MAX_END_TOKENS; i++)
        if (source->ends[i] >= 0 && source->ends[i] < t->size)
            t->tokens[source->ends[i]].is_end = true;
    bool calls = is_end_name(t, "<|call|>") || is_end_name(t, "<|calls|>");
    if (calls && (is_end_name(t, "<|return|>") || is_end_name(t, "<|flush|>")))
        except_end(t, "<|end|>", NB_TOKEN_USER_DEFINED);
    if (is_end_name(t, "<|tool_response>") || is_end_name(t, "<|plamo:eos|>"))
        except_end(t, "</s>", NB_TOKEN_NORMAL);
}

static void add_start(nb_special_set *set, uint32_t a, uint32_t b) {
    set->starts[(a | b << 8) >> 3] |= (uint8_t)(1 << (a & 7));
}

/* Adds to the lengths, which stay in descending order; `length` cannot be more often than there is room. */
static void add_length(nb_special_set *set, uint32_t length) {
    uint32_t at = 0;
    while (at < set->n_lengths && set->lengths[at] > length)
        at++;
    if (at < set->n_lengths && set->lengths[at] == length)
        return;
    memmove(set->lengths + at + 1, set->lengths + at, (set->n_lengths - at) * sizeof *set->lengths);
    set->lengths[at] = length;
    set->n_lengths++;
}

/* The token, or -1 if there is no such. */
static int32_t token_of(const nb_tokenizer *t, int32_t token) {
    return token < t->size ? token : -1;
}

static void load_prefixes(nb_tokenizer *t) {
    enum { BITS = 1 << 16, ALWAYS = 1 << NB_TOKEN_USER_DEFINED,
           ASKED_FOR = ALWAYS | 1 << NB_TOKEN_CONTROL | 1 << NB_TOKEN_UNKNOWN };
    nb_prefixes_load(t, &t->special[0].prefixes, ALWAYS, BITS);
    nb_prefixes_load(t, &t->special[1].prefixes, ASKED_FOR, BITS);
}

void nb_special_load(nb_tokenizer *t, const nb_vocabulary_source *source) {
    /* names of n different lengths take n (n + 1) / 2 bytes at least */
    uint64_t most = 1;
    while (most * (most + 1) / 2 < source->n_bytes)
        most *= 2;
    for (int control = 0; control < 2; control++)
        t->special[control].lengths = nb_arena_take(&t->arena, most, sizeof(uint32_t));
    if (!t->tokens) { /* measuring */
        load_prefixes(t);
        return;
    }
    t->begin = token_of(t, source->begin);
    t->end = token_of(t, source->end);
    t->closing = token_of(t, source->closing);
    t->unknown = token_of(t, source->unknown);
    t->add_begin = source->add_begin && t->begin >= 0;
    t->add_closing = source->add_closing && t->closing >= 0;
    mark_ends(t, source);
    load_prefixes(t);

    for (int control = 0; control < 2; control++)
        for (int32_t i = 0; i < t->size; i++) {
            nb_text name = nb_token_name(t, i);
            if (!name.size || !(t->special[control].prefixes.types >> t->tokens[i].type & 1))
                continue;
            uint32_t a = (uint8_t)name.data[0];
            if (name.size > 1)
                add_start(&t->special[control], a, (uint8_t)name.data[1]);
            else
                for (uint32_t b = 0; b < 256; b++)
                    add_start(&t->special[control], a, b);
            add_length(&t->special[control], (uint32_t)name.size);
        }
}

/* Whether a name may start at text[at]; at the text's end only names of one byte may, whose every follower is set. */
static inline __attribute__((always_inline)) bool may_start(const nb_special_set *set, const uint8_t *text, size_t at,
                                                            size_t size) {
    uint32_t a = text[at], b = at + 1 < size ? text[at + 1] : 0;
    return set->starts[(a | b << 8) >> 3] >> (a & 7) & 1;
}

static int32_t special_at(const nb_tokenizer *t, const uint8_t *text, size_t size, bool control) {
    int32_t token = nb_vocabulary_find(t, (nb_text){(const char *)text, size}, (nb_text){0});
    return token >= 0 && t->special[control].prefixes.types >> t->tokens[token].type & 1 ? token : -1;
}

/* Whether the token is text in a quote of this kind. */
static bool is_plain(const nb_encoding *e, int32_t token, uint32_t kind) {
    if (e->tokenizer->tokens[token].type != NB_TOKEN_USER_DEFINED)
        return true;
    for (size_t i = 0; i < e->n_plain; i++)
        if (e->plain[i].token == token && kind < 32 && e->plain[i].kinds >> kind & 1)
            return true;
    return false;
}

/* Whether a name at text[from ... to) is only text, because a quote in which it is touches it. */
static bool is_quoted(const nb_encoding *e, size_t from, size_t to, int32_t token) {
    size_t low = 0, high = e->n_quotes; /* the first quote that ends after `from` */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->quotes[middle].to <= from)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < e->n_quotes && e->quotes[low].from < to; low++)
        if (is_plain(e, token, e->quotes[low].kind))
            return true;
    return false;
}

/* Bytes of the longest name at text[at], or 0. */
static size_t longest_at(const nb_encoding *e, const uint8_t *text, size_t at, size_t size, bool control) {
    const nb_tokenizer *t = e->tokenizer;
    size_t longest = 0;
    nb_prefix_walk walk = nb_prefix_walk_of(text + at, size - at);
    for (int32_t token; (token = nb_prefix_next(t, &t->special[control].prefixes, &walk)) >= 0;)
        if (!is_quoted(e, at, at + walk.at, token))
            longest = walk.at;
    return longest;
}

static bool get_bit(const uint8_t *bits, size_t i) {
    return bits[i >> 3] >> (i & 7) & 1;
}

static void set_bit(uint8_t *bits, size_t i) {
    bits[i >> 3] |= (uint8_t)(1 << (i & 7));
}

static int32_t encode_piece(nb_encoding *e, const uint8_t *text, size_t size) {
    switch (e->tokenizer->kind) {
    case NB_KIND_BPE:
        return nb_bpe_encode(e, text, size);
    case NB_KIND_SPM:
        return nb_spm_encode(e, text, size);
    case NB_KIND_UNIGRAM:
        return nb_unigram_encode(e, text, size);
    case NB_KIND_WORDPIECE:
        return nb_wordpiece_encode(e, text, size);
    }
    return NB_OK;
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

typedef struct found_specials {
    uint8_t *taken;  /* bits: bytes that names hold */
    uint8_t *starts; /* bits: bytes with which a name starts */
} found_specials;

static void take(found_specials *found, size_t at, size_t length) {
    set_bit(found->starts, at);
    for (size_t i = at; i < at + length; i++)
        set_bit(found->taken, i);
}

/* Names overlap within text[from ... to). Longer names go first wherever they stand, as in llama.cpp, names of one
 * length from left to right (llama.cpp leaves their order to an unstable sort). A name then overlaps one that was found
 * before only if its first or its last byte is taken. */
static void find_overlapping(const nb_encoding *e, const uint8_t *text, size_t from, size_t to, bool control,
                             found_specials *found) {
    const nb_tokenizer *t = e->tokenizer;
    const nb_special_set *set = &t->special[control];
    for (uint32_t l = 0; l < set->n_lengths; l++) {
        size_t length = set->lengths[l];
        for (size_t at = from; at + length <= to; at++) {
            if (!may_start(set, text, at, to) || get_bit(found->taken, at) || get_bit(found->taken, at + length - 1))
                continue;
            int32_t token = special_at(t, text + at, length, control);
            if (token < 0 || is_quoted(e, at, at + length, token))
                continue;
            take(found, at, length);
            at += length - 1;
        }
    }
}

static void find_specials(const nb_encoding *e, const uint8_t *text, size_t size, bool control,
                          found_specials *found) {
    const nb_tokenizer *t = e->tokenizer;
    for (size_t at = 0; at < size; at++) {
        if (!may_start(&t->special[control], text, at, size))
            continue;
        size_t longest = longest_at(e, text, at, size, control), end = at + longest;
        if (!longest)
            continue;
        for (size_t i = at + 1; i < end; i++) {
            size_t other = i + longest_at(e, text, i, size, control);
            end = NB_MAX(end, other);
        }
        if (end == at + longest) /* the others lie within it */
            take(found, at, longest);
        else
            find_overlapping(e, text, at, end, control, found);
        at = end - 1;
    }
}

int32_t nb_special_encode(nb_encoding *e, const uint8_t *text, size_t size, bool control) {
    const nb_tokenizer *t = e->tokenizer;
    size_t first = 0;
    while (first < size && !may_start(&t->special[control], text, first, size))
        first++;
    if (first == size)
        return size ? encode_piece(e, text, size) : NB_OK;

    size_t bytes = size / 8 + 1;
    uint8_t *bits = nb_alloc(2 * bytes);
    found_specials found = {bits, bits + bytes};
    if (!bits)
        return NB_FAIL(e->err, NB_ERR_MEMORY, "no memory to tokenize %z bytes; pass less text at once", size);
    memset(bits, 0, 2 * bytes);
    find_specials(e, text, size, control, &found);
    int32_t code = NB_OK, before = -1; /* the special token that stands before */
    for (size_t at = 0, end; at < size && code == NB_OK; at = end) {
        bool special = get_bit(found.taken, at);
        end = at + 1; /* of this name, or of the text before the next */
        while (end < size && get_bit(found.taken, end) == special && !(special && get_bit(found.starts, end)))
            end += !special && !(end % 8) && !found.taken[end / 8] ? 8 : 1;
        end = NB_MIN(end, size);
        if (special) {
            before = special_at(t, text + at, end - at, control);
            nb_token_append(&e->out, before);
            continue;
        }
        size_t from = at, to = end;
        if (before >= 0 && t->tokens[before].strip_right)
            while (from < to && is_space(text[from]))
                from++;
        if (end < size) {
            size_t after = end + 1;
            while (after < size && get_bit(found.taken, after) && !get_bit(found.starts, after))
                after++;
            if (t->tokens[special_at(t, text + end, after - end, control)].strip_left)
                while (from < to && is_space(text[to - 1]))
                    to--;
        }
        if (from < to)
            code = encode_piece(e, text + from, to - from);
    }
    nb_free(bits);
    return code;
}
