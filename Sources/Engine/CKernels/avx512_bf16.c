// bfloat16 products with vdpbf16ps, which adds two products to each of 16 floats: the order `pair`.
//
// The instruction reads pairs where they are packed, so nothing is widened. Blocks and tiles are those of multiply.h.
#include "CKernels.h"
#include "products.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#define INSTRUCTION_SET "avx512f,avx512dq,avx512bw,avx512vl,avx512bf16,avx2,fma"
#pragma clang attribute push(__attribute__((target(INSTRUCTION_SET))), apply_to = function)
#include "vector.h"
#include "transpose.h"
#include "pairs.h"

enum { ROWS = 12, INNER_BLOCK = TTRL_INNER_BLOCK, ROW_BLOCK = TTRL_ROW_BLOCK };

INLINE v16 add_pairs(v16 sum, u16 left, u16 right) {
  return (v16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
}

// Multiplies some rows by some panels, which are `distance` values apart. `ahead`: the memory that will be read next,
// or NULL.
INLINE void multiply_tile(int rows, int panels, const uint16_t *a, const uint16_t *b, int64_t distance, int64_t depth,
                          float *out, int64_t stride, int64_t columns, bool adds, const uint16_t *ahead) {
  v16 s[ROWS][2] = {};
  _Pragma("unroll") for (int r = 0; r < rows; ++r)
    _Pragma("unroll") for (int p = 0; p < panels; ++p) {
      const float *from = out + r * stride + p * 16;
      if (adds)
        s[r][p] = load_first(from, columns - p * 16);
      else
        __builtin_prefetch(from, 1, 2);
    }
  for (int64_t k = 0; k < depth; k += 2) {
    u16 right[2];
    _Pragma("unroll") for (int p = 0; p < panels; ++p) {
      right[p] = load_pairs(b + p * distance + k * 16);
      if (ahead) __builtin_prefetch(ahead + p * distance + k * 16, 0, 2);
    }
    _Pragma("unroll") for (int r = 0; r < rows; ++r) {
      uint32_t pair;
      memcpy(&pair, a + r * INNER_BLOCK + k, sizeof pair);
      const u16 left = (u16){} + pair;
      _Pragma("unroll") for (int p = 0; p < panels; ++p) s[r][p] = add_pairs(s[r][p], left, right[p]);
    }
  }
  _Pragma("unroll") for (int r = 0; r < rows; ++r)
    _Pragma("unroll") for (int p = 0; p < panels; ++p)
      store_first(out + r * stride + p * 16, s[r][p], columns - p * 16);
}

#define TILE_CASE(n) \
  case n: multiply_tile(n, panels, a, b, distance, depth, out, stride, columns, adds, NULL); break;

INLINE void multiply_panels(int panels, int64_t rows, const uint16_t *a, const uint16_t *b, int64_t distance,
                            int64_t depth, float *out, int64_t stride, int64_t columns, bool adds,
                            const uint16_t *ahead) {
  for (; rows >= ROWS; rows -= ROWS, a += ROWS * INNER_BLOCK, out += ROWS * stride, ahead = NULL)
    if (ahead)
      multiply_tile(ROWS, panels, a, b, distance, depth, out, stride, columns, adds, ahead);
    else
      multiply_tile(ROWS, panels, a, b, distance, depth, out, stride, columns, adds, NULL);
  switch (rows) {
    TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6)
    TILE_CASE(7) TILE_CASE(8) TILE_CASE(9) TILE_CASE(10) TILE_CASE(11)
  }
}

// Not inlined, because they are large and are used for every kind of factor.
static __attribute__((noinline)) void multiply_one_panel(int64_t rows, const uint16_t *a, const uint16_t *b,
                                                         int64_t depth, float *out, int64_t stride, int64_t columns,
                                                         bool adds, const uint16_t *ahead) {
  multiply_panels(1, rows, a, b, 0, depth, out, stride, columns, adds, ahead);
}
static __attribute__((noinline)) void multiply_two_panels(int64_t rows, const uint16_t *a, const uint16_t *b,
                                                          int64_t distance, int64_t depth, float *out, int64_t stride,
                                                          int64_t columns, bool adds, const uint16_t *ahead) {
  multiply_panels(2, rows, a, b, distance, depth, out, stride, columns, adds, ahead);
}

void ttrl_multiply_pair_avx512_bf16(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                                    int64_t stride, bool adds, float *scratch) {
  uint16_t *left = (uint16_t *)scratch, *right = left + ROW_BLOCK * INNER_BLOCK;
  for (int64_t inner = 0; inner < b.inner; inner += INNER_BLOCK) {
    const int64_t depth = least(INNER_BLOCK, b.inner - inner), added = (depth + 1) & ~(int64_t)1;
    for (int64_t row = 0; row < rows; row += ROW_BLOCK) {
      const int64_t height = least(ROW_BLOCK, rows - row);
      copy_left_pairs(a, row, height, inner, depth, left, INNER_BLOCK);
      for (int64_t panel = first; panel < last; panel += 2) {
        const int panels = panel + 1 < last ? 2 : 1;
        int64_t distance;
        const uint16_t *block = right_pairs(b, inner, depth, added, panel, panels, right, &distance);
        const uint16_t *ahead = block != right && panel + 2 < last ? block + 2 * distance : NULL;
        float *to = out + row * stride + panel * 16;
        if (panels == 2)
          multiply_two_panels(height, left, block, distance, added, to, stride, b.columns - panel * 16,
                              adds || inner > 0, ahead);
        else
          multiply_one_panel(height, left, block, added, to, stride, b.columns - panel * 16, adds || inner > 0, ahead);
      }
    }
  }
}
#pragma clang attribute pop

bool ttrl_has_avx512_bf16(void) { return __builtin_cpu_supports("avx512bf16"); }
#endif
