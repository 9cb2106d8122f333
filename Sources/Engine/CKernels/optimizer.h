// optimizer.h: AdamW, and gradients as 64-bit integers, whose sum does not depend on the order.

// The largest magnitude of the values so far. Values that are not finite are recorded separately, because comparisons
// lose NaN.
typedef struct {
  v16 highest;
  i16 odd;
} magnitudes;

INLINE void take_in(magnitudes *seen, v16 g) {
  seen->odd |= ~(g - g == 0.0f);
  seen->highest = larger(seen->highest, choose(g < 0.0f, -g, g));
}

INLINE float largest_magnitude(magnitudes seen) {
  return any(seen.odd) ? INFINITY : largest_lane(seen.highest);
}

// 2^40·g, exact in float64, rounded to an integer with ties to even. It is clamped so that every input fits in 64 bits.
INLINE d16 fixed_point(v16 g) {
  d16 scaled = __builtin_convertvector(g, d16) * 0x1p40;
  scaled = __builtin_elementwise_min(__builtin_elementwise_max(scaled, (d16){} - 0x1p62), (d16){} + 0x1p62);
  return __builtin_elementwise_rint(scaled);
}

static float accumulate_fixed_kernel(int64_t *accumulator, const float *gradient, int64_t count) {
  magnitudes seen = {};
  for (int64_t i = 0; i < count; i += 16) {
    const int64_t left = count - i;
    v16 g = load_first(gradient + i, left);
    take_in(&seen, g);
    l16 fixed = __builtin_convertvector(fixed_point(g), l16);
    if (left >= 16)
      *(l16_anywhere *)(accumulator + i) += fixed;
    else
      for (int64_t j = 0; j < left; ++j) accumulator[i + j] += fixed[j];
  }
  return largest_magnitude(seen);
}

static void from_fixed_kernel(const int64_t *accumulator, double scale, float *out, int64_t count) {
  const double unit = 0x1p-40 * scale;
  for (int64_t i = 0; i < count; ++i) out[i] = (float)((double)accumulator[i] * unit);
}

// What accumulate_fixed into zeroes and then from_fixed would give.
static float round_fixed_kernel(float *gradient, double scale, int64_t count) {
  const double unit = 0x1p-40 * scale;
  magnitudes seen = {};
  for (int64_t i = 0; i < count; i += 16) {
    const int64_t left = count - i;
    v16 g = load_first(gradient + i, left);
    take_in(&seen, g);
    // An integer has no negative zero, so -0 becomes 0.
    store_first(gradient + i, __builtin_convertvector((fixed_point(g) + 0.0) * unit, v16), left);
  }
  return largest_magnitude(seen);
}

static double sum_of_squares_kernel(const float *x, int64_t count) {
  d16 lanes = {};
  for (int64_t i = 0; i < count; i += 16) {
    d16 value = __builtin_convertvector(load_first(x + i, count - i), d16);
    lanes += value * value;
  }
  for (int distance = 8; distance > 0; distance /= 2)
    for (int lane = 0; lane < distance; ++lane) lanes[lane] += lanes[lane + distance];
  return lanes[0];
}

static void adamw_kernel(ttrl_adamw s, const float *gradient, float *parameters, float *first, float *second,
                         int64_t count) {
  const float decay = s.learning_rate * s.weight_decay;
  for (int64_t i = 0; i < count; i += 16) {
    const int64_t left = count - i;
    v16 g = load_first(gradient + i, left) * s.gradient_scale;
    v16 m = multiply_add(load_first(first + i, left), all(s.beta1), g * (1.0f - s.beta1));
    v16 v = multiply_add(load_first(second + i, left), all(s.beta2), g * g * (1.0f - s.beta2));
    v16 p = load_first(parameters + i, left);
    v16 root = __builtin_elementwise_sqrt(v / s.bias_correction2) + s.epsilon;
    p -= p * decay;
    p -= m / s.bias_correction1 / root * s.learning_rate;
    store_first(first + i, m, left);
    store_first(second + i, v, left);
    store_first(parameters + i, p, left);
  }
}
