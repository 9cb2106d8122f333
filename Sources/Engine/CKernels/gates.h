// gates.h: output gates, which the results of attention and of the delta rule are multiplied with, and their gradient.

INLINE void gate(const float *x, ttrl_gates g, void *out, int64_t rows, int64_t heads, int64_t dimension,
                 bool is_bf16) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t head = 0; head < heads; ++head) {
      const float *gates = g.values + row * g.row_stride + head * g.head_stride;
      const int64_t place = (row * heads + head) * dimension;
      for (int64_t i = 0; i < dimension; i += 16) {
        const v16 value = load_first(gates + i, dimension - i), s = sigmoid(value);
        store_operand(out, place + i, load_first(x + place + i, dimension - i) * (g.is_silu ? value * s : s),
                      dimension - i, is_bf16);
      }
    }
}

static void gate_kernel(const float *x, ttrl_gates g, void *out, int64_t rows, int64_t heads, int64_t dimension,
                        bool is_bf16) {
  if (is_bf16)
    gate(x, g, out, rows, heads, dimension, true);
  else
    gate(x, g, out, rows, heads, dimension, false);
}

static void gate_backward_kernel(const float *x, ttrl_gates g, float *dy, float *dgates, int64_t rows, int64_t heads,
                                 int64_t dimension) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t head = 0; head < heads; ++head) {
      const int64_t gate_place = row * g.row_stride + head * g.head_stride;
      const int64_t place = (row * heads + head) * dimension;
      for (int64_t i = 0; i < dimension; i += 16) {
        const int64_t count = dimension - i;
        const v16 value = load_first(g.values + gate_place + i, count), s = sigmoid(value);
        const v16 d = load_first(dy + place + i, count);
        const v16 slope = g.is_silu ? s * multiply_add(value, 1.0f - s, all(1.0f)) : s * (1.0f - s);
        store_first(dgates + gate_place + i, d * load_first(x + place + i, count) * slope, count);
        store_first(dy + place + i, d * (g.is_silu ? value * s : s), count);
      }
    }
}
