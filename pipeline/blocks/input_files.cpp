#include "pipeline/blocks/input_files.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>

#include "io/base/error.h"
#include "io/base/sha256.h"

namespace tessera {
namespace {

struct FileState {
  std::string bytes, modified;
};

FileState state_of(const std::filesystem::path& file) {
  struct stat found {};
  if (::stat(file.c_str(), &found) != 0)
    throw Error(fmt::format("cannot look at {}: {}", file.string(), errno_text(errno)));
  return {std::to_string(found.st_size),
          fmt::format("{}.{:09d}", found.st_mtim.tv_sec, found.st_mtim.tv_nsec)};
}

}  // namespace

void describe_files(const VolumeInfo& volume, const std::string& what, JobDescription& job) {
  const DatasetName& name = volume.name;
  constexpr std::size_t kMostListed = 16;
  const FileState named = state_of(name.file);
  job[what + ".file"] = std::filesystem::weakly_canonical(name.file).string();
  job[what + ".path"] = name.path;
  job[what + ".bytes"] = named.bytes;
  job[what + ".modified"] = named.modified;
  std::vector<std::filesystem::path> others = volume.files;
  std::erase(others, std::filesystem::weakly_canonical(name.file));
  Sha256 digest;
  for (std::size_t i = 0; i < others.size(); ++i) {
    const FileState state = state_of(others[i]);
    const std::string text =
        fmt::format("{}, {} bytes, modified {}", others[i].string(), state.bytes, state.modified);
    digest.add(text + "\n");
    if (i < kMostListed) job[fmt::format("{}.source {}", what, i)] = text;
  }
  if (others.size() > kMostListed)
    job[what + ".sources"] = fmt::format("{} files, sha256 {}", others.size(), digest.hex());
}

void require_own_file(const std::filesystem::path& output, const std::string& setting,
                      const std::vector<std::pair<const VolumeInfo*, std::string>>& inputs) {
  if (!std::filesystem::exists(output)) return;
  for (const auto& [input, what] : inputs) {
    for (const std::filesystem::path& held : input->files) {
      if (!std::filesystem::equivalent(output, held)) continue;
      throw UsageError(fmt::format("{}: {} is the {}'s own file (of {}); results have a file of their own",
                                   setting, output.string(), what, input->name.text()));
    }
  }
}

}  // namespace tessera
