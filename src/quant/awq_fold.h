/* Where the 1/s of AWQ and SmoothQuant goes: a matrix's columns are multiplied with s, and the outputs of the tensor
 * before it divided by s.
 *
 *   the matrices                               the tensor that absorbs 1/s
 *   attn_q, attn_k, attn_v, attn_qkv           the norm before them, weight and bias: attn_norm_2 or attn_norm
 *   ffn_gate, ffn_up, of experts too, routers  ffn_norm, or attn_norm where a layer has one norm for both blocks
 *   attn_output                                rows and bias of attn_v, or the last ones of attn_qkv. Heads that share
 *                                              a value head share its scales: nb_fold_heads
 *   ffn_down, of experts too                   rows and bias of ffn_up of the same expert: its last ones, if gate and
 *                                              up are merged. Only if there is a gate: without one the activation
 *                                              function lies between
 *
 * All matrices that read what the absorbing tensor gives must be scaled, those that stay in 16 bits too (routers). A
 * matrix whose absorbing tensor a model does not have cannot be scaled. So it is with OLMo 2, whose norms come after
 * the blocks, and with BERT and Nomic's encoders: the residual stream goes on with what their norms make
 * (attn_output_norm, layer_output_norm), so that dividing it would change more than the matrices' inputs. */
#ifndef NB_AWQ_FOLD_H
#define NB_AWQ_FOLD_H

#include "../base/error.h"
#include "../base/text.h"

typedef struct nb_fold {
    const char *absorbers[2]; /* "attn_norm", ...: the first that the layer has. NULL: no further one */
    bool is_norm;             /* a vector; else a matrix, of which rows are divided */
} nb_fold;

/* By a name as GGUF has it, with or without "blk.3." and ".weight". is_gated: the layer has a gate. false: its columns
 * cannot be scaled. */
bool nb_fold_of(nb_text name, bool is_gated, nb_fold *fold);

/* Whether the weights of this name may be clipped: all but queries and keys. */
bool nb_fold_clips(nb_text name);

/* sources [heads * width]: which row of the value matrix, or of its last `kv_heads * width` rows, each column of
 * attn_output comes from. heads: a multiple of kv_heads. */
void nb_fold_heads(uint32_t heads, uint32_t kv_heads, uint32_t width, uint32_t *sources);

/* An error if a column comes from an output that there is not. sources: [columns], or NULL. */
int32_t nb_fold_check_sources(const uint32_t *sources, uint32_t columns, uint32_t n_sources, nb_error *err);

/* Columns times s: weights [rows][columns]. */
void nb_fold_columns(float *weights, uint64_t rows, uint32_t columns, const float *scales);

/* Column i of the next matrix comes from row first + sources[i] of weights [][columns] (1 for a vector). Each such row
 * is divided once, by the scale of its first column. scales [n]; sources [n]: new numbers in it ascend; NULL: 0, 1,
 * ... */
void nb_fold_rows(float *weights, uint64_t first, uint32_t columns, const float *scales, const uint32_t *sources,
                  uint32_t n);

#endif
