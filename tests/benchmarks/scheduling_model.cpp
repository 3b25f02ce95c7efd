#include "tests/benchmarks/scheduling_model.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numbers>
#include <numeric>
#include <queue>
#include <tuple>
#include <utility>
#include <vector>

#include "io/base/clock.h"
#include "pipeline/blocks/coordinator.h"

namespace tessera {
namespace {

/// Uniform in (0, 1), a function of its arguments: a block takes the same time on every worker.
double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t number) {
  std::uint64_t x =
      seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03 + number;  // SplitMix64's finalizer
  for (int round = 0; round < 2; ++round) {
    x += 0x9E3779B97F4A7C15;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    x ^= x >> 31;
  }
  return (static_cast<double>(x >> 11) + 0.5) * 0x1p-53;
}

double normal(std::uint64_t seed, std::uint64_t number) {
  return std::sqrt(-2 * std::log(uniform(seed, 1, number))) *
         std::cos(2 * std::numbers::pi * uniform(seed, 2, number));
}

/// Slow workers and stragglers are spread over the ranks.
double speed_of(const SimulatedWorkers& job, int worker) {
  const auto is_one_of = [&](std::int64_t some, std::int64_t shift) {
    const std::int64_t w = (worker + shift) % job.count;
    return (w + 1) * some / job.count > w * some / job.count;
  };
  if (is_one_of(job.stragglers, job.count / 3)) return job.straggler_speed;
  if (is_one_of(std::llround(job.slow_share * job.count), 0)) return job.slow_speed;
  return 1;
}

double seconds_of_block(const SimulatedWorkers& job, std::int64_t id, double speed) {
  if (static_cast<double>(id) < job.background * static_cast<double>(job.blocks)) return job.skip_s;
  const double s = job.log_deviation;
  return job.block_s * std::exp(s * normal(job.seed, static_cast<std::uint64_t>(id)) - s * s / 2) / speed;
}

std::vector<std::int64_t> ids(std::int64_t blocks) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(blocks));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  return order;
}

/// The journal's file: records are appended, and synced to the disk at intervals.
class SimulatedJournal {
 public:
  explicit SimulatedJournal(const SimulatedCosts& costs) : costs_(costs) {}

  /// When a record appended at `now_s` is in the file.
  double append(double now_s) {
    const double sync_end = sync_begin_ + costs_.sync_s;
    if (now_s >= sync_begin_) {
      now_s = std::max(now_s, sync_end);
      sync_begin_ = now_s + costs_.sync_every_s;
    }
    return now_s + costs_.append_s;
  }

 private:
  const SimulatedCosts& costs_;
  double sync_begin_ = 0;  ///< of the sync that the latest record waits for
};

/// When rank 0 looks for a message again after it has found none, as serve_workers() does with PoliteWait.
class Sleeper {
 public:
  Sleeper(bool polite, double look_s) : polite_(polite), look_s_(look_s) {
    double at = 0;
    for (int round = 1; round <= 99; ++round) {
      at += look_s_ + (round <= 50 ? 0 : 20e-6 * (round - 50) + kSlack_s);
      looks_.push_back(at);
    }
  }

  /// The first look at or after `arrival_s`, with looks counted from `idle_since_s`.
  double look_after(double idle_since_s, double arrival_s) const {
    const double wait = arrival_s - idle_since_s;
    if (!polite_) return arrival_s;
    if (wait <= looks_.back()) return idle_since_s + *std::lower_bound(looks_.begin(), looks_.end(), wait);
    const double period = 1e-3 + kSlack_s + look_s_;
    return idle_since_s + looks_.back() + period * std::ceil((wait - looks_.back()) / period);
  }

 private:
  static constexpr double kSlack_s =
      55e-6;  // Linux sleeps so much longer than asked (its timer slack is 50 us)
  bool polite_;
  double look_s_;
  std::vector<double> looks_;  ///< since the beginning of the wait
};

/// A worker's three stages, with at most one block in each and one between two.
struct Stages {
  double speed = 1;
  double picked_up_s = 0;
  double read_free_s = 0, loaded_free_s = 0, predict_free_s = 0, to_write_free_s = 0, write_free_s = 0;
  double first_s = -1, predicted_s = 0, last_s = 0;  ///< begin of the first prediction, sum, end of the last
  std::uint64_t draws = 0;

  /// Adds a block that is assigned at `known_s` and takes `block_s`; returns when it is on the disk.
  double take(double known_s, double block_s, double read, double write) {
    const double loaded = std::max(known_s, read_free_s) + read * block_s;
    read_free_s = std::max(loaded, loaded_free_s);  // the block before has left the place between the stages
    const double begin = std::max(read_free_s, predict_free_s);
    loaded_free_s = begin;
    const double end = begin + block_s;
    predict_free_s = std::max(end, to_write_free_s);
    to_write_free_s = std::max(predict_free_s, write_free_s);
    write_free_s = to_write_free_s + write * block_s;
    if (first_s < 0) first_s = begin;
    predicted_s += block_s;
    last_s = end;
    return write_free_s;
  }
};

class Simulation {
 public:
  Simulation(const SimulatedWorkers& job, const SimulatedCosts& costs, const BlockQueueOptions& queue)
      : job_(job),
        costs_(costs),
        journal_(costs_),
        look_s_(costs.look_s + costs.look_per_rank_s * (job.count + 1)),
        sleeper_(costs.polite_wait, look_s_),
        workers_(static_cast<std::size_t>(job.count)),
        coordinator_(ids(job.blocks), {}, options(queue)) {
    for (int w = 0; w < job_.count; ++w)
      at(w).speed = speed_of(job_, w);
  }

  SimulatedRun run() {
    coordinator_.begin(job_.count, 1);
    for (int w = 0; w < job_.count; ++w) {
      events_.push({0, Kind::hello, w, 0});
      std::vector<std::int64_t> batch;
      now_s_ += policy([&] { batch = coordinator_.next_for(w); });
      send(w, batch);
    }
    // Unlimited if rank 0 is slower than its messages arrive.
    const double too_late_s = 10 + 4 * job_.block_s * static_cast<double>(job_.blocks / job_.count + 1);
    while (!coordinator_.over() && now_s_ < too_late_s) {
      const Event event = events_.top();
      events_.pop();
      serve(event);
      if (event.kind != Kind::report && job_.pulse_every_s > 0) {
        const double first =
            event.kind == Kind::hello ? uniform(job_.seed, 3, static_cast<std::uint64_t>(event.worker)) : 1;
        events_.push({event.arrival_s + first * job_.pulse_every_s, Kind::pulse, event.worker, 0});
      }
    }
    return account();
  }

 private:
  enum class Kind { hello, report, pulse };
  struct Event {
    double arrival_s = 0;  ///< at rank 0
    Kind kind = Kind::pulse;
    int worker = 0;
    std::int64_t block = 0;
    bool operator<(const Event& other) const {  // the earliest is the queue's top
      return std::tie(other.arrival_s, other.worker, other.block) < std::tie(arrival_s, worker, block);
    }
  };

  CoordinatorOptions options(const BlockQueueOptions& queue) {
    CoordinatorOptions options;
    options.watchdog_s = 1800;
    options.queue = queue;
    options.clock = [this] { return now_s_; };
    return options;
  }

  Stages& at(int worker) { return workers_[static_cast<std::size_t>(worker)]; }

  /// Runs the coordinator's code and returns its time on rank 0.
  template <class Function>
  double policy(Function&& function) {
    constexpr double kInterrupted_s = 2.5e-3;  // another process had the core
    const double begin = seconds_now();
    function();
    double took = seconds_now() - begin;
    if (took > kInterrupted_s) took = 0;
    run_.policy_s += took;
    return costs_.policy ? took : 0;
  }

  /// Sends a batch at rank 0's current time, and computes what the worker does with it.
  void send(int worker, const std::vector<std::int64_t>& batch) {
    if (batch.empty()) return;
    now_s_ += costs_.send_s;
    Stages& to = at(worker);
    const double delay =
        job_.pick_up_s * uniform(job_.seed, 4 + static_cast<std::uint64_t>(worker), to.draws++);
    to.picked_up_s = std::max(to.picked_up_s, now_s_ + costs_.latency_s + delay);
    for (const std::int64_t id : batch) {
      const double done_s =
          to.take(to.picked_up_s, seconds_of_block(job_, id, to.speed), job_.read, job_.write);
      end_s_ = std::max(end_s_, done_s);
      events_.push({done_s + costs_.latency_s, Kind::report, worker, id});
    }
  }

  void serve(const Event& event) {
    if (event.arrival_s > now_s_) now_s_ = sleeper_.look_after(now_s_, event.arrival_s);
    const double begin = now_s_;
    now_s_ += look_s_ + costs_.receive_s;
    std::vector<std::int64_t> batch;
    now_s_ += policy([&] {
      if (event.kind == Kind::report)
        coordinator_.hear(event.worker, std::vector{BlockReport{event.block, 1, 0}});
      if (event.kind == Kind::pulse) coordinator_.hear(event.worker, WorkerPulse{});
      if (event.kind == Kind::hello) coordinator_.worker_here(event.worker, {});
      batch = coordinator_.next_for(event.worker);
      coordinator_.look_around();
    });
    if (event.kind == Kind::report) now_s_ = journal_.append(now_s_);
    send(event.worker, batch);
    run_.rank0_busy += now_s_ - begin;
    ++run_.messages;
  }

  SimulatedRun account() {
    run_.finished = coordinator_.over();
    if (!run_.finished) end_s_ = std::max(end_s_, now_s_);
    double start = 0, tail = 0;
    for (const Stages& one : workers_) {
      run_.predicted_s += one.predicted_s;
      start += one.first_s < 0 ? end_s_ : one.first_s;
      tail += one.first_s < 0 ? 0 : end_s_ - one.last_s;
    }
    const double all = end_s_ * job_.count;
    run_.elapsed_s = end_s_;
    run_.idle = 1 - run_.predicted_s / all;
    run_.idle_start = start / all;
    run_.idle_tail = tail / all;
    run_.idle_between = run_.idle - run_.idle_start - run_.idle_tail;
    run_.rank0_busy /= end_s_;
    run_.blocks = coordinator_.blocks_done();
    return run_;
  }

  SimulatedWorkers job_;
  SimulatedCosts costs_;
  SimulatedJournal journal_;
  double look_s_;
  Sleeper sleeper_;
  double now_s_ = 0;  ///< until which rank 0 is busy
  double end_s_ = 0;  ///< of the last block
  std::vector<Stages> workers_;
  std::priority_queue<Event> events_;
  Coordinator coordinator_;
  SimulatedRun run_;
};

}  // namespace

SimulatedRun simulate(const SimulatedWorkers& workers, const SimulatedCosts& costs,
                      const BlockQueueOptions& queue) {
  return Simulation(workers, costs, queue).run();
}

double idle_of_one_line(const SimulatedWorkers& workers) {
  std::priority_queue<std::pair<double, int>, std::vector<std::pair<double, int>>, std::greater<>>
      free;  // when, who
  for (int w = 0; w < workers.count; ++w)
    free.emplace(0, w);
  double predicted_s = 0, end_s = 0;
  for (std::int64_t id = 0; id < workers.blocks; ++id) {
    const auto [begin_s, worker] = free.top();
    free.pop();
    const double took_s = seconds_of_block(workers, id, speed_of(workers, worker));
    predicted_s += took_s;
    end_s = std::max(end_s, begin_s + took_s);
    free.emplace(begin_s + took_s, worker);
  }
  return 1 - predicted_s / (end_s * workers.count);
}

}  // namespace tessera
