#pragma once

#include <string>
#include <vector>

#include "workers/mpi/communicator.h"

namespace tessera {

/// The verbs of the command line, one file each. All are collective over `world`: under mpirun every rank
/// calls the same verb with the same arguments (those after the verb). Each returns the exit code, or throws
/// UsageError (exit code 2), StoppedEarly (75) or any other exception (1).
using Arguments = std::vector<std::string>;

int run_train(const Arguments& arguments, const Communicator& world);
int run_infer(const Arguments& arguments, const Communicator& world);
int run_evaluate(const Arguments& arguments, const Communicator& world);
int run_check(const Arguments& arguments, const Communicator& world);
int run_import(const Arguments& arguments, const Communicator& world);
int run_export(const Arguments& arguments, const Communicator& world);
int run_export_model(const Arguments& arguments, const Communicator& world);
int run_report(const Arguments& arguments, const Communicator& world);
int run_status(const Arguments& arguments, const Communicator& world);
int run_submit(const Arguments& arguments, const Communicator& world);
int run_synth(const Arguments& arguments, const Communicator& world);
int run_verify(const Arguments& arguments, const Communicator& world);
int run_pack(const Arguments& arguments, const Communicator& world);
int run_info(const Arguments& arguments, const Communicator& world);

}  // namespace tessera
