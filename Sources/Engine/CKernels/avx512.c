// The kernels for AVX-512.
#include "CKernels.h"

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

const ttrl_kernels *ttrl_kernels_avx512(void) {
  static const ttrl_kernels table = KERNEL_TABLE("avx512");
  bool is_present = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  return is_present ? &table : NULL;
}
#else
const ttrl_kernels *ttrl_kernels_avx512(void) { return NULL; }
#endif
