/* The rules are those of transformers 5.23: models/auto/tokenization_auto.py chooses the class, and the class's
 * __init__ builds the tokenizer. tests/oracles/tokenizer_config.py records what it does. */
#include "tokenizer_class.h"

/* The classes that are registered for types of models. "": one that takes tokenizer.json as it is. */
static const struct {
    const char *model_type, *class;
} registered[] = {
    {"bert", "BertTokenizer"},
    {"nomic_bert", "BertTokenizer"},
    {"roberta", "RobertaTokenizer"},
    {"xlm-roberta", "XLMRobertaTokenizer"},
    {"gpt2", "GPT2Tokenizer"},
    {"phi", "GPT2Tokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"qwen2", "Qwen2Tokenizer"},
    {"qwen2_moe", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},
    {"qwen3_moe", "Qwen2Tokenizer"},
    {"gemma", "GemmaTokenizer"},
    {"gemma2", "GemmaTokenizer"},
    {"gemma3", "GemmaTokenizer"},
    {"gemma3_text", "GemmaTokenizer"},
    {"gpt_neox", "GPTNeoXTokenizer"},
    {"mistral", ""},
    {"mixtral", ""},
    {"phi3", ""},
    {"stablelm", ""},
    {"olmo2", ""},
    {"olmo3", ""},
    {"granite", ""},
    {"ernie4_5", ""},
};

static const struct {
    const char *name;
    int kind;
    bool prefix_space;
    int32_t unknown;
} classes[] = {
    {"BertTokenizer", NB_TOKENIZER_BERT, false, -1},          {"GPT2Tokenizer", NB_TOKENIZER_BYTE_LEVEL, false, -1},
    {"RobertaTokenizer", NB_TOKENIZER_BYTE_LEVEL, false, -1}, {"LlamaTokenizer", NB_TOKENIZER_LLAMA, true, -1},
    {"XLMRobertaTokenizer", NB_TOKENIZER_UNIGRAM, true, 3},   {"T5Tokenizer", NB_TOKENIZER_UNIGRAM, true, 2},
};

enum { REGISTERED = sizeof registered / sizeof *registered, CLASSES = sizeof classes / sizeof *classes };

/* The name of a class without "Fast", which means nothing any more; empty if there is none. */
static nb_text class_name(nb_node holder) {
    nb_text name = nb_node_raw(nb_node_find(holder, "tokenizer_class"));
    if (name.data && nb_text_ends(name, "Fast"))
        name.size -= 4;
    return name;
}

static nb_text chosen(nb_node tokenizer_config, nb_node config) {
    nb_text own = class_name(tokenizer_config), type = nb_node_raw(nb_node_find(config, "model_type")), ours = {0};
    if (!own.data)
        own = class_name(config);
    for (int i = 0; type.data && i < REGISTERED; i++)
        if (nb_text_is(type, registered[i].model_type))
            ours = nb_text_of(registered[i].class);
    bool takes_file = ours.data && !ours.size, known_wrong = type.data && nb_text_is(type, "qwen2");
    return takes_file && own.data ? (nb_text){0} : own.data && !(known_wrong && ours.data) ? own : ours;
}

nb_tokenizer_class nb_tokenizer_class_of(nb_node tokenizer_config, nb_node config) {
    nb_tokenizer_class out = {.kind = NB_TOKENIZER_FILE, .unknown = -1};
    nb_text name = chosen(tokenizer_config, config);
    for (int i = 0; name.data && i < CLASSES; i++)
        if (nb_text_is(name, classes[i].name)) {
            out.kind = classes[i].kind;
            out.unknown = classes[i].unknown;
            out.prefix_space = nb_node_is_set(tokenizer_config, "add_prefix_space", classes[i].prefix_space);
        }
    if (name.data && nb_text_is(name, "T5Tokenizer"))
        out.prefix_space = true;
    out.lower = nb_node_is_set(tokenizer_config, "do_lower_case", true);
    out.strip_accents = nb_node_is_set(tokenizer_config, "strip_accents", out.lower);
    out.space_chinese = nb_node_is_set(tokenizer_config, "tokenize_chinese_chars", true);
    out.legacy = nb_node_is_set(tokenizer_config, "legacy", false);
    return out;
}
