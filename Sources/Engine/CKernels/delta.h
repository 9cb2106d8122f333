// delta.h: linear attention by the gated delta rule.
//
// A layer has G key heads. Each serves a number of value heads, and each value head has a state S [K, V] that is
// changed by one token after the other, in the order of the sequence (q, k, v pass through a convolution over the last
// four tokens first, then q and k are normalised):
//
//   S ← decay·S,   error = v − kᵀS,   S ← S + k·(strength·error)ᵀ,   o = qᵀS
//
// The sampler does one token of many sequences, the trainer all tokens of one sequence after the other. Both run these
// functions, which do one step at a time, so a row's bits do not depend on where a prompt ends or on how many tokens
// are done at once. The columns of S do not influence each other: a block of 64 columns stays in the first-level cache
// while it takes many steps. Sums over k's dimensions are chains in order; sums over columns are 16 lanes and a tree.
// Not here: the gradient (delta_backward.h), output gates (gates.h). Source: arXiv 2412.06464.

enum { DELTA_STEPS = TTRL_DELTA_STEPS, DELTA_COLUMNS = 64, TAPS = 4 };

// The convolved row of one key head: q [K] | k [K] | the values of its value heads [ratio · V].
typedef struct {
  int64_t key, value, ratio, width, stride, head;
  int64_t row_width;                       // of a projected row
  int64_t query_at, key_at, value_at;      // the head's columns in a projected row
  int64_t strength_at, decay_at;
} delta_head;

INLINE int64_t delta_ratio(ttrl_delta_heads h) { return h.value_heads / h.key_heads; }
INLINE int64_t delta_convolved(ttrl_delta_heads h) {
  return 2 * (int64_t)h.key_heads * h.key_dimension + (int64_t)h.value_heads * h.value_dimension;
}
INLINE int64_t delta_row_width(ttrl_delta_heads h) {
  return delta_convolved(h) + (int64_t)h.value_heads * (h.value_dimension + 2);
}

INLINE delta_head delta_head_of(ttrl_delta_heads h, int64_t head) {
  const int64_t ratio = delta_ratio(h), keys = (int64_t)h.key_heads * h.key_dimension;
  const int64_t gates = delta_convolved(h) + (int64_t)h.value_heads * h.value_dimension;
  delta_head d = {.key = h.key_dimension, .value = h.value_dimension, .ratio = ratio, .head = head};
  d.width = 2 * d.key + ratio * d.value;
  d.stride = padded(d.width) + 16;  // a vector that begins at the last column stays in the row
  d.row_width = delta_row_width(h);
  d.query_at = head * d.key;
  d.key_at = keys + head * d.key;
  d.value_at = 2 * keys + head * ratio * d.value;
  d.strength_at = gates + head * ratio;
  d.decay_at = gates + h.value_heads + head * ratio;
  return d;
}

// Floats of one value head's state, and of everything that a key head keeps of a sequence: the last three rows before
// the convolution, and the states of its value heads. A state is stored as blocks of 64 columns, [K][64] each.
INLINE int64_t delta_matrix_floats(delta_head d) { return d.key * padded(d.value); }
INLINE int64_t delta_head_floats(delta_head d) { return (TAPS - 1) * d.stride + d.ratio * delta_matrix_floats(d); }

// Runs `call(n)` with n as a constant, for 1 to 4 vectors.
#define WITH_VECTORS(n, call) \
  switch (n) {                \
    case 1: call(1); break;   \
    case 2: call(2); break;   \
    case 3: call(3); break;   \
    default: call(4); break;  \
  }

// A head's columns in a projected row, and where they are in its convolved row.
typedef struct {
  int64_t from, to, count;
} delta_span;

INLINE delta_span delta_span_of(delta_head d, int index) {
  switch (index) {
    case 0: return (delta_span){d.query_at, 0, d.key};
    case 1: return (delta_span){d.key_at, d.key, d.key};
    default: return (delta_span){d.value_at, 2 * d.key, d.ratio * d.value};
  }
}

// out[row] = the convolution of the rows, whose predecessors are in `tail` [3], and silu of it if `activates`. Then
// `tail` has the last three rows. weights: [4][width of all heads].
INLINE void convolve(delta_head d, const float *weights, int64_t weights_stride, const float *rows, int64_t count,
                     float *tail, float *out, bool activates) {
  for (int index = 0; index < 3; ++index) {
    const delta_span span = delta_span_of(d, index);
    for (int64_t i = 0; i < span.count; i += 16) {
      const int64_t lanes = span.count - i;
      const float *w = weights + span.from + i, *x = rows + span.from + i;
      float *to = out + span.to + i, *t = tail + span.to + i;
      const v16 w0 = load_first(w, lanes), w1 = load_first(w + weights_stride, lanes);
      const v16 w2 = load_first(w + 2 * weights_stride, lanes), w3 = load_first(w + 3 * weights_stride, lanes);
      v16 x0 = load_first(t, lanes), x1 = load_first(t + d.stride, lanes), x2 = load_first(t + 2 * d.stride, lanes);
      for (int64_t row = 0; row < count; ++row) {
        const v16 x3 = load_first(x + row * d.row_width, lanes);
        v16 y = multiply_add(w3, x3, multiply_add(w2, x2, multiply_add(w1, x1, w0 * x0)));
        if (activates) y *= sigmoid(y);
        store_first(to + row * d.stride, y, lanes);
        x0 = x1, x1 = x2, x2 = x3;
      }
      store_first(t, x0, lanes);
      store_first(t + d.stride, x1, lanes);
      store_first(t + 2 * d.stride, x2, lanes);
    }
  }
}

// 1 / sqrt(Σx² + 1e-6).
INLINE float inverse_length(const float *x, int64_t count) {
  v16 squares = {};
  for (int64_t i = 0; i < count; i += 16) {
    const v16 value = load_first(x + i, count - i);
    squares = multiply_add(value, value, squares);
  }
  return 1.0f / __builtin_sqrtf(sum(squares) + 1e-6f);
}

INLINE void scale_row(float *x, float factor, float second, int64_t count) {
  for (int64_t i = 0; i < count; i += 16) store_first(x + i, load_first(x + i, count - i) * factor * second, count - i);
}

// q and k of length 1, q also divided by sqrt(K).
INLINE void normalise(delta_head d, float *convolved, int64_t count) {
  const float scale = 1.0f / __builtin_sqrtf((float)d.key);
  for (int64_t row = 0; row < count; ++row, convolved += d.stride) {
    scale_row(convolved, inverse_length(convolved, d.key), scale, d.key);
    scale_row(convolved + d.key, inverse_length(convolved + d.key, d.key), 1, d.key);
  }
}

// ln(1 + exp(x)), without the loss of small results to rounding.
INLINE v16 softplus(v16 x) {
  const v16 u = exponential(choose(x < 0.0f, x, -x)), w = 1.0f + u;
  const v16 tail = choose(w == 1.0f, u, logarithm(w) * (u / (w - 1.0f)));
  return larger(x, (v16){}) + tail;
}

// By row and value head: decay = exp(−exp(A_log)·softplus(a + dt_bias)), strength = sigmoid(b).
INLINE void step_factors(delta_head d, ttrl_delta_weights w, const float *rows, int64_t count, float *decay,
                         float *strength) {
  for (int64_t row = 0; row < count; ++row, rows += d.row_width)
    for (int64_t i = 0; i < d.ratio; ++i) {
      const int64_t head = d.head * d.ratio + i;
      const v16 rate = exponential(all(w.a_log[head]));
      *decay++ = exponential(-rate * softplus(all(rows[d.decay_at + i] + w.dt_bias[head])))[0];
      *strength++ = sigmoid(all(rows[d.strength_at + i]))[0];
    }
}

// One step of `vectors`·16 columns of a state, from `from` to `to`, which may be the same. out, error (v − kᵀS): may be
// NULL.
INLINE void delta_step(int vectors, int64_t keys, const float *query, const float *key, const float *value,
                       int64_t columns, float decay, float strength, const float *from, float *to, float *out,
                       float *error) {
  v16 recalled[4] = {}, change[4], output[4] = {};
  for (int64_t i = 0; i < keys; ++i) {
    const v16 k = all(key[i]);
    _Pragma("unroll") for (int v = 0; v < vectors; ++v)
      recalled[v] = multiply_add(k, load(from + (i * vectors + v) * 16) * decay, recalled[v]);
  }
  _Pragma("unroll") for (int v = 0; v < vectors; ++v) {
    const v16 difference = load_first(value + v * 16, columns - v * 16) - recalled[v];
    if (error) store(error + v * 16, difference);
    change[v] = difference * strength;
  }
  for (int64_t i = 0; i < keys; ++i) {
    const v16 k = all(key[i]), q = all(query[i]);
    _Pragma("unroll") for (int v = 0; v < vectors; ++v) {
      const v16 s = multiply_add(k, change[v], load(from + (i * vectors + v) * 16) * decay);
      store(to + (i * vectors + v) * 16, s);
      output[v] = multiply_add(q, s, output[v]);
    }
  }
  if (out)
    _Pragma("unroll") for (int v = 0; v < vectors; ++v) store_first(out + v * 16, output[v], columns - v * 16);
}

// Convolved rows of one key head, and the factors of its value heads [rows][ratio].
typedef struct {
  const float *convolved, *decay, *strength;
} delta_rows;

// The columns `at` ..< `at` + `columns` of value head `index` of the key head: `count` steps, in place.
INLINE void delta_steps(delta_head d, delta_rows x, int64_t index, int64_t at, int64_t columns, int64_t count,
                        float *state, float *out, int64_t out_stride) {
  const int64_t vectors = (columns + 15) >> 4;
  for (int64_t row = 0; row < count; ++row) {
    const float *q = x.convolved + row * d.stride;
    const int64_t factor = row * d.ratio + index;
#define STEP(n)                                                                                                  \
  delta_step(n, d.key, q, q + d.key, q + 2 * d.key + index * d.value + at, columns, x.decay[factor],              \
             x.strength[factor], state, state, out ? out + row * out_stride : NULL, NULL)
    WITH_VECTORS(vectors, STEP)
#undef STEP
  }
}

static void delta_rule_kernel(ttrl_delta_heads h, ttrl_delta_weights w, int64_t first, int64_t last,
                              const ttrl_delta_run *runs, int64_t run_count, int64_t state_offset,
                              const float *projected, float *out, float *scratch) {
  const int64_t out_stride = (int64_t)h.value_heads * h.value_dimension;
  for (int64_t head = first; head < last; ++head) {
    const delta_head d = delta_head_of(h, head);
    float *convolved = scratch, *decay = convolved + DELTA_STEPS * d.stride, *strength = decay + DELTA_STEPS * d.ratio;
    const delta_rows x = {convolved, decay, strength};
    for (int64_t r = 0; r < run_count; ++r) {
      const int64_t place = state_offset + head * delta_head_floats(d);
      float *tail = runs[r].state + place, *states = tail + (TAPS - 1) * d.stride;
      if (runs[r].initial) memcpy(tail, runs[r].initial + place, (size_t)delta_head_floats(d) * sizeof(float));
      for (int64_t done = 0; done < runs[r].count; done += DELTA_STEPS) {
        const int64_t row = runs[r].start + done, left = runs[r].count - done;
        const int64_t count = left < DELTA_STEPS ? left : DELTA_STEPS;
        const float *rows = projected + row * d.row_width;
        convolve(d, w.convolution, delta_convolved(h), rows, count, tail, convolved, true);
        normalise(d, convolved, count);
        step_factors(d, w, rows, count, decay, strength);
        for (int64_t i = 0; i < d.ratio; ++i)
          for (int64_t at = 0; at < d.value; at += DELTA_COLUMNS) {
            const int64_t columns = d.value - at < DELTA_COLUMNS ? d.value - at : DELTA_COLUMNS;
            delta_steps(d, x, i, at, columns, count, states + i * delta_matrix_floats(d) + at * d.key,
                        out + row * out_stride + (head * d.ratio + i) * d.value + at, out_stride);
          }
      }
    }
  }
}
