/* The expressions are those of llama.cpp (src/llama-vocab.cpp), whose splits models' files name; in its file formats a
 * tokenizer.ggml.pre stands for them. \p{..} and \s are Unicode's, (?!\S) looks no further than the pass's input. */
#include "pretokenize.h"

#include "unicode.h"

enum {
    LETTER = 1 << NB_CLASS_LETTER,
    NUMBER = 1 << NB_CLASS_NUMBER,
    MARK = 1 << NB_CLASS_MARK,
    PUNCTUATION = 1 << NB_CLASS_PUNCTUATION,
    SPACE = 1 << NB_CLASS_SPACE
};

/* The class of the character at text[at] as a bit, 0 at the end; *next is where the character after it starts. */
static inline uint32_t class_at(const uint8_t *text, size_t at, size_t end, size_t *next) {
    if (at >= end) {
        *next = end;
        return 0;
    }
    size_t length;
    uint32_t codepoint = nb_utf8_decode(text + at, end - at, &length);
    *next = at + length;
    return 1u << nb_unicode_class(codepoint);
}

/* The end of the run of characters of these classes that starts at `at`. */
static inline size_t run_of(const uint8_t *text, size_t at, size_t end, uint32_t classes) {
    for (size_t next; class_at(text, at, end, &next) & classes; at = next)
        ;
    return at;
}

/* Bytes of 's 't 'm 'd 're 've 'll at text[at], or 0. fold: in upper case too. */
static size_t contraction(const uint8_t *text, size_t at, size_t end, uint8_t fold) {
    if (text[at] != '\'' || end - at < 2)
        return 0;
    uint8_t a = text[at + 1] | fold, b = end - at > 2 ? text[at + 2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* \s+(?!\S)|\s+ at white space: the last character of a run that text follows goes with that text. */
static size_t split_spaces(const uint8_t *text, size_t at, size_t end) {
    size_t last = at, next, after = at;
    while (class_at(text, after, end, &next) & SPACE) {
        last = after;
        after = next;
    }
    return after < end && last > at ? last : after;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+    (GPT-2) */
static size_t split_gpt2(const nb_pass *pass, const uint8_t *text, size_t at, size_t end) {
    (void)pass;
    size_t length = contraction(text, at, end, 0);
    if (length)
        return at + length;
    size_t next;
    uint32_t class = class_at(text, at, end, &next);
    if (text[at] == ' ')
        class = class_at(text, next, end, &next);
    if (class & LETTER)
        return run_of(text, next, end, LETTER);
    if (class & NUMBER)
        return run_of(text, next, end, NUMBER);
    if (class && !(class & SPACE))
        return run_of(text, next, end, ~(uint32_t)(LETTER | NUMBER | SPACE));
    return split_spaces(text, at, end);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,run}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * (Llama 3: run = 3; Qwen 2: run = 1; Qwen 3.5: the same with [\p{L}\p{M}] for \p{L}.) */
static size_t split_llama3(const nb_pass *pass, const uint8_t *text, size_t at, size_t end) {
    size_t length = contraction(text, at, end, 0x20);
    if (length)
        return at + length;
    size_t next, after;
    uint32_t class = class_at(text, at, end, &next), following = class_at(text, next, end, &after);
    if (text[at] != '\r' && text[at] != '\n' && !(class & NUMBER) && (class | following) & pass->classes)
        return run_of(text, next, end, pass->classes);
    if (class & NUMBER) {
        for (uint32_t n = 1; n < pass->run && class_at(text, next, end, &after) & NUMBER; n++)
            next = after;
        return next;
    }
    if (text[at] == ' ') {
        class = following;
        next = after;
    }
    if (class && !(class & (pass->classes | NUMBER | SPACE))) {
        at = run_of(text, next, end, ~(pass->classes | NUMBER | SPACE));
        while (at < end && (text[at] == '\r' || text[at] == '\n'))
            at++;
        return at;
    }
    size_t newline = 0;
    for (size_t i = at; class_at(text, i, end, &next) & SPACE; i = next)
        if (text[i] == '\r' || text[i] == '\n')
            newline = i + 1;
    return newline ? newline : split_spaces(text, at, end);
}

static bool is_isolated(const nb_pass *pass, const uint8_t *text, size_t at, size_t end, size_t *next) {
    if (class_at(text, at, end, next) & pass->classes)
        return true;
    for (const char *p = pass->extra; p && *p && at < end; p++)
        if (text[at] == (uint8_t)*p)
            return true;
    return false;
}

/* [classes extra]{1,run}, and what lies between as it is */
static size_t split_isolated(const nb_pass *pass, const uint8_t *text, size_t at, size_t end) {
    size_t next;
    if (is_isolated(pass, text, at, end, &next)) {
        at = next;
        for (uint32_t n = 1; n < pass->run && is_isolated(pass, text, at, end, &next); n++)
            at = next;
        return at;
    }
    do
        at = next;
    while (at < end && !is_isolated(pass, text, at, end, &next));
    return at;
}

/* [0-9][0-9][0-9], and what lies between as it is */
static size_t split_triples(const nb_pass *pass, const uint8_t *text, size_t at, size_t end) {
    (void)pass;
    size_t digits = 0;
    for (size_t i = at; i < end; i++) {
        digits = text[i] >= '0' && text[i] <= '9' ? digits + 1 : 0;
        if (digits == 3)
            return i - 2 == at ? i + 1 : i - 2;
    }
    return end;
}

static const nb_pretokenizer pretokenizers[] = {
    {.names = " gpt-2 phi-2 mpt olmo jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert ",
     .passes = {{.split = split_gpt2}}},
    {.names = " smollm starcoder refact command-r codeshell exaone minerva-7b mellum2 ",
     .passes = {{.split = split_isolated, .classes = NUMBER, .run = 1}, {.split = split_gpt2}}},
    {.names = " llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 ",
     .passes = {{.split = split_llama3, .classes = LETTER, .run = 3}},
     .whole_words = true,
     .add_begin = true},
    {.names = " dbrx smaug-bpe chatglm-bpe ", .passes = {{.split = split_llama3, .classes = LETTER, .run = 3}}},
    {.names = " glm4 glm5 ", .passes = {{.split = split_llama3, .classes = LETTER, .run = 3}}, .whole_words = true},
    {.names = " qwen2 deepseek-r1-qwen stablelm2 hunyuan megrez solar-open grok-2 kormo f2llmv2 ",
     .passes = {{.split = split_llama3, .classes = LETTER, .run = 1}}},
    {.names = " qwen35 ", .passes = {{.split = split_llama3, .classes = LETTER | MARK, .run = 1}}},
    {.names = " falcon ",
     .passes = {{.split = split_isolated, .classes = PUNCTUATION, .run = UINT32_MAX, .extra = "$+<=>^~|`"},
                {.split = split_gpt2},
                {.split = split_triples}}},
    /* for a file that names none */
    {.names = " default ",
     .passes = {{.split = split_isolated, .classes = PUNCTUATION, .run = UINT32_MAX, .extra = "$+<=>^~|"},
                {.split = split_gpt2},
                {.split = split_isolated, .classes = NUMBER, .run = UINT32_MAX},
                {.split = split_triples}}},
};

/* Whether name is one of the names of the list. */
static bool is_among(nb_text name, const char *names) {
    for (const char *p = names + 1; *p;) {
        size_t n = 0;
        while (p[n] != ' ')
            n++;
        if (nb_text_equal(name, (nb_text){p, n}))
            return true;
        p += n + 1;
    }
    return false;
}

const nb_pretokenizer *nb_pretokenizer_find(nb_text name) {
    for (size_t i = 0; i < sizeof pretokenizers / sizeof *pretokenizers; i++)
        if (is_among(name, pretokenizers[i].names))
            return &pretokenizers[i];
    return NULL;
}

const char *nb_pretokenizer_names(void) {
    return "gpt-2, smollm, llama-bpe, qwen2, qwen35, falcon, default and their aliases";
}

bool nb_words_next(nb_words *words, size_t *start) {
    if (words->at >= words->size)
        return false;
    *start = words->at;
    size_t end = words->size;
    for (int i = 0; i < NB_MAX_PASSES && words->pre->passes[i].split; i++) {
        const nb_pass *pass = &words->pre->passes[i];
        if (words->at >= words->ends[i])
            words->ends[i] = pass->split(pass, words->text, words->at, end);
        end = words->ends[i];
    }
    words->at = end;
    return true;
}
