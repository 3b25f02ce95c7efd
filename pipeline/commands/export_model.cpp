#include <fmt/format.h>

#include <iostream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/hdf5/checkpoint_file.h"
#include "pipeline/commands/commands.h"
#include "pipeline/run/next_step.h"
#include "workers/mpi/agreement.h"
#include "workers/network/network.h"
#include "workers/network/network_checkpoint.h"
#include "workers/network/torchscript_export.h"

namespace tessera {
namespace {

void export_model(const std::filesystem::path& from, const std::filesystem::path& to, bool overwrite) {
  if (!std::filesystem::exists(from)) {
    throw UsageError(fmt::format(
        "there is no {} (checkpoints are in the run folder, such as runs/NAME/checkpoints/best.h5)",
        from.string()));
  }
  const FileLock lock(to);
  if (std::filesystem::exists(to) && !overwrite) {
    throw UsageError(fmt::format("{} exists already: pass --overwrite to replace it", to.string()));
  }
  const Checkpoint checkpoint = parse_checkpoint(read_file_bytes(from), from.string());
  const auto network = load_network(checkpoint, from.string());
  Normalisation normalisation;
  const auto found = checkpoint.numbers.find("normalisation");
  if (found != checkpoint.numbers.end() && found->second.size() == 2)
    normalisation = {found->second[0], found->second[1]};
  const bool by_volume = checkpoint.texts.contains("normalisation");
  export_torchscript(*network, normalisation, to, by_volume);
  const NetworkGeometry geometry = geometry_of(network->description());
  std::cout << fmt::format(
                   "{}: input (n, {}, h, w), float32, {}; output (n, {}, h{}, w{}), "
                   "probabilities; {}\n",
                   to.string(), network->description().in_channels,
                   by_volume ? "(raw value - mean) / deviation of its volume"
                             : fmt::format("(raw value - {}) / {}", normalisation.mean, normalisation.std),
                   network->description().classes(),
                   geometry.padding == Padding::valid ? fmt::format(" - {}", 2 * geometry.margin) : "",
                   geometry.padding == Padding::valid ? fmt::format(" - {}", 2 * geometry.margin) : "",
                   geometry.legal_sides_text(572))
            << std::flush;
}

}  // namespace

OptionTable export_model_options() {
  namespace po = boost::program_options;
  po::options_description described("options");
  auto add = described.add_options();
  add("checkpoint", po::value<std::string>()->required(), "the checkpoint to read");
  add("out", po::value<std::string>()->required(), "the TorchScript file to write");
  add("overwrite", po::bool_switch(), "replace a file that exists already");
  return described;
}

int run_export_model(const OptionValues& values, const Communicator& world) {
  on_root(world, [&] {
    export_model(values["checkpoint"].as<std::string>(), values["out"].as<std::string>(),
                 values["overwrite"].as<bool>());
    tell_next(fmt::format("torch.jit.load('{0}') in Python, or model.torchscript: {0} in an experiment",
                          values["out"].as<std::string>()));
  });
  return kExitDone;
}

}  // namespace tessera
