/* What a GGUF file may say and what must be refused: each case is a good file with one thing changed. What is right in the
 * accepted ones is checked against oracles elsewhere; here, that the message names what is wrong. */
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/models/model.h"
#include "check.h"
#include "edit.h"

#define MODELS "tests/fixtures/models/"

typedef struct change {
    const char *path;
    test_edit edits[8]; /* ends with key = NULL */
    const char *message; /* a part of it; NULL: such a file is loaded */
} change;

static nb_model *load(const uint8_t *bytes, size_t size, nb_error *err) {
    nb_loader *l = nb_loader_new((double)size, NB_LOAD_ALL, err);
    int32_t code = l ? NB_OK : err->code;
    for (size_t at = 0, capacity; at < size && code == NB_OK;) {
        uint8_t *space = nb_loader_space(l, &capacity);
        if (!capacity)
            break;
        capacity = NB_MIN(capacity, size - at);
        memcpy(space, bytes + at, capacity);
        at += capacity;
        code = nb_loader_commit(l, capacity, err);
    }
    nb_model *m = code < 0 ? NULL : nb_loader_finish(l, err);
    nb_loader_free(l);
    return m;
}

static bool contains(const char *text, const char *part) {
    size_t n = nb_length(text), k = nb_length(part);
    for (size_t i = 0; i + k <= n; i++)
        if (nb_compare(text + i, part, k) == 0)
            return true;
    return false;
}

static void check_changes(const change *changes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const change *c = &changes[i];
        size_t size, n_edits = 0, changed_size;
        uint8_t *file = test_read_all(c->path, &size);
        if (!size)
            continue;
        while (n_edits < sizeof c->edits / sizeof *c->edits && c->edits[n_edits].key)
            n_edits++;
        uint8_t *changed = test_edit_gguf(file, size, c->edits, n_edits, &changed_size);
        nb_error err = {0};
        nb_model *m = load(changed, changed_size, &err);
        if (c->message)
            CHECK(!m && contains(err.message, c->message), "%s, %s: \"%s\", not \"...%s...\"", c->path,
                  c->edits[0].key, m ? "it was loaded" : err.message, c->message);
        else
            CHECK(m, "%s, %s: %s", c->path, c->edits[0].key, err.message);
        nb_model_free(m);
        nb_free(changed);
        nb_free(file);
    }
}

/* Two names for one place. */
static void test_places(void) {
#define PARTS(layer, a, b, c, d, e)                                                                                  \
    OMIT("blk.1.ffn_up_exps.weight"), PART("blk.1.ffn_up_exps.weight", 0, "blk." #layer ".ffn_up." a ".weight"),     \
        PART("blk.1.ffn_up_exps.weight", 1, "blk." #layer ".ffn_up." b ".weight"),                                   \
        PART("blk.1.ffn_up_exps.weight", 2, "blk." #layer ".ffn_up." c ".weight"),                                   \
        PART("blk.1.ffn_up_exps.weight", 3, "blk." #layer ".ffn_up." d ".weight"),                                   \
        PART("blk.1.ffn_up_exps.weight", 4, "blk." #layer ".ffn_up." e ".weight")
    static const change changes[] = {
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk.00.attn_q.weight")}, "blk.00.attn_q.weight is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.1.attn_q.bias", "blk.01.attn_q.bias")}, "blk.01.attn_q.bias is not part"},
        {MODELS "qwen2.gguf", {RENAME("blk.1.attn_norm.weight", "blk.01.attn_norm.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk.4294967296.attn_q.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk.18446744073709551616.attn_q.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk. 0.attn_q.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk.+0.attn_q.weight")}, "is not part"},
        {"demo/tiny.gguf", {COPY("output_norm.weight", "blk.0.attn_norm.weight"), OMIT("blk.0.attn_norm.weight")}, NULL},
        {MODELS "mixtral.gguf", {PARTS(1, "0", "1", "2", "3", "4")}, NULL},
        {MODELS "mixtral.gguf", {PARTS(1, "4", "3", "2", "1", "0")}, NULL},
        {MODELS "mixtral.gguf", {PARTS(1, "0", "1", "2", "3", "03")}, "blk.1.ffn_up.03.weight is not part"},
        {MODELS "mixtral.gguf", {PARTS(1, "0", "1", "2", "3", "4294967300")}, "is not part"},
        {MODELS "mixtral.gguf", {PARTS(01, "0", "1", "2", "3", "4")}, "blk.01.ffn_up.0.weight is not part"},
        {MODELS "mixtral.gguf", {PART("blk.1.ffn_up_exps.weight", 2, "blk.1.ffn_up.2.weight")}, "are the same part"},
        {MODELS "mixtral.gguf", {PART("blk.1.ffn_up_exps.weight", 2, "blk.1.ffn_up.2.weight"),
                                 OMIT("blk.1.ffn_up_exps.weight")}, "not the tensors of 5 experts"},
        {MODELS "qwen2.gguf", {RESHAPE("blk.0.attn_norm.weight", F32, 3, 1, 2, 3)}, "has shape [3, 1, 1, 1]"},
    };
    check_changes(changes, sizeof changes / sizeof *changes);
}

void test_loading(void) {
    test_places();
}
