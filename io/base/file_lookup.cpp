#include "io/base/file_lookup.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>

#include "io/base/error.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// The status of what a path leads to. Errors: Error when that cannot be found out.
fs::file_status status_of(const fs::path& path) {
  std::error_code code;
  const fs::file_status status = fs::status(path, code);
  if (!fs::status_known(status))
    throw Error(fmt::format("cannot look for {}: {}", path.string(), code.message()));
  return status;
}

}  // namespace

bool file_exists(const fs::path& file) {
  return fs::exists(status_of(file));
}

bool is_folder(const fs::path& path) {
  return fs::is_directory(status_of(path));
}

bool is_same_file(const fs::path& one, const fs::path& other) {
  if (!file_exists(one) || !file_exists(other)) return false;
  std::error_code code;
  const bool is_same = fs::equivalent(one, other, code);
  if (code)
    throw Error(fmt::format("cannot compare {} with {}: {}", one.string(), other.string(), code.message()));
  return is_same;
}

std::vector<fs::path> paths_in(const fs::path& folder) {
  std::vector<fs::path> paths;
  std::error_code code;
  fs::directory_iterator entry(folder, code);
  for (; !code && entry != fs::directory_iterator(); entry.increment(code))
    paths.push_back(entry->path());
  if (code && code != std::errc::no_such_file_or_directory)
    throw Error(fmt::format("cannot list {}: {}", folder.string(), code.message()));
  std::ranges::sort(paths);
  return paths;
}

}  // namespace tessera
