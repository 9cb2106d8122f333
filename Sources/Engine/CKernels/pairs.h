// pairs.h: bfloat16 matrices as pairs of adjacent inner indices, as the processors' bfloat16 instructions read them.
//
// A vector of pairs has 16 columns of the right factor; each has the values of an even inner index (low half) and of
// the next one (high half). AMX reads 16 such vectors as one operand, vdpbf16ps reads one. In the left factor, a row's
// values are in order, which is the same: pairs of adjacent inner indices. Not here: products (multiply.h,
// avx512_bf16.c, amx.h).

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

typedef u16 u16_anywhere __attribute__((aligned(2)));

INLINE u16 load_pairs(const uint16_t *p) { return *(const u16_anywhere *)p; }
INLINE void store_pairs(uint16_t *p, u16 x) { *(u16_anywhere *)p = x; }
INLINE int64_t rounded_to_tiles(int64_t n) { return (n + 31) & ~(int64_t)31; }

// The index in packed bfloat16 weights of inner index `k` of a panel's first column.
INLINE int64_t pairs_at(int64_t inner, int64_t k, int64_t panel) {
  return (panel * rounded_to_tiles(inner) + k / 2 * 2) * 16 + k % 2;
}

// In both orders denormals are zero, as input and as result. Returns the previous mode.
INLINE uint32_t denormals_are_zero(void) {
#if defined(__x86_64__)
  const uint32_t mode = __builtin_ia32_stmxcsr();
  __builtin_ia32_ldmxcsr(mode | 0x8040);
  return mode;
#else
  return 0;
#endif
}
INLINE void restore_denormals(uint32_t mode) {
#if defined(__x86_64__)
  __builtin_ia32_ldmxcsr(mode);
#endif
}

// The first `count` halves; the others are zero.
INLINE u16 load_first_halves(const uint16_t *p, int64_t count) {
  if (count >= 16) return __builtin_convertvector(*(const h16_anywhere *)p, u16);
  u16 x = {};
  for (int64_t i = 0; i < count; ++i) x[i] = p[i];
  return x;
}

// The first `count` halves of 32, as pairs; the others are zero.
INLINE u16 load_first_pairs(const uint16_t *p, int64_t count) {
  if (count >= 32) return load_pairs(p);
  uint16_t halves[32] = {};
  for (int64_t i = 0; i < count; ++i) halves[i] = p[i];
  return load_pairs(halves);
}

// Packs one panel of weights [columns, inner] of float32 values. `weights`: the panel's rows.
INLINE void pack_pairs(const float *weights, int64_t inner, int64_t columns, int64_t panel, uint16_t *out) {
  for (int64_t k = 0; k < inner; k += 32) {
    u16 r[16] = {}, s[16];
    for (int i = 0; i < 16; ++i) {
      if (panel * 16 + i >= columns) break;
      const float *from = weights + i * inner + k;
      uint16_t halves[32];
      store_operand(halves, 0, load_first(from, least(16, inner - k)), 16, true);
      store_operand(halves, 16, inner - k > 16 ? load_first(from + 16, inner - k - 16) : (v16){}, 16, true);
      r[i] = load_pairs(halves);
    }
    TRANSPOSE_BLOCK(u16, r, s)
    for (int i = 0; i < 16; ++i) store_pairs(out + pairs_at(inner, k + 2 * i, panel), r[i]);
  }
}

// One block of the left factor, `rows` rows of `depth` inner indices from `inner` on. Rows are `stride` apart in `out`.
// `added`: the depth that is needed, a multiple of 32 above `depth` by less than 32; the rest is zero.
INLINE void copy_left_pairs(ttrl_left a, int64_t row, int64_t rows, int64_t inner, int64_t depth, uint16_t *out,
                            int64_t stride) {
  const uint16_t *values = (const uint16_t *)a.values;
  if (!a.is_transposed) {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = 0; k < depth; k += 32)
        store_pairs(out + r * stride + k, load_first_pairs(values + (row + r) * a.stride + inner + k, depth - k));
    return;
  }
  for (int64_t r = 0; r < rows; r += 16)
    for (int64_t k = 0; k < depth; k += 32) {
      u16 p[16] = {}, s[16];
      for (int i = 0; i < 16; ++i) {
        const uint16_t *from = values + (inner + k + 2 * i) * a.stride + row + r;
        if (k + 2 * i < depth) p[i] = load_first_halves(from, rows - r);
        if (k + 2 * i + 1 < depth) p[i] |= load_first_halves(from + a.stride, rows - r) << 16;
      }
      TRANSPOSE_BLOCK(u16, p, s)
      for (int i = 0; i < 16; ++i) store_pairs(out + (r + i) * stride + k, p[i]);
    }
}

// One block of `panels` (1 or 2) panels of the right factor, [added / 2][16][2] each and `distance` apart. It is not
// copied if it can be multiplied where it is; else it is copied to `out`, with zeroes from `depth` on.
INLINE const uint16_t *right_pairs(ttrl_right b, int64_t inner, int64_t depth, int64_t added, int64_t panel, int panels,
                                   uint16_t *out, int64_t *distance) {
  const uint16_t *values = (const uint16_t *)b.values;
  const int64_t column = panel * 16;
  *distance = rounded_to_tiles(b.layout == TTRL_PACKED ? b.inner : added) * 16;
  switch (b.layout) {
    case TTRL_PACKED: return values + pairs_at(b.inner, inner, panel);
    case TTRL_PACKED_TRANSPOSED:
      // The packed matrix has this factor's inner indices as columns, and its columns as inner indices. Of 16 inner
      // indices, 32 columns are turned over at a time.
      for (int64_t k = 0; k < added; k += 16) {
        u16 r[16] = {}, s[16];
        if (inner + k < b.inner)
          for (int i = 0; i < 8 * panels; ++i)
            r[i] = load_pairs(values + pairs_at(b.columns, column + 2 * i, (inner + k) / 16));
        TRANSPOSE_BLOCK(u16, r, s)
        uint16_t *to = out + k * 16;
        for (int i = 0; i < 16; i += 2) {
          // r[i] has one inner index and 32 columns.
          uint16_t low[32], high[32];
          store_pairs(low, r[i]);
          store_pairs(high, r[i + 1]);
          for (int p = 0; p < panels; ++p)
            store_pairs(to + p * *distance + i * 16,
                        load_first_halves(low + 16 * p, 16) | load_first_halves(high + 16 * p, 16) << 16);
        }
      }
      return out;
    default:
      for (int p = 0; p < panels; ++p)
        for (int64_t k = 0; k < added; k += 2) {
          const uint16_t *from = values + (inner + k) * b.columns + column + 16 * p;
          const int64_t count = b.columns - column - 16 * p;
          u16 pairs = {};
          if (k < depth) pairs = load_first_halves(from, count);
          if (k + 1 < depth) pairs |= load_first_halves(from + b.columns, count) << 16;
          store_pairs(out + p * *distance + k * 16, pairs);
        }
      return out;
  }
}
