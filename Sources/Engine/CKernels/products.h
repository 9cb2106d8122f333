// products.h: products by instructions that a part of the processors with AVX-512 has. avx512.c makes tables of them.
#pragma once
#include "CKernels.h"

#if defined(__x86_64__)
bool ttrl_has_avx512_bf16(void);
void ttrl_multiply_pair_avx512_bf16(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                                    int64_t stride, bool adds, float *scratch);

/// Whether the processor has AMX with bfloat16 and the system lets this process use it; asks the system if necessary.
bool ttrl_has_amx(void);
void ttrl_multiply_tile_amx(ttrl_left a, ttrl_right b, int64_t rows, int64_t first, int64_t last, float *out,
                            int64_t stride, bool adds, float *scratch);
#endif
