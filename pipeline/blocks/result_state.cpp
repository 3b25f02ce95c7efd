#include "pipeline/blocks/result_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <vector>

#include "io/base/error.h"
#include "io/base/log.h"
#include "io/base/sha256.h"
#include "io/hdf5/hdf5_listing.h"
#include "io/stores/open_volume.h"

namespace tessera {
namespace {

constexpr auto kJobNotes = "job_notes";

/// The attributes of the existing result. Errors: UsageError when the file holds no result of that name.
std::map<std::string, std::string> attributes_of_result(const DatasetName& output,
                                                        const std::string& output_setting) {
  std::map<std::string, std::string> attributes;
  std::string why;  // such as: not HDF5, or without that dataset
  try {
    attributes = read_volume_info(output).attributes;
  } catch (const Error& error) {
    why = fmt::format(" ({})", error.what());
  }
  if (attributes.count("tessera_version") == 0) {
    throw UsageError(
        fmt::format("{} exists already and holds no earlier result of the name {}{}; the whole file would be "
                    "replaced: remove it yourself, or set another {}",
                    output.file.string(), output.path, why, output_setting));
  }
  return attributes;
}

void require_same_job(const DatasetName& output, const std::string& output_setting,
                      const JobDescription& then, const JobDescription& now, const JobNotes& then_notes,
                      const JobNotes& now_notes) {
  const std::vector<std::string> differences = differences_between(then, now, then_notes, now_notes);
  if (differences.empty()) return;
  throw UsageError(fmt::format(
      "{} exists already and is the result of another job:\n  {}\npass --restart to start over, or "
      "set another {}",
      output.file.string(), fmt::join(differences, "\n  "), output_setting));
}

/// The blocks follow from the job. Errors: Error when a journal of the same job has others.
void require_same_blocks(const std::filesystem::path& journal, const BlockPlan& then, const BlockPlan& now) {
  if (then.region() == now.region() && then.block_shape() == now.block_shape()) return;
  throw Error(
      fmt::format("{} is damaged: it has blocks of {} over {}, its job has blocks of {} over {}: pass "
                  "--restart to start over",
                  journal.string(), to_string(then.block_shape()), to_string(then.region()),
                  to_string(now.block_shape()), to_string(now.region())));
}

/// The journal of the volume `instance`, if it exists.
std::optional<JournalContents> find_journal(const DatasetName& output, const std::string& instance) {
  const std::filesystem::path file = journal_of(output.file);
  if (!std::filesystem::exists(file)) {
    spdlog::warn("{} is missing: no block of {} is known to be done, all blocks are computed again",
                 file.string(), output.file.string());
    return std::nullopt;
  }
  JournalContents contents = read_journal(file);
  if (contents.head.instance != instance) {
    spdlog::warn(
        "{} belongs to another file than {}: no block is known to be done, all blocks are computed again",
        file.string(), output.file.string());
    return std::nullopt;
  }
  if (contents.damaged > 0) {
    spdlog::warn("{}: {} records are damaged; their blocks are computed again", file.string(),
                 contents.damaged);
  }
  if (contents.torn_bytes > 0) {
    spdlog::warn("{}: the last record was cut short; its block is computed again", file.string());
  }
  return contents;
}

}  // namespace

void require_nothing_else(const DatasetName& output, const std::string& output_setting) {
  std::vector<std::string> others;
  for (const Hdf5Entry& entry : list_hdf5_file(output.file).entries) {
    const bool links_raw = entry.kind == Hdf5Entry::Kind::external_link && entry.path == "/volumes/raw";
    if (entry.path != output.path && !links_raw) others.push_back(entry.path);
  }
  if (others.empty()) return;
  throw UsageError(fmt::format(
      "{} also holds {}, which would be lost, because the whole file is replaced: copy that to another "
      "file first and remove this one, or set another {}",
      output.file.string(), fmt::join(others, ", "), output_setting));
}

ResultState find_result(const DatasetName& output, const std::string& output_setting,
                        const JobDescription& job, const JobNotes& notes, const BlockPlan& blocks,
                        bool restart) {
  ResultState state;
  const std::filesystem::path journal = journal_of(output.file);
  if (!std::filesystem::exists(output.file)) return state;
  const std::map<std::string, std::string> attributes = attributes_of_result(output, output_setting);
  if (std::filesystem::exists(journal))
    lock_journal(journal);  // rejects a result that another process is writing
  if (restart) {
    require_nothing_else(output, output_setting);
    return state;
  }
  const auto then = attributes.find("job"), instance = attributes.find("instance");
  if (then == attributes.end() || instance == attributes.end()) {
    throw UsageError(fmt::format(
        "{} exists already, and lacks the attributes of its job: pass --restart to start over, or set "
        "another {}",
        output.file.string(), output_setting));
  }
  const auto noted = attributes.find(kJobNotes);  // older results have none
  const JobNotes then_notes =
      noted == attributes.end() ? JobNotes() : job_from_json(noted->second, output.text());
  require_same_job(output, output_setting, job_from_json(then->second, output.text()), job, then_notes,
                   notes);
  state.instance = instance->second;
  state.journal = find_journal(output, state.instance);
  if (state.journal) {
    require_same_job(output, output_setting, state.journal->head.job, job, then_notes, notes);
    require_same_blocks(journal, state.journal->head.blocks, blocks);
  }
  const bool complete = state.journal && state.journal->blocks_left() == 0;
  state.kind = complete ? ResultState::Kind::complete : ResultState::Kind::going_on;
  if (!complete && attributes.count("packed") != 0) {
    throw UsageError(
        fmt::format("{} was packed and cannot be continued: pass --restart to start over, or set another "
                    "{}",
                    output.file.string(), output_setting));
  }
  return state;
}

OpenResult open_result(const ResultState& state, OutputVolumeSpec spec, const JobDescription& job,
                       const JobNotes& notes, const BlockPlan& blocks) {
  OpenResult result;
  const std::filesystem::path file = journal_of(spec.name.file);
  std::string instance = state.instance;
  if (state.kind == ResultState::Kind::fresh) {
    instance = random_hex(16);
    spec.attributes["instance"] = instance;
    spec.attributes["job"] = json_of(job);
    if (!notes.empty()) spec.attributes[kJobNotes] = json_of(notes);
    result.layout = create_output_volume(spec);
  } else {
    result.layout = read_output_layout(spec.name);
  }
  if (!state.journal) write_journal(file, {instance, job, blocks}, {}, 0);
  result.contents = read_journal(file);
  result.journal = std::make_unique<BlockJournal>(file, result.contents);
  return result;
}

}  // namespace tessera
