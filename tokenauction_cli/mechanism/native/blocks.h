/* What passes are made of: loops over a block of BLOCK tokens, written for compilers to make vectors of.

   Work goes block by block, so that what one loop writes the next one finds in the nearest cache. Sums are kept in
   LANES parts, in the same order on every processor; where one fuses a multiplication with an addition, last digits
   differ from where none does.
*/
#ifndef BLOCKS_H
#define BLOCKS_H

#include "exponential.h"
#include "passes.h"

#include <math.h>
#include <string.h>

#define BLOCK 256
#define LANES 8
#define NEXT_TO_NOTHING 1e-290 /* a probability whose logarithm means nothing any more */
#define FEW_AGENTS 2 /* whose cross entropies are worked out once; of more, divergences are summed for each q */
#define RULED_OUT -1e300 /* the logit -inf, as a number: times 0 it is 0 */
#define SMALLEST_CONSTANT 1e-90 /* below it, what is next to nothing would be a part of the pool that counts */

#define EACH(t) for (size_t t = 0; t < BLOCK; t++)

/* log x within an ulp for normal x > 0, by 2 atanh(f / (2 + f)) of the mantissa 1 + f in [sqrt 1/2, sqrt 2) */
INLINE double logarithm(double x) {
  int64_t exponent = (bits_of(x) - 0x3fe6a09e667f3bcdLL) & (int64_t)0xfff0000000000000LL;
  double f = from_bits(bits_of(x) - exponent) - 1.0;
  /* the signed exponent as a double, by the low bits of 2^52 + 2^11 + exponent */
  double k = from_bits((int64_t)((((uint64_t)exponent >> 52) ^ 0x800) + 0x4330000000000000ULL)) - 4503599627372544.0;
  double s = f / (f + 2.0), z = s * s;
  double r = 1.0 / 19.0;
  r = r * z + 1.0 / 17.0;
  r = r * z + 1.0 / 15.0;
  r = r * z + 1.0 / 13.0;
  r = r * z + 1.0 / 11.0;
  r = r * z + 1.0 / 9.0;
  r = r * z + 1.0 / 7.0;
  r = r * z + 1.0 / 5.0;
  r = r * z + 1.0 / 3.0;
  r = 2.0 * z * r; /* log(1 + f) = s (2 + r) = f - s (f - r) */
  return k * 6.93147180369123816490e-01 + (f - (s * (f - r) - k * 1.90821492927058770002e-10));
}

/* e^(rate x_t) of one block; what is below e^-708 is 0, what is above e^708 stays there. Three loops: in one, compilers
   work out the limits beside everything else. */
INLINE void exponentials(const double *x, double rate, double *block) {
  EACH(t) block[t] = rate * x[t] < -708.0 ? -708.0 : rate * x[t];
  EACH(t) block[t] = block[t] > 708.0 ? 708.0 : block[t];
  EACH(t) block[t] = block[t] > -708.0 ? exponential(block[t]) : 0.0;
}

INLINE double positive(double x) { return x > 0 ? x : 0; }

/* A divergence, infinite where it sums a logit of -inf. */
INLINE double divergence(double x) { return x > RULED_OUT * -1e-200 ? INFINITY : positive(x); }

INLINE size_t blocks_of(size_t n_tokens) { return (n_tokens + BLOCK - 1) / BLOCK; }

/* How far rows of p lie apart: an odd number of blocks, so that blocks of many rows do not share places of a cache. */
INLINE size_t stride_of(size_t n_tokens) { return (blocks_of(n_tokens) | 1) * BLOCK; }

/* What stands behind the last token is 0, in the last block of a row. */
INLINE void clear_rest(double *block, size_t n_tokens) {
  size_t n_left = n_tokens - (blocks_of(n_tokens) - 1) * BLOCK;
  memset(block + n_left, 0, (BLOCK - n_left) * sizeof *block);
}

INLINE double minus(float x, double origin) { return x == -INFINITY ? RULED_OUT : x - origin; }

/* x_t - origin of one block of logits; 0 behind the last token. */
INLINE void shifted(const float *row, size_t b, size_t n_tokens, double origin, double *block) {
  const float *x = row + b * BLOCK;
  size_t n_left = n_tokens - b * BLOCK;
  if (n_left >= BLOCK) EACH(t) block[t] = minus(x[t], origin);
  else EACH(t) block[t] = t < n_left ? minus(x[t], origin) : 0.0;
}

INLINE double total(const double *sums) {
  return ((sums[0] + sums[4]) + (sums[1] + sums[5])) + ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

INLINE double sum_of(const double *block) {
  double sums[LANES] = {0};
  for (size_t t = 0; t < BLOCK; t += LANES)
    for (size_t k = 0; k < LANES; k++) sums[k] += block[t + k];
  return total(sums);
}

INLINE double product(const double *block, const double *other) {
  double sums[LANES] = {0};
  for (size_t t = 0; t < BLOCK; t += LANES)
    for (size_t k = 0; k < LANES; k++) sums[k] += block[t + k] * other[t + k];
  return total(sums);
}

/* block times scale; next to nothing becomes 0 */
INLINE void scale_by(double scale, double *block) {
  EACH(t) block[t] = block[t] < NEXT_TO_NOTHING ? 0.0 : block[t] * scale;
}

/* sum_j w_j rows_j over one block; rows lie `stride` apart */
INLINE void mix(const double *rows, size_t stride, const double *weights, size_t n, double *mixture) {
  EACH(t) mixture[t] = weights[0] * rows[t];
  for (size_t j = 1; j < n; j++) {
    const double *row = rows + j * stride;
    double weight = weights[j];
    EACH(t) mixture[t] += weight * row[t];
  }
}

/* x_jt - origin_j of every agent over one block, into scratch */
INLINE void below_origins(const struct profile *of, size_t b) {
  for (size_t j = 0; j < of->n; j++)
    shifted(of->logits[j], b, of->n_tokens, of->shift[2 * j], of->scratch + j * BLOCK);
}

#endif
