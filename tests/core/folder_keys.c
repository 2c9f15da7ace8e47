/* What nibble's tables say of the keys of config.json, a line each, for tests/js/folder-keys.test.js. It runs only
 * when asked for by its full name:
 *     key MODEL_TYPE NAMES number|used|must     (NAMES: with commas between)
 *     rope TYPE NAME
 *     idle NAME */
#include "../../src/base/writer.h"
#include "../../src/convert/huggingface_families.h"
#include "check.h"

static void print_words(const char *kind, const char *of, const char *names, const char *what) {
    char line[160];
    nb_writer w = nb_writer_over(line, sizeof line);
    nb_write(&w, "%s %s%s", kind, of, *of ? " " : "");
    for (; *names; names++)
        nb_write_bytes(&w, *names == ' ' ? "," : names, 1);
    nb_write(&w, "%s%s\n", *what ? " " : "", what);
    CHECK(w.length < sizeof line, "%s has no room on its line", names);
    test_print(line, w.length);
}

static void print_keys(const char *model_type, const nb_hf_key *keys) {
    for (; keys->names; keys++)
        print_words("key", model_type, keys->names, keys->must ? "must" : *keys->ours ? "number" : "used");
}

void print_folder_keys(void) {
    for (const nb_hf_family *f = nb_hf_families; f->model_type; f++) {
        print_keys(f->model_type, f->keys);
        print_keys(f->model_type, nb_hf_everywhere);
    }
    for (const nb_hf_rope_type *t = nb_hf_rope_types; t->name; t++)
        for (const nb_hf_key *key = t->keys; key->names; key++)
            print_words("rope", t->name, key->names, "");
    for (const nb_hf_idle *idle = nb_hf_idle_keys; idle->reason; idle++)
        for (const char *at = idle->names; *at;) {
            char name[64];
            size_t n = 0;
            for (; *at && *at != ' '; at++)
                if (n + 1 < sizeof name)
                    name[n++] = *at;
            name[n] = 0;
            at += *at == ' ';
            print_words("idle", "", name, "");
        }
}
