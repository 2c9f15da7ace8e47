/* How a family reads its hyper-parameters from a GGUF file. All functions read only keys that keys.c lists, and refuse
 * numbers that are not finite or out of range, with the key's name. A suffix is what follows "<architecture>.". */
#ifndef NB_CONFIGURE_H
#define NB_CONFIGURE_H

#include "model.h"

/* Fills the whole shape: by the family's configure, and by what the file says about causal attention. */
int32_t nb_model_configure_family(nb_model *model, nb_error *err);

/* Fills the shape with what most families share: sizes, heads, norms (RMS norm, or layer norm) and RoPE. */
int32_t nb_model_configure(nb_model *model, nb_error *err);
int32_t nb_model_configure_layer_norm(nb_model *model, nb_error *err);

/* Which layers have no window. fallback: window_period, if the file does not say. */
int32_t nb_model_configure_pattern(nb_model *model, uint32_t fallback, nb_error *err);

/* Layers with a window have a RoPE of their own, which is never scaled. base: of its frequencies, if
 * rope.freq_base_swa is absent. */
int32_t nb_model_configure_window_rope(nb_model *model, float base, nb_error *err);

#define NB_REQUIRED (__builtin_nan("")) /* as a fallback: the key must be there */
int32_t nb_model_float(const nb_model *model, const char *suffix, double fallback, double least, double most,
                       float *out, nb_error *err);
/* the base of RoPE's frequencies */
int32_t nb_model_base(const nb_model *model, const char *suffix, float fallback, float *out, nb_error *err);
int32_t nb_model_size(const nb_model *model, const char *suffix, uint32_t *out, double fallback, uint32_t most,
                      nb_error *err); /* a whole number from 1 to most; fallback = 0: required */
int32_t nb_model_flag(const nb_model *model, const char *suffix, bool fallback, bool *out, nb_error *err);
int32_t nb_model_require(const nb_model *model, const char *suffix, nb_error *err);

#endif
