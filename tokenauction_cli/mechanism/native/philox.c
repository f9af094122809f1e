/* Philox 4x64 with 10 rounds, as NumPy's generator of that name counts: the first number of a stream, for many streams.

   Source: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
*/
#include "passes.h"

static uint64_t multiplied(uint64_t a, uint64_t b, uint64_t *high) {
  unsigned __int128 product = (unsigned __int128)a * b;
  *high = (uint64_t)(product >> 64);
  return (uint64_t)product;
}

/* A number in [0, 1) of each stream, whose counter begins with 0, position, purpose and its own word. */
void pass_uniforms(const uint64_t *key, uint64_t position, uint64_t purpose, const uint64_t *words, size_t n,
                   double *uniforms) {
  for (size_t i = 0; i < n; i++) {
    uint64_t c[4] = {1, position, purpose, words[i]}, k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
      uint64_t high0, high1;
      uint64_t low0 = multiplied(0xD2E7470EE14C6C93, c[0], &high0), low1 = multiplied(0xCA5A826395121157, c[2], &high1);
      c[0] = high1 ^ c[1] ^ k0;
      c[1] = low1;
      c[2] = high0 ^ c[3] ^ k1;
      c[3] = low0;
      k0 += 0x9E3779B97F4A7C15;
      k1 += 0xBB67AE8584CAA73B;
    }
    uniforms[i] = (double)(c[0] >> 11) * (1.0 / 9007199254740992.0);
  }
}
