/* libFuzzer target of loading and running: any GGUF is refused, or is a model that answers and stays within its memory,
 * whatever its numbers are. If an allocation fails, this is an error, too.
 *
 * Input: choices (fuzz.h), a text, two bytes for the allocation that fails (0: none), then the file. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { BEFORE = FUZZ_CHOICES + FUZZ_TEXT + 2 };
    if (size <= BEFORE)
        return 0;
    const uint8_t *text = data + FUZZ_CHOICES, *file = data + BEFORE;
    fuzz_refuse(text[FUZZ_TEXT] | (uint64_t)text[FUZZ_TEXT + 1] << 8);
    nb_error err;
    nb_model *m = fuzz_load(file, size - BEFORE, text[-1] & 1 ? 777 : SIZE_MAX, NB_LOAD_ALL, &err);
    if (m)
        fuzz_answer(m, data, text);
    nb_model_free(m);
    fuzz_refuse(0);
    return 0;
}
