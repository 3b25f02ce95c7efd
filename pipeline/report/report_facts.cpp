#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "io/base/durable_file.h"
#include "pipeline/report/json_reading.h"
#include "pipeline/report/page.h"
#include "pipeline/report/report_parts.h"
#include "pipeline/run/progress.h"
#include "pipeline/run/run_end.h"

namespace tessera {
namespace {

/// A heading with lines beneath; empty lines are left out.
class Facts {
 public:
  explicit Facts(const std::string& heading) : heading_(heading) {}
  void add(const std::string& line) {
    if (!line.empty()) lines_ += element("li", {}, text(line));
  }
  void add_path(const std::string& before, const std::string& path) {
    if (!path.empty()) lines_ += element("li", {}, text(before) + path_text(path));
  }
  void add_note(const std::string& line) { lines_ += tag("li", "note", text(line)); }
  Html html() const {
    return element("div", {}, element("h3", {}, text(heading_)) + element("ul", {}, lines_));
  }

 private:
  std::string heading_;
  Html lines_;
};

std::string seconds_text(double seconds) {
  if (!(seconds >= 0) || seconds > 1e9) return "time not known";
  return seconds < 100 ? fmt::format("{:.1f} s", seconds) : duration_text(seconds);
}

/// "2 workers on vm: cpu, 1 thread", from a list with host and device.
std::string workers_text(const Json& workers) {
  std::vector<std::string> hosts, devices;
  const auto note_in = [](std::vector<std::string>& list, const std::string& one) {
    if (!one.empty() && std::find(list.begin(), list.end(), one) == list.end()) list.push_back(one);
  };
  for (const Json& worker : workers) {
    note_in(hosts, text_at(worker, {"host"}));
    note_in(devices, text_at(worker, {"device"}));
  }
  std::string line = plural(static_cast<double>(workers.size()), "worker");
  if (hosts.size() == 1) line += " on " + hosts[0];
  if (hosts.size() > 1) line += fmt::format(" on {} hosts", hosts.size());
  for (std::size_t i = 0; i < std::min<std::size_t>(devices.size(), 3); ++i)
    line += (i == 0 ? ": " : "; ") + devices[i];
  if (devices.size() > 3) line += fmt::format("; and {} more devices", devices.size() - 3);
  return line;
}

/// "[16, 20]" of a config as "sections 16 to 19".
std::string sections_of(const std::string& range) {
  double begin = 0, end = 0;
  return std::sscanf(range.c_str(), "[%lf, %lf]", &begin, &end) == 2 ? section_range_text(begin, end) : "";
}

std::string last_of(const std::vector<double>& values, const auto& format) {
  const auto last = std::find_if(values.rbegin(), values.rend(), [](double v) { return std::isfinite(v); });
  return last == values.rend() ? "" : format(*last);
}

Html network_facts(const RunRecord& record) {
  Facts facts("Network");
  const auto key = [&](const char* name) { return record.config(name); };
  if (!key("model.torchscript").empty())
    facts.add_path("TorchScript ", key("model.torchscript"));
  else if (!key("model.preset").empty())
    facts.add(fmt::format("{}, {} filters, depth {}", key("model.preset"), key("model.base_filters"),
                          key("model.depth")));
  else
    facts.add_note("No config in the run folder.");
  const double parameters = number_at(record.training, {"parameters"});
  if (std::isfinite(parameters)) facts.add(plural(parameters, "parameter"));
  if (!key("model.padding").empty()) {
    facts.add(fmt::format("{} padding{}, dropout {}", key("model.padding"),
                          key("model.batch_norm") == "true" ? ", batch norm" : "", key("model.dropout")));
  }
  return facts.html();
}

Html training_facts(const RunRecord& record) {
  Facts facts("Training");
  if (record.metrics.rows.empty()) {
    facts.add_note("Not trained in this folder: there is no metrics.csv with rows.");
    return facts.html();
  }
  const std::string planned = record.config("train.iterations");
  facts.add(last_of(record.metrics.column("iteration"), [&](double n) {
    return planned.empty()
               ? plural(n, "iteration")
               : fmt::format("{} of {} iterations", with_commas(n), with_commas(std::atof(planned.c_str())));
  }));
  facts.add(last_of(record.metrics.column("elapsed_s"), seconds_text));
  const Json& workers = list_at(record.training, {"workers"});
  if (!workers.empty())
    facts.add(workers_text(workers) +
              fmt::format(" ({})", plural(number_at(record.training, {"ranks"}), "rank")));
  else
    facts.add_note("Ranks and devices were not recorded.");
  const std::string end = text_at(record.training, {"end"});
  std::string started = text_at(record.training, {"started"});
  if (started.size() == 20) started = started.substr(0, 10) + " " + started.substr(11, 5) + " UTC";
  if (!started.empty()) {
    facts.add(fmt::format("{} {}{}",
                          text_at(record.training, {"resumed_from"}).empty() ? "started" : "resumed", started,
                          end.empty() || end == name_of(RunEnd::done)
                              ? ""
                              : ", " + (end == name_of(RunEnd::running) ? "not ended yet, or killed" : end)));
  }
  const std::string ended = text_at(record.training, {"ended"}),
                    early = text_at(record.training, {"ended_early"});  // of older versions
  if (!ended.empty()) facts.add("ended: " + ended);
  if (!early.empty()) facts.add("ended early: " + early);
  const auto of_volume = [&](std::size_t i, const char* key) {
    return record.config(fmt::format("data.volumes[{}].{}", i, key));
  };
  std::size_t volumes = 0;
  while (!of_volume(volumes, "label_kind").empty())
    ++volumes;
  const std::string trained_on = sections_of(record.config("data.train_sections"));
  if (volumes == 0 && !trained_on.empty()) facts.add("on " + trained_on);
  if (volumes == 0) facts.add_path("", record.config("data.raw"));
  for (std::size_t i = 0; i < volumes; ++i) {
    const std::string own = of_volume(i, "raw");
    facts.add_path("", own.empty() ? record.config("data.raw") : own);
  }
  return facts.html();
}

Html inference_facts(const RunRecord& record) {
  Facts facts("Inference");
  if (!record.has_inference()) {
    facts.add_note("Nothing predicted yet: there is no inference.json.");
    return facts.html();
  }
  facts.add(fmt::format("{} Mvoxels in {}",
                        number_text(number_at(record.inference, {"total", "voxels"}) / 1e6, 2),
                        seconds_text(number_at(record.inference, {"elapsed_s"}))));
  facts.add(workers_text(list_at(record.inference, {"workers"})));
  const std::string precision = record.config("infer.precision"), ensemble = record.config("infer.ensemble"),
                    checkpoint = record.config("infer.checkpoint");
  const std::string network = ensemble.empty() ? "checkpoint " + checkpoint : "ensemble " + ensemble;
  if (!checkpoint.empty() || !ensemble.empty())
    facts.add(fmt::format("{}, precision {}", network, precision.empty() ? "not recorded" : precision));
  const std::string end = text_at(record.inference, {"end"});
  facts.add(record.inference_time.empty()
                ? end
                : fmt::format("{} {}", end.empty() ? "ended" : end, record.inference_time));
  facts.add_path("", text_at(record.inference, {"result"}));
  return facts.html();
}

Html evaluation_facts(const RunRecord& record) {
  Facts facts("Evaluation");
  if (!record.has_evaluation()) {
    facts.add_note("Not scored yet: there is no evaluation.json.");
    return facts.html();
  }
  const Json& range = list_at(record.evaluation, {"section_range"});
  if (range.size() == 2 && range[0].is_number() && range[1].is_number()) {
    facts.add(fmt::format("{}, taken as {}",
                          section_range_text(range[0].get<double>(), range[1].get<double>()),
                          text_at(record.evaluation, {"kind"})));
  }
  const double ranks = number_at(record.evaluation, {"run", "ranks"}),
               seconds = number_at(record.evaluation, {"run", "seconds"});
  if (std::isfinite(ranks) && std::isfinite(seconds))
    facts.add(fmt::format("{} on {}", seconds_text(seconds), plural(ranks, "rank")));
  const double memory = number_at(record.evaluation, {"run", "peak_memory_bytes_per_rank"});
  if (memory > 0 && memory < 1e18)
    facts.add(fmt::format("at most {} a rank", bytes_text(static_cast<std::int64_t>(memory))));
  facts.add(record.evaluation_time.empty() ? "" : "done " + record.evaluation_time);
  facts.add_path("prediction ", text_at(record.evaluation, {"prediction"}));
  facts.add_path("labels ", text_at(record.evaluation, {"labels"}));
  return facts.html();
}

}  // namespace

std::string plural(double count, const std::string& word) {
  return fmt::format("{} {}{}", with_commas(count), word, count == 1 ? "" : "s");
}

std::string section_range_text(double begin, double end) {
  return end - begin == 1 ? fmt::format("section {:.0f}", begin)
                          : fmt::format("sections {:.0f} to {:.0f}", begin, end - 1);
}

Html fact_part(const RunRecord& record) {
  return tag(
      "div", "facts",
      network_facts(record) + training_facts(record) + inference_facts(record) + evaluation_facts(record));
}

}  // namespace tessera
