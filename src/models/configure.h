/* How a family reads what a GGUF file says of it. All of these read only keys that keys.c lists, and refuse what is
 * not finite or not in range by the key's name. Suffixes are what follows "<architecture>.". */
#ifndef NB_CONFIGURE_H
#define NB_CONFIGURE_H

#include "model.h"

/* All of the shape: what the family makes of the file, and whether tokens see those that follow. */
int32_t nb_model_configure_family(nb_model *model, nb_error *err);

/* Fills the shape with what most families share: sizes, heads, norms (root mean squares, or about the mean) and
 * RoPE. */
int32_t nb_model_configure(nb_model *model, nb_error *err);
int32_t nb_model_configure_layer_norm(nb_model *model, nb_error *err);

/* Which layers have no window; fallback: every so many-th. */
int32_t nb_model_configure_pattern(nb_model *model, uint32_t fallback, nb_error *err);

/* Layers with a window have a RoPE of their own, which is never scaled. base: of its frequencies, if
 * rope.freq_base_swa is absent. */
int32_t nb_model_configure_window_rope(nb_model *model, float base, nb_error *err);

#define NB_REQUIRED (__builtin_nan("")) /* as a fallback: the key must be there */
int32_t nb_model_float(const nb_model *model, const char *suffix, double fallback, double least, double most,
                       float *out, nb_error *err);
/* of RoPE */
int32_t nb_model_base(const nb_model *model, const char *suffix, float fallback, float *out, nb_error *err);
int32_t nb_model_size(const nb_model *model, const char *suffix, uint32_t *out, double fallback, uint32_t most,
                      nb_error *err); /* a whole number from 1 to most; fallback = 0: required */
int32_t nb_model_flag(const nb_model *model, const char *suffix, bool fallback, bool *out, nb_error *err);
int32_t nb_model_require(const nb_model *model, const char *suffix, nb_error *err);

#endif
