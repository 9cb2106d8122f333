// The kernels for AVX2 with FMA.
#include "CKernels.h"

#if defined(__x86_64__)
#include <math.h>
#include <string.h>
#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#define TILE_ROWS 6
#define TILE_PANELS 1
#define TILE_QUERIES 3
#include "kernels.h"
#pragma clang attribute pop

const ttrl_kernels *ttrl_kernels_avx2(void) {
  static const ttrl_kernels table = KERNEL_TABLE("avx2", multiply_pair_kernel, multiply_tile_kernel);
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &table : NULL;
}
#else
const ttrl_kernels *ttrl_kernels_avx2(void) { return NULL; }
#endif
