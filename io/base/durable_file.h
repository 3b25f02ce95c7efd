#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace tessera {

/// Owns a POSIX file descriptor.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  /// open(2) with `flags` and O_CLOEXEC. A new file has the permissions `mode`, less the umask. Errors: Error
  /// with the file, the reason and what to try.
  FileDescriptor(const std::filesystem::path& file, int flags, mode_t mode = 0644);
  FileDescriptor(FileDescriptor&& other) noexcept;
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor();

  /// Takes over an open descriptor.
  static FileDescriptor owner_of(int fd);

  int get() const { return fd_; }
  /// Closes it. A file system may report only now that a write has failed. Errors: Error, which names `file`.
  void close(const std::filesystem::path& file);

 private:
  int fd_ = -1;
};

/// Writes all bytes at `offset`, in as many calls as needed. Errors: Error; WholeJobError for a full disk.
void write_fully(int fd, std::span<const std::byte> bytes, std::int64_t offset,
                 const std::filesystem::path& file);

/// fdatasync: what was written to `fd` is on the disk when it returns. Errors: Error.
void sync_data(int fd, const std::filesystem::path& file);

/// fsync of a file or a folder, so that its contents (or names) survive a crash. Errors: Error.
void sync_to_disk(const std::filesystem::path& file_or_folder);

/// fsync(from), rename(from, to), fsync(folder of to): at any moment, `to` is either the whole old file or
/// the whole new one. Errors: Error.
void put_in_place(const std::filesystem::path& from, const std::filesystem::path& to);

/// The folder that `file` is in; "." for a bare name.
std::filesystem::path folder_of(const std::filesystem::path& file);

/// Creates the folder of `file` if it is missing. Errors: Error.
void create_folder_of(const std::filesystem::path& file);

/// Removes a file, or a folder with its content, where it exists. For destructors: what cannot be removed
/// stays, also for lack of memory.
void remove_quietly(const std::filesystem::path& file_or_folder) noexcept;

/// Errors: Error with both numbers when the file system of `file` has less than `bytes` free.
void require_free_space(const std::filesystem::path& file, std::int64_t bytes);

/// posix_fallocate: reserves disk space for the bytes [0, bytes). Errors: Error (a full disk, a quota).
void reserve_space(const std::filesystem::path& file, std::int64_t bytes);

/// "1.5 GiB", "312 MiB", "17 B".
std::string bytes_text(std::int64_t bytes);

}  // namespace tessera
