/* Which tokens an agent's top_k, top_p and min_p keep: what `truncation.py` says in NumPy, to the last bit.

   Probabilities are whole multiples of 2^-44 of the highest, so that their sums do not depend on an order, and no
   multiplication is fused with an addition. Tokens far below the highest are looked at where those above do not suffice.
*/
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("fp-contract=off")
#endif
#pragma STDC FP_CONTRACT OFF
#include "exponential.h"
#include "passes.h"

#include <math.h>

#define PART 256 /* tokens that are passed over together where the highest of them is too low */
#define WIDTH 16
#define WHOLE 17592186044416.0 /* 2^44 */
#define NEARLY (1 - 1e-12) /* what is equal but for rounding is enough */

/* A logit and its token as one number: the higher logit first, of equal ones the lower token. */
INLINE uint64_t key_of(float x, size_t t) {
  uint32_t bits;
  x += 0.0f; /* -0 is 0 */
  memcpy(&bits, &x, sizeof bits);
  bits = bits >> 31 ? ~bits : bits | 0x80000000u;
  return (uint64_t)bits << 32 | (uint32_t)~(uint32_t)t;
}

INLINE size_t token_of(uint64_t key) { return (uint32_t)~(uint32_t)key; }

/* p_t / p_top, with rate the inverse of the temperature */
INLINE double ratio(float x, double top, double rate) {
  double below = (x - top) * rate;
  return exponential(below < -708.0 ? -708.0 : below);
}

/* The same in parts of 2^-44, rounded. */
INLINE int64_t parts(double ratio) {
  const double rounder = 6755399441055744.0;
  return bits_of(ratio * WHOLE + rounder) - bits_of(rounder);
}

/* The highest of each PART tokens; 0 where a logit is NaN or +inf. */
PASS int pass_tops(const float *x, size_t n_tokens, float *tops) {
  int bad = 0;
  for (size_t begin = 0, b = 0; begin < n_tokens; begin += PART, b++) {
    size_t n = n_tokens - begin < PART ? n_tokens - begin : PART, t = 0;
    const float *from = x + begin;
    float lanes[WIDTH], top = -INFINITY;
    for (size_t k = 0; k < WIDTH; k++) lanes[k] = -INFINITY;
    for (; t + WIDTH <= n; t += WIDTH)
      for (size_t k = 0; k < WIDTH; k++) {
        lanes[k] = from[t + k] > lanes[k] ? from[t + k] : lanes[k];
        bad |= !(from[t + k] < INFINITY);
      }
    for (size_t k = 0; k < WIDTH; k++) top = lanes[k] > top ? lanes[k] : top;
    for (; t < n; t++) {
      top = from[t] > top ? from[t] : top;
      bad |= !(from[t] < INFINITY);
    }
    tops[b] = top;
  }
  return !bad;
}

/* The parts of every token, and their sum. */
PASS int64_t pass_parts(const float *x, size_t n_tokens, double top, double rate, int64_t *weights) {
  int64_t total = 0;
  for (size_t t = 0; t < n_tokens; t++) total += weights[t] = parts(ratio(x[t], top, rate));
  return total;
}

/* The tokens with logits of at least `bound`, each with its weight, or 1 where there are none. */
INLINE size_t gathered(const float *x, size_t n_tokens, const float *tops, double bound, const int64_t *weights,
                       struct candidate *found) {
  size_t n = 0;
  for (size_t begin = 0, b = 0; begin < n_tokens; begin += PART, b++) {
    size_t end = n_tokens - begin < PART ? n_tokens : begin + PART;
    for (size_t t = begin; tops[b] >= bound && t < end; t++)
      if (x[t] >= bound) found[n++] = (struct candidate){key_of(x[t], t), weights ? weights[t] : 1};
  }
  return n;
}

INLINE int64_t sum_of_weights(const struct candidate *found, size_t n) {
  int64_t sum = 0;
  for (size_t k = 0; k < n; k++) sum += found[k].weight;
  return sum;
}

/* How many of the first candidates weigh `enough` together, which all do; these are then the first n, in any order. */
INLINE size_t fewest(struct candidate *found, size_t n, int64_t enough) {
  size_t from = 0, to = n;
  while (to - from > 1) {
    struct candidate middle = found[from + (to - from) / 2];
    size_t end = from;
    int64_t sum = 0;
    for (size_t k = from; k < to; k++) { /* without a branch, which nothing could foresee */
      struct candidate other = found[k];
      int is_above = other.key > middle.key;
      found[k] = found[end];
      found[end] = other;
      sum += is_above ? other.weight : 0;
      end += is_above;
    }
    if (sum >= enough) {
      to = end;
      continue;
    }
    for (size_t k = end; k < to; k++)
      if (found[k].key == middle.key) found[k] = found[end];
    found[end++] = middle;
    if (sum + middle.weight >= enough) return end;
    enough -= sum + middle.weight;
    from = end;
  }
  return to;
}

/* The tokens that are kept, as candidates in any order: their number, or 0 where a logit is NaN or +inf or none is
   finite. `tops` has room for every PART tokens, `weights` and `found` for all tokens. 0 and 1 mean no top_k and no
   top_p. */
static size_t kept(const float *x, size_t n_tokens, double temperature, size_t top_k, double top_p, double min_p,
                   float *tops, int64_t *weights, struct candidate *found) {
  static const double levels[] = {3, 6, 12, 24, INFINITY}; /* logits below the highest, in temperatures */
  const double rate = 1 / temperature, share = top_p * NEARLY;
  double top = -INFINITY;
  int64_t enough = 0;
  size_t n = 0, n_kept = 0;
  if (!pass_tops(x, n_tokens, tops)) return 0;
  for (size_t b = 0; b * PART < n_tokens; b++) top = tops[b] > top ? tops[b] : top;
  if (top == -INFINITY) return 0;
  top_k = top_k < n_tokens ? top_k : 0;
  if (top_k) enough = (int64_t)top_k;
  else if (top_p < 1) enough = (int64_t)ceil((double)pass_parts(x, n_tokens, top, rate, weights) * share);
  for (size_t level = 0; level < sizeof levels / sizeof *levels; level++) {
    double below = enough ? levels[level] : 1e-6 - log(min_p);
    n = gathered(x, n_tokens, tops, top - below * temperature, !top_k && enough ? weights : NULL, found);
    if (sum_of_weights(found, n) >= enough) break;
  }
  if (enough) n = fewest(found, n, enough);
  if (top_k && top_p < 1) {
    for (size_t k = 0; k < n; k++) found[k].weight = parts(ratio(x[token_of(found[k].key)], top, rate));
    n = fewest(found, n, (int64_t)ceil((double)sum_of_weights(found, n) * share));
  }
  for (size_t k = 0; k < n; k++)
    if (min_p == 0 || ratio(x[token_of(found[k].key)], top, rate) >= min_p * NEARLY) found[n_kept++] = found[k];
  return n_kept;
}

/* A row of logits with -inf in the place of what is not kept; 0 where there is nothing to choose from. */
int pass_truncation(const float *x, size_t n_tokens, double temperature, size_t top_k, double top_p, double min_p,
                    float *tops, int64_t *weights, struct candidate *found, float *row) {
  size_t n = kept(x, n_tokens, temperature, top_k, top_p, min_p, tops, weights, found);
  for (size_t t = 0; n && t < n_tokens; t++) row[t] = -INFINITY;
  for (size_t k = 0; k < n; k++) row[token_of(found[k].key)] = x[token_of(found[k].key)];
  return n > 0;
}
