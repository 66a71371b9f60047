/* chance: see chance.h. splitmix64 (Steele, Lea, Flood, 2014). */
#include "chance.h"

uint64_t fake_mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t fake_hash(uint64_t h, const void *p, size_t n) {
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return fake_mix(h ^ n);
}

uint64_t fake_next(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    return fake_mix(*state);
}

uint64_t fake_below(uint64_t *state, uint64_t n) {
    return n ? fake_next(state) % n : 0;
}
