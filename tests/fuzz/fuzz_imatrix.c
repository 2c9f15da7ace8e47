/* libFuzzer target of the reader of importance matrices: any bytes give a matrix with finite numbers, whose entries are
 * found by their names, or an error. The last byte of the input says which allocation fails. */
#include "fuzz.h"

#include "../../src/quant/imatrix.h"
#include "../../src/quant/quantize.h"
#include "../../src/types/finite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size)
        return 0;
    nb_error err = {0};
    fuzz_refuse(data[size - 1] % 16);
    nb_imatrix *m;
    bool asks = data[size - 1] < 128; /* whether to pass an nb_error */
    int32_t read = nb_imatrix_read(data, size - 1, &m, asks ? &err : NULL);
    fuzz_refuse(0);
    demand(m ? read == NB_OK && m->n_entries > 0 : read < 0 && (!asks || (err.code == read && err.message[0])));
    volatile char last = m && m->data_set.size ? m->data_set.data[m->data_set.size - 1] : 0; /* reads the last byte */
    (void)last;
    for (uint32_t i = 0; m && i < m->n_entries; i++) {
        const nb_imatrix_entry *e = &m->entries[i];
        const float *importance = NULL;
        demand(e->n > 0 && nb_are_finite(e->importance, (size_t)e->n));
        int32_t code = nb_importance_check(e->importance, (size_t)e->n, &err); /* an error if all are 0 */
        demand(code == NB_OK || code == NB_ERR_FORMAT || code == NB_ERR_ARGUMENT);
        demand(nb_imatrix_find(m, e->name, e->n, 1, &importance, &err) == 1 && importance == e->importance);
        demand(nb_imatrix_find(m, e->name, e->n, 2, &importance, &err) == NB_ERR_ARGUMENT);
    }
    nb_imatrix_free(m);
    return 0;
}
