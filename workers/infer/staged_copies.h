#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace tessera {

/// Copies between the host's pageable memory and a device, concurrent with the device's computation. Each
/// direction has a stream and a ring of pinned staging buffers. So the copy into the ring, the copy over the
/// bus and the computation overlap. On the CPU they are plain copies.
///
/// All tensors are dense and on the device, and must live until wait(). All calls come from one thread.
class StagedCopies {
 public:
  /// `piece_bytes`: the size of one staging buffer, above 0.
  StagedCopies(const at::Device& device, std::int64_t piece_bytes);
  ~StagedCopies();

  /// Copies `from` to `to`, which has as many bytes. Computation queued after this call sees the data in
  /// `to`. `from` may change when this returns. Earlier computation that may still run must not read or write
  /// `to`.
  void to_device(std::span<const std::byte> from, const at::Tensor& to);
  /// Copies `from` to `to`, which has as many bytes, after the computation queued so far. The data is in `to`
  /// when wait() has returned. Does not wait: without a free staging buffer, the copy stays pending until a
  /// later call finds one.
  void to_host(const at::Tensor& from, std::span<std::byte> to);
  /// Whether wait() returns without waiting. Also continues the pending copies of to_host(), as far as the
  /// ring has free buffers.
  bool is_idle();
  /// Waits until all copies are complete.
  void wait();
  /// Waits until the device has completed all queued work, and discards the pending copies. Use it when their
  /// targets no longer exist.
  void drop();

 private:
  class Streams;
  std::unique_ptr<Streams> streams_;  ///< null on the CPU
};

}  // namespace tessera
