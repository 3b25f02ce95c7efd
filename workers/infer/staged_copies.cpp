#include "workers/infer/staged_copies.h"

#include <ATen/Functions.h>
#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>

namespace tessera {
namespace {

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()),
          static_cast<std::size_t>(tensor.numel()) * tensor.element_size()};
}

/// The bytes of a dense tensor as a one-dimensional view.
at::Tensor flat_bytes(const at::Tensor& tensor) {
  return at::from_blob(tensor.data_ptr(), {static_cast<std::int64_t>(bytes_of(tensor).size())},
                       tensor.options().dtype(at::kByte));
}

/// Polls: not every version of LibTorch can wait for an event of a stream.
void wait_for(const c10::Event& event) {
  while (!event.query())
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

}  // namespace

class StagedCopies::Streams {
 public:
  Streams(const at::Device& device, std::int64_t piece_bytes)
      : device_(device), guard_(device.type()), to_device_(device, guard_), to_host_(device, guard_) {
    for (Direction* direction : {&to_device_, &to_host_}) {
      for (Piece& piece : direction->ring)
        piece.pinned = at::empty({piece_bytes}, at::TensorOptions(at::kByte).pinned_memory(device.is_cuda()));
    }
  }

  void to_device(std::span<const std::byte> from, const at::Tensor& to) {
    const at::Tensor target = flat_bytes(to);
    for (std::size_t at = 0; at < from.size();) {
      Piece& piece = next_free(to_device_);
      const std::size_t count = std::min(from.size() - at, bytes_of(piece.pinned).size());
      std::memcpy(piece.pinned.data_ptr(), from.data() + at, count);
      const c10::StreamGuard on(to_device_.stream);
      target.narrow(0, static_cast<std::int64_t>(at), static_cast<std::int64_t>(count))
          .copy_(piece.pinned.narrow(0, 0, static_cast<std::int64_t>(count)), /*non_blocking=*/true);
      piece.event.record(to_device_.stream);
      piece.busy = true;
      at += count;
    }
    c10::Event arrived(device_.type());
    arrived.record(to_device_.stream);
    arrived.block(guard_.getStream(device_));
  }

  void to_host(const at::Tensor& from, std::span<std::byte> to) {
    c10::Event computed(device_.type());
    computed.record(guard_.getStream(device_));
    host_copies_.push_back({flat_bytes(from), to, std::move(computed)});
    advance();
  }

  void advance() {
    while (!host_copies_.empty() && is_free(to_host_.ring[to_host_.next % to_host_.ring.size()]))
      start_next_piece();
  }

  bool is_idle() {
    advance();
    return host_copies_.empty() && std::ranges::all_of(to_host_.ring, is_free);
  }

  void drop() {
    for (Direction* direction : {&to_device_, &to_host_}) {
      for (Piece& piece : direction->ring)
        piece.target = {};
    }
    host_copies_.clear();
    wait();
    c10::Event computed(device_.type());
    computed.record(guard_.getStream(device_));
    wait_for(computed);
  }

  void wait() {
    while (!host_copies_.empty())
      start_next_piece();
    for (Direction* direction : {&to_device_, &to_host_}) {
      // In the order of their use.
      for (std::size_t i = 0; i < direction->ring.size(); ++i)
        next_free(*direction);
    }
  }

 private:
  struct Piece {
    explicit Piece(c10::DeviceType type) : event(type) {}
    at::Tensor pinned;
    c10::Event event;
    bool busy = false;
    std::span<std::byte> target;  ///< of a copy to the host; empty otherwise
  };
  struct Direction {
    Direction(const at::Device& device, const c10::impl::VirtualGuardImpl& guard)
        : stream(guard.getStreamFromGlobalPool(device)),
          ring{Piece(device.type()), Piece(device.type()), Piece(device.type())} {}
    c10::Stream stream;
    std::array<Piece, 3> ring;
    std::size_t next = 0;  ///< counts the buffers used so far
  };

  /// A pending copy to the host, or its remaining part.
  struct HostCopy {
    at::Tensor from;
    std::span<std::byte> to;
    std::optional<c10::Event> computed;  ///< the first piece must wait for it
  };

  static bool is_free(const Piece& piece) { return !piece.busy || piece.event.query(); }

  /// Starts the next piece of the oldest pending copy to the host. Waits for a free buffer in the ring.
  void start_next_piece() {
    HostCopy& copy = host_copies_.front();
    Piece& piece = next_free(to_host_);
    const std::size_t count = std::min(copy.to.size(), bytes_of(piece.pinned).size());
    const auto bytes = static_cast<std::int64_t>(count);
    if (copy.computed) copy.computed->block(to_host_.stream);
    copy.computed.reset();
    const c10::StreamGuard on(to_host_.stream);
    piece.pinned.narrow(0, 0, bytes).copy_(copy.from.narrow(0, 0, bytes), /*non_blocking=*/true);
    piece.event.record(to_host_.stream);
    piece.target = copy.to.first(count);
    piece.busy = true;
    copy.from = copy.from.narrow(0, bytes, copy.from.numel() - bytes);
    copy.to = copy.to.subspan(count);
    if (copy.to.empty()) host_copies_.pop_front();
  }

  /// The next buffer of the ring, free. Waits until its previous copy is complete.
  Piece& next_free(Direction& direction) {
    Piece& piece = direction.ring[direction.next++ % direction.ring.size()];
    if (piece.busy) {
      wait_for(piece.event);
      if (!piece.target.empty())
        std::memcpy(piece.target.data(), piece.pinned.data_ptr(), piece.target.size());
      piece.target = {};
      piece.busy = false;
    }
    return piece;
  }

  at::Device device_;
  c10::impl::VirtualGuardImpl guard_;
  Direction to_device_, to_host_;
  std::deque<HostCopy> host_copies_;  ///< pending: no free buffer in the ring yet
};

StagedCopies::StagedCopies(const at::Device& device, std::int64_t piece_bytes) {
  if (!device.is_cpu()) streams_ = std::make_unique<Streams>(device, piece_bytes);
}

StagedCopies::~StagedCopies() = default;

void StagedCopies::to_device(std::span<const std::byte> from, const at::Tensor& to) {
  if (streams_) return streams_->to_device(from, to);
  std::memcpy(bytes_of(to).data(), from.data(), from.size());
}

void StagedCopies::to_host(const at::Tensor& from, std::span<std::byte> to) {
  if (streams_) return streams_->to_host(from, to);
  std::memcpy(to.data(), bytes_of(from).data(), to.size());
}

bool StagedCopies::is_idle() {
  return !streams_ || streams_->is_idle();
}

void StagedCopies::wait() {
  if (streams_) streams_->wait();
}

void StagedCopies::drop() {
  if (streams_) streams_->drop();
}

}  // namespace tessera
