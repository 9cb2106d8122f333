// bfloat16 products with AMX.
#define _GNU_SOURCE
#include "CKernels.h"
#include "products.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#define INSTRUCTION_SET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,amx-tile,amx-bf16"
#pragma clang attribute push(__attribute__((target(INSTRUCTION_SET))), apply_to = function)
#include "vector.h"
#include "transpose.h"
#include "pairs.h"

typedef struct __attribute__((packed)) {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes_per_row[16];
  uint8_t rows[16];
} tile_configuration;

// All eight tiles have 16 rows of 64 bytes.
static const tile_configuration whole_tiles = {.palette = 1,
                                               .bytes_per_row = {64, 64, 64, 64, 64, 64, 64, 64},
                                               .rows = {16, 16, 16, 16, 16, 16, 16, 16}};

#define TILES_BEGIN() _tile_loadconfig(&whole_tiles)
#define TILES_END() _tile_release()
#define TILE_ZERO(tile) _tile_zero(tile)
#define TILE_LOAD(tile, from, bytes) _tile_loadd(tile, from, bytes)
#define TILE_STORE(tile, to, bytes) _tile_stored(tile, to, bytes)
#define TILE_DOT(result, left, right) _tile_dpbf16ps(result, left, right)
#include "amx.h"

void ttrl_multiply_tile_amx(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                            int64_t stride, bool adds, float *scratch) {
  multiply(a, b, rows, first, last, out, stride, adds, scratch);
}
#pragma clang attribute pop

bool ttrl_has_amx(void) {
  enum { BF16 = 1 << 22, TILES = 1 << 24, OSXSAVE = 1 << 27, TILE_STATE = 3 << 17, REQUEST = 0x1023, TILE_DATA = 18 };
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & OSXSAVE)) return false;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d & BF16) || !(d & TILES)) return false;
  __asm__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  // Linux gives a process the tiles' state only if it asks for it.
  return (a & TILE_STATE) == TILE_STATE && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}
#endif
