/* Tensors whose rows or columns are reordered (convert/reshape.h), any number of rows at once. tests/js/folder.test.js
 * checks that it is the order of each family. */
#include "../../src/convert/reshape.h"
#include "../../src/types/types.h"
#include "check.h"

enum { ROWS = 24, COLUMNS = 5, GROUPS = 2, GROUP_HEADS = 4, HEAD = 3 };

static uint16_t in[ROWS * COLUMNS], out[ROWS * COLUMNS];

/* The expected number in row r and column c. */
static uint32_t expected(nb_arrangement arrangement, uint32_t r, uint32_t c) {
    if (arrangement == NB_AS_TRANSPOSED)
        return c * ROWS + r;
    uint32_t head = r / HEAD, group, place; /* of two groups with two queries each: 0 to 3 are queries, 4 and 5 keys */
    group = head < 4 ? head / 2 : head % 2;
    place = head < 4 ? head % 2 : head < 6 ? 2 : 3;
    return ((group * GROUP_HEADS + place) * HEAD + r % HEAD) * COLUMNS + c;
}

static void check_matrix(nb_arrangement arrangement) {
    bool transposed = arrangement == NB_AS_TRANSPOSED;
    nb_tensor_info from = {
        .type = NB_TYPE_F16,
        .n_dimensions = 2,
        .bytes = sizeof in,
        .shape = {transposed ? ROWS : COLUMNS, transposed ? COLUMNS : ROWS, 1, 1},
    };
    nb_tensor_info to = from;
    nb_source source = {.next = NB_NONE, .row = NB_NONE, .bytes = (uint8_t *)in};
    nb_target target = {.arrangement = arrangement, .missing = 1, .groups = GROUPS, .group_heads = GROUP_HEADS};
    nb_plan plan = {
        .sources = &source,
        .targets = &target,
        .in = {.tensors = &from, .n_tensors = 1},
        .out = {.tensors = &to, .n_tensors = 1},
    };
    nb_error err;
    if (!CHECK(nb_reshape_check(&plan, 0, &err) == NB_OK, "%s", err.message))
        return;
    CHECK(to.shape[0] == COLUMNS && to.shape[1] == ROWS, "%l columns, %l rows", to.shape[0], to.shape[1]);
    for (uint32_t n = 1; n <= ROWS; n++) {
        memset(out, 0xff, sizeof out);
        for (uint32_t first = 0, rows; first < ROWS; first += rows) {
            rows = first + n > ROWS ? ROWS - first : n;
            nb_reshape_rows(&plan, 0, first, rows, (uint8_t *)(out + first * COLUMNS));
        }
        uint32_t wrong = 0;
        for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
            wrong += out[i] != expected(arrangement, i / COLUMNS, i % COLUMNS);
        CHECK(wrong == 0, "arrangement %u, %u rows at once: %u numbers are in wrong places", (uint32_t)arrangement, n,
              wrong);
    }
}

void test_reshape(void) {
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        in[i] = (uint16_t)i;
    check_matrix(NB_AS_TRANSPOSED);
    check_matrix(NB_AS_REGROUPED);
}
