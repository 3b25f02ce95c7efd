#include "pipeline/commands/volume_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "io/base/error.h"
#include "io/base/log.h"
#include "io/base/nearest_word.h"
#include "pipeline/config/yaml_scalar.h"
#include "pipeline/run/command_line.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

std::string names_text(const std::vector<InferenceVolume>& volumes) {
  constexpr std::size_t kMost = 20;
  std::vector<std::string> names;
  names.reserve(volumes.size());
  for (const InferenceVolume& one : volumes)
    names.push_back(one.name);
  const std::size_t all = names.size();
  if (all > kMost) names.resize(kMost);
  return fmt::format("{}{}", fmt::join(names, ", "),
                     all > kMost ? fmt::format(", ... ({} in all)", all) : "");
}

std::size_t index_of(std::int64_t index, const std::vector<InferenceVolume>& volumes,
                     const std::string& option) {
  if (index >= 0 && static_cast<std::size_t>(index) < volumes.size()) return static_cast<std::size_t>(index);
  throw UsageError(fmt::format("{} {}: there are {} volumes, counted from 0: {}", option, index,
                               volumes.size(), names_text(volumes)));
}

/// A number is an index only when no volume's name is a number, so that --volume is never ambiguous.
std::size_t index_of(const std::string& word, const std::vector<InferenceVolume>& volumes) {
  const auto is_number = [](const std::string& text) {
    return text.find_first_not_of("0123456789") == std::string::npos;
  };
  bool numbers_are_names = false;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < volumes.size(); ++i) {
    if (volumes[i].name == word) return i;
    numbers_are_names = numbers_are_names || is_number(volumes[i].name);
    names.push_back(volumes[i].name);
  }
  const auto number = parse_integer(word);
  if (number && !numbers_are_names) return index_of(*number, volumes, "--volume");
  const auto near = nearest_word(word, names);
  throw UsageError(fmt::format("--volume {}: no volume is called so{}; there are: {}", word,
                               near ? fmt::format("; did you mean {}?", *near) : "", names_text(volumes)));
}

}  // namespace

void add_volume_choice(po::options_description& options) {
  auto add = options.add_options();
  add("volume", po::value<std::string>(),
      "the name of one volume, where infer.raw (or segment.prediction) has wildcards");
  add("volume-index", po::value<std::int64_t>(), "the same volume by its index, counted from 0");
}

bool is_volume_chosen(const po::variables_map& values) {
  return values.count("volume") != 0 || values.count("volume-index") != 0;
}

std::vector<InferenceVolume> chosen_volumes(const po::variables_map& values, const ExperimentConfig& config,
                                            const Communicator& world, VolumeUse use) {
  std::vector<InferenceVolume> volumes = volumes_for(use, config, world);
  if (!is_volume_chosen(values)) return volumes;
  if (values.count("volume") != 0 && values.count("volume-index") != 0)
    throw UsageError("--volume and --volume-index exclude each other");
  const std::size_t chosen =
      values.count("volume") != 0
          ? index_of(values["volume"].as<std::string>(), volumes)
          : index_of(values["volume-index"].as<std::int64_t>(), volumes, "--volume-index");
  return {volumes[chosen]};
}

void for_each_volume(const std::vector<InferenceVolume>& volumes, const Communicator& world,
                     const std::function<void(const InferenceVolume&)>& step) {
  if (volumes.size() == 1) return step(volumes.front());
  std::vector<std::string> failed;
  const auto note = [&](const InferenceVolume& volume, const std::exception& error) {
    failed.push_back(fmt::format("{}: {}", volume.name, error.what()));
    if (world.is_root()) spdlog::error("volume {}", failed.back());
  };
  for (const InferenceVolume& one : volumes) {
    try {
      step(one);
    } catch (const StoppedEarly&) {
      throw;
    } catch (const AgreedError& error) {
      note(one, error);
    } catch (const UsageError& error) {
      note(one, error);
    } catch (const std::exception& error) {
      if (world.size() > 1) throw;  // this rank may have failed alone: the others wait
      note(one, error);
    }
  }
  if (failed.empty()) return;
  if (world.is_root()) close_log_files();  // the rest belongs to no single volume
  throw AgreedError(fmt::format("{} of {} volumes failed; correct this and start again:\n  {}", failed.size(),
                                volumes.size(), fmt::join(failed, "\n  ")));
}

std::string heading(const std::vector<InferenceVolume>& volumes, const InferenceVolume& volume) {
  if (volumes.size() == 1) return {};
  const auto place = std::ranges::find(volumes, volume.name, &InferenceVolume::name) - volumes.begin();
  return fmt::format("volume {} of {}: {}", place + 1, volumes.size(), volume.name);
}

void begin_volume(const std::vector<InferenceVolume>& volumes, const InferenceVolume& volume,
                  const DatasetName& input, const StopSignal& signal, const Communicator& world) {
  if (volumes.size() < 2) return;
  on_root(world, [&] {
    close_log_files();  // of the previous volume
    const std::string text = heading(volumes, volume);
    if (signal.asked())
      throw StoppedEarly(fmt::format("stopped by a signal before {}; start again to go on", text));
    spdlog::info("{}, {}", text, input.text());
  });
}

}  // namespace tessera
