#include "families.h"

#include "../../base/writer.h"

const nb_family *const nb_families[] = {
    &nb_family_llama,      &nb_family_qwen2,           &nb_family_qwen3,    &nb_family_phi3,
    &nb_family_gemma,      &nb_family_gemma2,          &nb_family_gemma3,   &nb_family_gpt2,
    &nb_family_smollm3,    &nb_family_stablelm,        &nb_family_phi2,     &nb_family_gptneox,
    &nb_family_olmo2,      &nb_family_granite,         &nb_family_ernie4_5, &nb_family_falcon,
    &nb_family_qwen2moe,   &nb_family_qwen3moe,        &nb_family_deepseek, &nb_family_bert,
    &nb_family_nomic_bert, &nb_family_gemma_embedding, &nb_family_opt,      NULL,
};

const nb_family *nb_family_find(const nb_checkpoint *c, nb_error *err) {
    if (nb_checkpoint_refuse_companion(c, err) < 0)
        return NULL;
    nb_text name = nb_checkpoint_string(c, "general.architecture");
    if (!name.data)
        return NB_FAIL_NULL(err, NB_ERR_FORMAT, "the file does not name its architecture (general.architecture)");
    char known[NB_LIST_BYTES];
    nb_writer w = nb_writer_over(known, sizeof known);
    for (const nb_family *const *f = nb_families; *f; f++) {
        if (nb_text_is(name, (*f)->name))
            return *f;
        nb_write(&w, f == nb_families ? "%s" : ", %s", (*f)->name);
    }
    return NB_FAIL_NULL(err, NB_ERR_UNSUPPORTED, "architecture \"%t\" is not supported; supported: %s", name, known);
}
