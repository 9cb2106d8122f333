// transpose.h: turns over a block of 16 x 16 values in vectors.

// Transposes a 16x16 block in 16 vectors: four rounds, in which rows that are 2^k apart exchange halves.
#define TRANSPOSE_ROUND(type, r, s, distance, low, high) \
  for (int i = 0; i < 16; ++i)                           \
    if (!(i & distance)) {                               \
      type a = r[i], b = r[i + distance];                \
      s[i] = __builtin_shufflevector(a, b, low);         \
      s[i + distance] = __builtin_shufflevector(a, b, high); \
    }
#define LOW_8 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23
#define HIGH_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
#define LOW_4 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27
#define HIGH_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define LOW_2 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define LOW_1 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30
#define HIGH_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define TRANSPOSE_BLOCK(type, r, s)              \
  _Pragma("unroll") TRANSPOSE_ROUND(type, r, s, 8, LOW_8, HIGH_8) \
  _Pragma("unroll") TRANSPOSE_ROUND(type, s, r, 4, LOW_4, HIGH_4) \
  _Pragma("unroll") TRANSPOSE_ROUND(type, r, s, 2, LOW_2, HIGH_2) \
  _Pragma("unroll") TRANSPOSE_ROUND(type, s, r, 1, LOW_1, HIGH_1)
