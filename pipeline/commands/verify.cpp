#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <set>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "pipeline/blocks/result_check.h"
#include "pipeline/commands/block_options.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/result_argument.h"
#include "pipeline/run/next_step.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

/// Rewrites the journal without these blocks.
void forget(const DatasetName& result, const std::vector<DamagedBlock>& damaged) {
  const FileLock lock(result.file);
  const std::filesystem::path file = journal_of(result.file);
  const FileDescriptor journal = lock_journal(file);
  JournalContents contents = read_journal(file);
  std::set<std::int64_t> ids;
  for (const DamagedBlock& block : damaged)
    ids.insert(block.id);
  std::erase_if(contents.records, [&](const JournalRecord& record) { return ids.count(record.block) != 0; });
  write_journal(file, contents.head, contents.records, contents.starts);
}

/// Collective. Errors: AgreedError for damaged or missing blocks.
void verify(const DatasetName& result, bool forget_damaged, const CoordinatorOptions& limits,
            const Communicator& world) {
  const JournalContents journal = share_journal(result, world);
  const ResultCheck check = check_blocks(result, journal, limits, world);
  on_root(world, [&] {
    const std::int64_t all = journal.head.blocks.count(), known = all - journal.blocks_left();
    const std::int64_t skipped = known - check.blocks;
    std::string message =
        fmt::format("{}: {} blocks, {}, were read", result.text(), check.blocks, bytes_text(check.bytes));
    if (skipped > 0) message += fmt::format(", {} were skipped", skipped);
    if (check.damaged.empty() && known == all) {
      std::cout << message << ": all are as they were written\n" << std::flush;
      return;
    }
    if (known < all) {
      message += fmt::format(
          "; it is incomplete: {} of {} blocks ({:.1f} %) are done ('tessera infer' goes on with them)",
          known, all, 100.0 * static_cast<double>(known) / static_cast<double>(all));
    }
    if (!check.damaged.empty()) {
      message +=
          fmt::format("; {} are damaged:{}", check.damaged.size(), damage_text(check, journal.head.blocks));
      if (forget_damaged) {
        try {
          forget(result, check.damaged);
          message += "\nthese are removed from the journal: start 'tessera infer' again to predict them";
        } catch (const Error& error) {
          message += fmt::format("\nthey could not be removed from the journal: {}", error.what());
        }
      } else {
        message +=
            "\nwith --forget-damaged they are removed from the journal, and 'tessera infer' predicts them "
            "again";
      }
    }
    throw Error(message);
  });
}

}  // namespace

OptionTable verify_options() {
  po::options_description options("options");
  add_result_argument(options);
  options.add_options()(
      "forget-damaged",
      "remove damaged blocks from the journal: the next 'tessera infer' predicts them again");
  add_block_options(options);
  return options;
}

int run_verify(const OptionValues& values, const Communicator& world) {
  const bool forget_damaged = values.count("forget-damaged") != 0;
  const CoordinatorOptions limits = block_options(values);
  RankWatch::set_limit({limits.watchdog_s, limits.watchdog_setting});
  for_each_result(result_argument(values, world), world,
                  [&](const DatasetName& result) { verify(result, forget_damaged, limits, world); });
  if (world.is_root()) tell_next(command_text({"pack", values["result"].as<std::string>(), "--replace"}));
  return kExitDone;
}

}  // namespace tessera
