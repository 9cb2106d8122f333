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

// Heads are worked on two at a time, so that the chains of one fill the waits of the other. Their results do not meet.
enum { HEADS_AT_A_TIME = 2, TILES_AT_A_TIME = 4 };

// One or two heads of one query row.
typedef struct {
  const float *query[HEADS_AT_A_TIME];
  int64_t offset[HEADS_AT_A_TIME];   // of the head's keys in every page
  float *weights[HEADS_AT_A_TIME];   // [keys, rounded up to 16]
} head_pair;

// Scores of `count` tiles of 16 keys from page `first`.
INLINE void score_tiles(int heads, int count, const head_pair *pair, float *const *pages, int64_t dimension,
                        v16 scores[HEADS_AT_A_TIME][TILES_AT_A_TIME]) {
  v16 s[HEADS_AT_A_TIME][TILES_AT_A_TIME] = {};
  for (int64_t d = 0; d < dimension; ++d)
    for (int head = 0; head < heads; ++head) {
      v16 q = all(pair->query[head][d]);
      for (int t = 0; t < count; ++t)
        s[head][t] = multiply_add(q, load(pages[t] + pair->offset[head] + d * 16), s[head][t]);
    }
  for (int head = 0; head < heads; ++head)
    for (int t = 0; t < count; ++t) scores[head][t] = s[head][t];
}

INLINE void score_some_tiles(int heads, int64_t count, const head_pair *pair, float *const *pages, int64_t dimension,
                             v16 scores[HEADS_AT_A_TIME][TILES_AT_A_TIME]) {
  switch (count) {
    case 1: score_tiles(heads, 1, pair, pages, dimension, scores); break;
    case 2: score_tiles(heads, 2, pair, pages, dimension, scores); break;
    case 3: score_tiles(heads, 3, pair, pages, dimension, scores); break;
    default: score_tiles(heads, 4, pair, pages, dimension, scores); break;
  }
}

// out[head][vectors] = Σ weight[j]·value[j], keys in order. value_at: of the values' dimensions after a head's offset.
INLINE void add_values(int heads, int vectors, const head_pair *pair, float *const *pages, int64_t value_at,
                       int64_t stride, int64_t keys, v16 out[HEADS_AT_A_TIME][8]) {
  v16 total[HEADS_AT_A_TIME][8] = {};
  for (int64_t first = 0; first < keys; first += 16) {
    const float *values[HEADS_AT_A_TIME], *weights[HEADS_AT_A_TIME];
    for (int head = 0; head < heads; ++head) {
      values[head] = pages[first >> 4] + pair->offset[head] + value_at;
      weights[head] = pair->weights[head] + first;
    }
    const int64_t count = keys - first < 16 ? keys - first : 16;
    for (int64_t j = 0; j < count; ++j)
      for (int head = 0; head < heads; ++head) {
        v16 weight = all(weights[head][j]);
        for (int v = 0; v < vectors; ++v)
          total[head][v] = multiply_add(weight, load(values[head] + j * stride + v * 16), total[head][v]);
      }
  }
  for (int head = 0; head < heads; ++head)
    for (int v = 0; v < vectors; ++v) out[head][v] = total[head][v];
}

// Scores to weights exp(score - maximum), in place. Returns 1 / their sum.
INLINE float softmax(float *weights, int64_t tiles, float maximum) {
  v16 lanes = {};
  for (int64_t t = 0; t < tiles; ++t) {
    v16 e = exponential(load(weights + t * 16) - maximum);
    lanes += e;
    store(weights + t * 16, e);
  }
  return 1.0f / sum(lanes);
}

// out: the first of the heads' outputs, as an index of operands. statistics: of the first head, or NULL.
INLINE void attend(int heads, ttrl_heads h, ttrl_row row, const head_pair *pair, void *out, int64_t out_index,
                   float *statistics, bool is_bf16) {
  const int64_t dimension = h.dimension, stride = padded(dimension);
  const int64_t keys = (int64_t)row.position + 1, tiles = (keys + 15) >> 4;
  v16 highest[HEADS_AT_A_TIME];
  for (int head = 0; head < heads; ++head) highest[head] = all(-INFINITY);
  for (int64_t first = 0; first < tiles; first += TILES_AT_A_TIME) {
    const int64_t count = tiles - first < TILES_AT_A_TIME ? tiles - first : TILES_AT_A_TIME;
    v16 scores[HEADS_AT_A_TIME][TILES_AT_A_TIME];
    score_some_tiles(heads, count, pair, row.pages + first, dimension, scores);
    for (int head = 0; head < heads; ++head)
      for (int64_t t = 0; t < count; ++t) {
        v16 s = choose(first_lanes(keys - (first + t) * 16), scores[head][t], all(-INFINITY));
        highest[head] = larger(highest[head], s);
        store(pair->weights[head] + (first + t) * 16, s);
      }
  }
  float inverse[HEADS_AT_A_TIME];
  for (int head = 0; head < heads; ++head) {
    const float maximum = largest_lane(highest[head]);
    inverse[head] = softmax(pair->weights[head], tiles, maximum);
    if (!statistics) continue;
    statistics[2 * head] = maximum;
    statistics[2 * head + 1] = inverse[head];
  }
  for (int64_t d = 0; d < dimension; d += 128) {
    v16 o[HEADS_AT_A_TIME][8];
    const int vectors = (int)((stride - d < 128 ? stride - d : 128) >> 4);
    const int64_t at = dimension * 16 + d;
    switch (vectors) {
      case 1: add_values(heads, 1, pair, row.pages, at, stride, keys, o); break;
      case 2: add_values(heads, 2, pair, row.pages, at, stride, keys, o); break;
      case 4: add_values(heads, 4, pair, row.pages, at, stride, keys, o); break;
      case 8: add_values(heads, 8, pair, row.pages, at, stride, keys, o); break;
      default: add_values(heads, vectors, pair, row.pages, at, stride, keys, o); break;
    }
    for (int head = 0; head < heads; ++head)
      for (int v = 0; v < vectors; ++v)
        store_operand(out, out_index + head * dimension + d + v * 16, o[head][v] * inverse[head],
                      dimension - d - v * 16, is_bf16);
  }
}

static void attention_kernel(ttrl_heads h, const ttrl_row *rows, int64_t row_count, const float *qkv,
                             int64_t layer_offset, void *out, float *statistics, float *scratch, bool is_bf16) {
  const int64_t width = qkv_width(h), ratio = h.heads / h.groups;
  for (int64_t row = 0; row < row_count; ++row) {
    const int64_t weight_count = (rows[row].position + 16) & ~(int64_t)15;
    for (int64_t first = 0; first < h.heads; first += HEADS_AT_A_TIME) {
      const int64_t index = row * h.heads + first;
      const int heads = h.heads - first < HEADS_AT_A_TIME ? 1 : HEADS_AT_A_TIME;
      head_pair pair;
      for (int head = 0; head < heads; ++head) {
        pair.query[head] = qkv + row * width + (first + head) * h.dimension;
        pair.offset[head] = layer_offset + (first + head) / ratio * page_head_floats(h);
        pair.weights[head] = scratch + head * weight_count;
      }
      float *s = statistics ? statistics + 2 * index : NULL;
      if (heads == 2)
        attend(2, h, rows[row], &pair, out, index * h.dimension, s, is_bf16);
      else
        attend(1, h, rows[row], &pair, out, index * h.dimension, s, is_bf16);
    }
  }
}

// Queries are worked on two at a time on the way back, so that each key's and value's gradients are read and written
// once for both.
enum { QUERIES_AT_A_TIME = 2 };

// What attention_backward works on for one key/value head of one segment: its own contiguous copies.
typedef struct {
  float *key_tiles, *value_tiles;          // [tiles][D][16]
  float *keys, *values, *dkeys, *dvalues;  // [keys][P]
  float *weights[QUERIES_AT_A_TIME], *dscores[QUERIES_AT_A_TIME];  // [tiles · 16]
} backward_scratch;

// Between arrays: with sizes that are multiples of 4096 bytes, the processor takes a load from one for a load of what
// was just stored to another.
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

// dquery += Σ ds[j]·key[j], dkey[j] += ds[j]·query, dvalue[j] += weight[j]·dout, for the dimensions from `at` on.
INLINE void spread(int queries, int vectors, const backward_scratch *s, const backward_query *query, int64_t at,
                   int64_t dimension, int64_t keys) {
  const int64_t stride = padded(dimension);
  v16 q[QUERIES_AT_A_TIME][4], dout[QUERIES_AT_A_TIME][4], total[QUERIES_AT_A_TIME][4] = {};
  for (int i = 0; i < queries; ++i)
    for (int v = 0; v < vectors; ++v) {
      q[i][v] = load_first(query[i].query + at + v * 16, dimension - at - v * 16);
      dout[i][v] = load_first(query[i].dout + at + v * 16, dimension - at - v * 16);
    }
  for (int64_t j = 0; j < keys; ++j)
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

// Weights (exp of scores, normalised) and the gradients of scores, for keys in 0 ..< keys + queries - 1; the first
// query sees `keys` of them, the second one more.
INLINE void score_gradients(int queries, const backward_scratch *s, const backward_query *query, int64_t dimension,
                            int64_t keys) {
  const int64_t tiles = (keys + queries - 1 + 15) >> 4;
  v16 lanes[QUERIES_AT_A_TIME] = {};
  for (int64_t t = 0; t < tiles; ++t) {
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
      v16 d = dweight[i][0] + dweight[i][1];
      lanes[i] = multiply_add(weight, d, lanes[i]);
      store(s->weights[i] + t * 16, weight);
      store(s->dscores[i] + t * 16, d);
    }
  }
  for (int i = 0; i < queries; ++i) {
    const float mean = sum(lanes[i]);
    for (int64_t j = 0; j < tiles * 16; j += 16)
      store(s->dscores[i] + j, load(s->weights[i] + j) * (load(s->dscores[i] + j) - mean));
  }
}

INLINE void attend_backward(int queries, const backward_scratch *s, const backward_query *query, int64_t dimension,
                            int64_t keys) {
  score_gradients(queries, s, query, dimension, keys);
  const int64_t all_keys = keys + queries - 1, stride = padded(dimension);
  for (int64_t at = 0; at < dimension; at += 64) {
    const int vectors = (int)((stride - at < 64 ? stride - at : 64) >> 4);
    switch (vectors) {
      case 1: spread(queries, 1, s, query, at, dimension, all_keys); break;
      case 2: spread(queries, 2, s, query, at, dimension, all_keys); break;
      case 3: spread(queries, 3, s, query, at, dimension, all_keys); break;
      default: spread(queries, 4, s, query, at, dimension, all_keys); break;
    }
  }
}

static void attention_backward_kernel(ttrl_heads h, ttrl_segment segment, int64_t first_group, int64_t last_group,
                                      const float *qkv, const float *statistics, const float *dout, float *dqkv,
                                      float *scratch) {
  const int64_t dimension = h.dimension, stride = padded(dimension), width = qkv_width(h);
  const int64_t keys = segment.prefix_count + segment.count, ratio = h.heads / h.groups;
  const backward_scratch s = divide_scratch(scratch, h, keys);
  const size_t row_bytes = (size_t)(tile_positions(keys) * stride) * sizeof(float);
  memset(s.keys, 0, row_bytes);  // the lanes beyond D and the rows beyond the last stay zero
  memset(s.values, 0, row_bytes);
  for (int64_t group = first_group; group < last_group; ++group) {
    const int64_t key_at = (h.heads + group) * dimension, value_at = key_at + h.groups * dimension;
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
          query[q] = (backward_query){.query = qkv + row * width + head * dimension,
                                      .dout = dout + (row * h.heads + head) * dimension,
                                      .statistics = statistics + (row * h.heads + head) * 2,
                                      .dquery = dqkv + row * width + head * dimension};
        }
        if (queries == 2)
          attend_backward(2, &s, query, dimension, segment.prefix_count + i + 1);
        else
          attend_backward(1, &s, query, dimension, segment.prefix_count + i + 1);
      }
    }
    for (int64_t j = 0; j < keys; ++j) {
      float *row = (float *)segment_row(segment, j, dqkv, width);
      add_kernel(s.dkeys + j * stride, row + key_at, dimension);
      add_kernel(s.dvalues + j * stride, row + value_at, dimension);
    }
  }
}
