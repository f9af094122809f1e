/* What the others of every agent would do alone, and how far one distribution is above another.

   o_i is made of what stands before agent i and what stands behind it, in the order of the agents. So one pass gives it
   for every i, in 3 operations for each agent and token, and nothing cancels as where p_i is taken out of a sum.
*/
#include "blocks.h"

/* sum_{j != i} rate_j row_j over one block for every i, (n, BLOCK), from what is before and after i: nothing cancels. */
INLINE void all_but_one(const double *rows, size_t stride, const double *rates, size_t n, double *sums) {
  double after[BLOCK] = {0};
  EACH(t) sums[t] = 0;
  for (size_t i = 1; i < n; i++) {
    const double *row = rows + (i - 1) * stride, *before = sums + (i - 1) * BLOCK;
    double rate = rates[i - 1], *here = sums + i * BLOCK;
    EACH(t) here[t] = before[t] + rate * row[t];
  }
  for (size_t i = n; i-- > 0;) {
    const double *row = rows + i * stride;
    double rate = rates[i], *here = sums + i * BLOCK;
    EACH(t) here[t] += after[t];
    EACH(t) after[t] += rate * row[t];
  }
}

/* sum_{j != i} x_j */
INLINE double rest(const double *x, size_t n, size_t i) {
  double sum = 0;
  for (size_t j = 0; j < n; j++) sum += j == i ? 0 : x[j];
  return sum;
}

INLINE void logarithms(double *block) {
  EACH(t) block[t] = logarithm(block[t] < NEXT_TO_NOTHING ? NEXT_TO_NOTHING : block[t]);
}

/* TV(p_i, o_i) added to distances, where there are any, and KL(o_i || q) to kls, over one block of which scratch holds
   sum_{j != i} w_j p_j behind its first n rows. */
INLINE void rivals_block(const struct profile *of, const double *w, size_t b, double *distances, double *kls) {
  size_t n = of->n, stride = stride_of(of->n_tokens);
  double log_q[BLOCK], o[BLOCK], part[BLOCK];
  mix(of->p + b * BLOCK, stride, w, n, log_q);
  if (kls) logarithms(log_q);
  for (size_t i = 0; i < n; i++) {
    const double *row = of->p + i * stride + b * BLOCK, *sums = of->scratch + (n + i) * BLOCK;
    double scale = 1 / rest(w, n, i);
    EACH(t) o[t] = scale * sums[t];
    if (distances) {
      EACH(t) part[t] = row[t] > o[t] ? row[t] - o[t] : 0.0;
      distances[i] += sum_of(part);
    }
    if (kls) {
      memcpy(part, o, sizeof part);
      logarithms(part);
      EACH(t) part[t] -= log_q[t];
      kls[i] += product(o, part);
    }
  }
}

/* With o_i = sum_{j != i} w_j p_j / sum_{j != i} w_j and q = sum_j w_j p_j for each row of weights: TV(p_i, o_i), (n,),
   and KL(o_i || q), (n,), together where the weights of both are the same. They mean nothing where nobody but i has a
   weight. */
PASS void pass_rivals(const struct profile *of, const struct asked *asked, const double *of_distances,
                      const double *of_kls) {
  size_t n = of->n, n_blocks = blocks_of(of->n_tokens);
  memset(asked->distances, 0, sizeof(double) * asked->n_distances * n);
  memset(asked->rival_kls, 0, sizeof(double) * asked->n_rival_kls * n);
  for (size_t b = 0; b < n_blocks; b++)
    for (size_t k = 0, j = 0; k < asked->n_distances || j < asked->n_rival_kls;) {
      const double *w = of_distances + k * n, *v = of_kls + j * n;
      int has_w = k < asked->n_distances, has_v = j < asked->n_rival_kls;
      has_v = has_v && (!has_w || !memcmp(w, v, sizeof *w * n));
      all_but_one(of->p + b * BLOCK, stride_of(of->n_tokens), has_w ? w : v, n, of->scratch + n * BLOCK);
      rivals_block(of, has_w ? w : v, b, has_w ? asked->distances + k * n : NULL,
                   has_v ? asked->rival_kls + j * n : NULL);
      k += has_w;
      j += has_v;
    }
}

/* Of prod_{j != i} p_j^(w_j / sum_{j != i} w_j) for each row of weights the log of its sum Z, (n,); -inf where it is
   too small to be told from 0. */
PASS void pass_constants(const struct profile *of, const double *weights, size_t n_rows, double *facts) {
  size_t n = of->n, n_blocks = blocks_of(of->n_tokens);
  double *sums = of->scratch + n * BLOCK;
  memset(facts, 0, sizeof *facts * n_rows * n);
  for (size_t b = 0; b < n_blocks; b++) {
    below_origins(of, b);
    for (size_t k = 0; k < n_rows; k++) {
      const double *w = weights + k * n;
      double rates[n], rests[n], block[BLOCK];
      for (size_t j = 0; j < n; j++) {
        rates[j] = w[j] / of->temperatures[j];
        rests[j] = w[j] * of->shift[2 * j + 1];
      }
      all_but_one(of->scratch, BLOCK, rates, n, sums);
      for (size_t i = 0; i < n; i++) {
        double scale = 1 / rest(w, n, i), below = rest(rests, n, i), *here = sums + i * BLOCK;
        EACH(t) here[t] -= below;
        exponentials(here, scale, block);
        if (b == n_blocks - 1) clear_rest(block, of->n_tokens);
        facts[k * n + i] += sum_of(block);
      }
    }
  }
  for (size_t k = 0; k < n_rows * n; k++) facts[k] = facts[k] > SMALLEST_CONSTANT ? log(facts[k]) : -INFINITY;
}

/* As NumPy sums n numbers. */
static double pairwise(const double *x, size_t n) {
  if (n > 128) {
    size_t half = n / 2 - n / 2 % 8;
    return pairwise(x, half) + pairwise(x + half, n - half);
  }
  double sums[8], sum = -0.0;
  size_t t = 0;
  if (n >= 8) {
    memcpy(sums, x, sizeof sums);
    for (t = 8; t < n - n % 8; t += 8)
      for (size_t k = 0; k < 8; k++) sums[k] += x[t + k];
    sum = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
  }
  for (; t < n; t++) sum += x[t];
  return sum;
}

/* Sums of (a_t - b_t)^+ over blocks of tokens, as NumPy's reduceat adds them up. */
PASS void pass_excess(const double *a, const double *b, size_t n_tokens, double *sums) {
  for (size_t begin = 0; begin < n_tokens; begin += BLOCK) {
    size_t n = n_tokens - begin < BLOCK ? n_tokens - begin : BLOCK;
    double part[BLOCK];
    for (size_t t = 0; t < n; t++) part[t] = positive(a[begin + t] - b[begin + t]);
    sums[begin / BLOCK] = n > 1 ? part[0] + pairwise(part + 1, n - 1) : part[0];
  }
}

/* log p_i of one token, (n,) */
void pass_log_at(const struct profile *of, size_t token, double *logs) {
  for (size_t i = 0; i < of->n; i++)
    logs[i] = (of->logits[i][token] - of->shift[2 * i]) / of->temperatures[i] - of->shift[2 * i + 1];
}
