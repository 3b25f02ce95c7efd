#include "workers/gradients/sample_tree.h"

#include <algorithm>
#include <functional>
#include <map>
#include <stdexcept>
#include <utility>

#include "io/geometry/box.h"
#include "workers/mpi/mpi_lock.h"

namespace tessera {
namespace {

/// Values of the result that are exchanged at a time, so that counts stay small and memory bounded.
constexpr std::int64_t kBlockValues = std::int64_t{1} << 22;

template <class T>
void add_to(std::vector<T>& sum, const std::vector<T>& values) {
  std::transform(sum.begin(), sum.end(), values.begin(), sum.begin(), std::plus<>());
}

void wait_for(MPI_Request request, const char* what) {
  const MpiWait waiting(what);
  PoliteWait idle(100);
  for (int done = 0;; idle.pause()) {
    call_mpi(what, [&] { return MPI_Test(&request, &done, MPI_STATUS_IGNORE); });
    if (done != 0) return;
  }
}

/// Completes the tree below a node from the parts, in the memory of the leftmost one. Null for a node beyond
/// the batch.
template <class T>
class Completion {
 public:
  Completion(std::map<std::pair<std::int64_t, int>, T*> parts, std::int64_t samples, std::int64_t count)
      : parts_(std::move(parts)), samples_(samples), count_(count) {}

  T* node(std::int64_t first, int level) const {
    if (first >= samples_) return nullptr;
    const auto part = parts_.find({first, level});
    if (part != parts_.end()) return part->second;
    if (level == 0) throw std::logic_error("a sample of the batch was not added");
    T* left = node(first, level - 1);
    const T* right = node(first + (std::int64_t{1} << (level - 1)), level - 1);
    for (std::int64_t i = 0; right != nullptr && i < count_; ++i)
      left[i] += right[i];
    return left;
  }

 private:
  std::map<std::pair<std::int64_t, int>, T*> parts_;
  std::int64_t samples_, count_;
};

int root_level(std::int64_t samples) {
  int level = 0;
  while ((std::int64_t{1} << level) < samples)
    ++level;
  return level;
}

}  // namespace

bool SampleTree::are_siblings(const Part& left, const Part& right) {
  return left.level == right.level && left.first % (std::int64_t{2} << left.level) == 0;
}

void SampleTree::add(std::span<const float> values, std::span<const double> scalars) {
  const SampleRange range = samples_of(global_batch_, workers_.rank(), workers_.size());
  Part part{range.begin + added_++, 0};
  if (!spare_.empty()) {
    part.values = std::move(spare_.back());
    spare_.pop_back();
  }
  part.values.assign(values.begin(), values.end());
  part.scalars.assign(scalars.begin(), scalars.end());
  own_.push_back(std::move(part));
  while (own_.size() > 1 && are_siblings(own_[own_.size() - 2], own_.back())) {
    Part right = std::move(own_.back());
    own_.pop_back();
    add_to(own_.back().values, right.values);
    add_to(own_.back().scalars, right.scalars);
    ++own_.back().level;
    spare_.push_back(std::move(right.values));
  }
}

std::vector<SampleTree::Part> SampleTree::parts_of(int worker) const {
  const SampleRange range = samples_of(global_batch_, worker, workers_.size());
  std::vector<Part> parts;
  for (std::int64_t sample = range.begin; sample < range.end; ++sample) {
    parts.push_back({sample, 0});
    while (parts.size() > 1 && are_siblings(parts[parts.size() - 2], parts.back())) {
      parts.pop_back();
      ++parts.back().level;
    }
  }
  return parts;
}

template <class T>
void SampleTree::sum_over_workers(std::vector<T> Part::*content, MPI_Datatype type,
                                  std::span<T> result) const {
  const int count = workers_.size();
  std::vector<std::vector<Part>> parts;
  for (int worker = 0; worker < count; ++worker)
    parts.push_back(parts_of(worker));
  const auto size = static_cast<std::int64_t>(result.size());
  for (std::int64_t block = 0; block < size; block += kBlockValues) {
    const std::int64_t length = std::min(kBlockValues, size - block),
                       slice = ceil_div(length, std::int64_t{count});
    // Each worker receives its slice of all own parts, padded with zeros.
    std::vector<T> sent(own_.size() * static_cast<std::size_t>(slice * count));
    T* to = sent.data();
    std::vector<int> sent_counts, sent_at, received_counts, received_at;
    int all = 0;
    for (int worker = 0; worker < count; ++worker) {
      sent_counts.push_back(static_cast<int>(slice) * static_cast<int>(own_.size()));
      sent_at.push_back(static_cast<int>(to - sent.data()));
      const std::int64_t begin = block + std::min(length, worker * slice),
                         end = block + std::min(length, (worker + 1) * slice);
      for (const Part& part : own_) {
        std::copy((part.*content).begin() + begin, (part.*content).begin() + end, to);
        to += slice;
      }
      received_at.push_back(all);
      received_counts.push_back(static_cast<int>(slice) *
                                static_cast<int>(parts[static_cast<std::size_t>(worker)].size()));
      all += received_counts.back();
    }
    std::vector<T> received(static_cast<std::size_t>(all));
    if (count == 1) {
      received = std::move(sent);
    } else {
      MPI_Request request = MPI_REQUEST_NULL;
      call_mpi("exchange the gradients of the workers", [&] {
        return MPI_Ialltoallv(sent.data(), sent_counts.data(), sent_at.data(), type, received.data(),
                              received_counts.data(), received_at.data(), type, workers_.handle(), &request);
      });
      wait_for(request, "exchange the gradients of the workers");
    }
    std::map<std::pair<std::int64_t, int>, T*> places;
    T* at = received.data();
    for (const auto& of_worker : parts) {
      for (const Part& part : of_worker) {
        places[{part.first, part.level}] = at;
        at += slice;
      }
    }
    const T* sum = Completion<T>(std::move(places), global_batch_, slice).node(0, root_level(global_batch_));
    if (count == 1) {
      std::copy(sum, sum + length, result.begin() + block);
      continue;
    }
    std::vector<T> gathered(static_cast<std::size_t>(slice * count));
    MPI_Request request = MPI_REQUEST_NULL;
    call_mpi("give the gradients' sums to all workers", [&] {
      return MPI_Iallgather(sum, static_cast<int>(slice), type, gathered.data(), static_cast<int>(slice),
                            type, workers_.handle(), &request);
    });
    wait_for(request, "give the gradients' sums to all workers");
    std::copy(gathered.begin(), gathered.begin() + length, result.begin() + block);
  }
}

void SampleTree::sum(std::span<float> values, std::span<double> scalars) {
  sum_over_workers(&Part::values, MPI_FLOAT, values);
  sum_over_workers(&Part::scalars, MPI_DOUBLE, scalars);
  for (Part& part : own_)
    spare_.push_back(std::move(part.values));
  own_.clear();
  added_ = 0;
}

}  // namespace tessera
