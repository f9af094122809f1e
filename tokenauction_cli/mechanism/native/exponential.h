/* The exponential that all passes over the tokens share, written for compilers to make vectors of. */
#include <stdint.h>
#include <string.h>

/* The widest registers of the processor that runs it, where compiler and loader can choose at load time. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(NO_CLONES)
#define PASS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define PASS
#endif
#define INLINE static inline __attribute__((always_inline))

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
