#include "workers/gradients/nccl_exchange.h"

#include <ATen/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <algorithm>

namespace tessera {
namespace {

/// A CUDA stream that does not wait for the default one; null without CUDA's runtime. The function is looked
/// up in the process by its documented C interface, so that one source builds with and without CUDA.
void* make_cuda_stream() {
  constexpr unsigned kNonBlocking = 1;
  using Create = int (*)(void** stream, unsigned flags);
  const auto create = reinterpret_cast<Create>(dlsym(RTLD_DEFAULT, "cudaStreamCreateWithFlags"));
  void* stream = nullptr;
  return create != nullptr && create(&stream, kNonBlocking) == 0 ? stream : nullptr;
}

}  // namespace

/// The stream that sums, and the events by which it and the computing stream wait for each other.
struct NcclExchange::Streams {
  explicit Streams(const at::Device& on, void* cuda_stream)
      : device(on),
        handle(cuda_stream),
        // LibTorch identifies an external stream by its handle (c10::cuda::getStreamFromExternal).
        sums(c10::Stream::UNSAFE, on,
             static_cast<c10::StreamId>(reinterpret_cast<std::intptr_t>(cuda_stream))),
        computed(on.type()),
        summed(on.type()) {}

  c10::Stream computing() const { return c10::impl::VirtualGuardImpl(device.type()).getStream(device); }

  at::Device device;
  void* handle;
  c10::Stream sums;
  c10::Event computed, summed;
};

std::unique_ptr<NcclExchange::Streams> NcclExchange::make_streams(const at::Device& device) {
  if (!device.is_cuda()) return nullptr;
  const at::OptionalDeviceGuard on_device(device);
  void* stream = make_cuda_stream();
  return stream != nullptr ? std::make_unique<Streams>(device, stream) : nullptr;
}

NcclExchange::NcclExchange(std::unique_ptr<NcclSum> nccl, const at::Device& device,
                           std::int64_t bucket_values)
    : NcclExchange(std::move(nccl), make_streams(device), bucket_values) {}

NcclExchange::NcclExchange(std::unique_ptr<NcclSum> nccl, std::unique_ptr<Streams> streams,
                           std::int64_t bucket_values)
    : GradientExchange(streams ? "NCCL, during the backward pass" : "NCCL, after the backward pass"),
      nccl_(std::move(nccl)),
      bucket_values_(bucket_values),
      streams_(std::move(streams)) {}

NcclExchange::~NcclExchange() = default;

void NcclExchange::begin(const at::Tensor& flat) {
  GradientExchange::begin(flat);
  sent_ = 0;
}

void NcclExchange::wait_for_computation() {
  if (streams_ == nullptr) return;
  streams_->computed.record(streams_->computing());
  streams_->computed.block(streams_->sums);
}

/// Sends whole buckets up to `end`, and the last, shorter one when `end` is the size: the same buckets on
/// every worker.
void NcclExchange::send(std::int64_t end) {
  const std::int64_t size = flat_.numel();
  const auto next = [&] { return std::min(bucket_values_, size - sent_); };
  if (sent_ >= size || sent_ + next() > end) return;
  const at::OptionalDeviceGuard on_device(flat_.device());
  wait_for_computation();
  while (sent_ < size && sent_ + next() <= end) {
    const std::int64_t count = next();
    nccl_->sum(flat_.data_ptr<float>() + sent_, static_cast<std::size_t>(count),
               streams_ ? streams_->handle : nullptr);
    sent_ += count;
  }
}

void NcclExchange::ready(std::int64_t values) {
  send(values);
}

void NcclExchange::finish(at::Tensor& sums) {
  send(flat_.numel());
  const at::OptionalDeviceGuard on_device(flat_.device());
  wait_for_computation();
  nccl_->sum(sums.data_ptr<double>(), static_cast<std::size_t>(sums.numel()),
             streams_ ? streams_->handle : nullptr);
  if (streams_ != nullptr) {
    streams_->summed.record(streams_->sums);
    streams_->summed.block(streams_->computing());
  }
  flat_.reset();
}

}  // namespace tessera
