/* Composes a checkpoint: values and tensors, one after the other, as a GGUF file has them.
 *
 * The first failure stays in `code`, and nothing is written after it: ask once, at the end. */
#ifndef NB_COMPOSER_H
#define NB_COMPOSER_H

#include "../formats/checkpoint.h"
#include "json.h"

typedef struct nb_composer {
    nb_checkpoint *c;  /* its header is what is written */
    uint64_t capacity; /* of the header */
    int32_t code;
    nb_error *err;
} nb_composer;

/* llama.cpp reads a key only if its value has the type that it expects: U32, F32 or BOOL. nb_compose_number writes U32,
 * and F64 where the number is no U32, which the engine then refuses by its range. */
void nb_compose_number(nb_composer *x, const char *key, double value);
void nb_compose_whole(nb_composer *x, const char *key, uint32_t value);
void nb_compose_real(nb_composer *x, const char *key, double value);
void nb_compose_flag(nb_composer *x, const char *key, bool value);
void nb_compose_string(nb_composer *x, const char *key, nb_text value);
void nb_compose_node(nb_composer *x, const char *key, nb_node string); /* decoded */

/* Says why llama.cpp does not read the model, or computes otherwise than nibble: the first reason that is given stands
 * under this key, which `nibble quantize` shows. */
#define NB_ONLY_NIBBLE "nibble.only"
void nb_compose_only(nb_composer *x, const char *reason);

/* An array, and then its items one by one, before any other value. item_type: F32, U32, I32, U8 or STRING. */
void nb_compose_array(nb_composer *x, const char *key, uint32_t item_type);
void nb_compose_f32(nb_composer *x, float item);
void nb_compose_u32(nb_composer *x, uint32_t item);
void nb_compose_u8(nb_composer *x, uint8_t item);
/* A string item: both nodes decoded, with a space between them if there is a second. */
void nb_compose_item(nb_composer *x, nb_node first, nb_node second);
void nb_compose_text(nb_composer *x, nb_text item); /* as it is */

/* A tensor; name_at and name_size are set. The name is a JSON string, decoded, behind a prefix; or bytes as they
 * are. */
void nb_compose_tensor(nb_composer *x, nb_text prefix, nb_node name, nb_tensor_info info);
void nb_compose_named_tensor(nb_composer *x, nb_text name, nb_tensor_info info);

#endif
