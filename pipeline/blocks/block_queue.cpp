#include "pipeline/blocks/block_queue.h"

#include <algorithm>
#include <cassert>
#include <utility>

namespace tessera {

BlockQueue::BlockQueue(std::vector<std::int64_t> order, int workers, const BlockQueueOptions& options)
    : options_(options),
      order_(std::move(order)),
      workers_(static_cast<std::size_t>(workers)),
      active_(workers) {
  assert(workers > 0);
  waiting_ = static_cast<std::int64_t>(order_.size());
  for (std::size_t w = 0; w < workers_.size(); ++w) {
    workers_[w].begin = order_.size() * w / workers_.size();
    workers_[w].end = order_.size() * (w + 1) / workers_.size();
  }
}

std::size_t BlockQueue::batch_of(const Worker& worker) const {
  double wanted = 1;
  if (worker.block_s > 0) wanted = options_.batch_s / worker.block_s;
  // Towards the end: half of each worker's share if all remaining blocks were distributed now.
  const double fair = static_cast<double>(waiting_) / static_cast<double>(2 * active_);
  return static_cast<std::size_t>(
      std::max(1.0, std::min({wanted, fair, static_cast<double>(options_.largest_batch)})));
}

/// Whether the other workers would finish the batch sooner than `worker`.
bool BlockQueue::would_be_late(const Worker& worker) const {
  double slowness = 1;  // blocks that another worker finishes while this one finishes one
  if (worker.block_s > 0 && known_ > 1)
    slowness =
        worker.block_s * static_cast<double>(known_ - 1) / std::max(1e-7, sum_block_s_ - worker.block_s);
  // The number of remaining blocks per active worker.
  const double rounds = static_cast<double>(waiting_) / static_cast<double>(active_);
  // A second batch only while each worker can get a block. The last blocks go to idle workers.
  if (!worker.held.empty() && rounds < 1) return true;
  // The margin is more than one block's time, because speeds are estimates. The last candidate always gets
  // it.
  return in_flight_ > 0 && slowness * (worker.held.empty() ? 1 : 2) > rounds + 2;
}

std::vector<std::int64_t> BlockQueue::next_for(int worker, double now_s) {
  Worker& to = at(worker);
  std::vector<std::int64_t> batch;
  if (to.suspended || waiting_ == 0) return batch;
  const std::size_t wanted = batch_of(to);
  if (to.held.size() > wanted) return batch;
  if (would_be_late(to)) return batch;
  // Blocks that failed elsewhere come first: their retry shows whether the block or the worker is at fault. A
  // single worker retries at the end, when a temporary cause may have passed.
  while (active_ > 1 && batch.size() < wanted && take_retry(worker, batch)) {
  }
  if (batch.empty() && to.begin == to.end && !take_retry(worker, batch) && !take_half_of_longest(to))
    return batch;
  while (batch.size() < wanted && to.begin < to.end)
    batch.push_back(order_[to.begin++]);
  if (to.held.empty()) to.last_end_s = now_s;
  to.held.insert(to.held.end(), batch.begin(), batch.end());
  waiting_ -= static_cast<std::int64_t>(batch.size());
  in_flight_ += static_cast<std::int64_t>(batch.size());
  return batch;
}

bool BlockQueue::take_retry(int worker, std::vector<std::int64_t>& batch) {
  const auto fit = std::find_if(retries_.begin(), retries_.end(), [&](const Retry& retry) {
    return retry.failed_by != worker || active_ == 1;
  });
  if (fit == retries_.end()) return false;
  batch.push_back(fit->block);
  retries_.erase(fit);
  return true;
}

bool BlockQueue::take_half_of_longest(Worker& thief) {
  const auto length = [](const Worker& w) { return w.end - w.begin; };
  Worker& longest =
      *std::max_element(workers_.begin(), workers_.end(),
                        [&](const Worker& a, const Worker& b) { return length(a) < length(b); });
  if (length(longest) == 0) return false;
  // Take the back half: the owner continues at the front.
  const std::size_t middle = longest.begin + length(longest) / 2;
  thief.begin = middle;
  thief.end = std::exchange(longest.end, middle);
  return true;
}

void BlockQueue::put_down(Worker& worker, std::int64_t block) {
  const auto held = std::find(worker.held.begin(), worker.held.end(), block);
  assert(held != worker.held.end());
  if (held == worker.held.end()) return;
  worker.held.erase(held);
  --in_flight_;
}

void BlockQueue::failed(int worker, std::int64_t block, double now_s) {
  put_down(at(worker), block);
  at(worker).last_end_s = now_s;
}

void BlockQueue::done(int worker, std::span<const std::int64_t> blocks, double now_s) {
  if (blocks.empty()) return;
  Worker& by = at(worker);
  for (const std::int64_t block : blocks)
    put_down(by, block);
  const double each = std::max(1e-7, (now_s - by.last_end_s) / static_cast<double>(blocks.size()));
  sum_block_s_ -= by.block_s;
  known_ += by.block_s == 0 ? 1 : 0;
  by.block_s = by.block_s == 0 ? each : 0.7 * by.block_s + 0.3 * each;
  sum_block_s_ += by.block_s;
  by.last_end_s = now_s;
}

void BlockQueue::retry(std::int64_t block, int worker) {
  retries_.push_back({block, worker});
  ++waiting_;
}

bool BlockQueue::suspend(int worker) {
  if (active_ == 1 || at(worker).suspended) return false;
  at(worker).suspended = true;
  --active_;
  return true;
}

void BlockQueue::resume(int worker) {
  if (!at(worker).suspended) return;
  at(worker).suspended = false;
  ++active_;
}

void BlockQueue::jump(int worker) {
  const Worker& who = at(worker);
  const auto begin = order_.begin() + static_cast<std::ptrdiff_t>(who.begin),
             end = order_.begin() + static_cast<std::ptrdiff_t>(who.end);
  std::rotate(begin, begin + (end - begin) / 2, end);
}

double BlockQueue::seconds_for_one_more(double now_s) const {
  double longest = 0;
  for (const Worker& worker : workers_) {
    if (worker.held.empty()) continue;
    const double since = now_s - worker.last_end_s;
    const double each = std::max(worker.block_s, worker.block_s == 0 ? 2 * since : since);
    longest = std::max(longest, each * static_cast<double>(worker.held.size() + 1) - since);
  }
  return longest;
}

void BlockQueue::drop_waiting() {
  for (Worker& worker : workers_)
    worker.end = worker.begin;
  retries_.clear();
  waiting_ = 0;
}

}  // namespace tessera
