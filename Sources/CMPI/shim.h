// MPI's handles are macros (Open MPI) or integers (MPICH); functions hide the difference. No decisions here.
#pragma once
#include <mpi.h>
#include <stdint.h>

static inline int ttrl_mpi_init(void) {
  int provided = 0;
  return MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided);
}
static inline int ttrl_mpi_finalize(void) { return MPI_Finalize(); }
static inline int ttrl_mpi_abort(int status) { return MPI_Abort(MPI_COMM_WORLD, status); }
static inline int ttrl_mpi_rank(int *rank) { return MPI_Comm_rank(MPI_COMM_WORLD, rank); }
static inline int ttrl_mpi_size(int *size) { return MPI_Comm_size(MPI_COMM_WORLD, size); }
static inline int ttrl_mpi_library_version(char *text, int *length) { return MPI_Get_library_version(text, length); }
static inline int ttrl_mpi_max_version_length(void) { return MPI_MAX_LIBRARY_VERSION_STRING; }
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
static inline int ttrl_mpi_barrier(void) { return MPI_Barrier(MPI_COMM_WORLD); }
static inline int ttrl_mpi_send_bytes(const uint8_t *bytes, int count, int to, int tag) {
  return MPI_Send(bytes, count, MPI_UINT8_T, to, tag, MPI_COMM_WORLD);
}
static inline int ttrl_mpi_receive_bytes(uint8_t *bytes, int count, int from, int tag) {
  return MPI_Recv(bytes, count, MPI_UINT8_T, from, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
}
// Sets *arrived to 1 and *count to its size if a message from that rank is waiting.
static inline int ttrl_mpi_probe(int from, int tag, int *arrived, int *count) {
  MPI_Status status;
  int code = MPI_Iprobe(from, tag, MPI_COMM_WORLD, arrived, &status);
  if (code == MPI_SUCCESS && *arrived) code = MPI_Get_count(&status, MPI_UINT8_T, count);
  return code;
}
