/* nibble's trainer: gradients and an optimizer for models of the Llama family, in F32, and tokenizers. It is a
 * WebAssembly module of its own (and one more with threads), which is fetched only where something is trained. It
 * knows no file format.
 *
 *   nb_trainer  the weights of a model, an array of floats; what training needs beside them: gradients, moments,
 *               activations of a batch. It takes tokens.
 *   nb_bpe_trainer  the words of a text, and what becomes of them: a vocabulary and merges.
 *   nb_auto_round  a layer whose matrices are rounded so that its outputs change least.
 *
 * The way of the data: the caller writes the weights to where nb_trainer_weights and nb_trainer_tensor say. One step of
 * training is nb_trainer_accumulate for each part of a batch, as large as memory allows, and then nb_trainer_step.
 * nb_trainer_evaluate gives the loss without a gradient, and nb_trainer_logits what another model can learn from.
 *
 * A checkpoint is the array of weights, the moments, and the number of steps (nb_trainer_steps). A trainer that gets
 * them back (nb_trainer_resume) goes on with the same bits as if it had never stopped. Sums have an order of their own,
 * so the results do not depend on the number of threads, nor, as WebAssembly, on the device.
 *
 * The rules of nibble.h hold, and its errors; nb_alloc, nb_free and the pool's functions are there too. */
#ifndef NIBBLE_TRAIN_H
#define NIBBLE_TRAIN_H

#include "nibble.h"

#pragma GCC visibility push(default)

/* ---- the model ----------------------------------------------------------------------------------------------- */

typedef struct nb_train_shape {
    uint32_t vocabulary, width, layers;
    uint32_t heads, kv_heads; /* of queries; of keys and values, a divisor of heads */
    uint32_t head_size;       /* even */
    uint32_t hidden;          /* inner width of the feed-forward block */
    uint32_t is_tied;         /* 1: the output matrix is the token embedding */
    uint32_t is_interleaved;  /* RoPE: pairs are elements 2i and 2i + 1 of a head, as in a GGUF file of the
                                 architecture llama. 0: elements i and i + head_size / 2, as in its safetensors files */
    float rope_base, epsilon; /* epsilon: of RMSNorm */
} nb_train_shape;

typedef struct nb_trainer nb_trainer;

/* What a trainer is for.
 *   EVALUATES         it has no gradients and no moments, such as a teacher
 *   LEARNS            gradients, and both moments of AdamW in F32: 16 bytes for each parameter
 *   LEARNS_IN_8_BITS  moments in 8 bits, a scale for each 256 (Dettmers et al. 2022): 10 bytes. Those of the token
 *                     embedding (section 2.3 there) and of tensors below 4096 numbers stay in F32 */
enum { NB_TRAIN_EVALUATES = 0, NB_TRAIN_LEARNS = 1, NB_TRAIN_LEARNS_IN_8_BITS = 2 };

/* At most so many sequences of so many tokens are given at once. All weights are 0 at first. pool: NULL is fine; else
 * it must outlive the trainer. */
nb_trainer *nb_trainer_new(nb_pool *pool, const nb_train_shape *shape, uint32_t sequences, uint32_t length,
                           uint32_t learns, nb_error *err);
void nb_trainer_free(nb_trainer *trainer); /* NULL is fine */

typedef struct nb_train_tensor {
    uint32_t first;         /* where it begins in the arrays, in floats */
    uint32_t rows, columns; /* row-major; of a norm's weights rows is 1 */
    uint32_t decays;        /* 1: weight decay is for it; it is a matrix */
    char name[48];          /* GGUF's, such as blk.0.attn_q.weight */
} nb_train_tensor;

uint32_t nb_trainer_tensors(const nb_trainer *trainer); /* how many there are */
int32_t nb_trainer_tensor(const nb_trainer *trainer, uint32_t index, nb_train_tensor *tensor);

/* The arrays: floats of each, and where they are (NULL if the trainer does not learn). Between tensors there may be
 * gaps, which stay 0. Gradients are sums over tokens until nb_trainer_step. */
uint32_t nb_trainer_floats(const nb_trainer *trainer);
float *nb_trainer_weights(nb_trainer *trainer);
float *nb_trainer_gradients(nb_trainer *trainer);

/* Both moments of all parameters, which nobody needs to understand: how many bytes, and where. */
double nb_trainer_moments_bytes(const nb_trainer *trainer);
void *nb_trainer_moments(nb_trainer *trainer);

/* ---- the loss ------------------------------------------------------------------------------------------------ */

/* With targets y, logits z and a teacher's logits t, of each position that counts:
 *     (1 - share) (-ln softmax(z)[y]) + share T^2 KL(softmax(t / T) || softmax(z / T))
 * The first part is the cross-entropy, the second one distillation (Hinton et al. 2015, section 2). */
typedef struct nb_train_loss {
    float share;       /* 0 ... 1; 0 needs no teacher */
    float temperature; /* T > 0 */
} nb_train_loss;

/* For what comes now; at first share is 0. */
int32_t nb_trainer_set_loss(nb_trainer *trainer, const nb_train_loss *loss, nb_error *err);

/* tokens, targets: [sequences, length]. A target is the token that should follow; a position whose target is below 0
 * does not count. teacher: logits [sequences, length, vocabulary], or NULL.
 * nb_trainer_evaluate writes the sum of the losses and returns how many positions counted. nb_trainer_accumulate adds
 * the sum's gradient to the gradients, too. A loss that is not finite is an error, which names the teacher's logit that
 * is to blame if there is one: gradients then are 0 again, and the weights as they were. */
int32_t nb_trainer_evaluate(nb_trainer *trainer, const int32_t *tokens, const int32_t *targets, const float *teacher,
                            uint32_t sequences, uint32_t length, double *loss, nb_error *err);
int32_t nb_trainer_accumulate(nb_trainer *trainer, const int32_t *tokens, const int32_t *targets, const float *teacher,
                              uint32_t sequences, uint32_t length, double *loss, nb_error *err);

/* out: [sequences, length, vocabulary]. */
int32_t nb_trainer_logits(nb_trainer *trainer, const int32_t *tokens, uint32_t sequences, uint32_t length, float *out,
                          nb_error *err);

/* ---- the optimizer ------------------------------------------------------------------------------------------- */

/* AdamW (Loshchilov and Hutter 2019, algorithm 2). Its learning rate rises by equal amounts to `rate` in the first
 * `warmup` steps, then falls to last_rate by half a cosine wave until step `steps`, and stays there (Loshchilov and
 * Hutter 2017, equation 5). steps = 0: it stays at `rate`. */
typedef struct nb_train_optimizer {
    float rate, last_rate; /* 0 ... 10^6 */
    uint32_t warmup, steps;
    float beta1, beta2, epsilon; /* 0.9, 0.95 and 1e-8 are usual; epsilon is at least 1e-20 */
    float decay;                 /* of matrices, times the learning rate; 0 ... 10^6 */
    float clip;                  /* gradients longer than this are shortened to it (Pascanu et al. 2013); 0: none are */
} nb_train_optimizer;

int32_t nb_trainer_set_optimizer(nb_trainer *trainer, const nb_train_optimizer *optimizer, nb_error *err);

/* The learning rate of step 0, 1, 2 ... */
double nb_train_rate(const nb_train_optimizer *optimizer, uint32_t step);

/* One step with the gradient of the mean loss over all positions that counted since the last step; gradients are 0
 * after it. *norm: the gradient's length before it was shortened. */
int32_t nb_trainer_step(nb_trainer *trainer, double *norm, nb_error *err);

uint32_t nb_trainer_steps(const nb_trainer *trainer); /* steps done */

/* After weights and moments were written: so many steps are done, at most 2^31 - 2. Gradients become 0. */
int32_t nb_trainer_resume(nb_trainer *trainer, uint32_t steps, nb_error *err);

/* ---- tuning ------------------------------------------------------------------------------------------------------ */

/* A trainer of a quantized model: the codes of its blocks stay, and their scales and minima learn (EfficientQAT's
 * second phase, Chen et al. 2024, section 3.3), best from the logits of the model that was quantized (nb_train_loss:
 * share 1). types: [n], what the file has of each of its tensors. Norms in F32 learn as they are. These types are
 * tuned: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, TQ2_0, Q2_0. Matrices of other types, and of
 * F32, stay as they are.
 *
 * Scales are parameters in F32, over units of their own, so that one learning rate suits all. Each pass computes with
 * blocks in which they are rounded to what the type can hold, so the blocks are always what was trained. A tensor's
 * parameters are not the weights that nb_train_tensor names, but a few numbers at the end of the arrays. */
typedef struct nb_train_type {
    char name[48]; /* GGUF's */
    uint32_t type; /* NB_TYPE_... */
} nb_train_type;

nb_trainer *nb_trainer_new_tuned(nb_pool *pool, const nb_train_shape *shape, const nb_train_type *types, uint32_t n,
                                 uint32_t sequences, uint32_t length, nb_error *err);

/* 1: nb_trainer_new_tuned lets the scales of this type learn. */
int32_t nb_train_tunes(uint32_t type);

/* Where the blocks of a tensor are, as a file has them; NULL: it has none, and its weights are among the arrays, or
 * there is no such tensor. */
uint8_t *nb_trainer_blocks(nb_trainer *trainer, uint32_t index);
uint32_t nb_trainer_blocks_bytes(const nb_trainer *trainer, uint32_t index);

/* After the file's blocks were written to their places: the parameters become what the blocks hold. A checkpoint's
 * arrays come after it. */
int32_t nb_trainer_begin_tuning(nb_trainer *trainer, nb_error *err);

/* The blocks become what the parameters are now, rounded; an error if one of these is not finite. */
int32_t nb_trainer_round_blocks(nb_trainer *trainer, nb_error *err);

/* ---- tokenizers ---------------------------------------------------------------------------------------------- */

/* Byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) learned from text, with the same tokens and merges as
 * the library tokenizers learns (BpeTrainer with the alphabet of ByteLevel). Text comes in pieces; then
 * nb_bpe_trainer_begin, and nb_bpe_trainer_merge until there are no more merges. Memory grows with the different
 * words of the text.
 *
 * Bytes that are not UTF-8 are learned as they are, as nb_tokenize takes them; each counts as a symbol where words are
 * cut. The library refuses such text. */
typedef struct nb_bpe_trainer nb_bpe_trainer;

/* The expressions that cut a text into words, within which pairs are merged. */
enum { NB_SPLIT_GPT2, NB_SPLIT_LLAMA3 };

/* by_lines: 1: each line is a text of its own, as where the library reads files. 0: words may reach over the ends of
 * lines, as where text is tokenized. */
nb_bpe_trainer *nb_bpe_trainer_new(uint32_t pattern, uint32_t by_lines, nb_error *err);
void nb_bpe_trainer_free(nb_bpe_trainer *trainer); /* NULL is fine */

/* The next piece of the text. It may end anywhere. After nb_bpe_trainer_end_text another text begins. */
int32_t nb_bpe_trainer_add(nb_bpe_trainer *trainer, const uint8_t *bytes, size_t size, nb_error *err);
int32_t nb_bpe_trainer_end_text(nb_bpe_trainer *trainer, nb_error *err);

/* The first tokens of the vocabulary, in this order; one that is there already is not added again. */
int32_t nb_bpe_trainer_add_special(nb_bpe_trainer *trainer, const char *name, size_t size, nb_error *err);

/* Ends the text. vocabulary: how many tokens there shall be, with 256 bytes and the special ones. A pair that stands in
 * the text fewer than `least` times is not merged. */
int32_t nb_bpe_trainer_begin(nb_bpe_trainer *trainer, uint32_t vocabulary, uint32_t least, nb_error *err);

/* Makes at most so many merges, and returns how many; fewer where the vocabulary is full or no pair is left. */
int32_t nb_bpe_trainer_merge(nb_bpe_trainer *trainer, uint32_t most, nb_error *err);

/* What there is. A token's name is spelled as in a tokenizer.json, each byte as a character; nb_bpe_trainer_token
 * returns its length and writes at most `capacity` bytes. nb_bpe_trainer_pairs: tokens [merges, 2], until the next
 * merge. */
uint32_t nb_bpe_trainer_tokens(const nb_bpe_trainer *trainer);
int32_t nb_bpe_trainer_token(const nb_bpe_trainer *trainer, uint32_t token, char *out, uint32_t capacity);
uint32_t nb_bpe_trainer_merges(const nb_bpe_trainer *trainer);
const uint32_t *nb_bpe_trainer_pairs(const nb_bpe_trainer *trainer);

typedef struct nb_bpe_facts {
    double bytes, words; /* of the text */
    double distinct;     /* different words */
    double broken;       /* bytes that are not UTF-8; 0 before nb_bpe_trainer_begin */
} nb_bpe_facts;

void nb_bpe_trainer_facts(const nb_bpe_trainer *trainer, nb_bpe_facts *facts);

/* ---- simulated quantization -------------------------------------------------------------------------------------- */

/* How the weights of a matrix are rounded before each pass, for training that knows of the rounding. The trainer keeps
 * weights w in F32, and the optimizer changes these; layers compute with weights W on a grid. A step s of a grid is the
 * distance of its neighbours (LSQ's step size), and no step of training.
 *
 *     W = s q - z,   q = round((w + z) / s) within least ... most
 *
 * Each group of weights has a step s, and in grids with minima a z. Gradients pass the rounding straight through
 * (Bengio et al. 2013). What s is:
 *
 *   NB_TRAIN_LEARNED   s and z are parameters (LSQ, Esser et al. 2020; z: LSQ+, Bhalgat et al. 2020). Where q is not
 *                      cut off, dw = dW, ds = dW (q - (w + z) / s) and dz = 0; where it is, dw = 0, ds = dW q and
 *                      dz = -dW. ds and dz are then multiplied with 1 / sqrt(n most), n: the weights that share them.
 *   NB_TRAIN_ABSMEAN   s is the mean of |w|, q is -1, 0 or 1, and dw = dW (BitNet b1.58, Ma et al. 2024)
 *
 * With a type of GGUF, s and z are rounded to what the type can hold before they are used, also with gradients straight
 * through. So nb_trainer_export writes blocks that stand for the same W. */
enum { NB_TRAIN_PLAIN = 0, NB_TRAIN_LEARNED = 1, NB_TRAIN_ABSMEAN = 2 }; /* methods; plain: not rounded */
enum { NB_TRAIN_GROUP_OF_TYPE = 0, NB_TRAIN_GROUP_ROW = -1, NB_TRAIN_GROUP_TENSOR = -2 };
enum { NB_TRAIN_FIT_ERROR = 0, NB_TRAIN_FIT_MEAN = 1 };

typedef struct nb_train_rounding {
    uint32_t method;
    uint32_t type;       /* Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, TQ2_0, Q2_0; or F32 with s and z in F32 */
    uint32_t levels;     /* of F32: how many q there are, 3 to 256. They are -levels/2 and up; with minima 0 and up */
    uint32_t has_minima; /* of F32: 1 or 0 */
    int32_t group;       /* NB_TRAIN_GROUP_..., or how many columns share a step: as many as in a group of the type, or
                            in types without superblocks a multiple of it. Of F32 GROUP_OF_TYPE is a row */
    uint32_t fit;        /* nb_trainer_fit_steps: steps of the least error; or LSQ's 2 mean |w| / sqrt(most), and with
                            minima the whole range */
    float rate;          /* of the steps: their learning rate over the optimizer's; 0: they stay as they are, and do not
                            count in the gradient's length */
} nb_train_rounding;

/* The tensors of a model of this shape, before there is a trainer; `first` is 0. */
uint32_t nb_train_tensors_of(const nb_train_shape *shape, nb_error *err); /* 0: an error */
int32_t nb_train_tensor_of(const nb_train_shape *shape, uint32_t index, nb_train_tensor *tensor, nb_error *err);

/* How the inputs x of the layers' matrices and the gradients of their results are rounded. Inputs are rounded by the
 * formula above, with one step for all tokens or with a step for each. The embedding and the output matrix are left
 * out. All 0: nothing is rounded.
 *
 *   NB_TRAIN_LEARNED   a step and a minimum for each matrix, as above (n is the length of x). Their first values come
 *                      from the first part of a batch; before it nothing is rounded
 *   NB_TRAIN_TOKENS    a step for each token, so that its numbers are just covered
 *   NB_TRAIN_AVERAGE   the range is a moving average of the ranges of parts of batches, and stays after some steps
 *                      (Jacob et al. 2018, section 3.1); what lies beyond it has no gradient
 *
 * Gradients of k bits are rounded at random without bias (DoReFa, Zhou et al. 2016, equation 12), with other random
 * numbers for each matrix, part and step; both products of the backward pass use them. */
enum { NB_TRAIN_TOKENS = 3, NB_TRAIN_AVERAGE = 4 };

typedef struct nb_train_signals {
    uint32_t inputs;        /* the method, or NB_TRAIN_PLAIN */
    uint32_t input_levels;  /* 3 to 256. Without minima they are symmetric, so an even number of them is one less */
    uint32_t input_minima;  /* 1: the range need not be symmetric */
    uint32_t frozen;        /* of averages: steps after which they stay; 0: they never do */
    float average;          /* how much of the old range is kept, such as 0.99 */
    float rate;             /* of learned steps: their learning rate over the optimizer's; 0: as above */
    uint32_t gradient_bits; /* 2 to 8; 0: gradients stay in F32 */
    uint32_t seed;
} nb_train_signals;

/* A trainer that rounds. roundings: [tensors], norms' are plain; signals: NULL is fine. Steps lie behind the tensors
 * in the arrays, and ranges of inputs behind them, so checkpoints have them. Steps of weights are 0 until
 * nb_trainer_fit_steps or a checkpoint gives them values. */
nb_trainer *nb_trainer_new_rounded(nb_pool *pool, const nb_train_shape *shape, const nb_train_rounding *roundings,
                                   const nb_train_signals *signals, uint32_t sequences, uint32_t length,
                                   uint32_t learns, nb_error *err);

/* Chooses steps and minima for the weights as they are now. */
int32_t nb_trainer_fit_steps(nb_trainer *trainer, nb_error *err);

/* Computes the W of a tensor, and returns where they are, [rows, columns]; of a tensor that is not rounded, its
 * weights. NULL: there is no such tensor. */
const float *nb_trainer_rounded(nb_trainer *trainer, uint32_t index);

/* Where a tensor's own parameters are in the arrays, and how many: steps [groups], then minima [groups] if it has some;
 * where blocks are tuned, their scales. 0: it has none. */
uint32_t nb_trainer_own_of(const nb_trainer *trainer, uint32_t index, uint32_t *first);

/* Where the steps and minima, or ranges, of the inputs of all layers' matrices are in the arrays: two numbers for
 * each of the seven of a layer, in the order of the tensors. Returns how many numbers; 0: inputs are not rounded. */
uint32_t nb_trainer_inputs_of(const nb_trainer *trainer, uint32_t *first);

/* The type of GGUF that holds a tensor's W, and how many bytes: F32, if it is rounded for none. */
uint32_t nb_trainer_export_type(const nb_trainer *trainer, uint32_t index);
double nb_trainer_export_bytes(const nb_trainer *trainer, uint32_t index);

/* Writes W as blocks of that type, which is not F32: what they stand for is W, bit for bit. */
int32_t nb_trainer_export(nb_trainer *trainer, uint32_t index, void *blocks, nb_error *err);

/* ---- AutoRound -------------------------------------------------------------------------------------------------- */

/* Rounds the matrices of one layer after the other, so that what the layer puts out for a text changes least (Cheng et
 * al. 2024, "Optimize Weight Rounding via Signed Gradient Descent"). Each weight w has an offset V, and each group of
 * weights two numbers A and B that clip its range:
 *
 *     W = s (q - z) + b,   q = round((w - b) / s + V) + z, kept within the codes
 *
 *   symmetric       s = -A min(w, 0) / 2^(bits - 1) or -B max(w, 0) / 2^(bits - 1), whichever is farther from zero;
 *                   b = 0, z = 2^(bits - 1)
 *   Q8_0            s = the larger of A |min(w, 0)| and B |max(w, 0)|, / 127; b = 0, z = 128
 *   asymmetric      s = (B max(w, 0) - A min(w, 0)) / (2^bits - 1); b = 0, z = round(-A min(w, 0) / s)
 *   Q4_1, Q5_1      the same s; b = A min(w, 0), z = 0
 *   K types         s and b stay those of blocks that the caller gives, and only V learns
 *
 * s and b are rounded to binary16. At first V is 0 and A and B are 1, which is rounding to nearest. A step takes a
 * batch of windows of the text. With L the mean of (output - output of the exact layer)^2, and gradients straight
 * through the rounding, each parameter p becomes p - rate sign(dL/dp). The rate falls evenly from 1 / steps to 0, so V
 * stays within -1/2 ... 1/2; A and B are kept within 0 ... 1. The result is that of the step with the least L.
 *
 * As in the library auto-round, a layer's inputs are what the rounded layers before it make of the text, and its
 * outputs shall be those that exact layers make of it.
 *
 * The way: the inputs of the first layer are written to nb_auto_round_exact. For each layer its weights are written
 * (nb_auto_round_tensor), and nb_auto_round_pass takes the exact streams through it. Then its inputs are written to
 * nb_auto_round_inputs, each matrix that shall be rounded gets a grid (nb_auto_round_choose), and nb_auto_round_step is
 * called until it returns 0. After that nb_auto_round_blocks or nb_auto_round_codes has the results. */
typedef struct nb_auto_round nb_auto_round;

typedef struct nb_auto_round_settings {
    uint32_t windows, window; /* of the text: how many, and the tokens of each */
    uint32_t steps;           /* of each layer; 200 is usual */
    uint32_t batch;           /* windows of a step, such as 8; of fewer windows all are taken */
    uint32_t seed;            /* of the order of the windows, which is the same for each layer */
} nb_auto_round_settings;

/* shape: of the model; its layers and vocabulary do not matter. pool: NULL is fine; else it must outlive the object. */
nb_auto_round *nb_auto_round_new(nb_pool *pool, const nb_train_shape *shape, const nb_auto_round_settings *settings,
                                 nb_error *err);
void nb_auto_round_free(nb_auto_round *a); /* NULL is fine */

/* [windows, window, width]: the streams that reach the layer at hand through exact layers, and through rounded ones. */
float *nb_auto_round_exact(nb_auto_round *a);
float *nb_auto_round_inputs(nb_auto_round *a);

/* Tensor i of a layer, 0 to 8: its name is that of layer 0. Returns where its weights are, [rows, columns]; NULL: there
 * is no such tensor. To write them begins a new layer. */
float *nb_auto_round_tensor(nb_auto_round *a, uint32_t i, nb_train_tensor *tensor);

/* The exact streams of the next window pass through the layer, with the weights as they were written. Returns how many
 * windows are left: repeat until it is 0. */
int32_t nb_auto_round_pass(nb_auto_round *a, nb_error *err);

/* w = s (code - z) + b, as above. */
typedef struct nb_auto_round_grid {
    uint32_t type;       /* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K; or F32: codes with scales and zero points */
    uint32_t bits;       /* of F32: 2 to 8 */
    uint32_t group;      /* of F32: columns of a group; 0: whole rows */
    uint32_t symmetric;  /* of F32: 1 or 0 */
    uint32_t least_zero; /* of F32, asymmetric: 1 if a zero point of 0 cannot be stored; else 0 */
} nb_auto_round_grid;

/* 1: matrices can be rounded to this type of GGUF; 2: with blocks that have the scales; else 0. */
int32_t nb_auto_round_takes(uint32_t type);

/* After nb_auto_round_pass: matrix i shall be rounded. blocks: of a K type, the matrix in that type, which is copied;
 * else NULL. A weight that is not finite, or too large for a scale in binary16, is an error. */
int32_t nb_auto_round_choose(nb_auto_round *a, uint32_t i, const nb_auto_round_grid *grid, const void *blocks,
                             nb_error *err);

/* The next window of a batch passes forward and backward; after the last one of a batch there is a step. Returns how
 * many windows are left in all steps. Until that is 0 no results are final; what was found so far can be read. */
int32_t nb_auto_round_step(nb_auto_round *a, nb_error *err);

/* L of the first step, which is that of rounding to nearest, and the least one. */
double nb_auto_round_first_loss(const nb_auto_round *a);
double nb_auto_round_least_loss(const nb_auto_round *a);

/* Matrix i, which has a grid of a type: its blocks, [rows, columns]. */
int32_t nb_auto_round_blocks(const nb_auto_round *a, uint32_t i, void *blocks, nb_error *err);

/* Matrix i, which has a grid of codes: codes [rows, columns], scales in binary16 and zero points [rows, groups], and
 * what they stand for, values [rows, columns]. */
int32_t nb_auto_round_codes(const nb_auto_round *a, uint32_t i, uint8_t *codes, uint16_t *scales, uint8_t *zeros,
                            float *values, nb_error *err);

#pragma GCC visibility pop

#endif
