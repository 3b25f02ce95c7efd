#include <fmt/format.h>
#include <fmt/ranges.h>
#include <spdlog/spdlog.h>

#include <filesystem>
#include <iostream>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_bytes.h"
#include "io/base/file_lock.h"
#include "io/base/file_lookup.h"
#include "pipeline/commands/commands.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/report/compare_page.h"
#include "pipeline/report/report_page.h"
#include "pipeline/run/next_step.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

/// A name with characters that are legal in a file name.
std::string plain_name(const std::string& name) {
  std::string plain;
  for (const char c : name)
    plain += std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.' ? c : '_';
  return plain.substr(0, 80);
}

/// One run: report.html in its folder, or a file beside the evaluation's. Two runs: a file in the working
/// directory.
fs::path default_output(const std::vector<RunRecord>& runs) {
  if (runs.size() == 2)
    return fmt::format("compare_{}_{}.html", plain_name(runs[0].name), plain_name(runs[1].name));
  return is_folder(runs[0].place) ? runs[0].place / "report.html"
                                  : fs::path(runs[0].place).replace_extension(".html");
}

/// `allow_incomplete`: reports on results that are not whole, with a note.
void write_page(std::vector<RunRecord> runs, const std::optional<std::string>& output,
                bool allow_incomplete) {
  for (RunRecord& run : runs) {
    require_complete_results(run, allow_incomplete);
    for (const std::string& problem : run.problems)
      spdlog::warn("{}", problem);
  }
  const fs::path file = output ? fs::path(*output) : default_output(runs);
  const FileLock lock(file);
  const std::string page = runs.size() == 2 ? compare_page(runs[0], runs[1]) : report_page(runs[0]);
  write_text_file(file, page);
  std::cout << fmt::format("report: {} ({})\n", file.string(),
                           bytes_text(static_cast<std::int64_t>(page.size())))
            << std::flush;
}

/// Writes a page for each volume that has a run folder, and one for the experiment if it was trained or
/// scored as a whole. `only`: writes the page of this volume alone.
void write_pages_of_volumes(const fs::path& run_folder, const std::vector<VolumeFolder>& volumes,
                            const std::optional<std::string>& output, const std::optional<std::string>& only,
                            bool allow_incomplete) {
  if (output && !only) {
    throw UsageError(fmt::format("--output names one page, but {} has {} volumes: choose one by --volume",
                                 run_folder.string(), volumes.size()));
  }
  if (!only && holds_run(run_folder)) write_page({read_run(run_folder.string())}, output, allow_incomplete);
  std::vector<std::string> names;
  bool found = false;
  for (const VolumeFolder& one : volumes) {
    names.push_back(one.name);
    if (only && *only != one.name) continue;
    write_page({read_run(one.folder.string())}, output, allow_incomplete);
    found = true;
  }
  if (!found) {
    throw UsageError(fmt::format("--volume {}: {} has {}", *only, (run_folder / "volumes").string(),
                                 names.empty() ? "no volumes" : fmt::format("{}", fmt::join(names, ", "))));
  }
}

void write_report(const std::vector<std::string>& arguments, const std::optional<std::string>& output,
                  const std::optional<std::string>& only, bool allow_incomplete) {
  if (arguments.size() == 1) {
    const fs::path folder = run_folder_of(arguments[0]);
    const std::vector<VolumeFolder> volumes = volume_folders(folder);
    if (only || !volumes.empty())
      return write_pages_of_volumes(folder, volumes, output, only, allow_incomplete);
  }
  if (only)
    throw UsageError(
        "--volume: two runs are compared as wholes; name their run folders' volumes/NAME instead");
  std::vector<RunRecord> runs;
  runs.reserve(arguments.size());
  for (const std::string& one : arguments)
    runs.push_back(read_run(one));
  write_page(std::move(runs), output, allow_incomplete);
}

}  // namespace

OptionTable report_options() {
  namespace po = boost::program_options;
  po::options_description options("options");
  options.add_options()  //
      ("run", po::value<std::vector<std::string>>()->multitoken(),
       "run folder, its experiment, or an evaluation's JSON file")                        //
      ("volume", po::value<std::string>(), "the name of one volume, of a run with many")  //
      ("allow-incomplete", "report on a result of infer that is not whole")               //
      ("output,o", po::value<std::string>(),
       "the HTML file; default: report.html in the run folder, or "
       "compare_A_B.html here");
  return options;
}

int run_report(const OptionValues& values, const Communicator& world) {
  const auto runs =
      values.count("run") == 0 ? std::vector<std::string>() : values["run"].as<std::vector<std::string>>();
  if (runs.empty() || runs.size() > 2) {
    throw UsageError(fmt::format("name one run to report, or two to compare: {} are given\nusage: {}",
                                 runs.size(), usage_of("report")));
  }
  std::optional<std::string> output;
  if (values.count("output") != 0) output = values["output"].as<std::string>();
  std::optional<std::string> only;
  if (values.count("volume") != 0) only = values["volume"].as<std::string>();
  on_root(world, [&] {
    write_report(runs, output, only, values.count("allow-incomplete") != 0);
    tell_next("open the report in a browser");
  });
  return kExitDone;
}

}  // namespace tessera
