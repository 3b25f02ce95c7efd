#include "mpi_calls.h"

#include <mpi.h>

#include <atomic>

namespace {

std::atomic<int> collectives = 0;

}  // namespace

namespace tessera::testing {

int mpi_collectives() {
  return collectives;
}

}  // namespace tessera::testing

// MPI's functions are weak symbols, and these definitions override them. Each counts the call and forwards it
// to PMPI.
extern "C" {

int MPI_Ibcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request* request) {
  ++collectives;
  return PMPI_Ibcast(buffer, count, type, root, comm, request);
}

int MPI_Iallreduce(const void* from, void* to, int count, MPI_Datatype type, MPI_Op operation, MPI_Comm comm,
                   MPI_Request* request) {
  ++collectives;
  return PMPI_Iallreduce(from, to, count, type, operation, comm, request);
}

int MPI_Iallgather(const void* from, int count, MPI_Datatype type, void* to, int count_of_each,
                   MPI_Datatype type_of_each, MPI_Comm comm, MPI_Request* request) {
  ++collectives;
  return PMPI_Iallgather(from, count, type, to, count_of_each, type_of_each, comm, request);
}

int MPI_Iallgatherv(const void* from, int count, MPI_Datatype type, void* to, const int counts[],
                    const int offsets[], MPI_Datatype type_of_each, MPI_Comm comm, MPI_Request* request) {
  ++collectives;
  return PMPI_Iallgatherv(from, count, type, to, counts, offsets, type_of_each, comm, request);
}
}
