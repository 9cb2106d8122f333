// The kernels for the compiler's default instruction set, and the functions that need no vectors.
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#define TILE_ROWS 4
#define TILE_PANELS 1
#define TILE_QUERIES 3
#include "kernels.h"

const ttrl_kernels *ttrl_kernels_portable(void) {
  static const ttrl_kernels table = KERNEL_TABLE("portable", multiply_pair_kernel, multiply_tile_kernel);
  return &table;
}

int64_t ttrl_attention_backward_scratch(ttrl_heads heads, int64_t keys) {
  return backward_scratch_floats(heads, keys);
}

int64_t ttrl_delta_state(ttrl_delta_heads heads) {
  return heads.key_heads * delta_head_floats(delta_head_of(heads, 0));
}

int64_t ttrl_delta_scratch(ttrl_delta_heads heads) {
  const delta_head d = delta_head_of(heads, 0);
  return TTRL_DELTA_STEPS * (d.stride + 2 * d.ratio);
}

int64_t ttrl_delta_backward_scratch(ttrl_delta_heads heads, int64_t rows) {
  const delta_head d = delta_head_of(heads, 0);
  const int64_t block = d.key * DELTA_COLUMNS, arrays = 14;
  return 2 * rows * d.stride + DELTA_STEPS * d.stride + 4 * rows * d.ratio + (TAPS - 1) * d.stride +
         (delta_kept(rows) + DELTA_STEPS + 2) * block + DELTA_STEPS * DELTA_COLUMNS +
         2 * d.ratio * delta_matrix_floats(d) + arrays * SKEW;
}

// From this size on, memory comes directly from the operating system: already zero, and in large pages if possible.
static const size_t large = (size_t)4 << 20;

void *ttrl_allocate(size_t bytes) {
  if (bytes >= large) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);  // only a request: if it fails, memory is slower
    return memory;
  }
  const size_t size = (bytes + 64) / 64 * 64;
  void *memory = aligned_alloc(64, size);
  return memory ? memset(memory, 0, size) : NULL;
}

void ttrl_free(void *memory, size_t bytes) {
  if (bytes >= large)
    munmap(memory, bytes);
  else
    free(memory);
}
