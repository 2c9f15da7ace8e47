#include "quotes.h"

/* Whether the token's name is only text within a quote of this kind. */
static bool is_plain(const nb_encode_call *e, int32_t token, uint32_t kind) {
    if (e->tokenizer->tokens[token].type != NB_TOKEN_USER_DEFINED)
        return true;
    for (size_t i = 0; i < e->n_plain; i++)
        if (e->plain[i].token == token && kind < 32 && e->plain[i].kinds >> kind & 1)
            return true;
    return false;
}

size_t nb_quote_after(const nb_encode_call *e, size_t from) {
    size_t low = 0, high = e->n_quotes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (e->quotes[middle].to <= from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool nb_is_quoted(const nb_encode_call *e, size_t from, size_t to, int32_t token) {
    for (size_t i = nb_quote_after(e, from); i < e->n_quotes && e->quotes[i].from < to; i++)
        if (is_plain(e, token, e->quotes[i].kind))
            return true;
    return false;
}
