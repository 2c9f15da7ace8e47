/* libFuzzer target of the quantizer's functions that need no nb_quantizer: rounding with an importance matrix, the mix
 * of types, simulated grids, ranges of static activations, bitsandbytes' folders. Any numbers give a result or an
 * error. choices.h describes the input. */
#include "choices.h"

#include "../../src/nibble_quantize.h"
#include "../../src/quant/range_observer.h"

enum { TENSORS = 4, KINDS = 3, BLOCK = 64 };

/* Rounds rows, and reads the input as an importance matrix. The rounder is kept, as making the grids of IQ types takes
 * long. */
static void round_rows(input *in) {
    static nb_rounder *kept;
    uint32_t type = choice(in, 4) % 64, source = choice(in, 5) % 64, refused = (uint32_t)fuzz_refused;
    fuzz_refuse(0);
    if (!kept)
        kept = nb_rounder_new(NULL, &in->err);
    demand(kept != NULL);
    void *weights = rows_of(in, source);
    double loss = 0;
    done(in, nb_rounder_tensor(kept, "name", 4, in->columns, 1, &in->err));
    if (weights && nb_rounder_takes(kept, type) &&
        done(in,
             nb_rounder_rows(kept, 0, type, choice(in, 6) % 2, source, weights, 0, in->rows, NULL, &loss, &in->err)))
        demand(!(loss < 0)); /* it may be infinite or NaN, if the type cannot hold the weights */
    fuzz_refuse(refused);
    nb_rounder *r = nb_rounder_new(NULL, &in->err);
    if (r && done(in, nb_rounder_importance(r, in->data, in->size, &in->err)))
        done(in, nb_rounder_tensor(r, "a", 1, 1, 1, &in->err));
    nb_rounder_free(r);
    free(weights);
}

/* Chooses types for a mix. Arbitrary bytes are seldom valid sizes and budgets, so choice 14 may put valid ones in. */
static void choose(input *in) {
    double bytes[TENSORS * KINDS], losses[TENSORS * KINDS], budget;
    uint32_t chosen[TENSORS];
    fill(in, bytes, sizeof bytes);
    for (size_t i = 0; i < TENSORS * KINDS; i++) {
        size_t skipped = i % (in->size + 1);
        fill(&(input){.data = in->data + skipped, .size = in->size - skipped}, &losses[i], sizeof losses[i]);
        bytes[i] = choice(in, 14) & 2 ? (double)(i % 5 * 100) : bytes[i];
    }
    fill(in, &budget, sizeof budget);
    if (choice(in, 14) & 1)
        budget = 1e300;
    if (!done(in, nb_mix_choose(TENSORS, KINDS, bytes, losses, budget, chosen, &in->err)))
        return;
    for (uint32_t i = 0; i < TENSORS; i++)
        demand(chosen[i] < KINDS && __builtin_isfinite(losses[i * KINDS + chosen[i]]));
}

/* Simulates a grid. After an error the rows must be as they were, unless an allocation failed. */
static void simulate(input *in) {
    nb_simulation how = {.grid = choice(in, 7) % 4,
                         .bits = choice(in, 8) % 10,
                         .group = choice(in, 9) % 5 * 16,
                         .whole = choice(in, 10) & 1,
                         .symmetric = choice(in, 10) & 2,
                         .ranges = choice(in, 11) % 6,
                         .stochastic = choice(in, 10) & 4,
                         .seed = choice(in, 12)};
    fill(in, &how.percentile, sizeof how.percentile);
    how.percentile = choice(in, 10) & 8 ? how.percentile : 99;
    uint32_t type = choice(in, 13) % 3;
    void *weights = rows_of(in, type), *before = rows_of(in, type);
    double clipped = 0, bits;
    if (!weights)
        return;
    size_t n = (size_t)in->rows * in->columns, bytes = n * (type == NB_TYPE_F32   ? sizeof(float)
                                                            : type == NB_TYPE_F16 ? sizeof(uint16_t)
                                                                                  : 0);
    bool is_possible = done(in, nb_simulate_bits(&how, in->rows, in->columns, &bits, &in->err));
    if (done(in, nb_simulate_rows(NULL, &how, choice(in, 2), type, weights, 0, in->rows, in->columns, &clipped,
                                  &in->err))) {
        demand(is_possible && clipped >= 0 && clipped <= (double)n);
        for (size_t i = 0; i < n; i++)
            demand(is_number(type == NB_TYPE_F32 ? ((float *)weights)[i] : nb_f16_to_f32(((uint16_t *)weights)[i])));
    } else {
        demand(fuzz_refused || !memcmp(weights, before, bytes));
    }
    free(before);
    free(weights);
}

static void choose_range(input *in, const nb_range_observer *o) {
    nb_input_settings settings = {.ranges = choice(in, 13) % 8,
                                  .symmetric = choice(in, 10) & 1,
                                  .scale_type = choice(in, 5) % 64};
    nb_input_found found;
    fill(in, &settings.percentile, sizeof settings.percentile);
    settings.percentile = choice(in, 10) & 8 ? settings.percentile : 99;
    if (done(in, nb_quantizer_input(o, &settings, &found, &in->err)))
        demand(found.low <= 0 && found.high >= 0 && is_number(found.scale) && found.scale > 0 && found.zero >= -128 &&
               found.zero <= 127 && found.clipped >= 0 && found.clipped <= 1);
}

/* Chooses a range for an observer that has seen numbers, then with some of its bytes overwritten, then with all. */
static void observe(input *in) {
    nb_range_observer *o = fuzz_memory(sizeof *o);
    float *x = rows_of(in, NB_TYPE_F32);
    nb_range_begin(o, 0);
    if (done(in, nb_range_observe(o, x, in->rows, in->columns, &in->err)))
        choose_range(in, o);
    size_t at = choice(in, 15) * 128u % sizeof *o;
    fill(in, (uint8_t *)o + at, NB_MIN(in->size, sizeof *o - at));
    choose_range(in, o);
    fill(in, o, sizeof *o);
    choose_range(in, o);
    free(x);
    free(o);
}

/* Makes the tensors of bitsandbytes' folders: codes with nested scales, and the rows of LLM.int8(). */
static void write_folder(input *in) {
    uint32_t type = choice(in, 4) % 64, source = choice(in, 5) % 64, n = in->rows * in->columns;
    uint32_t block = 16u << choice(in, 9) % 10, blocks = (n + block - 1) / block;
    void *weights = rows_of(in, source);
    float *absmax = fuzz_memory(blocks * sizeof *absmax), map[256];
    uint8_t *codes = fuzz_memory(NB_MAX(n, blocks)), *nested_codes = fuzz_memory(blocks);
    float *nested = fuzz_memory((blocks + 255) / 256 * sizeof *nested),
          *largest = fuzz_memory(in->rows * sizeof *largest);
    float offset;
    if (weights && done(in, nb_bnb_blocks(type, block, source, weights, 0, n, codes, absmax, &in->err)) &&
        done(in, nb_bnb_nested(absmax, blocks, nested_codes, nested, &offset, &in->err)))
        demand(!(nested[0] < 0)); /* NaN is allowed */
    fill(in, absmax, blocks * sizeof *absmax);
    done(in, nb_bnb_nested(absmax, blocks, nested_codes, nested, &offset, &in->err));
    done(in, nb_bnb_map(type, map, &in->err));
    if (weights && done(in, nb_bnb_rows(source, weights, 0, in->rows, in->columns, (int8_t *)codes, largest, &in->err)))
        demand_numbers(largest, in->rows);
    free(largest);
    free(nested);
    free(nested_codes);
    free(codes);
    free(absmax);
    free(weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in;
    if (!read_input(data, size, &in))
        return 0;
    fuzz_refuse(data[size - 1] % 16);
    round_rows(&in);
    simulate(&in);
    observe(&in);
    write_folder(&in);
    fuzz_refuse(0);
    choose(&in);
    return 0;
}
