#include "text.h"

bool nb_text_is(nb_text a, const char *s) {
    return nb_text_equal(a, nb_text_of(s));
}

bool nb_text_ends(nb_text a, const char *s) {
    size_t n = nb_length(s);
    return a.size >= n && nb_compare(a.data + a.size - n, s, n) == 0;
}

bool nb_text_take(nb_text *text, const char *start) {
    size_t n = nb_length(start);
    if (text->size < n || nb_compare(text->data, start, n))
        return false;
    *text = (nb_text){text->data + n, text->size - n};
    return true;
}

bool nb_text_take_number(nb_text *text, uint32_t *number) {
    size_t n = 0;
    for (*number = 0; n < text->size && text->data[n] >= '0' && text->data[n] <= '9' && *number <= NB_MAX_NUMBER; n++)
        *number = *number * 10 + (uint32_t)(text->data[n] - '0');
    if (!n || *number > NB_MAX_NUMBER || (n > 1 && text->data[0] == '0'))
        return false;
    *text = (nb_text){text->data + n, text->size - n};
    return true;
}
