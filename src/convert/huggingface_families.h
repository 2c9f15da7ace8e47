/* What there is in Hugging Face's folders, and what GGUF calls it. On the left are transformers' names (its
 * configuration_*.py and modeling_*.py), on the right GGUF's. tests/oracles/folder_mapping.py has the same in Python,
 * checked with llama.cpp. */
#ifndef NB_HUGGINGFACE_FAMILIES_H
#define NB_HUGGINGFACE_FAMILIES_H

#include "huggingface_keys.h"

#include <stdint.h>

typedef struct nb_hf_pair {
    const char *theirs, *ours;
} nb_hf_pair;

enum {                             /* what is special about a family */
       NB_HF_TURNED_BY_HALVES = 1, /* in GGUF the rows of q and k are permuted, in these files they are not */
       NB_HF_NORMS_LESS_ONE = 2,   /* norms are stored as weight - 1 */
       NB_HF_WINDOW_BY_PERIOD = 4, /* each n-th layer may have no sliding window; else all layers have one, or none */
       NB_HF_WINDOW_EVERY_2ND = 8, /* every second layer below max_window_layers has the window */
       NB_HF_UNROTATED = 16,       /* nothing is rotated */
       NB_HF_PARTLY_ROTATED = 32,  /* partial_rotary_factor counts; in other families it must be 1, or is ignored */
       NB_HF_LONGROPE = 64,        /* its RoPE is scaled by two tensors of factors, and in no other way */
       NB_HF_EVERY_4TH_UNROTATED = 128,
       NB_HF_FOUR_TIMES = 256,     /* without a key the feed-forward network is four times as wide as the layers */
       NB_HF_CONV1D = 512,         /* matrices of layers are stored [in, out] */
       NB_HF_QKV_BY_GROUP = 1024,  /* rows of attn_qkv: for each key head its queries, the key, the value */
       NB_HF_MANY_KV_HEADS = 2048, /* three keys together say how many key heads there are */
       NB_HF_ENCODER = 4096,
       NB_HF_POSITIONS_FROM_2 = 8192,  /* the first two rows of learned positions belong to no token */
       NB_HF_PADDED_POSITIONS = 16384, /* the rows up to that of padding belong to no token, but count as positions */
       NB_HF_LINEAR_ROPE = 32768,      /* its RoPE may be scaled linearly, and in no other way */
       NB_HF_TWO_ROPES = 65536,        /* rope_parameters has a set for each kind of layer */
       NB_HF_NO_BIASES = 131072,       /* transformers ignores biases that the engine would add */
       NB_HF_FIXED_EPSILON = 262144    /* no key has the norms' epsilon: it is 1e-5, LayerNorm's default in PyTorch */
};

typedef struct nb_hf_family {
    const char *model_type, *architecture;
    uint32_t flags;
    const nb_hf_pair *modules; /* of a layer, looked up before the usual ones; NULL: none */
    const nb_hf_key *keys;
} nb_hf_family;

extern const nb_hf_family nb_hf_families[]; /* ends with model_type = NULL */

/* Names of modules; each table ends with theirs = NULL. "*" is a number, of an expert or a head. Modules with such
 * numbers become one tensor, "ffn_gate.*" becomes ffn_gate_exps. Only experts of quantized folders stay one by one. */
extern const nb_hf_pair nb_hf_modules[], nb_hf_layer_modules[];

/* What names begin with: of modules; of a layer's modules, before its number; of tensors that are not needed. The
 * last one: what names of tensors that are not needed end with. Each list ends with NULL. */
extern const char *const nb_hf_prefixes[], *const nb_hf_layers[], *const nb_hf_needless_starts[],
                                                                      *const nb_hf_needless_ends[];

#endif
