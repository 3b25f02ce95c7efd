#include "pipeline/segment/segment_volume.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "io/base/clock.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "io/base/log.h"
#include "io/base/sha256.h"
#include "io/graph/object_table_file.h"
#include "io/hdf5/output_volume.h"
#include "io/stores/open_volume.h"
#include "pipeline/blocks/block_run.h"
#include "pipeline/blocks/input_files.h"
#include "pipeline/blocks/result_state.h"
#include "pipeline/run/prediction_meaning.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/volume_look_up.h"
#include "pipeline/segment/chosen_threshold.h"
#include "pipeline/segment/first_pass.h"
#include "pipeline/segment/segmentation_plan.h"
#include "pipeline/segment/segmentation_report.h"
#include "pipeline/segment/tree_cut.h"
#include "workers/mpi/agreement.h"
#include "workers/segment/segment_tasks.h"
#include "workers/segment/volume_graph.h"

namespace tessera {
namespace {

/// The prediction's offset, moved to the region's begin.
std::vector<double> offset_of_region(const SegmentationPlan& plan, const VolumeInfo& prediction) {
  if (plan.region == Box::of_shape(prediction.shape)) return prediction.offset_nm;
  std::vector<double> offset =
      prediction.offset_nm.size() == 3 ? prediction.offset_nm : std::vector<double>(3, 0.0);
  for (int axis = 0; axis < 3; ++axis) {
    const auto at = static_cast<std::size_t>(axis);
    const double voxel = prediction.resolution_nm.size() == 3 ? prediction.resolution_nm[at] : 1.0;
    offset[at] += static_cast<double>(plan.region.begin[axis]) * voxel;
  }
  return offset;
}

/// Names the first pass and its files.
std::string first_pass_digest(const JournalHead& head) {
  return sha256_of(digest_of(head.job) + head.instance);
}

/// One start of a segmentation, step by step. Every rank runs the same steps.
class VolumeSegmentation {
 public:
  VolumeSegmentation(const ExperimentConfig& config, const SegmentationStart& start,
                     const Communicator& world)
      : config_(config),
        segment_(config.segment),
        start_(start),
        world_(world),
        folder_(config.run_folder),
        is_worker_(world.size() == 1 || !world.is_root()) {}

  void run() {
    plan();
    find();
    if (world_.any(state_.kind == ResultState::Kind::complete)) return;
    open();
    try {
      make_graph();
      second_pass();
    } catch (const StoppedEarly&) {
      record_failure(RunEnd::stopped);
      throw;
    } catch (const std::exception&) {
      record_failure(RunEnd::failed);
      throw;
    }
    conclude();
  }

 private:
  void plan() {
    inputs_.prediction = look_up_volume(*segment_.prediction, world_);
    if (segment_.mask) inputs_.mask = look_up_volume(*segment_.mask, world_);
    if (start_.cut) segment_.choose = ThresholdChoice::none;
    if (segment_.choose != ThresholdChoice::none)
      inputs_.choose_labels = look_up_volume(*segment_.choose_labels, world_);
    on_every_rank(world_, [&] { plan_ = plan_segmentation(segment_, inputs_); });
    if (start_.cut) plan_cut();
    on_every_rank(world_, [&] {
      const std::int64_t needed = plan_.memory_per_worker(size_of(inputs_.prediction.type));
      const std::int64_t available =
          segment_.memory_budget > 0 ? segment_.memory_budget : available_memory(start_.device);
      if (is_worker_ && needed > available) {
        throw UsageError(fmt::format(
            "a worker needs about {} for a block of {}, but {} are available to each: set a smaller "
            "segment.block, or start fewer workers per node",
            bytes_text(needed), to_string(plan_.blocks.block_shape()), bytes_text(available)));
      }
    });
  }

  /// Collective. Takes the thresholds and the blocks of the run that the cut equals.
  void plan_cut() {
    std::vector<double> thresholds;
    Index3 block = plan_.blocks.block_shape();
    on_root(world_, [&] {
      if (plan_.components)
        throw UsageError("--cut: connected components have no tree of merges: set segment.threshold");
      const std::filesystem::path& output = segment_.output->file;
      const JournalHead first =
          finished_first_pass(graph_folder_of(output), describe_first_pass(segment_, plan_, inputs_)).head;
      require_supervoxel_tables(graph_folder_of(output) / "tables.supervoxels", first_pass_digest(first));
      const StoredGraph graph(graph_file_of(output), first.instance);
      thresholds = thresholds_of_cut(graph, segment_, plan_.mode, *start_.cut);
      segment_.thresholds = thresholds;
      require_same_tree(graph, describe_segmentation(segment_, plan_, inputs_));
      block = first.blocks.block_shape();
      for (int axis = 0; axis < 3; ++axis) {
        if (block[axis] < plan_.region.shape()[axis] && block[axis] % plan_.chunk[axis] != 0) {
          throw UsageError(fmt::format(
              "segment.chunk: {} does not divide the blocks of the tree, {}: change it, or leave it out",
              to_string(plan_.chunk), to_string(block)));
        }
      }
    });
    auto count = static_cast<std::int64_t>(thresholds.size());
    world_.broadcast(std::as_writable_bytes(std::span(&count, 1)));
    thresholds.resize(static_cast<std::size_t>(count));
    world_.broadcast(std::as_writable_bytes(std::span(thresholds)));
    world_.broadcast(std::as_writable_bytes(std::span(&block, 1)));
    segment_.thresholds = thresholds;
    segment_.threshold = thresholds.back();
    on_every_rank(world_, [&] { plan_ = plan_segmentation(segment_, inputs_); });
    plan_.blocks = BlockPlan(plan_.region.shape(), block);
  }

  /// A cut replaces the result of another cut, or of the run that made the tree.
  bool replaces() const {
    const std::filesystem::path file = journal_of(segment_.output->file);
    if (start_.restart || !start_.cut || !file_exists(segment_.output->file) || !file_exists(file))
      return start_.restart;
    const JobDescription then = read_journal(file).head.job;
    return !differences_between(then, job_).empty() && are_of_one_tree(then, job_);
  }

  /// Warns when a volume that does not say what it holds looks like ids.
  void doubt_ids() const {
    const VolumeInfo& prediction = inputs_.prediction;
    if (segment_.of_labels || meaning_of(prediction).values != PredictionMeaning::Values::unknown) return;
    constexpr std::int64_t kSide = 512;
    const Index3 end = plan_.region.end;
    const Index3 begin{(plan_.region.begin.z + end.z) / 2, std::max(plan_.region.begin.y, end.y - kSide),
                       std::max(plan_.region.begin.x, end.x - kSide)};
    const VoxelBuffer voxels = open_volume(prediction.name)->read({begin, {begin.z + 1, end.y, end.x}});
    if (!looks_like_ids(voxels)) return;
    spdlog::warn(
        "segment.prediction: {} looks like ids or classes, not like a probability: set "
        "segment.method: components and segment.components_of: labels for ids",
        prediction.name.text());
  }

  /// Warns when the threshold is chosen on sections that are scored.
  void doubt_choice() const {
    const auto& scored = config_.evaluate.sections;
    if (segment_.choose == ThresholdChoice::none || !scored) return;
    if (segment_.choose_sections->begin >= scored->end || scored->begin >= segment_.choose_sections->end)
      return;
    spdlog::warn(
        "segment.choose_sections: {}:{} share sections with evaluate.sections, {}:{}: scores on them are too "
        "good. Choose on others",
        segment_.choose_sections->begin, segment_.choose_sections->end, scored->begin, scored->end);
  }

  /// Finds the existing result, if any. A job that goes on keeps its blocks.
  void find() {
    Index3 block = plan_.blocks.block_shape();
    on_root(world_, [&] {
      lock_ = FileLock(segment_.output->file);
      std::vector<std::pair<const VolumeInfo*, std::string>> read{{&inputs_.prediction, "prediction"}};
      if (inputs_.mask) read.emplace_back(&*inputs_.mask, "mask");
      require_own_file(segment_.output->file, "segment.output", read);
      doubt_ids();
      doubt_choice();
      job_ = describe_segmentation(segment_, plan_, inputs_);
      replaces_ = replaces() || (start_.update && is_outdated());
      if (!start_.cut) keep_blocks_of_earlier_start();
      block = plan_.blocks.block_shape();
      state_ = find_result(*segment_.output, "segment.output", job_, {}, plan_.blocks, replaces_);
      if (state_.kind != ResultState::Kind::complete) return;
      std::cout
          << fmt::format(
                 "every one of the {} blocks is done already: nothing to segment (--restart starts over)\n"
                 "result: {}\n",
                 plan_.blocks.count(), segment_.output->text())
          << std::flush;
    });
    world_.broadcast(std::as_writable_bytes(std::span(&block, 1)));
    plan_.blocks = BlockPlan(plan_.region.shape(), block);
  }

  /// Whether this experiment made the existing result with other keys, or of another prediction.
  bool is_outdated() const {
    if (!std::filesystem::exists(segment_.output->file)) return false;
    try {
      const auto attributes = read_volume_info(*segment_.output).attributes;
      const auto experiment = attributes.find("experiment"), then = attributes.find("job");
      if (experiment == attributes.end() || then == attributes.end()) return false;
      const auto changes = differences_between(job_from_json(then->second, segment_.output->text()), job_);
      if (experiment->second != config_.name || changes.empty()) return false;
      spdlog::info("{} is replaced: it was made otherwise\n  {}", segment_.output->text(),
                   fmt::join(changes, "\n  "));
      return true;
    } catch (const Error&) {
      return false;  // find_result() says why
    }
  }

  void keep_blocks_of_earlier_start() {
    const std::filesystem::path file = journal_of(segment_.output->file);
    if (replaces_ || !std::filesystem::exists(segment_.output->file) || !std::filesystem::exists(file))
      return;
    const JournalContents earlier = read_journal(file);
    const bool same = differences_between(earlier.head.job, job_).empty() &&
                      earlier.head.blocks.region() == plan_.blocks.region();
    if (!same || earlier.head.blocks.block_shape() == plan_.blocks.block_shape()) return;
    spdlog::info("going on with blocks of {}, as begun", to_string(earlier.head.blocks.block_shape()));
    plan_.blocks = earlier.head.blocks;
  }

  std::string threshold_text() const {
    if (segment_.choose == ThresholdChoice::none) return fmt::format("{}", segment_.threshold);
    return fmt::format("chosen by {} on sections {}:{} of {}", name_of(segment_.choose),
                       segment_.choose_sections->begin, segment_.choose_sections->end,
                       segment_.choose_labels->text());
  }

  OutputVolumeSpec output_spec() const {
    OutputVolumeSpec spec;
    spec.name = *segment_.output;
    spec.type = plan_.type();
    spec.shape = plan_.region.shape();
    spec.chunk = plan_.chunk;
    spec.resolution_nm = inputs_.prediction.resolution_nm;
    spec.offset_nm = offset_of_region(plan_, inputs_.prediction);
    const auto& predicted = config_.infer.output;
    if (config_.infer.raw && predicted && predicted->text() == segment_.prediction->text())
      spec.raw = config_.infer.raw;
    spec.attributes = {{"tessera_version", tessera_version()}, {"experiment", config_.name},
                       {"meaning", "ids of objects; 0: none"}, {"prediction", segment_.prediction->text()},
                       {"threshold", threshold_text()},        {"objects", kKnownLater + random_hex(16)},
                       {"config", config_.resolved_yaml}};
    if (start_.cut) spec.attributes["cut"] = fmt::format("{}", *start_.cut);
    return spec;
  }

  /// Creates or opens the result and the folder of the graph.
  void open() {
    job_of_workers_ = {*segment_.prediction,
                       segment_.mask,
                       plan_.region,
                       plan_.blocks,
                       plan_.graph,
                       plan_.components,
                       plan_.background_below,
                       graph_folder_of(segment_.output->file),
                       *segment_.output,
                       {0, plan_.type(), plan_.region.shape(), plan_.chunk},
                       std::clamp(start_.device.threads, 1, 8)};
    OutputLayout& layout = job_of_workers_.layout;
    on_root(world_, [&] {
      folder_.prepare("segmentation.yaml", config_.resolved_yaml);
      add_log_file(folder_.log());
      result_ = open_result(state_, output_spec(), job_, {}, plan_.blocks);
      lock_.hold_target();
      layout = result_->layout;
      first_ = std::make_unique<FirstPassFolder>(job_of_workers_.folder,
                                                 describe_first_pass(segment_, plan_, inputs_), plan_.blocks);
      report_.result = segment_.output->text();
      report_.stages = stages_text(segment_, plan_);
      report_.threshold = segment_.threshold;
      spdlog::info("segmenting {}\n{}", segment_.prediction->text(), plan_text(plan_, inputs_));
    });
    world_.broadcast(std::as_writable_bytes(std::span(&layout.base, 1)));
    world_.broadcast(std::as_writable_bytes(std::span(&layout.mark_at, 1)));
    world_.broadcast(layout.mark);
  }

  BlockJob block_job(const JournalContents& journal, const char* verb, const char* done) const {
    BlockJob job = block_job_over(journal);
    job.verb = verb;
    job.names.done = done;
    job.should_stop = [this] { return start_.signal.asked(); };
    job.time_allows = [this](double seconds) { return start_.wall_time.allows(seconds); };
    job.limits.max_retries = segment_.max_retries;
    job.limits.watchdog_s = 60 * segment_.watchdog_minutes;
    job.limits.watchdog_setting = "segment.watchdog_minutes";
    return job;
  }

  /// Collective. Runs a pass over the blocks that the root's journal lacks. Errors: those of the blocks.
  template <class Task>
  void run_pass(const char* step, std::int64_t blocks_left,
                const std::function<std::unique_ptr<BlockRun>()>& make_run, BlockRunReport& report) {
    if (!world_.any(world_.is_root() && blocks_left > 0)) return;
    on_root(world_, [&] { record_step(step, plan_.blocks.count() - blocks_left); });
    std::unique_ptr<Task> task;
    if (is_worker_) task = std::make_unique<Task>(job_of_workers_);
    std::unique_ptr<BlockRun> run;
    on_root(world_, [&] { run = make_run(); });
    run_blocks(task.get(), run.get(), start_.device.text(), world_);
    on_root(world_, [&] {
      report = run->end();
      report.require_done();
    });
  }

  std::filesystem::path record_file() const { return folder_.path() / "segmentation.json"; }
  void write_record() const { write_text_file(record_file(), json_text(report_.json(), 2) + "\n"); }

  /// On the root. `status` reads it.
  void record_step(const char* step, std::int64_t blocks_before) {
    report_.step = step;
    report_.blocks_before = blocks_before;
    report_.step_begin_s =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    write_record();
  }

  /// The error that ends this start is more important than one here.
  void record_failure(RunEnd end) {
    if (!world_.is_root()) return;
    try {
      report_.end = end;
      write_record();
    } catch (const std::exception& problem) {
      spdlog::warn("{}", problem.what());
    }
  }

  void first_pass() {
    run_pass<BlockGraphTask>(
        "first pass", first_ ? first_->contents().blocks_left() : 0,
        [&] {
          return std::make_unique<BlockRun>(block_job(first_->contents(), "segment, pass 1 of 2", "analysed"),
                                            first_->open());
        },
        report_.first);
    on_root(world_, [&] { first_->refresh(); });
  }

  /// Collective. The graph files of this rank's share. Blocks whose files are bad are computed again, once.
  GraphShare whole_share() {
    for (int tries = 0;; ++tries) {
      first_pass();
      std::vector<std::uint32_t> crcs(static_cast<std::size_t>(plan_.blocks.count()));
      if (first_) crcs = first_->crcs();
      world_.broadcast(std::as_writable_bytes(std::span(crcs)));
      GraphShare share;
      on_every_rank(world_,
                    [&] { share = read_graph_share(job_of_workers_, crcs, world_.rank(), world_.size()); });
      std::vector<std::int64_t> bad(crcs.size());
      for (const std::int64_t one : share.bad)
        bad[static_cast<std::size_t>(one)] = 1;
      world_.sum(bad);
      std::vector<std::int64_t> blocks;
      for (std::size_t i = 0; i < bad.size(); ++i) {
        if (bad[i] != 0) blocks.push_back(static_cast<std::int64_t>(i));
      }
      if (blocks.empty()) return share;
      on_root(world_, [&] {
        if (tries > 0) {
          throw Error(
              fmt::format("{}: the graph files of {} blocks cannot be read, such as block {}: look at the "
                          "disk, then start again",
                          job_of_workers_.folder.string(), blocks.size(), blocks.front()));
        }
        spdlog::warn(
            "{}: the graph files of {} blocks are damaged, such as block {}; they are computed again",
            job_of_workers_.folder.string(), blocks.size(), blocks.front());
        first_->forget(blocks);
      });
    }
  }

  /// Whether an earlier start has finished the graph of this job. Then its sums are known.
  bool graph_is_done(const std::string& digest) {
    constexpr std::int64_t kMostRecord = 1 << 26;
    if (!file_exists(record_file())) return false;
    const auto sums =
        graph_sums_in(parse_json<nlohmann::json>(file_text(record_file(), kMostRecord)), digest);
    if (!sums) return false;
    report_.sums = *sums;
    report_.graph_digest = digest;
    if (first_->contents().blocks_left() > 0 || !file_exists(job_of_workers_.tables())) return false;
    if (!plan_.components && !file_exists(graph_file_of(segment_.output->file))) return false;
    try {
      const ObjectTables tables(job_of_workers_.tables());
      return tables.digest() == digest && tables.blocks() == plan_.blocks.count();
    } catch (const Error&) {
      return false;
    }
  }

  /// The passes before the second one. Leaves the tables.
  void make_graph() {
    GraphMark mark;
    const auto digest = [&] { return sha256_of(digest_of(job_) + first_->contents().head.instance); };
    on_root(world_, [&] {
      report_.graph_was_done = graph_is_done(digest());
      if (!report_.graph_was_done) report_.graph_digest.clear();
    });
    if (world_.any(report_.graph_was_done)) {
      on_root(world_, [&] { read_choice(); });
      return;
    }
    if (start_.cut) {
      on_root(world_, [&] { cut_graph(digest()); });
      return;
    }
    GraphShare share = whole_share();
    double begin_s = 0;
    on_root(world_, [&] {
      if (start_.signal.asked()) throw StoppedEarly("stopped by a signal; start again to go on");
      require_graph_memory();
      record_step("graph", 0);
      begin_s = seconds_now();
      const bool chooses = segment_.choose != ThresholdChoice::none;
      if (!chooses) mark.digest = digest();
      if (!plan_.components && (segment_.keep_graph || chooses))
        mark.supervoxels_digest = first_pass_digest(first_->contents().head);
      mark.attributes = {{"stages", report_.stages},
                         {"job", json_of(job_)},
                         {"instance", first_->contents().head.instance},
                         {"segmentation", segment_.output->text()},
                         {"tessera_version", tessera_version()}};
    });
    report_.sums = write_volume_graph(job_of_workers_, std::move(share), plan_.merge,
                                      {.fragments = !plan_.components.has_value()},
                                      graph_file_of(segment_.output->file), mark, world_);
    if (segment_.choose != ThresholdChoice::none) choose(digest);
    on_root(world_, [&] {
      report_.graph_s = seconds_now() - begin_s;
      report_.graph_digest = digest();
    });
  }

  std::filesystem::path choice_file() const { return job_of_workers_.folder / "tables.choice"; }

  /// Collective. Scores the thresholds, and writes the tables of the best one.
  void choose(const std::function<std::string()>& digest) {
    std::optional<StoredGraph> graph;
    on_root(world_,
            [&] { graph.emplace(graph_file_of(segment_.output->file), first_->contents().head.instance); });
    const ChosenThreshold chosen =
        choose_threshold(job_of_workers_, graph ? &*graph : nullptr, segment_, plan_.mode, world_);
    on_root(world_, [&] {
      segment_.threshold = report_.threshold = chosen.threshold;
      const TreeCut cut = cut_tree(*graph, segment_);
      report_.choice = json_text(chosen.json(), 2);
      report_.choice_text = chosen.text();
      report_.sums.objects = cut.objects;
      write_text_file(choice_file(), report_.choice);
      write_cut_tables(job_of_workers_, *graph, cut, digest());
    });
  }

  /// The choice of an earlier start.
  void read_choice() {
    if (segment_.choose == ThresholdChoice::none || !file_exists(choice_file())) return;
    const std::vector<std::byte> bytes = read_file_bytes(choice_file());
    report_.choice.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto choice = nlohmann::json::parse(report_.choice, nullptr, false);
    if (choice.is_discarded() || !choice.contains("threshold")) {
      report_.choice.clear();
      return;
    }
    report_.threshold = choice["threshold"];
    report_.choice_text =
        fmt::format("threshold {} was chosen by an earlier start\n", choice["threshold"].dump());
  }

  /// Writes the tables of the objects at the cut.
  void cut_graph(const std::string& digest) {
    const double begin_s = seconds_now();
    const StoredGraph graph(graph_file_of(segment_.output->file), first_->contents().head.instance);
    const TreeCut cut = cut_tree(graph, segment_);
    write_cut_tables(job_of_workers_, graph, cut, digest);
    report_.cut = start_.cut;
    report_.graph_digest = digest;
    report_.sums.fragments = static_cast<std::int64_t>(cut.object.size());
    report_.sums.objects = cut.objects;
    report_.graph_s = seconds_now() - begin_s;
  }

  /// Errors: UsageError when the ranks of this node cannot hold the graph.
  void require_graph_memory() const {
    std::int64_t bytes = 0;
    for (std::int64_t id = 0; id < plan_.blocks.count(); ++id)
      bytes += static_cast<std::int64_t>(
          std::filesystem::file_size(job_of_workers_.folder / fmt::format("{:08}.block", id)));
    const std::int64_t needed = 5 * bytes / world_.size(), available = available_memory(start_.device);
    if (needed <= available) return;
    throw UsageError(
        fmt::format("the graph of all blocks needs about {} on each of {} ranks, but {} are available: start "
                    "more ranks on "
                    "more nodes; the first pass is kept",
                    bytes_text(needed), world_.size(), bytes_text(available)));
  }

  /// The number of objects becomes an attribute of the result.
  void complete_result() const {
    const auto attributes = read_volume_info(*segment_.output).attributes;
    const auto objects = attributes.find("objects");
    if (objects == attributes.end() || !objects->second.starts_with(kKnownLater)) return;
    complete_attribute(segment_.output->file, result_->layout, objects->second,
                       std::to_string(report_.sums.objects));
  }

  void second_pass() {
    on_root(world_, [&] { complete_result(); });
    run_pass<RelabelTask>(
        "second pass", result_ ? result_->contents.blocks_left() : 0,
        [&] {
          return std::make_unique<BlockRun>(block_job(result_->contents, "segment, pass 2 of 2", "written"),
                                            std::move(result_->journal));
        },
        report_.second);
  }

  void conclude() {
    on_root(world_, [&] {
      if (!segment_.keep_graph) first_->remove();
      report_.end = RunEnd::done;
      write_record();
      std::cout << report_.text() << "result: " << report_.result << "\n" << std::flush;
    });
  }

  const ExperimentConfig& config_;
  SegmentConfig segment_;  ///< of a cut: with the cut's thresholds
  const SegmentationStart& start_;
  const Communicator& world_;
  RunFolder folder_;
  bool is_worker_;
  SegmentationInputs inputs_;
  SegmentationPlan plan_;
  SegmentJob job_of_workers_;
  // On the root only:
  FileLock lock_;  ///< of the result
  JobDescription job_;
  bool replaces_ = false;  ///< the existing result
  ResultState state_;
  std::optional<OpenResult> result_;
  std::unique_ptr<FirstPassFolder> first_;
  SegmentationReport report_;
};

}  // namespace

void segment_volume(const ExperimentConfig& config, const SegmentationStart& start,
                    const Communicator& world) {
  VolumeSegmentation(config, start, world).run();
}

}  // namespace tessera
