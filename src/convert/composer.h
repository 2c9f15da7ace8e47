/* Composes a checkpoint: adds values and tensors one by one, in GGUF's binary form.
 *
 * The first failure stays in `code`, and nothing is written after it. So it is enough to check `code` at the end. */
#ifndef NB_COMPOSER_H
#define NB_COMPOSER_H

#include "../formats/checkpoint.h"
#include "json.h"

typedef struct nb_composer {
    nb_checkpoint *c;  /* all is written to its header */
    uint64_t capacity; /* of the header */
    int32_t code;
    nb_error *err;
} nb_composer;

/* llama.cpp reads a key only if its value has the type that it expects: U32, F32 or BOOL. nb_compose_number writes U32,
 * or F64 if the number does not fit; the engine then refuses it as out of range. */
void nb_compose_number(nb_composer *x, const char *key, double value);
void nb_compose_whole(nb_composer *x, const char *key, uint32_t value);
void nb_compose_real(nb_composer *x, const char *key, double value);
void nb_compose_flag(nb_composer *x, const char *key, bool value);
void nb_compose_string(nb_composer *x, const char *key, nb_text value);
void nb_compose_node(nb_composer *x, const char *key, nb_node string); /* decoded */

/* Notes why llama.cpp cannot read the model, or computes something else than nibble. The first reason is written under
 * this key, and `nibble quantize` shows it. */
#define NB_ONLY_NIBBLE "nibble.only"
void nb_compose_only_nibble(nb_composer *x, const char *reason);

/* Begins an array. Its items follow one by one, before any other value. item_type: F32, U32, I32, U8 or STRING. */
void nb_compose_array(nb_composer *x, const char *key, uint32_t item_type);
void nb_compose_f32(nb_composer *x, float item);
void nb_compose_u32(nb_composer *x, uint32_t item);
void nb_compose_u8(nb_composer *x, uint8_t item);
/* A string: the decoded first node, and if there is a second, a space and that. */
void nb_compose_item(nb_composer *x, nb_node first, nb_node second);
void nb_compose_text(nb_composer *x, nb_text item); /* as it is */

/* Adds a tensor and sets its name_at and name_size. The name is a prefix and a JSON string that is decoded; or bytes as
 * they are. */
void nb_compose_tensor(nb_composer *x, nb_text prefix, nb_node name, nb_tensor_info info);
void nb_compose_named_tensor(nb_composer *x, nb_text name, nb_tensor_info info);

#endif
