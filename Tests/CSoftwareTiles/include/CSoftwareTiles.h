// CSoftwareTiles: the product for AMX, with the instructions on tiles replaced by C.
#pragma once
#include <CKernels.h>

/// What `multiply_tile` of `ttrl_kernels_amx` computes, on any processor.
void ttrl_multiply_software_tiles(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last,
                                  float *_Nonnull out, int64_t stride, bool adds, float *_Nonnull scratch);
