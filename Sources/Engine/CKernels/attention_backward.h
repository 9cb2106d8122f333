// attention_backward.h: the gradients of attention, and of the way from the q|k|v product to queries, keys and values.
//
// The trainer calls it for the segments of a sequence. The weights are computed again from the statistics that the
// forward pass kept, so no matrix of weights is stored.

// The gradient through norms of `columns` columns, in place in dx.
INLINE void norm_in_place_backward(const float *raw, const float *weight, float epsilon, float *dx, float *dweight,
                                   int64_t columns) {
  // The weights' gradient first, because dx then overwrites dy.
  rms_norm_row_weight_backward(raw, inverse_rms(raw, columns, epsilon), dx, dweight, columns);
  rms_norm_row_backward(raw, weight, epsilon, dx, dx, columns, false);
}

static void finish_qkv_backward_kernel(ttrl_heads h, ttrl_qkv_finish f, const ttrl_row *rows, int64_t row_count,
                                       const float *raw_qkv, float *dqkv, float *dquery_norm, float *dkey_norm) {
  const int64_t width = qkv_width(h), dimension = h.dimension, half = f.rotated / 2;
  for (int64_t row = 0; row < row_count; ++row) {
    const int64_t position = rows[row].position;
    const float *cosines = f.cosines + position * half, *sines = f.sines + position * half;
    const float query_scale = query_scale_at(f, position);
    for (int64_t head = 0; head < h.heads + h.groups; ++head) {
      const bool is_query = head < h.heads;
      const int64_t at =
          row * width + (is_query ? head * query_stride(h) : first_key(h) + (head - h.heads) * dimension);
      rotate(dqkv + at, cosines, sines, half, -1, is_query ? query_scale : 1, dimension);
      const float *norm = is_query ? f.query_norm : f.key_norm;
      if (!norm || !raw_qkv || f.norms_all_heads) continue;
      norm_in_place_backward(raw_qkv + at, norm, f.norm_epsilon, dqkv + at, is_query ? dquery_norm : dkey_norm,
                             dimension);
    }
    if (!raw_qkv || !f.norms_all_heads) continue;
    const float *raw = raw_qkv + row * width;
    float *dx = dqkv + row * width;
    if (f.query_norm)
      norm_in_place_backward(raw, f.query_norm, f.norm_epsilon, dx, dquery_norm, h.heads * dimension);
    if (f.key_norm)
      norm_in_place_backward(raw + first_key(h), f.key_norm, f.norm_epsilon, dx + first_key(h), dkey_norm,
                             h.groups * dimension);
  }
}

// The backward pass processes two queries at a time, so that the gradients of each key and value are read and written
// once for both.
enum { QUERIES_AT_A_TIME = 2 };

// The memory of attention_backward for one key/value head of one segment: contiguous copies of keys and values, and
// their gradients.
typedef struct {
  float *key_tiles, *value_tiles;          // [tiles][D][16]
  float *keys, *values, *dkeys, *dvalues;  // [keys][P]
  float *weights[QUERIES_AT_A_TIME], *dscores[QUERIES_AT_A_TIME];  // [tiles · 16]
} backward_scratch;

// The gap between arrays, in floats. If addresses differ by multiples of 4096 bytes, the processor mistakes a load from
// one array for a load of what was just stored to another.
enum { SKEW = 80 };

INLINE int64_t tile_positions(int64_t keys) { return (keys + 15) & ~(int64_t)15; }

INLINE float *take(float **from, int64_t floats) {
  float *taken = *from;
  *from += floats + SKEW;
  return taken;
}

INLINE backward_scratch divide_scratch(float *p, ttrl_heads h, int64_t keys) {
  const int64_t positions = tile_positions(keys), row_floats = positions * padded(h.dimension);
  backward_scratch s;
  s.key_tiles = take(&p, positions * h.dimension);
  s.value_tiles = take(&p, positions * h.dimension);
  s.keys = take(&p, row_floats);
  s.values = take(&p, row_floats);
  s.dkeys = take(&p, row_floats);
  s.dvalues = take(&p, row_floats);
  for (int q = 0; q < QUERIES_AT_A_TIME; ++q) {
    s.weights[q] = take(&p, positions);
    s.dscores[q] = take(&p, positions);
  }
  return s;
}

INLINE void tile_rows(const float *rows, float *tiles, int64_t count, int64_t dimension, int64_t stride) {
  for (int64_t first = 0; first < count; first += 16) {
    float *tile = tiles + first * dimension;
    int64_t d = 0;
    for (; d + 16 <= dimension; d += 16) transpose_block(rows + first * stride + d, stride, tile + d * 16, 16);
    for (; d < dimension; ++d)
      for (int64_t i = 0; i < 16; ++i) tile[d * 16 + i] = rows[(first + i) * stride + d];
  }
}

INLINE const float *segment_row(ttrl_segment s, int64_t key, const float *rows, int64_t width) {
  return rows + (key < s.prefix_count ? s.prefix_start + key : s.start + key - s.prefix_count) * width;
}

// One query row of one head.
typedef struct {
  const float *query, *dout, *statistics;
  float *dquery;
} backward_query;

// dquery += Σ ds[j]·key[j], dkey[j] += ds[j]·query, dvalue[j] += weight[j]·dout, for `vectors` · 16 dimensions from
// `at` on and the keys `first` ..< `keys`.
INLINE void spread(int queries, int vectors, const backward_scratch *s, const backward_query *query, int64_t at,
                   int64_t dimension, int64_t first, int64_t keys) {
  const int64_t stride = padded(dimension);
  v16 q[QUERIES_AT_A_TIME][4], dout[QUERIES_AT_A_TIME][4], total[QUERIES_AT_A_TIME][4] = {};
  for (int i = 0; i < queries; ++i)
    for (int v = 0; v < vectors; ++v) {
      q[i][v] = load_first(query[i].query + at + v * 16, dimension - at - v * 16);
      dout[i][v] = load_first(query[i].dout + at + v * 16, dimension - at - v * 16);
    }
  for (int64_t j = first; j < keys; ++j)
    for (int v = 0; v < vectors; ++v) {
      const int64_t place = j * stride + at + v * 16;
      v16 key = load(s->keys + place), dkey = load(s->dkeys + place), dvalue = load(s->dvalues + place);
      for (int i = 0; i < queries; ++i) {
        v16 ds = all(s->dscores[i][j]);
        total[i][v] = multiply_add(ds, key, total[i][v]);
        dkey = multiply_add(ds, q[i][v], dkey);
        dvalue = multiply_add(all(s->weights[i][j]), dout[i][v], dvalue);
      }
      store(s->dkeys + place, dkey);
      store(s->dvalues + place, dvalue);
    }
  for (int i = 0; i < queries; ++i)
    for (int v = 0; v < vectors; ++v) {
      float *to = query[i].dquery + at + v * 16;
      const int64_t count = dimension - at - v * 16;
      store_first(to, load_first(to, count) + total[i][v], count);
    }
}

// Weights (normalised exp of scores) and gradients of scores, for all keys that the queries see. The second query is at
// the position after the first one's.
INLINE void score_gradients(int queries, const backward_scratch *s, const backward_query *query, int64_t dimension,
                            int64_t position, int64_t window) {
  const int64_t keys = position + 1, begin = keys_seen(position, window).tile;
  const int64_t tiles = (keys + queries - 1 + 15) >> 4;
  v16 lanes[QUERIES_AT_A_TIME] = {};
  for (int64_t t = begin; t < tiles; ++t) {
    const float *key_tile = s->key_tiles + t * 16 * dimension, *value_tile = s->value_tiles + t * 16 * dimension;
    v16 score[QUERIES_AT_A_TIME][2] = {}, dweight[QUERIES_AT_A_TIME][2] = {};
    for (int64_t d = 0; d < dimension; d += 2)
      for (int half = 0; half < 2; ++half) {
        v16 key = load(key_tile + (d + half) * 16), value = load(value_tile + (d + half) * 16);
        for (int i = 0; i < queries; ++i) {
          score[i][half] = multiply_add(all(query[i].query[d + half]), key, score[i][half]);
          dweight[i][half] = multiply_add(all(query[i].dout[d + half]), value, dweight[i][half]);
        }
      }
    for (int i = 0; i < queries; ++i) {
      const float *statistics = query[i].statistics;
      v16 weight = exponential(score[i][0] + score[i][1] - statistics[0]) * statistics[1];
      weight = choose(first_lanes(keys + i - t * 16), weight, (v16){});
      const int64_t unseen = keys_seen(position + i, window).first - t * 16;
      if (unseen > 0) weight = choose(first_lanes(unseen), (v16){}, weight);
      v16 d = dweight[i][0] + dweight[i][1];
      lanes[i] = multiply_add(weight, d, lanes[i]);
      store(s->weights[i] + t * 16, weight);
      store(s->dscores[i] + t * 16, d);
    }
  }
  for (int i = 0; i < queries; ++i) {
    const float mean = sum(lanes[i]);
    for (int64_t j = begin * 16; j < tiles * 16; j += 16)
      store(s->dscores[i] + j, load(s->weights[i] + j) * (load(s->dscores[i] + j) - mean));
  }
}

INLINE void attend_backward(int queries, const backward_scratch *s, const backward_query *query, int64_t dimension,
                            int64_t position, int64_t window) {
  score_gradients(queries, s, query, dimension, position, window);
  const int64_t first = keys_seen(position, window).first, keys = position + queries, stride = padded(dimension);
  for (int64_t at = 0; at < dimension; at += 64) {
    const int vectors = (int)((stride - at < 64 ? stride - at : 64) >> 4);
    switch (vectors) {
      case 1: spread(queries, 1, s, query, at, dimension, first, keys); break;
      case 2: spread(queries, 2, s, query, at, dimension, first, keys); break;
      case 3: spread(queries, 3, s, query, at, dimension, first, keys); break;
      default: spread(queries, 4, s, query, at, dimension, first, keys); break;
    }
  }
}

static void attention_backward_kernel(ttrl_heads h, int64_t window, ttrl_segment segment, int64_t first_group,
                                      int64_t last_group, const float *qkv, const float *statistics,
                                      const float *dout, float *dqkv, float *scratch) {
  const int64_t dimension = h.dimension, stride = padded(dimension), width = qkv_width(h);
  const int64_t keys = segment.prefix_count + segment.count, ratio = h.heads / h.groups;
  const backward_scratch s = divide_scratch(scratch, h, keys);
  const size_t row_bytes = (size_t)(tile_positions(keys) * stride) * sizeof(float);
  memset(s.keys, 0, row_bytes);  // lanes beyond D and rows beyond the last key stay zero
  memset(s.values, 0, row_bytes);
  for (int64_t group = first_group; group < last_group; ++group) {
    const int64_t key_at = first_key(h) + group * dimension, value_at = key_at + h.groups * dimension;
    memset(s.dkeys, 0, row_bytes);
    memset(s.dvalues, 0, row_bytes);
    for (int64_t j = 0; j < keys; ++j) {
      const float *row = segment_row(segment, j, qkv, width);
      memcpy(s.keys + j * stride, row + key_at, (size_t)dimension * sizeof(float));
      memcpy(s.values + j * stride, row + value_at, (size_t)dimension * sizeof(float));
    }
    tile_rows(s.keys, s.key_tiles, keys, dimension, stride);
    tile_rows(s.values, s.value_tiles, keys, dimension, stride);
    for (int64_t i = 0; i < segment.count; i += QUERIES_AT_A_TIME) {
      const int queries = segment.count - i < QUERIES_AT_A_TIME ? 1 : QUERIES_AT_A_TIME;
      for (int64_t head = group * ratio; head < (group + 1) * ratio; ++head) {
        backward_query query[QUERIES_AT_A_TIME];
        for (int q = 0; q < queries; ++q) {
          const int64_t row = segment.start + i + q;
          query[q] = (backward_query){.query = qkv + row * width + head * query_stride(h),
                                      .dout = dout + (row * h.heads + head) * dimension,
                                      .statistics = statistics + (row * h.heads + head) * 2,
                                      .dquery = dqkv + row * width + head * query_stride(h)};
        }
        if (queries == 2)
          attend_backward(2, &s, query, dimension, segment.prefix_count + i, window);
        else
          attend_backward(1, &s, query, dimension, segment.prefix_count + i, window);
      }
    }
    for (int64_t j = 0; j < keys; ++j) {
      float *row = (float *)segment_row(segment, j, dqkv, width);
      add_kernel(s.dkeys + j * stride, row + key_at, dimension);
      add_kernel(s.dvalues + j * stride, row + value_at, dimension);
    }
  }
}
