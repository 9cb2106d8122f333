// distribution.h: from logits to the distribution that is sampled, the same for the sampler and the trainer.
//
// A radix selection finds the tokens that top-k and top-p keep. Its time is linear in the vocabulary for every
// distribution. Both first discard, with an exact test, the tokens that cannot be kept: almost all of a large
// vocabulary. Tokens are ranked by value, equal ones by index. The probabilities before a token are summed as integers,
// so that the order of the sum has no influence.

// A key that sorts ascending as (value descending, index ascending).
INLINE uint64_t rank_key(float z, int64_t index) {
  uint32_t bits;
  memcpy(&bits, &z, 4);
  bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;  // now ordered like the floats
  return (uint64_t)~bits << 32 | (uint32_t)index;
}
INLINE int64_t rank_index(uint64_t key) { return (int64_t)(uint32_t)key; }

// The tokens to select from: rank keys, ascending by index, and the weight of each.
typedef struct {
  uint64_t *keys;
  int64_t *weights;
  int64_t count;
} ranked_tokens;

// The last key, in rank order, before which the weights add up to less than `limit`. It overwrites the arrays of
// `tokens`. The weights of all tokens must add up to at least the limit, which is positive.
static uint64_t last_kept(ranked_tokens tokens, int64_t limit) {
  enum { DIGIT_BITS = 11, DIGITS = 1 << DIGIT_BITS };
  int64_t before = 0;
  for (int shift = 64 - DIGIT_BITS; tokens.count > 1 && shift > 32 - DIGIT_BITS; shift -= DIGIT_BITS) {
    // The last digit is shorter: it ends where the index begins.
    const int width = shift < 32 ? shift + DIGIT_BITS - 32 : DIGIT_BITS, low = shift < 32 ? 32 : shift;
    const uint64_t mask = ((uint64_t)1 << width) - 1;
    int64_t sums[DIGITS] = {};
    for (int64_t i = 0; i < tokens.count; ++i) sums[tokens.keys[i] >> low & mask] += tokens.weights[i];
    uint64_t digit = 0;
    while (digit < mask && before + sums[digit] < limit) before += sums[digit++];
    int64_t left = 0;
    for (int64_t i = 0; i < tokens.count; ++i) {
      tokens.keys[left] = tokens.keys[i];
      tokens.weights[left] = tokens.weights[i];
      left += (tokens.keys[i] >> low & mask) == digit;
    }
    tokens.count = left;
  }
  for (int64_t i = 0; i < tokens.count; ++i) {
    before += tokens.weights[i];
    if (before >= limit) return tokens.keys[i];
  }
  return UINT64_MAX;
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

// Drops every token that ranks after `last`.
static void keep_until(float *z, int64_t count, uint64_t last) {
  if (last == UINT64_MAX) return;
  const int32_t index = (int32_t)rank_index(last);
  const v16 value = all(z[index]);
  for (int64_t i = 0; i < count; i += 16) {
    v16 x = load_first(z + i, count - i);
    i16 is_kept = (x > value) | ((x == value) & (lane_numbers() + (int32_t)i <= index));
    store_first(z + i, choose(is_kept, x, all(-INFINITY)), count - i);
  }
}

// The threshold is the k-th largest among the maxima of groups of 16 neighbours. It is at most the k-th largest value
// of all, because k values are at least as large.
static void keep_top_k(float *z, int64_t count, int64_t k, uint64_t *scratch) {
  ranked_tokens tokens = {.keys = scratch, .weights = (int64_t *)scratch + count};
  for (int64_t i = 0; i < count; i += 16) {
    v16 x = choose(first_lanes(count - i), load_first(z + i, count - i), all(-INFINITY));
    tokens.weights[tokens.count] = 1;
    tokens.keys[tokens.count++] = rank_key(largest_lane(x), i);
  }
  float threshold = -INFINITY;
  if (tokens.count > k) {
    const int64_t at = rank_index(last_kept(tokens, k));
    threshold = largest_lane(choose(first_lanes(count - at), load_first(z + at, count - at), all(-INFINITY)));
  }
  tokens.count = candidates(z, count, threshold, scratch);
  for (int64_t i = 0; i < tokens.count; ++i) tokens.weights[i] = 1;
  keep_until(z, count, last_kept(tokens, k));
}

// exp(z - maximum) in units of 2^-40, rounded to nearest even: adding 1.5·2^12 leaves them in the low bits of a
// float64.
INLINE l16 integer_weights(v16 z, float maximum) {
  const d16 rounder = (d16){} + 6144.0;
  return (l16)(__builtin_convertvector(exponential(z - maximum), d16) + rounder) - (l16)rounder;
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
      moments[chain] = multiply_add(e, larger(x, all(-1000.0f)), moments[chain]);  // x = -infinity: 0·infinity is NaN
    }
  *moment = moments[0] + moments[1];
  return weights[0] + weights[1];
}

// Keeps a token if the more probable ones have less than p together. A token with a probability below (1 - p) / V
// cannot be kept: it and all less probable ones have less than 1 - p together, so the ones before it have more than p.
// The threshold is half of that, as a margin for rounding.
static void keep_top_p(float *z, int64_t count, float maximum, float p, uint64_t *scratch) {
  l16 lanes = {};
  for (int64_t i = 0; i < count; i += 16)
    lanes += integer_weights(choose(first_lanes(count - i), load_first(z + i, count - i), all(-INFINITY)), maximum);
  const int64_t total = __builtin_reduce_add(lanes);
  const float share = (float)((1.0 - (double)p) * 0.5 / (double)count * (double)total * 0x1p-40);
  const float threshold = share > 1e-37f ? maximum + logarithm(all(share))[0] : -INFINITY;
  ranked_tokens tokens = {.keys = scratch, .weights = (int64_t *)scratch + count};
  tokens.count = candidates(z, count, threshold, scratch);
  for (int64_t i = 0; i < tokens.count; i += 16) {
    v16 x = all(-INFINITY);
    const int64_t width = tokens.count - i < 16 ? tokens.count - i : 16;
    for (int64_t j = 0; j < width; ++j) x[j] = z[rank_index(tokens.keys[i + j])];
    l16 weights = integer_weights(x, maximum);
    for (int64_t j = 0; j < width; ++j) tokens.weights[i + j] = weights[j];
  }
  const int64_t limit = (int64_t)ceil((double)p * (double)total);
  keep_until(z, count, last_kept(tokens, limit > 0 ? limit : 1));
}

static ttrl_distribution distribution_kernel(float *z, int64_t count, float inverse_temperature, int32_t top_k,
                                             float top_p, uint64_t *scratch) {
  v16 highest = all(-INFINITY);
  i16 odd = {};
  for (int64_t i = 0; i < count; i += 16) {
    v16 x = load_first(z + i, count - i) * inverse_temperature + 0.0f;  // -0 becomes 0, so that their ranks are equal
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
  d.sum = total;
  d.log_sum = logarithm(all(total))[0];
  d.entropy = d.log_sum - sum(moment) / total;
  return d;
}

static int32_t sample_kernel(const float *z, int64_t count, float maximum, float total, double uniform) {
  const double target = uniform * (double)total;
  double before = 0;
  int64_t last = 0;  // the last token with a probability above 0: the result if rounding puts the target beyond the end
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
    if (after > target) return (int32_t)last;  // rounding made the running sum smaller than the sum of the lanes
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
    // A dropped token has p = 0 and log p = -infinity; their product would be NaN.
    v16 excess = larger(logprob, all(-1000.0f)) + entropy;
    store_first(out + i, exponential(logprob) * (excess * entropy_coefficient + coefficient), count - i);
  }
}
