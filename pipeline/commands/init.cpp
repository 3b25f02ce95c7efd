#include <fmt/format.h>

#include <cmath>

#include "io/base/error.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/run/command_line.h"
#include "pipeline/start/start_experiment.h"
#include "workers/mpi/agreement.h"

namespace tessera {

OptionTable init_options() {
  namespace po = boost::program_options;
  po::options_description options("options");
  auto add = options.add_options();
  add("input", po::value<std::string>(),
      "the raw volume: HDF5, a TIFF stack, or a folder of PNG or TIFF sections");
  add("labels", po::value<std::string>(),
      "its labels, likewise; default: those in the raw volume's HDF5 file, where they are clear");
  add("output,o", po::value<std::string>(), "the experiment to write; default: the input's name, with .yaml");
  add("minutes", po::value<double>(), "of training; default 15, on a GPU 10, with --paper on a CPU 120");
  add("gpu", "for a machine with a GPU, though this one may have none");
  add("paper", "network and optimizer of Ronneberger et al. 2015: 64 filters, SGD");
  add("checkpoint", po::value<std::string>(),
      "a trained network: the experiment predicts with it, and trains none");
  add("resolution", po::value<std::string>(), "voxel size of images in nm, Z,Y,X");
  add("overwrite", "replace the experiment's file when it exists");
  return options;
}

int run_init(const OptionValues& values, const Communicator& world) {
  const auto text = [&](const char* name) -> std::optional<std::string> {
    if (values.count(name) == 0) return std::nullopt;
    return values[name].as<std::string>();
  };
  if (!text("input")) throw UsageError(fmt::format("name the raw volume\nusage: {}", usage_of("init")));
  InitRequest request;
  request.input = *text("input");
  request.labels = text("labels");
  request.checkpoint = text("checkpoint");
  request.output = text("output").value_or("");
  if (const auto resolution = text("resolution"))
    request.resolution_nm = parse_numbers(*resolution, 3, "--resolution");
  if (values.count("minutes") != 0) {
    const double minutes = values["minutes"].as<double>();
    if (!std::isfinite(minutes) || minutes <= 0)
      throw UsageError(fmt::format("--minutes {}: write a number above 0", minutes));
    request.wishes.minutes = minutes;
  }
  request.wishes.gpu = values.count("gpu") != 0;
  request.wishes.paper = values.count("paper") != 0;
  request.overwrite = values.count("overwrite") != 0;
  on_root(world, [&] { init_experiment(request); });
  return kExitDone;
}

}  // namespace tessera
