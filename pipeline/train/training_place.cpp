#include "pipeline/train/training_place.h"

#include <fmt/format.h>

#include <array>
#include <system_error>
#include <utility>

#include "io/base/durable_file.h"
#include "io/base/error.h"
#include "io/base/file_lookup.h"
#include "io/base/log.h"
#include "io/base/replace_folder.h"
#include "io/base/staged_file.h"

namespace tessera {
namespace {

namespace fs = std::filesystem;

constexpr auto kNext = "next_training";
/// In a new checkpoint folder, until the other files of its training are in place.
constexpr auto kMark = "replaces_older_training";
/// What a training writes beside its checkpoints and previews.
constexpr std::array kFiles{"metrics.csv", "training.json", "config.yaml", "version.txt"};

void move_to(const fs::path& from, const fs::path& to) {
  std::error_code code;
  fs::rename(from, to, code);
  if (code) {
    throw Error(fmt::format("cannot move {} to {}: {}", from.string(), to.string(), code.message()));
  }
}

/// The new checkpoints are in place: moves the other files and removes the old training. Can be repeated.
void finish_take_over(const fs::path& run) {
  const fs::path next = run / kNext;
  std::error_code code;
  if (file_exists(next)) {
    for (const char* name : kFiles) {
      if (file_exists(next / name)) move_to(next / name, run / name);
    }
    if (file_exists(next / "previews")) {
      fs::remove_all(run / "previews", code);
      move_to(next / "previews", run / "previews");
    }
    sync_to_disk(run);
    fs::remove_all(next, code);
    if (code) throw Error(fmt::format("cannot remove {}: {}", next.string(), code.message()));
  }
  fs::remove(run / "checkpoints" / kMark, code);
  sync_to_disk(run / "checkpoints");
}

}  // namespace

void TrainingPlace::prepare(ExistingRun existing, std::int64_t bytes) {
  const fs::path& run = run_.path();
  const fs::path checkpoints = run_.checkpoints().path(), next = run / kNext;
  create_folder_of(checkpoints);
  mend_replaced_folder(checkpoints);
  if (file_exists(checkpoints / kMark)) finish_take_over(run);
  const bool has_training = !run_.checkpoints().newest_first().empty(),
             was_replacing = file_exists(next / "checkpoints" / kMark);
  if (has_training && existing == ExistingRun::reject) {
    throw UsageError(
        fmt::format("{} holds a training already: go on with it by --resume, start over with --overwrite, or "
                    "set another experiment or run_folder",
                    run.string()));
  }
  fs::remove_all(next);
  require_free_space(checkpoints, bytes);
  if (has_training && existing == ExistingRun::resume && was_replacing) {
    spdlog::warn(
        "{}: the training that replaces the one in it was killed before its first checkpoint, and starts "
        "again",
        run.string());
  }
  if (!has_training || (existing == ExistingRun::resume && !was_replacing)) return;
  if (fs::is_symlink(checkpoints)) {
    throw UsageError(
        fmt::format("{} is a link to {}: remove the training there yourself, or set another run_folder",
                    checkpoints.string(), fs::read_symlink(checkpoints).string()));
  }
  create_folder_of(next / "checkpoints" / kMark);
  create_file(next / "checkpoints" / kMark, {});
  follow(true);
}

void TrainingPlace::follow(bool replaces) {
  replaces_ = replaces;
  current_ = replaces ? RunFolder(run_.path() / kNext) : run_;
}

void TrainingPlace::take_over() {
  if (!replaces_) return;
  const fs::path& run = run_.path();
  replace_folder(run / kNext / "checkpoints", run_.checkpoints().path());
  finish_take_over(run);
  taken_over();
}

void TrainingPlace::taken_over() {
  follow(false);
}

void TrainingPlace::give_up() noexcept {
  if (!replaces_) return;
  remove_quietly(current_.path());  // the next start removes what stays
}

}  // namespace tessera
