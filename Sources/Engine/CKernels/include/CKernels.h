// CKernels: the engine's arithmetic, for 16 floats at a time: matrix products and everything between them.
//
// Every bit of a result is defined. Every kernel uses vectors of 16 floats, whatever the processor has. It sums in 16
// lanes and then adds the lanes in one fixed tree. Each fused multiply-add is explicit. exp and log are the kernels'
// own, and the same for full vectors and for the last, partly filled one. So a row's result depends on that row alone,
// and AVX2 and AVX-512 give the same bits. The same source (kernels.h) is compiled once for each instruction set.
// bfloat16 products have the order of additions of an instruction (`tile`, `pair`); processors without the instruction
// compute the same bits with multiply-adds of float32.
// Not here: checks of sizes (Tensors/Kernels.swift), the readable form of each
// kernel (Tensors/Reference.swift; tests compare the kernels with it).
//
// Letters: C hidden size, F feed-forward size, H query heads, G key/value heads, D head dimension, V vocabulary,
// W the width of a q|k|v row: (H + 2G)·D, or (2H + 2G)·D with output gates. "Operand": input of a matrix
// multiplication, float32 or bfloat16 (is_bf16).
//
// Key/value pages: a page has the keys and values of 16 consecutive positions. In it, at the layer's offset, each
// key/value head has its keys as [D][16] (one vector per dimension) and its values as [16][P], P = D rounded up to 16.
// In bfloat16, a 32-bit word has two values, the first in its lower half: of the keys, two dimensions that follow each
// other ([D/2][16] words); of the values, dimensions i and i + 16 of every 32 ([16][P/2] words, with D rounded up to
// 32 as P).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

enum { TTRL_LANES = 16 };

/// How many queries attention processes together.
enum { TTRL_ATTENTION_QUERIES = 24 };

typedef struct {
  int32_t heads, groups, dimension;
  /// In a row, each query is followed by its output gate.
  bool has_gates;
  /// Keys and values are bfloat16 in pages. In rows they are float32, rounded to bfloat16.
  bool has_bf16_pages;
} ttrl_heads;

/// One token that goes through a layer.
typedef struct {
  /// It attends to the keys of positions 0 ... position, or to the last of them if there is a window.
  int32_t position;
  /// Page i has positions 16 i ..< 16 i + 16.
  float *_Nonnull const *_Nonnull pages;
} ttrl_row;

/// What turns a row of the q|k|v product into rotated queries and keys. Parts that the model does not have are NULL.
typedef struct {
  const float *_Nullable bias;        // [W]
  const float *_Nullable query_norm;  // [D], or [H·D] over all heads together
  const float *_Nullable key_norm;    // [D], or [G·D]
  /// Norms are over all heads of a row together. Then there are no output gates.
  bool norms_all_heads;
  float norm_epsilon;
  float query_scale;
  const float *_Nullable position_scales;  // [positions], of queries, in addition
  /// How many of a head's first dimensions are rotated.
  int64_t rotated;
  const float *cosines;                    // [positions, rotated/2]
  const float *sines;
} ttrl_qkv_finish;

/// Rows that attend to a shared prefix and then to each other: a prompt (no prefix) or a response.
typedef struct {
  int64_t prefix_start, prefix_count;  // rows of the prompt
  int64_t start, count;
} ttrl_segment;

/// The heads of a layer of linear attention: value heads r·g ..< r·(g + 1) share key head g. A projected row is
/// q [G·K] | k [G·K] | v [H·V] | output gates z [H·V] | b [H] | a [H], with G key heads of K and H value heads of V
/// dimensions.
typedef struct {
  int32_t key_heads, value_heads, key_dimension, value_dimension;
} ttrl_delta_heads;

typedef struct {
  const float *convolution;  // [4][2·G·K + H·V], the oldest row's weights first
  const float *a_log;        // [H]
  const float *dt_bias;      // [H]
} ttrl_delta_weights;

typedef struct {
  float *convolution;  // [2·G·K + H·V][4]
  float *a_log, *dt_bias;
} ttrl_delta_gradients;

/// Adjacent rows of one sequence, and what the layer keeps of it (`ttrl_delta_state` floats).
typedef struct {
  int64_t start, count;
  float *state;
  /// If it is given, it is copied to `state` before the first row.
  const float *_Nullable initial;
} ttrl_delta_run;

/// How many steps of linear attention are prepared at a time, and how many are repeated from one kept state.
enum { TTRL_DELTA_STEPS = 16 };

/// Output gates: those of a head in a row begin at values + row · row_stride + head · head_stride.
typedef struct {
  const float *values;
  int64_t row_stride, head_stride;
  bool is_silu;  // else sigmoid
} ttrl_gates;

typedef struct {
  float maximum;
  /// The sum of exp(z - maximum) over the tokens that are kept.
  float sum;
  /// The natural log of `sum`.
  float log_sum;
  float entropy;  // nats
  /// False if a logit is NaN or infinite; the other members are then undefined.
  bool is_finite;
} ttrl_distribution;

typedef struct {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  float gradient_scale;
  float bias_correction1, bias_correction2;  // 1 - beta^step
} ttrl_adamw;

/// The left factor of a product: [rows, inner], or stored as [inner, rows] if it is transposed.
typedef struct {
  const void *values;
  int64_t stride;  // from one stored row to the next, in values
  bool is_transposed;
} ttrl_left;

/// How a right factor [inner, columns] is stored. Packed weights have panels of 16 columns; what is missing from the
/// last panel is zero.
///
/// float32: blocks of TTRL_INNER_BLOCK inner indices; in a block, its panels; in a panel, one vector [16] per inner
/// index. Inner indices are rounded up to multiples of 16 with zeroes.
///
/// bfloat16: panels; in a panel, one vector [16][2] per pair of inner indices. Inner indices are rounded up to
/// multiples of 32 with zeroes. A panel's 32 inner indices are a tile of AMX, and a vector is an operand of vdpbf16ps.
typedef enum {
  TTRL_ROW_MAJOR = 0,
  TTRL_PACKED = 1,
  TTRL_PACKED_TRANSPOSED = 2,  // the packed matrix is [columns, inner]
} ttrl_layout;

typedef struct {
  const void *values;
  int64_t inner, columns;
  ttrl_layout layout;
} ttrl_right;

/// How many inner indices of a float32 product are summed in one chain (this is part of the arithmetic), and how many
/// rows are copied at a time.
enum { TTRL_INNER_BLOCK = 288, TTRL_ROW_BLOCK = 288 };
/// How many inner indices of both factors are copied at a time for AMX.
enum { TTRL_TILE_INNER_BLOCK = 1536 };
/// Floats of scratch for the products: one block of each factor. For AMX a float has room for two values.
enum { TTRL_MULTIPLY_SCRATCH = (TTRL_ROW_BLOCK + 2 * TTRL_LANES) * TTRL_TILE_INNER_BLOCK / 2 };

/// out[rows, columns] = or += a · b for the panels `first` ..< `last` of 16 columns each. stride: from one row of out
/// to the next, in floats. With `adds`, the previous contents of out are the first term of each sum.
typedef void (*ttrl_multiply)(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                              int64_t stride, bool adds, float *scratch);

/// The kernels of one instruction set.
typedef struct {
  const char *name;

  /// Packs weights [columns, inner], as a linear layer stores them, to the panels `first` ..< `last`, of 16 columns
  /// each, of a right factor [inner, columns]. weights: from the first row of the panel `first` on.
  void (*pack)(const float *weights, int64_t inner, int64_t columns, int64_t first, int64_t last, void *out,
               bool is_bf16);
  /// One row [inner] of the weights that were packed.
  void (*unpack_row)(const void *packed, int64_t inner, int64_t columns, int64_t column, float *out, bool is_bf16);
  /// float32 factors.
  ttrl_multiply multiply_float32;
  /// bfloat16 factors, in the order of vdpbf16ps. With c from 0, or from the contents of out, for every two inner
  /// indices, in order: c = fma(a0, b0, fma(a1, b1, c)). An odd number of inner indices is filled up with a zero.
  ttrl_multiply multiply_pair;
  /// bfloat16 factors, in the order of AMX. For every 32 inner indices, in order: e and o are chains of multiply-adds
  /// from 0 over the even and over the odd indices, and c = c + (e + o). The last 32 are filled up with zeroes.
  ///
  /// In both orders denormal factors, terms and results are zero, and results are rounded to nearest even.
  ttrl_multiply multiply_tile;

  /// out[i] = exp(x[i]); 0 for x below -87.3, exp(88) for x above 88.
  void (*exponential)(const float *x, float *out, int64_t count);
  /// out[i] = the natural log of x[i], for positive, normal numbers.
  void (*logarithm)(const float *x, float *out, int64_t count);

  /// float32 to bfloat16, to nearest even.
  void (*to_bf16)(const float *x, uint16_t *out, int64_t count);
  /// float32 to the nearest bfloat16, as float32.
  void (*round_to_bf16)(const float *x, float *out, int64_t count);
  /// y += x.
  void (*add)(const float *x, float *y, int64_t count);
  /// out = factor · x.
  void (*scale)(const float *x, float factor, float *out, int64_t count);
  /// y += factor · x, rounded once.
  void (*add_scaled)(const float *x, float factor, float *y, int64_t count);
  /// out[i] = table[index[i]]; a row has `columns` floats.
  void (*gather)(const float *table, const int32_t *index, float *out, int64_t rows, int64_t columns);
  /// table[index[i]] += x[i], in order of i.
  void (*scatter_add)(const float *x, const int32_t *index, float *table, int64_t rows, int64_t columns);
  /// sums[columns] += the rows of x[rows, columns].
  void (*add_columns)(const float *x, float *sums, int64_t rows, int64_t columns);
  /// out[columns, padded_rows] = the transpose of x[rows, columns]; both are operands. Columns of out beyond `rows`
  /// become zero.
  void (*transpose)(const void *x, void *out, int64_t rows, int64_t columns, int64_t padded_rows, bool is_bf16);

  /// out = x / sqrt(mean(x²) + epsilon) · weight, an operand.
  void (*rms_norm)(const float *x, const float *weight, float epsilon, void *out, int64_t rows, int64_t columns,
                   bool is_bf16);
  /// dx += the gradient through rms_norm; inverses[rows] = 1 / sqrt(mean(x²) + epsilon).
  void (*rms_norm_backward)(const float *x, const float *weight, float epsilon, const float *dy, float *dx,
                            float *inverses, int64_t rows, int64_t columns);
  /// dweight[first ..< end] += the gradient through rms_norm, row after row. first is a multiple of 16.
  void (*rms_norm_weight_backward)(const float *x, const float *inverses, const float *dy, float *dweight, int64_t rows,
                                   int64_t columns, int64_t first, int64_t end);

  /// out[rows, F] = silu(gate) · up, or gelu(gate) · up in the form with tanh, an operand, with gate_up[rows, 2F] =
  /// gate|up.
  void (*glu)(const float *gate_up, void *out, int64_t rows, int64_t width, bool is_gelu, bool is_bf16);
  /// The gradient through glu; activated is the output of glu, recomputed. dgate_up[rows, 2F] and
  /// activated[rows, F] are operands.
  void (*glu_backward)(const float *gate_up, const float *dactivated, void *dgate_up, void *activated, int64_t rows,
                       int64_t width, bool is_gelu, bool is_bf16);

  /// Applies bias, head norms, rotation and scale, in place in qkv[rows, W]; keys and values are then rounded to the
  /// pages' type. They are also copied to their pages.
  void (*finish_qkv)(ttrl_heads heads, ttrl_qkv_finish finish, const ttrl_row *rows, int64_t row_count, float *qkv,
                     int64_t layer_offset);
  /// The gradient through finish_qkv, in place in dqkv[rows, W]. raw_qkv: the input of finish_qkv with the bias added,
  /// or NULL without norms. The gradients of the norms' weights are added to dquery_norm and dkey_norm.
  void (*finish_qkv_backward)(ttrl_heads heads, ttrl_qkv_finish finish, const ttrl_row *rows, int64_t row_count,
                              const float *_Nullable raw_qkv, float *dqkv, float *_Nullable dquery_norm,
                              float *_Nullable dkey_norm);

  /// Softmax attention of each row over its pages: over the last `window` keys, its own included, or over all if there
  /// are fewer. out[rows, H·D] is an operand. statistics[rows, H, 2], or NULL, gets the largest score and 1 / sum of
  /// exp. scratch: TTRL_ATTENTION_QUERIES times the largest number of keys, rounded up to a multiple of 16, in floats.
  void (*attention)(ttrl_heads heads, int64_t window, const ttrl_row *rows, int64_t row_count, const float *qkv,
                    int64_t layer_offset, void *out, float *_Nullable statistics, float *scratch, bool is_bf16);
  /// dqkv[rows, W] += the gradient through attention of one segment, for the key/value heads first_group ..<
  /// last_group. qkv: the result of finish_qkv. dout: [rows, H·D]. scratch: `ttrl_attention_backward_scratch` floats.
  void (*attention_backward)(ttrl_heads heads, int64_t window, ttrl_segment segment, int64_t first_group,
                             int64_t last_group, const float *qkv, const float *statistics, const float *dout,
                             float *dqkv, float *scratch);

  /// The gated delta rule of the key heads first_head ..< last_head, for the rows of some runs, in order. state_offset:
  /// where the layer's part begins in every state. out: [rows, H·V]. scratch: `ttrl_delta_scratch` floats.
  void (*delta_rule)(ttrl_delta_heads heads, ttrl_delta_weights weights, int64_t first_head, int64_t last_head,
                     const ttrl_delta_run *runs, int64_t run_count, int64_t state_offset, const float *projected,
                     float *out, float *scratch);
  /// dprojected += the gradient through delta_rule (except for z), for a prompt (the first segment) and the responses
  /// that continue it. scratch: `ttrl_delta_backward_scratch` floats.
  void (*delta_rule_backward)(ttrl_delta_heads heads, ttrl_delta_weights weights, int64_t first_head, int64_t last_head,
                              const ttrl_segment *segments, int64_t segment_count, const float *projected,
                              const float *dout, float *dprojected, ttrl_delta_gradients gradients, float *scratch);
  /// out[rows, heads, dimension] = x · sigmoid(gate), or x · silu(gate), an operand.
  void (*gate)(const float *x, ttrl_gates gates, void *out, int64_t rows, int64_t heads, int64_t dimension,
               bool is_bf16);
  /// The gradient through gate: of x, in place in dy; of the gates, to dgates, which has the strides of the gates.
  void (*gate_backward)(const float *x, ttrl_gates gates, float *dy, float *dgates, int64_t rows, int64_t heads,
                        int64_t dimension);

  /// Turns logits [V] into z, in place: logit · inverse_temperature, or -infinity for dropped tokens. top_k 0 and top_p
  /// 1 are off; top-k comes first. scratch: 2·V + 16 64-bit words, used only if a token can be dropped.
  ttrl_distribution (*distribution)(float *z, int64_t count, float inverse_temperature, int32_t top_k, float top_p,
                                    uint64_t *scratch);
  /// The token at `uniform` of the cumulative distribution, in index order. total: the distribution's `sum`.
  int32_t (*sample)(const float *z, int64_t count, float maximum, float total, double uniform);
  /// The lowest index of the largest value.
  int32_t (*largest)(const float *z, int64_t count);
  /// out = coefficient · exp(z - maximum - log_sum): the probabilities times coefficient.
  void (*scaled_probabilities)(const float *z, int64_t count, float maximum, float log_sum, float coefficient,
                               float *out);
  /// out = p·(coefficient + entropy_coefficient·(log p + entropy)), where p are the probabilities. The second part is
  /// the entropy's derivative with respect to z, times -entropy_coefficient. Dropped tokens have p = 0 and get 0.
  void (*entropy_gradient)(const float *z, int64_t count, float maximum, float log_sum, float entropy,
                           float coefficient, float entropy_coefficient, float *out);

  /// accumulator += round(gradient · 2^40). Returns the largest magnitude; infinity if a value is not finite, and then
  /// the accumulator's contents are unspecified. The caller keeps the sum of magnitudes below 2^22.
  float (*accumulate_fixed)(int64_t *accumulator, const float *gradient, int64_t count);
  /// out = accumulator · 2^-40 · scale, rounded once.
  void (*from_fixed)(const int64_t *accumulator, double scale, float *out, int64_t count);
  /// Gives what accumulate_fixed into zeroes and then from_fixed would give, in place. Returns what accumulate_fixed
  /// returns.
  float (*round_fixed)(float *gradient, double scale, int64_t count);
  /// Sum of squares, in float64.
  double (*sum_of_squares)(const float *x, int64_t count);
  void (*adamw)(ttrl_adamw settings, const float *gradient, float *parameters, float *first, float *second,
                int64_t count);
} ttrl_kernels;

/// The kernels for AVX-512 (F, DQ, BW, VL); NULL if this processor does not have it.
const ttrl_kernels *_Nullable ttrl_kernels_avx512(void);
/// The same, with vdpbf16ps in `multiply_pair`; NULL if this processor does not have it.
const ttrl_kernels *_Nullable ttrl_kernels_avx512_bf16(void);
/// The kernels for AVX-512, with AMX in `multiply_tile`; NULL if this processor does not have AMX with bfloat16, or the
/// system does not allow its use.
const ttrl_kernels *_Nullable ttrl_kernels_amx(void);
/// Whether vdpbf16ps is faster than two multiply-adds of float32. It is on processors by AMD. On Intel's server
/// processors with AMX it takes twice as long as two multiply-adds.
bool ttrl_pair_instruction_is_fast(void);
/// The kernels for AVX2 with FMA; NULL if this processor does not have both.
const ttrl_kernels *_Nullable ttrl_kernels_avx2(void);
/// The kernels for the compiler's default instruction set. They run everywhere, and are fast only if that set is.
const ttrl_kernels *ttrl_kernels_portable(void);

/// Floats of scratch for `attention_backward` over segments of at most `keys` keys, prefix included.
int64_t ttrl_attention_backward_scratch(ttrl_heads heads, int64_t keys);

/// Floats that a layer of linear attention keeps of one sequence.
int64_t ttrl_delta_state(ttrl_delta_heads heads);
/// Floats of scratch for `delta_rule`.
int64_t ttrl_delta_scratch(ttrl_delta_heads heads);
/// Floats of scratch for `delta_rule_backward` over segments of at most `rows` rows.
int64_t ttrl_delta_backward_scratch(ttrl_delta_heads heads, int64_t rows);

/// Zeroed memory, aligned to 64 bytes. A large amount is in large pages if possible. NULL if there is no memory.
void *_Nullable ttrl_allocate(size_t bytes);
/// bytes: the number that was allocated.
void ttrl_free(void *memory, size_t bytes);

#pragma clang assume_nonnull end
