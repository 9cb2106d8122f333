// vector.h: vectors of 16 floats, and the few functions that all kernels are made of.
//
// With Clang's vector extensions, the same expressions become one AVX-512 register or two AVX2 registers, with the same
// IEEE result in every lane. The compiler never contracts multiplication and addition (-ffp-contract=off); where only
// one rounding is wanted, the code calls `multiply_add`.

#pragma once

typedef float v16 __attribute__((vector_size(64)));
typedef float v16_anywhere __attribute__((vector_size(64), aligned(4)));
typedef int32_t i16 __attribute__((vector_size(64)));
typedef uint32_t u16 __attribute__((vector_size(64)));
typedef uint16_t h16 __attribute__((vector_size(32)));
typedef uint16_t h16_anywhere __attribute__((vector_size(32), aligned(2)));
typedef double d16 __attribute__((vector_size(128)));
typedef int64_t l16 __attribute__((vector_size(128)));
typedef int64_t l16_anywhere __attribute__((vector_size(128), aligned(8)));

#define INLINE static inline __attribute__((always_inline))

INLINE v16 load(const float *p) { return *(const v16_anywhere *)p; }
INLINE void store(float *p, v16 x) { *(v16_anywhere *)p = x; }
INLINE v16 all(float x) { return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE v16 multiply_add(v16 a, v16 b, v16 c) { return __builtin_elementwise_fma(a, b, c); }
INLINE v16 choose(i16 condition, v16 yes, v16 no) {
  return (v16)(((i16)yes & condition) | ((i16)no & ~condition));
}
INLINE v16 larger(v16 a, v16 b) { return choose(a > b, a, b); }
INLINE v16 smaller(v16 a, v16 b) { return choose(a < b, a, b); }

// Loads the first `count` (1 ... 16) lanes; the others are zero.
INLINE v16 load_first(const float *p, int64_t count) {
  if (count >= 16) return load(p);
  v16 x = {};
  for (int64_t i = 0; i < count; ++i) x[i] = p[i];
  return x;
}
INLINE void store_first(float *p, v16 x, int64_t count) {
  if (count >= 16) {
    store(p, x);
    return;
  }
  for (int64_t i = 0; i < count; ++i) p[i] = x[i];
}

INLINE i16 lane_numbers(void) { return (i16){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}; }
// All ones in the first `count` lanes.
INLINE i16 first_lanes(int64_t count) { return lane_numbers() < (i16){} + (int32_t)(count > 16 ? 16 : count); }

// The fixed tree: adds lane i + 8 to lane i, then lanes i + 4, i + 2, i + 1.
INLINE float sum(v16 x) {
  typedef float v8 __attribute__((vector_size(32)));
  typedef float v4 __attribute__((vector_size(16)));
  v8 a = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
         __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
  v4 b = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  v4 c = b + __builtin_shufflevector(b, b, 2, 3, 0, 1);
  return c[0] + c[1];
}
INLINE float largest_lane(v16 x) {
  typedef float v8 __attribute__((vector_size(32)));
  typedef float v4 __attribute__((vector_size(16)));
  v8 a = __builtin_elementwise_max(__builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7),
                                   __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15));
  v4 b = __builtin_elementwise_max(__builtin_shufflevector(a, a, 0, 1, 2, 3),
                                   __builtin_shufflevector(a, a, 4, 5, 6, 7));
  v4 c = __builtin_elementwise_max(b, __builtin_shufflevector(b, b, 2, 3, 0, 1));
  return c[0] > c[1] ? c[0] : c[1];
}
INLINE bool any(i16 condition) { return __builtin_reduce_or(condition) != 0; }

// Relative error at most 2 units in the last place for x in [-87, 88]; exactly 0 below -87.3, exp(88) above 88; NaN
// stays NaN. x = n·ln 2 + r, |r| <= ln 2 / 2; the polynomial is that of Cephes' expf.
INLINE v16 exponential(v16 x) {
  const v16 rounder = all(12582912.0f);  // 1.5·2^23: adding it leaves round(x) in the low bits
  i16 is_small = x < -87.3f;
  x = choose(x > 88.0f, all(88.0f), x);
  v16 shifted = multiply_add(x, all(1.44269504f), rounder);
  i16 exponent = (i16)shifted - (i16)rounder;
  v16 n = shifted - rounder;
  v16 r = multiply_add(n, all(-0.693359375f), x);
  r = multiply_add(n, all(2.12194440e-4f), r);
  v16 p = all(1.9875691500e-4f);
  p = multiply_add(p, r, all(1.3981999507e-3f));
  p = multiply_add(p, r, all(8.3334519073e-3f));
  p = multiply_add(p, r, all(4.1665795894e-2f));
  p = multiply_add(p, r, all(1.6666665459e-1f));
  p = multiply_add(p, r, all(5.0000001201e-1f));
  p = multiply_add(p, r * r, r) + 1.0f;
  v16 scale = (v16)((exponent + 127) << 23);
  return choose(is_small, (v16){}, p * scale);
}

// For positive, normal x. x = 2^e·m, sqrt(1/2) <= m < sqrt(2); the polynomial is that of Cephes' logf.
INLINE v16 logarithm(v16 x) {
  i16 bits = (i16)x;
  i16 exponent = ((bits >> 23) & 255) - 126;
  v16 m = (v16)((bits & 0x7FFFFF) | 0x3F000000);  // in [1/2, 1)
  i16 is_low = m < 0.707106781f;
  exponent += is_low;  // true is -1
  m = choose(is_low, m + m, m) - 1.0f;
  v16 p = all(7.0376836292e-2f);
  p = multiply_add(p, m, all(-1.1514610310e-1f));
  p = multiply_add(p, m, all(1.1676998740e-1f));
  p = multiply_add(p, m, all(-1.2420140846e-1f));
  p = multiply_add(p, m, all(1.4249322787e-1f));
  p = multiply_add(p, m, all(-1.6668057665e-1f));
  p = multiply_add(p, m, all(2.0000714765e-1f));
  p = multiply_add(p, m, all(-2.4999993993e-1f));
  p = multiply_add(p, m, all(3.3333331174e-1f));
  v16 square = m * m;
  v16 e = __builtin_convertvector(exponent, v16);
  v16 y = multiply_add(e, all(-2.12194440e-4f), p * m * square);
  y = multiply_add(square, all(-0.5f), y);
  return multiply_add(e, all(0.693359375f), m + y);
}

INLINE v16 sigmoid(v16 x) { return 1.0f / (1.0f + exponential(-x)); }

// Rounds to nearest even. NaN is set separately, because rounding could turn it into another value.
INLINE h16 to_half(v16 x) {
  u16 bits = (u16)x;
  u16 rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
  u16 is_nan = (u16)(x != x);
  return __builtin_convertvector((rounded & ~is_nan) | (0x7FC0 & is_nan), h16);
}
INLINE v16 from_half(h16 x) { return (v16)(__builtin_convertvector(x, u16) << 16); }

// Stores the first `count` lanes from element `index` of an operand on, as float32 or bfloat16.
INLINE void store_operand(void *out, int64_t index, v16 x, int64_t count, bool is_bf16) {
  if (!is_bf16) {
    store_first((float *)out + index, x, count);
    return;
  }
  uint16_t *p = (uint16_t *)out + index;
  h16 half = to_half(x);
  if (count >= 16) {
    *(h16_anywhere *)p = half;
    return;
  }
  for (int64_t i = 0; i < count; ++i) p[i] = half[i];
}
