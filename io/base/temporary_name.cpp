#include "io/base/temporary_name.h"

#include <fmt/format.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <vector>

#include "io/base/crc32c.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/process_id.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestFileName = 255;
constexpr std::size_t kLongestStem = 120;  // the rest is for the process
constexpr std::string_view kExtension = ".tmp";
constexpr auto kAbandonedAfter = std::chrono::hours(24);

std::string stem_of(const fs::path& target) {
  return shortened_name(target.filename().string(), kLongestStem) + "~";
}

/// As stem_of() for the target of a temporary name.
std::string_view stem_in(std::string_view name) {
  return name.substr(0, name.rfind('~') + 1);  // a process has no ~
}

/// The process of a temporary name; nothing when `name` is no temporary name of this stem.
std::optional<ProcessId> process_of(std::string_view name, std::string_view stem) {
  if (stem.empty() || !name.starts_with(stem) || !name.ends_with(kExtension) ||
      name.size() < stem.size() + kExtension.size())
    return std::nullopt;
  name.remove_prefix(stem.size());
  name.remove_suffix(kExtension.size());
  const std::size_t dash = name.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const std::string_view number = name.substr(dash + 1);
  std::uint64_t count = 0;
  const auto [end, code] = std::from_chars(number.data(), number.data() + number.size(), count);
  if (code != std::errc{} || end != number.data() + number.size()) return std::nullopt;
  return parse_process_id(name.substr(0, dash));
}

bool is_stale(const fs::directory_entry& entry, const ProcessId& process) {
  const ProcessState state = state_of(process);
  if (state != ProcessState::elsewhere) return state == ProcessState::ended;
  std::error_code code;
  const auto written = entry.last_write_time(code);
  return !code && fs::file_time_type::clock::now() - written > kAbandonedAfter;
}

/// `stem_for(name)`: the stem that a temporary name has to have.
template <class Stem, class Chosen>
std::vector<fs::path> temporaries(const fs::path& folder, Stem&& stem_for, std::error_code& code,
                                  Chosen&& is_chosen) {
  std::vector<fs::path> found;
  fs::directory_iterator entry(folder, code);
  for (; !code && entry != fs::directory_iterator(); entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    const auto process = process_of(name, stem_for(name));
    if (process && is_chosen(*entry, *process)) found.push_back(entry->path());
  }
  return found;
}

template <class Chosen>
std::vector<fs::path> temporaries_of(const fs::path& target, std::error_code& code, Chosen&& is_chosen) {
  const std::string stem = stem_of(target);
  return temporaries(
      folder_of(target), [&](const std::string&) { return std::string_view(stem); }, code, is_chosen);
}

void remove_all_of(const std::vector<fs::path>& files) {
  std::error_code ignored;  // the next write tries again
  for (const fs::path& one : files)
    fs::remove_all(one, ignored);
}

}  // namespace

std::string shortened_name(const std::string& name, std::size_t bytes) {
  if (name.size() <= bytes) return name;
  const std::uint32_t sum = crc32c(std::as_bytes(std::span(name.data(), name.size())));
  return fmt::format("{}~{:08x}", name.substr(0, bytes - 9), sum);
}

fs::path temporary_name(const fs::path& target) {
  static std::atomic<std::uint64_t> count = 0;
  std::string name = stem_of(target);
  name += fmt::format("{}-{}{}", text_of(this_process()), ++count, kExtension);
  return target.parent_path() / name.substr(0, kLongestFileName);
}

std::vector<fs::path> stale_temporaries(const fs::path& target) {
  std::error_code ignored;  // what is left is looked for again before the next write
  return temporaries_of(target, ignored, is_stale);
}

std::vector<fs::path> all_temporaries(const fs::path& target) {
  std::error_code code;
  std::vector<fs::path> found = temporaries_of(target, code, [](const auto&, const auto&) { return true; });
  if (code && code != std::errc::no_such_file_or_directory)
    throw Error(fmt::format("cannot list {}: {}", folder_of(target).string(), code.message()));
  return found;
}

void remove_stale_temporaries(const fs::path& target) {
  remove_all_of(stale_temporaries(target));
}

void remove_stale_temporaries_in(const fs::path& folder) {
  std::error_code ignored;  // as above
  remove_all_of(temporaries(
      folder, [](const std::string& name) { return stem_in(name); }, ignored, is_stale));
}

fs::path resolve_links(const fs::path& file) {
  constexpr int kMostLinks = 40;  // as the kernel
  fs::path at = file;
  for (int links = 0; links < kMostLinks; ++links) {
    std::error_code code;
    const fs::file_status status = fs::symlink_status(at, code);
    if (code == std::errc::permission_denied) return at;  // writing it fails, with a better message
    if (!fs::status_known(status))
      throw Error(fmt::format("cannot look for {}: {}", at.string(), code.message()));
    if (!fs::is_symlink(status)) {
      if (links == 0 || file_exists(folder_of(at))) return at;
      throw Error(fmt::format("cannot write {}: it is a link to {}, and that folder does not exist",
                              file.string(), at.string()));
    }
    const fs::path to = fs::read_symlink(at, code);
    if (code) throw Error(fmt::format("cannot read the link {}: {}", at.string(), code.message()));
    at = at.parent_path() / to;  // an absolute `to` replaces all before it
  }
  throw Error(fmt::format("cannot write {}: its symbolic links lead back to it", file.string()));
}

}  // namespace tessera
