// MPI's handles are macros (Open MPI) or integers (MPICH); functions hide the difference. No decisions here.
#pragma once
#include <mpi.h>
#include <stdint.h>

typedef struct {
  MPI_Request handle;
} ttrl_mpi_request;

// From here on errors are returned as codes; by default MPI ends the process. `provided` is below `needed` if the
// library cannot run in a process with other threads.
static inline int ttrl_mpi_init(int *needed, int *provided) {
  *needed = MPI_THREAD_FUNNELED;
  int code = MPI_Init_thread(NULL, NULL, *needed, provided);
  return code == MPI_SUCCESS ? MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN) : code;
}
static inline int ttrl_mpi_finalize(void) { return MPI_Finalize(); }
static inline int ttrl_mpi_abort(int status) { return MPI_Abort(MPI_COMM_WORLD, status); }
static inline int ttrl_mpi_is_success(int code) { return code == MPI_SUCCESS; }
static inline int ttrl_mpi_is_main_thread(int *is_main) { return MPI_Is_thread_main(is_main); }
static inline int ttrl_mpi_rank(int *rank) { return MPI_Comm_rank(MPI_COMM_WORLD, rank); }
static inline int ttrl_mpi_size(int *size) { return MPI_Comm_size(MPI_COMM_WORLD, size); }

// The ranks that share this one's memory, itself included.
static inline int ttrl_mpi_size_here(int *size) {
  MPI_Comm here;
  int code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here);
  if (code != MPI_SUCCESS) return code;
  code = MPI_Comm_size(here, size);
  MPI_Comm_free(&here);
  return code;
}

static inline int ttrl_mpi_max_text(void) {
  return MPI_MAX_LIBRARY_VERSION_STRING > MPI_MAX_ERROR_STRING ? MPI_MAX_LIBRARY_VERSION_STRING : MPI_MAX_ERROR_STRING;
}
static inline int ttrl_mpi_library_version(char *text, int *length) { return MPI_Get_library_version(text, length); }
static inline int ttrl_mpi_error_text(int code, char *text, int *length) {
  return MPI_Error_string(code, text, length);
}

// In place, over all ranks; every rank passes the same count.
static inline int ttrl_mpi_sum_int64(int64_t *values, int count) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
}
static inline int ttrl_mpi_sum_float(float *values, int count) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
}
static inline int ttrl_mpi_sum_double(double *values, int count) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}
static inline int ttrl_mpi_max_double(double *values, int count) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
}
static inline int ttrl_mpi_broadcast_bytes(uint8_t *bytes, int count, int root) {
  return MPI_Bcast(bytes, count, MPI_UINT8_T, root, MPI_COMM_WORLD);
}

// A barrier that does not wait: ttrl_mpi_test says whether it is complete.
static inline int ttrl_mpi_start_barrier(ttrl_mpi_request *request) {
  return MPI_Ibarrier(MPI_COMM_WORLD, &request->handle);
}
static inline int ttrl_mpi_test(ttrl_mpi_request *request, int *is_complete) {
  return MPI_Test(&request->handle, is_complete, MPI_STATUS_IGNORE);
}

// These calls begin a transfer; ttrl_mpi_test_all says whether all are complete. Until then the bytes must stay where
// they are.
static inline int ttrl_mpi_send(const void *bytes, int count, int to, ttrl_mpi_request *request) {
  return MPI_Isend(bytes, count, MPI_BYTE, to, 1, MPI_COMM_WORLD, &request->handle);
}
static inline int ttrl_mpi_receive(void *bytes, int count, int from, ttrl_mpi_request *request) {
  return MPI_Irecv(bytes, count, MPI_BYTE, from, 1, MPI_COMM_WORLD, &request->handle);
}
static inline int ttrl_mpi_test_all(int count, ttrl_mpi_request *requests, int *is_complete) {
  return MPI_Testall(count, (MPI_Request *)requests, is_complete, MPI_STATUSES_IGNORE);
}

// Parts of `bytes`, one per rank; each rank has filled in its own, and rank 0 gets all of them.
static inline int ttrl_mpi_gather_to_root(int rank, void *bytes, const int *counts, const int *offsets) {
  if (rank == 0)
    return MPI_Gatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, bytes, counts, offsets, MPI_BYTE, 0, MPI_COMM_WORLD);
  return MPI_Gatherv((const char *)bytes + offsets[rank], counts[rank], MPI_BYTE, NULL, NULL, NULL, MPI_BYTE, 0,
                     MPI_COMM_WORLD);
}
