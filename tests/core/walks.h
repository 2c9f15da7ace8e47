/* Helpers for tests of walks: models, their parts, and a session's results for the same tokens. */
#ifndef NB_WALKS_H
#define NB_WALKS_H

#include "../../src/base/writer.h"
#include "../../src/calibrate/walk.h"
#include "../../src/nibble_convert.h"
#include "../../src/types/types.h"
#include "check.h"
#include "edit.h"
#include "load.h"

enum { WINDOWS = 2, WINDOW = 20, TOKENS = WINDOWS * WINDOW, MOST_TENSORS = 256, MOST_FILE = 1 << 20 };

/* ---- models and their parts -------------------------------------------------------------------------------------- */

/* A whole model, from which the layers for a walk are taken, with its file and the tokens to evaluate. */
typedef struct whole {
    const char *path;
    uint8_t *file;
    size_t size;
    nb_model *model;
    int32_t tokens[TOKENS];
} whole;

static inline bool load_whole(whole *all) {
    nb_error err = {0};
    all->model = test_load(all->file, all->size, (double)all->size, 0, &err);
    if (!CHECK(all->model && all->model->checkpoint.n_tensors <= MOST_TENSORS, "%s: %s", all->path, err.message))
        return false;
    for (int32_t i = 0; i < TOKENS; i++)
        all->tokens[i] = 2 + i * 7 % (nb_model_vocabulary(all->model) - 2);
    return true;
}

static inline bool open_whole(whole *all, const char *path) {
    *all = (whole){.path = path};
    all->file = test_read_all(path, &all->size);
    return load_whole(all);
}

static inline void close_whole(whole *all) {
    nb_model_free(all->model);
    nb_free(all->file);
}

static inline nb_text name_of(const nb_model *m, uint64_t tensor) {
    return nb_checkpoint_tensor_name(&m->checkpoint, &m->checkpoint.tensors[tensor]);
}

static inline nb_model *load_part(const uint8_t *file, size_t size, nb_error *err) {
    return test_load_as(NB_LOAD_PART, file, size, (double)size, 0, err);
}

/* A partial model with the tensors of one layer and the factors of RoPE; layer < 0: with those outside the layers.
 * without: a tensor to leave out. */
static inline nb_model *part_of(const whole *all, int32_t layer, const char *without, nb_error *err) {
    static char names[MOST_TENSORS][96];
    test_edit edits[MOST_TENSORS];
    size_t n = 0, size;
    for (uint64_t i = 0; i < all->model->checkpoint.n_tensors; i++) {
        nb_text name = name_of(all->model, i), rest = name;
        uint32_t number;
        bool in_layer = nb_text_take(&rest, "blk.") && nb_text_take_number(&rest, &number);
        bool wanted = in_layer ? (int32_t)number == layer : layer < 0 || nb_text_take(&rest, "rope_");
        if (wanted && !(without && nb_text_is(name, without)))
            continue;
        nb_writer w = nb_writer_over(names[n], sizeof names[n]);
        nb_write(&w, "%t", name);
        edits[n] = (test_edit){.what = TEST_OMIT, .key = names[n]};
        n++;
    }
    uint8_t *part = test_edit_gguf(all->file, all->size, edits, n, &size);
    nb_model *m = load_part(part, size, err);
    nb_free(part);
    return m;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

/* Gives a file to the converter, and appends what the converter writes to out->file. */
static inline int32_t give_file(nb_converter *x, whole *out, const uint8_t *bytes, size_t size, nb_error *err) {
    for (size_t at = 0, capacity; at < size;) {
        uint8_t *space = nb_converter_space(x, &capacity);
        if (!capacity)
            break;
        capacity = NB_MIN(capacity, size - at);
        memcpy(space, bytes + at, capacity);
        at += capacity;
        NB_TRY(nb_converter_commit(x, capacity, err));
        const uint8_t *made;
        int32_t n;
        while ((n = nb_converter_take(x, &made, err)) > 0 && CHECK(out->size + (size_t)n <= MOST_FILE, "too large")) {
            memcpy(out->file + out->size, made, (size_t)n);
            out->size += (size_t)n;
        }
        NB_TRY(n);
    }
    return NB_OK;
}

static inline int32_t convert_folder(nb_converter *x, whole *out, const char *preset, nb_error *err) {
    static const char *const names[] = {"config.json", "model.safetensors"};
    uint8_t *bytes[2];
    size_t sizes[2];
    if (preset)
        NB_TRY(nb_converter_quantize(x, preset, nb_length(preset), 0, err));
    int32_t code = NB_OK;
    for (int32_t i = 0; i < 2; i++) {
        char path[256];
        nb_writer w = nb_writer_over(path, sizeof path);
        nb_write(&w, "%s/%s", out->path, names[i]);
        bytes[i] = test_read_all(path, &sizes[i]);
        code = code < 0 ? code : nb_converter_begin(x, names[i], nb_length(names[i]), (double)sizes[i], err);
        code = code < 0 ? code : give_file(x, out, bytes[i], sizes[i], err);
        code = code < 0 ? code : nb_converter_end(x, err);
    }
    double offset;
    while (code >= 0 && (code = nb_converter_next(x, &offset, err)) > 0)
        code = give_file(x, out, bytes[1] + (size_t)offset, sizes[1] - (size_t)offset, err);
    for (int32_t i = 0; i < 2; i++)
        nb_free(bytes[i]);
    return code;
}

/* Converts a folder of safetensors to a GGUF. preset: to quantize the weights, or NULL. */
static inline bool open_folder(whole *all, const char *path, const char *preset) {
    nb_error err = {0};
    *all = (whole){.path = path, .file = nb_alloc(MOST_FILE)};
    nb_converter *x = nb_converter_new(NB_CONVERT_ALL, &err);
    int32_t code = convert_folder(x, all, preset, &err);
    nb_converter_free(x);
    return CHECK(code >= 0, "%s: %s", path, err.message) && load_whole(all);
}

/* ---- a session's results ------------------------------------------------------------------------------------- */

/* Writes the residual streams after the last layer, as a session computes them, unless `streams` is NULL. */
static inline void evaluate(const whole *all, nb_pool *pool, nb_observer observer, float *streams) {
    nb_error err = {0};
    nb_session *s = nb_session_new(all->model, pool, WINDOW, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    if (!CHECK(s, "%s: %s", all->path, err.message))
        return;
    size_t floats = (size_t)WINDOW * all->model->shape.width;
    s->observer = observer;
    for (uint32_t i = 0; i < WINDOWS; i++) {
        CHECK(nb_session_evaluate(s, all->tokens + i * WINDOW, 0, WINDOW, &err) == NB_OK, "%s", err.message);
        if (streams)
            memcpy(streams + i * floats, s->x, floats * sizeof *streams);
    }
    nb_session_free(s);
}

/* ---- walking ----------------------------------------------------------------------------------------------------- */

/* Observes all tokens of the walk. Returns their number, or an error. */
static inline int32_t observe(nb_walk *walk, int32_t group, uint32_t what, nb_error *err) {
    int32_t done = 0;
    do
        done = nb_walk_observe(walk, group, what, done, err);
    while (done > 0 && (uint32_t)done < nb_walk_tokens(walk));
    return done;
}

/* Takes all tokens through the layer or its first part. by: nb_walk_pass or nb_walk_pass_part. */
static inline int32_t pass_by(int32_t (*by)(nb_walk *walk, int32_t done, nb_error *err), nb_walk *walk, nb_error *err) {
    int32_t done = 0;
    do
        done = by(walk, done, err);
    while (done > 0 && (uint32_t)done < nb_walk_tokens(walk));
    return done;
}

static inline int32_t pass(nb_walk *walk, nb_error *err) {
    return pass_by(nb_walk_pass, walk, err);
}

static inline bool same(const float *a, const float *b, size_t n) {
    return nb_compare(a, b, n * sizeof *a) == 0;
}

/* Whether a name belongs to one expert. For "ffn_gate.3.weight" *expert becomes 3, and *stack becomes the name of the
 * tensor for all experts, "ffn_gate_exps.weight". */
static inline bool is_single_expert(nb_text name, uint32_t *expert, const char **stack) {
    static const char *const stems[] = {"ffn_gate.", "ffn_up.", "ffn_down."};
    static const char *const stacks[] = {"ffn_gate_exps.weight", "ffn_up_exps.weight", "ffn_down_exps.weight"};
    for (int32_t i = 0; i < 3; i++) {
        nb_text rest = name;
        *stack = stacks[i];
        if (nb_text_take(&rest, stems[i]) && nb_text_take_number(&rest, expert) && nb_text_is(rest, ".weight"))
            return true;
    }
    return false;
}

/* Replaces the weights of the tensor "<start><rest>" of the current layer. */
static inline void replace_one(nb_walk *walk, const char *start, nb_text rest, uint32_t type, const uint8_t *bytes,
                               size_t size) {
    nb_error err = {0};
    char name[96];
    nb_writer w = nb_writer_over(name, sizeof name);
    nb_write(&w, "%s%t", start, rest);
    CHECK(nb_walk_replace(walk, name, w.length, type, bytes, size, &err) == NB_OK, "%s", err.message);
}

/* Replaces the weights of a layer by those of the model `by`. Scales and orders of columns stay (nb_walk_replace).
 * Experts whose tensors are apart in the file are replaced together. */
static inline void replace_all(nb_walk *walk, const whole *by, uint32_t layer) {
    uint8_t *stacked = nb_alloc(MOST_FILE);
    const nb_checkpoint *c = &by->model->checkpoint;
    uint32_t experts = by->model->shape.experts, expert;
    const char *stack, *name;
    char start[32];
    nb_writer w = nb_writer_over(start, sizeof start);
    nb_write(&w, "blk.%u.", layer);
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_tensor_info *info = &c->tensors[i];
        nb_text rest = name_of(by->model, i), other;
        if (!nb_text_take(&rest, start) || nb_text_ends(rest, "scale") || nb_text_ends(rest, ".order"))
            continue;
        if (!is_single_expert(rest, &expert, &stack)) {
            replace_one(walk, start, rest, info->type, by->file + info->at, (size_t)info->bytes);
            continue;
        }
        for (uint64_t k = 0; expert == 0 && k < c->n_tensors; k++) {
            uint32_t e;
            other = name_of(by->model, k);
            if (nb_text_take(&other, start) && is_single_expert(other, &e, &name) && name == stack)
                memcpy(stacked + e * (size_t)info->bytes, by->file + c->tensors[k].at, (size_t)info->bytes);
        }
        if (expert == 0)
            replace_one(walk, start, nb_text_of(stack), info->type, stacked, experts * (size_t)info->bytes);
    }
    nb_free(stacked);
}

#endif
