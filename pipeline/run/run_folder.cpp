#include "pipeline/run/run_folder.h"

#include <fmt/format.h>

#include <array>
#include <ctime>

#include "io/base/file_bytes.h"

namespace tessera {

std::string tessera_version() {
  return TESSERA_VERSION;
}

std::string now_utc() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  std::array<char, 32> text{};
  if (gmtime_r(&now, &utc) == nullptr) return {};
  return std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc) > 0 ? text.data() : "";
}

void RunFolder::prepare(const std::string& config_file, const std::string& resolved_yaml) const {
  write_text_file(folder_ / config_file, resolved_yaml);
  write_text_file(folder_ / "version.txt", fmt::format("tessera {}\n", tessera_version()));
}

}  // namespace tessera
