// The loops of CCeilings.h.
#include "CCeilings.h"

// A multiply-add takes four cycles, and two can begin in each cycle, so eight chains would be enough.
enum { CHAINS = 12 };

#if defined(__x86_64__)
#include <immintrin.h>

__attribute__((target("avx2,fma"))) static int64_t float32_avx2(int64_t rounds) {
  __m256 chains[CHAINS];
  for (int i = 0; i < CHAINS; i++) chains[i] = _mm256_set1_ps((float)i);
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(1e-3f);
  for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; i++) {
      chains[i] = _mm256_fmadd_ps(chains[i], factor, term);
      __asm__ volatile("" : "+x"(chains[i]));
    }
  }
  return rounds * CHAINS * 8 * 2;
}

__attribute__((target("avx512f"))) static int64_t float32_avx512(int64_t rounds) {
  __m512 chains[CHAINS];
  for (int i = 0; i < CHAINS; i++) chains[i] = _mm512_set1_ps((float)i);
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(1e-3f);
  for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; i++) {
      chains[i] = _mm512_fmadd_ps(chains[i], factor, term);
      __asm__ volatile("" : "+v"(chains[i]));
    }
  }
  return rounds * CHAINS * 16 * 2;
}

__attribute__((target("avx512f,avx512bf16"))) static int64_t bfloat16_avx512(int64_t rounds) {
  __m512 chains[CHAINS];
  for (int i = 0; i < CHAINS; i++) chains[i] = _mm512_set1_ps((float)i);
  const __m512bh factor = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-3f), _mm512_set1_ps(1e-3f));
  for (int64_t round = 0; round < rounds; round++) {
#pragma clang loop unroll(full)
    for (int i = 0; i < CHAINS; i++) {
      chains[i] = _mm512_dpbf16_ps(chains[i], factor, factor);
      __asm__ volatile("" : "+v"(chains[i]));
    }
  }
  return rounds * CHAINS * 32 * 2;
}

// Four results, so that the instructions do not wait for each other; all tiles have 16 rows of 64 bytes.
__attribute__((target("amx-tile,amx-bf16"))) static int64_t tiles_amx(int64_t rounds) {
  struct __attribute__((packed)) {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes_per_row[16];
    uint8_t rows[16];
  } whole = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) whole.bytes_per_row[tile] = 64, whole.rows[tile] = 16;
  _tile_loadconfig(&whole);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  for (int64_t round = 0; round < rounds; round++) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_release();
  return rounds * 4 * 16 * 16 * 32 * 2;
}
#endif

static int64_t float32_scalar(int64_t rounds) {
  float chains[CHAINS];
  for (int i = 0; i < CHAINS; i++) chains[i] = (float)i;
  for (int64_t round = 0; round < rounds; round++) {
    for (int i = 0; i < CHAINS; i++) {
      chains[i] = chains[i] * 0.999f + 1e-3f;
      __asm__ volatile("" : "+m"(chains[i]));
    }
  }
  return rounds * CHAINS * 2;
}

int64_t ttrl_multiply_add_float32(int64_t rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return float32_avx512(rounds);
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return float32_avx2(rounds);
#endif
  return float32_scalar(rounds);
}

int64_t ttrl_multiply_add_bfloat16(int64_t rounds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16")) return bfloat16_avx512(rounds);
#endif
  return 0;
}

int64_t ttrl_multiply_add_tiles(int64_t rounds) {
#if defined(__x86_64__)
  return tiles_amx(rounds);
#else
  return 0;
#endif
}

float ttrl_read_floats(const float *values, int64_t count) {
  // 16 sums, so that additions do not wait for each other.
  float sums[16] = {0};
  int64_t index = 0;
  for (; index + 16 <= count; index += 16)
    for (int lane = 0; lane < 16; lane++) sums[lane] += values[index + lane];
  for (; index < count; index++) sums[0] += values[index];
  for (int lane = 1; lane < 16; lane++) sums[0] += sums[lane];
  return sums[0];
}
