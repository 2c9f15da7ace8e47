/* The rules are llama.cpp's. */
#include "special.h"

#include "names.h"

/* Names that end a generation wherever they occur. */
static const char *const end_names[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<｜end▁of▁sentence｜>",
    "[e~[",
    /* fill in the middle: padding, a further repository, a further file */
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<fim-repo>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};

/* Names of control tokens that some files give the type `normal`. */
static const char *const control_names[] = {
    "<|fim_prefix|>",  "<fim-prefix>",  "<fim_prefix>",    "<｜fim▁begin｜>", "<PRE>",           "▁<PRE>",
    "<|code_prefix|>", "<|prefix|>",    "<|fim_suffix|>",  "<fim-suffix>",    "<fim_suffix>",    "<｜fim▁hole｜>",
    "<SUF>",           "▁<SUF>",        "<|code_suffix|>", "<|suffix|>",      "<|fim_middle|>",  "<fim-middle>",
    "<fim_middle>",    "<｜fim▁end｜>", "<MID>",           "▁<MID>",          "<|code_middle|>", "<|middle|>",
};

/* Names that structure an answer. They are shown with it. */
static const char *const shown_names[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int32_t find_name(const nb_tokenizer *t, const char *name) {
    nb_text text = nb_text_of(name);
    int32_t token = nb_vocabulary_find(t, text, (nb_text){0});
    for (int32_t i = t->size; token < 0 && t->steps.from_json && i-- > 0;)
        if (t->tokens[i].flags & NB_ADDED && t->tokens[i].size == text.size && nb_text_equal(nb_token_name(t, i), text))
            token = i;
    return token;
}

static bool is_end_name(const nb_tokenizer *t, const char *name) {
    int32_t token = find_name(t, name);
    return token >= 0 && t->tokens[token].is_end;
}

/* In some vocabularies a name of the list above does not end an answer. Other names show which vocabularies these
 * are. */
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

/* The token, or -1 if the vocabulary has no such token. */
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
