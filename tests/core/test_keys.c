/* keys.c against the keys that llama.cpp's source reads (tests/oracles/gguf_keys.py wrote the list). */
#include "../../src/base/text.h"
#include "../../src/models/keys.h"
#include "check.h"

typedef struct list {
    const char *text;
    size_t size;
} list;

/* Each line is "architecture key"; false at the end. */
static bool next_line(list *l, nb_text *architecture, nb_text *key) {
    nb_text *words[] = {architecture, key};
    while (l->size && *l->text == '#')
        for (bool ends = false; l->size && !ends; l->text++, l->size--)
            ends = *l->text == '\n';
    for (int i = 0; i < 2; i++) {
        size_t n = 0;
        while (n < l->size && l->text[n] != ' ' && l->text[n] != '\n')
            n++;
        *words[i] = (nb_text){l->text, n};
        n += n < l->size;
        l->text += n;
        l->size -= n;
    }
    return key->size > 0;
}

static bool is_read(list all, const char *architecture, const char *key) {
    for (nb_text a, k; next_line(&all, &a, &k);)
        if (nb_text_is(a, architecture) && nb_text_is(k, key))
            return true;
    return false;
}

void test_keys(void) {
    size_t size, lines = 0;
    uint8_t *bytes = test_read_all("tests/fixtures/formats/gguf-keys.txt", &size);
    list all = {(const char *)bytes, size}, rest = all;
    for (nb_text architecture, key; next_line(&rest, &architecture, &key); lines++) {
        const nb_key *found = NULL;
        for (const nb_key *line = nb_gguf_keys; line->suffix && !found; line++)
            for (const nb_family *const *f = nb_families; *f && nb_text_is(key, line->suffix); f++)
                if (nb_text_is(architecture, (*f)->name) && nb_key_is_of(line, (*f)->name))
                    found = line;
        CHECK(found, "llama.cpp reads %t.%t; keys.c has no line for it", architecture, key);
        CHECK(!found || found->rule != NB_KEY_OURS, "%t.%t is said to be nibble's alone", architecture, key);
    }
    CHECK(lines > 500, "only %z keys", lines);
    for (const nb_key *line = nb_gguf_keys; line->suffix; line++)
        for (const nb_family *const *f = nb_families; *f; f++) {
            const char *name = (*f)->name;
            bool is_opt = nb_text_is(nb_text_of(name), "opt"); /* llama.cpp has none */
            if (nb_key_of(name, line->suffix) == line && line->rule != NB_KEY_OURS && !is_opt)
                CHECK(is_read(all, name, line->suffix), "keys.c has %s.%s, which llama.cpp does not read", name, line->suffix);
        }
    CHECK(!nb_key_of("qwen2", "attention.scale") && nb_key_of("granite", "attention.scale"), "keys of others");
    nb_free(bytes);
}
