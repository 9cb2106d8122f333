// attention.h: queries, keys and values from the q|k|v product, softmax attention over pages, and their gradients.
//
// The sampler and the trainer use the same code. A score is one chain of fused multiply-adds over the dimensions; 16
// scores are computed together. Weights are summed in 16 lanes over the tiles, and the output adds the values in the
// order of the keys. So the result depends only on the query and the ordered keys and values, not on how many rows are
// processed together or where a prompt ends. With a window, a query sees only the last keys. The tiles stay where they
// are without one: the first tile is cut as the last one is, and tiles before it are not read.

INLINE int64_t padded(int64_t dimension) { return (dimension + 15) & ~(int64_t)15; }
INLINE int64_t page_head_floats(ttrl_heads h) { return 16 * (h.dimension + padded(h.dimension)); }
// A row q|k|v. With output gates, each query is followed by its gate: q₀|g₀|q₁|g₁|…|k|v.
INLINE int64_t query_stride(ttrl_heads h) { return h.has_gates ? 2 * (int64_t)h.dimension : h.dimension; }
INLINE int64_t first_key(ttrl_heads h) { return h.heads * query_stride(h); }
INLINE int64_t qkv_width(ttrl_heads h) { return first_key(h) + 2 * (int64_t)h.groups * h.dimension; }

// (x1, x2) becomes (x1·c - x2·s, x2·c + x1·s) for the two halves of a head's first 2·half dimensions; `direction` -1
// rotates back. All dimensions are scaled.
INLINE void rotate(float *x, const float *cosines, const float *sines, int64_t half, float direction, float scale,
                   int64_t dimension) {
  for (int64_t i = 0; i < half; i += 16) {
    int64_t count = half - i;
    v16 c = load_first(cosines + i, count), s = load_first(sines + i, count) * direction;
    v16 a = load_first(x + i, count), b = load_first(x + half + i, count);
    store_first(x + i, multiply_add(-b, s, a * c) * scale, count);
    store_first(x + half + i, multiply_add(a, s, b * c) * scale, count);
  }
  for (int64_t i = 2 * half; i < dimension; i += 16)
    store_first(x + i, load_first(x + i, dimension - i) * scale, dimension - i);
}

INLINE void norm_in_place(float *x, const float *weight, float epsilon, int64_t dimension) {
  float inverse = inverse_rms(x, dimension, epsilon);
  for (int64_t i = 0; i < dimension; i += 16) {
    int64_t count = dimension - i;
    store_first(x + i, load_first(x + i, count) * inverse * load_first(weight + i, count), count);
  }
}

INLINE float query_scale_at(ttrl_qkv_finish f, int64_t position) {
  return f.position_scales ? f.query_scale * f.position_scales[position] : f.query_scale;
}

static void finish_qkv_kernel(ttrl_heads h, ttrl_qkv_finish f, const ttrl_row *rows, int64_t row_count, float *qkv,
                              int64_t layer_offset) {
  const int64_t width = qkv_width(h), dimension = h.dimension, half = f.rotated / 2, stride = padded(dimension);
  for (int64_t row = 0; row < row_count; ++row, qkv += width) {
    if (f.bias) add_kernel(f.bias, qkv, width);
    const int64_t position = rows[row].position, lane = position & 15;
    const float *cosines = f.cosines + position * half, *sines = f.sines + position * half;
    const float query_scale = query_scale_at(f, position);
    const bool norms_heads = !f.norms_all_heads;
    if (f.query_norm && !norms_heads) norm_in_place(qkv, f.query_norm, f.norm_epsilon, h.heads * dimension);
    for (int64_t head = 0; head < h.heads; ++head) {
      float *query = qkv + head * query_stride(h);
      if (f.query_norm && norms_heads) norm_in_place(query, f.query_norm, f.norm_epsilon, dimension);
      rotate(query, cosines, sines, half, 1, query_scale, dimension);
    }
    float *page = rows[row].pages[position >> 4] + layer_offset;
    if (f.key_norm && !norms_heads)
      norm_in_place(qkv + first_key(h), f.key_norm, f.norm_epsilon, h.groups * dimension);
    for (int64_t group = 0; group < h.groups; ++group, page += page_head_floats(h)) {
      float *key = qkv + first_key(h) + group * dimension;
      const float *value = key + h.groups * dimension;
      if (f.key_norm && norms_heads) norm_in_place(key, f.key_norm, f.norm_epsilon, dimension);
      rotate(key, cosines, sines, half, 1, 1, dimension);
      for (int64_t d = 0; d < dimension; ++d) page[d * 16 + lane] = key[d];
      memcpy(page + dimension * 16 + lane * stride, value, (size_t)dimension * sizeof(float));
    }
  }
}

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

// Rows that see the same full pages (samples of one prompt, tokens of one sequence) are multiplied with these pages
// together, with all query heads that read them: a small matrix product per page. A row's other pages, before and after
// the shared ones, are processed for that row alone, and so are pages of which it sees only some lanes. A query's
// result does not depend on the rest of its batch.
enum { QUERIES_MAX = TTRL_ATTENTION_QUERIES, TILES_AT_A_TIME = 2, VECTORS_AT_A_TIME = 2 };

// Queries of one key/value head: of some rows, all the query heads that share it, or as many as there is room for.
typedef struct {
  int64_t count;
  int64_t keys_offset;                // where the head's keys are in every page
  const float *query[QUERIES_MAX];    // [D]
  float *weights[QUERIES_MAX];        // [keys, rounded up to 16]
  float inverse[QUERIES_MAX];         // 1 / the sum of a query's weights
} query_batch;

// The scores of some queries with the 16 keys of each of some tiles, which are [D][16] at keys[tile].
INLINE void score_tile(int queries, int tiles, float *const *query, float *const *keys, float *const *weights,
                       int64_t at, int64_t dimension) {
  v16 s[TILE_QUERIES][TILES_AT_A_TIME] = {};
  for (int64_t d = 0; d < dimension; ++d) {
    v16 key[TILES_AT_A_TIME];
    _Pragma("unroll") for (int t = 0; t < tiles; ++t) key[t] = load(keys[t] + d * 16);
    _Pragma("unroll") for (int i = 0; i < queries; ++i) {
      v16 q = all(query[i][d]);
      _Pragma("unroll") for (int t = 0; t < tiles; ++t) s[i][t] = multiply_add(q, key[t], s[i][t]);
    }
  }
  _Pragma("unroll") for (int i = 0; i < queries; ++i)
    _Pragma("unroll") for (int t = 0; t < tiles; ++t) store(weights[i] + at + t * 16, s[i][t]);
}

// Some dimensions of the values of one key/value head, in the tiles `tile` ..< `end` of one page table.
typedef struct {
  float *const *pages;
  int64_t offset;  // in every page
  int64_t stride;  // from one key's value to the next one's
  int64_t tile, end;
  int64_t first, keys;  // only the keys `first` ..< `keys` count
} value_tiles;

// total[query] += Σ weight[j]·value[j], in the order of the keys.
INLINE void add_values(int queries, int vectors, float *const *weights, value_tiles x,
                       v16 (*total)[VECTORS_AT_A_TIME]) {
  v16 s[TILE_QUERIES][VECTORS_AT_A_TIME];
  _Pragma("unroll") for (int i = 0; i < queries; ++i)
    _Pragma("unroll") for (int v = 0; v < vectors; ++v) s[i][v] = total[i][v];
  for (; x.tile < x.end; ++x.tile) {
    const float *values = x.pages[x.tile] + x.offset;
    const int64_t at = x.tile * 16, count = x.keys - at < 16 ? x.keys - at : 16;
    for (int64_t j = x.first > at ? x.first - at : 0; j < count; ++j) {
      v16 value[VECTORS_AT_A_TIME];
      _Pragma("unroll") for (int v = 0; v < vectors; ++v) value[v] = load(values + j * x.stride + v * 16);
      _Pragma("unroll") for (int i = 0; i < queries; ++i) {
        v16 weight = all(weights[i][at + j]);
        _Pragma("unroll") for (int v = 0; v < vectors; ++v) s[i][v] = multiply_add(weight, value[v], s[i][v]);
      }
    }
  }
  _Pragma("unroll") for (int i = 0; i < queries; ++i)
    _Pragma("unroll") for (int v = 0; v < vectors; ++v) total[i][v] = s[i][v];
}

// Runs `call(n, m)` with n and m as constants: n is at most TILE_QUERIES, m is 1 or 2.
#define WITH_CONSTANT(n, m, call)                               \
  if (m == 1) {                                                 \
    WITH_CONSTANT_QUERIES(n, 1, call)                           \
  } else {                                                      \
    WITH_CONSTANT_QUERIES(n, 2, call)                           \
  }
#define WITH_CONSTANT_QUERIES(n, m, call)                       \
  switch (n) {                                                  \
    case 1: call(1, m); break;                                  \
    case 2: call(2, m); break;                                  \
    case 3: call(3, m); break;                                  \
    case 4: call(TILE_QUERIES < 4 ? 1 : 4, m); break;           \
    case 5: call(TILE_QUERIES < 5 ? 1 : 5, m); break;           \
    default: call(TILE_QUERIES < 6 ? 1 : 6, m); break;          \
  }

// The scores of the batch's queries `first` ..< `last` with the tiles `tile` ..< `end` of one page table.
INLINE void score_span(const query_batch *b, int64_t first, int64_t last, float *const *pages, int64_t tile,
                       int64_t end,
                       int64_t dimension) {
  for (; tile < end; tile += TILES_AT_A_TIME) {
    const int tiles = end - tile < TILES_AT_A_TIME ? 1 : 2;
    float *keys[TILES_AT_A_TIME];
    for (int t = 0; t < tiles; ++t) keys[t] = pages[tile + t] + b->keys_offset;
    for (int64_t i = first; i < last; i += TILE_QUERIES) {
      const int queries = (int)(last - i < TILE_QUERIES ? last - i : TILE_QUERIES);
#define SCORE(n, m) score_tile(n, m, (float *const *)b->query + i, keys, b->weights + i, tile * 16, dimension)
      WITH_CONSTANT(queries, tiles, SCORE)
#undef SCORE
    }
  }
}

// Adds the values with the weights of the batch's queries `first` ..< `last`. If there are many queries, all of them
// use a tile while it is in the cache. If there are few, their sums stay in registers from tile to tile.
INLINE void value_span(const query_batch *b, int64_t first, int64_t last, value_tiles x, int vectors,
                       v16 (*total)[VECTORS_AT_A_TIME]) {
  const int64_t step = last - first <= TILE_QUERIES ? x.end - x.tile : 1;
  for (; x.tile < x.end; x.tile += step) {
    value_tiles some = x;
    some.end = x.tile + step;
    for (int64_t i = first; i < last; i += TILE_QUERIES) {
      const int queries = (int)(last - i < TILE_QUERIES ? last - i : TILE_QUERIES);
#define VALUE(n, m) add_values(n, m, b->weights + i, some, total + i)
      WITH_CONSTANT(queries, vectors, VALUE)
#undef VALUE
    }
  }
}

// The keys that a query sees, `first` ..< `count`, and the tiles that have them.
typedef struct {
  int64_t first, count, tile, end;
} key_range;

INLINE key_range keys_seen(int64_t position, int64_t window) {
  const int64_t count = position + 1, first = count > window ? count - window : 0;
  return (key_range){.first = first, .count = count, .tile = first >> 4, .end = (count + 15) >> 4};
}

// Turns scores into weights exp(score - maximum), in place; weights of other keys in the same tiles become 0. Returns
// 1 / their sum.
INLINE float softmax(float *weights, key_range keys, float *maximum) {
  const int64_t last = (keys.end - 1) * 16, begin = keys.tile * 16;
  store(weights + last, choose(first_lanes(keys.count - last), load(weights + last), all(-INFINITY)));
  if (keys.first > begin)
    store(weights + begin, choose(first_lanes(keys.first - begin), all(-INFINITY), load(weights + begin)));
  v16 highest = all(-INFINITY), lanes = {};
  for (int64_t t = keys.tile; t < keys.end; ++t) highest = larger(highest, load(weights + t * 16));
  *maximum = largest_lane(highest);
  for (int64_t t = keys.tile; t < keys.end; ++t) {
    v16 e = exponential(load(weights + t * 16) - *maximum);
    lanes += e;
    store(weights + t * 16, e);
  }
  return 1.0f / sum(lanes);
}

// Rows that all see every key of the pages `first` ..< `end`, which are the same pages for all of them.
typedef struct {
  const ttrl_row *rows;
  int64_t count, first, end;
} row_run;

// The first rows, at most `limit`, that share enough pages to be processed together.
INLINE row_run run_of_rows(const ttrl_row *rows, int64_t row_count, int64_t limit, int64_t window) {
  const key_range own = keys_seen(rows[0].position, window);
  row_run run = {.rows = rows, .count = 1, .first = (own.first + 15) >> 4, .end = own.count >> 4};
  for (; run.count < row_count && run.count < limit; ++run.count) {
    const ttrl_row next = rows[run.count];
    const key_range seen = keys_seen(next.position, window);
    const int64_t from = (seen.first + 15) >> 4, first = from > run.first ? from : run.first;
    const int64_t full = seen.count >> 4, bound = full < run.end ? full : run.end;
    int64_t end = first;
    while (end < bound && next.pages[end] == rows[0].pages[end]) ++end;
    if (end <= first || 2 * (end - first) < run.end - run.first) break;
    run.first = first;
    run.end = end;
  }
  // A row of a short window may see no page as a whole.
  if (run.end < run.first) run.end = run.first;
  return run;
}

// Adds the values of each row's own tiles, before or after those that all rows of the run share.
static void add_unshared_values(const query_batch *b, row_run run, int64_t window, int64_t width, value_tiles x,
                                int vectors, bool is_after, v16 (*total)[VECTORS_AT_A_TIME]) {
  for (int64_t row = 0; row < run.count; ++row) {
    const key_range keys = keys_seen(run.rows[row].position, window);
    x.pages = run.rows[row].pages;
    x.first = keys.first;
    x.keys = keys.count;
    x.tile = is_after ? run.end : keys.tile;
    x.end = is_after ? keys.end : run.first;
    value_span(b, row * width, (row + 1) * width, x, vectors, total);
  }
}

// Attention of the heads `head` ..< `head` + `width` of a run of rows, all of one key/value head. Pointers and indices
// are those of the run's first row.
INLINE void attend(ttrl_heads h, row_run run, int64_t window, int64_t head, int64_t width, const float *qkv,
                   int64_t keys_offset, void *out, int64_t out_index, float *statistics, float *scratch,
                   bool is_bf16) {
  const int64_t dimension = h.dimension, stride = padded(dimension);
  query_batch b = {.count = run.count * width, .keys_offset = keys_offset};
  int64_t positions = 0;
  for (int64_t row = 0; row < run.count; ++row)
    if (run.rows[row].position >= positions) positions = run.rows[row].position + 1;
  for (int64_t i = 0; i < b.count; ++i) {
    b.query[i] = qkv + i / width * qkv_width(h) + (head + i % width) * query_stride(h);
    b.weights[i] = scratch + i * ((positions + 15) & ~(int64_t)15);
  }
  score_span(&b, 0, b.count, run.rows[0].pages, run.first, run.end, dimension);
  for (int64_t row = 0; row < run.count; ++row) {
    const key_range keys = keys_seen(run.rows[row].position, window);
    float *const *pages = run.rows[row].pages;
    const int64_t first = row * width, last = first + width;
    score_span(&b, first, last, pages, keys.tile, run.first, dimension);
    score_span(&b, first, last, pages, run.end, keys.end, dimension);
    for (int64_t i = first; i < last; ++i) {
      float maximum;
      b.inverse[i] = softmax(b.weights[i], keys, &maximum);
      if (!statistics) continue;
      float *s = statistics + 2 * (row * h.heads + head + i % width);
      s[0] = maximum;
      s[1] = b.inverse[i];
    }
  }
  for (int64_t d = 0; d < stride; d += 16 * VECTORS_AT_A_TIME) {
    v16 total[QUERIES_MAX][VECTORS_AT_A_TIME] = {};
    const int vectors = stride - d == 16 ? 1 : 2;
    value_tiles x = {.offset = keys_offset + dimension * 16 + d, .stride = stride};
    // In the order of the keys.
    if (run.first > 0) add_unshared_values(&b, run, window, width, x, vectors, false, total);
    x.pages = run.rows[0].pages;
    x.tile = run.first;
    x.end = run.end;
    x.keys = run.end * 16;
    value_span(&b, 0, b.count, x, vectors, total);
    add_unshared_values(&b, run, window, width, x, vectors, true, total);
    for (int64_t i = 0; i < b.count; ++i)
      for (int v = 0; v < vectors; ++v) {
        const int64_t left = dimension - d - v * 16;
        if (left > 0)
          store_operand(out, out_index + (i / width * h.heads + head + i % width) * dimension + d + v * 16,
                        total[i][v] * b.inverse[i], left, is_bf16);
      }
  }
}

static void attention_kernel(ttrl_heads h, int64_t window, const ttrl_row *rows, int64_t row_count, const float *qkv,
                             int64_t layer_offset, void *out, float *statistics, float *scratch, bool is_bf16) {
  const int64_t ratio = h.heads / h.groups, width = ratio < QUERIES_MAX ? ratio : QUERIES_MAX;
  for (int64_t row = 0; row < row_count;) {
    const row_run run = run_of_rows(rows + row, row_count - row, QUERIES_MAX / width, window);
    for (int64_t group = 0; group < h.groups; ++group)
      for (int64_t first = 0; first < ratio; first += width) {
        const int64_t some = ratio - first < width ? ratio - first : width;
        attend(h, run, window, group * ratio + first, some, qkv + row * qkv_width(h),
               layer_offset + group * page_head_floats(h), out, row * h.heads * h.dimension,
               statistics ? statistics + 2 * row * h.heads : NULL, scratch, is_bf16);
      }
    row += run.count;
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
