// attention.h: queries, keys and values from the q|k|v product, and softmax attention over pages.
//
// The sampler and the trainer use the same code. A score is one chain of fused multiply-adds over the dimensions; 16
// scores are computed together. Weights are summed in 16 lanes over the tiles, and the output adds the values in the
// order of the keys. So the result depends only on the query and the ordered keys and values, not on how many rows are
// processed together or where a prompt ends. With a window, a query sees only the last keys. The tiles stay where they
// are without one: the first tile is cut as the last one is, and tiles before it are not read. Keys and values in
// bfloat16 are exact when they are widened, so everything after rounding them is the same.
// Not here: gradients (attention_backward.h).

INLINE int64_t padded(int64_t dimension) { return (dimension + 15) & ~(int64_t)15; }
// Of one key/value head, in the floats or words of a page: its keys; from one position's value to the next one's; both.
INLINE int64_t page_keys(ttrl_heads h) { return (h.has_bf16_pages ? 8 : 16) * (int64_t)h.dimension; }
INLINE int64_t page_value_stride(ttrl_heads h) {
  return h.has_bf16_pages ? ((h.dimension + 31) & ~(int64_t)31) / 2 : padded(h.dimension);
}
INLINE int64_t page_head_floats(ttrl_heads h) { return page_keys(h) + 16 * page_value_stride(h); }

// Two vectors of bfloat16 values, which are the lower and the upper halves of 16 words.
typedef struct {
  v16 low, high;
} halves;
INLINE halves load_halves(const float *p) {
  const u16 words = (u16)load(p);
  return (halves){.low = (v16)(words << 16), .high = (v16)(words & 0xFFFF0000)};
}
INLINE void store_halves(float *p, halves x) { store(p, (v16)((u16)x.low >> 16 | ((u16)x.high & 0xFFFF0000))); }
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

INLINE void round_in_place(float *x, int64_t count) {
  for (int64_t i = 0; i < count; i += 16)
    store_first(x + i, from_half(to_half(load_first(x + i, count - i))), count - i);
}

// Stores the key and the value of one head at a position's lane of a page.
INLINE void store_in_page(ttrl_heads h, float *page, int64_t lane, const float *key, const float *value) {
  const int64_t dimension = h.dimension;
  float *to = page + page_keys(h) + lane * page_value_stride(h);
  if (!h.has_bf16_pages) {
    for (int64_t d = 0; d < dimension; ++d) page[d * 16 + lane] = key[d];
    memcpy(to, value, (size_t)dimension * sizeof(float));
    return;
  }
  for (int64_t d = 0; d < dimension; d += 2) {
    uint32_t pair[2];
    memcpy(pair, key + d, sizeof pair);
    const uint32_t word = pair[0] >> 16 | (pair[1] & 0xFFFF0000);
    memcpy(page + d / 2 * 16 + lane, &word, sizeof word);
  }
  for (int64_t d = 0; d < dimension; d += 32)
    store_halves(to + d / 2, (halves){.low = load_first(value + d, dimension - d),
                                      .high = load_first(value + d + 16, dimension - d - 16)});
}

static void finish_qkv_kernel(ttrl_heads h, ttrl_qkv_finish f, const ttrl_row *rows, int64_t row_count, float *qkv,
                              int64_t layer_offset) {
  const int64_t width = qkv_width(h), dimension = h.dimension, half = f.rotated / 2;
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
      float *value = key + h.groups * dimension;
      if (f.key_norm && norms_heads) norm_in_place(key, f.key_norm, f.norm_epsilon, dimension);
      rotate(key, cosines, sines, half, 1, 1, dimension);
      if (h.has_bf16_pages) {
        round_in_place(key, dimension);
        round_in_place(value, dimension);
      }
      store_in_page(h, page, lane, key, value);
    }
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
  bool is_bf16;                       // keys and values
  int64_t keys_offset;                // where the head's keys are in every page
  const float *query[QUERIES_MAX];    // [D]
  float *weights[QUERIES_MAX];        // [keys, rounded up to 16]
  float inverse[QUERIES_MAX];         // 1 / the sum of a query's weights
} query_batch;

// The scores of some queries with the 16 keys of each of some tiles, which begin at keys[tile].
INLINE void score_tile(int queries, int tiles, float *const *query, float *const *keys, float *const *weights,
                       int64_t at, int64_t dimension, bool is_bf16) {
  v16 s[TILE_QUERIES][TILES_AT_A_TIME] = {};
  for (int64_t d = 0; is_bf16 && d < dimension; d += 2) {
    halves key[TILES_AT_A_TIME];
    _Pragma("unroll") for (int t = 0; t < tiles; ++t) key[t] = load_halves(keys[t] + d * 8);
    _Pragma("unroll") for (int i = 0; i < queries; ++i) {
      v16 q = all(query[i][d]), next = all(query[i][d + 1]);
      _Pragma("unroll") for (int t = 0; t < tiles; ++t) {
        s[i][t] = multiply_add(q, key[t].low, s[i][t]);
        s[i][t] = multiply_add(next, key[t].high, s[i][t]);
      }
    }
  }
  for (int64_t d = 0; !is_bf16 && d < dimension; ++d) {
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
INLINE void add_values(int queries, int vectors, float *const *weights, value_tiles x, bool is_bf16,
                       v16 (*total)[VECTORS_AT_A_TIME]) {
  v16 s[TILE_QUERIES][VECTORS_AT_A_TIME];
  _Pragma("unroll") for (int i = 0; i < queries; ++i)
    _Pragma("unroll") for (int v = 0; v < vectors; ++v) s[i][v] = total[i][v];
  for (; x.tile < x.end; ++x.tile) {
    const float *values = x.pages[x.tile] + x.offset;
    const int64_t at = x.tile * 16, count = x.keys - at < 16 ? x.keys - at : 16;
    for (int64_t j = x.first > at ? x.first - at : 0; j < count; ++j) {
      v16 value[VECTORS_AT_A_TIME];
      if (is_bf16) {
        const halves both = load_halves(values + j * x.stride);
        value[0] = both.low;
        value[1] = both.high;
      } else {
        _Pragma("unroll") for (int v = 0; v < vectors; ++v) value[v] = load(values + j * x.stride + v * 16);
      }
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
      float *const *query = (float *const *)b->query + i;
#define SCORE(n, m) score_tile(n, m, query, keys, b->weights + i, tile * 16, dimension, false)
#define SCORE_BF16(n, m) score_tile(n, m, query, keys, b->weights + i, tile * 16, dimension, true)
      if (b->is_bf16) {
        WITH_CONSTANT(queries, tiles, SCORE_BF16)
      } else {
        WITH_CONSTANT(queries, tiles, SCORE)
      }
#undef SCORE
#undef SCORE_BF16
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
#define VALUE(n, m) add_values(n, m, b->weights + i, some, false, total + i)
#define VALUE_BF16(n, m) add_values(n, m, b->weights + i, some, true, total + i)
      if (b->is_bf16) {
        WITH_CONSTANT(queries, vectors, VALUE_BF16)
      } else {
        WITH_CONSTANT(queries, vectors, VALUE)
      }
#undef VALUE
#undef VALUE_BF16
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
  query_batch b = {.count = run.count * width, .is_bf16 = h.has_bf16_pages, .keys_offset = keys_offset};
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
    value_tiles x = {.offset = keys_offset + page_keys(h) + (h.has_bf16_pages ? d / 2 : d),
                     .stride = page_value_stride(h)};
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
