/* Passes over the tokens, each reading its rows once: what `compiled.py` binds, and `distributions.py` says in NumPy.

   Logits are float32 rows of n_tokens entries, each wherever it is. All other rows are float64 and as long as their
   blocks of BLOCK tokens together, with zeros behind the last token: row i of p begins at p + i * n_blocks * BLOCK.

   Work goes block by block, so that what one loop writes the next one finds in the nearest cache. Loops over a block
   are written for compilers to make vectors of. Sums are kept in LANES parts, in the same order on every processor;
   where one fuses a multiplication with an addition, last digits differ from where none does.
*/
#include "passes.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define BLOCK 256
#define LANES 8
#define LIKELY (1.0 / 64)
#define ROUNDING 1e-12
#define NEXT_TO_NOTHING 1e-290 /* a probability whose logarithm means nothing any more */
#define LARGEST_SUM 1e300 /* beyond it, the origin of the exponentials was too low */
#define SMALLEST_CONSTANT 1e-90 /* below it, what is next to nothing would be a part of the pool that counts */

/* The widest registers of the processor that runs it, where compiler and loader can choose at load time. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(NO_CLONES)
#define PASS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PASS
#endif
#define INLINE static inline __attribute__((always_inline))
#define EACH(t) for (size_t t = 0; t < BLOCK; t++)

INLINE double from_bits(int64_t bits) {
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

INLINE int64_t bits_of(double value) {
  int64_t bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

/* e^x within an ulp, |x| <= 708 */
INLINE double exponential(double x) {
  const double rounder = 6755399441055744.0; /* 1.5 2^52: adding it leaves an integer in the low bits */
  double shifted = x * 1.4426950408889634 + rounder;
  double k = shifted - rounder;
  double r = x - k * 6.93147180369123816490e-01;
  r -= k * 1.90821492927058770002e-10;
  double s = 1.0 / 479001600.0; /* 1/12!, 1/11!, ... */
  s = s * r + 1.0 / 39916800.0;
  s = s * r + 1.0 / 3628800.0;
  s = s * r + 1.0 / 362880.0;
  s = s * r + 1.0 / 40320.0;
  s = s * r + 1.0 / 5040.0;
  s = s * r + 1.0 / 720.0;
  s = s * r + 1.0 / 120.0;
  s = s * r + 1.0 / 24.0;
  s = s * r + 1.0 / 6.0;
  s = s * r + 0.5;
  s = r * r * s + r + 1.0;
  return from_bits(bits_of(s) + (int64_t)((uint64_t)bits_of(shifted) << 52));
}

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

/* e^(rate x_t) of one block; what is below e^-708 or above e^708 stays there. Three loops: in one, compilers work out
   the limits beside everything else. */
INLINE void exponentials(const double *x, double rate, double *block) {
  EACH(t) block[t] = rate * x[t] < -708.0 ? -708.0 : rate * x[t];
  EACH(t) block[t] = block[t] > 708.0 ? 708.0 : block[t];
  EACH(t) block[t] = exponential(block[t]);
}

INLINE size_t blocks_of(size_t n_tokens) { return (n_tokens + BLOCK - 1) / BLOCK; }

/* What stands behind the last token of a row is 0. */
INLINE void clear_rest(double *row, size_t n_tokens) {
  memset(row + n_tokens, 0, (blocks_of(n_tokens) * BLOCK - n_tokens) * sizeof *row);
}

/* x_t - origin of one block of logits; 0 behind the last token. */
INLINE void shifted(const float *row, size_t b, size_t n_tokens, double origin, double *block) {
  const float *x = row + b * BLOCK;
  size_t n_left = n_tokens - b * BLOCK;
  if (n_left >= BLOCK) EACH(t) block[t] = x[t] - origin;
  else EACH(t) block[t] = t < n_left ? x[t] - origin : 0.0;
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

/* The highest of a row of logits, NaN not seen. */
INLINE float highest(const float *row, size_t n_tokens) {
  float top = row[0];
  for (size_t t = 1; t < n_tokens; t++) top = row[t] > top ? row[t] : top;
  return top;
}

/* e_it = exp((x_it - origin_i) / temperature_i) into p, its block sums, and sum_t e_it (x_jt - origin_j) into cross;
   the sums over all tokens into the second column of shift, which holds the origins in its first. */
INLINE void unscaled(const float *const *logits, const double *temperatures, size_t n, size_t n_tokens, double *p,
                     double *shift, double *cross, double *blocks) {
  size_t n_blocks = blocks_of(n_tokens), stride = n_blocks * BLOCK;
  double below[n][BLOCK];
  for (size_t i = 0; i < n; i++) shift[2 * i + 1] = 0;
  memset(cross, 0, sizeof *cross * n * n);
  for (size_t b = 0; b < n_blocks; b++) {
    for (size_t i = 0; i < n; i++) {
      double *block = p + i * stride + b * BLOCK;
      shifted(logits[i], b, n_tokens, shift[2 * i], below[i]);
      exponentials(below[i], 1 / temperatures[i], block);
      if (b == n_blocks - 1) clear_rest(p + i * stride, n_tokens);
      shift[2 * i + 1] += blocks[i * n_blocks + b] = sum_of(block);
    }
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++) cross[i * n + j] += product(p + i * stride + b * BLOCK, below[j]);
  }
}

/* The tokens to which some agent gives LIKELY or more, ascending, behind their number. */
INLINE void find_likely(const double *p, const double *blocks, size_t n, size_t n_blocks, double *likely) {
  size_t found = 0;
  for (size_t b = 0; b < n_blocks; b++) {
    int there = 0;
    for (size_t i = 0; i < n; i++) there |= blocks[i * n_blocks + b] >= LIKELY;
    for (size_t t = b * BLOCK; there && t < (b + 1) * BLOCK; t++) {
      int is_likely = 0;
      for (size_t i = 0; i < n; i++) is_likely |= p[i * n_blocks * BLOCK + t] >= LIKELY;
      if (is_likely) likely[++found] = t;
    }
  }
  likely[0] = found;
}

/* p_i = softmax(logits_i / temperature_i), with all that is worked out once for a text so far.

   shift, (n, 2): an origin a_i, and log sum_t exp((x_it - a_i) / temperature_i); so log p_it is the difference of
   (x_it - a_i) / temperature_i and the second. Any logit near enough to the highest serves as the origin: the first
   block's highest, or else the row's.
   cross, (n, n): E_{p_i} log p_j. blocks, (n, n_blocks): sums of p_i over blocks of tokens. likely, (1 + n / LIKELY).
   Returns 0, or 1 where a logit is not a finite number: then the rest means nothing. */
PASS int pass_softmax(const float *const *logits, const double *temperatures, size_t n, size_t n_tokens, double *p,
                      double *shift, double *cross, double *blocks, double *likely) {
  size_t n_blocks = blocks_of(n_tokens), stride = n_blocks * BLOCK;
  int fits = 0, finite = 1;
  likely[0] = 0; /* passes that were foreseen read it in any case */
  for (int whole = 0; whole < 2 && !fits; whole++) {
    for (size_t i = 0; i < n; i++) shift[2 * i] = highest(logits[i], whole || n_tokens < BLOCK ? n_tokens : BLOCK);
    unscaled(logits, temperatures, n, n_tokens, p, shift, cross, blocks);
    fits = 1;
    for (size_t i = 0; i < n; i++) fits &= shift[2 * i + 1] < LARGEST_SUM;
  }
  if (!fits) return 1;
  for (size_t i = 0; i < n; i++) {
    double scale = 1 / shift[2 * i + 1], *row = p + i * stride;
    shift[2 * i + 1] = log(shift[2 * i + 1]);
    for (size_t b = 0; b < n_blocks; b++) {
      blocks[i * n_blocks + b] *= scale;
      scale_by(scale, row + b * BLOCK);
    }
    for (size_t j = 0; j < n; j++) cross[i * n + j] *= scale;
  }
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) {
      cross[i * n + j] = cross[i * n + j] / temperatures[j] - shift[2 * j + 1];
      finite &= cross[i * n + j] - cross[i * n + j] == 0;
    }
  find_likely(p, blocks, n, n_blocks, likely);
  return !finite;
}

INLINE double positive(double x) { return x > 0 ? x : 0; }

/* KL(p_i || q) and KL(q || p_i), (n,) each, of q = sum_j w_j p_j. With A_i = E_{p_i} log q and X_ij = E_{p_i} log p_j
   they are X_ii - A_i and sum_j w_j (A_j - X_ji). The mode is the likeliest token, of equal ones the first.
   Returns 1 where q is next to 0 for some token. */
PASS int pass_mixture(const double *p, const double *cross, const double *weights, size_t n, size_t n_tokens,
                      double *forward, double *reverse, double *mode) {
  size_t n_blocks = blocks_of(n_tokens), stride = n_blocks * BLOCK;
  double q[BLOCK], tops[BLOCK] = {0}, top_block[BLOCK] = {0}; /* by place in a block: the highest q, and its block */
  int64_t n_zeros = 0;
  memset(forward, 0, sizeof *forward * n);
  memset(reverse, 0, sizeof *reverse * n);
  for (size_t b = 0; b < n_blocks; b++) {
    mix(p + b * BLOCK, stride, weights, n, q);
    EACH(t) top_block[t] = q[t] > tops[t] ? b : top_block[t];
    EACH(t) tops[t] = q[t] > tops[t] ? q[t] : tops[t];
    EACH(t) n_zeros += q[t] < NEXT_TO_NOTHING;
    EACH(t) q[t] = logarithm(q[t] < NEXT_TO_NOTHING ? NEXT_TO_NOTHING : q[t]);
    for (size_t i = 0; i < n; i++) forward[i] += product(p + i * stride + b * BLOCK, q);
  }
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) reverse[i] += weights[j] * (forward[j] - cross[j * n + i]);
  for (size_t i = 0; i < n; i++) {
    forward[i] = positive(cross[i * n + i] - forward[i]);
    reverse[i] = positive(reverse[i]);
  }
  size_t likeliest = 0;
  EACH(t) {
    double lead = tops[t] - tops[likeliest], places = top_block[t] - top_block[likeliest];
    if (lead > 0 || (lead == 0 && places < 0)) likeliest = t;
  }
  *mode = top_block[likeliest] * BLOCK + likeliest;
  return n_zeros > (int64_t)(stride - n_tokens);
}

/* What q has in each block beside the likely tokens, then what it has of each of these: `Distribution.clocks`. */
INLINE void part_likely(const double *q, const double *blocks, const double *likely, size_t n_blocks, double *clocks) {
  memcpy(clocks, blocks, sizeof *clocks * n_blocks);
  for (size_t k = 0; k < likely[0]; k++) {
    size_t t = likely[1 + k];
    clocks[n_blocks + k] = q[t];
    clocks[t / BLOCK] -= q[t];
  }
  for (size_t b = 0; b < n_blocks; b++) clocks[b] = clocks[b] < ROUNDING * blocks[b] ? 0.0 : clocks[b];
}

/* q proportional to prod_j p_j^(w_j), with log of its constant Z, its block sums, its clocks, TV(p_i, q), KL(p_i || q)
   and KL(q || p_i), (n,) each. With E_i = E_q log p_i these are X_ii - sum_j w_j X_ij + log Z and
   sum_j w_j E_j - log Z - E_i. Returns 1 where Z is too small to divide by. */
PASS int pass_log_pool(const float *const *logits, const double *temperatures, const double *shift, const double *p,
                       const double *cross, const double *likely, const double *weights, size_t n, size_t n_tokens,
                       double *q, double *log_z, double *blocks, double *clocks, double *distances, double *forward,
                       double *reverse) {
  size_t n_blocks = blocks_of(n_tokens), stride = n_blocks * BLOCK;
  double below[n][BLOCK], scores[BLOCK], z = 0, entropy = 0;
  memset(reverse, 0, sizeof *reverse * n);
  memset(distances, 0, sizeof *distances * n);
  for (size_t b = 0; b < n_blocks; b++) {
    double *block = q + b * BLOCK;
    EACH(t) scores[t] = 0;
    for (size_t j = 0; j < n; j++) {
      double rate = weights[j] / temperatures[j], rest = weights[j] * shift[2 * j + 1], *from = below[j];
      shifted(logits[j], b, n_tokens, shift[2 * j], from);
      EACH(t) scores[t] += from[t] * rate - rest;
    }
    exponentials(scores, 1, block);
    if (b == n_blocks - 1) clear_rest(q, n_tokens);
    z += blocks[b] = sum_of(block);
    for (size_t i = 0; i < n; i++) reverse[i] += product(block, below[i]);
  }
  if (!(z > SMALLEST_CONSTANT)) return 1;
  for (size_t b = 0; b < n_blocks; b++) {
    double *block = q + b * BLOCK, difference[BLOCK], scale = 1 / z;
    blocks[b] *= scale;
    scale_by(scale, block);
    for (size_t i = 0; i < n; i++) {
      const double *row = p + i * stride + b * BLOCK;
      EACH(t) difference[t] = fabs(row[t] - block[t]);
      distances[i] += sum_of(difference) / 2;
    }
  }
  *log_z = log(z);
  part_likely(q, blocks, likely, n_blocks, clocks);
  for (size_t i = 0; i < n; i++) {
    reverse[i] = reverse[i] / z / temperatures[i] - shift[2 * i + 1];
    entropy += weights[i] * reverse[i];
  }
  for (size_t i = 0; i < n; i++) {
    forward[i] = cross[i * n + i] + *log_z;
    for (size_t j = 0; j < n; j++) forward[i] -= weights[j] * cross[i * n + j];
    forward[i] = positive(forward[i]);
    reverse[i] = positive(entropy - *log_z - reverse[i]);
  }
  return 0;
}

/* Block sums of (p_i - o)^+ with o = sum_j s_j p_j. */
PASS int pass_rising(const double *p, const double *shares, size_t i, size_t n, size_t n_tokens, double *blocks) {
  size_t n_blocks = blocks_of(n_tokens), stride = n_blocks * BLOCK;
  double o[BLOCK];
  for (size_t b = 0; b < n_blocks; b++) {
    const double *block = p + i * stride + b * BLOCK;
    mix(p + b * BLOCK, stride, shares, n, o);
    EACH(t) o[t] = block[t] > o[t] ? block[t] - o[t] : 0.0;
    blocks[b] = sum_of(o);
  }
  return 0;
}
