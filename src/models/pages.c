#include "pages.h"

#include "../base/numbers.h"

static uint32_t take(nb_session *s) {
    while (s->page_users[s->free_page])
        s->free_page++;
    s->page_users[s->free_page] = 1;
    return s->free_page++;
}

static void give_back(nb_session *s, uint32_t page) {
    if (!--s->page_users[page])
        s->free_page = NB_MIN(s->free_page, page);
}

static void copy(nb_session *s, uint32_t to, uint32_t from) {
    uint32_t heads = s->model->shape.kv_heads * (s->walks ? 1 : s->model->shape.layers);
    for (uint32_t head = 0; head < heads; head++)
        memcpy(s->tiles + nb_cache_tile_at(&s->cache, s->n_pages, head, to),
               s->tiles + nb_cache_tile_at(&s->cache, s->n_pages, head, from), s->cache.tile_bytes);
}

void nb_pages_write(nb_session *s, nb_sequence *q, uint32_t first, uint32_t end) {
    while (q->n_pages < nb_cache_tiles(end))
        q->pages[q->n_pages++] = take(s);
    for (uint32_t i = first / NB_CACHE_TILE; i < nb_cache_tiles(end); i++) {
        uint32_t shared = q->pages[i];
        if (s->page_users[shared] == 1)
            continue;
        q->pages[i] = take(s);
        copy(s, q->pages[i], shared);
        give_back(s, shared);
    }
}

void nb_pages_cut(nb_session *s, nb_sequence *q, uint32_t n) {
    while (q->n_pages > nb_cache_tiles(n))
        give_back(s, q->pages[--q->n_pages]);
}

void nb_pages_share(nb_session *s, nb_sequence *to, const nb_sequence *from, uint32_t n) {
    nb_pages_cut(s, to, 0);
    for (; to->n_pages < nb_cache_tiles(n); to->n_pages++) {
        to->pages[to->n_pages] = from->pages[to->n_pages];
        s->page_users[from->pages[to->n_pages]]++;
    }
    memcpy(to->tokens, from->tokens, n * sizeof *to->tokens);
    to->n_adapters = from->n_adapters;
    for (uint32_t i = 0; i < from->n_adapters; i++) {
        to->adapters[i] = from->adapters[i];
        to->adapter_scales[i] = from->adapter_scales[i];
    }
}
