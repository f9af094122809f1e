/* Passes over the tokens, each reading its rows once: what `compiled.py` binds, and `distributions.py` says in NumPy.

   Logits are float32 rows of n_tokens entries, each wherever it is. All other rows are float64 and as long as their
   blocks of BLOCK tokens together, with zeros behind the last token: row i of p begins at p + i * stride_of(n_tokens).

   Nothing here is kept between calls: any number of threads may work on profiles of their own.

   Work goes block by block (`blocks.h`): all mixtures, or a few pools, read a block of their rows while it is in the
   nearest cache. What the others of every agent would do alone is in `rivals.c`.
*/
#include "blocks.h"

#ifndef SOURCES
#define SOURCES "unknown"
#endif
#define LIKELY (1.0 / 64)
#define MOST_LIKELY 64 /* tokens of one agent */
#define ROUNDING 1e-12
#define LARGEST_SUM 1e300 /* beyond it, the origin of the exponentials was too low */
#define POOLS_AT_ONCE 2 /* of more, the rows would push each other out of the second cache */

/* The highest of a row of logits, NaN not seen. */
INLINE float highest(const float *row, size_t n_tokens) {
  float top = row[0];
  for (size_t t = 1; t < n_tokens; t++) top = row[t] > top ? row[t] : top;
  return top;
}

/* Whether E_{p_i} log p_j is kept. */
INLINE int crosses(const struct profile *of, size_t i, size_t j) { return i == j || of->n <= FEW_AGENTS; }

/* e_it = exp((x_it - origin_i) / temperature_i) into p, its block sums, and sum_t e_it (x_jt - origin_j) into cross;
   the sums over all tokens into the second column of shift, which holds the origins in its first. */
INLINE void unscaled(const struct profile *of) {
  size_t n = of->n, n_blocks = blocks_of(of->n_tokens), stride = stride_of(of->n_tokens);
  double *p = of->p, *shift = of->shift, *cross = of->cross, *blocks = of->blocks, *below = of->scratch;
  for (size_t i = 0; i < n; i++) shift[2 * i + 1] = 0;
  memset(cross, 0, sizeof *cross * n * n);
  for (size_t b = 0; b < n_blocks; b++) {
    for (size_t i = 0; i < n; i++) {
      double *block = p + i * stride + b * BLOCK;
      shifted(of->logits[i], b, of->n_tokens, shift[2 * i], below + i * BLOCK);
      exponentials(below + i * BLOCK, 1 / of->temperatures[i], block);
      if (b == n_blocks - 1) clear_rest(block, of->n_tokens);
      shift[2 * i + 1] += blocks[i * n_blocks + b] = sum_of(block);
    }
    for (size_t i = 0; i < n; i++)
      for (size_t j = 0; j < n; j++)
        if (crosses(of, i, j)) cross[i * n + j] += product(p + i * stride + b * BLOCK, below + j * BLOCK);
  }
}

/* The tokens to which some agent gives LIKELY or more, ascending, behind their number. */
INLINE void find_likely(const struct profile *of) {
  size_t found = 0, n = of->n, n_blocks = blocks_of(of->n_tokens);
  for (size_t b = 0; b < n_blocks; b++) {
    int there = 0;
    for (size_t i = 0; i < n; i++) there |= of->blocks[i * n_blocks + b] >= LIKELY;
    for (size_t t = b * BLOCK; there && t < (b + 1) * BLOCK; t++) {
      int is_likely = 0;
      for (size_t i = 0; i < n; i++) is_likely |= of->p[i * stride_of(of->n_tokens) + t] >= LIKELY;
      if (is_likely) of->likely[++found] = t;
    }
  }
  of->likely[0] = found;
}

/* Everything in a profile below its temperatures. Any logit near enough to the highest serves as an origin: the first
   block's highest, or else the row's. Returns 0, or 1 where a logit is NaN or +inf, or all of a row are -inf: then the
   rest means nothing. */
PASS int pass_softmax(const struct profile *of) {
  size_t n = of->n, n_tokens = of->n_tokens, n_blocks = blocks_of(n_tokens), stride = stride_of(of->n_tokens);
  double *shift = of->shift, *cross = of->cross;
  int fits = 0, finite = 1;
  for (int whole = 0; whole < 2 && !fits; whole++) {
    for (size_t i = 0; i < n; i++) {
      shift[2 * i] = highest(of->logits[i], whole || n_tokens < BLOCK ? n_tokens : BLOCK);
      if (shift[2 * i] == -INFINITY) shift[2 * i] = highest(of->logits[i], n_tokens);
    }
    unscaled(of);
    fits = 1;
    for (size_t i = 0; i < n; i++) fits &= shift[2 * i + 1] < LARGEST_SUM;
  }
  if (!fits) return 1;
  for (size_t i = 0; i < n; i++) {
    double scale = 1 / shift[2 * i + 1], *row = of->p + i * stride;
    shift[2 * i + 1] = log(shift[2 * i + 1]);
    for (size_t b = 0; b < n_blocks; b++) {
      of->blocks[i * n_blocks + b] *= scale;
      scale_by(scale, row + b * BLOCK);
    }
    for (size_t j = 0; j < n; j++) cross[i * n + j] *= scale;
  }
  for (size_t i = 0; i < n; i++)
    for (size_t j = 0; j < n; j++) {
      cross[i * n + j] = cross[i * n + j] / of->temperatures[j] - shift[2 * j + 1];
      if (cross[i * n + j] < RULED_OUT * 1e-200) cross[i * n + j] = -INFINITY; /* p_j is 0 where p_i is not */
      finite &= cross[i * n + j] < INFINITY;
    }
  find_likely(of);
  return !finite;
}

/* Of q = sum_j w_j p_j over one block: E_{p_i} log q added to a_i, and to top the highest q, its block, of equal ones
   the first, and how many tokens are next to 0. Of many agents also E_q log q - E_q log p_i, before scaling, to r_i. */
INLINE void mixture_block(const struct profile *of, const double *weights, size_t b, double *a, double *r, double *top) {
  size_t stride = stride_of(of->n_tokens);
  double q[BLOCK], log_q[BLOCK], tops[LANES] = {0}, highest_here = 0;
  int64_t n_zeros = 0;
  mix(of->p + b * BLOCK, stride, weights, of->n, q);
  for (size_t t = 0; t < BLOCK; t += LANES)
    for (size_t k = 0; k < LANES; k++) tops[k] = q[t + k] > tops[k] ? q[t + k] : tops[k];
  for (size_t k = 0; k < LANES; k++) highest_here = tops[k] > highest_here ? tops[k] : highest_here;
  EACH(t) n_zeros += q[t] < NEXT_TO_NOTHING;
  EACH(t) log_q[t] = logarithm(q[t] < NEXT_TO_NOTHING ? NEXT_TO_NOTHING : q[t]);
  for (size_t i = 0; i < of->n; i++) a[i] += product(of->p + i * stride + b * BLOCK, log_q);
  if (of->n > FEW_AGENTS) {
    double entropy = product(q, log_q);
    for (size_t i = 0; i < of->n; i++)
      r[i] += entropy - product(q, of->scratch + i * BLOCK) / of->temperatures[i];
  }
  if (highest_here > top[0]) {
    top[0] = highest_here;
    top[1] = b;
  }
  top[2] += n_zeros;
}

/* The first token of a block where q = sum_j w_j p_j is this high. */
INLINE size_t place_of(double high, const struct profile *of, const double *weights, size_t b) {
  double q[BLOCK];
  size_t t = 0;
  mix(of->p + b * BLOCK, stride_of(of->n_tokens), weights, of->n, q);
  while (t < BLOCK - 1 && q[t] != high) t++;
  return b * BLOCK + t;
}

/* Of q = sum_j w_j p_j for each row of weights: KL(p_i || q) and KL(q || p_i), (n,) each; with A_i = E_{p_i} log q
   and X_ij = E_{p_i} log p_j they are X_ii - A_i and, of few agents, sum_j w_j (A_j - X_ji). Behind them the mode, of
   equal ones the first; 1 where q is next to 0 for some token; and a number without a meaning. */
PASS void pass_mixtures(const struct profile *of, const double *weights, size_t n_mixtures, double *facts) {
  size_t n = of->n, n_blocks = blocks_of(of->n_tokens), width = 2 * n + 3;
  memset(facts, 0, sizeof *facts * n_mixtures * width);
  for (size_t b = 0; b < n_blocks; b++) {
    if (n > FEW_AGENTS && n_mixtures) below_origins(of, b);
    for (size_t k = 0; k < n_mixtures; k++) {
      double *a = facts + k * width;
      mixture_block(of, weights + k * n, b, a, a + n, a + 2 * n);
    }
  }
  for (size_t k = 0; k < n_mixtures; k++, weights += n, facts += width) {
    double *forward = facts, *reverse = facts + n, *top = facts + 2 * n;
    for (size_t i = 0; i < n; i++) {
      if (n > FEW_AGENTS) reverse[i] += of->shift[2 * i + 1];
      else for (size_t j = 0; j < n; j++) reverse[i] += weights[j] * (forward[j] - of->cross[j * n + i]);
    }
    for (size_t i = 0; i < n; i++) {
      forward[i] = divergence(of->cross[i * n + i] - forward[i]);
      reverse[i] = divergence(reverse[i]);
    }
    top[0] = place_of(top[0], of, weights, (size_t)top[1]);
    top[1] = top[2] > n_blocks * BLOCK - of->n_tokens;
  }
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

/* prod_j p_j^(w_j) over one block, of which scratch holds x_jt - origin_j, and its logarithms; returns the sum */
INLINE double product_block(const struct profile *of, const double *weights, size_t b, double *scores, double *block) {
  EACH(t) scores[t] = 0;
  for (size_t j = 0; j < of->n; j++) {
    double rate = weights[j] / of->temperatures[j], rest = weights[j] * of->shift[2 * j + 1];
    const double *from = of->scratch + j * BLOCK;
    EACH(t) scores[t] += from[t] * rate - rest;
  }
  exponentials(scores, 1, block);
  if (b == blocks_of(of->n_tokens) - 1) clear_rest(block, of->n_tokens);
  return sum_of(block);
}

/* Of the first stage: products into q, their block sums, in z their sum, E_q log p_i before scaling into reverse; of
   many agents also E_{p_i} of their logarithms into forward. */
INLINE void unscaled_pools(const struct profile *of, const double *weights, size_t n_pools, double *const *q,
                           double *blocks, double *facts) {
  size_t n = of->n, n_blocks = blocks_of(of->n_tokens), width = 3 * n + 2;
  memset(facts, 0, sizeof *facts * n_pools * width);
  for (size_t b = 0; b < n_blocks; b++) {
    below_origins(of, b);
    for (size_t k = 0; k < n_pools; k++) {
      double *block = q[k] + b * BLOCK, *forward = facts + k * width + n, *reverse = forward + n, *z = reverse + n;
      double scores[BLOCK];
      *z += blocks[k * n_blocks + b] = product_block(of, weights + k * n, b, scores, block);
      for (size_t i = 0; i < n; i++) reverse[i] += product(block, of->scratch + i * BLOCK);
      for (size_t i = 0; n > FEW_AGENTS && i < n; i++)
        forward[i] += product(of->p + i * stride_of(of->n_tokens) + b * BLOCK, scores);
    }
  }
}

/* Of the second stage: q scaled, its block sums too, and TV(p_i, q). */
INLINE void scale_pools(const struct profile *of, size_t n_pools, double *const *q, double *blocks, double *facts) {
  size_t n = of->n, n_blocks = blocks_of(of->n_tokens), stride = stride_of(of->n_tokens), width = 3 * n + 2;
  for (size_t b = 0; b < n_blocks; b++)
    for (size_t k = 0; k < n_pools; k++) {
      double *block = q[k] + b * BLOCK, *distances = facts + k * width, scale = 1 / facts[k * width + 3 * n];
      double difference[BLOCK];
      blocks[k * n_blocks + b] *= scale;
      scale_by(scale, block);
      for (size_t i = 0; i < n; i++) {
        const double *row = of->p + i * stride + b * BLOCK;
        EACH(t) difference[t] = fabs(row[t] - block[t]);
        distances[i] += sum_of(difference) / 2;
      }
    }
}

/* What is left: divergences from sums. With E_i = E_q log p_i they are X_ii - sum_j w_j X_ij + log Z and
   sum_j w_j E_j - log Z - E_i. */
INLINE void settle_pool(const struct profile *of, const double *weights, double *facts) {
  size_t n = of->n;
  double *forward = facts + n, *reverse = facts + 2 * n, *log_z = facts + 3 * n, z = *log_z, entropy = 0;
  *log_z = log(z);
  facts[3 * n + 1] = !(z > SMALLEST_CONSTANT);
  for (size_t i = 0; i < n; i++) {
    reverse[i] = reverse[i] / z / of->temperatures[i] - of->shift[2 * i + 1];
    entropy += weights[i] * reverse[i];
  }
  for (size_t i = 0; i < n; i++) {
    forward[i] = of->cross[i * n + i] + *log_z - forward[i];
    for (size_t j = 0; n <= FEW_AGENTS && j < n; j++) forward[i] -= weights[j] * of->cross[i * n + j];
    forward[i] = divergence(forward[i]);
    reverse[i] = divergence(entropy - *log_z - reverse[i]);
  }
}

/* q_k proportional to prod_j p_j^(w_kj) for each row of weights, with its block sums and its clocks; of each TV(p_i, q),
   KL(p_i || q) and KL(q || p_i), (n,) each, log of its constant Z, and 1 where Z is too small to divide by: then the
   rest means nothing. */
PASS void pass_pools(const struct profile *of, const double *weights, size_t n_pools, double *const *q, double *blocks,
                     double *clocks, double *facts) {
  size_t n = of->n, n_blocks = blocks_of(of->n_tokens), n_clocks = n_blocks + n * MOST_LIKELY;
  for (size_t k = 0; k < n_pools; k += POOLS_AT_ONCE) {
    size_t n_here = n_pools - k < POOLS_AT_ONCE ? n_pools - k : POOLS_AT_ONCE;
    unscaled_pools(of, weights + k * n, n_here, q + k, blocks + k * n_blocks, facts + k * (3 * n + 2));
    scale_pools(of, n_here, q + k, blocks + k * n_blocks, facts + k * (3 * n + 2));
  }
  for (size_t k = 0; k < n_pools; k++) {
    part_likely(q[k], blocks + k * n_blocks, of->likely, n_blocks, clocks + k * n_clocks);
    settle_pool(of, weights + k * n, facts + k * (3 * n + 2));
  }
}

/* Block sums of (p_i - o)^+ with o = sum_j s_j p_j, for each agent i and row of shares. */
PASS void pass_positive_parts(const struct profile *of, const double *shares, const size_t *agents, size_t n_parts,
                              double *sums) {
  size_t n_blocks = blocks_of(of->n_tokens), stride = stride_of(of->n_tokens);
  double o[BLOCK];
  for (size_t b = 0; b < n_blocks; b++)
    for (size_t k = 0; k < n_parts; k++) {
      const double *block = of->p + agents[k] * stride + b * BLOCK;
      mix(of->p + b * BLOCK, stride, shares + k * of->n, of->n, o);
      EACH(t) o[t] = block[t] > o[t] ? block[t] - o[t] : 0.0;
      sums[k * n_blocks + b] = sum_of(o);
    }
}

/* Everything that was asked of a profile that is there. */
void pass_asked(const struct profile *of, const struct asked *asked) {
  const double *weights = asked->weights;
  size_t n = of->n;
  pass_mixtures(of, weights, asked->n_mixtures, asked->mixtures);
  weights += asked->n_mixtures * n;
  pass_pools(of, weights, asked->n_pools, asked->q, asked->pool_blocks, asked->pool_clocks, asked->pools);
  weights += asked->n_pools * n;
  pass_positive_parts(of, weights, asked->agents, asked->n_parts, asked->parts);
  weights += asked->n_parts * n;
  pass_rivals(of, asked, weights, weights + asked->n_distances * n);
  weights += (asked->n_distances + asked->n_rival_kls) * n;
  if (asked->n_constants) pass_constants(of, weights, asked->n_constants, asked->constants);
}

/* The profile after one prefix and everything that was asked of it, unless a logit is NaN or +inf: then 1. */
int pass_prefix(const struct profile *of, const struct asked *asked) {
  if (pass_softmax(of)) return 1;
  pass_asked(of, asked);
  return 0;
}

/* The sources that this was compiled from: the library is of no use to others. */
const char *passes_sources(void) { return SOURCES; }
