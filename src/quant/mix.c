/* Chooses a type for each matrix, so that the sum of losses is small and the matrices fit into so many bytes.
 *
 * This is the multiple-choice knapsack problem. With a price for each byte (a Lagrange multiplier), the best choice is
 * known, except that some bytes are left over (Sinha and Zoltners 1979): only types on the lower convex hull of a
 * matrix's (bytes, loss) are chosen, and as the price falls, matrices go from one type to the next, in the order of the
 * gain per byte.
 *
 * So matrices start with their smallest types, and the upgrade with the largest gain per byte is made again and again.
 * When it no longer fits, smaller ones may. In the end pairs of matrices exchange bytes where that gains. Of equal
 * gains the first is taken. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../nibble_quantize.h"

#include <math.h>

enum { MOST_EXCHANGES = 1000 };
static const double MOST_WORK = 2e9; /* pairs that are tried for exchanges */

typedef struct mix {
    uint32_t n, kinds;
    const double *bytes, *losses; /* [n, kinds]; losses that are not finite: the matrix cannot have the type */
    uint32_t *choice;             /* [n] */
    double left;                  /* bytes of the budget */
} mix;

static size_t at(const mix *m, uint32_t i, uint32_t kind) {
    return (size_t)i * m->kinds + kind;
}

static bool is_possible(const mix *m, uint32_t i, uint32_t kind) {
    return isfinite(m->losses[at(m, i, kind)]) && isfinite(m->bytes[at(m, i, kind)]);
}

static double more_bytes(const mix *m, uint32_t i, uint32_t kind) {
    return m->bytes[at(m, i, kind)] - m->bytes[at(m, i, m->choice[i])];
}

static double gain(const mix *m, uint32_t i, uint32_t kind) {
    return m->losses[at(m, i, m->choice[i])] - m->losses[at(m, i, kind)];
}

static void change_type(mix *m, uint32_t i, uint32_t kind) {
    m->left -= more_bytes(m, i, kind);
    m->choice[i] = kind;
}

/* The type with the fewest bytes, and of several the one with the least loss. */
static bool choose_smallest(mix *m, uint32_t i) {
    bool found = false;
    for (uint32_t kind = 0; kind < m->kinds; kind++) {
        if (!is_possible(m, i, kind))
            continue;
        if (found) {
            double more = more_bytes(m, i, kind);
            if (more > 0 || (more == 0 && gain(m, i, kind) <= 0))
                continue;
        }
        m->choice[i] = kind;
        found = true;
    }
    return found;
}

/* Makes the upgrade that fits and gains most per byte. False: there is none. */
static bool upgrade(mix *m) {
    double best = 0;
    uint32_t tensor = 0, to = 0;
    for (uint32_t i = 0; i < m->n; i++)
        for (uint32_t kind = 0; kind < m->kinds; kind++) {
            if (!is_possible(m, i, kind) || gain(m, i, kind) <= 0 || more_bytes(m, i, kind) > m->left)
                continue;
            double more = more_bytes(m, i, kind), rate = more > 0 ? gain(m, i, kind) / more : INFINITY;
            if (rate > best)
                best = rate, tensor = i, to = kind;
        }
    if (best > 0)
        change_type(m, tensor, to);
    return best > 0;
}

/* Makes the pair of changes that fits and gains most: one matrix gets fewer bytes, and another one more. */
static bool exchange(mix *m) {
    double best = 0;
    uint32_t tensors[2] = {0}, to[2] = {0};
    for (uint32_t i = 0; i < m->n; i++)
        for (uint32_t a = 0; a < m->kinds; a++) {
            if (a == m->choice[i] || !is_possible(m, i, a))
                continue;
            double lost = gain(m, i, a), room = m->left - more_bytes(m, i, a);
            for (uint32_t j = 0; more_bytes(m, i, a) < 0 && j < m->n; j++)
                for (uint32_t b = 0; j != i && b < m->kinds; b++)
                    if (is_possible(m, j, b) && more_bytes(m, j, b) <= room && gain(m, j, b) + lost > best) {
                        best = gain(m, j, b) + lost;
                        tensors[0] = i, tensors[1] = j, to[0] = a, to[1] = b;
                    }
        }
    for (uint32_t i = 0; i < 2 && best > 0; i++)
        change_type(m, tensors[i], to[i]);
    return best > 0;
}

int32_t nb_mix_choose(uint32_t n, uint32_t kinds, const double *bytes, const double *losses, double budget,
                      uint32_t *choice, nb_error *err) {
    mix m = {n, kinds, bytes, losses, choice, 0};
    double least = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!choose_smallest(&m, i))
            return NB_FAIL(err, NB_ERR_ARGUMENT, "matrix %u can have none of the types", i);
        least += bytes[at(&m, i, choice[i])];
    }
    m.left = budget - least;
    if (!(m.left >= 0))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "the matrices do not fit: with the smallest types they take %g bytes",
                       least);
    while (upgrade(&m))
        ;
    double pairs = (double)n * n * kinds * kinds;
    uint32_t exchanges = (uint32_t)NB_MIN(MOST_WORK / pairs, (double)MOST_EXCHANGES);
    for (uint32_t i = 0; i < exchanges && exchange(&m); i++)
        while (upgrade(&m))
            ;
    return NB_OK;
}
