#include "pipeline/run/checkpoint_choice.h"

#include <fmt/format.h>

#include <new>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// The root's bytes and name on every rank, parsed.
LoadedCheckpoint broadcast_checkpoint(std::vector<std::byte> bytes, std::string name,
                                      const Communicator& world) {
  world.broadcast(name);
  world.broadcast(bytes);
  return {parse_checkpoint(std::move(bytes), name), name};
}

constexpr const char* kInferred = "infer.checkpoint";

std::string no_checkpoint_in(const std::string& setting, const std::filesystem::path& folder) {
  return fmt::format("{}: {} holds no checkpoint: run 'tessera train' first", setting, folder.string());
}

std::optional<LoadedCheckpoint> load_newest(const CheckpointFolder& folder, const Communicator& world) {
  std::vector<std::byte> bytes;
  std::string name;
  on_root(world, [&] {
    const auto files = folder.newest_first();
    for (const auto& file : files) {
      bytes = read_file_bytes(file);  // a failed read is no damage: the file may be whole
      try {
        parse_checkpoint(bytes, file.string());
        name = file.string();
        return;
      } catch (const std::bad_alloc&) {
        throw;
      } catch (const std::exception& error) {
        spdlog::warn("{}; trying the checkpoint before it", error.what());
      }
    }
    if (!files.empty()) {
      throw Error(fmt::format("every checkpoint in {} is damaged: start over with --overwrite",
                              files.front().parent_path().string()));
    }
  });
  std::int64_t found = name.empty() ? 0 : 1;
  world.broadcast(std::as_writable_bytes(std::span(&found, 1)));
  if (found == 0) return std::nullopt;
  return broadcast_checkpoint(std::move(bytes), std::move(name), world);
}

/// Collective. The checkpoint `path`, or the newest one in that folder. `shown`: the folder for messages.
LoadedCheckpoint load_checkpoint_at(const std::filesystem::path& path, const std::string& setting,
                                    const std::filesystem::path& shown, const Communicator& world) {
  std::vector<std::byte> bytes;
  bool holds_several = false;
  on_root(world, [&] {
    holds_several = is_folder(path);
    if (holds_several) return;
    if (!file_exists(path)) {
      throw UsageError(
          fmt::format("{}: there is no {} (run 'tessera train' first, or name a checkpoint file)", setting,
                      path.string()));
    }
    bytes = read_file_bytes(path);
    parse_checkpoint(bytes, path.string());
  });
  if (!world.any(holds_several)) return broadcast_checkpoint(std::move(bytes), path.string(), world);
  auto newest = load_newest(CheckpointFolder(path), world);
  if (!newest) throw UsageError(no_checkpoint_in(setting, shown));
  return std::move(*newest);
}

}  // namespace

std::optional<LoadedCheckpoint> load_newest_checkpoint(const RunFolder& folder, const Communicator& world) {
  return load_newest(folder.checkpoints(), world);
}

std::filesystem::path checkpoint_path(const std::string& which, const RunFolder& folder) {
  if (which == "best") return folder.checkpoints().best();
  if (which == "latest") return folder.checkpoints().path();
  return which;
}

LoadedCheckpoint load_named_checkpoint(const std::string& which, const RunFolder& folder,
                                       const Communicator& world) {
  const std::filesystem::path path = checkpoint_path(which, folder);
  on_root(world, [&] {
    if (which == "latest" && !is_folder(path)) throw UsageError(no_checkpoint_in(kInferred, folder.path()));
  });
  return load_checkpoint_at(path, kInferred, which == "latest" ? folder.path() : path, world);
}

LoadedCheckpoint load_checkpoint_of(const std::string& which, const std::string& setting,
                                    const Communicator& world) {
  std::string path = which;
  on_root(world, [&] {
    const RunFolder run(which);
    if (!is_folder(run.checkpoints().path())) return;
    const std::filesystem::path best = run.checkpoints().best();
    path = (file_exists(best) ? best : run.checkpoints().path()).string();
  });
  world.broadcast(path);
  return load_checkpoint_at(path, setting, which, world);
}

}  // namespace tessera
