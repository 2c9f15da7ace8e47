/* Where the 1/s of AWQ and SmoothQuant goes: a matrix's columns are multiplied by s, and the outputs of the tensor
 * before it are divided by s.
 *
 *   the matrices                               the tensor that absorbs 1/s
 *   attn_q, attn_k, attn_v, attn_qkv           the norm before them, weight and bias: attn_norm_2 or attn_norm
 *   ffn_gate, ffn_up, routers; of experts too  ffn_norm, or attn_norm where a layer has one norm for both blocks
 *   attn_output                                rows and bias of attn_v, or the last rows of attn_qkv. Heads that share
 *                                              a key-value head share its scales: nb_fold_heads
 *   ffn_down; of experts too                   rows and bias of ffn_up of the same expert, which are the last ones if
 *                                              gate and up are merged. Only if there is a gate: without it the
 *                                              activation function lies in between, and is not linear
 *
 * All matrices that read the absorbing tensor's output must be scaled, also those that stay in 16 bits (routers). A
 * matrix cannot be scaled if the model lacks the absorbing tensor, as OLMo 2, whose norms come after the blocks. It
 * cannot be scaled in post-norm encoders, either, such as BERT and Nomic's: their norms (attn_output_norm,
 * layer_output_norm) make the residual stream itself, and dividing that would change more than the matrices' inputs. */
#ifndef NB_AWQ_FOLD_H
#define NB_AWQ_FOLD_H

#include "../base/error.h"
#include "../base/text.h"

typedef struct nb_fold {
    const char *absorbers[2]; /* "attn_norm", ...: the first one that the layer has absorbs. NULL: no more names */
    bool is_norm;             /* a vector absorbs; else rows of a matrix */
} nb_fold;

/* name: of a matrix in GGUF, with or without "blk.3." and ".weight". is_gated: the layer has a gate. false: the columns
 * cannot be scaled. */
bool nb_fold_of(nb_text name, bool is_gated, nb_fold *fold);

/* Whether this matrix may be clipped: all may but those of queries and keys. */
bool nb_fold_clips(nb_text name);

/* sources [heads * width]: for each column of attn_output, the row of the value matrix (or of the last kv_heads * width
 * rows of attn_qkv) that it reads. heads: a multiple of kv_heads. */
void nb_fold_heads(uint32_t heads, uint32_t kv_heads, uint32_t width, uint32_t *sources);

/* An error if a source is not below n_sources. sources: [columns], or NULL. */
int32_t nb_fold_check_sources(const uint32_t *sources, uint32_t columns, uint32_t n_sources, nb_error *err);

/* Multiplies each column by its scale. weights: [rows][columns]. */
void nb_fold_columns(float *weights, uint64_t rows, uint32_t columns, const float *scales);

/* Divides the rows that the next matrix reads by its scales. weights [][columns], 1 column for a vector. Column i of
 * the next matrix reads row first + sources[i]. A row that several columns read is divided once, by the first one's
 * scale. scales [n]; sources [n]: where a number appears first, it is larger than all before; NULL: 0, 1, ... */
void nb_fold_rows(float *weights, uint64_t first, uint32_t columns, const float *scales, const uint32_t *sources,
                  uint32_t n);

#endif
