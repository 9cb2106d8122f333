// multiply.h: matrix products with a fixed order of additions for every element.
//
// out[m][n] = Σ over blocks of 288 of (a chain of fused multiply-adds over the block's inner indices, in order).
// An element's bits depend on nothing else: not on the number of rows, not on how many are computed together, not on
// the instruction set. bfloat16 factors are widened first; their products are exact in float32, so only the additions
// round. A block of the right factor (16 columns, 288 inner indices: 18 KiB) stays in the first-level cache while it is
// multiplied with all rows. The left factor's rows are copied, so that they are close together in memory. Weights are
// packed in this order once.

enum {
  INNER_BLOCK = TTRL_INNER_BLOCK,
  ROW_BLOCK = TTRL_ROW_BLOCK,
  BLOCK_FLOATS = INNER_BLOCK * TTRL_LANES,
};

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t rounded_to_lanes(int64_t n) { return (n + 15) & ~(int64_t)15; }

// The index in a packed matrix of inner index `inner_at` (a multiple of 16) of panel `panel`.
INLINE int64_t packed_at(int64_t inner, int64_t columns, int64_t inner_at, int64_t panel) {
  const int64_t block = inner_at / INNER_BLOCK * INNER_BLOCK;
  const int64_t depth = rounded_to_lanes(least(INNER_BLOCK, inner - block));
  return block * rounded_to_lanes(columns) + panel * depth * 16 + (inner_at - block) * 16;
}

INLINE v16 load_value(const void *values, int64_t index, bool is_bf16) {
  if (is_bf16) return from_half(*(const h16_anywhere *)((const uint16_t *)values + index));
  return load((const float *)values + index);
}
INLINE v16 load_first_value(const void *values, int64_t index, int64_t count, bool is_bf16) {
  if (count >= 16) return load_value(values, index, is_bf16);
  if (!is_bf16) return load_first((const float *)values + index, count);
  h16 half = {};
  for (int64_t i = 0; i < count; ++i) half[i] = ((const uint16_t *)values)[index + i];
  return from_half(half);
}

// Transposes 16 rows, `stride` apart, to 16 columns of `out`, whose rows are `out_stride` apart. Missing rows and
// values are zero.
INLINE void transpose_values(const void *values, int64_t at, int64_t stride, int64_t rows, int64_t columns,
                             bool is_bf16,
                             float *out, int64_t out_stride) {
  v16 r[16], s[16];
  for (int i = 0; i < 16; ++i)
    r[i] = i < rows ? load_first_value(values, at + i * stride, columns, is_bf16) : (v16){};
  TRANSPOSE_BLOCK(v16, r, s)
  for (int i = 0; i < 16; ++i) store(out + i * out_stride, r[i]);
}

static void pack_kernel(const float *weights, int64_t inner, int64_t columns, int64_t first, int64_t last, void *out,
                        bool is_bf16) {
  float tile[256];
  for (int64_t panel = first; panel < last; ++panel)
    for (int64_t k = 0; k < inner; k += 16) {
      transpose_values(weights, panel * 16 * inner + k, inner, columns - panel * 16, inner - k, false, tile, 16);
      const int64_t at = packed_at(inner, columns, k, panel);
      for (int i = 0; i < 16; ++i) store_operand(out, at + i * 16, load(tile + i * 16), 16, is_bf16);
    }
}

static void unpack_row_kernel(const void *packed, int64_t inner, int64_t columns, int64_t column, float *out,
                              bool is_bf16) {
  for (int64_t k = 0; k < inner; k += 16) {
    const int64_t at = packed_at(inner, columns, k, column / 16) + column % 16, count = least(16, inner - k);
    for (int64_t i = 0; i < count; ++i) {
      if (!is_bf16) {
        out[k + i] = ((const float *)packed)[at + i * 16];
        continue;
      }
      const uint32_t bits = (uint32_t)((const uint16_t *)packed)[at + i * 16] << 16;
      memcpy(out + k + i, &bits, sizeof bits);
    }
  }
}

// Copies one block of the left factor, widened, to rows of INNER_BLOCK floats.
INLINE void copy_left(ttrl_left a, int64_t row, int64_t rows, int64_t inner, int64_t depth, float *out, bool is_bf16) {
  if (!a.is_transposed) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = 0; k < depth; k += 16)
        store(out + r * INNER_BLOCK + k,
              load_first_value(a.values, (row + r) * a.stride + inner + k, depth - k, is_bf16));
    return;
  }
  for (int64_t r = 0; r < rows; r += 16)
    for (int64_t k = 0; k < depth; k += 16)
      transpose_values(a.values, (inner + k) * a.stride + row + r, a.stride, depth - k, rows - r, is_bf16,
                       out + r * INNER_BLOCK + k, INNER_BLOCK);
}

// One block of the right factor as [depth][16]. It is not copied if it can be multiplied where it is; else it is copied
// to `out`.
INLINE const float *right_block(ttrl_right b, int64_t inner, int64_t depth, int64_t panel, float *out, bool is_bf16) {
  const int64_t column = panel * 16;
  switch (b.layout) {
    case TTRL_PACKED: {
      const int64_t at = packed_at(b.inner, b.columns, inner, panel);
      if (!is_bf16) return (const float *)b.values + at;
      for (int64_t k = 0; k < depth; ++k) store(out + k * 16, load_value(b.values, at + k * 16, true));
      return out;
    }
    case TTRL_PACKED_TRANSPOSED:
      // The packed matrix has this factor's inner indices as columns, and its columns as inner indices.
      for (int64_t k = 0; k < depth; k += 16)
        transpose_values(b.values, packed_at(b.columns, b.inner, column, (inner + k) / 16), 16, 16, 16, is_bf16,
                         out + k * 16, 16);
      return out;
    default:
      for (int64_t k = 0; k < depth; ++k)
        store(out + k * 16,
              load_first_value(b.values, (inner + k) * b.columns + column, b.columns - column, is_bf16));
      return out;
  }
}

// Multiplies some rows by some panels, which are `distance` floats apart. `ahead`: the memory that will be read next,
// or NULL. The result's memory is prefetched too: if it is not in a cache, waiting for it at the end takes a tenth more
// time.
INLINE void multiply_tile(int rows, int panels, const float *a, const float *b, int64_t distance, int64_t depth,
                          float *out, int64_t stride, int64_t columns, bool adds, const char *ahead) {
  v16 s[TILE_ROWS][TILE_PANELS] = {};
  _Pragma("unroll") for (int r = 0; r < rows; ++r)
    _Pragma("unroll") for (int p = 0; p < panels; ++p) __builtin_prefetch(out + r * stride + p * 16, 1, 2);
  for (int64_t k = 0; k < depth; ++k) {
    v16 right[TILE_PANELS];
    _Pragma("unroll") for (int p = 0; p < panels; ++p) right[p] = load(b + p * distance + k * 16);
    if (ahead) _Pragma("unroll") for (int p = 0; p < panels; ++p)
      __builtin_prefetch(ahead + (k * panels + p) * 64, 0, 2);
    _Pragma("unroll") for (int r = 0; r < rows; ++r) {
      v16 left = all(a[r * INNER_BLOCK + k]);
      _Pragma("unroll") for (int p = 0; p < panels; ++p) s[r][p] = multiply_add(left, right[p], s[r][p]);
    }
  }
  _Pragma("unroll") for (int r = 0; r < rows; ++r)
    _Pragma("unroll") for (int p = 0; p < panels; ++p) {
      float *to = out + r * stride + p * 16;
      const int64_t count = columns - p * 16;
      store_first(to, adds ? load_first(to, count) + s[r][p] : s[r][p], count);
    }
}

#define TILE_CASE(n)                                                                                     \
  case n:                                                                                                \
    if (n < TILE_ROWS)                                                                                   \
      multiply_tile(n < TILE_ROWS ? n : 1, panels, a, b, distance, depth, out, stride, columns, adds, NULL); \
    break;

// Multiplies fewer rows than a tile has.
INLINE void multiply_some_rows(int64_t rows, int panels, const float *a, const float *b, int64_t distance,
                               int64_t depth,
                               float *out, int64_t stride, int64_t columns, bool adds) {
  switch (rows) {
    TILE_CASE(1) TILE_CASE(2) TILE_CASE(3) TILE_CASE(4) TILE_CASE(5) TILE_CASE(6)
    TILE_CASE(7) TILE_CASE(8) TILE_CASE(9) TILE_CASE(10) TILE_CASE(11)
  }
}

// Multiplies all rows of the copied left factor by some panels.
INLINE void multiply_panels(int panels, int64_t rows, const float *a, const float *b, int64_t distance, int64_t depth,
                            float *out, int64_t stride, int64_t columns, bool adds, const char *ahead) {
  int64_t row = 0;
  for (; row + TILE_ROWS <= rows; row += TILE_ROWS)
    if (row == 0 && ahead)
      multiply_tile(TILE_ROWS, panels, a, b, distance, depth, out, stride, columns, adds, ahead);
    else
      multiply_tile(TILE_ROWS, panels, a + row * INNER_BLOCK, b, distance, depth, out + row * stride, stride, columns,
                    adds, NULL);
  if (row < rows)
    multiply_some_rows(rows - row, panels, a + row * INNER_BLOCK, b, distance, depth, out + row * stride, stride,
                       columns, adds);
}

// Not inlined, because they are large and are used for every kind of factor.
static __attribute__((noinline)) void multiply_one_panel(int64_t rows, const float *a, const float *b, int64_t depth,
                                                         float *out, int64_t stride, int64_t columns, bool adds,
                                                         const char *ahead) {
  multiply_panels(1, rows, a, b, 0, depth, out, stride, columns, adds, ahead);
}
#if TILE_PANELS == 2
static __attribute__((noinline)) void multiply_two_panels(int64_t rows, const float *a, const float *b,
                                                          int64_t distance, int64_t depth, float *out, int64_t stride,
                                                          int64_t columns, bool adds, const char *ahead) {
  multiply_panels(2, rows, a, b, distance, depth, out, stride, columns, adds, ahead);
}
#endif

INLINE void multiply(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out, int64_t stride,
                     bool adds, float *scratch, bool is_bf16) {
  float *left = scratch, *right = scratch + ROW_BLOCK * INNER_BLOCK;
  for (int64_t inner = 0; inner < b.inner; inner += INNER_BLOCK) {
    const int64_t depth = least(INNER_BLOCK, b.inner - inner);
    for (int64_t row = 0; row < rows; row += ROW_BLOCK) {
      const int64_t height = least(ROW_BLOCK, rows - row);
      copy_left(a, row, height, inner, depth, left, is_bf16);
      for (int64_t panel = first; panel < last; panel += TILE_PANELS) {
        const int64_t column = panel * 16, distance = rounded_to_lanes(depth) * 16, columns = b.columns - column;
        const bool accumulates = adds || inner > 0;
        float *to = out + row * stride + column;
        const float *block = right_block(b, inner, depth, panel, right, is_bf16);
        const bool is_in_place = block != right;
#if TILE_PANELS == 2
        if (panel + 1 < last) {
          right_block(b, inner, depth, panel + 1, right + distance, is_bf16);
          multiply_two_panels(height, left, block, distance, depth, to, stride, columns, accumulates,
                              is_in_place ? (const char *)(block + 2 * distance) : NULL);
          continue;
        }
#endif
        multiply_one_panel(height, left, block, depth, to, stride, columns, accumulates,
                           is_in_place ? (const char *)(block + distance) : NULL);
      }
    }
  }
}

static void multiply_kernel(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                            int64_t stride, bool adds, bool is_bf16, float *scratch) {
  if (is_bf16)
    multiply(a, b, rows, first, last, out, stride, adds, scratch, true);
  else
    multiply(a, b, rows, first, last, out, stride, adds, scratch, false);
}
