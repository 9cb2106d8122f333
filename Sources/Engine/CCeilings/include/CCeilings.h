// CCeilings: loops that do only what limits the engine, so that the engine's speed can be compared with its limits.
//
// Multiply-adds that never leave the registers are the limit of every matrix product. Reading memory from one end to
// the other is the limit of everything that has to read its weights from memory. The caller measures the time.
// Not here: what is compared with the limits (Benchmarks).
#pragma once
#include <stdint.h>

#pragma clang assume_nonnull begin

/// `rounds` rounds of float32 multiply-adds with the widest vectors of this processor.
/// Returns the number of floating-point operations; a multiply-add counts as two.
int64_t ttrl_multiply_add_float32(int64_t rounds);

/// The same with pairs of bfloat16. Returns 0 if the processor has no such instruction (AVX-512 BF16).
int64_t ttrl_multiply_add_bfloat16(int64_t rounds);

/// The same with tiles of bfloat16. Only for a processor with AMX, after the system has allowed its use.
int64_t ttrl_multiply_add_tiles(int64_t rounds);

/// The sum of `count` floats, read in order. Its purpose is the reading.
float ttrl_read_floats(const float *values, int64_t count);

#pragma clang assume_nonnull end
