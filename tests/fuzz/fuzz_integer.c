/* libFuzzer target of integer inference. Any GGUF is refused, or is a model that computes within its own memory,
 * whatever numbers the file holds.
 *
 * Input: byte 0 (bit 0: the file is a Llama with floating-point weights, to be converted to integers first), two bytes
 * that say which allocation fails (0: none), a byte that chooses tokens; the rest is the file. */
#include "fuzz.h"

#include "../../src/nibble_integer.h"
#include "../../src/nibble_quantize.h"

enum { BEFORE = 4, CONTEXT = 40, MOST_FILE = 1 << 22 };

/* Converts the file, in pieces. Returns the model of integers and its size; NULL after an error. */
static uint8_t *make(const uint8_t *file, size_t size, size_t *out_size) {
    nb_error err = {0};
    uint8_t *out = NULL;
    nb_integer_maker *m = nb_integer_maker_new(&err);
    int32_t code = m ? NB_OK : err.code;
    *out_size = 0;
    for (size_t at = 0, n; m && at < size && code == NB_OK; at += n) {
        size_t room, ready;
        uint8_t *space = nb_integer_maker_space(m, &room);
        n = NB_MIN(NB_MIN(room, size - at), 5000);
        if (!n)
            break;
        memcpy(space, file + at, n);
        code = nb_integer_maker_commit(m, n, &err);
        demand(code <= 0 && (code == 0 || err.message[0]));
        const uint8_t *bytes = nb_integer_maker_take(m, &ready);
        if (code < 0 || !ready)
            continue;
        uint8_t *more = fuzz_memory(*out_size + ready);
        if (out)
            memcpy(more, out, *out_size);
        memcpy(more + *out_size, bytes, ready);
        free(out);
        out = more;
        *out_size += ready;
    }
    if (m && code == NB_OK && nb_integer_maker_end(m, &err) == NB_OK) {
        nb_integer_maker_free(m);
        return out;
    }
    nb_integer_maker_free(m);
    free(out);
    return NULL;
}

/* Evaluates a few tokens one by one, and then as one batch: all logits must be the same, and so must the choice. */
static void compute(const nb_integer_model *m, uint32_t seed) {
    nb_error err;
    size_t vocabulary = (size_t)nb_integer_model_vocabulary(m);
    uint32_t context = NB_MIN((uint32_t)nb_integer_model_context(m), (uint32_t)CONTEXT);
    int32_t tokens[CONTEXT], rows, n = (int32_t)NB_MIN(context, 2 + seed % 5), choices[2];
    int32_t *want = fuzz_memory((size_t)n * vocabulary * sizeof *want);
    for (int32_t i = 0; i < n; i++)
        tokens[i] = (int32_t)((seed * 977 + (uint32_t)i * 31) % (uint32_t)nb_integer_model_vocabulary(m));
    for (int32_t way = 0; way < 2; way++) {
        nb_integer_session *s = nb_integer_session_new(m, NULL, context, &err);
        if (!s)
            break;
        for (int32_t i = way ? n : 1; i <= n; i++) {
            demand(nb_integer_session_advance(s, tokens, i, way ? NB_LOGITS_ALL : NB_LOGITS_LAST, &err) == i);
            const int32_t *logits = nb_integer_session_logits(s, &rows);
            demand(rows == (way ? n : 1));
            if (way)
                demand(!memcmp(logits, want, (size_t)n * vocabulary * sizeof *want));
            else
                memcpy(want + (size_t)(i - 1) * vocabulary, logits, vocabulary * sizeof *want);
        }
        choices[way] = nb_integer_session_choose(s, &err);
        demand(choices[way] >= 0 && choices[way] == choices[0]);
        nb_integer_session_free(s);
    }
    free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size <= BEFORE || size > MOST_FILE)
        return 0;
    size_t n = size - BEFORE;
    uint8_t *file = NULL;
    nb_error err = {0};
    fuzz_refuse(data[1] | (uint64_t)data[2] << 8);
    if (data[0] & 1) {
        file = make(data + BEFORE, n, &n);
    } else {
        file = fuzz_memory(n); /* so that reading beyond the end is found */
        memcpy(file, data + BEFORE, n);
    }
    nb_integer_model *m = file ? nb_integer_model_new(file, n, &err) : NULL;
    demand(m || !file || (err.code < 0 && err.message[0]));
    demand(m || !file || !(data[0] & 1) || fuzz_refused); /* whatever nibble itself writes can be loaded */
    if (m && nb_integer_session_bytes(m, NULL, CONTEXT) < 1 << 26)
        compute(m, data[3]);
    nb_integer_model_free(m);
    free(file);
    fuzz_refuse(0);
    return 0;
}
