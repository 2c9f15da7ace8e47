#include "hash.h"

enum { LANES = 4, STEP = LANES * 8 };

uint64_t nb_checksum(uint64_t sum, const void *bytes, size_t n) {
    const uint64_t prime = 0x100000001b3u;
    const uint8_t *p = bytes;
    uint64_t lanes[LANES], word;
    for (uint32_t i = 0; i < LANES; i++)
        lanes[i] = sum ^ (0xcbf29ce484222325u + i);
    for (; n >= STEP; n -= STEP)
        for (uint32_t i = 0; i < LANES; i++, p += sizeof word) {
            memcpy(&word, p, sizeof word);
            word = (lanes[i] ^ word) * prime;
            lanes[i] = word << 31 | word >> 33;
        }
    for (; n; n--)
        lanes[0] = (lanes[0] ^ *p++) * prime;
    for (uint32_t i = 0; i < LANES; i++) {
        sum = (sum ^ lanes[i]) * prime;
        sum ^= sum >> 32;
    }
    return sum;
}
