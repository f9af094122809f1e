/* The passes over the tokens (`passes.c`): what the agents say after one prefix, and what is asked about it.

   n agents, n_tokens tokens in n_blocks blocks. All memory is the caller's. */
#include <stddef.h>
#include <stdint.h>

/* p_i = softmax(logits_i / temperature_i), with all that is worked out once for a prefix. */
struct profile {
  size_t n, n_tokens;
  const float *const *logits; /* n rows */
  const double *temperatures; /* (n,) */
  double *p;       /* (n, n_blocks * BLOCK) */
  double *shift;   /* (n, 2): an origin a_i, and L_i = log sum_t exp((x_it - a_i) / temperature_i); so log p_it is
                      (x_it - a_i) / temperature_i - L_i */
  double *cross;   /* (n, n): E_{p_i} log p_j */
  double *blocks;  /* (n, n_blocks): sums of p_i over blocks of tokens */
  double *likely;  /* (1 + n / LIKELY,): the number of likely tokens, then these */
  double *scratch; /* (n, BLOCK) */
};

/* Rows of weights, (n,) each, for mixtures, pools, constants and shares for positive parts, in this order; and, from
   `mixtures` on, where the answers go, a row for each row of weights. */
struct asked {
  size_t n_mixtures, n_pools, n_constants, n_parts;
  const double *weights;
  const size_t *agents; /* (n_parts,) */
  double *const *q;     /* n_pools rows as long as those of p */
  double *mixtures, *pools, *pool_blocks, *pool_clocks, *constants, *parts;
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
