#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <map>
#include <utility>

#include "io/base/crash_report.h"
#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/log.h"
#include "io/base/nearest_word.h"
#include "io/base/unexpected_exit.h"
#include "io/hdf5/hdf5_handle.h"
#include "pipeline/commands/commands.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/job_end.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/standard_output.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

struct Verb {
  std::function<int(const Arguments&, const Communicator&)> run;
  const char* purpose;
};

const std::map<std::string, Verb>& verbs() {
  static const std::map<std::string, Verb> all{
      {"train", {run_train, "train a network on annotated sections"}},
      {"infer", {run_infer, "predict a whole volume, tile by tile"}},
      {"evaluate", {run_evaluate, "score a prediction against labels"}},
      {"check", {run_check, "validate an experiment and print its plan"}},
      {"import", {run_import, "convert a TIFF stack or a folder of PNG or TIFF sections to HDF5"}},
      {"export", {run_export, "convert HDF5 to a TIFF stack or a folder of PNG sections"}},
      {"export-model", {run_export_model, "write a trained network as a TorchScript file"}},
      {"report", {run_report, "write one HTML file about a run, or a comparison of two runs"}},
      {"submit", {run_submit, "send an experiment to a Slurm cluster as a chain of jobs"}},
      {"status", {run_status, "show which stages of a run are done, running or failed, and why"}},
      {"synth", {run_synth, "make a synthetic serial-section stack with labels"}},
      {"verify", {run_verify, "re-read a prediction and compare it with its journal"}},
      {"pack", {run_pack, "compress a finished prediction"}},
      {"info", {run_info, "list what an HDF5 file holds"}}};
  return all;
}

std::string usage() {
  std::string text = "usage: tessera VERB ... [--log-level trace|debug|info|warn|error|off]\n\nverbs:\n";
  for (const auto& [name, verb] : verbs())
    text += fmt::format("  {:<12} {}\n", name, verb.purpose);
  return text +
         "\n'tessera VERB --help' explains a verb; 'mpirun -n 3 tessera VERB ...' runs it on several ranks\n"
         "exit codes: 0 done, 1 failed, 2 usage or config, 75 stopped early with its state saved\n";
}

/// Takes `--log-level LEVEL` or `--log-level=LEVEL` out of the arguments.
std::string take_log_level(Arguments& arguments) {
  const std::string option = "--log-level";
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string level;
    std::size_t used = 1;
    if (arguments[i] == option && i + 1 < arguments.size()) {
      level = arguments[i + 1];
      used = 2;
    } else if (arguments[i].rfind(option + "=", 0) == 0) {
      level = arguments[i].substr(option.size() + 1);
    } else {
      continue;
    }
    const auto first = arguments.begin() + static_cast<std::ptrdiff_t>(i);
    arguments.erase(first, first + static_cast<std::ptrdiff_t>(used));
    return level;
  }
  return "info";
}

int run_verb(Arguments arguments, const Communicator& world) {
  start_log("info", world.rank(), world.size());  // reports a wrong level
  start_log(take_log_level(arguments), world.rank(), world.size());
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "help") {
    if (world.is_root()) std::cout << usage();
    return arguments.empty() ? kExitUsage : kExitDone;
  }
  if (arguments[0] == "--version") {
    if (world.is_root()) std::cout << "tessera " << tessera_version() << "\n";
    return kExitDone;
  }
  const auto verb = verbs().find(arguments[0]);
  if (verb == verbs().end()) {
    std::vector<std::string> names;
    for (const auto& [name, unused] : verbs())
      names.push_back(name);
    const auto near = nearest_word(arguments[0], names);
    throw UsageError(fmt::format("unknown verb '{}'{}\n{}", arguments[0],
                                 near ? fmt::format(": did you mean '{}'?", *near) : "", usage()));
  }
  return verb->second.run(Arguments(arguments.begin() + 1, arguments.end()), world);
}

/// Collective. Runs the verb. Output that cannot be written is an error.
int run(Arguments arguments, const Communicator& world) {
  const int exit_code = run_verb(std::move(arguments), world);
  on_root(world, require_output_written);
  return exit_code;
}

/// For an error that every rank has: the root reports it, and all ranks return the same exit code.
int leave_together(const Communicator& world, const std::exception& error, int exit_code) {
  const auto level = exit_code == kExitStopped ? spdlog::level::warn : spdlog::level::err;
  if (!world.is_root()) return exit_code;
  spdlog::log(level, "{}", error.what());
  tell_job_end(exit_code);
  return exit_code;
}

/// Runs the verb. Every rank ends: with an exit code, or by MPI_Abort when one rank alone failed.
int run_together(const Arguments& arguments, const MpiSession& mpi) {
  const Communicator world = mpi.world();
  try {
    return run(arguments, world);
  } catch (const AgreedError& error) {
    return leave_together(world, error, kExitFailed);
  } catch (const UsageError& error) {
    return leave_together(world, error, kExitUsage);
  } catch (const StoppedEarly& error) {
    return leave_together(world, error, kExitStopped);
  } catch (const std::exception& error) {
    spdlog::error("{}", message_of(error));
  }
  mpi.abort(kExitFailed);  // this rank may have failed alone: the others wait
}

}  // namespace
}  // namespace tessera

int main(int argc, char** argv) {
  using namespace tessera;
  keep_standard_streams_open();
  report_crashes();
  // HDF5's locks fail on some parallel file systems, and readers need none. FileLock keeps to them where a
  // file is written.
  setenv("HDF5_USE_FILE_LOCKING", "FALSE", 0);
  keep_hdf5_from_cleaning_up();
  // A write beyond 'ulimit -f' then fails with an error code, which is reported like a full disk.
  std::signal(SIGXFSZ, SIG_IGN);
  int exit_code = kExitFailed;
  try {
    start_log("info", 0, 1);  // until MPI has started
    report_unexpected_exits();
    MpiSession mpi(argc, argv);
    exit_code = run_together(Arguments(argv + 1, argv + argc), mpi);
  } catch (const std::exception& error) {  // the log or MPI itself did not start
    std::fprintf(stderr, "error: %s\n", message_of(error).c_str());
    if (dynamic_cast<const UsageError*>(&error) != nullptr) exit_code = kExitUsage;
  }
  expect_exit();
  return exit_code;
}
