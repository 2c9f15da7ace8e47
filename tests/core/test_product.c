/* Products of training against sums in double precision, at the edges of tiles and blocks. */
#include "check.h"
#include "random.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/train/product.h"

#include <math.h>

enum { AROUND = 7 }; /* floats on each side of the result that must stay as they are */

/* A and B may be transposed. */
static void check(nb_pool *pool, uint32_t m, uint32_t n, uint32_t k, bool a_turned, bool b_turned, bool adds,
                  float *scratch) {
    uint32_t seed = 1 + m + 100 * n + 10000 * k, stride = n + 3;
    float *a = nb_alloc_items((uint64_t)m * k, sizeof *a), *b = nb_alloc_items((uint64_t)n * k, sizeof *b);
    float *all = nb_alloc_items((uint64_t)m * stride + 2 * AROUND, sizeof *all), *out = all + AROUND;
    for (uint32_t i = 0; i < m * k; i++)
        a[i] = test_random_float(&seed);
    for (uint32_t i = 0; i < n * k; i++)
        b[i] = test_random_float(&seed);
    for (uint32_t i = 0; i < m * stride + 2 * AROUND; i++)
        all[i] = 5;
    nb_product p = {
        .a = a_turned ? nb_factor_transposed(a, m) : nb_factor_of(a, k),
        .b = b_turned ? nb_factor_transposed(b, n) : nb_factor_of(b, k),
        .out = out,
        .stride = stride,
        .m = m,
        .n = n,
        .k = k,
        .adds = adds,
    };
    nb_product_run(pool, &p, scratch);
    double worst = 0;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < n; j++) {
            double sum = adds ? 5 : 0, size = sum;
            for (uint32_t q = 0; q < k; q++) {
                double x = (double)a[a_turned ? q * m + i : i * k + q] * (double)b[b_turned ? q * n + j : j * k + q];
                sum += x;
                size += fabs(x);
            }
            worst = NB_MAX(worst, fabs((double)out[(size_t)i * stride + j] - sum) / size);
        }
    /* rounding errors of a sum of k products: at most k 2^-24 of the sum of magnitudes, usually far less */
    CHECK(worst < 0x1p-24 * (4 + sqrt((double)k)), "%u x %u x %u, %d%d%d: the error is %g", m, n, k, a_turned, b_turned,
          adds, worst);
    bool intact = true;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = n; j < stride; j++)
            intact &= out[(size_t)i * stride + j] == 5;
    for (uint32_t i = 0; i < AROUND; i++)
        intact &= all[i] == 5 && out[(size_t)m * stride + i] == 5;
    CHECK(intact, "%u x %u x %u wrote where it should not", m, n, k);
    nb_free(a);
    nb_free(b);
    nb_free(all);
}

void test_product(void) {
    nb_pool *pool = test_pool_new(3);
    float *scratch = nb_alloc_items(3 * NB_PRODUCT_SCRATCH, sizeof *scratch);
    static const uint32_t sides[][3] = {
        {1, 1, 1},  {1, 8, 4},   {4, 1, 3},    {4, 8, 8},   {5, 9, 5},     {3, 7, 1},     {64, 128, 9},
        {65, 7, 2}, {3, 515, 5}, {67, 9, 256}, {6, 9, 260}, {70, 130, 33}, {5, 521, 300},
    };
    for (uint32_t i = 0; i < sizeof sides / sizeof *sides; i++)
        for (uint32_t turned = 0; turned < 8; turned++)
            check(pool, sides[i][0], sides[i][1], sides[i][2], turned & 1, turned & 2, turned & 4, scratch);
    nb_free(scratch);
    test_pool_free(pool);
}
