// CCeilings: loops that do nothing but what limits the engine, to have something to compare it with.
//
// Multiply-adds that never leave the registers give the most that any matrix product could reach; reading memory from
// one end to the other gives the most that anything can reach which has to fetch its weights. The caller takes the
// time. Not here: what is compared with it (Benchmarks).
#pragma once
#include <stdint.h>

#pragma clang assume_nonnull begin

/// `rounds` rounds of float32 multiply-adds with the widest vectors of this processor.
/// Returns the number of floating-point operations; a multiply-add counts as two.
int64_t ttrl_multiply_add_float32(int64_t rounds);

/// The same with bfloat16 pairs. 0 where the processor has no such instruction (AVX-512 BF16).
int64_t ttrl_multiply_add_bfloat16(int64_t rounds);

/// The sum of `count` floats, read in order; only the reading matters.
float ttrl_read_floats(const float *values, int64_t count);

#pragma clang assume_nonnull end
