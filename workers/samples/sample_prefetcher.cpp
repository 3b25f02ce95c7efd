#include "workers/samples/sample_prefetcher.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "io/base/clock.h"

namespace tessera {

SamplePrefetcher::SamplePrefetcher(std::function<PreparedSample(std::int64_t)> make,
                                   std::function<std::int64_t(std::int64_t)> next, int threads,
                                   std::size_t ahead)
    : make_(std::move(make)),
      next_(std::move(next)),
      ahead_(std::max<std::size_t>(1, ahead)),
      threads_([this] { close(); }) {
  for (int i = 0; i < threads; ++i)
    threads_.start("to make samples", [this] { run(); });
}

void SamplePrefetcher::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
}

/// The first slot that no thread works on. The mutex is held.
std::shared_ptr<SamplePrefetcher::Slot> SamplePrefetcher::begin_next() {
  for (const auto& slot : slots_) {
    if (slot->begun) continue;
    slot->begun = true;
    ++busy_;
    return slot;
  }
  return nullptr;
}

void SamplePrefetcher::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    std::shared_ptr<Slot> slot;
    changed_.wait(lock, [&] { return closed_ || (slot = begin_next()) != nullptr; });
    if (slot == nullptr) return;
    lock.unlock();
    PreparedSample sample;
    std::exception_ptr error;
    try {
      sample = make_(slot->number);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    slot->sample = std::move(sample);
    slot->error = error;
    slot->done = true;
    --busy_;
    changed_.notify_all();
  }
}

/// Adds slots for the samples that follow. The mutex is held.
void SamplePrefetcher::refill(std::int64_t after) {
  while (slots_.size() < ahead_) {
    auto slot = std::make_shared<Slot>();
    slot->number = next_(slots_.empty() ? after : slots_.back()->number);
    slots_.push_back(std::move(slot));
  }
  changed_.notify_all();
}

void SamplePrefetcher::drop() {
  std::unique_lock lock(mutex_);
  slots_.clear();
  changed_.wait(lock, [this] { return busy_ == 0; });
}

PreparedSample SamplePrefetcher::take(std::int64_t number, const BetweenLayers& between) {
  constexpr std::chrono::milliseconds kLook{20};
  const double begin = seconds_now();
  if (threads_.empty()) {
    PreparedSample sample = make_(number);
    waited_s_ += seconds_now() - begin;
    return sample;
  }
  std::unique_lock lock(mutex_);
  if (slots_.empty() || slots_.front()->number != number) {
    slots_.clear();  // threads own the slots that they work on
    slots_.push_back(std::make_shared<Slot>());
    slots_.front()->number = number;
    refill(number);
  }
  const std::shared_ptr<Slot> slot = slots_.front();
  const auto done = [&] { return slot->done; };
  while (!changed_.wait_for(lock, kLook, done)) {
    if (!between) continue;
    lock.unlock();
    between();
    lock.lock();
  }
  slots_.pop_front();
  refill(number);
  waited_s_ += seconds_now() - begin;
  if (slot->error) std::rethrow_exception(slot->error);
  return std::move(slot->sample);
}

}  // namespace tessera
