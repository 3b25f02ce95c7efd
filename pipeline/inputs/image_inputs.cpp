#include "pipeline/inputs/image_inputs.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <vector>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "io/base/log.h"
#include "io/base/other_format.h"
#include "io/base/sha256.h"
#include "io/images/section_files.h"
#include "io/volume/block_journal.h"
#include "pipeline/inputs/stack_import.h"
#include "pipeline/run/run_folder.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// What is known of the images without reading their pixels, and their digest.
struct ImageState {
  std::string files;   ///< SHA-256 of the names, sizes and times of all files, and of the voxel size
  std::string sha256;  ///< of the bytes of all files, and of the voxel size
  std::string imported;
};

/// Runs `step`. Images that need an option of `tessera import` cannot stand in an experiment.
template <class Step>
auto with_hint(const fs::path& images, const Step& step) {
  try {
    return step();
  } catch (const UsageError& error) {
    throw UsageError(fmt::format(
        "{}\nimport these images by hand, with that option: tessera import {} em.h5:/volumes/raw ...; then "
        "name the dataset here",
        error.what(), images.string()));
  }
}

std::vector<fs::path> files_of(const fs::path& images) {
  if (!fs::is_directory(images)) return {images};
  return with_hint(images, [&] { return list_sections(images, MissingSections::ask).files; });
}

std::string voxel_text(const ImageInputs& inputs) {
  std::string text;
  for (const double side : inputs.resolution_nm)
    text += fmt::format(" {}", side);
  return text;
}

std::string files_digest(const std::vector<fs::path>& files, const ImageInputs& inputs) {
  Sha256 digest;
  for (const fs::path& file : files) {
    struct stat found {};
    if (::stat(file.c_str(), &found) != 0)
      throw Error(fmt::format("cannot look at {}: {}", file.string(), errno_text(errno)));
    digest.add(fmt::format("{} {} {}.{:09d}\n", file.filename().string(), found.st_size, found.st_mtim.tv_sec,
                           found.st_mtim.tv_nsec));
  }
  return digest.add(voxel_text(inputs)).hex();
}

std::string content_digest(const std::vector<fs::path>& files, const ImageInputs& inputs) {
  Sha256 digest;
  std::vector<char> buffer(std::size_t{1} << 20);
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    std::int64_t bytes = 0;
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
      digest.add(std::string_view(buffer.data(), static_cast<std::size_t>(in.gcount())));
      bytes += in.gcount();
    }
    if (!in.eof()) throw Error(fmt::format("cannot read {}: {}", file.string(), errno_text(errno)));
    digest.add(fmt::format("\n{} {}\n", file.filename().string(), bytes));
  }
  return digest.add(voxel_text(inputs)).hex();
}

fs::path record_of(const ImageInput& input) {
  return fs::path(input.dataset.file).replace_extension(".json");
}

/// None where there is no whole import.
std::optional<ImageState> read_record(const ImageInput& input) {
  if (!file_exists(input.dataset.file) || !file_exists(record_of(input))) return std::nullopt;
  constexpr std::int64_t kMost = 1 << 20;
  const auto record = parse_json<nlohmann::json>(file_text(record_of(input), kMost));
  const ImageState state{json_text_at(record, "files"), json_text_at(record, "sha256"),
                         json_text_at(record, "imported")};
  return state.files.empty() || state.sha256.empty() ? std::nullopt : std::optional(state);
}

void write_record(const ImageInput& input, const ImageState& state) {
  const nlohmann::json record{{"source", utf8_text(fs::absolute(input.images).string())},
                              {"files", state.files},
                              {"sha256", state.sha256},
                              {"imported", state.imported}};
  write_text_file(record_of(input), json_text(record, 2) + "\n");
}

/// Whether the run folder holds something that was made from its inputs.
bool is_used(const ExperimentConfig& config) {
  const auto& output = config.infer.output;
  return file_exists(config.run_folder / "training.json") ||
         file_exists(config.run_folder / "inference.json") ||
         (output && file_exists(journal_of(output->file)));
}

/// Imports the images, or records their new times. `known`: the earlier import.
void import_under_lock(const ExperimentConfig& config, const ImageInput& input,
                       const std::vector<fs::path>& files, const std::optional<ImageState>& known,
                       bool replace, const FileLock& lock) {
  ImageState state{files_digest(files, config.images), content_digest(files, config.images), now_utc()};
  if (known && known->sha256 == state.sha256) {  // copied, or saved again, with the same bytes
    state.imported = known->imported;
    return write_record(input, state);
  }
  if (known && !replace && is_used(config)) {
    throw UsageError(fmt::format(
        "{} has changed since it was imported ({}), and {} holds a training or a result of the old "
        "one: give the changed experiment another name, or remove {} to begin again",
        input.images.string(), known->imported, config.run_folder.string(), config.run_folder.string()));
  }
  fs::remove(record_of(input));
  StackImport options{input.images.string(), input.dataset, {}, {}, true, {}};
  options.spec.resolution_nm = config.images.resolution_nm;
  const std::string text = with_hint(input.images, [&] { return import_stack(options, lock); });
  if (files_digest(files_of(input.images), config.images) != state.files)
    throw Error(fmt::format("{} changed while it was imported: start again", input.images.string()));
  write_record(input, state);
  spdlog::info("imported {} into {}", input.images.string(), text);
}

void import_one(const ExperimentConfig& config, const ImageInput& input, bool replace) {
  const std::optional<ImageState> known = read_record(input);
  if (known && !file_exists(input.images)) {
    spdlog::warn("{}: {} is gone; its import {} is used", input.key, input.images.string(),
                 input.dataset.file.string());
    return;
  }
  if (!file_exists(input.images)) {
    throw UsageError(fmt::format("there is no {}{}", input.images.string(), missing_file_note(input.images)));
  }
  const std::vector<fs::path> files = files_of(input.images);
  if (known && known->files == files_digest(files, config.images)) return;
  const FileLock lock(input.dataset.file);
  import_under_lock(config, input, files, read_record(input), replace, lock);
}

/// The datasets that this use reads.
std::set<std::string> datasets_for(const ExperimentConfig& config, InputUse use) {
  std::set<std::string> names;
  const auto add = [&](const std::optional<DatasetName>& name) {
    if (name) names.insert(name->text());
  };
  if (use == InputUse::training || use == InputUse::all) {
    for (const VolumeConfig& one : config.data.all_volumes()) {
      add(one.raw);
      add(one.labels);
    }
  }
  if (use != InputUse::training) add(config.infer.raw);
  if (use == InputUse::evaluation || use == InputUse::all) {
    add(config.evaluate.labels);
    add(config.data.raw);  // of the pictures
  }
  return names;
}

}  // namespace

void import_images(const ExperimentConfig& config, InputUse use, bool replace) {
  const std::set<std::string> needed = datasets_for(config, use);
  for (const ImageInput& input : config.images.all) {
    if (needed.count(input.dataset.text()) == 0) continue;
    try {
      import_one(config, input, replace);
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("{}: {}", input.key, error.what()));
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}", input.key, error.what()));
    }
  }
}

void import_images(const ExperimentConfig& config, InputUse use, const Communicator& world) {
  if (config.images.all.empty()) return;  // the same on every rank
  on_root(world, [&] { import_images(config, use); });
}

}  // namespace tessera
