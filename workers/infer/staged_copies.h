#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace tessera {

/// Copies between the host's pageable memory and a device, beside what the device computes: one stream for
/// each way, and a ring of pinned memory that they pass through in pieces, so that the copy into the ring,
/// the copy over the bus and the computation overlap. On the CPU they are plain copies.
///
/// All tensors are dense, of the device, and must live until wait(). Calls come from one thread.
class StagedCopies {
 public:
  /// `piece_bytes`: what one step of the ring holds, above 0.
  StagedCopies(const at::Device& device, std::int64_t piece_bytes);
  ~StagedCopies();

  /// What is computed from now on sees `from` in `to`, of as many bytes. `from` may change when this returns.
  /// `to` must not be read or written by anything that was computed before and may not have ended yet.
  void to_device(std::span<const std::byte> from, const at::Tensor& to);
  /// What has been computed so far leaves `from` in `to`, of as many bytes, when wait() has returned. Waits
  /// for nothing: what finds no room in the ring stays in `from` until later calls find some.
  void to_host(const at::Tensor& from, std::span<std::byte> to);
  /// Whether wait() would not have to: brings on what to_host() had no room for, as far as that goes.
  bool is_idle();
  /// Until all copies have arrived.
  void wait();
  /// Until the device has ended all that it was given; copies that have not arrived yet are lost. For when
  /// their targets are no longer there.
  void drop();

 private:
  class Streams;
  std::unique_ptr<Streams> streams_;  ///< none on the CPU
};

}  // namespace tessera
