#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/packed_volume.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/blocks/packing.h"
#include "pipeline/blocks/result_check.h"
#include "pipeline/blocks/result_state.h"
#include "pipeline/commands/block_options.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/result_argument.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/run/next_step.h"
#include "workers/mpi/agreement.h"
#include "workers/mpi/rank_watch.h"

namespace tessera {
namespace {

namespace po = boost::program_options;

struct PackOptions {
  DatasetName from, to;
  bool replace = false, allow_incomplete = false, overwrite = false;
  int level = 4;
  CoordinatorOptions limits;
};

/// The options shared by all results, without `from` and `to`.
PackOptions read_options(const po::variables_map& values) {
  PackOptions options;
  options.replace = values.count("replace") != 0;
  options.allow_incomplete = values.count("allow-incomplete") != 0;
  options.overwrite = values.count("overwrite") != 0;
  options.level = values["gzip"].as<int>();
  if (options.level < 1 || options.level > 9)
    throw UsageError(fmt::format("--gzip {}: 1 (fast) to 9 (small)", options.level));
  if (options.replace == (values.count("output") != 0))
    throw UsageError(fmt::format("name an output, or pass --replace\nusage: {}", usage_of("pack")));
  if (options.replace && options.allow_incomplete) {
    throw UsageError(
        "--replace and --allow-incomplete exclude each other: a packed result cannot be continued");
  }
  options.limits = block_options(values);
  RankWatch::set_limit({options.limits.watchdog_s, options.limits.watchdog_setting});
  if (!options.replace) options.to = parse_dataset_name(values["output"].as<std::string>());
  return options;
}

void require_fit(const PackOptions& options, const JournalContents& journal) {
  const std::int64_t left = journal.blocks_left(), all = journal.head.blocks.count();
  if (left > 0 && !options.allow_incomplete) {
    throw UsageError(
        fmt::format("{} is incomplete: {} of {} blocks are done; end it with 'tessera infer', or pass "
                    "--allow-incomplete",
                    options.from.text(), all - left, all));
  }
  if (options.replace || !std::filesystem::exists(options.to.file)) return;
  if (is_same_file(options.from.file, options.to.file)) {
    throw UsageError(
        fmt::format("{} is the result itself: pass --replace in place of a name", options.to.file.string()));
  }
  if (!options.overwrite)
    throw UsageError(
        fmt::format("{} exists already; pass --overwrite to replace it", options.to.file.string()));
  if (is_hdf5_file(options.to.file)) require_nothing_else(options.to, "output");
}

/// Collective.
void pack(const PackOptions& options, const Communicator& world) {
  // The source must not change while it is packed, and no other process may write the output.
  FileLock source, target;
  FileDescriptor lock;
  on_root(world, [&] {
    if (std::filesystem::exists(options.from.file)) source = FileLock(options.from.file);
    if (!options.replace && !is_same_file(options.from.file, options.to.file))
      target = FileLock(options.to.file);
  });
  const JournalContents journal = share_journal(options.from, world);

  OutputLayout layout;
  std::unique_ptr<PackedVolume> packed;
  on_every_rank(world, [&] { layout = read_output_layout(options.from); });
  on_root(world, [&] {
    require_fit(options, journal);
    lock = lock_journal(journal_of(options.from.file));
    const std::int64_t left = journal.blocks_left(), all = journal.head.blocks.count();
    const std::string note = left == 0 ? "" : kPackedIncomplete + done_text(all - left, all);
    packed = std::make_unique<PackedVolume>(options.from, layout, options.to, options.level, note);
  });
  const PackSums sums =
      pack_chunks(options.from.file, layout, options.level, packed.get(), options.limits, world);
  std::string staged_file;
  on_root(world, [&] {
    packed->close();
    staged_file = packed->staged().file.string();
  });
  world.broadcast(staged_file);

  // The packed copy, read through HDF5's filters, must equal what the workers wrote.
  const ResultCheck check = check_blocks({staged_file, options.to.path}, journal, options.limits, world);
  on_root(world, [&] {
    if (!check.damaged.empty()) {
      throw Error(fmt::format(
          "{} blocks do not come back as they were written, and nothing was kept ('tessera verify {}' tells "
          "whether the result itself is damaged):{}",
          check.damaged.size(), options.from.text(), damage_text(check, journal.head.blocks)));
    }
    packed->commit();
    std::cout << fmt::format("{}: {} in {} chunks became {} ({:.2f} times smaller), {} blocks compared\n",
                             options.to.text(), bytes_text(sums.bytes), sums.chunks,
                             bytes_text(sums.packed_bytes),
                             static_cast<double>(sums.bytes) /
                                 static_cast<double>(std::max<std::int64_t>(1, sums.packed_bytes)),
                             check.blocks)
              << (journal.blocks_left() == 0
                      ? ""
                      : fmt::format("incomplete: {}\n",
                                    done_text(journal.head.blocks.count() - journal.blocks_left(),
                                              journal.head.blocks.count())))
              << std::flush;
  });
}

/// Collective. Whether an earlier start has packed this result. Prints a message if so.
bool is_packed(const DatasetName& result, const Communicator& world) {
  bool packed = false;
  on_root(world, [&] {
    packed = !read_volume_info(result).filters.empty();
    if (packed) std::cout << result.text() << " is packed already\n" << std::flush;
  });
  return world.any(packed);
}

}  // namespace

OptionTable pack_options() {
  po::options_description described("options");
  add_result_argument(described);
  auto add = described.add_options();
  add("output", po::value<std::string>(), "where the packed copy goes, FILE.h5:/path; a file of its own");
  add("replace", "put the packed copy in the result's place");
  add("gzip", po::value<int>()->default_value(4), "1 (fast) to 9 (small)");
  add("allow-incomplete", "pack a result that is not whole");
  add("overwrite", "replace an output that exists already");
  add_block_options(described);
  return described;
}

int run_pack(const OptionValues& values, const Communicator& world) {
  const PackOptions options = read_options(values);
  const std::vector<NamedResult> results = result_argument(values, world);
  if (results.size() > 1 && !options.replace) {
    throw UsageError(fmt::format(
        "{} results do not fit into one output: pass --replace, or choose one by --volume", results.size()));
  }
  for_each_result(results, world, [&](const DatasetName& result) {
    if (options.replace && is_packed(result, world)) return;
    PackOptions own = options;
    own.from = result;
    if (own.replace) own.to = result;
    pack(own, world);
  });
  if (world.is_root()) {
    const DatasetName& first = options.replace ? results.front().result : options.to;
    tell_next(command_text({"info", first.file.string()}));
  }
  return kExitDone;
}

}  // namespace tessera
