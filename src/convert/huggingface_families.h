/* The names in Hugging Face's folders, and GGUF's names for the same. On the left are transformers' names (its
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
       NB_HF_PERMUTED_QK = 1,      /* GGUF permutes the rows of q and k (NB_AS_PERMUTED) */
       NB_HF_NORMS_LESS_ONE = 2,   /* norms are stored as weight - 1 */
       NB_HF_WINDOW_BY_PERIOD = 4, /* each n-th layer may lack the sliding window; elsewhere all have it, or none */
       NB_HF_WINDOW_EVERY_2ND = 8, /* every second layer below max_window_layers has the window */
       NB_HF_UNROTATED = 16,       /* there is no RoPE */
       NB_HF_PARTLY_ROTATED = 32,  /* partial_rotary_factor counts; in other families it must be 1, or is ignored */
       NB_HF_LONGROPE = 64,        /* RoPE may be scaled by two tensors of factors, and in no other way */
       NB_HF_EVERY_4TH_UNROTATED = 128, /* every fourth layer has no RoPE */
       NB_HF_FOUR_TIMES = 256,          /* by default the feed-forward network is four times as wide as the layers */
       NB_HF_CONV1D = 512,              /* matrices of layers are stored [in, out] */
       NB_HF_QKV_BY_GROUP = 1024,       /* rows of attn_qkv: for each key head its queries, the key, the value */
       NB_HF_MANY_KV_HEADS = 2048,      /* three keys together say how many key heads there are */
       NB_HF_ENCODER = 4096,
       NB_HF_POSITIONS_FROM_2 = 8192,  /* the first two rows of learned positions belong to no token */
       NB_HF_PADDED_POSITIONS = 16384, /* the rows up to padding's belong to no token, but count as positions */
       NB_HF_LINEAR_ROPE = 32768,      /* RoPE may be scaled linearly, and in no other way */
       NB_HF_TWO_ROPES = 65536,        /* rope_parameters has a set for layers with a window, and one for the others */
       NB_HF_NO_BIASES = 131072,       /* transformers ignores biases that the engine would add */
       NB_HF_FIXED_EPSILON = 262144,   /* no key has the norms' epsilon: it is 1e-5, LayerNorm's default in PyTorch */
       NB_HF_EVERY_4TH_FULL = 524288   /* without layer_types every fourth layer has no window; else every second */
};

typedef struct nb_hf_family {
    const char *model_type, *architecture;
    uint32_t flags;
    const nb_hf_pair *modules; /* modules of a layer that are looked up before the usual ones; or NULL */
    const nb_hf_key *keys;
} nb_hf_family;

extern const nb_hf_family nb_hf_families[]; /* ends with model_type = NULL */

/* Names of modules; each table ends with theirs = NULL. "*" is the number of an expert or a head. Modules that differ
 * in this number become one tensor: "ffn_gate.*" becomes ffn_gate_exps. Only in quantized folders each expert stays a
 * tensor of its own. */
extern const nb_hf_pair nb_hf_modules[], nb_hf_layer_modules[];

/* Lists that end with NULL. */
extern const char *const nb_hf_prefixes[];          /* names of modules may begin with one of these */
extern const char *const nb_hf_layers[];            /* what precedes the number of a layer */
extern const char *const nb_hf_unneeded_prefixes[]; /* names of tensors that are not needed begin so, */
extern const char *const nb_hf_unneeded_suffixes[]; /* or end so */

#endif
