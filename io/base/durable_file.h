#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace tessera {

/// The one owner of a POSIX file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  /// open(2) with `flags` and mode 0644. Errors: Error naming the file, the reason and what to try.
  FileDescriptor(const std::filesystem::path& file, int flags);
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

/// Writes every byte at `offset`, however many calls it takes. Errors: Error ("disk full" told apart).
void write_fully(int fd, std::span<const std::byte> bytes, std::int64_t offset,
                 const std::filesystem::path& file);

/// fdatasync: what was written to `fd` is on the disk when this returns. Errors: Error.
void sync_data(int fd, const std::filesystem::path& file);

/// fsync a file, or a folder, so that what it holds (or its names) survive a crash. Errors: Error.
void sync_to_disk(const std::filesystem::path& file_or_folder);

/// fsync(from), rename(from, to), fsync(folder of to): after it returns the file is there whole, before it
/// the old one is. Errors: Error.
void put_in_place(const std::filesystem::path& from, const std::filesystem::path& to);

/// Creates the folder of `file` where it is missing. Errors: Error.
void create_folder_of(const std::filesystem::path& file);

/// Throws Error with both numbers when the file system of `file` has less than `bytes` free.
void require_free_space(const std::filesystem::path& file, std::int64_t bytes);

/// posix_fallocate: reserves the disk space of [0, bytes) now. Errors: Error (a full disk, a quota).
void reserve_space(const std::filesystem::path& file, std::int64_t bytes);

/// "1.5 GiB", "312 MiB", "17 B".
std::string bytes_text(std::int64_t bytes);

/// A file name beside `to` that is removed again unless commit() puts it in place as `to`.
class StagedFile {
 public:
  explicit StagedFile(std::filesystem::path to);
  StagedFile(const StagedFile&) = delete;
  StagedFile& operator=(const StagedFile&) = delete;
  ~StagedFile();

  const std::filesystem::path& path() const { return staged_; }
  /// The file must be closed. Errors: Error.
  void commit();

 private:
  std::filesystem::path to_, staged_;
  bool committed_ = false;
};

}  // namespace tessera
