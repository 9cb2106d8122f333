// The kernels as the compiler's default instruction set has them, and what needs no vectors.
#define _GNU_SOURCE
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#include "kernels.h"

const ttrl_kernels *ttrl_kernels_portable(void) {
  static const ttrl_kernels table = KERNEL_TABLE("portable");
  return &table;
}

int64_t ttrl_attention_backward_scratch(ttrl_heads heads, int64_t keys) {
  const int64_t positions = (keys + 15) & ~(int64_t)15;
  return positions * (2 * heads.dimension + 4 * padded(heads.dimension) + 2);
}

void *ttrl_allocate(size_t bytes) {
  const size_t page = (size_t)2 << 20;
  const size_t unit = bytes >= 2 * page ? page : 64;
  const size_t size = (bytes + unit) / unit * unit;
  void *memory = aligned_alloc(unit, size);
  if (!memory) return NULL;
  if (unit == page) madvise(memory, size, MADV_HUGEPAGE);  // only a wish: results and correctness do not depend on it
  memset(memory, 0, size);
  return memory;
}

void ttrl_free(void *memory) { free(memory); }
