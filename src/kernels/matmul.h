/* out = x W^T for a batch of vectors: the driver that divides the work, and the kernels that do it. */
#ifndef NB_MATMUL_H
#define NB_MATMUL_H

#include "activations.h"
#include "packing.h"

/* The groups of a matrix (packing.h) are divided into four sections of equal length; the last one may be shorter. A
 * product with one vector reads all four at the same time: from memory, four streams arrive faster than one (Zen 3,
 * pages of 4 KB: 21.6 GB/s against 13.8). A task is the same range of groups in each section. */
enum { NB_SECTIONS = 4 };

static inline uint32_t nb_section_groups(const nb_matrix *w) {
    uint32_t groups = (w->rows + NB_GROUP - 1) / NB_GROUP;
    return (groups + NB_SECTIONS - 1) / NB_SECTIONS;
}

/* First row of group i of section s; it may lie past the matrix's end. */
static inline uint32_t nb_section_row(const nb_matrix *w, uint32_t s, uint32_t i) {
    return (s * nb_section_groups(w) + i) * NB_GROUP;
}

/* A kernel's task: the rows of groups [first, first + groups) of every section, times all tokens of x. */
typedef struct nb_matmul_task {
    const nb_matrix *w;
    uint32_t first, groups;
    const nb_activations *x;
    float *out;     /* [x->n, w->rows] */
    float *scratch; /* [NB_MATMUL_SCRATCH, columns]: the weights of a group, dequantized, or of four, unpacked */
} nb_matmul_task;

enum { NB_MATMUL_SCRATCH = 10 };

enum { NB_TYPE_ANY = NB_TYPE_LIMIT }; /* of a kernel for every type */

typedef struct nb_matmul_kernel {
    const char *name; /* nb_matmul_<weight>_<activation>__<isa> */
    uint32_t type;    /* nb_kernel_type of the matrices, or NB_TYPE_ANY */
    nb_form form;
    void (*run)(const nb_matmul_task *task);
} nb_matmul_kernel;

/* All kernels, the best last: declarations, the table, tests and benches are made from these lists. Kernels with 8-bit
 * activations are for types with codes of at most 7 bits. Rare types have none, to save code. */
#define NB_MATMUL_Q8_TYPES(X, form, FORM, isa) \
    X(q4_0, Q4_0, form, FORM, isa)             \
    X(q4_1, Q4_1, form, FORM, isa)             \
    X(q5_0, Q5_0, form, FORM, isa)             \
    X(q2_k, Q2_K, form, FORM, isa)             \
    X(q3_k, Q3_K, form, FORM, isa)             \
    X(q4_k, Q4_K, form, FORM, isa)             \
    X(q5_k, Q5_K, form, FORM, isa)             \
    X(q6_k, Q6_K, form, FORM, isa)
/* Types with codes of at most 7 bits, or numbers of a codebook plus zero: 16-bit activations may be multiplied as two
 * halves. (IQ1, IQ2 and IQ3 would fit, too, but have no such kernels, to save code.) */
#define NB_MATMUL_HALVES_TYPES(X, form, FORM, isa) \
    NB_MATMUL_Q8_TYPES(X, form, FORM, isa)         \
    X(q5_1, Q5_1, form, FORM, isa)                 \
    X(mxfp4, MXFP4, form, FORM, isa)               \
    X(nvfp4, NVFP4, form, FORM, isa)               \
    X(q1_0, Q1_0, form, FORM, isa)                 \
    X(q2_0, Q2_0, form, FORM, isa)                 \
    X(tq2_0, TQ2_0, form, FORM, isa)
#define NB_MATMUL_WIDE_TYPES(X, form, FORM, isa) \
    X(q8_0, Q8_0, form, FORM, isa)               \
    X(iq4_nl, IQ4_NL, form, FORM, isa)           \
    X(iq4_xs, IQ4_XS, form, FORM, isa)           \
    X(iq2_s, IQ2_S, form, FORM, isa)             \
    X(iq3_s, IQ3_S, form, FORM, isa)             \
    X(nf4, NF4, form, FORM, isa)
#define NB_MATMUL_Q16_TYPES(X, form, FORM, isa) \
    NB_MATMUL_HALVES_TYPES(X, form, FORM, isa)  \
    NB_MATMUL_WIDE_TYPES(X, form, FORM, isa)

/* Lists of no kernels. */
#define NB_NO_TYPES(X, form, FORM, isa)
#define NB_NOT_ANY(X, isa)
#define NB_ANY(X, isa) X(any, ANY, f32, F32, isa)

/* A build has only the kernels that are the best ones there; the native build has all, for the tests. */
#if defined(NB_NATIVE)
#define NB_SIMD128_ANY NB_ANY
#define NB_SIMD128_TYPES NB_MATMUL_Q16_TYPES
#define NB_RELAXED_ANY NB_ANY
#define NB_RELAXED_TYPES NB_MATMUL_Q8_TYPES
#elif defined(NB_DOT)
#define NB_SIMD128_ANY NB_NOT_ANY
#define NB_SIMD128_TYPES NB_MATMUL_WIDE_TYPES
#define NB_RELAXED_ANY NB_ANY
#define NB_RELAXED_TYPES NB_NO_TYPES
#elif defined(__wasm_relaxed_simd__)
#define NB_SIMD128_ANY NB_NOT_ANY
#define NB_SIMD128_TYPES NB_MATMUL_Q16_TYPES
#define NB_RELAXED_ANY NB_ANY
#define NB_RELAXED_TYPES NB_MATMUL_Q8_TYPES
#else
#define NB_SIMD128_ANY NB_ANY
#define NB_SIMD128_TYPES NB_MATMUL_Q16_TYPES
#define NB_RELAXED_ANY NB_NOT_ANY
#define NB_RELAXED_TYPES NB_NO_TYPES
#endif
#ifdef NB_DOT
#define NB_HALVES_TYPES NB_MATMUL_HALVES_TYPES
#define NB_BYTES_TYPES NB_MATMUL_Q8_TYPES
#else
#define NB_HALVES_TYPES NB_NO_TYPES
#define NB_BYTES_TYPES NB_NO_TYPES
#endif

#define NB_MATMUL_KERNELS_SCALAR(X)       \
    NB_ANY(X, scalar)                     \
    NB_MATMUL_Q8_TYPES(X, q8, Q8, scalar) \
    NB_MATMUL_Q16_TYPES(X, q16, Q16, scalar) NB_HALVES_TYPES(X, halves, HALVES, scalar)
#define NB_MATMUL_KERNELS_SIMD128(X) NB_SIMD128_ANY(X, simd128) NB_SIMD128_TYPES(X, q16, Q16, simd128)
#define NB_MATMUL_KERNELS_RELAXED(X) NB_RELAXED_ANY(X, relaxed) NB_RELAXED_TYPES(X, q8, Q8, relaxed)
#define NB_MATMUL_KERNELS_DOT(X) NB_HALVES_TYPES(X, halves, HALVES, dot) NB_BYTES_TYPES(X, q8, Q8, dot)

extern const nb_matmul_kernel nb_matmul_kernels[];                              /* ends with name = NULL */
const nb_matmul_kernel *nb_matmul_kernel_of(uint32_t type, uint32_t precision); /* the best one here */

typedef struct nb_matmul_job {
    const nb_matrix *w;
    float *out; /* [x->n, w->rows] */
} nb_matmul_job;

enum { NB_MATMUL_JOBS = 4 }; /* at most, at once */

/* Products of one batch with several matrices of x->columns columns each, as one parallel loop.
 * scratch: [nb_pool_threads(pool), NB_MATMUL_SCRATCH, columns]. */
void nb_matmul(nb_pool *pool, nb_activations *x, const nb_matmul_job *jobs, uint32_t n_jobs, float *scratch);

/* Stores a group's results: lanes of v -> out[token, row ... row+3], as far as these rows exist. */
#define NB_STORE_ROWS(task, token, row, v)                                       \
    do {                                                                         \
        float *nb_out = (task)->out + (size_t)(token) * (task)->w->rows + (row); \
        if ((row) + 4 <= (task)->w->rows)                                        \
            wasm_v128_store(nb_out, v);                                          \
        else {                                                                   \
            float nb_lanes[4];                                                   \
            wasm_v128_store(nb_lanes, v);                                        \
            memcpy(nb_out, nb_lanes, ((task)->w->rows - (row)) * sizeof(float)); \
        }                                                                        \
    } while (0)

#endif
