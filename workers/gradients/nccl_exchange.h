#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "workers/gradients/gradient_exchange.h"
#include "workers/mpi/nccl_sum.h"

namespace tessera {

/// NCCL in the devices' memory, during the backward pass. Final values are sent in buckets on a CUDA stream
/// of the exchange's own, in parallel with the computation. The host waits for nothing.
class NcclExchange : public GradientExchange {
 public:
  /// Not collective. `nccl` sums in memory of `device`.
  NcclExchange(std::unique_ptr<NcclSum> nccl, const at::Device& device,
               std::int64_t bucket_values = std::int64_t{1} << 18);
  ~NcclExchange() override;

  /// True even without a stream of its own: buckets then alternate with the computation.
  bool sends_early() const override { return true; }
  void begin(const at::Tensor& flat) override;
  /// Called by the thread that queues the computation of what is now final.
  void ready(std::int64_t values) override;
  /// `sums` are on the device. The computation queued afterwards waits for the result.
  void finish(at::Tensor& sums) override;

 private:
  struct Streams;
  NcclExchange(std::unique_ptr<NcclSum> nccl, std::unique_ptr<Streams> streams, std::int64_t bucket_values);
  static std::unique_ptr<Streams> make_streams(const at::Device& device);
  void send(std::int64_t end);
  void wait_for_computation();

  std::unique_ptr<NcclSum> nccl_;
  std::int64_t bucket_values_;
  std::unique_ptr<Streams> streams_;  ///< null: everything runs in the order of the default stream
  std::int64_t sent_ = 0;
};

}  // namespace tessera
