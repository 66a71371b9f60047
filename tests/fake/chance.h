/* chance: random numbers from a seed, the same everywhere; stands on nothing. */
#ifndef TEST_CHANCE_H
#define TEST_CHANCE_H

#include <stddef.h>
#include <stdint.h>

uint64_t fake_mix(uint64_t x); /* splitmix64's finisher: a hash of one number */
uint64_t fake_hash(uint64_t h, const void *p, size_t n);
uint64_t fake_next(uint64_t *state);
uint64_t fake_below(uint64_t *state, uint64_t n);

#endif
