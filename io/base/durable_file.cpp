#include "io/base/durable_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include "io/base/error.h"

namespace tessera {
namespace {

std::string hint_for(int reason) {
  switch (reason) {
    case ENOSPC:
      return " (free some space or write elsewhere)";
    case EDQUOT:
      return " (the quota of this user or project is used up)";
    case EFBIG:
      return " (beyond the file size limit: see 'ulimit -f')";
    case EROFS:
    case EACCES:
    case EPERM:
      return " (is the folder writable from this node?)";
    default:
      return "";
  }
}

/// Whether the next write would fail for the same reason.
bool lasts(int reason) {
  for (const int one : {ENOSPC, EDQUOT, EFBIG, EROFS, EACCES, EPERM, ENOENT, ESTALE, EMFILE, ENFILE}) {
    if (reason == one) return true;
  }
  return false;
}

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& file, int reason) {
  const std::string message =
      fmt::format("cannot {} {}: {}{}", what, file.string(), errno_text(reason), hint_for(reason));
  if (lasts(reason)) throw WholeJobError(message);
  throw Error(message);
}

}  // namespace

FileDescriptor::FileDescriptor(const std::filesystem::path& file, int flags, mode_t mode)
    : fd_(::open(file.c_str(), flags | O_CLOEXEC, mode)) {
  if (fd_ < 0) fail("open", file, errno);
}

void FileDescriptor::close(const std::filesystem::path& file) {
  if (fd_ >= 0 && ::close(std::exchange(fd_, -1)) != 0) fail("write", file, errno);
}

FileDescriptor FileDescriptor::owner_of(int fd) {
  FileDescriptor owner;
  owner.fd_ = fd;
  return owner;
}

FileDescriptor::FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

void write_fully(int fd, std::span<const std::byte> bytes, std::int64_t offset,
                 const std::filesystem::path& file) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd, bytes.data(), bytes.size(), offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(fmt::format("write {} bytes at {} of", bytes.size(), offset), file, errno);
    }
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += written;
  }
}

void sync_data(int fd, const std::filesystem::path& file) {
  if (::fdatasync(fd) != 0) fail("sync", file, errno);
}

void sync_to_disk(const std::filesystem::path& file_or_folder) {
  const FileDescriptor opened(file_or_folder, O_RDONLY);
  if (::fsync(opened.get()) != 0 && errno != EINVAL) fail("sync", file_or_folder, errno);
}

void put_in_place(const std::filesystem::path& from, const std::filesystem::path& to) {
  sync_to_disk(from);
  if (::rename(from.c_str(), to.c_str()) != 0) fail("rename to its final name", to, errno);
  sync_to_disk(folder_of(to));
}

void remove_quietly(const std::filesystem::path& file_or_folder) noexcept {
  try {
    std::error_code ignored;
    std::filesystem::remove_all(file_or_folder, ignored);
  } catch (const std::bad_alloc&) {  // remove_all() allocates
  }
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  const auto folder = file.parent_path();
  return folder.empty() ? std::filesystem::path(".") : folder;
}

void create_folder_of(const std::filesystem::path& file) {
  std::error_code code;
  std::filesystem::create_directories(folder_of(file), code);
  if (code) fail("create the folder", folder_of(file), code.value());
}

void require_free_space(const std::filesystem::path& file, std::int64_t bytes) {
  struct statvfs found {};
  if (::statvfs(folder_of(file).c_str(), &found) != 0) fail("look at the file system of", file, errno);
  const auto free = static_cast<std::int64_t>(found.f_bavail) * static_cast<std::int64_t>(found.f_frsize);
  if (free < bytes) {
    throw Error(fmt::format(
        "the disk has no room for {}: it needs {}, {} are free (free some space or write elsewhere)",
        file.string(), bytes_text(bytes), bytes_text(free)));
  }
}

void reserve_space(const std::filesystem::path& file, std::int64_t bytes) {
  const FileDescriptor opened(file, O_RDWR);
  const int reason = ::posix_fallocate(opened.get(), 0, bytes);
  if (reason != 0) fail(fmt::format("reserve {} for", bytes_text(bytes)), file, reason);
}

std::string bytes_text(std::int64_t bytes) {
  constexpr std::array units{"KiB", "MiB", "GiB", "TiB", "PiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  return value < 10 ? fmt::format("{:.1f} {}", value, units[unit])
                    : fmt::format("{:.0f} {}", value, units[unit]);
}

}  // namespace tessera
