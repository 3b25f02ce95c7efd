#include "workers/gradients/nccl_reducer.h"

#include <ATen/DeviceGuard.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <dlfcn.h>

#include <algorithm>

namespace tessera {
namespace {

/// A CUDA stream that does not wait for the default one; null without CUDA's runtime. By its documented C
/// interface, found in the process, so that one source builds with and without CUDA.
void* make_cuda_stream() {
  constexpr unsigned kNonBlocking = 1;
  using Create = int (*)(void** stream, unsigned flags);
  const auto create = reinterpret_cast<Create>(dlsym(RTLD_DEFAULT, "cudaStreamCreateWithFlags"));
  void* stream = nullptr;
  return create != nullptr && create(&stream, kNonBlocking) == 0 ? stream : nullptr;
}

}  // namespace

/// The stream that sums, and how it and the computing stream wait for each other.
struct NcclReducer::Streams {
  explicit Streams(const at::Device& on, void* cuda_stream)
      : device(on),
        handle(cuda_stream),
        // LibTorch names a stream from elsewhere by its handle (c10::cuda::getStreamFromExternal).
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

NcclReducer::NcclReducer(std::unique_ptr<NcclSum> nccl, const at::Device& device, std::int64_t bucket_values)
    : nccl_(std::move(nccl)), bucket_values_(bucket_values) {
  if (!device.is_cuda()) return;
  const at::OptionalDeviceGuard on_device(device);
  void* stream = make_cuda_stream();
  if (stream != nullptr) streams_ = std::make_unique<Streams>(device, stream);
}

NcclReducer::~NcclReducer() = default;

bool NcclReducer::overlaps() const {
  return streams_ != nullptr;
}

void NcclReducer::begin(const at::Tensor& vector) {
  vector_ = vector;
  sent_ = 0;
}

void NcclReducer::wait_for_computation() {
  if (streams_ == nullptr) return;
  streams_->computed.record(streams_->computing());
  streams_->computed.block(streams_->sums);
}

/// Whole buckets up to `end`, and at the vector's end what is left: the same ones on every worker.
void NcclReducer::send(std::int64_t end) {
  const std::int64_t size = vector_.numel();
  const auto next = [&] { return std::min(bucket_values_, size - sent_); };
  if (sent_ >= size || sent_ + next() > end) return;
  const at::OptionalDeviceGuard on_device(vector_.device());
  wait_for_computation();
  while (sent_ < size && sent_ + next() <= end) {
    const std::int64_t count = next();
    nccl_->sum(vector_.data_ptr<float>() + sent_, static_cast<std::size_t>(count),
               streams_ ? streams_->handle : nullptr);
    sent_ += count;
  }
}

void NcclReducer::ready(std::int64_t values) {
  send(values);
}

void NcclReducer::finish(at::Tensor& scalars) {
  send(vector_.numel());
  const at::OptionalDeviceGuard on_device(vector_.device());
  wait_for_computation();
  nccl_->sum(scalars.data_ptr<double>(), static_cast<std::size_t>(scalars.numel()),
             streams_ ? streams_->handle : nullptr);
  if (streams_ != nullptr) {
    streams_->summed.record(streams_->sums);
    streams_->summed.block(streams_->computing());
  }
  vector_.reset();
}

}  // namespace tessera
