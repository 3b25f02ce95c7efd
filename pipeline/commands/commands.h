#pragma once

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>

#include "workers/mpi/communicator.h"

namespace tessera {

/// The verbs of the command line, one file each. `run_<verb>` takes the parsed arguments of `<verb>_options`;
/// verbs.cpp lists both, with the verb's help. All verbs are collective over `world`: under mpirun every rank
/// calls the same verb with the same arguments. Each returns the exit code, or throws UsageError (exit code
/// 2), StoppedEarly (75) or any other exception (1).
using OptionTable = boost::program_options::options_description;
using OptionValues = boost::program_options::variables_map;

OptionTable init_options();
int run_init(const OptionValues& values, const Communicator& world);

OptionTable run_options();
int run_run(const OptionValues& values, const Communicator& world);

OptionTable train_options();
int run_train(const OptionValues& values, const Communicator& world);

OptionTable infer_options();
int run_infer(const OptionValues& values, const Communicator& world);

OptionTable segment_options();
int run_segment(const OptionValues& values, const Communicator& world);

OptionTable evaluate_options();
int run_evaluate(const OptionValues& values, const Communicator& world);

OptionTable check_options();
int run_check(const OptionValues& values, const Communicator& world);

OptionTable import_options();
OptionTable import_ctc_options();
int run_import(const OptionValues& values, const Communicator& world);
int run_import_ctc(const OptionValues& values, const Communicator& world);

OptionTable export_options();
int run_export(const OptionValues& values, const Communicator& world);

OptionTable export_model_options();
int run_export_model(const OptionValues& values, const Communicator& world);

OptionTable report_options();
int run_report(const OptionValues& values, const Communicator& world);

OptionTable status_options();
int run_status(const OptionValues& values, const Communicator& world);

OptionTable submit_options();
int run_submit(const OptionValues& values, const Communicator& world);

OptionTable synth_options();
int run_synth(const OptionValues& values, const Communicator& world);

OptionTable verify_options();
int run_verify(const OptionValues& values, const Communicator& world);

OptionTable pack_options();
int run_pack(const OptionValues& values, const Communicator& world);

OptionTable info_options();
int run_info(const OptionValues& values, const Communicator& world);

OptionTable help_options();
int run_help(const OptionValues& values, const Communicator& world);

}  // namespace tessera
