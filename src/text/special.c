/* Special tokens: which begin, end and stop a text, and where a text holds their names. The rules are llama.cpp's. */
#include "vocabulary.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "merge.h"

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
    nb_text text = nb_text_of(name);
    int32_t token = nb_vocabulary_find(t, text, (nb_text){0});
    for (int32_t i = t->size; token < 0 && t->steps.library && i-- > 0;)
        if (t->tokens[i].flags & NB_ADDED && t->tokens[i].size == text.size && nb_text_equal(nb_token_name(t, i), text))
            token = i;
    return token;
}

static bool is_end_name(const nb_tokenizer *t, const char *name) {
    int32_t token = find_name(t, name);
    return token >= 0 && t->tokens[token].is_end;
}

/* In some vocabularies a name of the list above does not end an answer. Other names in them tell which these are. */
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

/* The token, or -1 if there is no such. */
static int32_t token_of(const nb_tokenizer *t, int32_t token) {
    return token < t->size ? token : -1;
}

void nb_special_load(nb_tokenizer *t, const nb_vocabulary_source *source) {
    t->begin = token_of(t, source->begin);
    t->end = token_of(t, source->end);
    t->closing = token_of(t, source->closing);
    t->unknown = token_of(t, source->unknown);
    t->add_begin = source->add_begin && t->begin >= 0;
    t->add_closing = source->add_closing && t->closing >= 0;
    mark_ends(t, source);
}

/* Whether the token's name is only text in a quote of this kind. */
static bool is_plain(const nb_encoding *e, int32_t token, uint32_t kind) {
    if (e->tokenizer->tokens[token].type != NB_TOKEN_USER_DEFINED)
        return true;
    for (size_t i = 0; i < e->n_plain; i++)
        if (e->plain[i].token == token && kind < 32 && e->plain[i].kinds >> kind & 1)
            return true;
    return false;
}

size_t nb_quote_after(const nb_encoding *e, size_t from) {
    size_t low = 0, high = e->n_quotes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->quotes[middle].to <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool nb_is_quoted(const nb_encoding *e, size_t from, size_t to, int32_t token) {
    for (size_t i = nb_quote_after(e, from); i < e->n_quotes && e->quotes[i].from < to; i++)
        if (is_plain(e, token, e->quotes[i].kind))
            return true;
    return false;
}

/* Bytes of the longest name at text[at] that is not text because of a quote, or 0. */
static size_t longest_at(const nb_encoding *e, const nb_needles *set, const uint8_t *text, size_t at, size_t size) {
    nb_needle_walk walk = nb_needle_walk_of(set, text + at, size - at);
    size_t longest = 0;
    for (const nb_needle *next; (next = nb_needle_next(&walk));)
        if (!e->n_quotes || !nb_is_quoted(e, at, at + next->size, next->token))
            longest = next->size;
    return longest;
}

/* The token whose name is text[size], or -1. */
static int32_t special_at(const nb_needles *set, const uint8_t *text, size_t size) {
    const nb_needle *found = nb_needles_longest(set, text, size);
    return found && found->size == size ? found->token : -1;
}

static bool get_bit(const uint8_t *bits, size_t i) {
    return bits[i >> 3] >> (i & 7) & 1;
}

static void set_bit(uint8_t *bits, size_t i) {
    bits[i >> 3] |= (uint8_t)(1 << (i & 7));
}

int32_t nb_encode_piece(nb_encoding *e, const uint8_t *text, size_t size, bool first) {
    switch (e->tokenizer->kind) {
    case NB_KIND_BPE:
        return nb_bpe_encode(e, text, size);
    case NB_KIND_SPM:
        return nb_spm_encode(e, text, size, first);
    case NB_KIND_UNIGRAM:
        return nb_unigram_encode(e, text, size, first);
    case NB_KIND_WORDPIECE:
        return nb_wordpiece_encode(e, text, size);
    }
    return NB_OK;
}

static int32_t encode_piece(nb_encoding *e, const uint8_t *text, size_t size) {
    bool first = text == e->start;
    NB_TRY(nb_normalize(e->tokenizer, &e->workspace, &text, &size, e->err));
    return nb_encode_piece(e, text, size, first);
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

static uint64_t key_of(size_t at, size_t length) {
    return (uint64_t)(NB_LONGEST_ADDED - length) << 32 | at;
}

/* Which names a text holds, where they overlap. As in llama.cpp the longest are found first, wherever they stand; names of one
 * length from left to right (llama.cpp leaves their order to an unstable sort). A name cannot enclose one that was found before
 * it, which is at least as long: it overlaps that only if its own first or last byte is taken. In the latter case a shorter name
 * may fit before the taken bytes. Each place of the text is looked at once, and again for each such overlap. */
static int32_t find_specials(const nb_encoding *e, const nb_needles *set, const uint8_t *text, size_t size,
                             found_specials *found) {
    size_t n = 0, most = 0;
    for (size_t at = 0; at < size; at++)
        most += nb_needle_may_start(set, text, at, size);
    uint64_t *heap = nb_alloc_items(most, sizeof *heap);
    if (!heap)
        return NB_FAIL(e->err, NB_ERR_MEMORY, "no memory to tokenize %z bytes; pass less text at once", size);
    for (size_t at = 0; at < size; at++) {
        size_t length = nb_needle_may_start(set, text, at, size) ? longest_at(e, set, text, at, size) : 0;
        if (length)
            heap[n++] = key_of(at, length);
    }
    for (size_t i = n / 2; i-- > 0;)
        nb_heap_sift_down(heap, n, i);
    while (n) {
        uint64_t key = nb_heap_pop(heap, n--);
        size_t at = (uint32_t)key, length = NB_LONGEST_ADDED - (size_t)(key >> 32), room = 1;
        if (get_bit(found->taken, at))
            continue;
        if (!get_bit(found->taken, at + length - 1)) {
            take(found, at, length);
            continue;
        }
        while (!get_bit(found->taken, at + room))
            room++;
        length = longest_at(e, set, text, at, at + room);
        if (length)
            nb_heap_push(heap, n++, key_of(at, length));
    }
    nb_free(heap);
    return NB_OK;
}

int32_t nb_special_encode(nb_encoding *e, const uint8_t *text, size_t size, bool control) {
    const nb_tokenizer *t = e->tokenizer;
    const nb_needles *set = &t->added->sets[control];
    size_t first = 0;
    while (first < size && !nb_needle_may_start(set, text, first, size))
        first++;
    if (first == size)
        return size ? encode_piece(e, text, size) : NB_OK;

    size_t bytes = size / 8 + 1;
    uint8_t *bits = nb_alloc(2 * bytes);
    if (!bits)
        return NB_FAIL(e->err, NB_ERR_MEMORY, "no memory to tokenize %z bytes; pass less text at once", size);
    found_specials found = {bits, bits + bytes};
    memset(bits, 0, 2 * bytes);
    int32_t code = find_specials(e, set, text, size, &found), before = -1; /* the special token that stands before */
    for (size_t at = 0, end; at < size && code == NB_OK; at = end) {
        bool special = get_bit(found.taken, at);
        end = at + 1; /* of this name, or of the text before the next */
        while (end < size && get_bit(found.taken, end) == special && !(special && get_bit(found.starts, end)))
            end += !special && !(end % 8) && !found.taken[end / 8] ? 8 : 1;
        end = NB_MIN(end, size);
        if (special) {
            before = special_at(set, text + at, end - at);
            nb_token_append(&e->out, before);
            continue;
        }
        size_t from = at, to = end;
        if (before >= 0 && t->tokens[before].flags & NB_STRIP_RIGHT)
            while (from < to && is_space(text[from]))
                from++;
        if (end < size) {
            size_t after = end + 1;
            while (after < size && get_bit(found.taken, after) && !get_bit(found.starts, after))
                after++;
            if (t->tokens[special_at(set, text + end, after - end)].flags & NB_STRIP_LEFT)
                while (from < to && is_space(text[to - 1]))
                    to--;
        }
        if (from < to)
            code = encode_piece(e, text + from, to - from);
    }
    nb_free(bits);
    return code;
}
