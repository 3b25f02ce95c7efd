#include "pipeline/segment/id_volume.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/hdf5/output_volume.h"
#include "io/stores/open_volume.h"

namespace tessera {

std::optional<JournalContents> IdVolume::earlier_journal() const {
  const std::filesystem::path file = journal_of(name_.file);
  if (!file_exists(name_.file) || !file_exists(file)) return std::nullopt;
  return read_journal(file);
}

std::optional<BlockPlan> IdVolume::earlier_blocks() const {
  const std::optional<JournalContents> earlier = earlier_journal();
  if (!earlier || !differences_between(earlier->head.job, job).empty()) return std::nullopt;
  return earlier->head.blocks;
}

bool IdVolume::is_outdated(const std::string& experiment) const {
  if (!file_exists(name_.file)) return false;
  try {
    const auto attributes = read_volume_info(name_).attributes;
    const auto maker = attributes.find("experiment"), then = attributes.find("job");
    if (maker == attributes.end() || then == attributes.end()) return false;
    const auto changes = differences_between(job_from_json(then->second, name_.text()), job);
    if (maker->second != experiment || changes.empty()) return false;
    spdlog::info("{} is replaced: it was made otherwise\n  {}", name_.text(), fmt::join(changes, "\n  "));
    return true;
  } catch (const Error&) {
    return false;  // find() says why
  }
}

void IdVolume::find(const BlockPlan& blocks, bool replace) {
  state_ = find_result(name_, setting_, job, {}, blocks, replace);
}

OutputLayout IdVolume::open(const OutputVolumeSpec& spec, const BlockPlan& blocks) {
  result_ = open_result(state_, spec, job, {}, blocks);
  lock_.hold_target();
  return result_->layout;
}

void IdVolume::complete(const std::string& attribute, const std::string& value) const {
  const auto attributes = read_volume_info(name_).attributes;
  const auto found = attributes.find(attribute);
  if (found == attributes.end() || !found->second.starts_with(kKnownLater)) return;
  complete_attribute(name_.file, result_->layout, found->second, value);
}

}  // namespace tessera
