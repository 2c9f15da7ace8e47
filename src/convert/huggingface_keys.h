/* Which keys of config.json count, family by family: all that transformers reads (tests/oracles/folder_keys.py notes
 * them as it runs), each heeded or bound to a value. Any other key is ignored, as transformers ignores it. */
#ifndef NB_HUGGINGFACE_KEYS_H
#define NB_HUGGINGFACE_KEYS_H

typedef struct nb_hf_key {
    const char *names;     /* "hidden_size n_embd": the first of these that is there counts */
    const char *otherwise; /* what the class takes where the file says nothing, as JSON; null: nothing */
    /* the number goes under these suffixes in GGUF; "": huggingface_config.c asks for it; NULL: */
    const char *ours;
    const char *must; /* neither, but it must have one of these values, as JSON, with a space between */
} nb_hf_key;          /* lists of them end with names = NULL */

/* The lists of each family, which stand in nb_hf_family; and what must hold in all of them. */
extern const nb_hf_key nb_hf_everywhere[], nb_hf_llama_keys[], nb_hf_mistral_keys[], nb_hf_mixtral_keys[],
    nb_hf_qwen2_keys[], nb_hf_qwen3_keys[], nb_hf_qwen2_moe_keys[], nb_hf_qwen3_moe_keys[], nb_hf_deepseek_keys[],
    nb_hf_smollm3_keys[], nb_hf_granite_keys[], nb_hf_olmo2_keys[], nb_hf_phi3_keys[], nb_hf_gemma_keys[],
    nb_hf_gemma2_keys[], nb_hf_gemma3_keys[], nb_hf_phi_keys[], nb_hf_stablelm_keys[], nb_hf_gpt_neox_keys[],
    nb_hf_falcon_keys[], nb_hf_gpt2_keys[], nb_hf_opt_keys[], nb_hf_bert_keys[], nb_hf_roberta_keys[],
    nb_hf_nomic_keys[];

/* Keys of rope_parameters: names, ours and must as above, by rope_type. */
typedef struct nb_hf_rope_type {
    const char *name;
    const nb_hf_key *keys;
} nb_hf_rope_type;
extern const nb_hf_rope_type nb_hf_rope_types[]; /* ends with name = NULL */

/* Keys that transformers reads and that change no number of what nibble computes, each list with the reason. A
 * family's own list goes first. */
typedef struct nb_hf_idle {
    const char *reason, *names;
} nb_hf_idle;
extern const nb_hf_idle nb_hf_idle_keys[]; /* ends with reason = NULL */

#endif
