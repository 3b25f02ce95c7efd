#include "pipeline/commands/evaluate_graph.h"

#include <fmt/format.h>

#include <iostream>
#include <optional>
#include <string>

#include "io/base/error.h"
#include "io/base/file_lock.h"
#include "io/base/log.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/commands/evaluate_options.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/evaluate/graph_evaluation.h"
#include "pipeline/run/command_line.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

/// Collective. The supervoxels that belong to the graph, or those of --prediction. Only the root looks
/// whether they are complete.
void find_supervoxels(const OptionValues& values, const std::filesystem::path& graph,
                      EvaluationRequest& request, const Communicator& world) {
  const bool given = values.count("prediction") != 0;
  std::string name;
  on_root(world, [&] {
    name = given ? values["prediction"].as<std::string>() : supervoxels_of_graph(graph).text();
  });
  world.broadcast(name);
  request.prediction = parse_dataset_name(name);
  on_root(world, [&] {
    VolumeInfo info;
    try {
      info = read_labels_info(request.prediction);
    } catch (const Error& error) {
      if (given) throw;
      throw UsageError(
          fmt::format("the supervoxels of {} cannot be read: {}. Write them by `tessera segment` with "
                      "segment.supervoxels: true, or name a volume of them by --prediction FILE.h5:/path",
                      graph.string(), error.what()));
    }
    request.completeness = require_complete(info, values.count("allow-incomplete") != 0);
    if (!request.completeness.complete())
      spdlog::warn("{} is incomplete: {}", request.prediction.text(), request.completeness.problem);
  });
}

}  // namespace

int run_evaluate_graph(const OptionValues& values, const Communicator& world) {
  for (const char* other : {"config", "set", "volume", "volume-index", "kind", "instances", "scores", "class",
                            "invert-labels", "label-kind", "raw", "pictures"}) {
    if (values.count(other) != 0)
      throw UsageError(
          fmt::format("{} does not go with --graph, which scores the stages of a segmentation: leave it out",
                      std::string(other) == "config" ? "an experiment" : fmt::format("--{}", other)));
  }
  if (values.count("labels") == 0)
    throw UsageError(fmt::format("--labels is missing\nusage: {}", usage_of("evaluate")));
  EvaluationRequest request;
  request.kind = EvaluationKind::labels;
  request.labels = parse_dataset_name(values["labels"].as<std::string>());
  const std::filesystem::path graph = values["graph"].as<std::string>();
  find_supervoxels(values, graph, request, world);
  if (values.count("sections") != 0)
    request.sections = parse_section_range(values["sections"].as<std::string>());
  if (values.count("region") != 0) request.region = parse_region(values["region"].as<std::string>());
  if (values.count("ignore-label") != 0) request.ignore_label = id_option(values, "ignore-label");
  if (values.count("json") != 0) request.json_file = values["json"].as<std::string>();
  std::optional<int> thresholds;
  if (values.count("thresholds") != 0) {
    thresholds = values["thresholds"].as<int>();
    if (*thresholds < 2 || *thresholds > 1001)
      throw UsageError(fmt::format("--thresholds: {} is not between 2 and 1001", *thresholds));
  }
  FileLock json;
  on_root(world, [&] {
    if (request.json_file) json = FileLock(*request.json_file);
  });
  const GraphEvaluation evaluation = evaluate_graph(request, graph, thresholds, world);
  if (world.is_root()) std::cout << evaluation_text(evaluation) << std::flush;
  return 0;
}

}  // namespace tessera
