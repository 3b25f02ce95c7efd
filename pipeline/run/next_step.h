#pragma once

#include <boost/program_options.hpp>
#include <string>
#include <vector>

#include "workers/mpi/communicator.h"

namespace tessera {

/// A command line of this program as a user types it, quoted for a shell: "tessera infer my.yaml". `ranks`
/// above 1: begins with "mpirun -n RANKS" if this process was started by Open MPI's mpirun.
std::string command_text(const std::vector<std::string>& words, int ranks = 1);

/// The words of a verb with the experiment of these arguments: its file, and each `--set`.
std::vector<std::string> experiment_words(const std::string& verb,
                                          const boost::program_options::variables_map& values);

/// For the root: prints "next: WHAT", the last line of a verb, to standard output. It is left out where the
/// next step follows by itself: in a job of `submit` (TESSERA_END_FILE is set), and with TESSERA_NEXT=0.
void tell_next(const std::string& what);

}  // namespace tessera
