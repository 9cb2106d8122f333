// The product for AMX (Sources/Engine/CKernels/amx.h), with the instructions on tiles replaced by C.
//
// So everything around the instructions (packing, blocks, parts of tiles) is tested on machines without AMX. What the
// instruction itself computes is tested only where it exists.
#include "CSoftwareTiles.h"

#include <math.h>
#include <string.h>
#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed between inlined functions only
#include "../../Sources/Engine/CKernels/vector.h"
#include "../../Sources/Engine/CKernels/transpose.h"
#include "../../Sources/Engine/CKernels/pairs.h"

typedef union {
  float sums[16][16];
  uint16_t values[16][32];
  char bytes[16][64];
} tile;

static _Thread_local tile tiles[8];

static void load_tile(tile *to, const void *from, int64_t bytes) {
  for (int r = 0; r < 16; ++r) memcpy(to->bytes[r], (const char *)from + r * bytes, 64);
}
static void store_tile(const tile *from, void *to, int64_t bytes) {
  for (int r = 0; r < 16; ++r) memcpy((char *)to + r * bytes, from->bytes[r], 64);
}
static float widened(uint16_t half) {
  const uint32_t bits = (uint32_t)half << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
static __attribute__((noinline)) void dot(tile *result, const tile *left, const tile *right) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 16; ++j) {
      float even = 0, odd = 0;
      for (int k = 0; k < 16; ++k) {
        even = fmaf(widened(left->values[i][2 * k]), widened(right->values[k][2 * j]), even);
        odd = fmaf(widened(left->values[i][2 * k + 1]), widened(right->values[k][2 * j + 1]), odd);
      }
      result->sums[i][j] += even + odd;
    }
}

// AMX takes denormals for zero whatever the mode is, so the mode is set only around the instructions.
#define TILES_BEGIN() memset(tiles, 0xFF, sizeof tiles)
#define TILES_END() memset(tiles, 0xFF, sizeof tiles)
#define TILE_ZERO(number) memset(&tiles[number], 0, sizeof(tile))
#define TILE_LOAD(number, from, bytes) load_tile(&tiles[number], from, bytes)
#define TILE_STORE(number, to, bytes) store_tile(&tiles[number], to, bytes)
#define TILE_DOT(result, left, right)                       \
  {                                                         \
    const uint32_t mode = denormals_are_zero();             \
    dot(&tiles[result], &tiles[left], &tiles[right]);       \
    restore_denormals(mode);                                \
  }
#include "../../Sources/Engine/CKernels/amx.h"

void ttrl_multiply_software_tiles(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                                  int64_t stride, bool adds, float *scratch) {
  multiply(a, b, rows, first, last, out, stride, adds, scratch);
}
