#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>

namespace tessera {

/// A new, empty temporary file beside `to`. commit() renames it to `to`; without commit() it is removed. Its
/// name is unique (see temporary_name()), and it is opened so that no planted file or link of that name is
/// used. Where `to` is a symbolic link, the link stays, and its target is replaced, or created if it is
/// missing.
class StagedFile {
 public:
  /// Creates the folder of `to` if it is missing, and removes what killed processes left there under
  /// temporary names of `to`. Errors: Error, also when `to` is a folder or a device.
  explicit StagedFile(const std::filesystem::path& to);
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  ~StagedFile();

  const std::filesystem::path& path() const { return staged_; }
  /// The file that commit() replaces: `to` without links.
  const std::filesystem::path& target() const { return to_; }

  /// The file must be closed. The permissions and the group of a replaced file are kept. When it returns, the
  /// file and its name are on the disk. Errors: Error.
  void commit();

 private:
  std::filesystem::path to_, staged_;
  mode_t mode_ = 0;  ///< of the replaced file; 0: none
  uid_t owner_ = 0;
  gid_t group_ = 0;
  bool committed_ = false;
};

/// Writes a file that must not exist, without a sync: for a folder that is not under its final name yet.
/// Errors: Error; nothing is left.
void create_file(const std::filesystem::path& file, std::span<const std::byte> bytes);

/// Replaces a file by these bytes through a StagedFile. Errors: Error; the old file stays.
void replace_file(const std::filesystem::path& file, std::span<const std::byte> bytes);

}  // namespace tessera
