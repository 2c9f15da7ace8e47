/* UTF-8, classes of characters, and normalization of single characters. */
#ifndef NB_UNICODE_H
#define NB_UNICODE_H

#include <stddef.h>
#include <stdint.h>

/* Unicode's general categories, as far as the code tells them apart. A character with the property White_Space is
 * NB_CLASS_SPACE, whatever its category is. */
enum {
    NB_CLASS_OTHER,   /* unassigned, surrogates */
    NB_CLASS_CONTROL, /* Cc, Cf, Co */
    NB_CLASS_UPPER,   /* Lu, Lt */
    NB_CLASS_LOWER,
    NB_CLASS_LETTER /* Lm, Lo */,
    NB_CLASS_DIGIT,
    NB_CLASS_NUMBER /* Nl, No */,
    NB_CLASS_NONSPACING,
    NB_CLASS_MARK /* Mc, Me */,
    NB_CLASS_PUNCTUATION,
    NB_CLASS_SYMBOL,
    NB_CLASS_SPACE,
    NB_CLASSES
};

/* Sets of classes. */
enum {
    NB_LETTERS = 1 << NB_CLASS_UPPER | 1 << NB_CLASS_LOWER | 1 << NB_CLASS_LETTER,
    NB_NUMBERS = 1 << NB_CLASS_DIGIT | 1 << NB_CLASS_NUMBER,
    NB_MARKS = 1 << NB_CLASS_NONSPACING | 1 << NB_CLASS_MARK,
    NB_PUNCTUATION = 1 << NB_CLASS_PUNCTUATION,
    NB_SYMBOLS = 1 << NB_CLASS_SYMBOL,
    NB_SPACES = 1 << NB_CLASS_SPACE
};

enum { NB_REPLACEMENT = 0xfffd, NB_CODEPOINTS = 0x110000, NB_UNICODE_BLOCK = 128 };

/* The classes, expanded so that two loads give each of them. If all characters of a block have one class, `blocks`
 * holds it. Else `blocks` holds NB_CLASSES + the block's place in `mixed`. */
typedef struct nb_unicode {
    uint16_t blocks[NB_CODEPOINTS / NB_UNICODE_BLOCK];
    uint8_t mixed[][NB_UNICODE_BLOCK];
} nb_unicode;

size_t nb_unicode_bytes(void);         /* of an nb_unicode: about 48 KB */
void nb_unicode_expand(nb_unicode *u); /* zeroed memory -> classes */

static inline uint32_t nb_unicode_class(const nb_unicode *u, uint32_t codepoint) {
    uint32_t block = u->blocks[codepoint / NB_UNICODE_BLOCK];
    return block < NB_CLASSES ? block : u->mixed[block - NB_CLASSES][codepoint % NB_UNICODE_BLOCK];
}

/* Lower case, canonical decompositions and combining classes (The Unicode Standard, section 3.11). */
typedef struct nb_mapping {
    uint32_t from, to; /* in ascending order of from */
} nb_mapping;

typedef struct nb_decomposition {
    uint32_t from, first, second; /* second: 0 if there is none; with NB_COMPOSED if NFC composes the pair again */
} nb_decomposition;

typedef struct nb_combining_run {
    uint32_t first, count, class;
} nb_combining_run;

typedef struct nb_mappings {
    nb_mapping *lower;
    nb_decomposition *decompositions;
    nb_combining_run *combining;
    uint16_t *composed; /* hash table of the pairs that are composed: number of the decomposition + 1 */
} nb_mappings;

enum { NB_MAX_DECOMPOSED = 4 };

size_t nb_mappings_bytes(void); /* of an nb_mappings and its tables: about 60 KB */
nb_mappings *nb_mappings_expand(void *zeroed_memory);
uint32_t nb_lower_case(const nb_mappings *m, uint32_t codepoint);
/* Writes the full canonical decomposition, at most NB_MAX_DECOMPOSED code points, and returns how many. For a character
 * without one it writes the character. */
uint32_t nb_decompose(const nb_mappings *m, uint32_t codepoint, uint32_t *out);
uint32_t nb_compose_pair(const nb_mappings *m, uint32_t first, uint32_t second); /* 0: they are not composed */
uint32_t nb_combining_class(const nb_mappings *m, uint32_t codepoint);

/* How a UTF-8 sequence goes on after its first byte (RFC 3629, section 4): it has `length` bytes in all (0: the byte
 * starts no sequence), the second is within low ... high, and the others are within 80 ... bf. */
typedef struct nb_utf8_lead {
    uint8_t length, low, high;
} nb_utf8_lead;

nb_utf8_lead nb_utf8_lead_of(uint8_t byte);

/* The length of the longest prefix of s[n], n >= 1, that is a UTF-8 sequence or the start of one. It is at least 1:
 * an invalid lead byte stands alone. *complete: whether it is a whole sequence. If not, Unicode calls it a maximal
 * subpart (The Unicode Standard, section 3.9: "U+FFFD Substitution of Maximal Subparts"). */
size_t nb_utf8_prefix(const uint8_t *s, size_t n, int *complete);

/* The code point at the beginning of s[n], n >= 1, and its length. A byte that starts no whole sequence is one
 * U+FFFD. */
uint32_t nb_utf8_decode(const uint8_t *s, size_t n, size_t *length);

/* Writes at most 4 bytes, returns how many. */
size_t nb_utf8_encode(uint32_t codepoint, uint8_t *out);

#endif
