#pragma once

namespace tessera::testing {

/// How many MPI collectives this process has started, by calls of this program (PMPI interface).
int mpi_collectives();

}  // namespace tessera::testing
