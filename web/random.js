/**
 * Random numbers from a seed, the same on every device: they need only operations whose results are exact, or rounded
 * as IEEE 754 says. (Math.random has no seed, and Math.log and Math.cos may differ between engines.)
 */

/** Spreads the bits of a whole number: the last step of MurmurHash3. @param {number} x */
function mixed(x) {
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return (x ^ (x >>> 16)) >>> 0;
}

const rotated = (/** @type {number} */ x, /** @type {number} */ by) => (x << by) | (x >>> (32 - by));

/** xoshiro128** 1.1 (Blackman and Vigna 2018, "Scrambled linear pseudorandom number generators"). */
export class Random {
    /**
     * @param {number} seed a whole number below 2^32
     * @param {number} stream each stream is independent of the others
     */
    constructor(seed, stream) {
        const start = mixed(seed) ^ Math.imul(stream + 1, 0x9e3779b9);
        this.state = new Uint32Array([1, 2, 3, 4].map((i) => mixed(start + Math.imul(i, 0x6a09e667))));
        if (this.state.every((word) => word === 0)) this.state[0] = 1; // from zeros it would only give zeros
    }

    /** A whole number below 2^32. */
    next() {
        const s = this.state,
            result = Math.imul(rotated(Math.imul(s[1], 5), 7), 9) >>> 0,
            t = s[1] << 9;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = rotated(s[3], 11);
        return result;
    }

    /** A whole number below n; each is as likely as the others. @param {number} n */
    below(n) {
        const most = 2 ** 32 - (2 ** 32 % n);
        for (;;) {
            const x = this.next();
            if (x < most) return x % n;
        }
    }

    /** A number of the standard normal distribution, by Marsaglia's polar method (Marsaglia and Bray 1964). */
    normal() {
        for (;;) {
            const x = this.next() / 2 ** 31 - 1,
                y = this.next() / 2 ** 31 - 1,
                square = x * x + y * y;
            if (square > 0 && square < 1) return x * Math.sqrt((-2 * logarithm(square)) / square);
        }
    }
}

/**
 * The numbers below n in a random order (Fisher and Yates; Durstenfeld 1964).
 * @param {number} n
 * @param {Random} random
 */
export function permutation(n, random) {
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = n - 1; i > 0; i--) {
        const k = random.below(i + 1);
        [order[i], order[k]] = [order[k], order[i]];
    }
    return order;
}

/**
 * The natural logarithm: ln(2^e m) = e ln 2 + 2 atanh((m - 1) / (m + 1)), by the series of atanh for m within
 * sqrt(1/2) ... sqrt(2), where 12 terms are as exact as the numbers.
 * @param {number} x above 0
 */
export function logarithm(x) {
    let e = 0;
    for (; x < Math.SQRT1_2; e--) x *= 2;
    for (; x > Math.SQRT2; e++) x /= 2;
    const t = (x - 1) / (x + 1);
    let sum = 0;
    for (let k = 23; k > 0; k -= 2) sum = sum * t * t + 1 / k;
    return e * Math.LN2 + 2 * t * sum;
}

/**
 * A checksum of numbers of 32 bits: MurmurHash3 with the seed 0. It finds damage, but not
 * forgery.
 * @param {Uint32Array} words
 */
export function checksum(words) {
    let h = 0;
    for (let i = 0; i < words.length; i++) {
        const k = Math.imul(words[i], 0xcc9e2d51);
        h ^= Math.imul(rotated(k, 15), 0x1b873593);
        h = (Math.imul(rotated(h, 13), 5) + 0xe6546b64) | 0;
    }
    return mixed(h ^ (4 * words.length));
}

/**
 * Bytes as words, for checksum(); an incomplete word at the end is left out.
 * @param {Uint8Array | Int32Array} array
 */
export const wordsOf = ({ buffer, byteOffset, byteLength }) => new Uint32Array(buffer, byteOffset, byteLength >> 2);
