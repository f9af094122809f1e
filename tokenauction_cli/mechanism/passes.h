/* The passes over the tokens (`passes.c`), which a queue performs ahead of whoever needs them (`ahead.c`). */
#include <stddef.h>

int pass_softmax(const float *const *logits, const double *temperatures, size_t n, size_t n_tokens, double *p,
                 double *shift, double *cross, double *blocks, double *likely);
int pass_mixture(const double *p, const double *cross, const double *weights, size_t n, size_t n_tokens,
                 double *forward, double *reverse, double *mode);
int pass_log_pool(const float *const *logits, const double *temperatures, const double *shift, const double *p,
                  const double *cross, const double *likely, const double *weights, size_t n, size_t n_tokens,
                  double *q, double *log_z, double *blocks, double *clocks, double *distances, double *forward,
                  double *reverse);
int pass_rising(const double *p, const double *shares, size_t i, size_t n, size_t n_tokens, double *blocks);
