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

/// A dense tensor as its bytes, for pieces of it.
at::Tensor flat_bytes(const at::Tensor& tensor) {
  return at::from_blob(tensor.data_ptr(), {static_cast<std::int64_t>(bytes_of(tensor).size())},
                       tensor.options().dtype(at::kByte));
}

/// A stream's events cannot be waited for by all versions of LibTorch, but asked.
void wait_for(const c10::Event& event) {
  while (!event.query())
    std::this_thread::sleep_for(std::chrono::microseconds(20));
}

}  // namespace

class StagedCopies::Streams {
 public:
  Streams(const at::Device& device, std::int64_t piece_bytes)
      : device_(device), guard_(device.type()), up_(device, guard_), down_(device, guard_) {
    for (Way* way : {&up_, &down_}) {
      for (Piece& piece : way->ring)
        piece.pinned = at::empty({piece_bytes}, at::TensorOptions(at::kByte).pinned_memory(device.is_cuda()));
    }
  }

  void to_device(std::span<const std::byte> from, const at::Tensor& to) {
    const at::Tensor target = flat_bytes(to);
    for (std::size_t at = 0; at < from.size();) {
      Piece& piece = next(up_);
      const std::size_t count = std::min(from.size() - at, bytes_of(piece.pinned).size());
      std::memcpy(piece.pinned.data_ptr(), from.data() + at, count);
      const c10::StreamGuard on(up_.stream);
      target.narrow(0, static_cast<std::int64_t>(at), static_cast<std::int64_t>(count))
          .copy_(piece.pinned.narrow(0, 0, static_cast<std::int64_t>(count)), /*non_blocking=*/true);
      piece.event.record(up_.stream);
      piece.busy = true;
      at += count;
    }
    c10::Event arrived(device_.type());
    arrived.record(up_.stream);
    arrived.block(guard_.getStream(device_));
  }

  void to_host(const at::Tensor& from, std::span<std::byte> to) {
    c10::Event computed(device_.type());
    computed.record(guard_.getStream(device_));
    downs_.push_back({flat_bytes(from), to, std::move(computed)});
    advance();
  }

  void advance() {
    while (!downs_.empty() && is_free(down_.ring[down_.turn % down_.ring.size()]))
      copy_down();
  }

  bool is_idle() {
    advance();
    return downs_.empty() && std::ranges::all_of(down_.ring, is_free);
  }

  void drop() {
    for (Way* way : {&up_, &down_}) {
      for (Piece& piece : way->ring)
        piece.target = {};
    }
    downs_.clear();
    wait();
    c10::Event computed(device_.type());
    computed.record(guard_.getStream(device_));
    wait_for(computed);
  }

  void wait() {
    while (!downs_.empty())
      copy_down();
    for (Way* way : {&up_, &down_}) {
      // The oldest first.
      for (std::size_t i = 0; i < way->ring.size(); ++i)
        next(*way);
    }
  }

 private:
  struct Piece {
    explicit Piece(c10::DeviceType type) : event(type) {}
    at::Tensor pinned;
    c10::Event event;
    bool busy = false;
    std::span<std::byte> target;  ///< of a copy to the host
  };
  struct Way {
    Way(const at::Device& device, const c10::impl::VirtualGuardImpl& guard)
        : stream(guard.getStreamFromGlobalPool(device)),
          ring{Piece(device.type()), Piece(device.type()), Piece(device.type())} {}
    c10::Stream stream;
    std::array<Piece, 3> ring;
    std::size_t turn = 0;
  };

  /// A copy to the host, or what is left of it.
  struct Down {
    at::Tensor from;
    std::span<std::byte> to;
    std::optional<c10::Event> computed;  ///< to be waited for before its first piece
  };

  static bool is_free(const Piece& piece) { return !piece.busy || piece.event.query(); }

  /// The next piece of the copies to the host sets out, as soon as the ring has room for it.
  void copy_down() {
    Down& down = downs_.front();
    Piece& piece = next(down_);
    const std::size_t count = std::min(down.to.size(), bytes_of(piece.pinned).size());
    const auto bytes = static_cast<std::int64_t>(count);
    if (down.computed) down.computed->block(down_.stream);
    down.computed.reset();
    const c10::StreamGuard on(down_.stream);
    piece.pinned.narrow(0, 0, bytes).copy_(down.from.narrow(0, 0, bytes), /*non_blocking=*/true);
    piece.event.record(down_.stream);
    piece.target = down.to.first(count);
    piece.busy = true;
    down.from = down.from.narrow(0, bytes, down.from.numel() - bytes);
    down.to = down.to.subspan(count);
    if (down.to.empty()) downs_.pop_front();
  }

  /// The piece whose turn it is, free again.
  Piece& next(Way& way) {
    Piece& piece = way.ring[way.turn++ % way.ring.size()];
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
  Way up_, down_;
  std::deque<Down> downs_;  ///< without room in the ring yet
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
