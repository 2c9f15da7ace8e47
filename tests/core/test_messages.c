/* Messages that list what is supported list all of it: no list is cut, neither in its own buffer nor in the message. */
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/convert/huggingface_families.h"
#include "../../src/models/family.h"
#include "../../src/nibble_convert.h"
#include "../../src/quant/quantize.h"
#include "check.h"
#include "load.h"

/* `bytes` with the first `from` replaced by `to`, which is as long. */
static void replace(uint8_t *bytes, size_t size, const char *from, const char *to) {
    size_t n = nb_length(from), at = 0;
    while (at + n <= size && nb_compare(bytes + at, from, n) != 0)
        at++;
    if (CHECK(at + n <= size && nb_length(to) == n, "there is no %s", from))
        memcpy(bytes + at, to, n);
}

static void test_architectures(void) {
    size_t size;
    uint8_t *file = test_read_all("tests/fixtures/models/biases.gguf", &size);
    replace(file, size, "llama", "lamma");
    nb_error err = {0};
    nb_model *m = test_load(file, size, (double)size, 0, &err);
    CHECK(!m, "it was loaded");
    for (const nb_family *const *f = nb_families; *f; f++)
        CHECK(test_contains(err.message, (*f)->name), "%s is not in: %s", (*f)->name, err.message);
    nb_model_free(m);
    nb_free(file);
}

/* A folder with this config.json and no weights. */
static nb_error refusal_of_folder(const char *config) {
    static const uint8_t weights[] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    const struct {
        const char *name;
        const uint8_t *bytes;
        size_t size;
    } files[] = {
        {"config.json", (const uint8_t *)config, nb_length(config)},
        {"model.safetensors", weights, sizeof weights},
    };
    nb_error err = {0};
    nb_converter *x = nb_converter_new(NB_CONVERT_HEADER, &err);
    double offset;
    for (int i = 0; i < 2; i++) {
        size_t capacity;
        nb_converter_begin(x, files[i].name, nb_length(files[i].name), (double)files[i].size, &err);
        uint8_t *space = nb_converter_space(x, &capacity);
        if (CHECK(capacity >= files[i].size, "%s has no room", files[i].name))
            memcpy(space, files[i].bytes, files[i].size);
        nb_converter_commit(x, files[i].size, &err);
        nb_converter_end(x, &err);
    }
    CHECK(nb_converter_next(x, &offset, &err) < 0, "%s was taken", config);
    nb_converter_free(x);
    return err;
}

static void test_folders(void) {
    nb_error err = refusal_of_folder("{\"model_type\": \"lamma\"}");
    for (const nb_hf_family *f = nb_hf_families; f->model_type; f++)
        CHECK(test_contains(err.message, f->model_type), "%s is not in: %s", f->model_type, err.message);
}

static void test_presets_named(void) {
    char all[NB_LIST_BYTES];
    nb_writer w = nb_writer_over(all, sizeof all);
    nb_preset_list(&w);
    nb_error err = {0};
    nb_converter *x = nb_converter_new(NB_CONVERT_ALL, &err);
    CHECK(nb_converter_quantize(x, "q9", 2, 0, &err) < 0 && w.length < sizeof all && test_contains(err.message, all),
          "%s", err.message);
    nb_converter_free(x);
}

void test_messages(void) {
    test_architectures();
    test_folders();
    test_presets_named();
}
