#include "pipeline/segment/graph_step.h"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>

#include "io/base/clock.h"
#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/base/json_text.h"
#include "io/base/sha256.h"
#include "io/graph/object_table_file.h"
#include "pipeline/run/run_folder.h"
#include "pipeline/run/segmentation_files.h"
#include "pipeline/segment/chosen_threshold.h"
#include "pipeline/segment/tree_cut.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// One start's graph. Every rank runs the same steps.
class GraphStep {
 public:
  GraphStep(const PlannedStart& planned, const SegmentJob& job, const JobDescription& objects,
            FirstPassFolder* folder, SegmentationPasses& passes, SegmentationRecord& record)
      : segment_(planned.segment),
        plan_(planned.plan),
        start_(planned.start),
        world_(planned.world),
        job_(job),
        objects_(objects),
        folder_(folder),
        passes_(passes),
        record_(record),
        report_(record.report),
        graph_file_(graph_file_of(segment_.output->file)) {}

  void run() {
    on_root(world_, [&] {
      report_.graph_was_done = is_done();
      if (!report_.graph_was_done) report_.graph_digest.clear();
    });
    if (world_.any(report_.graph_was_done)) {
      on_root(world_, [&] { read_choice(); });
    } else if (start_.cut) {
      on_root(world_, [&] { cut(); });
    } else {
      merge();
    }
  }

 private:
  bool chooses() const { return segment_.choose != ThresholdChoice::none; }
  std::string instance() const { return folder_->contents().head.instance; }
  /// Names the tables of objects.
  std::string digest() const { return sha256_of(digest_of(objects_) + instance()); }
  StoredGraph stored_graph() const { return {graph_file_, instance()}; }

  /// Whether an earlier start has finished the graph of this job. Then its sums are known.
  bool is_done() {
    const std::string digest = this->digest();
    const auto sums = record_.earlier_sums(digest);
    if (!sums) return false;
    report_.sums = *sums;
    report_.graph_digest = digest;
    if (folder_->contents().blocks_left() > 0 || !file_exists(job_.tables())) return false;
    if (!plan_.components && !file_exists(graph_file_)) return false;
    if (plan_.supervoxels &&
        !has_supervoxel_tables(job_.supervoxel_tables(), first_pass_digest(folder_->contents().head)))
      return false;
    try {
      const ObjectTables tables(job_.tables());
      return tables.digest() == digest && tables.blocks() == plan_.blocks.count();
    } catch (const Error&) {
      return false;
    }
  }

  /// Collective. The first pass, and all merges.
  void merge() {
    GraphShare share = passes_.first(job_, folder_);
    GraphMark mark;
    double begin_s = 0;
    on_root(world_, [&] {
      if (start_.signal.asked()) throw StoppedEarly("stopped by a signal; start again to go on");
      require_graph_memory();
      record_.begin_step("graph", 0);
      begin_s = seconds_now();
      mark = this->mark();
    });
    report_.sums =
        write_volume_graph(job_, std::move(share), plan_.merge, {.fragments = !plan_.components.has_value()},
                           graph_file_, mark, world_);
    if (chooses()) choose();
    on_root(world_, [&] {
      report_.graph_s = seconds_now() - begin_s;
      report_.graph_digest = digest();
    });
  }

  GraphMark mark() const {
    GraphMark mark;
    if (!chooses()) mark.digest = digest();
    if (!plan_.components && (segment_.keep_graph || chooses() || plan_.supervoxels))
      mark.supervoxels_digest = first_pass_digest(folder_->contents().head);
    mark.attributes = {{"stages", report_.stages},
                       {"job", json_of(objects_)},
                       {"instance", instance()},
                       {"segmentation", segment_.output->text()},
                       {"tessera_version", tessera_version()}};
    return mark;
  }

  /// Errors: UsageError when the ranks of this node cannot hold the graph.
  void require_graph_memory() const {
    std::int64_t bytes = 0;
    for (std::int64_t id = 0; id < plan_.blocks.count(); ++id)
      bytes +=
          static_cast<std::int64_t>(std::filesystem::file_size(job_.folder / fmt::format("{:08}.block", id)));
    const std::int64_t needed = 5 * bytes / world_.size(), available = available_memory(start_.device);
    if (needed <= available) return;
    throw UsageError(
        fmt::format("the graph of all blocks needs about {} on each of {} ranks, but {} are available: start "
                    "more ranks on "
                    "more nodes; the first pass is kept",
                    bytes_text(needed), world_.size(), bytes_text(available)));
  }

  std::filesystem::path choice_file() const { return job_.folder / "tables.choice"; }

  /// Collective. Scores the thresholds, and writes the tables of the best one.
  void choose() {
    std::optional<StoredGraph> graph;
    on_root(world_, [&] { graph.emplace(stored_graph()); });
    const ChosenThreshold chosen =
        choose_threshold(job_, graph ? &*graph : nullptr, segment_, plan_.mode, world_);
    on_root(world_, [&] {
      SegmentConfig at = segment_;
      at.threshold = report_.threshold = chosen.threshold;
      const TreeCut cut = cut_tree(*graph, at);
      report_.choice = json_text(chosen.json(), 2);
      report_.choice_text = chosen.text();
      report_.sums.objects = cut.objects;
      write_text_file(choice_file(), report_.choice);
      write_cut_tables(job_, *graph, cut, digest());
    });
  }

  /// The choice of an earlier start.
  void read_choice() {
    if (!chooses() || !file_exists(choice_file())) return;
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
  void cut() {
    const double begin_s = seconds_now();
    const StoredGraph graph = stored_graph();
    const TreeCut cut = cut_tree(graph, segment_);
    const std::string digest = this->digest();
    write_cut_tables(job_, graph, cut, digest);
    report_.cut = start_.cut;
    report_.graph_digest = digest;
    report_.sums.fragments = static_cast<std::int64_t>(cut.object.size());
    report_.sums.objects = cut.objects;
    report_.graph_s = seconds_now() - begin_s;
  }

  const SegmentConfig& segment_;
  const SegmentationPlan& plan_;
  const SegmentationStart& start_;
  const Communicator& world_;
  const SegmentJob& job_;
  const JobDescription& objects_;
  FirstPassFolder* folder_;
  SegmentationPasses& passes_;
  SegmentationRecord& record_;
  SegmentationReport& report_;
  std::filesystem::path graph_file_;
};

}  // namespace

void make_object_tables(const PlannedStart& planned, const SegmentJob& job, const JobDescription& objects,
                        FirstPassFolder* folder, SegmentationPasses& passes, SegmentationRecord& record) {
  GraphStep(planned, job, objects, folder, passes, record).run();
}

}  // namespace tessera
