// COneDNN: matrix multiplication by oneDNN, reduced to the calls that the engine needs.
//
// A `ttrl_matmul` is compiled once for one shape and never changes, so threads share it. A `ttrl_packed` is a weight
// matrix in the layout that is fastest for this matmul; it is read only, so threads share it too. A `ttrl_call` is what
// one thread needs to run a matmul (memory descriptors and scratch). oneDNN always runs on the calling thread: this
// shim sets the OpenMP thread count to 1 on every thread that calls it, because the engine distributes work to the
// cores itself. Not here: which shapes, which blocks of rows, caching (Tensors/LibraryMultiply.swift).
// It works with oneDNN 2.x and 3.x, whose C interfaces differ in how descriptors are made.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#pragma clang assume_nonnull begin

enum ttrl_dtype { TTRL_FLOAT32 = 0, TTRL_BFLOAT16 = 1 };

/// C[rows, columns] (float32) = A[rows, inner] · B[inner, columns], all row-major.
typedef struct {
  int64_t rows, inner, columns;
  /// The type of A and B: an `enum ttrl_dtype`.
  int32_t dtype;
  /// Whether B is a `ttrl_packed`. If not, it is a plain row-major matrix.
  bool is_packed;
  /// Whether C += A · B is computed. If not, it is C = A · B.
  bool accumulates;
} ttrl_matmul_shape;

typedef struct ttrl_matmul ttrl_matmul;
typedef struct ttrl_packed ttrl_packed;
typedef struct ttrl_call ttrl_call;

/// Every function that returns int returns 0 or oneDNN's status; see `ttrl_status_name`.
int ttrl_matmul_create(ttrl_matmul_shape shape, ttrl_matmul *_Nullable *_Nonnull out);
void ttrl_matmul_destroy(ttrl_matmul *matmul);

/// Copies B into a new packed matrix. `weights` are float32 values; for bfloat16 they are rounded to nearest even.
/// is_transposed: `weights` is [columns, inner] (as a linear layer stores it), else [inner, columns].
int ttrl_pack(const ttrl_matmul *matmul, const float *weights, bool is_transposed,
              ttrl_packed *_Nullable *_Nonnull out);
void ttrl_packed_destroy(ttrl_packed *packed);
size_t ttrl_packed_bytes(const ttrl_packed *packed);

int ttrl_call_create(const ttrl_matmul *matmul, ttrl_call *_Nullable *_Nonnull out);
void ttrl_call_destroy(ttrl_call *call);
size_t ttrl_call_scratch_bytes(const ttrl_call *call);

/// Runs a matmul with a packed B on the calling thread. Two threads must not use one call object at the same time.
int ttrl_run_packed(ttrl_call *call, const void *a, const ttrl_packed *b, float *c);
/// Runs a matmul with a plain B.
int ttrl_run_plain(ttrl_call *call, const void *a, const void *b, float *c);

const char *ttrl_status_name(int status);
/// The version of the loaded library, for example "2.6.3".
const char *ttrl_onednn_version(void);
/// The highest instruction set that oneDNN will use; DNNL_MAX_CPU_ISA can limit it. Sets that oneDNN 2.6 does not name
/// are "other".
const char *ttrl_onednn_isa(void);

#pragma clang assume_nonnull end
