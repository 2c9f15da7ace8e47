/* Random numbers that are a function of a seed and a place, so that threads share no state: SplitMix64 (Steele, Lea and
 * Flood 2014). */
#ifndef NB_RANDOM_BITS_H
#define NB_RANDOM_BITS_H

#include <stdint.h>

static inline uint64_t nb_random_bits(uint64_t seed, uint64_t place) {
    uint64_t z = seed + (place + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* 24 random bits as a fraction in [0, 1). */
static inline double nb_random_fraction(uint64_t seed, uint64_t place) {
    return (double)(nb_random_bits(seed, place) >> 40) * 0x1p-24;
}

#endif
