/* LoRA adapters (Hu et al. 2021): products of two narrow matrices that are added to those of a model's matrices. The
 * model's weights stay as they are. With several adapters of scales s,
 *
 *     y = x W^T + sum over adapters of s alpha / rank x A^T B^T          A: [rank, columns], B: [rows, rank]
 *
 * A file is a GGUF of llama.cpp's convert_lora_to_gguf.py: general.type "adapter", adapter.type "lora", alpha in
 * adapter.lora.alpha, and the tensors NAME.lora_a and NAME.lora_b for some matrices NAME of the model's layers or its
 * output. Without an alpha the factor is s alone. */
#ifndef NB_ADAPTER_H
#define NB_ADAPTER_H

#include "session.h"

/* Adds the products of the session's adapters to those of a matrix. x: [n, columns], in the order of the file's
 * columns. */
void nb_adapters_add(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *job);

/* Adds the session's adapters and their scales to a checksum. */
uint64_t nb_adapters_sum(const nb_session *s, uint64_t sum);

#endif
