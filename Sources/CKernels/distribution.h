// distribution.h: from logits to the distribution that is sampled, the same for the sampler and the trainer.
//
// Only what top-k and top-p may keep is ever sorted: both have an exact test that discards almost all of a large
// vocabulary first. A token is ranked by its value, ties by its index.

// A key that sorts ascending as (value descending, index ascending).
INLINE uint64_t rank_key(float z, int64_t index) {
  uint32_t bits;
  memcpy(&bits, &z, 4);
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;  // now ordered like the floats
  return (uint64_t)~bits << 32 | (uint32_t)index;
}
INLINE int64_t rank_index(uint64_t key) { return (int64_t)(uint32_t)key; }

// Moves keys[at] down until no child is smaller.
INLINE void sift(uint64_t *keys, int64_t count, int64_t at) {
  const uint64_t key = keys[at];
  for (int64_t child; (child = 2 * at + 1) < count; at = child) {
    if (child + 1 < count && keys[child + 1] < keys[child]) ++child;
    if (key <= keys[child]) break;
    keys[at] = keys[child];
  }
  keys[at] = key;
}
INLINE void make_heap(uint64_t *keys, int64_t count) {
  for (int64_t at = count / 2 - 1; at >= 0; --at) sift(keys, count, at);
}
INLINE uint64_t pop(uint64_t *keys, int64_t *count) {
  const uint64_t first = keys[0];
  keys[0] = keys[--*count];
  if (*count > 0) sift(keys, *count, 0);
  return first;
}

// The tokens with z >= threshold, as rank keys.
INLINE int64_t candidates(const float *z, int64_t count, float threshold, uint64_t *keys) {
  int64_t found = 0;
  for (int64_t i = 0; i < count; i += 16) {
    if (!any((load_first(z + i, count - i) >= threshold) & first_lanes(count - i))) continue;
    for (int64_t j = i; j < i + 16 && j < count; ++j)
      if (z[j] >= threshold) keys[found++] = rank_key(z[j], j);
  }
  return found;
}

// Drops every token that is not among `kept`; keys: their ranks.
static void keep_only(float *z, int64_t count, const uint64_t *keys, float *values, int64_t kept) {
  for (int64_t i = 0; i < kept; ++i) values[i] = z[rank_index(keys[i])];
  for (int64_t i = 0; i < count; i += 16) store_first(z + i, all(-INFINITY), count - i);
  for (int64_t i = 0; i < kept; ++i) z[rank_index(keys[i])] = values[i];
}

// The k-th largest of the maxima of 16 neighbours is at most the k-th largest of all: k of them are at least as large.
static void keep_top_k(float *z, int64_t count, int64_t k, uint64_t *scratch) {
  int64_t blocks = 0;
  for (int64_t i = 0; i < count; i += 16) {
    v16 x = choose(first_lanes(count - i), load_first(z + i, count - i), all(-INFINITY));
    scratch[blocks++] = rank_key(largest_lane(x), i);
  }
  float threshold = -INFINITY;
  if (blocks > k) {
    make_heap(scratch, blocks);
    uint64_t key = 0;
    for (int64_t i = 0; i < k; ++i) key = pop(scratch, &blocks);
    v16 block = load_first(z + rank_index(key), count - rank_index(key));
    threshold = largest_lane(choose(first_lanes(count - rank_index(key)), block, all(-INFINITY)));
  }
  int64_t found = candidates(z, count, threshold, scratch);
  uint64_t *kept = scratch + count;
  make_heap(scratch, found);
  for (int64_t i = 0; i < k; ++i) kept[i] = pop(scratch, &found);
  keep_only(z, count, kept, (float *)scratch, k);
}

INLINE v16 sum_of_weights(const float *z, int64_t count, float maximum, v16 *moment) {
  v16 weights[2] = {}, moments[2] = {};
  for (int64_t i = 0; i < count; i += 32)
    for (int chain = 0; chain < 2; ++chain) {
      const int64_t at = i + 16 * chain, left = count - at;
      if (left <= 0) break;
      v16 x = choose(first_lanes(left), load_first(z + at, left) - maximum, all(-INFINITY));
      v16 e = exponential(x);
      weights[chain] += e;
      moments[chain] = multiply_add(e, larger(x, all(-1000.0f)), moments[chain]);  // e is 0 there; 0·infinity is not
    }
  *moment = moments[0] + moments[1];
  return weights[0] + weights[1];
}

// Keeps the smallest set of most probable tokens of which none has p or more before it. A token less probable than
// (1 - p) / V cannot be in it: all tokens from it on hold less than 1 - p, so more than p comes before. Half of that
// leaves room for rounding.
static void keep_top_p(float *z, int64_t count, float maximum, float p, uint64_t *scratch) {
  v16 moment;
  const float total = sum(sum_of_weights(z, count, maximum, &moment));
  const float share = (1.0f - p) * 0.5f / (float)count * total;
  const float threshold = share > 1e-37f ? maximum + logarithm(all(share))[0] : -INFINITY;
  int64_t found = candidates(z, count, threshold, scratch), kept = 0;
  uint64_t *keys = scratch + count;
  make_heap(scratch, found);
  const double limit = (double)p * (double)total;
  double before = 0;
  while (found > 0 && before < limit) {
    const uint64_t key = pop(scratch, &found);
    const float value = z[rank_index(key)];
    if (value == -INFINITY) break;  // top-k has dropped the rest
    keys[kept++] = key;
    before += (double)exponential(all(value - maximum))[0];
  }
  keep_only(z, count, keys, (float *)scratch, kept);
}

static ttrl_distribution distribution_kernel(float *z, int64_t count, float inverse_temperature, int32_t top_k,
                                             float top_p, uint64_t *scratch) {
  v16 highest = all(-INFINITY);
  i16 odd = {};
  for (int64_t i = 0; i < count; i += 16) {
    v16 x = load_first(z + i, count - i) * inverse_temperature;
    odd |= ~(x - x == 0.0f);  // NaN and both infinities
    highest = larger(highest, choose(first_lanes(count - i), x, all(-INFINITY)));
    store_first(z + i, x, count - i);
  }
  ttrl_distribution d = {.maximum = largest_lane(highest), .is_finite = !any(odd)};
  if (!d.is_finite) return d;
  if (top_k > 0 && top_k < count) keep_top_k(z, count, top_k, scratch);
  if (top_p < 1) keep_top_p(z, count, d.maximum, top_p, scratch);
  v16 moment;
  const float total = sum(sum_of_weights(z, count, d.maximum, &moment));
  d.log_sum = logarithm(all(total))[0];
  d.entropy = d.log_sum - sum(moment) / total;
  return d;
}

static int32_t sample_kernel(const float *z, int64_t count, float maximum, double uniform) {
  double total = 0;
  for (int64_t i = 0; i < count; i += 16) {
    v16 x = choose(first_lanes(count - i), load_first(z + i, count - i) - maximum, all(-INFINITY));
    total += (double)sum(exponential(x));
  }
  const double target = uniform * total;
  double before = 0;
  int64_t last = 0;  // the last token that can be drawn: where rounding leaves the target beyond the end
  for (int64_t i = 0; i < count; i += 16) {
    v16 x = choose(first_lanes(count - i), load_first(z + i, count - i) - maximum, all(-INFINITY));
    v16 e = exponential(x);
    const double after = before + (double)sum(e);
    double here = before;
    for (int64_t j = 0; j < 16 && after > before; ++j) {
      if (e[j] == 0) continue;
      last = i + j;
      if (after <= target) continue;
      here += (double)e[j];
      if (here > target) return (int32_t)last;
    }
    if (after > target) return (int32_t)last;  // the lanes' sum rounded below the block's
    before = after;
  }
  return (int32_t)last;
}

static int32_t largest_kernel(const float *z, int64_t count) {
  v16 highest = all(-INFINITY);
  for (int64_t i = 0; i < count; i += 16)
    highest = larger(highest, choose(first_lanes(count - i), load_first(z + i, count - i), all(-INFINITY)));
  const float maximum = largest_lane(highest);
  for (int64_t i = 0; i < count; ++i)
    if (z[i] == maximum) return (int32_t)i;
  return 0;
}

static void scaled_probabilities_kernel(const float *z, int64_t count, float maximum, float log_sum,
                                        float coefficient, float *out) {
  for (int64_t i = 0; i < count; i += 16)
    store_first(out + i, exponential(load_first(z + i, count - i) - maximum - log_sum) * coefficient, count - i);
}

static void entropy_gradient_kernel(const float *z, int64_t count, float maximum, float log_sum, float entropy,
                                    float coefficient, float entropy_coefficient, float *out) {
  for (int64_t i = 0; i < count; i += 16) {
    v16 logprob = load_first(z + i, count - i) - maximum - log_sum;
    // p is 0 for a dropped token; 0 · infinity would not be.
    v16 excess = larger(logprob, all(-1000.0f)) + entropy;
    store_first(out + i, exponential(logprob) * (excess * entropy_coefficient + coefficient), count - i);
  }
}
