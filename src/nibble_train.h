/* nibble's trainer: gradients and an optimizer for models of the Llama family, in F32, and training of tokenizers. It
 * is a WebAssembly module of its own (and one more with threads), which is fetched only when something is trained. It
 * knows no file format.
 *
 *   nb_trainer      a model's weights in an array of floats, with their gradients and moments, and the activations of a
 *                   batch of tokens
 *   nb_bpe_trainer  the words of a text, and the vocabulary and merges that are learned from them
 *   nb_auto_round   a layer whose matrices are rounded so that its outputs change least
 *
 * How to train: the caller writes the weights to where nb_trainer_weights and nb_trainer_tensor point. A step of
 * training is nb_trainer_accumulate for each micro-batch, as large as memory allows, and then nb_trainer_step.
 * nb_trainer_evaluate computes the loss without a gradient, and nb_trainer_logits the logits, which another model can
 * learn from.
 *
 * A checkpoint is the array of weights, the moments, and the number of steps (nb_trainer_steps). A trainer that is
 * given them (nb_trainer_resume) continues with the same bits as if it had never stopped. The order of sums is fixed,
 * so results do not depend on the number of threads, nor, as WebAssembly, on the device.
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
    uint32_t hidden;          /* width inside the feed-forward network */
    uint32_t is_tied;         /* 1: the output matrix is the token embedding */
    uint32_t is_interleaved;  /* RoPE: pairs are elements 2i and 2i + 1 of a head, as in a GGUF file of the
                                 architecture llama. 0: elements i and i + head_size / 2, as in its safetensors files */
    float rope_base, epsilon; /* epsilon: of RMSNorm */
} nb_train_shape;

typedef struct nb_trainer nb_trainer;

/* The purpose of a trainer.
 *   EVALUATES         no gradients and no moments, such as for a teacher
 *   LEARNS            gradients, and both moments of AdamW in F32: 16 bytes for each parameter
 *   LEARNS_IN_8_BITS  moments in 8 bits with a scale for each 256 (Dettmers et al. 2022): 10 bytes. Those of the token
 *                     embedding (section 2.3 there) and of tensors below 4096 numbers stay in F32 */
enum { NB_TRAIN_EVALUATES = 0, NB_TRAIN_LEARNS = 1, NB_TRAIN_LEARNS_IN_8_BITS = 2 };

/* sequences, length: the most sequences in one call, and the most tokens of each. All weights are 0 at first. pool:
 * NULL is fine; else it must outlive the trainer. */
nb_trainer *nb_trainer_new(nb_pool *pool, const nb_train_shape *shape, uint32_t sequences, uint32_t length,
                           uint32_t learns, nb_error *err);
void nb_trainer_free(nb_trainer *trainer); /* NULL is fine */

typedef struct nb_train_tensor {
    uint32_t first;         /* index of its first float in the arrays */
    uint32_t rows, columns; /* row-major; rows is 1 for a norm's weights */
    uint32_t decays;        /* 1: it is a matrix, and weight decay applies */
    char name[48];          /* in GGUF, such as blk.0.attn_q.weight */
} nb_train_tensor;

uint32_t nb_trainer_tensors(const nb_trainer *trainer); /* how many there are */
int32_t nb_trainer_tensor(const nb_trainer *trainer, uint32_t index, nb_train_tensor *tensor);

/* The arrays of weights and gradients (NULL if the trainer does not learn), and the number of floats in each. Between
 * tensors there may be gaps, which stay 0. Until nb_trainer_step, gradients are sums over tokens. */
uint32_t nb_trainer_floats(const nb_trainer *trainer);
float *nb_trainer_weights(nb_trainer *trainer);
float *nb_trainer_gradients(nb_trainer *trainer);

/* Both moments of all parameters, as opaque bytes. */
double nb_trainer_moments_bytes(const nb_trainer *trainer);
void *nb_trainer_moments(nb_trainer *trainer);

/* ---- the loss ------------------------------------------------------------------------------------------------ */

/* The loss of a position, with target y, logits z and a teacher's logits t:
 *     (1 - share) (-ln softmax(z)[y]) + share T^2 KL(softmax(t / T) || softmax(z / T))
 * The first term is the cross-entropy, the second one distillation (Hinton et al. 2015, section 2). */
typedef struct nb_train_loss {
    float share;       /* 0 ... 1; 0 needs no teacher */
    float temperature; /* T > 0 */
} nb_train_loss;

/* For all later calls. Before the first call share is 0. */
int32_t nb_trainer_set_loss(nb_trainer *trainer, const nb_train_loss *loss, nb_error *err);

/* tokens, targets: [sequences, length]. A target is the token that should follow. Positions with a negative target are
 * ignored. teacher: logits [sequences, length, vocabulary], or NULL.
 * nb_trainer_evaluate writes the sum of the losses and returns the number of positions that counted.
 * nb_trainer_accumulate also adds the sum's gradient to the gradients. If the loss is not finite, the error names the
 * teacher's logit that caused it, if there is one; the gradients become 0, and the weights are unchanged. */
int32_t nb_trainer_evaluate(nb_trainer *trainer, const int32_t *tokens, const int32_t *targets, const float *teacher,
                            uint32_t sequences, uint32_t length, double *loss, nb_error *err);
int32_t nb_trainer_accumulate(nb_trainer *trainer, const int32_t *tokens, const int32_t *targets, const float *teacher,
                              uint32_t sequences, uint32_t length, double *loss, nb_error *err);

/* out: [sequences, length, vocabulary]. */
int32_t nb_trainer_logits(nb_trainer *trainer, const int32_t *tokens, uint32_t sequences, uint32_t length, float *out,
                          nb_error *err);

/* ---- the optimizer ------------------------------------------------------------------------------------------- */

/* AdamW (Loshchilov and Hutter 2019, algorithm 2). The learning rate rises linearly to `rate` in the first `warmup`
 * steps, then falls to last_rate along half a cosine wave until step `steps`, and stays there (Loshchilov and Hutter
 * 2017, equation 5). steps = 0: it stays at `rate`. */
typedef struct nb_train_optimizer {
    float rate, last_rate; /* 0 ... 10^6 */
    uint32_t warmup, steps;
    float beta1, beta2, epsilon; /* 0.9, 0.95 and 1e-8 are usual; epsilon is at least 1e-20 */
    float decay;                 /* weight decay of matrices, multiplied by the learning rate; 0 ... 10^6 */
    float clip; /* gradient clipping: the largest gradient norm (Pascanu et al. 2013); 0: no clipping */
} nb_train_optimizer;

int32_t nb_trainer_set_optimizer(nb_trainer *trainer, const nb_train_optimizer *optimizer, nb_error *err);

/* The learning rate of step 0, 1, 2 ... */
double nb_train_rate(const nb_train_optimizer *optimizer, uint32_t step);

/* One step, with the gradient of the mean loss over all positions since the last step. Gradients then become 0. *norm:
 * the gradient's norm before clipping. */
int32_t nb_trainer_step(nb_trainer *trainer, double *norm, nb_error *err);

uint32_t nb_trainer_steps(const nb_trainer *trainer); /* steps done */

/* To be called after the weights and moments of a checkpoint were written. steps: those done before it, at most 2^31 -
 * 2. Gradients become 0. */
int32_t nb_trainer_resume(nb_trainer *trainer, uint32_t steps, nb_error *err);

/* ---- tuning ------------------------------------------------------------------------------------------------------ */

/* A trainer of a quantized model: the codes of its blocks stay, and their scales and minima learn (EfficientQAT's
 * second phase, Chen et al. 2024, section 3.3), best from the logits of the original model (nb_train_loss: share 1).
 * types [n]: the type of each tensor of the file. Norms in F32 learn, too. Scales of these types are tuned: Q4_0, Q4_1,
 * Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL, IQ4_XS, TQ2_0, Q2_0. Matrices of other types, and of F32, do not change.
 *
 * Scales are parameters in F32, divided by a unit, so that one learning rate suits all. Each pass rounds them to what
 * the type can store and computes with the blocks, so the blocks are exactly what was trained. The parameters of a
 * tuned tensor are not at nb_train_tensor's place, but at the end of the arrays. */
typedef struct nb_train_type {
    char name[48]; /* GGUF's */
    uint32_t type; /* NB_TYPE_... */
} nb_train_type;

nb_trainer *nb_trainer_new_tuned(nb_pool *pool, const nb_train_shape *shape, const nb_train_type *types, uint32_t n,
                                 uint32_t sequences, uint32_t length, nb_error *err);

/* 1 if nb_trainer_new_tuned tunes the scales of this type. */
int32_t nb_train_tunes(uint32_t type);

/* The blocks of a tensor, as in a file. NULL: there is no such tensor, or its weights are in the arrays. */
uint8_t *nb_trainer_blocks(nb_trainer *trainer, uint32_t index);
uint32_t nb_trainer_blocks_bytes(const nb_trainer *trainer, uint32_t index);

/* To be called after the file's blocks were written: reads the parameters from the blocks. The arrays of a checkpoint
 * are written after this. */
int32_t nb_trainer_begin_tuning(nb_trainer *trainer, nb_error *err);

/* Writes the current parameters, rounded, into the blocks. An error if a parameter is not finite. */
int32_t nb_trainer_round_blocks(nb_trainer *trainer, nb_error *err);

/* ---- tokenizers ---------------------------------------------------------------------------------------------- */

/* Learns byte-level BPE from text (Sennrich et al. 2016; Radford et al. 2019), with the same tokens and merges as the
 * library tokenizers (BpeTrainer with the alphabet of ByteLevel). Text comes in pieces; then nb_bpe_trainer_begin is
 * called, and nb_bpe_trainer_merge until there are no more merges. Memory grows with the number of different words.
 *
 * Bytes that are not UTF-8 are learned like others, as nb_tokenize accepts them; for the splitting into words each
 * counts as a symbol. The library refuses such text. */
typedef struct nb_bpe_trainer nb_bpe_trainer;

/* The pre-tokenizers that split a text into words. Pairs are merged within words. */
enum { NB_SPLIT_GPT2, NB_SPLIT_LLAMA3 };

/* by_lines: 1: each line is a separate text, as when the library reads files. 0: words may span lines, as in
 * tokenization. */
nb_bpe_trainer *nb_bpe_trainer_new(uint32_t pattern, uint32_t by_lines, nb_error *err);
void nb_bpe_trainer_free(nb_bpe_trainer *trainer); /* NULL is fine */

/* Adds a piece of the text, which may end anywhere. nb_bpe_trainer_end_text ends the text, so that another one can
 * begin. */
int32_t nb_bpe_trainer_add(nb_bpe_trainer *trainer, const uint8_t *bytes, size_t size, nb_error *err);
int32_t nb_bpe_trainer_end_text(nb_bpe_trainer *trainer, nb_error *err);

/* Adds a special token. They are the first tokens of the vocabulary. A token is added only once. */
int32_t nb_bpe_trainer_add_special(nb_bpe_trainer *trainer, const char *name, size_t size, nb_error *err);

/* Ends the text, and begins the training. vocabulary: the wanted number of tokens, with 256 bytes and the special ones.
 * Pairs that occur fewer than `least` times are not merged. */
int32_t nb_bpe_trainer_begin(nb_bpe_trainer *trainer, uint32_t vocabulary, uint32_t least, nb_error *err);

/* Makes at most `most` merges. Returns how many; fewer if the vocabulary is full or no pair is left. */
int32_t nb_bpe_trainer_merge(nb_bpe_trainer *trainer, uint32_t most, nb_error *err);

/* The results so far. nb_bpe_trainer_token writes at most `capacity` bytes of a token's name, and returns the name's
 * length; names are spelled as in a tokenizer.json, each byte as a character. nb_bpe_trainer_pairs: the merged tokens
 * [merges, 2], valid until the next merge. */
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

/* How the weights of a matrix are rounded before each pass, for quantization-aware training. The trainer keeps weights
 * w in F32, which the optimizer changes. Layers compute with rounded weights W on a grid. The step s of a grid is the
 * distance between neighbouring points (LSQ's step size); it has nothing to do with steps of training.
 *
 *     W = s q - z,   q = round((w + z) / s), clipped to least ... most
 *
 * Each group of weights has a step s, and in grids with minima a z. Gradients pass straight through the rounding
 * (straight-through estimator, Bengio et al. 2013). The methods:
 *
 *   NB_TRAIN_LEARNED   s and z are parameters (LSQ, Esser et al. 2020; z: LSQ+, Bhalgat et al. 2020). Where q is not
 *                      clipped, dw = dW, ds = dW (q - (w + z) / s) and dz = 0; where it is, dw = 0, ds = dW q and
 *                      dz = -dW. ds and dz are then multiplied by 1 / sqrt(n most), n: the weights that share them.
 *   NB_TRAIN_ABSMEAN   s is the mean of |w|, q is -1, 0 or 1, and dw = dW (BitNet b1.58, Ma et al. 2024)
 *
 * For a type of GGUF, s and z are rounded to what the type can store before they are used, and gradients pass straight
 * through that, too. So nb_trainer_export writes blocks that mean exactly W. */
enum { NB_TRAIN_PLAIN = 0, NB_TRAIN_LEARNED = 1, NB_TRAIN_ABSMEAN = 2 }; /* methods; plain: no rounding */
enum { NB_TRAIN_GROUP_OF_TYPE = 0, NB_TRAIN_GROUP_ROW = -1, NB_TRAIN_GROUP_TENSOR = -2 };
enum { NB_TRAIN_FIT_ERROR = 0, NB_TRAIN_FIT_MEAN = 1 };

typedef struct nb_train_rounding {
    uint32_t method;
    uint32_t type;       /* Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K to Q6_K, TQ2_0, Q2_0; or F32 with s and z in F32 */
    uint32_t levels;     /* of F32: the number of q, 3 to 256. The lowest is -levels/2, or with minima 0 */
    uint32_t has_minima; /* of F32: 1 or 0 */
    int32_t group; /* NB_TRAIN_GROUP_..., or the columns that share a step: a group of the type, or for types without
                            superblocks a multiple of it. With F32, GROUP_OF_TYPE is a row */
    uint32_t fit;  /* how nb_trainer_fit_steps chooses: by the least error; or LSQ's 2 mean |w| / sqrt(most), and
                            with minima the whole range */
    float rate;    /* the learning rate of steps, times the optimizer's. 0: they do not change, and do not count in
                            the gradient's norm */
} nb_train_rounding;

/* The tensors of a model of this shape, without a trainer; `first` is 0. nb_train_tensors_of: their number; 0: an
 * error. */
uint32_t nb_train_tensors_of(const nb_train_shape *shape, nb_error *err);
int32_t nb_train_tensor_of(const nb_train_shape *shape, uint32_t index, nb_train_tensor *tensor, nb_error *err);

/* How the inputs x of the layers' matrices, and the gradients of their outputs, are rounded. Inputs are rounded by the
 * formula above, with one step for all tokens or one for each. The embedding and the output matrix are excluded. All 0:
 * nothing is rounded.
 *
 *   NB_TRAIN_LEARNED   a step and a minimum for each matrix, as above (n is the length of x). Their first values come
 *                      from the first micro-batch; before it nothing is rounded
 *   NB_TRAIN_TOKENS    a step for each token, the smallest that covers its numbers
 *   NB_TRAIN_AVERAGE   the range is a moving average of the micro-batches' ranges, and is frozen after some steps
 *                      (Jacob et al. 2018, section 3.1); numbers beyond it have no gradient
 *
 * Gradients are rounded to k bits stochastically, without bias (DoReFa, Zhou et al. 2016, equation 12), with different
 * random numbers for each matrix, micro-batch and step. Both products of the backward pass use them. */
enum { NB_TRAIN_TOKENS = 3, NB_TRAIN_AVERAGE = 4 };

typedef struct nb_train_signals {
    uint32_t inputs;        /* the method, or NB_TRAIN_PLAIN */
    uint32_t input_levels;  /* 3 to 256. Without minima the grid is symmetric, so an even number becomes one less */
    uint32_t input_minima;  /* 1: the range need not be symmetric */
    uint32_t frozen;        /* of averages: the step from which they are frozen; 0: never */
    float average;          /* of averages: the weight of the old range, such as 0.99 */
    float rate;             /* the learning rate of learned steps, times the optimizer's; 0: as above */
    uint32_t gradient_bits; /* 2 to 8; 0: gradients stay in F32 */
    uint32_t seed;
} nb_train_signals;

/* A trainer that rounds. roundings: [tensors], plain for norms; signals: NULL is fine. In the arrays, steps follow the
 * tensors, and ranges of inputs follow the steps, so checkpoints have them. Steps of weights are 0 until
 * nb_trainer_fit_steps or a checkpoint sets them. */
nb_trainer *nb_trainer_new_rounded(nb_pool *pool, const nb_train_shape *shape, const nb_train_rounding *roundings,
                                   const nb_train_signals *signals, uint32_t sequences, uint32_t length,
                                   uint32_t learns, nb_error *err);

/* Chooses steps and minima for the current weights. */
int32_t nb_trainer_fit_steps(nb_trainer *trainer, nb_error *err);

/* Computes and returns the W of a tensor, [rows, columns], or its weights if it is not rounded. NULL: there is no such
 * tensor. */
const float *nb_trainer_rounded(nb_trainer *trainer, uint32_t index);

/* A tensor's quantizer parameters: steps [groups], then minima [groups] if there are any; or the scales of tuned
 * blocks. *first: their index in the arrays. Returns how many; 0: none. */
uint32_t nb_trainer_own_of(const nb_trainer *trainer, uint32_t index, uint32_t *first);

/* The steps and minima, or the ranges, of the inputs of all layers' matrices: two numbers for each of a layer's seven
 * matrices, in the order of the tensors. *first: their index in the arrays. Returns how many numbers; 0: inputs are not
 * rounded. */
uint32_t nb_trainer_inputs_of(const nb_trainer *trainer, uint32_t *first);

/* The type of GGUF that W was rounded for (F32: none), and the bytes of the tensor in that type. */
uint32_t nb_trainer_export_type(const nb_trainer *trainer, uint32_t index);
double nb_trainer_export_bytes(const nb_trainer *trainer, uint32_t index);

/* Writes W as blocks of that type, which must not be F32. The blocks mean exactly W. */
int32_t nb_trainer_export(nb_trainer *trainer, uint32_t index, void *blocks, nb_error *err);

/* ---- AutoRound -------------------------------------------------------------------------------------------------- */

/* Rounds the matrices of a model, layer by layer, so that each layer's outputs for a text change least (Cheng et al.
 * 2024, "Optimize Weight Rounding via Signed Gradient Descent"). Each weight w has an offset V, and each group of
 * weights two numbers A and B that clip its range:
 *
 *     W = s (q - z) + b,   q = round((w - b) / s + V) + z, clipped to the codes
 *
 *   symmetric       s = -A min(w, 0) / 2^(bits - 1) or -B max(w, 0) / 2^(bits - 1), the one with the larger magnitude;
 *                   b = 0, z = 2^(bits - 1)
 *   Q8_0            s = max(A |min(w, 0)|, B |max(w, 0)|) / 127; b = 0, z = 128
 *   asymmetric      s = (B max(w, 0) - A min(w, 0)) / (2^bits - 1); b = 0, z = round(-A min(w, 0) / s)
 *   Q4_1, Q5_1      the same s; b = A min(w, 0), z = 0
 *   K types         s and b are those of blocks that the caller gives, and only V learns
 *
 * s and b are rounded to binary16. At first V is 0, and A and B are 1, which is rounding to nearest. A step uses a
 * batch of windows of the text. L is the mean of (output - output of the exact layer)^2, and gradients pass straight
 * through the rounding. Each parameter p becomes p - rate sign(dL/dp). The rate falls linearly from 1 / steps to 0, so
 * V stays within -1/2 ... 1/2; A and B are clipped to 0 ... 1. The result is that of the step with the least L.
 *
 * As in the library auto-round, a layer's inputs come from the rounded layers before it, and its target outputs come
 * from exact (not rounded) layers.
 *
 * How to use it: write the inputs of the first layer to nb_auto_round_exact. Then, for each layer:
 *
 *   1. Write its weights (nb_auto_round_tensor), and call nb_auto_round_pass, which takes the exact streams through it.
 *   2. Write its inputs from the rounded layers to nb_auto_round_inputs.
 *   3. Choose a grid for each matrix that is to be rounded (nb_auto_round_choose).
 *   4. Call nb_auto_round_step until it returns 0.
 *   5. Read the results by nb_auto_round_blocks or nb_auto_round_codes. */
typedef struct nb_auto_round nb_auto_round;

typedef struct nb_auto_round_settings {
    uint32_t windows, window; /* of the text: their number, and the tokens of each */
    uint32_t steps;           /* for each layer; 200 is usual */
    uint32_t batch;           /* windows of a step, such as 8; at most all are used */
    uint32_t seed;            /* of the random order of windows, which is the same for each layer */
} nb_auto_round_settings;

/* shape: of the model; its layers and vocabulary do not matter. pool: NULL is fine; else it must outlive the object. */
nb_auto_round *nb_auto_round_new(nb_pool *pool, const nb_train_shape *shape, const nb_auto_round_settings *settings,
                                 nb_error *err);
void nb_auto_round_free(nb_auto_round *a); /* NULL is fine */

/* [windows, window, width]: the inputs of the current layer, from exact layers and from rounded ones. */
float *nb_auto_round_exact(nb_auto_round *a);
float *nb_auto_round_inputs(nb_auto_round *a);

/* Tensor i of a layer, 0 to 8; *tensor has the name for layer 0. Returns its weights, [rows, columns], to be written;
 * NULL: there is no such tensor. The call begins a new layer. */
float *nb_auto_round_tensor(nb_auto_round *a, uint32_t i, nb_train_tensor *tensor);

/* Takes the exact streams of the next window through the layer, with the weights as written. Returns how many windows
 * are left. Repeat until it is 0. */
int32_t nb_auto_round_pass(nb_auto_round *a, nb_error *err);

/* w = s (code - z) + b, as above. */
typedef struct nb_auto_round_grid {
    uint32_t type;       /* Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K; or F32: codes with scales and zero points */
    uint32_t bits;       /* of F32: 2 to 8 */
    uint32_t group;      /* of F32: columns of a group; 0: whole rows */
    uint32_t symmetric;  /* of F32: 1 or 0 */
    uint32_t least_zero; /* of F32, asymmetric: 1 if a zero point of 0 cannot be stored; else 0 */
} nb_auto_round_grid;

/* 1: matrices can be rounded to this type of GGUF. 2: only with given blocks, which have the scales. 0: they cannot. */
int32_t nb_auto_round_takes(uint32_t type);

/* Chooses the grid of matrix i, after nb_auto_round_pass. blocks: for a K type, the matrix encoded in that type, which
 * is copied; else NULL. A weight that is not finite, or too large for a scale in binary16, is an error. */
int32_t nb_auto_round_choose(nb_auto_round *a, uint32_t i, const nb_auto_round_grid *grid, const void *blocks,
                             nb_error *err);

/* Takes the next window of a batch forward and backward. After the last one of a batch the parameters are updated.
 * Returns how many windows are left in all steps. Results can be read before it is 0, but are not final. After a loss
 * that is not finite, this, nb_auto_round_pass and nb_auto_round_choose are errors: begin with a new object. */
int32_t nb_auto_round_step(nb_auto_round *a, nb_error *err);

/* L of the first step, which is that of rounding to nearest, and the least L. */
double nb_auto_round_first_loss(const nb_auto_round *a);
double nb_auto_round_least_loss(const nb_auto_round *a);

/* The blocks of matrix i, whose grid has a type of GGUF. */
int32_t nb_auto_round_blocks(const nb_auto_round *a, uint32_t i, void *blocks, nb_error *err);

/* Of matrix i, whose grid is of codes: codes [rows, columns], scales in binary16 and zero points [rows, groups], and
 * the weights that they mean, values [rows, columns]. */
int32_t nb_auto_round_codes(const nb_auto_round *a, uint32_t i, uint8_t *codes, uint16_t *scales, uint8_t *zeros,
                            float *values, nb_error *err);

#pragma GCC visibility pop

#endif
