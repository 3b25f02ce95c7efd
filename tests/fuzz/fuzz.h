#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>

#include "io/base/error.h"

namespace tessera {

/// Calls `read`. An error with a message of Tessera's is a good end; any other exception ends the fuzzer.
template <class Read>
void expect_message(Read read) {
  try {
    read();
  } catch (const Error&) {
  }
}

/// A file in memory with these bytes, removed at the end.
class BytesInFile {
 public:
  /// The name is that of the process, with these texts before and behind it.
  BytesInFile(const std::uint8_t* data, std::size_t size, const char* extension, const char* prefix = "")
      : path_(fmt::format("/dev/shm/{}tessera_fuzz_{}{}", prefix, ::getpid(), extension)) {
    const int fd = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || ::write(fd, data, size) != static_cast<ssize_t>(size) || ::close(fd) != 0) std::abort();
  }
  BytesInFile(const BytesInFile&) = delete;
  BytesInFile& operator=(const BytesInFile&) = delete;
  ~BytesInFile() { ::unlink(path_.c_str()); }

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::span<const std::byte> bytes_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const std::byte*>(data), size};
}

}  // namespace tessera
