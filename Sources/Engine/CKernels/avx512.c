// The kernels for AVX-512, and tables in which bfloat16 products use further instructions.
#include "CKernels.h"
#include "products.h"

#if defined(__x86_64__)
#include <math.h>
#include <string.h>
#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#define INSTRUCTION_SET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"
#pragma clang attribute push(__attribute__((target(INSTRUCTION_SET))), apply_to = function)
#define TILE_ROWS 12
#define TILE_PANELS 2
#define TILE_QUERIES 6
#include "kernels.h"
#pragma clang attribute pop

static bool has_avx512(void) {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

const ttrl_kernels *ttrl_kernels_avx512(void) {
  static const ttrl_kernels table = KERNEL_TABLE("avx512", multiply_pair_kernel, multiply_tile_kernel);
  return has_avx512() ? &table : NULL;
}
const ttrl_kernels *ttrl_kernels_avx512_bf16(void) {
  static const ttrl_kernels table =
      KERNEL_TABLE("avx512_bf16", ttrl_multiply_pair_avx512_bf16, multiply_tile_kernel);
  return has_avx512() && ttrl_has_avx512_bf16() ? &table : NULL;
}
const ttrl_kernels *ttrl_kernels_amx(void) {
  static const ttrl_kernels table = KERNEL_TABLE("amx", multiply_pair_kernel, ttrl_multiply_tile_amx);
  return has_avx512() && ttrl_has_amx() ? &table : NULL;
}
bool ttrl_pair_instruction_is_fast(void) { return __builtin_cpu_is("amd"); }
#else
const ttrl_kernels *ttrl_kernels_avx512(void) { return NULL; }
const ttrl_kernels *ttrl_kernels_avx512_bf16(void) { return NULL; }
const ttrl_kernels *ttrl_kernels_amx(void) { return NULL; }
bool ttrl_pair_instruction_is_fast(void) { return false; }
#endif
