#include "pretokenize.h"

#include "../base/writer.h"

/* ---- which name has which splits --------------------------------------------------------------------------------- */

static const uint32_t cjk[] = {0x3040, 0x30ff, 0x4e00, 0x9fa5};
static const uint32_t cjk_hangul[] = {0x0800, 0x9fa5, 0xac00, 0xd7ff};
static const uint32_t hangul[] = {0x3131, 0x318e, 0xac00, 0xd7a3};
static const uint32_t bopomofo[] = {0x3105, 0x312f};
static const uint32_t wide_punctuation[] = {
    0x2014, 0x2014, 0x2018, 0x2019, 0x201c, 0x201d, 0x2026, 0x2026, 0x3001,
    0x303f, 0xfe30, 0xfe4f, 0xff01, 0xff01, 0xff0c, 0xff0c, 0xff1a, 0xff1b,
};
/* AFMoE */
static const uint32_t asian[] = {
    0x0e40, 0x0e7f, 0x0e80, 0x0eff, 0x1000, 0x109f, 0x1100, 0x11ff, 0x1780, 0x17ff, 0x2f00, 0x2fdf, 0x3040, 0x30ff,
    0x3400, 0x4dbf, 0x4e00, 0x9fff, 0xa9e0, 0xa9ff, 0xaa60, 0xaa7f, 0xac00, 0xd7af, 0xf900, 0xfaff, 0xff65, 0xff9f,
};
/* BLOOM */
static const uint32_t stops[] = {
    0x060c, 0x060c, 0x06d4, 0x06d4, 0x0964, 0x0964, 0x2026, 0x2026, 0x3001, 0x3002, 0xff0c, 0xff0c,
};
/* DeepSeek */
static const uint32_t ascii_and_wide[] = {
    '!', '/', ':', '~', 0x2018, 0x201f, 0x3000, 0x3002, 0xff01, 0xff0f, 0xff1a, 0xff5e,
};
static const uint32_t ascii_symbols[] = {'!', '/', ':', '@', '[', '`', '{', '~'};
/* Scripts.txt */
static const uint32_t han[] = {
    0x2e80,  0x2e99,  0x2e9b,  0x2ef3,  0x2f00,  0x2fd5,  0x3005,  0x3005,  0x3007,  0x3007,  0x3021,
    0x3029,  0x3038,  0x303b,  0x3400,  0x4dbf,  0x4e00,  0x9fff,  0xf900,  0xfa6d,  0xfa70,  0xfad9,
    0x16fe2, 0x16fe3, 0x16ff0, 0x16ff1, 0x20000, 0x2a6df, 0x2a700, 0x2b739, 0x2b740, 0x2b81d, 0x2b820,
    0x2cea1, 0x2ceb0, 0x2ebe0, 0x2ebf0, 0x2ee5d, 0x2f800, 0x2fa1d, 0x30000, 0x3134a, 0x31350, 0x323af,
};
/* letters with case, as DeepSeek's tokenizer lists them */
static const uint32_t deepseek_letters[] = {
    0x41,    0x5a,    0x61,    0x7a,    0xb5,    0xb5,    0xc0,    0xd6,    0xd8,    0xf6,    0xf8,    0x1ba,   0x1bc,
    0x1bf,   0x1c4,   0x293,   0x295,   0x2af,   0x370,   0x373,   0x376,   0x377,   0x37b,   0x37d,   0x37f,   0x37f,
    0x386,   0x386,   0x388,   0x38a,   0x38c,   0x38c,   0x38e,   0x3a1,   0x3a3,   0x3f5,   0x3f7,   0x481,   0x48a,
    0x52f,   0x531,   0x556,   0x10a0,  0x10c5,  0x13a0,  0x13f5,  0x13f8,  0x13fd,  0x1c90,  0x1cba,  0x1cbd,  0x1cbf,
    0x1d00,  0x1d2b,  0x1d6b,  0x1d77,  0x1d79,  0x1d9a,  0x1e00,  0x1f15,  0x1f18,  0x1f1d,  0x1f20,  0x1f45,  0x1f48,
    0x1f4d,  0x1f50,  0x1f57,  0x1f59,  0x1f59,  0x1f5b,  0x1f5b,  0x1f5d,  0x1f5d,  0x1f5f,  0x1f7d,  0x1f80,  0x1fb4,
    0x1fb6,  0x1fbc,  0x1fbe,  0x1fbe,  0x1fc2,  0x1fc4,  0x1fc6,  0x1fcc,  0x1fd0,  0x1fd3,  0x1fd6,  0x1fdb,  0x1fe0,
    0x1fec,  0x1ff2,  0x1ff4,  0x1ff6,  0x1ffc,  0x2102,  0x2102,  0x2107,  0x2107,  0x210a,  0x2113,  0x2115,  0x2115,
    0x2119,  0x211d,  0x2124,  0x2124,  0x2126,  0x2126,  0x2128,  0x2128,  0x212a,  0x212d,  0x212f,  0x2134,  0x2139,
    0x2139,  0x213c,  0x213f,  0x2145,  0x2149,  0x214e,  0x214e,  0x2183,  0x2184,  0x2c00,  0x2c7b,  0x2c7e,  0x2ce4,
    0x2ceb,  0x2cee,  0x2cf2,  0x2cf3,  0xa640,  0xa66d,  0xa680,  0xa69b,  0xa722,  0xa76f,  0xa771,  0xa787,  0xa78b,
    0xa78e,  0xab70,  0xabbf,  0xfb00,  0xfb06,  0xfb13,  0xfb17,  0xff21,  0xff3a,  0xff41,  0xff5a,  0x10400, 0x1044f,
    0x104b0, 0x104d3, 0x104d8, 0x104fb, 0x10c80, 0x10cb2, 0x10cc0, 0x10cf2, 0x118a0, 0x118df, 0x1e900, 0x1e943,
};

#define SET(ranges) .set = ranges, .n_set = sizeof ranges / sizeof *ranges / 2
#define SPLITS(...) \
    .splits = (const nb_split[]){__VA_ARGS__}, .n_splits = sizeof((const nb_split[]){__VA_ARGS__}) / sizeof(nb_split)
#define EACH_NUMBER {.match = nb_match_run, .classes = NB_NUMBERS, .run = 1}
#define THREE_NUMBERS {.match = nb_match_run, .classes = NB_NUMBERS, .run = 3}
#define ISOLATE(...) {.match = nb_match_run, .run = UINT32_MAX, __VA_ARGS__}
#define GPT2 {.match = nb_match_gpt2}
#define WORDS(numbers, ...)                                                   \
    {.match = nb_match_words,                                                 \
     .classes = NB_LETTERS,                                                   \
     .no_lead = NB_LETTERS | NB_NUMBERS | NB_IN_SET,                          \
     .symbols = ~(uint32_t)(NB_LETTERS | NB_NUMBERS | NB_SPACES | NB_IN_SET), \
     .run = numbers,                                                          \
     __VA_ARGS__}
#define LLAMA3(numbers) WORDS(numbers, .flags = NB_CONTRACTIONS | NB_TAIL | NB_LINES)
#define CASED_WORDS(numbers, more) WORDS(numbers, .flags = NB_CASED | NB_TAIL | NB_TAIL_SLASH | NB_LINES | (more))
#define DEEPSEEK3(line)                                   \
    {.match = nb_match_words,                             \
     .classes = NB_LETTERS | NB_MARKS,                    \
     .symbols = NB_PUNCTUATION | NB_SYMBOLS,              \
     .no_lead = NB_LETTERS | NB_PUNCTUATION | NB_SYMBOLS, \
     .flags = NB_ASCII_WORDS | (line)}
#define LINE_ENDS {.match = nb_match_run, .extra = "\r\n", .run = 1}
#define NEWLINES ISOLATE(.extra = "\n")

static const nb_pretokenizer pretokenizers[] = {
    {
        .names = " gpt-2 phi-2 jais trillion granite-docling exaone4 gigachat a.x-4.0 mellum modern-bert roberta-bpe "
                 "jina-es jina-de jina-v2-es jina-v2-de jina-v1-en jina-v2-code ",
        SPLITS(GPT2),
    },
    {.names = " mpt olmo ", SPLITS(GPT2), .nfc = true},
    {.names = " command-r ", SPLITS(EACH_NUMBER, GPT2), .nfc = true},
    {.names = " smollm starcoder refact codeshell exaone minerva-7b mellum2 ", SPLITS(EACH_NUMBER, GPT2)},
    {
        .names = " llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano ",
        SPLITS(LLAMA3(3)),
        .whole_words = true,
        .add_begin = true,
    },
    {.names = " dbrx smaug-bpe chatglm-bpe ", SPLITS(LLAMA3(3))},
    {.names = " glm4 glm5 ", SPLITS(LLAMA3(3)), .whole_words = true},
    {.names = " minicpm5 ", SPLITS(THREE_NUMBERS, LLAMA3(UINT32_MAX)), .whole_words = true},
    {.names = " jais-2 ", SPLITS(WORDS(3, .flags = NB_CONTRACTIONS | NB_TAIL | NB_LINES | NB_HALVES))},
    {.names = " qwen2 ", SPLITS(LLAMA3(1)), .nfc = true},
    {
        .names = " deepseek-r1-qwen stablelm2 hunyuan megrez solar-open grok-2 kormo f2llmv2 bailingmoe bailingmoe2 "
                 "llada-moe ",
        SPLITS(LLAMA3(1)),
    },
    {
        .names = " qwen35 ",
        SPLITS({
            .match = nb_match_words,
            .classes = NB_LETTERS | NB_MARKS,
            .no_lead = NB_LETTERS | NB_NUMBERS,
            .symbols = ~(uint32_t)(NB_LETTERS | NB_MARKS | NB_NUMBERS | NB_SPACES),
            .run = 1,
            .flags = NB_CONTRACTIONS | NB_TAIL | NB_LINES,
        }),
        .nfc = true,
    },
    {.names = " ufakzeka ", SPLITS(WORDS(1, .flags = NB_TAIL | NB_LINES))},
    {.names = " seed-coder ", SPLITS(WORDS(1, .flags = NB_CONTRACTIONS | NB_LINES))},
    {
        .names = " exaone-moe ",
        SPLITS(WORDS(1, .flags = NB_CONTRACTIONS | NB_PHRASES | NB_TAIL | NB_TAIL_SLASH | NB_TAIL_ONE | NB_LINES)),
    },
    {.names = " laguna ", SPLITS(NEWLINES, LLAMA3(1))},
    {.names = " tekken ", SPLITS(CASED_WORDS(1, 0)), .whole_words = true, .add_begin = true},
    {.names = " gpt-4o llama4 kanana2 talkie minimax-m2 ", SPLITS(CASED_WORDS(3, NB_SUFFIXES))},
    {.names = " granite-embed-multi-97m ", SPLITS(CASED_WORDS(3, NB_SUFFIXES)), .whole_words = true},
    {
        .names = " tiny_aya cohere2moe ",
        SPLITS({.match = nb_match_groups, .classes = 1 << NB_CLASS_DIGIT}, CASED_WORDS(3, NB_SUFFIXES)),
    },
    {
        .names = " youtu ",
        SPLITS(ISOLATE(SET(hangul)), ISOLATE(SET(wide_punctuation)), ISOLATE(SET(bopomofo)), ISOLATE(SET(cjk)),
               CASED_WORDS(1, NB_SUFFIXES)),
        .whole_words = true,
    },
    {.names = " kimi-k2 ", SPLITS(WORDS(3, .flags = NB_CASED | NB_SUFFIXES | NB_TAIL | NB_LINES, SET(han)))},
    {
        .names = " deepseek-v3 hunyuan-dense joyai-llm hy_v4 ",
        SPLITS(THREE_NUMBERS, ISOLATE(SET(cjk)), DEEPSEEK3(NB_TAIL | NB_LINES)),
    },
    {.names = " spark2_5 ", SPLITS(THREE_NUMBERS, ISOLATE(SET(cjk)), DEEPSEEK3(NB_LINE), EACH_NUMBER)},
    {
        .names = " afmoe ",
        SPLITS({.match = nb_match_groups, .classes = NB_NUMBERS}, ISOLATE(SET(asian)), DEEPSEEK3(NB_TAIL | NB_LINES)),
    },
    {
        .names = " deepseek-llm ",
        SPLITS(LINE_ENDS, ISOLATE(SET(deepseek_letters), .flags = NB_AFTER_BLANK),
               ISOLATE(SET(ascii_and_wide), .flags = NB_AFTER_BLANK), ISOLATE(.classes = NB_SPACES, .flags = NB_AT_END),
               ISOLATE(SET(cjk_hangul)), ISOLATE(.classes = NB_NUMBERS)),
    },
    {
        .names = " deepseek-coder ",
        SPLITS(LINE_ENDS, ISOLATE(.classes = NB_LETTERS, .flags = NB_AFTER_BLANK),
               ISOLATE(.classes = NB_PUNCTUATION, .flags = NB_AFTER_BLANK), ISOLATE(SET(cjk_hangul)), EACH_NUMBER),
    },
    {
        .names = " bloom poro-chat gpt3-finnish ",
        SPLITS(ISOLATE(.classes = NB_SPACES, .extra = "(|.,!?)", SET(stops), .flags = NB_NEGATED | NB_AFTER_SPACE)),
    },
    {
        .names = " viking ",
        SPLITS(ISOLATE(.classes = NB_SPACES, .extra = "(|.,!?)", SET(stops), .flags = NB_NEGATED | NB_AFTER_SPACE),
               EACH_NUMBER),
    },
    {
        .names = " chameleon ",
        SPLITS({.match = nb_match_sentinel}, {.match = nb_match_image}, {.match = nb_match_indent}, EACH_NUMBER,
               {.match = nb_match_run, .classes = NB_PUNCTUATION, SET(ascii_symbols), .run = 1}, GPT2),
        .add_begin = true,
    },
    {
        .names = " superbpe ",
        SPLITS(ISOLATE(.classes = NB_NUMBERS), {.match = nb_match_groups, .classes = 1 << NB_CLASS_DIGIT}),
    },
    {
        .names = " gemma4 granite-embed-multi-311m ",
        SPLITS(NEWLINES),
        .whole_lines = true,
        .add_begin = true,
        .raw = true,
        .escape_spaces = true,
    },
    {.names = " sarvam-moe ", SPLITS(NEWLINES), .raw = true, .escape_spaces = true},
    {
        .names = " whitespace ", /* the encoder gets the words only, without the white space */
        SPLITS(ISOLATE(.classes = NB_SPACES, .flags = NB_NEGATED)),
        .raw = true,
        .drop_spaces = true,
    },
    {
        .names = " falcon ",
        SPLITS(ISOLATE(.classes = NB_PUNCTUATION, .extra = "$+<=>^~|`"), GPT2, {.match = nb_match_triple}),
    },
    /* for a file that names no pre-tokenizer */
    {
        .names = " default ",
        SPLITS(ISOLATE(.classes = NB_PUNCTUATION, .extra = "$+<=>^~|"), GPT2, ISOLATE(.classes = NB_NUMBERS),
               {.match = nb_match_triple}),
    },
};

/* Whether the list has this name. */
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

enum { COUNT = sizeof pretokenizers / sizeof *pretokenizers };

const nb_pretokenizer *nb_pretokenizer_find(nb_text name) {
    for (size_t i = 0; i < COUNT; i++)
        if (is_among(name, pretokenizers[i].names))
            return &pretokenizers[i];
    return NULL;
}

void nb_pretokenizer_names(char *out, size_t capacity) {
    nb_writer w = nb_writer_over(out, capacity);
    for (size_t i = 0; i < COUNT; i++) {
        nb_text first = {pretokenizers[i].names + 1, 0};
        while (first.data[first.size] != ' ')
            first.size++;
        nb_write(&w, i ? ", %t" : "%t", first);
    }
}

void nb_pretokenizer_prepare(const nb_pretokenizer *pre, const nb_unicode *unicode, nb_split_ascii *splits) {
    for (uint32_t i = 0; i < pre->n_splits; i++)
        for (uint32_t c = 0; c < 128; c++) {
            const nb_split *split = &pre->splits[i];
            uint32_t class = nb_unicode_class(unicode, c);
            bool isolated = nb_split_isolates(split, c, class), other = split->match != nb_match_run;
            bool before = (split->flags & NB_AFTER_SPACE && c == ' ') ||
                          (split->flags & NB_AFTER_BLANK && class == NB_CLASS_SPACE);
            splits[i].isolated[c / 32] |= (uint32_t)isolated << c % 32;
            splits[i].starts[c / 32] |= (uint32_t)(isolated || before || other) << c % 32;
        }
}

/* Where the next match after `at` begins, or the end. What lies before it is a piece, too. */
static size_t next_match(const nb_split *split, const nb_scan *s, size_t at) {
    size_t length, next;
    do {
        if (split->flags & NB_AT_END) /* no match begins within this run */
            while (nb_is_isolated(split, s, at, &next))
                at = next;
        nb_utf8_decode(s->text + at, s->end - at, &length);
        at += length;
        while (at < s->end && s->text[at] < 0x80 && !nb_ascii_bit(s->ascii->starts, s->text[at]))
            at++;
    } while (at < s->end && split->match(split, s, at) == at);
    return at;
}

bool nb_words_next(nb_words *words, size_t *start) {
    if (words->at >= words->size)
        return false;
    *start = words->at;
    nb_scan s = {words->unicode, words->splits, words->text, words->size, words->folds};
    for (uint32_t i = 0; i < words->pre->n_splits; i++, s.ascii++) {
        const nb_split *split = &words->pre->splits[i];
        if (words->at >= words->ends[i]) {
            size_t end = split->match(split, &s, words->at);
            words->ends[i] = end > words->at ? end : next_match(split, &s, words->at);
        }
        s.end = words->ends[i];
    }
    words->at = s.end;
    return true;
}
