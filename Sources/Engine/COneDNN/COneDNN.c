// The shim over oneDNN. COneDNN.h describes it.
#define _GNU_SOURCE
#include "COneDNN.h"

#include <dlfcn.h>
#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>

#define IS_V3 (DNNL_VERSION_MAJOR >= 3)

#if IS_V3
typedef dnnl_memory_desc_t descriptor;
typedef const_dnnl_memory_desc_t const_descriptor;
#else
typedef dnnl_memory_desc_t *descriptor;
typedef const dnnl_memory_desc_t *const_descriptor;
#endif

struct ttrl_matmul {
  ttrl_matmul_shape shape;
  dnnl_primitive_desc_t description;
  dnnl_primitive_t primitive;
};

struct ttrl_packed {
  dnnl_memory_t memory;
  size_t bytes;
};

struct ttrl_call {
  const ttrl_matmul *matmul;
  dnnl_stream_t stream;
  dnnl_memory_t a, b, c, scratch;  // b is NULL if B is packed
  void *scratch_bytes;
  size_t scratch_size;
};

// If a call fails, sets `status` and goes to the function's `done` label.
#define TRY(expression)                       \
  do {                                        \
    status = (expression);                    \
    if (status != dnnl_success) goto done;    \
  } while (0)

// In OpenMP, the number of threads is a setting of each thread, so it is set before every call in which oneDNN can read
// it. The function is looked up at run time, because oneDNN determines which OpenMP library is loaded, and a oneDNN
// that was built without OpenMP loads none.
static void use_one_thread(void) {
  static void (*_Atomic set_count)(int);
  static _Atomic bool is_known;
  if (!is_known) {
    set_count = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    is_known = true;
  }
  void (*function)(int) = set_count;
  if (function) function(1);
}

static dnnl_engine_t shared_engine(void) {
  static dnnl_engine_t _Atomic engine;
  dnnl_engine_t current = engine;
  if (current) return current;
  dnnl_engine_t mine = NULL, none = NULL;
  if (dnnl_engine_create(&mine, dnnl_cpu, 0) != dnnl_success) return NULL;
  if (__c11_atomic_compare_exchange_strong(&engine, &none, mine, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return mine;
  dnnl_engine_destroy(mine);
  return none;
}

static dnnl_data_type_t data_type(int32_t dtype) { return dtype == TTRL_BFLOAT16 ? dnnl_bf16 : dnnl_f32; }

static int make_descriptor(int64_t rows, int64_t columns, dnnl_data_type_t type, dnnl_format_tag_t tag,
                           descriptor *out) {
  dnnl_dims_t dims = {rows, columns};
#if IS_V3
  return dnnl_memory_desc_create_with_tag(out, 2, dims, type, tag);
#else
  *out = malloc(sizeof **out);
  if (!*out) return dnnl_out_of_memory;
  return dnnl_memory_desc_init_by_tag(*out, 2, dims, type, tag);
#endif
}

static void free_descriptor(descriptor d) {
  if (!d) return;
#if IS_V3
  dnnl_memory_desc_destroy(d);
#else
  free(d);
#endif
}

static size_t descriptor_bytes(const_descriptor d) { return dnnl_memory_desc_get_size(d); }

static int describe_matmul(const_descriptor a, const_descriptor b, const_descriptor c,
                           const_dnnl_primitive_attr_t attributes, dnnl_engine_t engine, dnnl_primitive_desc_t *out) {
#if IS_V3
  return dnnl_matmul_primitive_desc_create(out, engine, a, b, NULL, c, attributes);
#else
  dnnl_matmul_desc_t operation;
  dnnl_status_t status = dnnl_matmul_desc_init(&operation, a, b, NULL, c);
  if (status != dnnl_success) return status;
  return dnnl_primitive_desc_create(out, &operation, attributes, engine, NULL);
#endif
}

static int append_sum(dnnl_post_ops_t operations) {
#if IS_V3
  return dnnl_post_ops_append_sum(operations, 1.0f, 0, dnnl_f32);
#else
  return dnnl_post_ops_append_sum(operations, 1.0f);
#endif
}

static int make_attributes(bool accumulates, dnnl_primitive_attr_t *out) {
  int status;
  dnnl_post_ops_t operations = NULL;
  TRY(dnnl_primitive_attr_create(out));
  TRY(dnnl_primitive_attr_set_scratchpad_mode(*out, dnnl_scratchpad_mode_user));
  if (accumulates) {
    TRY(dnnl_post_ops_create(&operations));
    TRY(append_sum(operations));
    TRY(dnnl_primitive_attr_set_post_ops(*out, operations));
  }
done:
  if (operations) dnnl_post_ops_destroy(operations);
  return status;
}

int ttrl_matmul_create(ttrl_matmul_shape shape, ttrl_matmul **out) {
  use_one_thread();
  int status = dnnl_out_of_memory;
  descriptor a = NULL, b = NULL, c = NULL;
  dnnl_primitive_attr_t attributes = NULL;
  dnnl_data_type_t type = data_type(shape.dtype);
  ttrl_matmul *matmul = calloc(1, sizeof *matmul);
  dnnl_engine_t engine = shared_engine();
  if (!matmul || !engine) goto done;
  matmul->shape = shape;
  TRY(make_descriptor(shape.rows, shape.inner, type, dnnl_ab, &a));
  TRY(make_descriptor(shape.inner, shape.columns, type, shape.is_packed ? dnnl_format_tag_any : dnnl_ab, &b));
  TRY(make_descriptor(shape.rows, shape.columns, dnnl_f32, dnnl_ab, &c));
  TRY(make_attributes(shape.accumulates, &attributes));
  TRY(describe_matmul(a, b, c, attributes, engine, &matmul->description));
  TRY(dnnl_primitive_create(&matmul->primitive, matmul->description));
done:
  free_descriptor(a);
  free_descriptor(b);
  free_descriptor(c);
  if (attributes) dnnl_primitive_attr_destroy(attributes);
  if (status != dnnl_success && matmul) {
    ttrl_matmul_destroy(matmul);
    matmul = NULL;
  }
  *out = matmul;
  return status;
}

void ttrl_matmul_destroy(ttrl_matmul *matmul) {
  if (matmul->primitive) dnnl_primitive_destroy(matmul->primitive);
  if (matmul->description) dnnl_primitive_desc_destroy(matmul->description);
  free(matmul);
}

int ttrl_pack(const ttrl_matmul *matmul, const float *weights, bool is_transposed, ttrl_packed **out) {
  use_one_thread();
  int status = dnnl_out_of_memory;
  dnnl_engine_t engine = shared_engine();
  descriptor plain = NULL;
  dnnl_memory_t from = NULL;
  dnnl_primitive_desc_t description = NULL;
  dnnl_primitive_t reorder = NULL;
  dnnl_stream_t stream = NULL;
  ttrl_packed *packed = calloc(1, sizeof *packed);
  if (!packed || !engine) goto done;
  const_descriptor wanted = dnnl_primitive_desc_query_md(matmul->description, dnnl_query_weights_md, 0);
  packed->bytes = descriptor_bytes(wanted);
  TRY(make_descriptor(matmul->shape.inner, matmul->shape.columns, dnnl_f32, is_transposed ? dnnl_ba : dnnl_ab, &plain));
  TRY(dnnl_memory_create(&from, plain, engine, (void *)weights));
  TRY(dnnl_memory_create(&packed->memory, wanted, engine, DNNL_MEMORY_ALLOCATE));
  TRY(dnnl_reorder_primitive_desc_create(&description, plain, engine, wanted, engine, NULL));
  TRY(dnnl_primitive_create(&reorder, description));
  TRY(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
  dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, packed->memory}};
  TRY(dnnl_primitive_execute(reorder, stream, 2, arguments));
  TRY(dnnl_stream_wait(stream));
done:
  free_descriptor(plain);
  if (from) dnnl_memory_destroy(from);
  if (stream) dnnl_stream_destroy(stream);
  if (reorder) dnnl_primitive_destroy(reorder);
  if (description) dnnl_primitive_desc_destroy(description);
  if (status != dnnl_success && packed) {
    ttrl_packed_destroy(packed);
    packed = NULL;
  }
  *out = packed;
  return status;
}

void ttrl_packed_destroy(ttrl_packed *packed) {
  if (packed->memory) dnnl_memory_destroy(packed->memory);
  free(packed);
}

size_t ttrl_packed_bytes(const ttrl_packed *packed) { return packed->bytes; }

static int make_memory(const ttrl_matmul *matmul, dnnl_query_t which, dnnl_memory_t *out) {
  const_descriptor d = dnnl_primitive_desc_query_md(matmul->description, which, 0);
  return dnnl_memory_create(out, d, shared_engine(), DNNL_MEMORY_NONE);
}

int ttrl_call_create(const ttrl_matmul *matmul, ttrl_call **out) {
  use_one_thread();
  int status = dnnl_out_of_memory;
  ttrl_call *call = calloc(1, sizeof *call);
  if (!call) goto done;
  call->matmul = matmul;
  TRY(dnnl_stream_create(&call->stream, shared_engine(), dnnl_stream_default_flags));
  TRY(make_memory(matmul, dnnl_query_src_md, &call->a));
  if (!matmul->shape.is_packed) TRY(make_memory(matmul, dnnl_query_weights_md, &call->b));
  TRY(make_memory(matmul, dnnl_query_dst_md, &call->c));
  const_descriptor scratch = dnnl_primitive_desc_query_md(matmul->description, dnnl_query_scratchpad_md, 0);
  call->scratch_size = descriptor_bytes(scratch);
  // aligned_alloc needs a multiple of the alignment. More scratch than needed is harmless.
  call->scratch_bytes = aligned_alloc(64, (call->scratch_size + 127) & ~(size_t)63);
  if (!call->scratch_bytes) {
    status = dnnl_out_of_memory;
    goto done;
  }
  TRY(dnnl_memory_create(&call->scratch, scratch, shared_engine(), call->scratch_bytes));
done:
  if (status != dnnl_success && call) {
    ttrl_call_destroy(call);
    call = NULL;
  }
  *out = call;
  return status;
}

void ttrl_call_destroy(ttrl_call *call) {
  if (call->a) dnnl_memory_destroy(call->a);
  if (call->b) dnnl_memory_destroy(call->b);
  if (call->c) dnnl_memory_destroy(call->c);
  if (call->scratch) dnnl_memory_destroy(call->scratch);
  if (call->stream) dnnl_stream_destroy(call->stream);
  free(call->scratch_bytes);
  free(call);
}

size_t ttrl_call_scratch_bytes(const ttrl_call *call) { return call->scratch_size; }

static int run(ttrl_call *call, const void *a, dnnl_memory_t b, float *c) {
  use_one_thread();
  int status;
  TRY(dnnl_memory_set_data_handle(call->a, (void *)a));
  TRY(dnnl_memory_set_data_handle(call->c, c));
  dnnl_exec_arg_t arguments[] = {{DNNL_ARG_SRC, call->a},
                                 {DNNL_ARG_WEIGHTS, b},
                                 {DNNL_ARG_DST, call->c},
                                 {DNNL_ARG_SCRATCHPAD, call->scratch}};
  TRY(dnnl_primitive_execute(call->matmul->primitive, call->stream, 4, arguments));
done:
  return status;
}

int ttrl_run_packed(ttrl_call *call, const void *a, const ttrl_packed *b, float *c) {
  return run(call, a, b->memory, c);
}

int ttrl_run_plain(ttrl_call *call, const void *a, const void *b, float *c) {
  int status = dnnl_memory_set_data_handle(call->b, (void *)b);
  return status == dnnl_success ? run(call, a, call->b, c) : status;
}

const char *ttrl_status_name(int status) {
  switch (status) {
    case dnnl_success: return "success";
    case dnnl_out_of_memory: return "out of memory";
    case dnnl_invalid_arguments: return "invalid arguments";
    case dnnl_unimplemented: return "not implemented for this processor";
    case dnnl_runtime_error: return "runtime error";
    default: return "unknown oneDNN status";
  }
}

const char *ttrl_onednn_version(void) {
  static char text[32];
  const dnnl_version_t *version = dnnl_version();
  snprintf(text, sizeof text, "%d.%d.%d", version->major, version->minor, version->patch);
  return text;
}

const char *ttrl_onednn_isa(void) {
  switch (dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41: return "sse41";
    case dnnl_cpu_isa_avx: return "avx";
    case dnnl_cpu_isa_avx2: return "avx2";
    case dnnl_cpu_isa_avx2_vnni: return "avx2_vnni";
    case dnnl_cpu_isa_avx512_core: return "avx512_core";
    case dnnl_cpu_isa_avx512_core_vnni: return "avx512_core_vnni";
    case dnnl_cpu_isa_avx512_core_bf16: return "avx512_core_bf16";
    case dnnl_cpu_isa_avx512_core_amx: return "avx512_core_amx";
    default: return "other";
  }
}
