/* Hashes: for tables with open addressing, and a checksum of large memory. */
#ifndef NB_HASH_H
#define NB_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* FNV-1a (Fowler, Noll, Vo). hash: the start value, or the hash of the bytes that come before these. So the hash of a
 * prefix can be continued. */
static inline uint32_t nb_hash(uint32_t hash, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x01000193u;
    return hash;
}

/* A malicious file can give all its names or pairs the same hash. Each look-up would then walk through all of them.
 * So code that fills a table from a file counts its probes: the slots that it looks at. If there are too many
 * (nb_most_probes), it starts again with the next seed, or gives up. */
enum { NB_HASH_SEEDS = 8 };

static inline uint64_t nb_hash_seed(uint32_t i) { /* odd; the first is 2^64 / phi */
    return 0x9e3779b97f4a7c15u + i * 0x6a09e667f3bcc908u;
}

static inline uint64_t nb_most_probes(uint64_t n) { /* for n entries; about 1.5 for each are usual */
    return 32 * n + 1024;
}

/* Two numbers as one key. Each is -1 or more, but not both are -1, so the key is never 0. */
static inline uint64_t nb_pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)(left + 1) << 32 | (uint32_t)(right + 1);
}

/* Multiplicative hashing (Knuth, The Art of Computer Programming, section 6.4). seed: nb_hash_seed. */
static inline uint32_t nb_pair_hash(uint64_t pair, uint64_t seed) {
    return (uint32_t)((pair * seed) >> 32);
}

/* As FNV-1a, over words of 64 bits, with a rotation: a product moves no bit down, so without it two changes of highest
 * bits would cancel each other. A core computes the four lanes at the same time. sum: 0, or the checksum of what comes
 * before these bytes. Each step is one to one, so a change of one word always changes the result. It finds damage; it
 * does not stop those who want the same sum. */
uint64_t nb_checksum(uint64_t sum, const void *bytes, size_t n);

#endif
