/* How byte-level BPE spells bytes in the names of its tokens. */
#ifndef NB_BYTE_LEVEL_H
#define NB_BYTE_LEVEL_H

#include <stdint.h>

/* Byte-level BPE writes each byte as a printable character (Radford et al. 2019; GPT-2's bytes_to_unicode). */
uint32_t nb_byte_character(uint8_t byte);
int32_t nb_character_byte(uint32_t codepoint); /* -1: stands for no byte */

#endif
