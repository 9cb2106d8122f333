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

// A query is that of one row and one head. The queries of one key/value head are taken in a fixed order, which is part
// of the arithmetic: two rows after the other, of these one query head after the other, of a head the two rows. Some
// queries at a time are multiplied with the keys and values that they see. So these are small matrix products, and only
// some rows of the matrix of weights are there at a time.
enum { QUERIES_AT_A_TIME = 24, ROWS_AT_A_TIME = 2, BACKWARD_ARRAYS = 11 };

// The memory of attention_backward for one key/value head of one segment: contiguous copies of keys and values, and
// their gradients; and for the queries of a batch.
typedef struct {
  float *key_tiles, *value_tiles;          // [tiles][D][16]
  float *keys, *values, *dkeys, *dvalues;  // [tiles · 16][P]
  float *queries, *douts, *dqueries;       // [queries][P]
  float *weights, *dscores;                // [queries][score_stride]
  int64_t score_stride;
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
  const int64_t positions = tile_positions(keys), width = padded(h.dimension);
  // One more line, so that the rows do not all belong to the same lines of the cache.
  backward_scratch s = {.score_stride = positions + 16};
  s.key_tiles = take(&p, positions * h.dimension);
  s.value_tiles = take(&p, positions * h.dimension);
  s.keys = take(&p, positions * width);
  s.values = take(&p, positions * width);
  s.dkeys = take(&p, positions * width);
  s.dvalues = take(&p, positions * width);
  s.queries = take(&p, QUERIES_AT_A_TIME * width);
  s.douts = take(&p, QUERIES_AT_A_TIME * width);
  s.dqueries = take(&p, QUERIES_AT_A_TIME * width);
  s.weights = take(&p, QUERIES_AT_A_TIME * s.score_stride);
  s.dscores = take(&p, QUERIES_AT_A_TIME * s.score_stride);
  return s;
}

INLINE int64_t backward_scratch_floats(ttrl_heads h, int64_t keys) {
  const int64_t positions = tile_positions(keys), width = padded(h.dimension);
  return positions * (2 * h.dimension + 4 * width) + QUERIES_AT_A_TIME * (3 * width + 2 * (positions + 16)) +
         BACKWARD_ARRAYS * SKEW;
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

// The queries that are processed together.
typedef struct {
  int64_t count;
  int64_t position[QUERIES_AT_A_TIME];
  int64_t last[QUERIES_AT_A_TIME];  // the later position of the query's two rows; it never falls
  const float *statistics[QUERIES_AT_A_TIME];
  float *dquery[QUERIES_AT_A_TIME];
  int64_t first, tile, end;  // the first key that can be seen, and the tiles that have such keys
} backward_batch;

// The first query of the batch that can see the key at `position`, or the number of queries.
INLINE int64_t first_seeing(const backward_batch *b, int64_t position) {
  int64_t n = 0;
  while (n < b->count && b->last[n] < position) ++n;
  return n;
}

// sums[query][half] = the products of 16 keys, or values, with some queries, over the even and the odd dimensions.
INLINE void multiply_halves(int queries, const float *query, int64_t stride, const float *tile, int64_t dimension,
                            v16 (*sums)[2]) {
  v16 s[TILE_QUERIES][2] = {};
  for (int64_t d = 0; d < dimension; d += 2)
    _Pragma("unroll") for (int half = 0; half < 2; ++half) {
      v16 key = load(tile + (d + half) * 16);
      _Pragma("unroll") for (int i = 0; i < queries; ++i)
        s[i][half] = multiply_add(all(query[i * stride + d + half]), key, s[i][half]);
    }
  _Pragma("unroll") for (int i = 0; i < queries; ++i)
    _Pragma("unroll") for (int half = 0; half < 2; ++half) sums[i][half] = s[i][half];
}

// Weights (normalised exp of scores) of the keys of a tile, and their gradients, for the batch's queries from `n` on.
INLINE void weigh_tile(int queries, const backward_scratch *s, const backward_batch *b, int64_t n, int64_t tile,
                       int64_t dimension, int64_t window, v16 *lanes) {
  const int64_t stride = padded(dimension), at = tile * 16;
  v16 score[TILE_QUERIES][2], dweight[TILE_QUERIES][2];
  multiply_halves(queries, s->queries + n * stride, stride, s->key_tiles + at * dimension, dimension, score);
  multiply_halves(queries, s->douts + n * stride, stride, s->value_tiles + at * dimension, dimension, dweight);
  _Pragma("unroll") for (int i = 0; i < queries; ++i) {
    const float *statistics = b->statistics[n + i];
    const int64_t position = b->position[n + i];
    v16 weight = exponential(score[i][0] + score[i][1] - statistics[0]) * statistics[1];
    weight = choose(first_lanes(position + 1 - at), weight, (v16){});
    const int64_t unseen = keys_seen(position, window).first - at;
    if (unseen > 0) weight = choose(first_lanes(unseen), (v16){}, weight);
    v16 d = dweight[i][0] + dweight[i][1];
    lanes[n + i] = multiply_add(weight, d, lanes[n + i]);
    store(s->weights + (n + i) * s->score_stride + at, weight);
    store(s->dscores + (n + i) * s->score_stride + at, d);
  }
}

// Weights and gradients of scores, for all keys that the queries see; zero for other keys of the tiles.
static void score_gradients(const backward_scratch *s, const backward_batch *b, int64_t dimension, int64_t window) {
  v16 lanes[QUERIES_AT_A_TIME] = {};
  for (int64_t t = b->tile; t < b->end; ++t) {
    int64_t n = first_seeing(b, t * 16);
    for (int64_t i = 0; i < n; ++i) {
      store(s->weights + i * s->score_stride + t * 16, (v16){});
      store(s->dscores + i * s->score_stride + t * 16, (v16){});
    }
    for (; n < b->count; n += TILE_QUERIES) {
      const int queries = (int)(b->count - n < TILE_QUERIES ? b->count - n : TILE_QUERIES);
#define WEIGH(count, m) weigh_tile(count, s, b, n, t, dimension, window, lanes)
      WITH_CONSTANT_QUERIES(queries, 1, WEIGH)
#undef WEIGH
    }
  }
  for (int64_t n = 0; n < b->count; ++n) {
    const float mean = sum(lanes[n]);
    const float *weights = s->weights + n * s->score_stride;
    float *dscores = s->dscores + n * s->score_stride;
    for (int64_t j = b->tile * 16; j < b->end * 16; j += 16)
      store(dscores + j, load(weights + j) * (load(dscores + j) - mean));
  }
}

// A sum of products of numbers and rows: factor(row, n) = factors[row · row_step + n · step], row n = rows[n · width].
typedef struct {
  const float *factors;
  int64_t row_step, step;
  const float *rows;
  int64_t count, width;
} row_sum;

// out[row] = or += Σ factor(row, n) · row n, in the order of n, for `vectors` · 16 columns.
INLINE void add_rows(int rows, int vectors, row_sum x, float *out, bool adds) {
  v16 s[TILE_QUERIES][VECTORS_AT_A_TIME] = {};
  if (adds)
    _Pragma("unroll") for (int i = 0; i < rows; ++i)
      _Pragma("unroll") for (int v = 0; v < vectors; ++v) s[i][v] = load(out + i * x.width + v * 16);
  for (int64_t n = 0; n < x.count; ++n) {
    v16 row[VECTORS_AT_A_TIME];
    _Pragma("unroll") for (int v = 0; v < vectors; ++v) row[v] = load(x.rows + n * x.width + v * 16);
    _Pragma("unroll") for (int i = 0; i < rows; ++i) {
      v16 factor = all(x.factors[i * x.row_step + n * x.step]);
      _Pragma("unroll") for (int v = 0; v < vectors; ++v) s[i][v] = multiply_add(factor, row[v], s[i][v]);
    }
  }
  _Pragma("unroll") for (int i = 0; i < rows; ++i)
    _Pragma("unroll") for (int v = 0; v < vectors; ++v) store(out + i * x.width + v * 16, s[i][v]);
}

// The same for all columns of at most TILE_QUERIES rows.
static __attribute__((noinline)) void add_some_rows(int64_t rows, row_sum x, float *out, bool adds) {
  for (int64_t at = 0; at < x.width; at += 16 * VECTORS_AT_A_TIME) {
    const int vectors = x.width - at == 16 ? 1 : 2;
    row_sum part = x;
    part.rows += at;
#define ADD(n, m) add_rows(n, m, part, out + at, adds)
    WITH_CONSTANT(rows, vectors, ADD)
#undef ADD
  }
}

// dkey[j] += Σ ds[j]·query, dvalue[j] += Σ weight[j]·dout, dquery += Σ ds[j]·key[j].
static void spread(const backward_scratch *s, const backward_batch *b, int64_t dimension) {
  const int64_t width = padded(dimension), last = b->last[b->count - 1];
  for (int64_t j = b->first; j <= last; j += TILE_QUERIES) {
    const int64_t keys = last + 1 - j < TILE_QUERIES ? last + 1 - j : TILE_QUERIES, n = first_seeing(b, j);
    row_sum x = {.row_step = 1, .step = s->score_stride, .count = b->count - n, .width = width};
    x.factors = s->dscores + n * s->score_stride + j;
    x.rows = s->queries + n * width;
    add_some_rows(keys, x, s->dkeys + j * width, true);
    x.factors = s->weights + n * s->score_stride + j;
    x.rows = s->douts + n * width;
    add_some_rows(keys, x, s->dvalues + j * width, true);
  }
  for (int64_t n = 0; n < b->count; n += TILE_QUERIES) {
    const int64_t queries = b->count - n < TILE_QUERIES ? b->count - n : TILE_QUERIES;
    row_sum x = {.row_step = s->score_stride, .step = 1, .width = width};
    x.factors = s->dscores + n * s->score_stride + b->first;
    x.rows = s->keys + b->first * width;
    x.count = b->last[n + queries - 1] + 1 - b->first;
    add_some_rows(queries, x, s->dqueries + n * width, false);
  }
  for (int64_t n = 0; n < b->count; ++n) add_kernel(s->dqueries + n * width, b->dquery[n], dimension);
}

// Gathers the queries `first` ..< `first` + `count` of a segment and one key/value head.
INLINE void gather_queries(ttrl_heads h, int64_t window, ttrl_segment segment, int64_t group, int64_t first,
                           int64_t count, const float *qkv, const float *statistics, const float *dout, float *dqkv,
                           const backward_scratch *s, backward_batch *b) {
  const int64_t dimension = h.dimension, stride = padded(dimension), ratio = h.heads / h.groups;
  b->count = count;
  for (int64_t n = 0; n < count; ++n) {
    const int64_t begin = (first + n) / (ROWS_AT_A_TIME * ratio) * ROWS_AT_A_TIME, left = segment.count - begin;
    const int64_t rows = left < ROWS_AT_A_TIME ? left : ROWS_AT_A_TIME, place = first + n - begin * ratio;
    const int64_t own = begin + place % rows, head = group * ratio + place / rows, row = segment.start + own;
    const int64_t query_at = row * qkv_width(h) + head * query_stride(h);
    if (n == 0) {
      const key_range seen = keys_seen(segment.prefix_count + begin, window);
      b->first = seen.first;
      b->tile = seen.tile;
    }
    b->position[n] = segment.prefix_count + own;
    b->last[n] = segment.prefix_count + begin + rows - 1;
    b->statistics[n] = statistics + (row * h.heads + head) * 2;
    b->dquery[n] = dqkv + query_at;
    memcpy(s->queries + n * stride, qkv + query_at, (size_t)dimension * sizeof(float));
    memcpy(s->douts + n * stride, dout + (row * h.heads + head) * dimension, (size_t)dimension * sizeof(float));
  }
  b->end = (b->last[count - 1] + 16) >> 4;
}

static void attention_backward_kernel(ttrl_heads h, int64_t window, ttrl_segment segment, int64_t first_group,
                                      int64_t last_group, const float *qkv, const float *statistics,
                                      const float *dout, float *dqkv, float *scratch) {
  const int64_t dimension = h.dimension, stride = padded(dimension), width = qkv_width(h);
  const int64_t keys = segment.prefix_count + segment.count, queries = segment.count * (h.heads / h.groups);
  const backward_scratch s = divide_scratch(scratch, h, keys);
  const size_t row_bytes = (size_t)(tile_positions(keys) * stride) * sizeof(float);
  memset(s.keys, 0, row_bytes);  // lanes beyond D and rows beyond the last key stay zero
  memset(s.values, 0, row_bytes);
  memset(s.queries, 0, (size_t)(QUERIES_AT_A_TIME * stride) * sizeof(float));
  memset(s.douts, 0, (size_t)(QUERIES_AT_A_TIME * stride) * sizeof(float));
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
    for (int64_t i = 0; i < queries; i += QUERIES_AT_A_TIME) {
      backward_batch b;
      const int64_t some = queries - i < QUERIES_AT_A_TIME ? queries - i : QUERIES_AT_A_TIME;
      gather_queries(h, window, segment, group, i, some, qkv, statistics, dout, dqkv, &s, &b);
      score_gradients(&s, &b, dimension, window);
      spread(&s, &b, dimension);
    }
    for (int64_t j = 0; j < keys; ++j) {
      float *row = (float *)segment_row(segment, j, dqkv, width);
      add_kernel(s.dkeys + j * stride, row + key_at, dimension);
      add_kernel(s.dvalues + j * stride, row + value_at, dimension);
    }
  }
}
