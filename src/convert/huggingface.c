#include "huggingface.h"

#include "../base/writer.h"
#include "huggingface_config.h"
#include "huggingface_quantization.h"
#include "huggingface_tensors.h"
#include "sentence.h"
#include "tokenizer_json.h"

static int32_t refuse_model_type(nb_text type, nb_error *err) {
    char known[NB_LIST_BYTES];
    nb_writer w = nb_writer_over(known, sizeof known);
    for (const nb_hf_family *f = nb_hf_families; f->model_type; f++)
        nb_write(&w, f == nb_hf_families ? "%s" : ", %s", f->model_type);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED, "config.json: model_type \"%t\" is not supported; supported: %s", type,
                   known);
}

/* Finds the text model's config and family. */
static int32_t find_family(nb_hf_model *p, nb_error *err) {
    if (nb_node_first(p->config) != '{')
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "config.json is missing, or is not a JSON object: without it, nothing says what the tensors "
                       "are; get it from where the model came from");
    if (nb_node_first(nb_node_find(p->config, "text_config")) == '{') /* a model of texts and images */
        p->config = nb_node_find(p->config, "text_config");
    nb_text type = nb_node_raw(nb_node_find(p->config, "model_type"));
    if (!type.data)
        return NB_FAIL(err, NB_ERR_FORMAT, "config.json names no model_type; get it from where the model came from");
    for (const nb_hf_family *f = nb_hf_families; f->model_type && !p->family; f++)
        if (nb_text_is(type, f->model_type))
            p->family = f;
    return p->family ? NB_OK : refuse_model_type(type, err);
}

/* The chat template is a file of its own, or is in tokenizer_config.json: a string, or a list of templates with
 * names. */
static void compose_chat_template(nb_composer *x, const nb_folder *folder) {
    if (folder->chat_template.data) {
        nb_compose_string(x, "tokenizer.chat_template", folder->chat_template);
        return;
    }
    nb_node template = nb_node_find(folder->tokenizer_config, "chat_template");
    for (nb_members w = nb_members_of(template); nb_members_next(&w);)
        if (nb_node_is(nb_node_find(w.value, "name"), "default"))
            template = nb_node_find(w.value, "template");
    if (nb_node_raw(template).data)
        nb_compose_node(x, "tokenizer.chat_template", template);
}

/* Whether the files have the head of a reranker, and no modules of sentence-transformers in its place. A classifier of
 * single tokens has no pooler. */
static bool has_head(const nb_checkpoint *in, const nb_folder *folder) {
    return !folder->n_modules && (nb_checkpoint_find_tensor(in, "classifier.out_proj.weight") ||
                                  (nb_checkpoint_find_tensor(in, "classifier.weight") &&
                                   nb_checkpoint_find_tensor(in, "bert.pooler.dense.weight")));
}

int32_t nb_huggingface_plan(nb_plan *plan, const nb_folder *folder, nb_error *err) {
    nb_composer *x = &plan->composer;
    nb_hf_model p = {.plan = plan, .composer = x, .config = folder->config, .err = err};
    NB_TRY(find_family(&p, err));
    NB_TRY(nb_hf_read_quantization(plan, folder, err));
    p.tied = nb_hf_number(&p, "tie_word_embeddings", 0) != 0;
    if (p.config.at != folder->config.at) /* the output matrix belongs to the outer model */
        p.tied = nb_node_number(nb_node_find(folder->config, "tie_word_embeddings"), p.tied) != 0;
    p.has_head = has_head(&plan->in, folder);
    p.skipped_positions = nb_hf_skipped_positions(&p);
    p.embedding_columns = nb_hf_number(&p, "word_embed_proj_dim", 0);
    nb_compose_string(x, "nibble.source", nb_text_of(plan->recipe.for_file ? "GGUF" : "safetensors"));
    nb_compose_flag(x, "nibble.converted", true);
    NB_TRY(nb_hf_compose_config(&p));
    nb_sentence sentence;
    NB_TRY(nb_sentence_compose(&p, folder, &sentence));
    NB_TRY(nb_hf_place_tensors(&p, &sentence));
    const nb_tensor_info *embedding = nb_checkpoint_find_tensor(&plan->out, "token_embd.weight");
    nb_tokenizer_files files = {
        .tokenizer = folder->tokenizer,
        .config = folder->tokenizer_config,
        .special_map = folder->special_map,
        .added = folder->added,
        .model = p.config,
        .generation = folder->generation,
        .rows = embedding ? embedding->shape[1] : 0,
    };
    NB_TRY(nb_tokenizer_compose(x, &files, err));
    compose_chat_template(x, folder);
    return x->code;
}
