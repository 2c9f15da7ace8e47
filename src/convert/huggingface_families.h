/* The tables of huggingface.c and huggingface_config.c: what there is in Hugging Face's folders, and what GGUF calls it.
 * On the left are transformers' names (its configuration_*.py and modeling_*.py), on the right GGUF's;
 * tests/oracles/folder_mapping.py has the same in Python, checked with llama.cpp. */
#ifndef NB_HUGGINGFACE_FAMILIES_H
#define NB_HUGGINGFACE_FAMILIES_H

#include <stdint.h>

typedef struct nb_hf_pair {
    const char *theirs, *ours;
} nb_hf_pair;

enum { /* what is particular about a family */
    NB_HF_TURNED_BY_HALVES = 1,   /* GGUF's files of it have the rows of q and k permuted, these files do not */
    NB_HF_NORMS_LESS_ONE = 2,     /* norms are stored as weight - 1 */
    NB_HF_WINDOW = 4,             /* sliding_window counts, */
    NB_HF_WINDOW_IF_ASKED = 8,    /* but only with use_sliding_window, from layer max_window_layers on, */
    NB_HF_WINDOW_BY_PERIOD = 16,  /* and in all layers but every so many-th */
    NB_HF_UNROTATED = 32,         /* nothing is rotated */
    NB_HF_LONGROPE = 64,          /* its long RoPE is in two tensors of factors */
    NB_HF_EVERY_4TH_UNROTATED = 128,
    NB_HF_FOUR_TIMES = 256,       /* the feed-forward network is so much wider than the rest, if no key says */
    NB_HF_CONV1D = 512,           /* matrices of layers are stored [in, out] */
    NB_HF_QKV_BY_GROUP = 1024,    /* attn_qkv: the queries of a key, the key, the value, and so for each key */
    NB_HF_MANY_KV_HEADS = 2048,   /* how many key heads there are depends on three keys */
    NB_HF_ENCODER = 4096,
    NB_HF_POSITIONS_FROM_2 = 8192, /* of learned positions the first two rows are for none, */
    NB_HF_PADDED_POSITIONS = 16384 /* or those up to padding's own, and the context counts them */
};

typedef struct nb_hf_family {
    const char *model_type, *architecture;
    const char *activations;   /* any of these */
    uint32_t flags;
    const nb_hf_pair *modules; /* within a layer, before the usual ones; NULL: none */
    const char *defaults;      /* of keys that the class knows and files may leave out, as JSON */
    const char *required;      /* values that keys must have which are there, as JSON */
} nb_hf_family;

extern const nb_hf_family nb_hf_families[]; /* ends with model_type = NULL */

/* All of these end with theirs = NULL. Modules' names: "*" is a number, of an expert or a head; where ours has none,
 * what is so numbered becomes one tensor. */
extern const nb_hf_pair nb_hf_modules[], nb_hf_layer_modules[];

/* Keys of config.json, of which the first counts that is there; and of rope_parameters. */
extern const nb_hf_pair nb_hf_numbers[], nb_hf_rope_numbers[];

/* What names begin with: of modules; of a layer's, before its number; and of tensors that are not needed. And what
 * these end with. Each ends with NULL. */
extern const char *const nb_hf_prefixes[], *const nb_hf_layers[], *const nb_hf_needless_starts[],
    *const nb_hf_needless_ends[];

#endif
