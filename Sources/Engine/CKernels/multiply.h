// multiply.h: matrix products with a fixed order of additions for every element.
//
// float32: out[m][n] = Σ over blocks of 288 of (a chain of fused multiply-adds over the block's inner indices, in
// order). bfloat16: the order `pair` or `tile` (CKernels.h); the factors are widened, so the products of two values are
// exact in float32, and only the additions round. An element's bits depend on nothing else: not on the number of rows,
// not on how many are computed together, not on the instruction set. A block of the right factor (16 columns, 288 inner
// indices: 18 KiB) stays in the first-level cache while it is multiplied with all rows. The left factor's rows are
// copied, so that they are close together in memory. Weights are packed in this order once. With few rows, bfloat16
// weights are widened where they are used: they are read once or a few times, so a widened copy does not pay.
// Not here: bfloat16 products by the processor's own instructions (avx512_bf16.c, amx.h).

enum {
  INNER_BLOCK = TTRL_INNER_BLOCK,
  ROW_BLOCK = TTRL_ROW_BLOCK,
  // Up to how many rows packed weights are widened where they are used, and the inner indices of a block. The rows of
  // the copied left factor are a little further apart, so that they do not share a set of the cache.
  DIRECT_ROWS = 4 * TILE_ROWS,
  DIRECT_BLOCK = 1152,
  DIRECT_STRIDE = DIRECT_BLOCK + 16,
};

// The orders of additions, and whether the right factor is a widened copy or packed pairs.
enum { FLOAT32, PAIR, TILE, DIRECT = 4 };

INLINE int order_of(int form) { return form & ~DIRECT; }
INLINE int64_t left_stride(int form) { return form & DIRECT ? DIRECT_STRIDE : INNER_BLOCK; }

INLINE int64_t rounded_to_lanes(int64_t n) { return (n + 15) & ~(int64_t)15; }
// How many inner indices are added for `depth`: those of the order's last step are filled up with zeroes. A zero that
// is added turns -0 into +0, so this number is part of the arithmetic.
INLINE int64_t added_depth(int order, int64_t depth) {
  return order == TILE ? (depth + 31) & ~(int64_t)31 : order == PAIR ? (depth + 1) & ~(int64_t)1 : depth;
}

// The index in a packed float32 matrix of inner index `inner_at` (a multiple of 16) of panel `panel`.
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
  for (int64_t panel = first; panel < last; ++panel, weights += 16 * inner) {
    if (is_bf16) {
      pack_pairs(weights, inner, columns, panel, out);
      continue;
    }
    for (int64_t k = 0; k < inner; k += 16)
      transpose_values(weights, k, inner, columns - panel * 16, inner - k, false,
                       (float *)out + packed_at(inner, columns, k, panel), 16);
  }
}

static void unpack_row_kernel(const void *packed, int64_t inner, int64_t columns, int64_t column, float *out,
                              bool is_bf16) {
  for (int64_t k = 0; k < inner; ++k) {
    if (is_bf16) {
      const uint32_t bits = (uint32_t)((const uint16_t *)packed)[pairs_at(inner, k, column / 16) + column % 16 * 2]
                            << 16;
      memcpy(out + k, &bits, sizeof bits);
    } else {
      out[k] = ((const float *)packed)[packed_at(inner, columns, k / 16 * 16, column / 16) + k % 16 * 16 + column % 16];
    }
  }
}

// Copies one block of the left factor, widened, to rows that are `left_stride` floats apart.
INLINE void copy_left(int form, ttrl_left a, int64_t row, int64_t rows, int64_t inner, int64_t depth, float *out) {
  const bool is_bf16 = form != FLOAT32;
  const int64_t added = added_depth(order_of(form), depth), out_stride = left_stride(form);
  if (!a.is_transposed) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = 0; k < added; k += 16)
        store(out + r * out_stride + k,
              load_first_value(a.values, (row + r) * a.stride + inner + k, depth - k, is_bf16));
    return;
  }
  for (int64_t r = 0; r < rows; r += 16)
    for (int64_t k = 0; k < added; k += 16)
      transpose_values(a.values, (inner + k) * a.stride + row + r, a.stride, depth - k, rows - r, is_bf16,
                       out + r * out_stride + k, out_stride);
}

// Two rows of a panel from a vector of pairs: the even inner index, then the odd one.
INLINE v16 even_of(u16 pairs) { return (v16)(pairs << 16); }
INLINE v16 odd_of(u16 pairs) { return (v16)(pairs & 0xFFFF0000u); }

// One block of the right factor as [depth][16]. It is not copied if it can be multiplied where it is; else it is copied
// to `out`.
INLINE const float *right_block(int order, ttrl_right b, int64_t inner, int64_t depth, int64_t panel, float *out) {
  const bool is_bf16 = order != FLOAT32;
  const int64_t column = panel * 16, added = added_depth(order, depth);
  switch (b.layout) {
    case TTRL_PACKED:
      if (!is_bf16) return (const float *)b.values + packed_at(b.inner, b.columns, inner, panel);
      for (int64_t k = 0; k < added; k += 2) {
        const u16 pairs = load_pairs((const uint16_t *)b.values + pairs_at(b.inner, inner + k, panel));
        store(out + k * 16, even_of(pairs));
        store(out + k * 16 + 16, odd_of(pairs));
      }
      return out;
    case TTRL_PACKED_TRANSPOSED:
      // The packed matrix has this factor's inner indices as columns, and its columns as inner indices.
      for (int64_t k = 0; k < added; k += 16) {
        v16 r[16] = {}, s[16];
        if (is_bf16) {
          if (inner + k < b.inner)
            for (int i = 0; i < 16; i += 2) {
              const u16 pairs =
                  load_pairs((const uint16_t *)b.values + pairs_at(b.columns, column + i, (inner + k) / 16));
              r[i] = even_of(pairs);
              r[i + 1] = odd_of(pairs);
            }
        } else {
          const float *from = (const float *)b.values + packed_at(b.columns, b.inner, column, (inner + k) / 16);
          for (int i = 0; i < 16; ++i) r[i] = load(from + i * 16);
        }
        TRANSPOSE_BLOCK(v16, r, s)
        for (int i = 0; i < 16; ++i) store(out + (k + i) * 16, r[i]);
      }
      return out;
    default:
      for (int64_t k = 0; k < added; ++k)
        store(out + k * 16,
              k < depth ? load_first_value(b.values, (inner + k) * b.columns + column, b.columns - column, is_bf16)
                        : (v16){});
      return out;
  }
}

// One row of a panel of the right factor. is_odd: the parity of k, known when this is compiled.
INLINE v16 right_row(int form, const void *b, int64_t k, bool is_odd) {
  if (!(form & DIRECT)) return load((const float *)b + k * 16);
  const u16 pairs = load_pairs((const uint16_t *)b + k / 2 * 32);
  return is_odd ? odd_of(pairs) : even_of(pairs);
}
// The memory of inner index `k` of the panel that is `distance` values of its form after the first one.
INLINE const void *right_panel(int form, const void *b, int64_t distance, int64_t k) {
  return (const char *)b + (distance + k * 16) * (form & DIRECT ? 2 : 4);
}

// Adds the products of inner index k, whose parity is_odd says.
#define ADD_PRODUCTS(s, k, is_odd)                                                                                   \
  {                                                                                                                  \
    v16 right[TILE_PANELS];                                                                                          \
    _Pragma("unroll") for (int p = 0; p < panels; ++p)                                                               \
        right[p] = right_row(form, right_panel(form, b, p * distance, 0), k, is_odd);                                \
    if (ahead && !((form & DIRECT) && (is_odd))) _Pragma("unroll") for (int p = 0; p < panels; ++p)                  \
      __builtin_prefetch(right_panel(form, ahead, p * distance, k), 0, 2);                                           \
    _Pragma("unroll") for (int r = 0; r < rows; ++r) {                                                               \
      v16 left = all(a[r * left_stride(form) + (k)]);                                                                \
      _Pragma("unroll") for (int p = 0; p < panels; ++p) (s)[r][p] = multiply_add(left, right[p], (s)[r][p]);        \
    }                                                                                                                \
  }

// Multiplies some rows by some panels, which are `distance` values apart. `ahead`: the panels that will be read next,
// or NULL. The result's memory is prefetched too: if it is not in a cache, waiting for it at the end takes a tenth more
// time.
INLINE void multiply_tile(int form, int rows, int panels, const float *a, const void *b, int64_t distance,
                          int64_t depth, float *out, int64_t stride, int64_t columns, bool adds, const void *ahead) {
  const bool is_chain = order_of(form) == PAIR;
  v16 s[TILE_ROWS][TILE_PANELS] = {};
  _Pragma("unroll") for (int r = 0; r < rows; ++r)
    _Pragma("unroll") for (int p = 0; p < panels; ++p) {
      const float *from = out + r * stride + p * 16;
      if (is_chain && adds)
        s[r][p] = load_first(from, columns - p * 16);
      else
        __builtin_prefetch(from, 1, 2);
    }
  if (is_chain) {
    for (int64_t k = 0; k < depth; k += 2) {
      ADD_PRODUCTS(s, k + 1, true)
      ADD_PRODUCTS(s, k, false)
    }
  } else {
    for (int64_t k = 0; k < depth; ++k) ADD_PRODUCTS(s, k, false)
  }
  _Pragma("unroll") for (int r = 0; r < rows; ++r)
    _Pragma("unroll") for (int p = 0; p < panels; ++p) {
      float *to = out + r * stride + p * 16;
      const int64_t count = columns - p * 16;
      store_first(to, !is_chain && adds ? load_first(to, count) + s[r][p] : s[r][p], count);
    }
}

// The same in the order of AMX, with half as many rows because each element has two chains.
INLINE void multiply_chains(int form, int rows, int panels, const float *a, const void *b, int64_t distance,
                            int64_t depth, float *out, int64_t stride, int64_t columns, bool adds, const void *ahead) {
  for (int64_t first = 0; first < depth; first += 32) {
    v16 even[TILE_ROWS / 2][TILE_PANELS] = {}, odd[TILE_ROWS / 2][TILE_PANELS] = {};
    for (int64_t k = first; k < first + 32; k += 2) {
      ADD_PRODUCTS(even, k, false)
      ADD_PRODUCTS(odd, k + 1, true)
    }
    _Pragma("unroll") for (int r = 0; r < rows; ++r)
      _Pragma("unroll") for (int p = 0; p < panels; ++p) {
        float *to = out + r * stride + p * 16;
        const int64_t count = columns - p * 16;
        const v16 before = adds || first > 0 ? load_first(to, count) : (v16){};
        store_first(to, before + (even[r][p] + odd[r][p]), count);
      }
  }
}

INLINE int rows_at_a_time(int form) { return order_of(form) == TILE ? TILE_ROWS / 2 : TILE_ROWS; }

INLINE void multiply_rows(int form, int rows, int panels, const float *a, const void *b, int64_t distance,
                          int64_t depth, float *out, int64_t stride, int64_t columns, bool adds, const void *ahead) {
  if (order_of(form) == TILE)
    multiply_chains(form, rows, panels, a, b, distance, depth, out, stride, columns, adds, ahead);
  else
    multiply_tile(form, rows, panels, a, b, distance, depth, out, stride, columns, adds, ahead);
}

#define ROWS_CASE(n)                                                                                                  \
  case n:                                                                                                             \
    if (n < rows_at_a_time(form))                                                                                     \
      multiply_rows(form, n < rows_at_a_time(form) ? n : 1, panels, a, b, distance, depth, out, stride, columns, adds, \
                    form & DIRECT ? ahead : NULL);                                                                    \
    break;

// Multiplies fewer rows than a tile has.
INLINE void multiply_some_rows(int form, int64_t rows, int panels, const float *a, const void *b, int64_t distance,
                               int64_t depth, float *out, int64_t stride, int64_t columns, bool adds,
                               const void *ahead) {
  switch (rows) {
    ROWS_CASE(1) ROWS_CASE(2) ROWS_CASE(3) ROWS_CASE(4) ROWS_CASE(5) ROWS_CASE(6)
    ROWS_CASE(7) ROWS_CASE(8) ROWS_CASE(9) ROWS_CASE(10) ROWS_CASE(11)
  }
}

// Multiplies all rows of the copied left factor by some panels.
INLINE void multiply_panels(int form, int panels, int64_t rows, const float *a, const void *b, int64_t distance,
                            int64_t depth, float *out, int64_t stride, int64_t columns, bool adds, const void *ahead) {
  const int height = rows_at_a_time(form);
  for (; rows >= height; rows -= height, a += height * left_stride(form), out += height * stride, ahead = NULL)
    if (ahead)
      multiply_rows(form, height, panels, a, b, distance, depth, out, stride, columns, adds, ahead);
    else
      multiply_rows(form, height, panels, a, b, distance, depth, out, stride, columns, adds, NULL);
  multiply_some_rows(form, rows, panels, a, b, distance, depth, out, stride, columns, adds, ahead);
}

// Not inlined, because they are large and are used for every kind of factor.
#define PANEL_FUNCTIONS(form, name)                                                                                   \
  static __attribute__((noinline)) void multiply_one_panel_##name(                                                    \
      int64_t rows, const float *a, const void *b, int64_t depth, float *out, int64_t stride, int64_t columns,        \
      bool adds, const void *ahead) {                                                                                 \
    multiply_panels(form, 1, rows, a, b, 0, depth, out, stride, columns, adds, ahead);                                \
  }                                                                                                                   \
  static __attribute__((noinline)) void multiply_some_panels_##name(                                                  \
      int64_t rows, const float *a, const void *b, int64_t distance, int64_t depth, float *out, int64_t stride,       \
      int64_t columns, bool adds, const void *ahead) {                                                                \
    multiply_panels(form, TILE_PANELS, rows, a, b, distance, depth, out, stride, columns, adds, ahead);               \
  }
PANEL_FUNCTIONS(FLOAT32, float32)
PANEL_FUNCTIONS(PAIR, pair)
PANEL_FUNCTIONS(TILE, tile)
PANEL_FUNCTIONS(PAIR | DIRECT, direct_pair)
PANEL_FUNCTIONS(TILE | DIRECT, direct_tile)

#define CALL_PANELS(function, ...)                                                     \
  switch (form) {                                                                      \
    case FLOAT32: multiply_##function##_float32(__VA_ARGS__); break;                   \
    case PAIR: multiply_##function##_pair(__VA_ARGS__); break;                         \
    case TILE: multiply_##function##_tile(__VA_ARGS__); break;                         \
    case PAIR | DIRECT: multiply_##function##_direct_pair(__VA_ARGS__); break;         \
    default: multiply_##function##_direct_tile(__VA_ARGS__); break;                    \
  }

INLINE void multiply_form(int form, ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                          int64_t stride, bool adds, float *scratch) {
  const bool is_direct = form & DIRECT;
  const int64_t inner_block = is_direct ? DIRECT_BLOCK : INNER_BLOCK;
  float *left = scratch, *right = scratch + ROW_BLOCK * INNER_BLOCK;
  for (int64_t inner = 0; inner < b.inner; inner += inner_block) {
    const int64_t depth = least(inner_block, b.inner - inner), added = added_depth(order_of(form), depth);
    const int64_t distance = is_direct ? rounded_to_tiles(b.inner) * 16 : rounded_to_lanes(added) * 16;
    for (int64_t row = 0; row < rows; row += ROW_BLOCK) {
      const int64_t height = least(ROW_BLOCK, rows - row);
      copy_left(form, a, row, height, inner, depth, left);
      for (int64_t panel = first; panel < last; panel += TILE_PANELS) {
        const int64_t column = panel * 16, columns = b.columns - column;
        const int panels = TILE_PANELS == 2 && panel + 1 < last ? 2 : 1;
        const bool accumulates = adds || inner > 0;
        float *to = out + row * stride + column;
        const void *block = is_direct ? (const void *)((const uint16_t *)b.values + pairs_at(b.inner, inner, panel))
                                      : right_block(form, b, inner, depth, panel, right);
        if (panels == 2 && !is_direct) right_block(form, b, inner, depth, panel + 1, right + distance);
        const void *ahead =
            block != right && panel + panels < last ? right_panel(form, block, panels * distance, 0) : NULL;
        if (panels == 2)
          CALL_PANELS(some_panels, height, left, block, distance, added, to, stride, columns, accumulates, ahead)
        else
          CALL_PANELS(one_panel, height, left, block, added, to, stride, columns, accumulates, ahead)
      }
    }
  }
}

INLINE void multiply(int order, ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                     int64_t stride, bool adds, float *scratch) {
  if (order != FLOAT32 && b.layout == TTRL_PACKED && rows <= DIRECT_ROWS)
    multiply_form(order | DIRECT, a, b, rows, first, last, out, stride, adds, scratch);
  else
    multiply_form(order, a, b, rows, first, last, out, stride, adds, scratch);
}

static void multiply_float32_kernel(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                                    int64_t stride, bool adds, float *scratch) {
  multiply(FLOAT32, a, b, rows, first, last, out, stride, adds, scratch);
}

// The loops are in functions that are not inlined, between the two writes of the control register.
static void multiply_pair_kernel(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                                 int64_t stride, bool adds, float *scratch) {
  const uint32_t mode = denormals_are_zero();
  multiply(PAIR, a, b, rows, first, last, out, stride, adds, scratch);
  restore_denormals(mode);
}
static void multiply_tile_kernel(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                                 int64_t stride, bool adds, float *scratch) {
  const uint32_t mode = denormals_are_zero();
  multiply(TILE, a, b, rows, first, last, out, stride, adds, scratch);
  restore_denormals(mode);
}
