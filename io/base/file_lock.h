#pragma once

#include <filesystem>

#include "io/base/durable_file.h"

namespace tessera {

/// Keeps other tessera processes, on any host, from writing one file or folder. It is held from before the
/// first look at the target until the target is complete.
///
/// The lock is flock() on `.NAME.lock` beside the target, which holds the owner's host, process and time. A
/// kill leaves the file, but not the lock. On file systems without flock() the existence of the file is the
/// lock, and one of an ended process of this host is taken over. HDF5's own lock on an existing target is
/// held as well, shared: other programs can open it for reading, but not for writing.
class FileLock {
 public:
  FileLock() = default;
  /// `target`: need not exist; links are followed (see resolve_links()). Creates its folder if it is missing;
  /// the destructor removes that again when it is empty.
  /// Errors: UsageError when another process holds the lock, which is named, or when another program has the
  /// target open for writing; Error when the lock file cannot be created.
  explicit FileLock(const std::filesystem::path& target);
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

  /// Takes HDF5's shared lock on the file that now has the target's name: to be called after it was replaced.
  /// Errors: as the constructor.
  void hold_target();

 private:
  void take();
  bool try_flock();
  bool try_exclusive_file();

  std::filesystem::path target_, file_;
  FileDescriptor locked_;              ///< the lock file; none where its existence is the lock
  FileDescriptor held_target_;         ///< with HDF5's shared lock
  std::filesystem::path made_folder_;  ///< empty: it existed
  bool is_held_ = false;
};

/// Whether the last process that locked `target` was killed: it ran on this host, and has ended without
/// freeing the lock. False where that is not known.
bool owner_was_killed(const std::filesystem::path& target);

/// Whether another program has an HDF5 file open for writing, as far as its lock tells. False on file systems
/// without locks.
bool is_open_for_writing(const std::filesystem::path& file);

}  // namespace tessera
