/* The keys of config.json, family by family: all that transformers reads (tests/oracles/folder_keys.py records them as
 * it runs). Each is either used, or must have a certain value. Any other key is ignored, as transformers does. */
#ifndef NB_HUGGINGFACE_KEYS_H
#define NB_HUGGINGFACE_KEYS_H

typedef struct nb_hf_key {
    const char *names;    /* "hidden_size n_embd": the first that the file has counts */
    const char *fallback; /* the default of transformers' class, as JSON; null: there is none */
    const char *ours; /* the number is written under these suffixes; "": huggingface_config.c reads it; NULL: must */
    const char *must; /* the values that it may have, as JSON, with spaces between; NULL: any */
} nb_hf_key;          /* lists of them end with names = NULL */

/* The list for all families, and the lists of each (nb_hf_family). */
extern const nb_hf_key nb_hf_everywhere[], nb_hf_llama_keys[], nb_hf_mistral_keys[], nb_hf_mixtral_keys[],
    nb_hf_qwen2_keys[], nb_hf_qwen3_keys[], nb_hf_qwen2_moe_keys[], nb_hf_qwen3_moe_keys[], nb_hf_deepseek_keys[],
    nb_hf_smollm3_keys[], nb_hf_granite_keys[], nb_hf_ernie4_5_keys[], nb_hf_olmo2_keys[], nb_hf_olmo3_keys[],
    nb_hf_phi3_keys[], nb_hf_gemma_keys[], nb_hf_gemma2_keys[], nb_hf_gemma3_keys[], nb_hf_phi_keys[],
    nb_hf_stablelm_keys[], nb_hf_gpt_neox_keys[], nb_hf_falcon_keys[], nb_hf_gpt2_keys[], nb_hf_opt_keys[],
    nb_hf_bert_keys[], nb_hf_roberta_keys[], nb_hf_nomic_keys[];

/* The keys of rope_parameters by rope_type. */
typedef struct nb_hf_rope_type {
    const char *name;
    const nb_hf_key *keys;
} nb_hf_rope_type;
extern const nb_hf_rope_type nb_hf_rope_types[]; /* ends with name = NULL */

/* Keys that transformers reads but that do not change what nibble computes, with the reasons. A family's own list
 * takes precedence. */
typedef struct nb_hf_idle {
    const char *reason, *names;
} nb_hf_idle;
extern const nb_hf_idle nb_hf_idle_keys[]; /* ends with reason = NULL */

#endif
