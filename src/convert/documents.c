#include "documents.h"

#include "../base/memory.h"
#include "huggingface.h"
#include "peft.h"
#include "sentencepiece.h"

enum {
    CONFIG,
    GENERATION,
    TOKENIZER,
    TOKENIZER_CONFIG,
    SPECIAL_MAP,
    ADDED_TOKENS,
    MODULE_LIST,
    SENTENCE,
    TRANSFORMER,
    QUANTIZE_CONFIG,
    QUANT_CONFIG,
    CHAT_TEMPLATE,
    TOKENIZER_MODEL,
    ADAPTER_CONFIG,
    MODULES
};
_Static_assert(MODULES == NB_NAMED_DOCUMENTS, "each name has a number");
static const char *const names[MODULES] = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "modules.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    "quantize_config.json",
    "quant_config.json",
    "chat_template.jinja",
    "tokenizer.model",
    "adapter_config.json",
};

void nb_documents_free(nb_documents *d) {
    for (int i = 0; i < NB_DOCUMENTS; i++)
        nb_free(d->items[i].bytes);
    *d = (nb_documents){0};
}

nb_text nb_folder_of(nb_text name) {
    size_t n = 0;
    for (size_t i = 0; i < name.size; i++)
        n = name.data[i] == '/' ? i + 1 : n;
    return (nb_text){name.data, n};
}

int32_t nb_documents_kind(const nb_documents *d, nb_text name) {
    nb_text folder = nb_folder_of(name);
    for (int32_t kind = 0; kind < MODULES; kind++)
        if (nb_text_is(name, names[kind]))
            return kind;
    bool module = folder.size && nb_text_is((nb_text){name.data + folder.size, name.size - folder.size}, "config.json");
    if (!module || folder.size > sizeof d->items->folder)
        return NB_DOCUMENTS;
    folder.size--; /* without the slash */
    int32_t kind = MODULES;
    while (kind < NB_DOCUMENTS - 1 && d->items[kind].bytes && !nb_text_equal(nb_text_of(d->items[kind].folder), folder))
        kind++;
    return kind;
}

// NOLINTNEXTLINE(readability-non-const-parameter): bytes are kept, and freed with the documents
void nb_documents_keep(nb_documents *d, int32_t kind, nb_text name, uint8_t *bytes, size_t size) {
    nb_text folder = nb_folder_of(name);
    d->items[kind] = (nb_document){.bytes = bytes, .size = size};
    if (folder.size)
        memcpy(d->items[kind].folder, folder.data, folder.size - 1);
}

/* If the folder has sentencepiece's tokenizer.model but no tokenizer.json, makes the tokenizer.json from it. */
static int32_t read_sentencepiece(nb_documents *d, nb_node *nodes, nb_error *err) {
    nb_document *model = &d->items[TOKENIZER_MODEL], *json = &d->items[TOKENIZER];
    if (!model->bytes || json->bytes)
        return NB_OK;
    NB_TRY(nb_sentencepiece_json(model->bytes, model->size, nodes[TOKENIZER_CONFIG], nodes[CONFIG], &json->bytes,
                                 &json->size, err));
    return nb_json_check(json->bytes, json->size, "tokenizer.model", &nodes[TOKENIZER], err);
}

int32_t nb_documents_plan(nb_documents *d, nb_plan *plan, nb_error *err) {
    nb_node nodes[NB_DOCUMENTS] = {0};
    for (int i = 0; i < NB_DOCUMENTS; i++)
        if (d->items[i].bytes && i != CHAT_TEMPLATE && i != TOKENIZER_MODEL)
            NB_TRY(nb_json_check(d->items[i].bytes, d->items[i].size, i < MODULES ? names[i] : d->items[i].folder,
                                 &nodes[i], err));
    if (plan->adapted)
        return nb_peft_plan(plan, nodes[ADAPTER_CONFIG], err);
    bool has_json = d->items[TOKENIZER].bytes != NULL;
    NB_TRY(read_sentencepiece(d, nodes, err));
    const nb_document *template = &d->items[CHAT_TEMPLATE];
    nb_folder folder = {
        .config = nodes[CONFIG],
        .generation = nodes[GENERATION],
        .tokenizer = nodes[TOKENIZER],
        .tokenizer_config = nodes[TOKENIZER_CONFIG],
        .quantize_config = nodes[QUANTIZE_CONFIG],
        .quant_config = nodes[QUANT_CONFIG],
        .special_map = nodes[SPECIAL_MAP],
        .added = has_json ? (nb_node){0} : nodes[ADDED_TOKENS],
        .module_list = nodes[MODULE_LIST],
        .sentence = nodes[SENTENCE],
        .transformer = nodes[TRANSFORMER],
        .chat_template = {(char *)template->bytes, template->size},
    };
    for (int i = MODULES; i < NB_DOCUMENTS && nodes[i].at; i++)
        folder.modules[folder.n_modules++] = (nb_module){nb_text_of(d->items[i].folder), nodes[i]};
    return nb_huggingface_plan(plan, &folder, err);
}
