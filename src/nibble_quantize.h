/* nibble's quantizer: calibrated quantization of matrices. It is a WebAssembly module of its own (and one more with
 * threads), which is fetched only when a model is quantized with calibration. It knows no model and no file format:
 * it works on the weights of one matrix and on what was observed of the matrix's inputs.
 *
 *   nb_quantizer  what was observed of the inputs x of a matrix, or of several that share them: the Hessian
 *                 H = sum x x^T over the calibration tokens, the means of |x| and the maxima of |x|. For a weight error
 *                 E = W - Q the squared error of the outputs over the calibration text is tr(E H E^T).
 *
 * How to use it: the caller writes the observations to where nb_quantizer_hessian, _mean and _largest point.
 * nb_quantizer_prepare checks the Hessian and chooses the order of the columns. nb_quantizer_factor, repeated until it
 * returns 0, factors it. Then nb_quantizer_rows turns rows of weights into GGUF blocks, or nb_quantizer_codes turns
 * them into codes and scales, which nb_quantizer_pack stores as the tensors of a format. Both accept any number of rows
 * at a time, so that the caller can report progress and stop. One quantizer serves all matrices that share their
 * inputs. AWQ and SmoothQuant, if wanted, come before all this: they make the weights easier to quantize.
 *
 * For the same bytes the results are the same on every device and for every number of threads.
 *
 * The rules of nibble.h hold, and its errors; nb_alloc, nb_free and the pool's functions are there too. */
#ifndef NIBBLE_QUANTIZE_H
#define NIBBLE_QUANTIZE_H

#include "nibble.h"

#pragma GCC visibility push(default)

typedef struct nb_quantizer nb_quantizer;

/* columns: the length of the matrix's rows, a multiple of 32. pool: NULL is fine; else it must outlive the
 * quantizer. */
nb_quantizer *nb_quantizer_new(nb_pool *pool, uint32_t columns, nb_error *err);
void nb_quantizer_free(nb_quantizer *quantizer); /* NULL is fine */

/* The caller writes the observations there; they are zeros at first. The Hessian is symmetric. It may be a sum or a
 * mean: a positive factor changes no result. After nb_quantizer_prepare only its lower triangle, with the diagonal, is
 * still the Hessian. */
float *nb_quantizer_mean(nb_quantizer *quantizer);    /* [columns], of |x| */
float *nb_quantizer_largest(nb_quantizer *quantizer); /* [columns], of |x| */

/* [columns, columns]. The first call allocates it; NULL: out of memory. Without a Hessian rows can only be rounded to
 * nearest. */
float *nb_quantizer_hessian(nb_quantizer *quantizer);

/* ---- GPTQ (Frantar et al. 2023) ---------------------------------------------------------------------------- */

/* The order in which the columns are quantized. Later columns compensate for the errors of earlier ones, so columns
 * with large inputs should come first. */
enum {
    NB_ORDER_NATURAL = 0,    /* first to last */
    NB_ORDER_ACTIVATION = 1, /* by descending diagonal of H (act-order, desc_act). Columns that follow each other in
                                 this order form a group, so a file needs a group index for each column */
    NB_ORDER_STATIC = 2,     /* the same order, but adjacent columns of the matrix form a group. Scales are chosen
                                 from the original weights */
    NB_ORDER_GROUP_AWARE = 3 /* adjacent columns form a group. Groups come by descending largest diagonal, and so do
                                 the columns within a group (Gafni et al. 2025). Scales of GGUF blocks are chosen when
                                 their group is reached; those of codes 128 columns at a time, if groups divide 128 */
};

typedef struct nb_gptq_settings {
    float damping;  /* of the mean of H's diagonal, added to the diagonal: 0.01 to 0.1 is usual */
    uint32_t order; /* NB_ORDER_... */
    uint32_t group; /* of NB_ORDER_GROUP_AWARE: the group size of nb_code_format, or the weights in a GGUF type's block
                       (nb_quantizer_block); other orders leave it 0 */
} nb_gptq_settings;

/* Prepares the factorization. It may be called again with other settings. Between such calls leave the Hessian alone,
 * or write all of it again: half of its memory is working space. Columns whose inputs were always 0 (a diagonal of 0)
 * are rounded to nearest: their error costs nothing, and other columns cannot compensate for it. A Hessian that is not
 * finite or has a negative diagonal is an error that names the column. */
int32_t nb_quantizer_prepare(nb_quantizer *quantizer, const nb_gptq_settings *settings, nb_error *err);

/* One step of the factorization. Returns how many steps are left, or an error code. If the Hessian is still singular
 * after damping, the damping becomes ten times as large, and the steps begin again. */
int32_t nb_quantizer_factor(nb_quantizer *quantizer, nb_error *err);

/* The damping with which it succeeded. */
float nb_quantizer_damping(const nb_quantizer *quantizer);

/* Weights and bytes in a block of a GGUF type; 0 if nibble does not write the type. */
uint32_t nb_quantizer_block(uint32_t type);
uint32_t nb_quantizer_block_bytes(uint32_t type);

/* 1 if error feedback works for the GGUF type. 0 if rows are only encoded with the Hessian's diagonal as importance, as
 * those of the types with vector codebooks (IQ1, IQ2, IQ3) and with packed ternary digits (TQ1_0). */
int32_t nb_quantizer_feeds(uint32_t type);

enum {
    NB_ROWS_PLAINLY = 0,
    NB_ROWS_BEST = 1,   /* scales by a wider search than llama.cpp's */
    NB_ROWS_NEAREST = 2 /* no error feedback: rounding to nearest with the Hessian's diagonal as importance. It needs
                           nb_quantizer_prepare, and no factor */
};

/* Rows of weights of a type (F32, F16, BF16, or any other that nibble dequantizes) -> rows of blocks of a GGUF type, at
 * `out`, which is aligned to 4 bytes. When error feedback reaches a block, the type's encoder chooses the scales for
 * the weights as corrected so far. Each code is then the nearest one under these scales, and its error is fed forward.
 * first_row is only for messages. */
int32_t nb_quantizer_rows(nb_quantizer *quantizer, uint32_t type, uint32_t flags, uint32_t source_type,
                          const void *weights, uint32_t first_row, uint32_t rows, void *out, nb_error *err);

/* tr(E H E^T) of rows of weights and their quantized blocks; both may be of any type. */
double nb_quantizer_error(nb_quantizer *quantizer, uint32_t source_type, const void *weights, uint32_t type,
                          const void *blocks, uint32_t rows, nb_error *err);

/* ---- codes with scales and zero points, as folders have them ------------------------------------------------- */

enum {
    NB_FORMAT_GPTQ = 0,       /* AutoGPTQ's first format, whose zero points are stored minus 1 (gptq) */
    NB_FORMAT_GPTQ_V2 = 1,    /* its second, whose zero points are stored directly (gptq_v2) */
    NB_FORMAT_COMPRESSED = 2, /* compressed-tensors' pack-quantized */
    NB_FORMAT_AWQ = 3,        /* AWQ's "gemm" */
    NB_FORMAT_INT8 = 4        /* compressed-tensors' int-quantized: 8 bits, symmetric, a scale for each row */
};

/* w = scale (code - zero), scales in binary16, but for NB_FORMAT_INT8. */
typedef struct nb_code_format {
    uint32_t format;     /* NB_FORMAT_... */
    uint32_t bits;       /* 2, 3, 4 or 8 */
    uint32_t group;      /* columns of a group, a multiple of 32; 0: whole rows */
    uint32_t symmetric;  /* 1: all zero points are 2^(bits - 1) */
    float search;        /* 0: a scale covers its group's whole range. Else the range is shrunk by up to 80 %, to where
                           the sum of |error|^search is least: 2 is the mean squared error, GPTQModel proposes 2.4 */
    uint32_t scale_type; /* of NB_FORMAT_INT8: NB_TYPE_F32 (0), NB_TYPE_F16 (1) or NB_TYPE_BF16 (30) */
} nb_code_format;

/* Rows of weights -> codes [rows, columns], scales [rows, groups], zeros [rows, groups], and the weights that these
 * mean, dequantized [rows, columns] in F32 (NULL: not wanted). Columns are in the order of the matrix. flags: 0, or
 * NB_ROWS_NEAREST as in nb_quantizer_rows, but importance changes nothing here. */
int32_t nb_quantizer_codes(nb_quantizer *quantizer, const nb_code_format *format, uint32_t flags, uint32_t source_type,
                           const void *weights, uint32_t first_row, uint32_t rows, uint8_t *codes, void *scales,
                           uint8_t *zeros, float *dequantized, nb_error *err);

/* The group of each column: groups [columns]. Returns 1 if a file must store them, 0 if each group is adjacent columns,
 * or an error code. */
int32_t nb_quantizer_groups(nb_quantizer *quantizer, const nb_code_format *format, int32_t *groups, nb_error *err);

enum {
    /* GPTQ: qweight  u32 [columns bits / 32, rows];  compressed: weight_packed  u32 [rows, columns bits / 32], without
     * 3 bits;  AWQ: qweight  u32 [columns, rows / 8], only 4 bits;  INT8: weight  i8 [rows, columns] */
    NB_PART_CODES = 0,
    /* GPTQ: qzeros  u32 [groups, rows bits / 32];  compressed: weight_zero_point  u32 [rows bits / 32, groups];  AWQ:
     * qzeros  u32 [groups, rows / 8] */
    NB_PART_ZEROS = 1,
    /* GPTQ and AWQ: scales  f16 [groups, rows];  compressed: weight_scale  f16 [rows, groups];  INT8: weight_scale
     * [rows, 1] of scale_type */
    NB_PART_SCALES = 2
};

/* Bytes of one of a matrix's tensors (NB_PART_...); 0: the format cannot have it (rows must be a multiple of 32). */
double nb_quantizer_part_bytes(const nb_code_format *format, uint32_t part, uint32_t rows, uint32_t columns);

/* All rows' codes, scales or zeros, as nb_quantizer_codes wrote them -> the tensor's bytes. */
int32_t nb_quantizer_pack(const nb_code_format *format, uint32_t part, const void *values, uint32_t rows,
                          uint32_t columns, void *out, nb_error *err);

/* ---- AWQ (Lin et al. 2024) and SmoothQuant (Xiao et al. 2023): scales of columns ----------------------------- */

/* The columns of matrices are multiplied by scales, and the outputs of the tensor before them are divided by the
 * scales: W x = (W diag(s)) (diag(1/s) x). The steps for matrices that share their input:
 *
 *   1. nb_quantizer_fold says which tensor absorbs 1/s, or that none can.
 *   2. nb_quantizer_floats converts the weights of all these matrices to F32, one matrix after the other.
 *   3. nb_quantizer_awq, called for each step, or nb_quantizer_smooth finds the scales.
 *   4. nb_quantizer_fold_columns multiplies the weights, and those of matrices that have the same input and are not
 *      quantized (a router).
 *   5. nb_quantizer_fold_rows divides the absorbing tensor and its bias.
 *   6. nb_quantizer_clip clips the weights that may be clipped.
 *   7. Any function of this header quantizes the weights, as F32.
 *
 * The observations must be of the inputs before scaling. GPTQ after this needs a quantizer with those of x / s. */

/* Rows of weights of a type -> out [rows, columns]. first_row is only for messages. */
int32_t nb_quantizer_floats(nb_quantizer *quantizer, uint32_t source_type, const void *weights, uint32_t first_row,
                            uint32_t rows, float *out, nb_error *err);

/* Where the scales of a matrix's columns go. */
typedef struct nb_fold_rule {
    uint32_t is_norm; /* 1: a norm's weights absorb 1/s; 0: rows of a matrix do */
    uint32_t clips;   /* 1: the weights may be clipped; 0: they make queries or keys */
    uint32_t absorber_bytes;
    char absorber[52]; /* names of tensors, with a comma between them. The first one that the layer has absorbs 1/s, and
                          so does its bias. If it has several matrices merged (attn_qkv; ffn_up with the gate), its last
                          rows do */
} nb_fold_rule;

/* name: of the matrix in GGUF, such as blk.0.attn_output.weight. is_gated: 1 if the feed-forward block of the layer has
 * a gate. Returns 1, or 0 if nothing can absorb 1/s. */
int32_t nb_quantizer_fold(const char *name, size_t name_bytes, uint32_t is_gated, nb_fold_rule *rule);

typedef struct nb_awq_settings {
    uint32_t type;      /* bits = 0: the weights will be blocks of this GGUF type, */
    uint32_t flags;     /* made with these flags: NB_ROWS_PLAINLY or NB_ROWS_BEST */
    uint32_t bits;      /* 2 to 8: they will be codes of so many bits with scales in binary16 */
    uint32_t group;     /* of codes: columns that share a scale, 0: whole rows */
    uint32_t symmetric; /* of codes: as in nb_code_format */
    uint32_t plain;     /* 1: scales depend on activations alone, mean|x|^r; 0: on weights, too, as in autoawq */
    uint32_t heads;     /* of attn_output: the attention heads that its columns come from; else 0 */
    uint32_t kv_heads;  /* of attn_output: key-value heads. Heads that share one share scales; else 0 */
} nb_awq_settings;

enum { NB_AWQ_STEPS = 21 };

typedef struct nb_awq_found {
    double ratio; /* r; -1: all scales are 1 */
    double error; /* of the outputs: tr(E H E^T) */
    double plain; /* the same without scales */
} nb_awq_found;

/* Step 0 ... NB_AWQ_STEPS - 1 of the search, in this order. scales [columns] and found hold the best result so far.
 * weights [rows, columns]. It uses the Hessian and the means of |x|. */
int32_t nb_quantizer_awq(nb_quantizer *quantizer, const nb_awq_settings *settings, const float *weights, uint32_t rows,
                         uint32_t step, float *scales, nb_awq_found *found, nb_error *err);

/* Clips weights [rows, columns] group by group to 55 ... 100 % of the range, to where the error of the outputs is
 * least. scales [columns]: what the weights were multiplied by before; NULL: they were not. */
int32_t nb_quantizer_clip(nb_quantizer *quantizer, const nb_awq_settings *settings, const float *scales, float *weights,
                          uint32_t rows, nb_error *err);

/* SmoothQuant's scales: max|x|^alpha / max|w|^(1 - alpha). It uses the maxima of |x|. heads, kv_heads: as above. */
int32_t nb_quantizer_smooth(nb_quantizer *quantizer, float alpha, uint32_t heads, uint32_t kv_heads,
                            const float *weights, uint32_t rows, float *scales, nb_error *err);

/* weights [rows, columns] times scales [columns]. */
void nb_quantizer_fold_columns(const nb_quantizer *quantizer, float *weights, uint32_t rows, const float *scales);

/* Divides the absorbing tensor by the scales, from row `first` on. columns: its own, 1 for a vector. */
int32_t nb_quantizer_fold_rows(const nb_quantizer *quantizer, float *weights, uint32_t first, uint32_t columns,
                               uint32_t heads, uint32_t kv_heads, const float *scales, nb_error *err);

/* Tensors that absorb scales keep their type in a folder: F32, F16 or BF16. Some norms are stored minus 1, that is with
 * `less` = 1.
 *
 * Adjusts the scales of an absorbing norm [n] so that the file can store norm / scales exactly:
 * s' = w / (round(w / s - less) + less), rounding to the type. Without this a norm in BF16 would be off by up to 0.4 %.
 * Scales that would change by more than a factor of 2 stay as they are. */
int32_t nb_quantizer_fit_scales(uint32_t type, float less, const float *norm, uint32_t n, float *scales, nb_error *err);

/* values [n] minus `less` -> numbers of the type. A number beyond the type's range is an error. */
int32_t nb_quantizer_narrow(uint32_t type, float less, const float *values, uint32_t n, void *out, nb_error *err);

/* ---- W8A8: activations of 8 bits, too -------------------------------------------------------------------------- */

/* How the range of static activations is chosen. Numbers beyond it are clipped, and the others get finer steps. */
enum {
    NB_RANGE_MIN_MAX = 0,       /* all numbers */
    NB_RANGE_MOVING = 1,        /* a moving average of the ends: end += 0.01 (end of this piece of the text - end) */
    NB_RANGE_PERCENTILE = 2,    /* the narrowest range that has that percentage of the numbers */
    NB_RANGE_SQUARED_ERROR = 3, /* the range with the least mean squared error of rounding and clipping */
    NB_RANGE_DIVERGENCE = 4 /* the range with the least KL divergence between the distributions of the numbers before
                                   and after rounding */
};

typedef struct nb_input_settings {
    double percentile;   /* of NB_RANGE_PERCENTILE: above 0, at most 100 */
    uint32_t ranges;     /* NB_RANGE_... */
    uint32_t symmetric;  /* 1: the zero point is 0 */
    uint32_t scale_type; /* NB_TYPE_F32, NB_TYPE_F16 or NB_TYPE_BF16: what the scale is rounded to */
    uint32_t nothing;    /* padding, to a multiple of 8 bytes */
} nb_input_settings;

/* x = scale (code - zero) with codes from -128 to 127. */
typedef struct nb_input_found {
    double clipped; /* the share of the numbers that are beyond the range */
    float low, high;
    float scale; /* input_scale in compressed-tensors' folders */
    int32_t zero;
} nb_input_found;

/* observed: the NB_RANGE_BYTES bytes of nb_walk_range, aligned to 8. */
int32_t nb_quantizer_input(const void *observed, const nb_input_settings *settings, nb_input_found *found,
                           nb_error *err);

/* ---- LLM.int8() (Dettmers et al. 2022) ------------------------------------------------------------------------- */

/* The columns whose largest |x| reached the threshold (6): list [columns]. Returns how many, or a code. */
int32_t nb_quantizer_outliers(const nb_quantizer *quantizer, float threshold, uint32_t *list, nb_error *err);

/* Splits rows of weights as LLM.int8() does. blocks: of Q8_0, with codes of 0 in the n outlier columns of the list;
 * their scale is the largest of the row's other |w|, / 127. kept [rows, n]: the outliers' weights in binary16. values
 * [rows, columns]: the weights that both mean. first_row is only for messages. */
int32_t nb_quantizer_split(nb_quantizer *quantizer, uint32_t source_type, const void *weights, uint32_t first_row,
                           uint32_t rows, const uint32_t *list, uint32_t n, void *blocks, uint16_t *kept, float *values,
                           nb_error *err);

/* ---- bitsandbytes' folders: to nearest, without calibration ------------------------------------------------------ */

/* n weights of a matrix, row after row, of source_type F32, F16 or BF16 -> codes of type NB_TYPE_NF4 or NB_TYPE_FP4 [n
 * / 2, rounded up], two in a byte, the first in the upper half, and the largest |w| of each block [n / block, rounded
 * up]. The first weight begins a block, and only the last block of the matrix may be incomplete. block: a power of two,
 * 32 to 4096. first: the index of the first weight, for messages. */
int32_t nb_bnb_blocks(uint32_t type, uint32_t block, uint32_t source_type, const void *weights, double first,
                      uint32_t n, uint8_t *codes, float *absmax, nb_error *err);

/* Double quantization: absmax [n], of a whole matrix -> codes [n] of 8 bits, nested [n / 256, rounded up], *offset. */
int32_t nb_bnb_nested(const float *absmax, uint32_t n, uint8_t *codes, float *nested, float *offset, nb_error *err);

/* The numbers that codes mean. NB_TYPE_NF4, NB_TYPE_FP4: map [16]. NB_TYPE_I8, for the codes of nb_bnb_nested: map
 * [256]. Returns how many. */
int32_t nb_bnb_map(uint32_t type, float *map, nb_error *err);

/* LLM.int8(): rows of weights -> codes [rows, columns] and the largest |w| of each [rows]: w = code largest / 127. */
int32_t nb_bnb_rows(uint32_t source_type, const void *weights, double first, uint32_t rows, uint32_t columns,
                    int8_t *codes, float *largest, nb_error *err);

/* ---- which type each matrix gets, under a budget --------------------------------------------------------------- */

/* Rounds rows to nearest, and measures the loss: the sum of importance (w - q)^2, which is tr(E H E^T) with only the
 * diagonal of H. It needs no Hessian, so matrices of any size can be measured. */
typedef struct nb_rounder nb_rounder;

/* pool: NULL is fine; else it must outlive the rounder. */
nb_rounder *nb_rounder_new(nb_pool *pool, nb_error *err);
void nb_rounder_free(nb_rounder *rounder); /* NULL is fine */

/* The file of an importance matrix (llama.cpp's imatrix, .dat or GGUF). The bytes are copied. */
int32_t nb_rounder_importance(nb_rounder *rounder, const uint8_t *bytes, size_t n, nb_error *err);

/* Chooses the tensor that the next calls are about. Returns 1 if the importance matrix has it, else 0: then all its
 * columns are equally important. */
int32_t nb_rounder_tensor(nb_rounder *rounder, const char *name, size_t name_bytes, uint32_t columns, uint32_t matrices,
                          nb_error *err);

/* 1 if the chosen tensor can become this type: its rows must be whole blocks, and types of about two bits need an
 * importance. */
int32_t nb_rounder_takes(const nb_rounder *rounder, uint32_t type);

/* Rows of one of the tensor's matrices -> blocks of a type at `out` (NULL: not wanted). Adds their loss to *loss; it
 * becomes infinite or NaN if weights are beyond the type's range. flags: NB_ROWS_PLAINLY or NB_ROWS_BEST. first_row is
 * only for messages. */
int32_t nb_rounder_rows(nb_rounder *rounder, uint32_t matrix, uint32_t type, uint32_t flags, uint32_t source_type,
                        const void *weights, uint32_t first_row, uint32_t rows, void *out, double *loss, nb_error *err);

/* Chooses one of `kinds` types for each of n tensors, so that the sum of losses is small and the sum of bytes at most
 * `budget`. bytes, losses: [n, kinds]; a loss that is not finite: the tensor cannot have the type. choice: [n]. If the
 * budget is too small, the error names the smallest possible one. */
int32_t nb_mix_choose(uint32_t n, uint32_t kinds, const double *bytes, const double *losses, double budget,
                      uint32_t *choice, nb_error *err);

/* ---- grids that no file format has ----------------------------------------------------------------------------- */

/* Weights are rounded to a grid and stay floating-point numbers, so that any engine can measure what the grid costs. */
enum {
    NB_SIMULATE_UNIFORM = 0, /* w = s (q - z), s in binary16, and z in as many bits as a code */
    NB_SIMULATE_LOG = 1,     /* 0 and signed powers of two; the largest power in 8 bits, of weights in F16 at most 15 */
    NB_SIMULATE_CODEBOOK = 2 /* 2^bits numbers in binary16 that fit the weights best (Lloyd-Max) */
};

typedef struct nb_simulation {
    uint32_t grid;       /* NB_SIMULATE_... */
    uint32_t bits;       /* of a code, 2 to 8 */
    uint32_t group;      /* columns that share s and z, the largest power, or a codebook; 0: whole rows */
    uint32_t whole;      /* 1: all of a matrix shares it */
    uint32_t symmetric;  /* 1: z is the middle of the codes */
    uint32_t ranges;     /* NB_RANGE_..., of a uniform grid: weights beyond the range are clipped */
    uint32_t stochastic; /* 1: rounds up with the probability of the fraction (Gupta et al. 2015) */
    uint32_t seed;       /* for that: the same seed gives the same codes */
    double percentile;   /* of NB_RANGE_PERCENTILE: above 0, at most 100 */
} nb_simulation;

/* Bits that a matrix would take, with its scales, zeros, powers and codebooks. An error: there is no such grid, or
 * groups do not divide a row. */
int32_t nb_simulate_bits(const nb_simulation *how, uint32_t rows, uint32_t columns, double *bits, nb_error *err);

/* Rounds rows of F32 or F16 in place. pool: NULL is fine. If the whole matrix shares a grid, these must be all its
 * rows. first_row is for messages, and for stochastic rounding. tensor: any number; stochastic rounding differs from
 * tensor to tensor by it. Adds to *clipped how many weights lay outside the chosen range. A weight that is not finite,
 * or too large for a scale or an entry in binary16, is an error that names its row. After an error the weights are
 * unchanged, unless memory ran out while codebooks were fitted. */
int32_t nb_simulate_rows(nb_pool *pool, const nb_simulation *how, uint32_t tensor, uint32_t type, void *weights,
                         uint32_t first_row, uint32_t rows, uint32_t columns, double *clipped, nb_error *err);

/* ---- models of integers ---------------------------------------------------------------------------------------- */

/* Converts the GGUF of a Llama, whose bytes arrive as in nb_loader, to the GGUF that nibble_integer.h runs
 * (docs/integer.md). */
typedef struct nb_integer_maker nb_integer_maker;

nb_integer_maker *nb_integer_maker_new(nb_error *err);
uint8_t *nb_integer_maker_space(nb_integer_maker *maker, size_t *capacity); /* 0: the file is complete */
int32_t nb_integer_maker_commit(nb_integer_maker *maker, size_t n, nb_error *err);
/* The output bytes since the last call. They are valid until the next nb_integer_maker_commit. */
const uint8_t *nb_integer_maker_take(nb_integer_maker *maker, size_t *size);
int32_t nb_integer_maker_end(const nb_integer_maker *maker, nb_error *err); /* an error if bytes are missing */
void nb_integer_maker_free(nb_integer_maker *maker);                        /* NULL is fine */

#pragma GCC visibility pop

#endif
