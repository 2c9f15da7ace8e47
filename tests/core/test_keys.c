/* keys.c against the keys that llama.cpp's source reads, and the families' tables of tensors against those that it
 * loads (tests/oracles/gguf_keys.py and gguf_tensors.py wrote the lists). */
#include "../../src/base/text.h"
#include "../../src/models/family.h"
#include "../../src/models/keys.h"
#include "check.h"

typedef struct list {
    const char *text;
    size_t size;
} list;

/* The n words of the next line; false at the end. */
static bool next_line(list *l, nb_text *words, int n_words) {
    while (l->size && *l->text == '#')
        for (bool ends = false; l->size && !ends; l->text++, l->size--)
            ends = *l->text == '\n';
    for (int i = 0; i < n_words; i++) {
        size_t n = 0;
        while (n < l->size && l->text[n] != ' ' && l->text[n] != '\n')
            n++;
        words[i] = (nb_text){l->text, n};
        n += n < l->size;
        l->text += n;
        l->size -= n;
    }
    return words[n_words - 1].size > 0;
}

static bool is_read(list all, const char *architecture, const char *key) {
    for (nb_text words[2]; next_line(&all, words, 2);)
        if (nb_text_is(words[0], architecture) && nb_text_is(words[1], key))
            return true;
    return false;
}

static bool is_ours(const nb_key *line) {
    return line->rule == NB_KEY_OURS || line->rule == NB_KEY_OURS_LIMITED;
}

/* Tensors that llama.cpp loads and nibble refuses by their names. */
static const struct {
    const char *architectures, *tensors;
} refused[] = {
    {"qwen3", "cls.weight cls.bias cls.output.weight cls.output.bias"},                   /* of rerankers */
    {"llama granite", "ffn_gate_shexp.weight ffn_up_shexp.weight ffn_down_shexp.weight"}, /* of Granite's mixtures */
    {"llama granite", "ffn_gate_exps.weight"},   /* llama.cpp has experts without */
    {"gemma3", "dense_2.weight dense_3.weight"}, /* those of gemma-embedding are loaded */
    {"nomic-bert", "ffn_up.bias ffn_down.bias"}, /* llama.cpp loads them, but does not use them */
};

static bool has_word(const char *words, nb_text word) {
    list rest = {words, nb_length(words)};
    for (nb_text one; next_line(&rest, &one, 1);)
        if (nb_text_equal(one, word))
            return true;
    return false;
}

static bool is_refused(nb_text architecture, nb_text tensor) {
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (has_word(refused[i].architectures, architecture) && has_word(refused[i].tensors, tensor))
            return true;
    return false;
}

/* A family loads what llama.cpp loads for it. What is optional for llama.cpp is optional here in a GGUF. */
static void check_tensor(const nb_family *family, nb_text tensor, bool optional) {
    nb_text name = tensor;
    bool in_layer = nb_text_take(&name, "blk.*.");
    nb_text rest = name;
    const nb_slot *found = NULL;
    for (const nb_slot *s = family->slots; s->name && !found; s++)
        found = s->in_layer == in_layer && nb_text_is(name, s->name) ? s : NULL;
    bool embeds = nb_text_is(nb_text_of(family->name),
                             "gemma-embedding"); /* embedding.c binds its dense layers, and BERT's head */
    bool dense = embeds && (nb_text_is(name, "dense_2.weight") || nb_text_is(name, "dense_3.weight"));
    bool head = nb_text_is(nb_text_of(family->name), "bert") && nb_text_take(&rest, "cls.");
    bool taken =
        dense || head || (found && (!optional || found->need == NB_OPTIONAL || found->need >= NB_FOLDERS_MUST));
    CHECK(taken != is_refused(nb_text_of(family->name), name), "llama.cpp loads %t of %s files (%s), which is %s",
          tensor, family->name, optional ? "if there is one" : "always",
          taken   ? "said to be refused"
          : found ? "required here"
                  : "unknown here");
}

static void check_tensors(void) {
    size_t size, lines = 0;
    uint8_t *bytes = test_read_all("tests/fixtures/formats/gguf-tensors.txt", &size);
    list rest = {(const char *)bytes, size};
    for (nb_text words[3]; next_line(&rest, words, 3); lines++)
        for (const nb_family *const *f = nb_families; *f; f++)
            if (nb_text_is(words[0], (*f)->name))
                check_tensor(*f, words[1], nb_text_is(words[2], "optional"));
    CHECK(lines > 400, "only %z tensors", lines);
    nb_free(bytes);
}

void test_keys(void) {
    check_tensors();
    size_t size, lines = 0;
    uint8_t *bytes = test_read_all("tests/fixtures/formats/gguf-keys.txt", &size);
    list all = {(const char *)bytes, size}, rest = all;
    for (nb_text words[2]; next_line(&rest, words, 2); lines++) {
        nb_text architecture = words[0], key = words[1];
        const nb_key *found = NULL;
        for (const nb_key *line = nb_gguf_keys; line->suffix && !found; line++)
            for (const nb_family *const *f = nb_families; *f && nb_text_is(key, line->suffix); f++)
                if (nb_text_is(architecture, (*f)->name) && nb_key_is_of(line, (*f)->name))
                    found = line;
        CHECK(found, "llama.cpp reads %t.%t; keys.c has no line for it", architecture, key);
        CHECK(!found || !is_ours(found), "%t.%t is said to be nibble's alone", architecture, key);
    }
    CHECK(lines > 500, "only %z keys", lines);
    for (const nb_key *line = nb_gguf_keys; line->suffix; line++)
        for (const nb_family *const *f = nb_families; *f; f++) {
            const char *name = (*f)->name;
            bool is_opt = nb_text_is(nb_text_of(name), "opt"); /* llama.cpp has none */
            if (nb_key_of(name, line->suffix) == line && !is_ours(line) && !is_opt)
                CHECK(is_read(all, name, line->suffix), "keys.c has %s.%s, which llama.cpp does not read", name,
                      line->suffix);
        }
    CHECK(!nb_key_of("qwen2", "attention.scale") && nb_key_of("granite", "attention.scale"), "keys of others");
    nb_free(bytes);
}
