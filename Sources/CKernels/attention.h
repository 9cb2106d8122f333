// attention.h: queries, keys and values from the q|k|v product, softmax attention over pages, and the ways back.
//
// One query row and one head at a time, for the sampler and for the trainer alike. A score is one chain of fused
// multiply-adds over the dimensions; 16 scores are made at once. Weights are summed in 16 lanes over the tiles; the
// output adds the values in key order. So the result depends on the query and the ordered keys and values, not on how
// many rows are processed together or where a prompt ends.

INLINE int64_t padded(int64_t dimension) { return (dimension + 15) & ~(int64_t)15; }
INLINE int64_t page_head_floats(ttrl_heads h) { return 16 * (h.dimension + padded(h.dimension)); }
INLINE int64_t qkv_width(ttrl_heads h) { return (int64_t)(h.heads + 2 * h.groups) * h.dimension; }

// (x1, x2) to (x1·c - x2·s, x2·c + x1·s) for the two halves of a head; `direction` -1 turns back.
INLINE void rotate(float *x, const float *cosines, const float *sines, int64_t half, float direction, float scale) {
  for (int64_t i = 0; i < half; i += 16) {
    int64_t count = half - i;
    v16 c = load_first(cosines + i, count), s = load_first(sines + i, count) * direction;
    v16 a = load_first(x + i, count), b = load_first(x + half + i, count);
    store_first(x + i, multiply_add(-b, s, a * c) * scale, count);
    store_first(x + half + i, multiply_add(a, s, b * c) * scale, count);
  }
}

INLINE void norm_head(float *x, const float *weight, float epsilon, int64_t dimension) {
  float inverse = inverse_rms(x, dimension, epsilon);
  for (int64_t i = 0; i < dimension; i += 16) {
    int64_t count = dimension - i;
    store_first(x + i, load_first(x + i, count) * inverse * load_first(weight + i, count), count);
  }
}

static void finish_qkv_kernel(ttrl_heads h, ttrl_qkv_finish f, const ttrl_row *rows, int64_t row_count, float *qkv,
                              int64_t layer_offset) {
  const int64_t width = qkv_width(h), dimension = h.dimension, half = dimension / 2, stride = padded(dimension);
  for (int64_t row = 0; row < row_count; ++row, qkv += width) {
    if (f.bias) add_kernel(f.bias, qkv, width);
    const int64_t position = rows[row].position, lane = position & 15;
    const float *cosines = f.cosines + position * half, *sines = f.sines + position * half;
    for (int64_t head = 0; head < h.heads; ++head) {
      float *query = qkv + head * dimension;
      if (f.query_norm) norm_head(query, f.query_norm, f.norm_epsilon, dimension);
      rotate(query, cosines, sines, half, 1, f.query_scale);
    }
    float *page = rows[row].pages[position >> 4] + layer_offset;
    for (int64_t group = 0; group < h.groups; ++group, page += page_head_floats(h)) {
      float *key = qkv + (h.heads + group) * dimension;
      const float *value = key + h.groups * dimension;
      if (f.key_norm) norm_head(key, f.key_norm, f.norm_epsilon, dimension);
      rotate(key, cosines, sines, half, 1, 1);
      for (int64_t d = 0; d < dimension; ++d) page[d * 16 + lane] = key[d];
      memcpy(page + dimension * 16 + lane * stride, value, (size_t)dimension * sizeof(float));
    }
  }
}

static void finish_qkv_backward_kernel(ttrl_heads h, ttrl_qkv_finish f, const ttrl_row *rows, int64_t row_count,
                                       const float *raw_qkv, float *dqkv, float *dquery_norm, float *dkey_norm) {
  const int64_t width = qkv_width(h), dimension = h.dimension, half = dimension / 2;
  for (int64_t row = 0; row < row_count; ++row) {
    const int64_t position = rows[row].position;
    const float *cosines = f.cosines + position * half, *sines = f.sines + position * half;
    for (int64_t head = 0; head < h.heads + h.groups; ++head) {
      const int64_t at = row * width + head * dimension;
      const bool is_query = head < h.heads;
      rotate(dqkv + at, cosines, sines, half, -1, is_query ? f.query_scale : 1);
      const float *norm = is_query ? f.query_norm : f.key_norm;
      if (norm && raw_qkv)
        rms_norm_row_backward(raw_qkv + at, norm, f.norm_epsilon, dqkv + at, dqkv + at,
                              is_query ? dquery_norm : dkey_norm, dimension, false);
    }
  }
}

// Scores of `count` (at most 4) tiles of 16 keys: independent chains, so that none waits for itself.
INLINE void score_tiles(const float *query, const float *const *tiles, int count, int64_t dimension, v16 *scores) {
  v16 s[4] = {};
  for (int64_t d = 0; d < dimension; ++d) {
    v16 q = all(query[d]);
    for (int t = 0; t < count; ++t) s[t] = multiply_add(q, load(tiles[t] + d * 16), s[t]);
  }
  for (int t = 0; t < count; ++t) scores[t] = s[t];
}

INLINE void score_some_tiles(const float *query, const float *const *tiles, int64_t count, int64_t dimension,
                             v16 *scores) {
  switch (count) {
    case 1: score_tiles(query, tiles, 1, dimension, scores); break;
    case 2: score_tiles(query, tiles, 2, dimension, scores); break;
    case 3: score_tiles(query, tiles, 3, dimension, scores); break;
    default: score_tiles(query, tiles, 4, dimension, scores); break;
  }
}

// out[16·vectors] = Σ weight[j]·value[j], keys in order, then times `scale`.
INLINE void add_values(int vectors, const float *weights, float *const *pages, int64_t offset, int64_t stride,
                       int64_t keys, float scale, v16 *out) {
  v16 total[8] = {};
  for (int64_t first = 0; first < keys; first += 16) {
    const float *values = pages[first >> 4] + offset;
    const int64_t count = keys - first < 16 ? keys - first : 16;
    for (int64_t j = 0; j < count; ++j) {
      v16 weight = all(weights[first + j]);
      for (int v = 0; v < vectors; ++v) total[v] = multiply_add(weight, load(values + j * stride + v * 16), total[v]);
    }
  }
  for (int v = 0; v < vectors; ++v) out[v] = total[v] * scale;
}

INLINE void attend(ttrl_heads h, ttrl_row row, const float *query, int64_t head, int64_t layer_offset, void *out,
                   int64_t out_index, float *statistics, float *weights, bool is_bf16) {
  const int64_t dimension = h.dimension, stride = padded(dimension);
  const int64_t offset = layer_offset + head / (h.heads / h.groups) * page_head_floats(h);
  const int64_t keys = (int64_t)row.position + 1, tiles = (keys + 15) >> 4;
  v16 highest = all(-INFINITY);
  for (int64_t first = 0; first < tiles; first += 4) {
    const int64_t count = tiles - first < 4 ? tiles - first : 4;
    const float *tile[4];
    v16 scores[4];
    for (int64_t t = 0; t < count; ++t) tile[t] = row.pages[first + t] + offset;
    score_some_tiles(query, tile, count, dimension, scores);
    for (int64_t t = 0; t < count; ++t) {
      v16 s = choose(first_lanes(keys - (first + t) * 16), scores[t], all(-INFINITY));
      highest = larger(highest, s);
      store(weights + (first + t) * 16, s);
    }
  }
  const float maximum = largest_lane(highest);
  v16 lanes = {};
  for (int64_t t = 0; t < tiles; ++t) {
    v16 e = exponential(load(weights + t * 16) - maximum);
    lanes += e;
    store(weights + t * 16, e);
  }
  const float inverse = 1.0f / sum(lanes);
  if (statistics) {
    statistics[0] = maximum;
    statistics[1] = inverse;
  }
  for (int64_t d = 0; d < dimension; d += 128) {
    v16 o[8];
    const int vectors = (int)((stride - d < 128 ? stride - d : 128) >> 4);
    const int64_t at = offset + dimension * 16 + d;
    switch (vectors) {
      case 1: add_values(1, weights, row.pages, at, stride, keys, inverse, o); break;
      case 2: add_values(2, weights, row.pages, at, stride, keys, inverse, o); break;
      case 4: add_values(4, weights, row.pages, at, stride, keys, inverse, o); break;
      case 8: add_values(8, weights, row.pages, at, stride, keys, inverse, o); break;
      default: add_values(vectors, weights, row.pages, at, stride, keys, inverse, o); break;
    }
    for (int v = 0; v < vectors; ++v)
      store_operand(out, out_index + d + v * 16, o[v], dimension - d - v * 16, is_bf16);
  }
}

static void attention_kernel(ttrl_heads h, const ttrl_row *rows, int64_t row_count, const float *qkv,
                             int64_t layer_offset, void *out, float *statistics, float *scratch, bool is_bf16) {
  const int64_t width = qkv_width(h), dimension = h.dimension;
  for (int64_t row = 0; row < row_count; ++row)
    for (int64_t head = 0; head < h.heads; ++head) {
      const int64_t index = row * h.heads + head;
      attend(h, rows[row], qkv + row * width + head * dimension, head, layer_offset, out, index * dimension,
             statistics ? statistics + 2 * index : NULL, scratch, is_bf16);
    }
}

// What attention_backward works on for one key/value head of one segment: its own contiguous copies.
typedef struct {
  float *key_tiles, *value_tiles;            // [tiles][D][16]
  float *keys, *values, *dkeys, *dvalues;    // [keys][P]
  float *weights, *dscores;                  // [tiles · 16]
} backward_scratch;

INLINE backward_scratch divide_scratch(float *p, ttrl_heads h, int64_t keys) {
  const int64_t tiles = (keys + 15) >> 4, tile_floats = tiles * 16 * h.dimension;
  const int64_t row_floats = tiles * 16 * padded(h.dimension);
  backward_scratch s;
  s.key_tiles = p;
  s.value_tiles = s.key_tiles + tile_floats;
  s.keys = s.value_tiles + tile_floats;
  s.values = s.keys + row_floats;
  s.dkeys = s.values + row_floats;
  s.dvalues = s.dkeys + row_floats;
  s.weights = s.dvalues + row_floats;
  s.dscores = s.weights + tiles * 16;
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

// The gradient of one query: dquery[d] += Σ ds[j]·key[j], dkey[j] += ds[j]·query, dvalue[j] += weight[j]·dout.
INLINE void spread(int vectors, const backward_scratch *s, int64_t at, int64_t stride, int64_t keys, const v16 *query,
                   const v16 *dout, v16 *dquery) {
  v16 total[4] = {};
  for (int64_t j = 0; j < keys; ++j) {
    v16 ds = all(s->dscores[j]), weight = all(s->weights[j]);
    for (int v = 0; v < vectors; ++v) {
      const int64_t i = j * stride + at + v * 16;
      total[v] = multiply_add(ds, load(s->keys + i), total[v]);
      store(s->dkeys + i, multiply_add(ds, query[v], load(s->dkeys + i)));
      store(s->dvalues + i, multiply_add(weight, dout[v], load(s->dvalues + i)));
    }
  }
  for (int v = 0; v < vectors; ++v) dquery[v] = total[v];
}

INLINE void attend_backward(ttrl_heads h, const backward_scratch *s, int64_t keys, const float *query,
                            const float *dout, const float *statistics, float *dquery) {
  const int64_t dimension = h.dimension, stride = padded(dimension), tiles = (keys + 15) >> 4;
  v16 lanes = {};
  for (int64_t t = 0; t < tiles; ++t) {
    const float *key_tile = s->key_tiles + t * 16 * dimension, *value_tile = s->value_tiles + t * 16 * dimension;
    v16 score[2] = {}, dweight[2] = {};
    for (int64_t d = 0; d < dimension; d += 2)
      for (int i = 0; i < 2; ++i) {
        score[i] = multiply_add(all(query[d + i]), load(key_tile + (d + i) * 16), score[i]);
        dweight[i] = multiply_add(all(dout[d + i]), load(value_tile + (d + i) * 16), dweight[i]);
      }
    v16 weight = exponential(score[0] + score[1] - statistics[0]) * statistics[1];
    weight = choose(first_lanes(keys - t * 16), weight, (v16){});
    v16 d = dweight[0] + dweight[1];
    lanes = multiply_add(weight, d, lanes);
    store(s->weights + t * 16, weight);
    store(s->dscores + t * 16, d);
  }
  const float mean = sum(lanes);
  for (int64_t t = 0; t < tiles; ++t)
    store(s->dscores + t * 16, load(s->weights + t * 16) * (load(s->dscores + t * 16) - mean));
  for (int64_t d = 0; d < dimension; d += 64) {
    const int vectors = (int)((stride - d < 64 ? stride - d : 64) >> 4);
    v16 q[4], o[4], dq[4];
    for (int v = 0; v < vectors; ++v) {
      q[v] = load_first(query + d + v * 16, dimension - d - v * 16);
      o[v] = load_first(dout + d + v * 16, dimension - d - v * 16);
    }
    switch (vectors) {
      case 1: spread(1, s, d, stride, keys, q, o, dq); break;
      case 2: spread(2, s, d, stride, keys, q, o, dq); break;
      case 3: spread(3, s, d, stride, keys, q, o, dq); break;
      default: spread(4, s, d, stride, keys, q, o, dq); break;
    }
    for (int v = 0; v < vectors; ++v) {
      float *to = dquery + d + v * 16;
      const int64_t count = dimension - d - v * 16;
      store_first(to, load_first(to, count) + dq[v], count);
    }
  }
}

static void attention_backward_kernel(ttrl_heads h, ttrl_segment segment, const float *qkv, const float *statistics,
                                      const float *dout, float *dqkv, float *scratch) {
  const int64_t dimension = h.dimension, stride = padded(dimension), width = qkv_width(h);
  const int64_t keys = segment.prefix_count + segment.count, ratio = h.heads / h.groups;
  const backward_scratch s = divide_scratch(scratch, h, keys);
  const size_t row_bytes = (size_t)(((keys + 15) & ~(int64_t)15) * stride) * sizeof(float);
  memset(s.keys, 0, 2 * row_bytes);  // keys and values: the lanes beyond D and the rows beyond the last are zero
  for (int64_t group = 0; group < h.groups; ++group) {
    const int64_t key_at = (h.heads + group) * dimension, value_at = key_at + h.groups * dimension;
    memset(s.dkeys, 0, 2 * row_bytes);
    for (int64_t j = 0; j < keys; ++j) {
      const float *row = segment_row(segment, j, qkv, width);
      memcpy(s.keys + j * stride, row + key_at, (size_t)dimension * sizeof(float));
      memcpy(s.values + j * stride, row + value_at, (size_t)dimension * sizeof(float));
    }
    tile_rows(s.keys, s.key_tiles, keys, dimension, stride);
    tile_rows(s.values, s.value_tiles, keys, dimension, stride);
    for (int64_t i = 0; i < segment.count; ++i) {
      const int64_t row = segment.start + i;
      for (int64_t head = group * ratio; head < (group + 1) * ratio; ++head)
        attend_backward(h, &s, segment.prefix_count + i + 1, qkv + row * width + head * dimension,
                        dout + (row * h.heads + head) * dimension, statistics + (row * h.heads + head) * 2,
                        dqkv + row * width + head * dimension);
    }
    for (int64_t j = 0; j < keys; ++j) {
      float *row = (float *)segment_row(segment, j, dqkv, width);
      add_kernel(s.dkeys + j * stride, row + key_at, dimension);
      add_kernel(s.dvalues + j * stride, row + value_at, dimension);
    }
  }
}
