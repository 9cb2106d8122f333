// amx.h: bfloat16 products with AMX, which multiplies tiles of 16 rows and 32 inner indices: the order `tile`.
//
// Four tiles of the result (32 rows, 32 columns) are added up while two tiles of each factor are read. The left factor
// is copied as tiles [16][32], once per block of rows. A block of the right factor (two panels, 512 inner indices:
// 32 KiB) stays in the first-level cache while it is multiplied with all rows; the left factor's tiles come from the
// second-level cache. Packed weights are read where they are.
// The including file says what a tile instruction is (TILE_ZERO, TILE_LOAD, TILE_STORE, TILE_DOT and the two around
// them): an instruction of the processor, or C, so that everything else can be tested without AMX.

enum {
  INNER_BLOCK = TTRL_TILE_INNER_BLOCK,
  LEFT_VALUES = TTRL_ROW_BLOCK * TTRL_TILE_INNER_BLOCK,  // 864 KiB, so that they stay in the second-level cache
  CACHED_DEPTH = 512,
  TILE = 16 * 32,  // values of a factor's tile
};

// The registers: four tiles of the result, two of each factor.
#define RESULT(i, j) ((i) * 2 + (j))

INLINE bool is_whole(int64_t rows, int64_t columns) { return rows >= 16 && columns >= 16; }

// A part of the result that is smaller than a tile, by way of a whole tile.
INLINE void copy_part(const float *from, int64_t from_stride, float *to, int64_t to_stride, int64_t rows,
                      int64_t columns) {
  for (int64_t r = 0; r < least(16, rows); ++r)
    store_first(to + r * to_stride, load_first(from + r * from_stride, columns), columns);
}

#define BEGIN_RESULT(i, j)                                                                      \
  if ((i) < row_tiles && (j) < panels) {                                                        \
    const float *from = out + (i) * 16 * stride + (j) * 16;                                     \
    if (!adds) {                                                                                \
      TILE_ZERO(RESULT(i, j));                                                                  \
    } else if (is_whole(rows - (i) * 16, columns - (j) * 16)) {                                 \
      TILE_LOAD(RESULT(i, j), from, stride * 4);                                                \
    } else {                                                                                    \
      float part[256] = {};                                                                     \
      copy_part(from, stride, part, 16, rows - (i) * 16, columns - (j) * 16);                   \
      TILE_LOAD(RESULT(i, j), part, 64);                                                        \
    }                                                                                           \
  }
#define END_RESULT(i, j)                                                                        \
  if ((i) < row_tiles && (j) < panels) {                                                        \
    float *to = out + (i) * 16 * stride + (j) * 16;                                             \
    if (is_whole(rows - (i) * 16, columns - (j) * 16)) {                                        \
      TILE_STORE(RESULT(i, j), to, stride * 4);                                                 \
    } else {                                                                                    \
      float part[256];                                                                          \
      TILE_STORE(RESULT(i, j), part, 64);                                                       \
      copy_part(part, 16, to, stride, rows - (i) * 16, columns - (j) * 16);                     \
    }                                                                                           \
  }

// Multiplies one or two tiles of rows, `left_distance` values apart, by one or two panels, `distance` values apart.
// `ahead`: the panels that will be read next, or NULL.
INLINE void multiply_block(int row_tiles, int panels, const uint16_t *a, int64_t left_distance, const uint16_t *b,
                           int64_t distance, int64_t depth, float *out, int64_t stride, int64_t rows, int64_t columns,
                           bool adds, const uint16_t *ahead) {
  BEGIN_RESULT(0, 0)
  BEGIN_RESULT(0, 1)
  BEGIN_RESULT(1, 0)
  BEGIN_RESULT(1, 1)
  for (int64_t k = 0; k < depth; k += 32) {
    if (ahead)
      for (int p = 0; p < panels; ++p)
        for (int line = 0; line < 16; ++line)
          __builtin_prefetch(ahead + p * distance + k * 16 + line * 32, 0, 2);
    TILE_LOAD(6, b + k * 16, 64);
    TILE_LOAD(4, a + k * 16, 64);
    TILE_DOT(RESULT(0, 0), 4, 6);
    if (panels > 1) {
      TILE_LOAD(7, b + distance + k * 16, 64);
      TILE_DOT(RESULT(0, 1), 4, 7);
    }
    if (row_tiles > 1) {
      TILE_LOAD(5, a + left_distance + k * 16, 64);
      TILE_DOT(RESULT(1, 0), 5, 6);
      if (panels > 1) TILE_DOT(RESULT(1, 1), 5, 7);
    }
  }
  END_RESULT(0, 0)
  END_RESULT(0, 1)
  END_RESULT(1, 0)
  END_RESULT(1, 1)
}

// Multiplies all rows of the copied left factor, whose rows of tiles are `left_distance` values apart, by some panels.
INLINE void multiply_panels(int panels, int64_t rows, const uint16_t *a, int64_t left_distance, const uint16_t *b,
                            int64_t distance, int64_t depth, float *out, int64_t stride, int64_t columns, bool adds,
                            const uint16_t *ahead) {
  int64_t row = 0;
  for (; rows - row > 16; row += 32, a += 2 * left_distance, out += 32 * stride, ahead = NULL)
    multiply_block(2, panels, a, left_distance, b, distance, depth, out, stride, rows - row, columns, adds, ahead);
  if (row < rows)
    multiply_block(1, panels, a, left_distance, b, distance, depth, out, stride, rows - row, columns, adds, ahead);
}

static __attribute__((noinline)) void multiply_one_panel(int64_t rows, const uint16_t *a, int64_t left_distance,
                                                         const uint16_t *b, int64_t depth, float *out, int64_t stride,
                                                         int64_t columns, bool adds, const uint16_t *ahead) {
  multiply_panels(1, rows, a, left_distance, b, 0, depth, out, stride, columns, adds, ahead);
}
static __attribute__((noinline)) void multiply_two_panels(int64_t rows, const uint16_t *a, int64_t left_distance,
                                                          const uint16_t *b, int64_t distance, int64_t depth,
                                                          float *out, int64_t stride, int64_t columns, bool adds,
                                                          const uint16_t *ahead) {
  multiply_panels(2, rows, a, left_distance, b, distance, depth, out, stride, columns, adds, ahead);
}

// The left factor's rows as tiles: for every 16 rows, tiles [16][32] of consecutive inner indices. Missing rows of the
// last tile have any values: their results are not stored.
INLINE void copy_left_tiles(ttrl_left a, int64_t row, int64_t rows, int64_t inner, int64_t depth, int64_t added,
                            uint16_t *out) {
  for (int64_t r = 0; r < rows; r += 16)
    for (int64_t k = 0; k < depth; k += 32)
      copy_left_pairs(a, row + r, least(16, rows - r), inner + k, least(32, depth - k), out + r * added + k * 16, 32);
}

INLINE void multiply(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out, int64_t stride,
                     bool adds, float *scratch) {
  uint16_t *left = (uint16_t *)scratch, *right = left + LEFT_VALUES;
  TILES_BEGIN();
  for (int64_t inner = 0; inner < b.inner; inner += INNER_BLOCK) {
    const int64_t depth = least(INNER_BLOCK, b.inner - inner), added = rounded_to_tiles(depth);
    // With a short inner dimension (the gradient of weights), more rows share a copy of the right factor.
    const int64_t row_block = LEFT_VALUES / added / 32 * 32;
    for (int64_t row = 0; row < rows; row += row_block) {
      const int64_t height = least(row_block, rows - row);
      copy_left_tiles(a, row, height, inner, depth, added, left);
      for (int64_t panel = first; panel < last; panel += 2) {
        const int panels = panel + 1 < last ? 2 : 1;
        int64_t distance;
        const uint16_t *block = right_pairs(b, inner, depth, added, panel, panels, right, &distance);
        const uint16_t *next = block != right && panel + 2 < last ? block + 2 * distance : NULL;
        float *to = out + row * stride + panel * 16;
        for (int64_t k = 0; k < added; k += CACHED_DEPTH) {
          const int64_t part = least(CACHED_DEPTH, added - k);
          const uint16_t *ahead = next ? next + k * 16 : NULL;
          if (panels == 2)
            multiply_two_panels(height, left + k * 16, 16 * added, block + k * 16, distance, part, to, stride,
                                b.columns - panel * 16, adds || inner + k > 0, ahead);
          else
            multiply_one_panel(height, left + k * 16, 16 * added, block + k * 16, part, to, stride,
                               b.columns - panel * 16, adds || inner + k > 0, ahead);
        }
      }
    }
  }
  TILES_END();
}
