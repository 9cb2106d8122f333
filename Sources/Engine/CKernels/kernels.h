// kernels.h: all kernels, for the instruction set that the including file has chosen, and their table.

#include <math.h>
#include <string.h>

#include "CKernels.h"
#include "vector.h"
#include "transpose.h"
#include "elementwise.h"
#include "pairs.h"
#include "multiply.h"
#include "attention.h"
#include "attention_backward.h"
#include "delta.h"
#include "delta_backward.h"
#include "gates.h"
#include "distribution.h"
#include "optimizer.h"

#define KERNEL_TABLE(text, pair, tile)                                                                                 \
  {.name = text, .pack = pack_kernel, .unpack_row = unpack_row_kernel,                                                 \
   .multiply_float32 = multiply_float32_kernel, .multiply_pair = pair, .multiply_tile = tile,                          \
   .exponential = exponential_kernel, .logarithm = logarithm_kernel, .to_bf16 = to_bf16_kernel,                        \
   .round_to_bf16 = round_to_bf16_kernel, .add = add_kernel, .scale = scale_kernel,                                    \
   .add_scaled = add_scaled_kernel, .gather = gather_kernel,                                                           \
   .scatter_add = scatter_add_kernel, .add_columns = add_columns_kernel, .transpose = transpose_kernel,               \
   .rms_norm = rms_norm_kernel, .rms_norm_backward = rms_norm_backward_kernel,                                        \
   .rms_norm_weight_backward = rms_norm_weight_backward_kernel, .glu = glu_kernel,                                    \
   .glu_backward = glu_backward_kernel, .finish_qkv = finish_qkv_kernel,                                              \
   .finish_qkv_backward = finish_qkv_backward_kernel, .attention = attention_kernel,                                  \
   .attention_backward = attention_backward_kernel, .delta_rule = delta_rule_kernel,                                  \
   .delta_rule_backward = delta_rule_backward_kernel, .gate = gate_kernel, .gate_backward = gate_backward_kernel,     \
   .distribution = distribution_kernel, .sample = sample_kernel, .largest = largest_kernel,                           \
   .scaled_probabilities = scaled_probabilities_kernel,                                                               \
   .entropy_gradient = entropy_gradient_kernel,                                                                       \
   .accumulate_fixed = accumulate_fixed_kernel, .from_fixed = from_fixed_kernel,                                      \
   .round_fixed = round_fixed_kernel, .sum_of_squares = sum_of_squares_kernel, .adamw = adamw_kernel}
