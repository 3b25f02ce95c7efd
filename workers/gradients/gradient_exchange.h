#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "workers/gradients/reduction_bucket.h"
#include "workers/gradients/sample_range.h"
#include "workers/mpi/communicator.h"

namespace tessera {

/// How the workers sum the gradients of one iteration. There is one implementation for each transport;
/// make_gradient_exchange chooses. One iteration:
///
///     exchange.begin(flat);
///     for each group of own samples: add the gradient to `flat` and the scalars to `sums`, then
///       exchange.end_samples(sums);
///     ... exchange.ready(n) during the last backward pass, where sends_early() ...
///     exchange.finish(sums);
///
/// The thread that trains calls everything but ready(). From begin() until finish() returns, the process
/// makes no other MPI call: an implementation may call MPI from its own thread.
class GradientExchange {
 public:
  virtual ~GradientExchange() = default;

  /// The transport, for logs and records.
  const std::string& text() const { return text_; }
  /// Whether final values are sent before finish(), so that ready() has an effect.
  virtual bool sends_early() const { return false; }

  /// Collective over the workers. `flat`: float32, on the parameters' device, of the same size on every
  /// worker and zero. It must live until finish() returns.
  virtual void begin(const at::Tensor& flat) { flat_ = flat; }
  /// The first `values` values of `flat` are final, on a GPU once the work queued so far is done. A lower
  /// number than before has no effect. Called by the thread that runs the backward pass, which may be one of
  /// LibTorch's own.
  virtual void ready(std::int64_t /*values*/) {}
  /// Not collective. To be called after the backward pass of each group of own samples, whose gradient and
  /// scalars were added to `flat` and `sums` (as in finish()). Without effect where sends_early().
  virtual void end_samples(at::Tensor& /*sums*/) {}
  /// Collective over the workers: replaces `flat` and `sums` by their sums over the workers, the same bits on
  /// every worker. `sums`: float64, contiguous, of the same size on every worker, on the host or on the
  /// device of `flat`. On a GPU the result may still be queued. Errors: Error when the transport fails.
  virtual void finish(at::Tensor& sums) = 0;

 protected:
  explicit GradientExchange(std::string text) : text_(std::move(text)) {}

  at::Tensor flat_;

 private:
  std::string text_;
};

struct GradientExchangeOptions {
  std::int64_t global_batch = 1;
  bool reproducible = false;      ///< fixed reduction order: the same bits for any number of workers
  Wire wire = Wire::float32;      ///< unused when reproducible
  bool nccl = true;               ///< on GPUs NCCL, if every worker has it
  std::string nccl_library = {};  ///< a replacement of NVIDIA's library, used on any device; empty: none
  bool cuda_aware_mpi = false;    ///< on GPUs without NCCL, on every worker: MPI reduces in device memory
  bool sums_on_device = false;    ///< the scalar sums are on the network's device
};

/// Collective over the workers, with the same options on each: the exchange for a network on `device`.
/// `workers` must outlive it. Errors: UsageError on every worker when cuda_aware_mpi is to be used and this
/// MPI lacks it; Error when NCCL exists and does not start.
std::unique_ptr<GradientExchange> make_gradient_exchange(const Communicator& workers,
                                                         const at::Device& device,
                                                         const GradientExchangeOptions& options);

/// The implementations. Each is collective over the workers.

/// One worker: the sums are there already.
std::unique_ptr<GradientExchange> make_no_exchange();
/// MPI in the host's memory. A network on the CPU sends during the backward pass (GradientReducer); the sums
/// of a network on another device are copied to the host in finish().
std::unique_ptr<GradientExchange> make_mpi_exchange(const Communicator& workers, const at::Device& device,
                                                    Wire wire, std::string text = "MPI");
/// MPI in the devices' memory, in finish(). Errors: UsageError on every worker where this MPI cannot.
std::unique_ptr<GradientExchange> make_cuda_aware_exchange(const Communicator& workers);
/// The reproducible mode: sums every sample on its own, in the order of a binary tree (SampleTree), in the
/// host's memory, in finish().
std::unique_ptr<GradientExchange> make_fixed_order_exchange(const Communicator& workers,
                                                            std::int64_t global_batch,
                                                            std::string text = "MPI");

}  // namespace tessera
