#include "io/stores/result_completeness.h"

#include <fmt/format.h>

#include <filesystem>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/volume/block_journal.h"

namespace tessera {
namespace {

ResultCompleteness by_journal(const VolumeInfo& volume, const std::string& instance) {
  ResultCompleteness found;
  const std::filesystem::path file = journal_of(volume.name.file);
  try {
    if (!file_exists(file)) {
      found.problem = fmt::format("{} is missing, so what is done cannot be known", file.string());
      return found;
    }
    const JournalContents journal = read_journal(file);
    if (journal.head.instance != instance) {
      found.problem =
          fmt::format("{} belongs to another file, so what is done cannot be known", file.string());
      return found;
    }
    found.blocks = journal.head.blocks.count();
    found.done = found.blocks - journal.blocks_left();
  } catch (const Error& damaged) {
    found.problem = damaged.what();
    return found;
  }
  if (found.done < found.blocks) found.problem = done_text(found.done, found.blocks);
  return found;
}

}  // namespace

std::string done_text(std::int64_t done, std::int64_t blocks) {
  const double share = blocks == 0 ? 0 : 100 * static_cast<double>(done) / static_cast<double>(blocks);
  return fmt::format("{} of {} blocks ({:.1f} %) are done", done, blocks, share);
}

ResultCompleteness completeness_of(const VolumeInfo& volume) {
  const auto instance = volume.attributes.find("instance"), packed = volume.attributes.find("packed");
  if (instance == volume.attributes.end() || volume.attributes.count("job") == 0) return {};
  if (packed == volume.attributes.end()) return by_journal(volume, instance->second);
  ResultCompleteness copy;
  const std::size_t at = packed->second.find(kPackedIncomplete);
  if (at != std::string::npos)
    copy.problem = packed->second.substr(at + std::string(kPackedIncomplete).size());
  return copy;
}

ResultCompleteness require_complete(const VolumeInfo& volume, bool allowed) {
  ResultCompleteness found = completeness_of(volume);
  if (found.complete() || allowed) return found;
  throw UsageError(fmt::format(
      "{} is incomplete: {}. End it with 'tessera infer', or pass --allow-incomplete to take what is "
      "there (other blocks are 0).",
      volume.name.text(), found.problem));
}

}  // namespace tessera
