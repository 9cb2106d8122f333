// delta_backward.h: the gradient of the gated delta rule.
//
// It needs the states of all steps. It computes them again, from a state that is kept every DELTA_STEPS steps, so its
// memory is a small multiple of what the rows themselves take.

// The memory of delta_rule_backward for one key head; T is the number of rows of the longest segment.
typedef struct {
  float *convolved, *gradient;                  // [T][stride], before and after the rule
  float *before;                                // [DELTA_STEPS][stride], the convolution before silu
  float *decay, *strength, *ddecay, *dstrength;  // [T][ratio]
  float *tail;                                  // [3][stride]
  float *kept;                                  // [T / DELTA_STEPS][K·64], the states before some steps
  float *states;                                // [DELTA_STEPS + 1][K·64]
  float *errors;                                // [DELTA_STEPS][64]
  float *dstate;                                // [K·64]
  float *end, *dend;                            // [ratio][K·V], the prompt's last states and their gradients
} delta_scratch;

INLINE int64_t delta_kept(int64_t rows) { return (rows + DELTA_STEPS - 1) / DELTA_STEPS; }

INLINE delta_scratch divide_delta_scratch(float *p, delta_head d, int64_t rows) {
  const int64_t block = d.key * DELTA_COLUMNS;
  delta_scratch s;
  s.convolved = take(&p, rows * d.stride);
  s.gradient = take(&p, rows * d.stride);
  s.before = take(&p, DELTA_STEPS * d.stride);
  s.decay = take(&p, rows * d.ratio);
  s.strength = take(&p, rows * d.ratio);
  s.ddecay = take(&p, rows * d.ratio);
  s.dstrength = take(&p, rows * d.ratio);
  s.tail = take(&p, (TAPS - 1) * d.stride);
  s.kept = take(&p, delta_kept(rows) * block);
  s.states = take(&p, (DELTA_STEPS + 1) * block);
  s.errors = take(&p, DELTA_STEPS * DELTA_COLUMNS);
  s.dstate = take(&p, block);
  s.end = take(&p, d.ratio * delta_matrix_floats(d));
  s.dend = take(&p, d.ratio * delta_matrix_floats(d));
  return s;
}

// Copies the three rows before a segment's own ones; rows before the sequence are zero.
INLINE void load_tail(delta_head d, ttrl_segment segment, const float *projected, float *tail) {
  for (int64_t j = 0; j < TAPS - 1; ++j) {
    const int64_t position = segment.prefix_count - (TAPS - 1) + j;
    float *to = tail + j * d.stride;
    memset(to, 0, (size_t)d.stride * sizeof(float));
    if (position < 0) continue;
    const float *row = projected + (segment.prefix_start + position) * d.row_width;
    for (int index = 0; index < 3; ++index) {
      const delta_span span = delta_span_of(d, index);
      memcpy(to + span.to, row + span.from, (size_t)span.count * sizeof(float));
    }
  }
}

INLINE void prepare_segment(ttrl_delta_heads h, delta_head d, ttrl_delta_weights w, ttrl_segment segment,
                            const float *projected, delta_scratch s) {
  const float *rows = projected + segment.start * d.row_width;
  load_tail(d, segment, projected, s.tail);
  convolve(d, w.convolution, delta_convolved(h), rows, segment.count, s.tail, s.convolved, true);
  normalise(d, s.convolved, segment.count);
  step_factors(d, w, rows, segment.count, s.decay, s.strength);
}

// The 16 sums of the lanes of 16 vectors, each added like `sum`.
INLINE v16 sums(const v16 *x) {
  v16 a[8], b[4], c[2];
  for (int i = 0; i < 8; ++i)
    a[i] = __builtin_shufflevector(x[i], x[i + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           __builtin_shufflevector(x[i], x[i + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  for (int i = 0; i < 4; ++i)
    b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
           __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  for (int i = 0; i < 2; ++i)
    c[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
           __builtin_shufflevector(b[i], b[i + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  // Lane order now: the sums of x[0], x[1] (c[0], c[1]), x[2] …, in groups of 4 for x + 4, x + 8, x + 12.
  return __builtin_shufflevector(c[0], c[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
         __builtin_shufflevector(c[0], c[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

// One step of the rule and the gradients of what it read; all of them are added to, but dvalue, which is written.
typedef struct {
  const float *query, *key, *dout, *error;
  const float *before, *after;  // the state
  float *dquery, *dkey, *dvalue;
  float decay, strength;
  float *ddecay, *dstrength;
} delta_backward_step;

// With dS, the gradient of the state after the step (from later steps):
//   dS += q·doᵀ,  dq = S·do,  dchange = kᵀdS,  dv = strength·dchange,  dstrength = dchange·error,
//   dk = dS·change − (decay·S₀)·dv,  dS₀' = dS − k·dvᵀ,  ddecay = Σ dS₀'·S₀,  dS₀ = decay·dS₀'.
INLINE void delta_step_backward(int vectors, int64_t keys, int64_t columns, delta_backward_step s, float *dstate) {
  v16 dout[4], dchange[4] = {}, change[4], dvalue[4], ddecay = {}, dstrength = {};
  _Pragma("unroll") for (int v = 0; v < vectors; ++v) dout[v] = load_first(s.dout + v * 16, columns - v * 16);
  for (int64_t first = 0; first < keys; first += 16) {
    v16 dq[16] = {};
    const int64_t count = keys - first < 16 ? keys - first : 16;
    for (int64_t i = 0; i < count; ++i) {
      const v16 q = all(s.query[first + i]), k = all(s.key[first + i]);
      _Pragma("unroll") for (int v = 0; v < vectors; ++v) {
        const int64_t place = ((first + i) * vectors + v) * 16;
        const v16 d = multiply_add(q, dout[v], load(dstate + place));
        store(dstate + place, d);
        dchange[v] = multiply_add(k, d, dchange[v]);
        dq[i] = multiply_add(load(s.after + place), dout[v], dq[i]);
      }
    }
    store_first(s.dquery + first, load_first(s.dquery + first, count) + sums(dq), count);
  }
  _Pragma("unroll") for (int v = 0; v < vectors; ++v) {
    const v16 error = load(s.error + v * 16);
    dstrength = multiply_add(dchange[v], error, dstrength);
    change[v] = error * s.strength;
    dvalue[v] = dchange[v] * s.strength;
    store_first(s.dvalue + v * 16, dvalue[v], columns - v * 16);
  }
  for (int64_t first = 0; first < keys; first += 16) {
    v16 dk[16] = {};
    const int64_t count = keys - first < 16 ? keys - first : 16;
    for (int64_t i = 0; i < count; ++i) {
      const v16 k = all(s.key[first + i]);
      _Pragma("unroll") for (int v = 0; v < vectors; ++v) {
        const int64_t place = ((first + i) * vectors + v) * 16;
        const v16 d = load(dstate + place), before = load(s.before + place);
        dk[i] = multiply_add(d, change[v], dk[i]);
        dk[i] = multiply_add(before * s.decay, -dvalue[v], dk[i]);
        const v16 rest = multiply_add(k, -dvalue[v], d);
        ddecay = multiply_add(rest, before, ddecay);
        store(dstate + place, rest * s.decay);
      }
    }
    store_first(s.dkey + first, load_first(s.dkey + first, count) + sums(dk), count);
  }
  *s.ddecay += sum(ddecay);
  *s.dstrength += sum(dstrength);
}

// The gradient through the steps of a segment, for some columns of one value head. `state` is the one before the
// segment and is overwritten. s.dstate: in, the gradient of the state after the segment; out, of the one before it.
INLINE void segment_backward(delta_head d, delta_scratch s, int64_t count, int64_t index, int64_t at, int64_t columns,
                             float *state, const float *dout, int64_t dout_stride) {
  const int64_t vectors = (columns + 15) >> 4, block = d.key * vectors * 16;
  const size_t block_bytes = (size_t)block * sizeof(float);
  for (int64_t row = 0; row < count; row += DELTA_STEPS) {
    memcpy(s.kept + row / DELTA_STEPS * block, state, block_bytes);
    if (row + DELTA_STEPS >= count) break;
    const delta_rows x = {s.convolved + row * d.stride, s.decay + row * d.ratio, s.strength + row * d.ratio};
    delta_steps(d, x, index, at, columns, DELTA_STEPS, state, NULL, 0);
  }
  for (int64_t first = (count - 1) / DELTA_STEPS * DELTA_STEPS; first >= 0; first -= DELTA_STEPS) {
    const int64_t steps = count - first < DELTA_STEPS ? count - first : DELTA_STEPS;
    memcpy(s.states, s.kept + first / DELTA_STEPS * block, block_bytes);
    for (int64_t i = 0; i < steps; ++i) {
      const float *q = s.convolved + (first + i) * d.stride;
      const int64_t factor = (first + i) * d.ratio + index;
#define STEP(n)                                                                                                \
  delta_step(n, d.key, q, q + d.key, q + 2 * d.key + index * d.value + at, columns, s.decay[factor],            \
             s.strength[factor], s.states + i * block, s.states + (i + 1) * block, NULL,                        \
             s.errors + i * DELTA_COLUMNS)
      WITH_VECTORS(vectors, STEP)
#undef STEP
    }
    for (int64_t i = steps - 1; i >= 0; --i) {
      const float *q = s.convolved + (first + i) * d.stride;
      float *dq = s.gradient + (first + i) * d.stride;
      const int64_t factor = (first + i) * d.ratio + index;
      const delta_backward_step step = {
          .query = q, .key = q + d.key, .dout = dout + (first + i) * dout_stride, .error = s.errors + i * DELTA_COLUMNS,
          .before = s.states + i * block, .after = s.states + (i + 1) * block, .dquery = dq, .dkey = dq + d.key,
          .dvalue = dq + 2 * d.key + index * d.value + at, .decay = s.decay[factor], .strength = s.strength[factor],
          .ddecay = s.ddecay + factor, .dstrength = s.dstrength + factor};
#define STEP(n) delta_step_backward(n, d.key, columns, step, s.dstate)
      WITH_VECTORS(vectors, STEP)
#undef STEP
    }
  }
}

// y = x·r·scale with r = 1/sqrt(Σx² + e):  dx = scale·(r·dy − x·r³·Σ dy·x), in place in dy.
INLINE void normalise_backward(const float *x, float *dy, float scale, int64_t count) {
  const float inverse = inverse_length(x, count);
  v16 dot = {};
  for (int64_t i = 0; i < count; i += 16)
    dot = multiply_add(load_first(dy + i, count - i), load_first(x + i, count - i), dot);
  const float pull = sum(dot) * inverse * inverse * inverse;
  for (int64_t i = 0; i < count; i += 16) {
    const v16 d = multiply_add(load_first(dy + i, count - i), all(inverse), load_first(x + i, count - i) * -pull);
    store_first(dy + i, d * scale, count - i);
  }
}

// From s.gradient, the gradients of the convolved and normalised rows, to those of the convolution's results.
INLINE void convolved_backward(ttrl_delta_heads h, delta_head d, ttrl_delta_weights w, ttrl_segment segment,
                               const float *projected, delta_scratch s) {
  const float scale = 1.0f / __builtin_sqrtf((float)d.key);
  load_tail(d, segment, projected, s.tail);
  for (int64_t first = 0; first < segment.count; first += DELTA_STEPS) {
    const int64_t count = segment.count - first < DELTA_STEPS ? segment.count - first : DELTA_STEPS;
    convolve(d, w.convolution, delta_convolved(h), projected + (segment.start + first) * d.row_width, count, s.tail,
             s.before, false);
    for (int64_t row = 0; row < count; ++row) {
      const float *before = s.before + row * d.stride;
      float *activated = s.convolved + (first + row) * d.stride, *dy = s.gradient + (first + row) * d.stride;
      for (int64_t i = 0; i < d.width; i += 16) {
        const v16 u = load_first(before + i, d.width - i);
        store_first(activated + i, u * sigmoid(u), d.width - i);
      }
      normalise_backward(activated, dy, scale, d.key);
      normalise_backward(activated + d.key, dy + d.key, 1, d.key);
      for (int64_t i = 0; i < d.width; i += 16) {
        const v16 u = load_first(before + i, d.width - i), sigma = sigmoid(u);
        const v16 slope = sigma * multiply_add(u, 1.0f - sigma, all(1.0f));
        store_first(dy + i, load_first(dy + i, d.width - i) * slope, d.width - i);
      }
    }
  }
}

INLINE void add_to(float *p, v16 x, int64_t lanes) { store_first(p, load_first(p, lanes) + x, lanes); }

// The gradient through the convolution: of the rows it read, which can be rows of the prefix, and of its weights.
INLINE void convolution_backward(ttrl_delta_heads h, delta_head d, ttrl_delta_weights w, ttrl_segment segment,
                                 const float *projected, float *dprojected, float *dconvolution, delta_scratch s) {
  const int64_t stride = delta_convolved(h), end = segment.prefix_count + segment.count;
  for (int index = 0; index < 3; ++index) {
    const delta_span span = delta_span_of(d, index);
    for (int64_t i = 0; i < span.count; i += 16) {
      const int64_t lanes = span.count - i, column = span.from + i;
      v16 weight[TAPS], x[TAPS] = {}, dx[TAPS] = {}, dweight[TAPS] = {};
      for (int j = 0; j < TAPS; ++j) weight[j] = load_first(w.convolution + j * stride + column, lanes);
      for (int64_t j = 1; j < TAPS; ++j) {
        const int64_t position = segment.prefix_count - TAPS + j;
        if (position >= 0) x[j] = load_first(segment_row(segment, position, projected, d.row_width) + column, lanes);
      }
      // x[j] and dx[j] belong to the position − 3 + j. A row's gradient is complete three rows later.
      for (int64_t position = segment.prefix_count; position < end + TAPS - 1; ++position) {
        for (int j = 0; j < TAPS - 1; ++j) x[j] = x[j + 1], dx[j] = dx[j + 1];
        x[TAPS - 1] = dx[TAPS - 1] = (v16){};
        if (position < end) {
          const int64_t row = position - segment.prefix_count;
          const v16 dy = load_first(s.gradient + row * d.stride + span.to + i, lanes);
          x[TAPS - 1] = load_first(projected + (segment.start + row) * d.row_width + column, lanes);
          for (int j = 0; j < TAPS; ++j) {
            dx[j] = multiply_add(weight[j], dy, dx[j]);
            dweight[j] = multiply_add(x[j], dy, dweight[j]);
          }
        }
        const int64_t done = position - (TAPS - 1);
        if (done >= 0 && done < end) {
          const float *row = segment_row(segment, done, dprojected, d.row_width);
          add_to((float *)row + column, dx[0], lanes);
        }
      }
      for (int j = 0; j < TAPS; ++j)
        for (int64_t lane = 0; lane < 16 && lane < lanes; ++lane)
          dconvolution[(column + lane) * TAPS + j] += dweight[j][lane];
    }
  }
}

// From the gradients of decay and strength to those of the row's a and b, and of A_log and dt_bias.
INLINE void factors_backward(delta_head d, ttrl_delta_weights w, ttrl_segment segment, const float *projected,
                             float *dprojected, ttrl_delta_gradients g, delta_scratch s) {
  for (int64_t row = 0; row < segment.count; ++row)
    for (int64_t i = 0; i < d.ratio; ++i) {
      const int64_t head = d.head * d.ratio + i, factor = row * d.ratio + i;
      const int64_t place = (segment.start + row) * d.row_width;
      const float x = projected[place + d.decay_at + i] + w.dt_bias[head], rate = exponential(all(w.a_log[head]))[0];
      const float dlog = s.ddecay[factor] * s.decay[factor];
      g.a_log[head] -= dlog * rate * softplus(all(x))[0];
      const float dx = -dlog * rate * sigmoid(all(x))[0], strength = s.strength[factor];
      g.dt_bias[head] += dx;
      dprojected[place + d.decay_at + i] += dx;
      dprojected[place + d.strength_at + i] += s.dstrength[factor] * strength * (1.0f - strength);
    }
}

static void delta_rule_backward_kernel(ttrl_delta_heads h, ttrl_delta_weights w, int64_t first, int64_t last,
                                       const ttrl_segment *segments, int64_t segment_count, const float *projected,
                                       const float *dout, float *dprojected, ttrl_delta_gradients g, float *scratch) {
  const int64_t dout_stride = (int64_t)h.value_heads * h.value_dimension;
  int64_t rows = 0;
  for (int64_t i = 0; i < segment_count; ++i)
    if (segments[i].count > rows) rows = segments[i].count;
  for (int64_t head = first; head < last; ++head) {
    const delta_head d = delta_head_of(h, head);
    const delta_scratch s = divide_delta_scratch(scratch, d, rows);
    const int64_t matrix = delta_matrix_floats(d);
    const size_t matrices_bytes = (size_t)(d.ratio * matrix) * sizeof(float);
    memset(s.end, 0, matrices_bytes);
    memset(s.dend, 0, matrices_bytes);
    if (segment_count > 1) {
      prepare_segment(h, d, w, segments[0], projected, s);
      const delta_rows x = {s.convolved, s.decay, s.strength};
      for (int64_t i = 0; i < d.ratio; ++i)
        for (int64_t at = 0; at < d.value; at += DELTA_COLUMNS) {
          const int64_t columns = d.value - at < DELTA_COLUMNS ? d.value - at : DELTA_COLUMNS;
          delta_steps(d, x, i, at, columns, segments[0].count, s.end + i * matrix + at * d.key, NULL, 0);
        }
    }
    // The responses first, each of which adds to the gradient of the prompt's last state; the prompt last.
    for (int64_t turn = 1; turn <= segment_count; ++turn) {
      const ttrl_segment segment = segments[turn % segment_count];
      const bool is_prompt = turn == segment_count;
      const size_t factor_bytes = (size_t)(segment.count * d.ratio) * sizeof(float);
      prepare_segment(h, d, w, segment, projected, s);
      memset(s.gradient, 0, (size_t)(segment.count * d.stride) * sizeof(float));
      memset(s.ddecay, 0, factor_bytes);
      memset(s.dstrength, 0, factor_bytes);
      for (int64_t i = 0; i < d.ratio; ++i)
        for (int64_t at = 0; at < d.value; at += DELTA_COLUMNS) {
          const int64_t columns = d.value - at < DELTA_COLUMNS ? d.value - at : DELTA_COLUMNS;
          const int64_t block = d.key * ((columns + 15) & ~(int64_t)15), place = i * matrix + at * d.key;
          const size_t block_bytes = (size_t)block * sizeof(float);
          float *state = s.states + DELTA_STEPS * d.key * DELTA_COLUMNS;  // not used before the steps are repeated
          if (is_prompt) {
            memset(state, 0, block_bytes);
            memcpy(s.dstate, s.dend + place, block_bytes);
          } else {
            memcpy(state, s.end + place, block_bytes);
            memset(s.dstate, 0, block_bytes);
          }
          segment_backward(d, s, segment.count, i, at, columns, state,
                           dout + segment.start * dout_stride + (head * d.ratio + i) * d.value + at, dout_stride);
          if (!is_prompt) add_kernel(s.dstate, s.dend + place, block);
        }
      factors_backward(d, w, segment, projected, dprojected, g, s);
      convolved_backward(h, d, w, segment, projected, s);
      convolution_backward(h, d, w, segment, projected, dprojected, g.convolution, s);
    }
  }
}
