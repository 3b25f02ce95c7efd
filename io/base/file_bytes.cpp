#include "io/base/file_bytes.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdint>
#include <fstream>
#include <span>
#include <system_error>

#include "io/base/durable_file.h"
#include "io/base/error.h"

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

void write_text_file(const std::filesystem::path& file, std::string_view text) {
  StagedFile staged(file);
  {
    const FileDescriptor out(staged.path(), O_WRONLY | O_CREAT | O_TRUNC);
    write_fully(out.get(), std::as_bytes(std::span(text)), 0, staged.path());
  }
  staged.commit();
}

}  // namespace tessera
