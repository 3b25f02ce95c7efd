#include "workers/gradients/gradient_reducer.h"

#include <algorithm>
#include <bit>
#include <vector>

#include "io/base/clock.h"
#include "io/base/error.h"
#include "io/geometry/box.h"

namespace tessera {

/// Some values on their way.
class GradientReducer::Bucket {
 public:
  virtual ~Bucket() = default;
  /// Goes on as far as it can; Errors: Error. Collectives of a communicator must begin in the same order on
  /// every worker: the second ones, too, so `may_gather` is whether all buckets before have begun theirs.
  virtual void advance(bool may_gather) = 0;
  bool gathers() const { return gathers_; }
  bool has_arrived() const { return arrived_; }

 protected:
  bool gathers_ = false;  ///< the last collective has begun
  bool arrived_ = false;
};

namespace {

constexpr const char* kWhat = "sum the gradients over the workers";

bool has_ended(MPI_Request& request) {
  int done = 0;
  check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), kWhat);
  return done != 0;
}

std::uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U)
    return static_cast<std::uint16_t>((bits >> 16) | 0x40U);  // stays a NaN
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}
float from_bfloat16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

}  // namespace

GradientReducer::GradientReducer(const Communicator& workers, const GradientReducerOptions& options)
    : workers_(workers), options_(options) {
  if (workers.size() == 1) return;
  if (options.wire == Wire::bfloat16) gathering_ = std::make_unique<Communicator>(workers.split(0));
  int level = MPI_THREAD_SINGLE;
  check_mpi(MPI_Query_thread(&level), "tell its thread support");
  if (level >= MPI_THREAD_SERIALIZED) thread_ = std::jthread([this] { run(); });
}

GradientReducer::~GradientReducer() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

namespace {

/// The sum of all at once, in place.
template <class Base>
class WholeSum : public Base {
 public:
  WholeSum(std::span<float> values, MPI_Comm workers) {
    check_mpi(MPI_Iallreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_FLOAT, MPI_SUM,
                             workers, &request_),
              kWhat);
    this->gathers_ = true;
  }
  void advance(bool) override { this->arrived_ = has_ended(request_); }

 private:
  MPI_Request request_ = MPI_REQUEST_NULL;
};

/// Every worker gets a slice of all workers' values, sums it in their order, and gives the sum to all.
template <class Base>
class HalfWidthSum : public Base {
 public:
  HalfWidthSum(std::span<float> values, MPI_Comm workers, MPI_Comm gathering, int count)
      : values_(values),
        gathering_(gathering),
        slice_(static_cast<std::size_t>(ceil_div(static_cast<std::int64_t>(values.size()), count))),
        sent_(slice_ * static_cast<std::size_t>(count)),
        received_(sent_.size()) {
    std::transform(values.begin(), values.end(), sent_.begin(), to_bfloat16);
    check_mpi(MPI_Ialltoall(sent_.data(), static_cast<int>(slice_), MPI_UINT16_T, received_.data(),
                            static_cast<int>(slice_), MPI_UINT16_T, workers, &request_),
              kWhat);
  }

  void advance(bool may_gather) override {
    if (!ended_) ended_ = has_ended(request_);
    if (!ended_) return;
    if (this->gathers_) {
      std::transform(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(values_.size()),
                     values_.begin(), from_bfloat16);
      this->arrived_ = true;
    } else if (may_gather) {
      std::vector<float> sum(slice_);
      for (std::size_t from = 0; from < received_.size(); from += slice_) {
        for (std::size_t i = 0; i < slice_; ++i)
          sum[i] += from_bfloat16(received_[from + i]);
      }
      std::transform(sum.begin(), sum.end(), sent_.begin(), to_bfloat16);
      check_mpi(MPI_Iallgather(sent_.data(), static_cast<int>(slice_), MPI_UINT16_T, received_.data(),
                               static_cast<int>(slice_), MPI_UINT16_T, gathering_, &request_),
                kWhat);
      this->gathers_ = true;
      ended_ = false;
    }
  }

 private:
  std::span<float> values_;
  MPI_Comm gathering_;
  std::size_t slice_;
  std::vector<std::uint16_t> sent_, received_;
  MPI_Request request_ = MPI_REQUEST_NULL;
  bool ended_ = false;  ///< the collective that has begun last
};

}  // namespace

std::unique_ptr<GradientReducer::Bucket> GradientReducer::make_bucket(std::span<float> values) const {
  if (options_.wire == Wire::float32) return std::make_unique<WholeSum<Bucket>>(values, workers_.handle());
  return std::make_unique<HalfWidthSum<Bucket>>(values, workers_.handle(), gathering_->handle(),
                                                workers_.size());
}

void GradientReducer::begin(std::span<float> values) {
  const std::lock_guard lock(mutex_);
  values_ = values;
  begun_ = 0;
  travelling_.clear();
  ready_ = 0;
  error_ = nullptr;
  waited_for_ = false;
  active_ = workers_.size() > 1;
  changed_.notify_all();
}

void GradientReducer::ready(std::int64_t values) {
  const std::lock_guard lock(mutex_);
  ready_ = std::max(ready_, values);
  changed_.notify_all();
}

/// Begins what is ready and hears what has arrived. Returns whether anything happened.
bool GradientReducer::advance(std::int64_t ready) {
  const auto size = static_cast<std::int64_t>(values_.size());
  bool happened = false;
  while (begun_ < size && (begun_ + options_.bucket_values <= ready || ready == size)) {
    const std::int64_t count = std::min(options_.bucket_values, size - begun_);
    travelling_.push_back(
        make_bucket(values_.subspan(static_cast<std::size_t>(begun_), static_cast<std::size_t>(count))));
    begun_ += count;
    happened = true;
  }
  bool all_gather = true;
  for (const auto& bucket : travelling_) {
    const bool gathered = bucket->gathers();
    bucket->advance(all_gather);
    all_gather = bucket->gathers();
    happened = happened || all_gather != gathered || bucket->has_arrived();
    if (!all_gather) break;  // nor may those behind it
  }
  std::erase_if(travelling_, [](const auto& bucket) { return bucket->has_arrived(); });
  return happened;
}

void GradientReducer::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closed_ || active_; });
    if (closed_) return;
    PoliteWait waiting(100);
    while (active_ && !closed_) {
      const std::int64_t ready = ready_;
      lock.unlock();
      bool happened = false;
      std::exception_ptr error;
      try {
        happened = advance(ready);
      } catch (...) {
        error = std::current_exception();
      }
      const bool idle = travelling_.empty();
      const bool done = error || (idle && begun_ == static_cast<std::int64_t>(values_.size()));
      lock.lock();
      if (done) {
        error_ = error;
        active_ = false;
        changed_.notify_all();
      } else if (idle) {
        changed_.wait(lock, [&] { return closed_ || ready_ != ready; });
      } else if (happened) {
        waiting.reset();
      } else {
        lock.unlock();
        waiting.pause();
        lock.lock();
      }
    }
  }
}

double GradientReducer::finish() {
  const double begin = seconds_now();
  if (thread_.joinable()) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !active_; });
    if (error_) std::rethrow_exception(error_);
  } else if (active_) {
    PoliteWait waiting;
    while (begun_ < static_cast<std::int64_t>(values_.size()) || !travelling_.empty()) {
      advance(ready_) ? waiting.reset() : waiting.pause();
    }
    active_ = false;
  }
  return seconds_now() - begin;
}

SampleRange samples_of(std::int64_t global_batch, int worker, int workers) {
  return {global_batch * worker / workers, global_batch * (worker + 1) / workers};
}

}  // namespace tessera
