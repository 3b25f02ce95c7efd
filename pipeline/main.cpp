#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "io/base/console.h"
#include "io/base/crash_report.h"
#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/log.h"
#include "io/base/unexpected_exit.h"
#include "io/hdf5/hdf5_handle.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/run/job_end.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/standard_output.h"
#include "pipeline/run/stop_signal.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/mpi_session.h"

namespace tessera {
namespace {

using Arguments = std::vector<std::string>;

/// Takes `OPTION VALUE` or `OPTION=VALUE` out of the arguments.
std::string take_option(Arguments& arguments, const std::string& option, const std::string& otherwise) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string value;
    std::size_t used = 1;
    if (arguments[i] == option && i + 1 < arguments.size()) {
      value = arguments[i + 1];
      used = 2;
    } else if (arguments[i].rfind(option + "=", 0) == 0) {
      value = arguments[i].substr(option.size() + 1);
    } else {
      continue;
    }
    const auto first = arguments.begin() + static_cast<std::ptrdiff_t>(i);
    arguments.erase(first, first + static_cast<std::ptrdiff_t>(used));
    return value;
  }
  return otherwise;
}

/// Sets up the log as the arguments say, and takes these out of them. Errors: UsageError.
void start_log_as_asked(Arguments& arguments, const Communicator& world) {
  start_log("info", world.rank(), world.size());  // reports a wrong level
  start_log(take_option(arguments, "--log-level", "info"), world.rank(), world.size());
  const std::string progress = take_option(arguments, "--progress", "auto");
  const auto style = value_named<ProgressStyle>(progress);
  if (!style) throw UsageError(fmt::format("unknown --progress '{}': use auto, always or never", progress));
  console()->set_style(*style);
}

int run_arguments(Arguments arguments, const Communicator& world) {
  start_log_as_asked(arguments, world);
  if (arguments.empty() || arguments[0] == "--help" || arguments[0] == "-h") {
    if (world.is_root()) std::cout << general_help();
    return arguments.empty() ? kExitUsage : kExitDone;
  }
  if (arguments[0] == "--version") {
    if (world.is_root()) std::cout << "tessera " << tessera_version() << "\n";
    return kExitDone;
  }
  if (const Verb* verb = find_verb(arguments[0]))
    return run_verb(*verb, Arguments(arguments.begin() + 1, arguments.end()), world);
  const auto near = meant_verb(arguments[0]);
  throw UsageError(fmt::format("unknown verb '{}'{}\n{}", arguments[0],
                               near ? fmt::format(": did you mean '{}'?", *near) : "", general_help()));
}

/// Collective. Runs the verb. Output that cannot be written is an error.
int run(Arguments arguments, const Communicator& world) {
  const int exit_code = run_arguments(std::move(arguments), world);
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
  StopSignal::remember_early_warnings();
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
