#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// An array in a checkpoint, row-major.
struct CheckpointArray {
  enum class Type { float32, int64 };
  Type type = Type::float32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;
};

/// The state of a training. In its HDF5 file, which h5py reads too, nothing is code that loading runs.
struct Checkpoint {
  std::map<std::string, CheckpointArray> arrays;       ///< by path, such as weights/convs.0.weight
  std::map<std::string, std::string> texts;            ///< root attributes: config, version, network, ...
  std::map<std::string, std::int64_t> counters;        ///< root attributes: iteration, ...
  std::map<std::string, std::vector<double>> numbers;  ///< root attributes: normalisation, best score, ...
};

/// Writes a checkpoint with a CRC-32C of its contents and one of its bytes (checksum_block.h): under another
/// name, then fsync, rename and fsync of the folder. Errors: Error.
void write_checkpoint_file(const std::filesystem::path& file, const Checkpoint& checkpoint);

/// A checkpoint from the bytes of its file; `name` is for messages. The checksum of the bytes is compared
/// before the HDF5 library parses them. Errors: Error when the bytes are not a checkpoint, or one that is
/// damaged (a CRC differs) or truncated.
Checkpoint parse_checkpoint(std::vector<std::byte> bytes, const std::string& name);

/// The folder of a run's checkpoints: `iteration_00000100.h5`, ..., and `best.h5`.
class CheckpointFolder {
 public:
  explicit CheckpointFolder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path best() const { return folder_ / "best.h5"; }
  std::filesystem::path at_iteration(std::int64_t iteration) const;
  /// The checkpoints of iterations, newest first; none without the folder. Errors: Error.
  std::vector<std::filesystem::path> newest_first() const;
  /// Removes the checkpoints up to `iteration`, the one just written, except the newest `keep`. The best
  /// stays, and so do later ones: a training resumes from an earlier one where they are damaged. Errors:
  /// Error.
  void keep_newest(std::size_t keep, std::int64_t iteration) const;
  /// Removes unfinished files of killed writers. Nobody may be writing. Errors: Error.
  void remove_unfinished() const;

 private:
  std::filesystem::path folder_;
};

}  // namespace tessera
