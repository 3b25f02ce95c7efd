#include "pipeline/checkpoint_choice.h"

#include <fmt/format.h>

#include "io/error.h"
#include "io/log.h"
#include "workers/mpi/agree.h"

namespace tessera {
namespace {

/// The root's bytes and name on every rank, parsed.
LoadedCheckpoint broadcast_checkpoint(std::vector<std::byte> bytes, std::string name, const Communicator& world) {
  world.broadcast(name);
  world.broadcast(bytes);
  return {parse_checkpoint(std::move(bytes), name), name};
}

}  // namespace

std::optional<LoadedCheckpoint> load_newest_checkpoint(const RunFolder& folder, const Communicator& world) {
  std::vector<std::byte> bytes;
  std::string name;
  on_root(world, [&] {
    const auto files = folder.checkpoints().newest_first();
    for (const auto& file : files) {
      try {
        bytes = read_file_bytes(file);
        parse_checkpoint(bytes, file.string());
        name = file.string();
        return;
      } catch (const Error& error) {
        spdlog::warn("{}; trying the one before", error.what());
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

LoadedCheckpoint load_named_checkpoint(const std::string& which, const RunFolder& folder, const Communicator& world) {
  if (which == "latest") {
    auto newest = load_newest_checkpoint(folder, world);
    if (newest) return std::move(*newest);
    throw UsageError(fmt::format("infer.checkpoint: latest, but {} holds no checkpoint: run 'tessera train' first",
                                 folder.path().string()));
  }
  const std::filesystem::path file = which == "best" ? folder.checkpoints().best() : std::filesystem::path(which);
  std::vector<std::byte> bytes;
  on_root(world, [&] {
    if (!std::filesystem::exists(file)) {
      throw UsageError(fmt::format("infer.checkpoint: there is no {} (run 'tessera train' first, or name a checkpoint file)",
                                   file.string()));
    }
    bytes = read_file_bytes(file);
    parse_checkpoint(bytes, file.string());
  });
  return broadcast_checkpoint(std::move(bytes), file.string(), world);
}

}  // namespace tessera
