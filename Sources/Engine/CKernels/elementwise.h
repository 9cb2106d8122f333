// elementwise.h: rounding, adding, transposing, RMSNorm, gated activations, and their gradients.

static void exponential_kernel(const float *x, float *out, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) store_first(out + i, exponential(load_first(x + i, count - i)), count - i);
}

static void logarithm_kernel(const float *x, float *out, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) store_first(out + i, logarithm(load_first(x + i, count - i)), count - i);
}

static void to_bf16_kernel(const float *x, uint16_t *out, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) store_operand(out, i, load_first(x + i, count - i), count - i, true);
}

static void round_to_bf16_kernel(const float *x, float *out, int64_t count) {
  for (int64_t i = 0; i < count; i += 16)
    store_first(out + i, from_half(to_half(load_first(x + i, count - i))), count - i);
}

static void add_kernel(const float *x, float *y, int64_t count) {
  for (int64_t i = 0; i < count; i += 16)
    store_first(y + i, load_first(x + i, count - i) + load_first(y + i, count - i), count - i);
}

static void scale_kernel(const float *x, float factor, float *out, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) store_first(out + i, load_first(x + i, count - i) * factor, count - i);
}

static void add_scaled_kernel(const float *x, float factor, float *y, int64_t count) {
  for (int64_t i = 0; i < count; i += 16)
    store_first(y + i, multiply_add(load_first(x + i, count - i), all(factor), load_first(y + i, count - i)),
                count - i);
}

static void gather_kernel(const float *table, const int32_t *index, float *out, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i)
    memcpy(out + i * columns, table + index[i] * columns, (size_t)columns * sizeof(float));
}

static void scatter_add_kernel(const float *x, const int32_t *index, float *table, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; ++i) add_kernel(x + i * columns, table + index[i] * columns, columns);
}

static void add_columns_kernel(const float *x, float *sums, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < columns; i += 16) {
    int64_t count = columns - i;
    v16 total = {};
    for (int64_t row = 0; row < rows; ++row) total += load_first(x + row * columns + i, count);
    store_first(sums + i, load_first(sums + i, count) + total, count);
  }
}

INLINE void transpose_block(const float *in, int64_t in_stride, float *out, int64_t out_stride) {
  v16 r[16], s[16];
  for (int i = 0; i < 16; ++i) r[i] = load(in + i * in_stride);
  TRANSPOSE_BLOCK(v16, r, s)
  for (int i = 0; i < 16; ++i) store(out + i * out_stride, r[i]);
}

INLINE void transpose_block_half(const uint16_t *in, int64_t in_stride, uint16_t *out, int64_t out_stride) {
  h16 r[16], s[16];
  for (int i = 0; i < 16; ++i) r[i] = *(const h16_anywhere *)(in + i * in_stride);
  TRANSPOSE_BLOCK(h16, r, s)
  for (int i = 0; i < 16; ++i) *(h16_anywhere *)(out + i * out_stride) = r[i];
}

static void transpose_kernel(const void *x, void *out, int64_t rows, int64_t columns, int64_t padded_rows,
                             bool is_bf16) {
  const size_t size = is_bf16 ? 2 : 4;
  int64_t full_columns = columns / 16 * 16;
  for (int64_t row = 0; row < padded_rows; row += 16) {
    int64_t width = padded_rows - row < 16 ? padded_rows - row : 16;
    int64_t present = rows - row < 0 ? 0 : rows - row < width ? rows - row : width;
    int64_t column = 0;
    if (present == 16)
      for (; column < full_columns; column += 16) {
        if (is_bf16)
          transpose_block_half((const uint16_t *)x + row * columns + column, columns,
                               (uint16_t *)out + column * padded_rows + row, padded_rows);
        else
          transpose_block((const float *)x + row * columns + column, columns,
                          (float *)out + column * padded_rows + row, padded_rows);
      }
    for (; column < columns; ++column) {
      char *to = (char *)out + (size_t)(column * padded_rows + row) * size;
      for (int64_t i = 0; i < present; ++i)
        memcpy(to + (size_t)i * size, (const char *)x + (size_t)((row + i) * columns + column) * size, size);
      memset(to + (size_t)present * size, 0, (size_t)(width - present) * size);
    }
  }
}

// 1 / sqrt(mean(x²) + epsilon). Four chains of vectors, so that additions do not wait for each other.
INLINE float inverse_rms(const float *x, int64_t columns, float epsilon) {
  v16 chains[4] = {};
  int64_t i = 0;
  for (; i + 64 <= columns; i += 64)
    for (int chain = 0; chain < 4; ++chain) {
      v16 value = load(x + i + 16 * chain);
      chains[chain] = multiply_add(value, value, chains[chain]);
    }
  for (int chain = 0; i < columns; i += 16, ++chain) {
    v16 value = load_first(x + i, columns - i);
    chains[chain] = multiply_add(value, value, chains[chain]);
  }
  float squares = sum((chains[0] + chains[1]) + (chains[2] + chains[3]));
  return 1.0f / __builtin_sqrtf(squares / (float)columns + epsilon);
}

INLINE void rms_norm(const float *x, const float *weight, float epsilon, void *out, int64_t rows, int64_t columns,
                     bool is_bf16) {
  for (int64_t row = 0; row < rows; ++row, x += columns) {
    float inverse = inverse_rms(x, columns, epsilon);
    for (int64_t i = 0; i < columns; i += 16) {
      int64_t count = columns - i;
      store_operand(out, row * columns + i, load_first(x + i, count) * inverse * load_first(weight + i, count), count,
                    is_bf16);
    }
  }
}

static void rms_norm_kernel(const float *x, const float *weight, float epsilon, void *out, int64_t rows,
                            int64_t columns, bool is_bf16) {
  if (is_bf16)
    rms_norm(x, weight, epsilon, out, rows, columns, true);
  else
    rms_norm(x, weight, epsilon, out, rows, columns, false);
}

INLINE void rms_norm_row_weight_backward(const float *x, float inverse, const float *dy, float *dweight,
                                         int64_t columns) {
  for (int64_t i = 0; i < columns; i += 16) {
    int64_t count = columns - i;
    v16 normed = load_first(x + i, count) * inverse;
    store_first(dweight + i, multiply_add(load_first(dy + i, count), normed, load_first(dweight + i, count)), count);
  }
}

// y = x·r·w with r = 1/sqrt(mean(x²) + e):  dx = r·(dy·w) - x·r³·mean(dy·w·x),  dw = dy·x·r. Returns r.
INLINE float rms_norm_row_backward(const float *x, const float *weight, float epsilon, const float *dy, float *dx,
                                   int64_t columns, bool adds) {
  float inverse = inverse_rms(x, columns, epsilon);
  v16 dot = {};
  for (int64_t i = 0; i < columns; i += 16) {
    int64_t count = columns - i;
    dot = multiply_add(load_first(dy + i, count) * load_first(weight + i, count), load_first(x + i, count), dot);
  }
  float pull = sum(dot) / (float)columns * inverse * inverse * inverse;
  for (int64_t i = 0; i < columns; i += 16) {
    int64_t count = columns - i;
    v16 value = load_first(x + i, count), g = load_first(dy + i, count);
    v16 d = multiply_add(g * load_first(weight + i, count), all(inverse), value * -pull);
    store_first(dx + i, adds ? load_first(dx + i, count) + d : d, count);
  }
  return inverse;
}

static void rms_norm_backward_kernel(const float *x, const float *weight, float epsilon, const float *dy, float *dx,
                                     float *inverses, int64_t rows, int64_t columns) {
  for (int64_t row = 0; row < rows; ++row)
    inverses[row] = rms_norm_row_backward(x + row * columns, weight, epsilon, dy + row * columns, dx + row * columns,
                                          columns, true);
}

static void rms_norm_weight_backward_kernel(const float *x, const float *inverses, const float *dy, float *dweight,
                                            int64_t rows, int64_t columns, int64_t first, int64_t end) {
  for (int64_t row = 0; row < rows; ++row)
    rms_norm_row_weight_backward(x + row * columns + first, inverses[row], dy + row * columns + first, dweight + first,
                                 end - first);
}

// The activation of a gate g: g·s and its slope, with s the sigmoid of g (SiLU) or of a polynomial of g (GELU).
//
// GELU in the form with tanh is g·(1 + tanh(u))/2 with u = √(2/π)·(g + 0.044715·g³), and (1 + tanh(u))/2 is the sigmoid
// of 2u. It is computed for |g| ≤ 16, because beyond, s is 0 or 1; so g³ is finite.
INLINE v16 bounded_gate(v16 g) { return larger(smaller(g, all(16.0f)), all(-16.0f)); }
INLINE v16 gate_share(v16 g, bool is_gelu) {
  if (!is_gelu) return sigmoid(g);
  v16 b = bounded_gate(g);
  return sigmoid(all(1.59576912f) * multiply_add(all(0.044715f) * b, b * b, b));
}
// d (g·s) / d g = s·(1 + g·(1 - s)·d(2u)/dg).
INLINE v16 gate_slope(v16 g, v16 s, bool is_gelu) {
  if (!is_gelu) return s * multiply_add(g, 1.0f - s, all(1.0f));
  v16 b = bounded_gate(g);
  v16 inner = multiply_add(all(3 * 0.044715f) * b, b, all(1.0f)) * 1.59576912f;
  return s * multiply_add(b * inner, 1.0f - s, all(1.0f));
}

INLINE void glu(const float *gate_up, void *out, int64_t rows, int64_t width, bool is_gelu, bool is_bf16) {
  for (int64_t row = 0; row < rows; ++row) {
    const float *gate = gate_up + row * 2 * width, *up = gate + width;
    for (int64_t i = 0; i < width; i += 16) {
      int64_t count = width - i;
      v16 g = load_first(gate + i, count);
      store_operand(out, row * width + i, g * gate_share(g, is_gelu) * load_first(up + i, count), count, is_bf16);
    }
  }
}

// Calls a function once for each value of its two last arguments, which then are constants.
#define FOR_ACTIVATION_AND_TYPE(function, ...)     \
  if (is_gelu) {                                   \
    if (is_bf16)                                   \
      function(__VA_ARGS__, true, true);           \
    else                                           \
      function(__VA_ARGS__, true, false);          \
  } else {                                         \
    if (is_bf16)                                   \
      function(__VA_ARGS__, false, true);          \
    else                                           \
      function(__VA_ARGS__, false, false);         \
  }

static void glu_kernel(const float *gate_up, void *out, int64_t rows, int64_t width, bool is_gelu, bool is_bf16) {
  FOR_ACTIVATION_AND_TYPE(glu, gate_up, out, rows, width)
}

// With the activation a(g): d up = da·a(g),  d gate = da·up·a'(g).
INLINE void glu_backward(const float *gate_up, const float *dactivated, void *dgate_up, void *activated, int64_t rows,
                         int64_t width, bool is_gelu, bool is_bf16) {
  for (int64_t row = 0; row < rows; ++row) {
    const float *gate = gate_up + row * 2 * width, *up = gate + width;
    for (int64_t i = 0; i < width; i += 16) {
      int64_t count = width - i;
      v16 g = load_first(gate + i, count), u = load_first(up + i, count);
      v16 d = load_first(dactivated + row * width + i, count);
      v16 s = gate_share(g, is_gelu);
      v16 active = g * s;
      v16 slope = gate_slope(g, s, is_gelu);
      store_operand(activated, row * width + i, active * u, count, is_bf16);
      store_operand(dgate_up, row * 2 * width + i, d * u * slope, count, is_bf16);
      store_operand(dgate_up, row * 2 * width + width + i, d * active, count, is_bf16);
    }
  }
}

static void glu_backward_kernel(const float *gate_up, const float *dactivated, void *dgate_up, void *activated,
                                int64_t rows, int64_t width, bool is_gelu, bool is_bf16) {
  FOR_ACTIVATION_AND_TYPE(glu_backward, gate_up, dactivated, dgate_up, activated, rows, width)
}
