/* The passes over the tokens (`passes.c`): what the agents say after one prefix, and what is asked about it.

   n agents, n_tokens tokens in n_blocks blocks. All memory is the caller's. */
#ifndef PASSES_H
#define PASSES_H

#include <stddef.h>
#include <stdint.h>

/* p_i = softmax(logits_i / temperature_i), with all that is worked out once for a prefix. */
struct profile {
  size_t n, n_tokens;
  const float *const *logits; /* n rows */
  const double *temperatures; /* (n,) */
  double *p;       /* n rows, an odd number of blocks apart */
  double *shift;   /* (n, 2): an origin a_i, and L_i = log sum_t exp((x_it - a_i) / temperature_i); so log p_it is
                      (x_it - a_i) / temperature_i - L_i */
  double *cross;   /* (n, n): E_{p_i} log p_j; of more than two agents its diagonal alone */
  double *blocks;  /* (n, n_blocks): sums of p_i over blocks of tokens */
  double *likely;  /* (1 + n / LIKELY,): the number of likely tokens, then these */
  double *scratch; /* (2 n, BLOCK) */
};

/* Rows of weights, (n,) each, for mixtures, pools, shares for positive parts, and for what the others of every agent
   would do alone: distances, KLs and constants, in this order; and, from `mixtures` on, where the answers go, a row
   for each row of weights. */
struct asked {
  size_t n_mixtures, n_pools, n_parts, n_distances, n_rival_kls, n_constants;
  const double *weights;
  const size_t *agents; /* (n_parts,) */
  double *const *q;     /* n_pools rows as long as those of p */
  double *mixtures, *pools, *pool_blocks, *pool_clocks, *parts, *distances, *rival_kls, *constants;
};

int pass_prefix(const struct profile *of, const struct asked *asked);
void pass_asked(const struct profile *of, const struct asked *asked);

/* A token that may be kept, and how much it counts (`truncation.c`). */
struct candidate {
  uint64_t key;
  int64_t weight;
};

int pass_truncation(const float *x, size_t n_tokens, double temperature, size_t top_k, double top_p, double min_p,
                    float *tops, int64_t *weights, struct candidate *found, float *row);
void pass_excess(const double *a, const double *b, size_t n_tokens, double *sums);
void pass_rivals(const struct profile *of, const struct asked *asked, const double *of_distances, const double *of_kls);
void pass_constants(const struct profile *of, const double *weights, size_t n_rows, double *facts);
void pass_log_at(const struct profile *of, size_t token, double *logs);
void pass_uniforms(const uint64_t *key, uint64_t position, uint64_t purpose, const uint64_t *words, size_t n,
                   double *uniforms);

#endif
