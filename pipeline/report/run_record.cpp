#include "pipeline/report/run_record.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <new>
#include <regex>
#include <sstream>

#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lookup.h"
#include "io/stores/open_volume.h"
#include "io/stores/result_completeness.h"
#include "pipeline/config/experiment.h"
#include "pipeline/report/json_reading.h"

namespace tessera {
namespace fs = std::filesystem;
namespace {

constexpr std::int64_t kMostText = std::int64_t{1} << 30, kMostPicture = std::int64_t{64} << 20;
constexpr std::size_t kMostPictures = 6;
constexpr auto kVolumes = "volumes";

/// Whether a section of the experiment is what the training made of it.
bool belongs_to_training(const std::string& key) {
  return key.rfind("data.", 0) == 0 || key.rfind("model.", 0) == 0 || key.rfind("train.", 0) == 0;
}

std::string time_of(const fs::path& file) {
  struct stat status {};
  std::tm utc{};
  if (stat(file.c_str(), &status) != 0)
    throw Error(fmt::format("cannot look at {}: {}", file.string(), errno_text(errno)));
  if (gmtime_r(&status.st_mtime, &utc) == nullptr) return {};
  char text[64];
  return std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &utc) == 0 ? "" : text;
}

class Reader {
 public:
  Reader(RunRecord& record, fs::path folder) : record_(record), folder_(std::move(folder)) {}

  /// Reads one file if it is there; what goes wrong becomes a problem of the record.
  bool read(const std::string& name, const std::function<void(const std::string&)>& take) {
    const fs::path file = folder_ / name;
    try {
      if (!file_exists(file)) return false;
      take(file_text(file, kMostText));
      return true;
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& problem) {
      record_.problems.push_back(problem.what());
    }
    return false;
  }

  void read_json(const std::string& name, Json& json, std::string& time) {
    read(name, [&](const std::string& text) {
      Json parsed = parse_json<Json>(text);
      if (!parsed.is_object()) throw Error((folder_ / name).string() + " is damaged: it is no JSON object");
      json = std::move(parsed);
      time = time_of(folder_ / name);
    });
  }

 private:
  RunRecord& record_;
  fs::path folder_;
};

/// Whether a picture's name tells of this evaluation: older ones may lie beside it.
bool belongs(const SectionPicture& picture, const Json& evaluation) {
  const double f = number_at(section_of(evaluation, picture.section), {"best_f"});
  if (!std::isfinite(f)) return false;
  double least = f, most = f;
  for (const Json& one : list_at(evaluation, {"sections"})) {
    least = std::min(least, number_at(one, {"best_f"}));
    most = std::max(most, number_at(one, {"best_f"}));
  }
  return (!picture.worst || f == least) && (!picture.best || f == most);
}

void read_pictures(RunRecord& record, const fs::path& folder) {
  const std::regex pattern("section_([0-9]{1,18})((?:_first|_worst|_best)+)\\.png");
  for (const fs::path& file : paths_in(folder)) {
    std::smatch found;
    const std::string name = file.filename().string();
    if (!std::regex_match(name, found, pattern)) continue;
    SectionPicture picture;
    picture.section = std::stoll(found[1]);
    const std::string roles = found[2];
    picture.first = roles.find("_first") != std::string::npos;
    picture.worst = roles.find("_worst") != std::string::npos;
    picture.best = roles.find("_best") != std::string::npos;
    if (!belongs(picture, record.evaluation) || record.pictures.size() >= kMostPictures) continue;
    try {
      const std::string bytes = file_text(file, kMostPicture);
      picture.png.resize(bytes.size());
      std::memcpy(picture.png.data(), bytes.data(), bytes.size());
      require_whole_png(picture, file.string());
      record.pictures.push_back(std::move(picture));
    } catch (const Error& problem) {
      record.problems.push_back(problem.what());
    }
  }
}

/// None for a text that names no dataset.
std::optional<DatasetName> named_dataset(const std::string& text) {
  try {
    return parse_dataset_name(text);
  } catch (const UsageError&) {
    return std::nullopt;
  }
}

RunRecord read_folder(const fs::path& folder) {
  RunRecord record;
  record.place = folder;
  Reader reader(record, folder);
  const auto read_config = [&](const std::string& name, std::vector<ConfigKey>& keys) {
    return reader.read(name,
                       [&](const std::string& text) { keys = config_keys(text, (folder / name).string()); });
  };
  bool found = read_config("config.yaml", record.training_config);
  found = read_config("inference.yaml", record.inference_config) || found;
  found = read_config("segmentation.yaml", record.segmentation_config) || found;
  found = reader.read("metrics.csv", [&](const std::string& text) { record.metrics = read_metrics(text); }) ||
          found;
  if (record.metrics.unreadable > 1) {  // one may have been cut short by a kill
    record.problems.push_back(fmt::format("{}: {} rows cannot be read and are left out",
                                          (folder / "metrics.csv").string(), record.metrics.unreadable));
  }
  reader.read("version.txt", [&](const std::string& text) {
    record.version = text.substr(0, std::min<std::size_t>(text.find('\n'), 80));
  });
  reader.read_json("training.json", record.training, record.training_time);
  reader.read_json("inference.json", record.inference, record.inference_time);
  reader.read_json("evaluation.json", record.evaluation, record.evaluation_time);
  std::string time;
  reader.read_json("segmentation.json", record.segmentation, time);
  reader.read_json("evaluation_objects.json", record.object_evaluation, time);
  reader.read_json("evaluation_graph.json", record.graph_evaluation, time);
  if (!found && !record.has_inference() && !record.has_evaluation() && !record.has_objects() &&
      record.problems.empty()) {
    throw UsageError(fmt::format(
        "{} holds no file of a run: no config.yaml, metrics.csv, inference.json, segmentation.json or "
        "evaluation.json; name the folder that train, infer, segment or evaluate wrote",
        folder.string()));
  }
  read_pictures(record, folder / "evaluation");
  record.name = record.config("experiment");
  fs::path whole = fs::absolute(folder).lexically_normal();
  if (whole.filename().empty()) whole = whole.parent_path();  // it ended in '/'
  if (record.name.empty())
    record.name = whole.filename().string();
  else if (whole.parent_path().filename() == kVolumes)
    record.name += fmt::format(", {}", whole.filename().string());
  return record;
}

RunRecord read_evaluation(const fs::path& file) {
  RunRecord record;
  record.place = file;
  record.name = file.stem().string();
  record.evaluation = parse_json<Json>(file_text(file, kMostText));
  record.evaluation_time = time_of(file);
  if (text_at(record.evaluation, {"kind"}).empty()) {
    throw UsageError(fmt::format(
        "{} is no result of 'tessera evaluate --json': it is no JSON object with a 'kind'", file.string()));
  }
  if (text_at(record.evaluation, {"kind"}) == "graph") {
    record.graph_evaluation = std::move(record.evaluation);
    record.evaluation = Json();
  }
  return record;
}

}  // namespace

void require_complete_results(RunRecord& record, bool allowed) {
  std::vector<std::string> names{text_at(record.evaluation, {"prediction"}),
                                 text_at(record.inference, {"result"}),
                                 text_at(record.segmentation, {"result"})};
  if (names[0] == names[1]) names.erase(names.begin());
  for (const std::string& name : names) {
    const std::optional<DatasetName> result_name = named_dataset(name);
    if (!result_name) continue;
    try {
      if (!file_exists(result_name->file)) continue;  // moved: nothing to ask
      const VolumeInfo result = read_volume_info(*result_name);
      const ResultCompleteness found = require_complete(result, allowed);
      if (!found.complete())
        record.problems.push_back(fmt::format("{} is incomplete: {}", name, found.problem));
    } catch (const UsageError&) {
      throw;
    } catch (const Error& unreadable) {
      record.problems.push_back(unreadable.what());
    }
  }
  const std::string scored = text_at(record.evaluation, {"incomplete"});
  if (scored.empty()) return;
  const std::string what =
      fmt::format("the scores are those of an incomplete result: when it was scored, {}", scored);
  if (!allowed) {
    throw UsageError(
        fmt::format("{}: {}. Score it again with 'tessera evaluate', or pass --allow-incomplete.",
                    record.place.string(), what));
  }
  record.problems.push_back(what);
}

std::string RunRecord::config(const std::string& key) const {
  const ConfigKey* trained = find_key(training_config, key);
  const ConfigKey* inferred = find_key(inference_config, key);
  const ConfigKey* segmented = find_key(segmentation_config, key);
  const ConfigKey* first = belongs_to_training(key) && trained != nullptr          ? trained
                           : key.rfind("segment.", 0) == 0 && segmented != nullptr ? segmented
                           : inferred != nullptr                                   ? inferred
                           : trained != nullptr                                    ? trained
                                                                                   : segmented;
  return first == nullptr ? std::string() : first->value;
}

std::vector<ConfigKey> RunRecord::all_config() const {
  std::vector<ConfigKey> all = !training_config.empty()    ? training_config
                               : !inference_config.empty() ? inference_config
                                                           : segmentation_config;
  for (ConfigKey& one : all)
    one.value = config(one.key);
  for (const std::vector<ConfigKey>* more : {&inference_config, &segmentation_config}) {
    for (const ConfigKey& one : *more) {
      if (find_key(all, one.key) == nullptr) all.push_back(one);
    }
  }
  return all;
}

RunRecord read_run(const std::string& argument) {
  const fs::path folder = run_folder_of(argument);
  return folder.empty() ? read_evaluation(argument) : read_folder(folder);
}

fs::path run_folder_of(const std::string& argument) {
  fs::path path = argument;
  if (is_folder(path)) return path;
  if (!file_exists(path))
    throw UsageError(fmt::format(
        "{} does not exist: name a run folder, its experiment's YAML file or an evaluation's JSON file",
        argument));
  if (path.extension() == ".json") return {};
  if (path.extension() != ".yaml" && path.extension() != ".yml") {
    throw UsageError(fmt::format("{} is neither a run folder nor a .yaml or .json file", argument));
  }
  const ExperimentConfig config = parse_experiment(file_text(path, kMostText), argument, {}, {});
  if (!is_folder(config.run_folder)) {
    throw UsageError(fmt::format(
        "{}, the run folder of {}, does not exist: run 'tessera train {}' first, or start this in the "
        "folder where that was started",
        config.run_folder.string(), argument, argument));
  }
  return config.run_folder;
}

std::vector<VolumeFolder> volume_folders(const fs::path& run_folder) {
  std::vector<VolumeFolder> found;
  for (const fs::path& folder : paths_in(run_folder / kVolumes)) {
    if (holds_run(folder)) found.push_back({folder.filename().string(), folder});
  }
  return found;
}

bool holds_run(const fs::path& run_folder) {
  const auto files = {"config.yaml",       "metrics.csv",       "inference.yaml", "inference.json",
                      "segmentation.yaml", "segmentation.json", "evaluation.json"};
  return std::ranges::any_of(files, [&](const char* file) { return file_exists(run_folder / file); });
}

void require_whole_png(SectionPicture& picture, const std::string& name) {
  constexpr unsigned char kSignature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  constexpr unsigned char kEnd[] = {'I', 'E', 'N', 'D', 0xAE, 0x42, 0x60, 0x82};
  const std::vector<std::byte>& png = picture.png;
  if (png.size() < 45 || std::memcmp(png.data(), kSignature, 8) != 0 ||
      std::memcmp(png.data() + png.size() - 8, kEnd, 8) != 0) {
    throw Error(fmt::format("{} is left out: it is no whole PNG", name));
  }
  const auto number = [&](std::size_t at) {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < 4; ++i)
      value = value << 8 | std::to_integer<std::int64_t>(png[at + i]);
    return value;
  };
  picture.width = number(16);
  picture.height = number(20);
}

}  // namespace tessera
