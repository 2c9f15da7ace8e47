/* libFuzzer target of walks and probes, which go through a model layer by layer: with any file and any order of calls,
 * each call succeeds, or fails with a message.
 *
 * Input: which functions to call (STEPS bytes), two bytes for the allocation that fails (0: none), two that choose the
 * windows of tokens, then the file. */
#include "fuzz.h"

#include "../../src/types/traits.h"

enum { STEPS = 24, BEFORE = STEPS + 4, WINDOWS = 2, MOST_WINDOW = 12, MOST_NAME = 64 };

typedef struct input {
    const uint8_t *steps, *file;
    size_t size;
    nb_model *model;
    nb_walk *walk;
    int32_t tokens; /* in all windows */
    nb_error err;
} input;

/* Whether a call succeeded, by its code. An error must have a message. */
static bool done(input *in, double code) {
    demand(code >= 0 || in->err.message[0]);
    in->err = (nb_error){0};
    return code >= 0;
}

static void demand_finite(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        demand(__builtin_fabsf(x[i]) <= 0x1.fffffep127f); /* false for NaN, too */
}

/* Reads what was observed of a group of matrices, for each expert. */
static void read_group(const input *in, uint32_t group) {
    uint32_t sides[4];
    char name[MOST_NAME];
    if (!nb_walk_matrix(in->walk, group, 0, sides, name, sizeof name))
        return;
    demand(sides[0] && sides[1] && sides[2] && sides[3] < 2);
    for (uint32_t expert = 0; expert < sides[2]; expert++) {
        const float *hessian = nb_walk_hessian(in->walk, group, expert), *mean = nb_walk_mean(in->walk, group, expert);
        demand(!hessian || mean);
        if (!mean)
            continue;
        demand(nb_walk_count(in->walk, group, expert) <= in->tokens);
        demand_finite(mean, sides[0]);
        demand_finite(nb_walk_largest(in->walk, group, expert), sides[0]);
        for (uint32_t i = 0; hessian && i < sides[0]; i++) {
            demand_finite(hessian + (size_t)i * sides[0], sides[0]);
            demand(hessian[(size_t)i * sides[0] + i] >= 0);
        }
    }
    demand(!nb_walk_hessian(in->walk, group, sides[2]) && !nb_walk_range(in->walk, group, sides[2]));
}

/* Observes all batches, or only the first. */
static void observe(input *in, uint8_t step) {
    int32_t group = (int32_t)(step >> 4) % 8 - 1, so_far = 0;
    do
        so_far = nb_walk_observe(in->walk, group, (step >> 2 & 3) % 4, so_far, &in->err);
    while (done(in, so_far) && so_far < in->tokens && !(step & 128));
    if (so_far == in->tokens)
        for (uint32_t i = 0; i < 16; i++)
            read_group(in, i);
}

/* Replaces a matrix of the layer by one of another type, whose blocks are bytes of the file. next: the byte of the next
 * step, which serves as a further choice. */
static void replace(input *in, uint8_t step, uint8_t next) {
    static const uint32_t types[] = {NB_TYPE_F32, NB_TYPE_F16, NB_TYPE_Q4_0, NB_TYPE_Q8_0, NB_TYPE_Q2_K, NB_TYPE_NF4};
    uint32_t sides[4], type = types[(step >> 5) % 6];
    char name[MOST_NAME];
    size_t name_bytes = nb_walk_matrix(in->walk, step >> 2 & 7, next & 1, sides, name, sizeof name);
    if (!name_bytes || name_bytes >= sizeof name)
        return;
    const nb_traits *traits = nb_traits_of(type);
    uint64_t weights = nb_times(nb_times(sides[0], sides[1]), sides[2]);
    size_t size = (size_t)(weights / traits->block_weights * traits->block_bytes) + (next & 128 ? 1 : 0);
    uint8_t *blocks = fuzz_memory(size);
    for (size_t i = 0; i < size; i++)
        blocks[i] = in->file[(in->size / 2 + i) % in->size];
    done(in, nb_walk_replace(in->walk, name, name_bytes, type, blocks, size, &in->err));
    free(blocks);
}

static void pass(input *in, int32_t (*by)(nb_walk *walk, int32_t done, nb_error *err)) {
    int32_t so_far = 0;
    do
        so_far = by(in->walk, so_far, &in->err);
    while (done(in, so_far) && so_far < in->tokens);
    if (so_far == in->tokens)
        demand_finite(nb_walk_streams(in->walk), (size_t)in->tokens * (size_t)nb_model_width(in->model));
}

static void step(input *in, uint8_t step, uint8_t next, uint32_t *layer) {
    switch (step & 3) {
    case 0: observe(in, step); break;
    case 1: replace(in, step, next); break;
    case 2:
        if (step & 4)
            done(in, nb_walk_note(in->walk, &in->err));
        else {
            double change = nb_walk_change(in->walk, &in->err); /* NaN if outputs are not finite */
            demand(change >= 0 || change != change || in->err.message[0]);
            in->err = (nb_error){0};
        }
        break;
    default:
        if (step & 8)
            pass(in, nb_walk_pass_part);
        else
            pass(in, nb_walk_pass);
        if (done(in, nb_walk_layer(in->walk, in->model, *layer + 1, &in->err)))
            ++*layer;
    }
}

static void walk(input *in) {
    uint32_t layer = 0;
    if (!done(in, nb_walk_begin(in->walk, in->model, &in->err)))
        return;
    done(in, nb_walk_layer(in->walk, in->model, layer, &in->err));
    for (uint32_t i = 0; i < STEPS; i++)
        step(in, in->steps[i], in->steps[(i + 1) % STEPS], &layer);
}

/* Probes the model: measures how its outputs change, and then replaces a tensor, again and again. */
static void probe(input *in, const int32_t *tokens, uint32_t windows, uint32_t window) {
    nb_probe *p = nb_probe_new(in->model, NULL, tokens, windows, window, &in->err);
    double sum = 0;
    if (!done(in, p ? 0 : -1))
        return;
    for (uint32_t i = 0; i < STEPS / 2; i++) {
        uint32_t what = i ? in->steps[i] % 4 : NB_PROBE_BASE;
        int32_t so_far = 0;
        do
            so_far = nb_probe_run(p, what, so_far, &sum, &in->err);
        while (done(in, so_far) && so_far < in->tokens);
        demand(sum >= 0 || sum != sum);
        const char *const name = in->steps[i] & 4 ? "token_embd.weight" : "blk.0.attn_output.weight";
        size_t bytes = NB_MIN(in->size, (size_t)in->steps[i] * 64);
        done(in, nb_probe_replace(p, name, nb_length(name), in->steps[i] & 8 ? NB_TYPE_Q4_0 : NB_TYPE_F32, in->file,
                                  bytes, &in->err));
    }
    nb_probe_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size <= BEFORE)
        return 0;
    const uint8_t *rest = data + STEPS;
    input in = {.steps = data, .file = data + BEFORE, .size = size - BEFORE};
    uint32_t windows = 1 + rest[2] % WINDOWS, window = 1 + rest[3] % MOST_WINDOW;
    fuzz_refuse(rest[0] | (uint64_t)rest[1] << 8);
    in.model = fuzz_load(in.file, in.size, SIZE_MAX, NB_LOAD_ALL, &in.err);
    int32_t tokens[WINDOWS * MOST_WINDOW], vocabulary = in.model ? nb_model_vocabulary(in.model) : 0;
    in.tokens = (int32_t)(windows * window);
    in.err = (nb_error){0};
    for (int32_t i = 0; i < in.tokens; i++)
        tokens[i] = vocabulary ? (rest[3] + i * 7) % vocabulary : 0;
    if (in.model && rest[2] & 128) {
        probe(&in, tokens, windows, window);
    } else if (in.model) {
        in.walk = nb_walk_new(NULL, tokens, windows, window, &in.err);
        if (done(&in, in.walk ? 0 : -1))
            walk(&in);
        nb_walk_free(in.walk);
    }
    nb_model_free(in.model);
    fuzz_refuse(0);
    return 0;
}
