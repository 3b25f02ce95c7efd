#include <fmt/format.h>

#include "io/base/error.h"
#include "pipeline/commands/commands.h"
#include "pipeline/inputs/tracking_import.h"
#include "pipeline/run/command_line.h"
#include "pipeline/run/next_step.h"
#include "workers/mpi/agreement.h"

namespace tessera {

OptionTable import_ctc_options() {
  namespace po = boost::program_options;
  po::options_description described("options");
  auto add = described.add_options();
  add("folder", po::value<std::string>()->required(), "a data set of the Cell Tracking Challenge");
  add("output", po::value<std::string>()->required(), "the HDF5 file to write; its other datasets stay");
  add("sequence", po::value<std::vector<std::string>>()->composing(),
      "only this sequence, such as 01; can stand several times");
  add("silver", po::bool_switch(), "take the masks of the silver truth (01_ST)");
  add("annotated", po::bool_switch(), "leave out frames without a mask");
  add("partial", po::bool_switch(), "not all cells have a mask: background is not annotated");
  add("missing", po::value<std::string>(), "skip: leave out frames that are missing by their numbers");
  add("overwrite", po::bool_switch(), "replace datasets that exist");
  return described;
}

int run_import_ctc(const OptionValues& values, const Communicator& world) {
  TrackingImport options;
  options.folder = values["folder"].as<std::string>();
  options.output = values["output"].as<std::string>();
  if (values.count("sequence") != 0) options.sequences = values["sequence"].as<std::vector<std::string>>();
  options.silver = values["silver"].as<bool>();
  options.annotated = values["annotated"].as<bool>();
  options.partial = values["partial"].as<bool>();
  options.overwrite = values["overwrite"].as<bool>();
  if (values.count("missing") != 0) {
    if (values["missing"].as<std::string>() != "skip")
      throw UsageError(
          fmt::format("--missing {}: write skip, or leave it out", values["missing"].as<std::string>()));
    options.skip_missing = true;
  }
  on_root(world, [&] {
    fmt::print("{}", import_tracking(options));
    tell_next(command_text({"info", options.output.string()}));
  });
  return kExitDone;
}

}  // namespace tessera
