#include "pipeline/run/installed_file.h"

#include <filesystem>

namespace tessera {

std::string documentation(const std::string& page) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error) return page;
  const fs::path installed = program.parent_path().parent_path() / "share/doc/tessera" / page;
  return fs::is_regular_file(installed, error) ? installed.string() : page;
}

}  // namespace tessera
