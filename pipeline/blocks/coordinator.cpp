#include "pipeline/blocks/coordinator.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "io/base/error.h"
#include "io/base/error_message.h"
#include "io/base/log.h"
#include "io/base/unexpected_exit.h"
#include "pipeline/run/progress.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

/// After so many failed attempts the remaining blocks would probably fail as well: before the first block is
/// done, or consecutive ones later.
constexpr std::int64_t kHopeless = 24, kHopelessInARow = 300;
/// After so many of its failures the worker continues in another part of the volume.
constexpr std::int64_t kElsewhere = 8;
/// After so many consecutive failures a worker may be at fault (a defective device).
constexpr int kSuspicious = 6;
/// The watchdog waits for at least so many heartbeats.
constexpr double kPulsesMissed = 2;
/// A worker with heartbeats but without progress ends the job after so many times the watchdog's limit, and
/// at least one minute.
constexpr double kStandStill = 4, kShortestStandStill_s = 60;
/// The interval between checks of the time limit, since a check visits every worker.
constexpr double kAskEvery_s = 0.5;

}  // namespace

Coordinator::Coordinator(std::vector<std::int64_t> order, CoordinatorHooks hooks,
                         const CoordinatorOptions& options)
    : order_(std::move(order)), hooks_(std::move(hooks)), options_(options) {
  if (!hooks_.block_text) hooks_.block_text = [](std::int64_t id) { return fmt::format("block {}", id); };
}

void Coordinator::begin(int workers, int first_rank) {
  first_rank_ = first_rank;
  blocks_ = static_cast<std::int64_t>(order_.size());
  queue_.emplace(std::move(order_), workers, options_.queue);
  seen_.resize(static_cast<std::size_t>(workers));
  double& watchdog_s = options_.watchdog_s;
  if (watchdog_s > 0) watchdog_s = std::max(watchdog_s, kPulsesMissed * pulse_interval_s(workers));
  last_watch_s_ = options_.clock();
  for (Seen& one : seen_)
    one.heard_s = last_watch_s_;
}

std::string Coordinator::name_of(int worker) const {
  const Seen& one = seen_[static_cast<std::size_t>(worker)];
  return fmt::format("rank {} on {}", worker + first_rank_,
                     one.identity.host[0] != 0 ? one.identity.host.data() : "?");
}

std::vector<std::int64_t> Coordinator::next_for(int worker) {
  return queue_->next_for(worker, options_.clock());
}

void Coordinator::worker_here(int worker, const WorkerIdentity& identity) {
  seen(worker).identity = identity;
  seen(worker).heard_s = options_.clock();
}

void Coordinator::hear(int worker, const std::vector<BlockReport>& reports) {
  Seen& from = seen(worker);
  from.heard_s = options_.clock();
  acquit(worker);
  from.still_s = 0;
  std::vector<std::int64_t> ids;
  for (const BlockReport& report : reports) {
    ids.push_back(report.id);
    try {
      if (hooks_.block_done) hooks_.block_done(report);
      note_done(worker, report.id);
      ++(report.outcome == BlockOutcome::skipped ? blocks_skipped_ : blocks_done_);
    } catch (const std::exception& error) {
      end_job(message_of(error));
    }
  }
  queue_->done(worker, ids, from.heard_s);
}

void Coordinator::hear(int worker, const BlockFailure& failure) {
  Seen& from = seen(worker);
  from.heard_s = options_.clock();
  queue_->failed(worker, failure.id, from.heard_s);
  const std::string text = hooks_.block_text(failure.id);
  if (!failure_.empty() || stopped_) {
    spdlog::warn("{} failed on {}: {}", text, name_of(worker), failure.message);
    return;  // the next start retries it
  }
  if (failure.whole_job) {
    end_job(fmt::format("{} on {}: {}", text, name_of(worker), failure.message));
    return;
  }
  Attempts& attempts = attempts_[failure.id];
  if (attempts.count > 0 && attempts.last_by != worker) acquit(attempts.last_by);  // the block is at fault
  attempts = {attempts.count + 1, worker};
  if (attempts.count <= options_.max_retries) {
    spdlog::warn("{} failed on {}, and is tried again: {}", text, name_of(worker), failure.message);
    queue_->retry(failure.id, worker);
    suspect(worker);
  } else {
    spdlog::warn("{} failed on {} and is set aside: {}", text, name_of(worker), failure.message);
    quarantined_.push_back({failure.id, attempts.count, name_of(worker), failure.message});
    attempts_.erase(failure.id);
  }
  ++failed_attempts_;
  end_if_hopeless(worker, fmt::format("{} on {}: {}", text, name_of(worker), failure.message));
}

/// After enough consecutive failures, the worker waits until another has tried one of its blocks.
void Coordinator::suspect(int worker) {
  Seen& who = seen(worker);
  if (++who.failures_in_a_row >= kSuspicious && !who.suspended) who.suspended = queue_->suspend(worker);
}

void Coordinator::acquit(int worker) {
  Seen& who = seen(worker);
  who.failures_in_a_row = 0;
  if (!who.suspended || who.sick) return;
  who.suspended = false;
  queue_->resume(worker);
}

void Coordinator::note_done(int worker, std::int64_t id) {
  failed_attempts_ = 0;
  const auto failed = attempts_.find(id);
  if (failed == attempts_.end()) return;
  Seen& before = seen(failed->second.last_by);
  if (failed->second.last_by != worker && before.suspended && !before.sick) {
    before.sick = true;
    spdlog::warn("{} fails with blocks that {} can do, and gets no more", name_of(failed->second.last_by),
                 name_of(worker));
  }
  attempts_.erase(failed);
}

void Coordinator::end_if_hopeless(int worker, const std::string& last) {
  const bool some_done = blocks_done_ + blocks_skipped_ > 0;
  if (options_.gives_up &&
      failed_attempts_ >=
          (some_done ? std::clamp(blocks_ / 2, kHopelessInARow, 10 * kHopelessInARow) : kHopeless)) {
    end_job(fmt::format("{} attempts failed and no block was done {}; the last, {}", failed_attempts_,
                        some_done ? "meanwhile" : "before", last));
  } else if (!some_done && failed_attempts_ % kElsewhere == 0) {
    queue_->jump(worker);
  }
}

void Coordinator::hear(int worker, const WorkerPulse& pulse) {
  seen(worker).heard_s = options_.clock();
  seen(worker).still_s = pulse.still_s;
  if (hooks_.progress && pulse.voxels > 0) hooks_.progress(pulse.voxels);
}

void Coordinator::worker_left(int worker, const WorkerStatistics& statistics,
                              std::span<const std::byte> details) {
  seen(worker).statistics = statistics;
  seen(worker).details.assign(details.begin(), details.end());
  ++left_;
}

void Coordinator::end_job(const std::string& why) {
  if (failure_.empty()) failure_ = why;
  queue_->drop_waiting();
}

void Coordinator::look_around() {
  if (!stopped_ && failure_.empty() && queue_->waiting() > 0) {
    stopped_for_time_ = hooks_.time_allows && time_is_over(options_.clock());
    stopped_ = stopped_for_time_ || (hooks_.should_stop && hooks_.should_stop());
    if (stopped_) queue_->drop_waiting();
  }
  if (options_.watchdog_s > 0) watch(options_.clock());
}

bool Coordinator::time_is_over(double now_s) {
  // Every start makes progress, however late it is.
  if (queue_->in_flight() == 0 && blocks_done_ + blocks_skipped_ == 0) return false;
  if (now_s - last_asked_s_ < kAskEvery_s) return false;
  last_asked_s_ = now_s;
  return !hooks_.time_allows(queue_->seconds_for_one_more(now_s));
}

void Coordinator::watch(double now_s) {
  const double since = now_s - last_watch_s_;
  if (since < std::min(1.0, options_.watchdog_s / 10)) return;
  last_watch_s_ = now_s;
  if (since > options_.watchdog_s / 2) {  // this process itself was suspended: the workers are not at fault
    for (Seen& one : seen_)
      one.heard_s = now_s;
  }
  for (int worker = 0; worker < static_cast<int>(seen_.size()); ++worker) {
    const Seen& one = seen(worker);
    if (one.statistics) continue;
    const double silent = now_s - one.heard_s;
    if (silent > options_.watchdog_s) give_up_on(worker, silent, "was not heard of");
    if (one.still_s > std::max(kShortestStandStill_s, kStandStill * options_.watchdog_s))
      give_up_on(worker, one.still_s, "made no progress");
  }
}

void Coordinator::give_up_on(int worker, double seconds, const std::string& what) const {
  const auto& held = queue_->held_by(worker);
  throw Error(fmt::format(
      "{} {} for {}; it had {}. The job ends; start it again to go on{}", name_of(worker), what,
      duration_text(seconds), held.empty() ? "no block" : hooks_.block_text(held.front()),
      options_.watchdog_setting.empty() ? ""
                                        : fmt::format(" ({} sets the limit)", options_.watchdog_setting)));
}

std::vector<WorkerAccount> Coordinator::accounts() const {
  std::vector<WorkerAccount> all;
  for (std::size_t w = 0; w < seen_.size(); ++w) {
    const Seen& one = seen_[w];
    if (one.statistics)
      all.push_back({static_cast<int>(w) + first_rank_, one.identity, *one.statistics, one.details});
  }
  return all;
}

void serve_workers(const Communicator& world, Coordinator& coordinator) {
  const int workers = world.size() - 1;
  coordinator.begin(workers, 1);
  const auto hand_to = [&](int worker) {
    const std::vector<std::int64_t> batch = coordinator.next_for(worker);
    if (!batch.empty()) send_values(world, worker + 1, kTagAssign, batch);
  };
  const auto hear = [&](const Message& message) {
    const int worker = message.source - 1;
    switch (message.tag) {
      case kTagHello:
        coordinator.worker_here(worker, value_of<WorkerIdentity>(message));
        break;
      case kTagReport:
        coordinator.hear(worker, reports_of(message));
        break;
      case kTagFailure:
        coordinator.hear(worker, failure_of(message));
        break;
      case kTagPulse:
        coordinator.hear(worker, value_of<WorkerPulse>(message));
        break;
      case kTagStatistics: {
        const WorkerEnd end = worker_end_of(message);
        coordinator.worker_left(worker, end.statistics, end.details);
        break;
      }
      default:
        break;
    }
    return message.tag == kTagFailure;
  };
  const auto everybody = [&](const auto& function) {
    for (int worker = 0; worker < workers; ++worker)
      function(worker);
  };
  everybody(hand_to);
  bool dismissed = false;
  const MpiWait waiting("hear of the workers' blocks");
  PoliteWait idle;
  while (coordinator.workers_left() < static_cast<std::size_t>(workers)) {
    bool heard = false;
    // Handles one message at a time, so that idle workers get blocks between two messages.
    if (const auto message = world.try_receive(MPI_ANY_TAG)) {
      heard = true;
      const bool failed = hear(*message);
      if (!dismissed) failed ? everybody(hand_to) : hand_to(message->source - 1);
    }
    coordinator.look_around();
    if (!dismissed && coordinator.over()) {
      everybody([&](int worker) { send_value(world, worker + 1, kTagAssign, kNoMoreBlocks); });
      dismissed = true;
    }
    heard ? idle.reset() : idle.pause();
  }
}

LocalBlockExchange::LocalBlockExchange(Coordinator& coordinator, const std::string& device)
    : coordinator_(coordinator) {
  coordinator_.begin(1, 0);
  coordinator_.worker_here(0, identity_of(device));
}

std::optional<std::int64_t> LocalBlockExchange::poll() {
  try {
    coordinator_.look_around();
  } catch (const Error& error) {
    // The stage that makes no progress is a thread of this process, which cannot be ended. What is done is in
    // the files.
    spdlog::error("{}", error.what());
    expect_exit();
    ::_exit(kExitFailed);
  }
  if (assigned_.empty()) {
    for (const std::int64_t id : coordinator_.next_for(0))
      assigned_.push_back(id);
  }
  if (assigned_.empty()) return std::nullopt;
  const std::int64_t id = assigned_.front();
  assigned_.pop_front();
  return id;
}

}  // namespace tessera
