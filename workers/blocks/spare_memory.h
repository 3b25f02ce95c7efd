#pragma once

#include <cstddef>
#include <mutex>
#include <utility>
#include <vector>

namespace tessera {

/// Recycles the memory of finished blocks. The page faults of a new allocation of tens of megabytes cost as
/// much as copying it.
class SpareMemory {
 public:
  std::vector<std::byte> take() {
    const std::lock_guard lock(mutex_);
    if (spare_.empty()) return {};
    std::vector<std::byte> memory = std::move(spare_.back());
    spare_.pop_back();
    return memory;
  }
  void give(std::vector<std::byte> memory) {
    const std::lock_guard lock(mutex_);
    if (spare_.size() < kMost) spare_.push_back(std::move(memory));
  }

 private:
  static constexpr std::size_t kMost = 2;
  std::mutex mutex_;
  std::vector<std::vector<std::byte>> spare_;
};

}  // namespace tessera
