#include "io/base/file_bytes.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <span>
#include <sstream>
#include <system_error>
#include <utility>

#include "io/base/error.h"
#include "io/base/staged_file.h"

namespace tessera {

std::vector<std::byte> read_file_bytes(const std::filesystem::path& file) {
  std::error_code code;
  const std::uintmax_t size = std::filesystem::file_size(file, code);  // fails for folders
  if (code) throw Error(fmt::format("cannot open {}: {}", file.string(), code.message()));
  std::ifstream in(file, std::ios::binary);
  if (!in) throw Error(fmt::format("cannot open {}: {}", file.string(), errno_text(errno)));
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  if (!in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()))) {
    throw Error(fmt::format("cannot read {}: {}", file.string(), errno_text(errno)));
  }
  return bytes;
}

std::string file_text(const std::filesystem::path& file, std::int64_t most_bytes) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (error) throw Error(fmt::format("cannot read {}: {}", file.string(), error.message()));
  if (size > static_cast<std::uintmax_t>(most_bytes)) {
    throw Error(fmt::format("{} has {} MiB, more than the {} MiB that such a file may have", file.string(),
                            size >> 20, most_bytes >> 20));
  }
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if ((!in || !text) && size > 0) throw Error(fmt::format("cannot read {}", file.string()));
  return std::move(text).str();
}

void write_text_file(const std::filesystem::path& file, std::string_view text) {
  replace_file(file, std::as_bytes(std::span(text)));
}

}  // namespace tessera
