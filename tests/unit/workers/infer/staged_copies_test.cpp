#include "workers/infer/staged_copies.h"

#include <ATen/Functions.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

namespace tessera {
namespace {

/// Streams and events of a stub device: LibTorch's PrivateUse1. An event is complete at its third query. The
/// tensors in the tests are on the host.
struct StubDevice : c10::impl::DeviceGuardImplInterface {
  struct Event {
    c10::StreamId stream = 0;
    int asked = 0;
  };
  static inline std::vector<std::string> log;
  static inline c10::StreamId current = 0, made = 0;
  static inline bool busy = false;  ///< no event is complete

  c10::Stream stream(c10::StreamId id) const {
    return c10::Stream(c10::Stream::UNSAFE, {at::kPrivateUse1, 0}, id);
  }
  at::DeviceType type() const override { return at::kPrivateUse1; }
  c10::Device exchangeDevice(c10::Device device) const override { return device; }
  c10::Device getDevice() const override { return {at::kPrivateUse1, 0}; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return stream(current); }
  c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return stream(++made); }
  c10::Stream exchangeStream(c10::Stream to) const noexcept override {
    const c10::Stream before = stream(current);
    current = to.id();
    return before;
  }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  void record(void** event, const c10::Stream& on, const c10::DeviceIndex,
              const c10::EventFlag) const override {
    if (*event == nullptr) *event = new Event;
    *static_cast<Event*>(*event) = {on.id(), 0};
  }
  void block(void* event, const c10::Stream& on) const override {
    log.push_back(std::to_string(on.id()) + " waits for " +
                  std::to_string(static_cast<Event*>(event)->stream));
  }
  bool queryEvent(void* event) const override { return !busy && ++static_cast<Event*>(event)->asked > 2; }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, StubDevice);

std::vector<std::byte> counted(std::size_t count, int first) {
  std::vector<std::byte> bytes(count);
  for (std::size_t i = 0; i < count; ++i)
    bytes[i] = static_cast<std::byte>(first + static_cast<int>(i % 251));
  return bytes;
}

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()),
          static_cast<std::size_t>(tensor.numel()) * tensor.element_size()};
}

class StagedCopiesOn : public ::testing::TestWithParam<at::DeviceType> {};

TEST_P(StagedCopiesOn, CopyEveryByte) {
  // Pieces smaller than, equal to and larger than the copy; more pieces than the ring has.
  for (const std::int64_t piece : {7, 64, 1000}) {
    StagedCopies copies(at::Device(GetParam(), 0), piece);
    std::vector<at::Tensor> there;
    for (int i = 0; i < 5; ++i) {
      there.push_back(at::zeros({i + 1, 16}, at::kInt));
      std::vector<std::byte> bytes = counted(bytes_of(there.back()).size(), i);
      copies.to_device(bytes, there.back());
      std::ranges::fill(bytes, std::byte{0});  // the source may change at once
    }
    std::vector<std::vector<std::byte>> back(5);
    for (std::size_t i = 0; i < 5; ++i) {
      back[i].resize(bytes_of(there[i]).size());
      copies.to_host(there[i], back[i]);
    }
    copies.wait();
    for (std::size_t i = 0; i < 5; ++i)
      EXPECT_EQ(back[i], counted(back[i].size(), static_cast<int>(i)))
          << "copy " << i << ", pieces of " << piece;
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, StagedCopiesOn, ::testing::Values(at::kCPU, at::kPrivateUse1),
                         [](const auto& test) { return test.param == at::kCPU ? "cpu" : "stub"; });

TEST(StagedCopies, ComputationAndCopiesWaitForEachOther) {
  StubDevice::log.clear();
  StubDevice::made = 10;
  StagedCopies copies(at::Device(at::kPrivateUse1, 0), 32);
  const at::Tensor there = at::zeros({64}, at::kByte);
  std::vector<std::byte> bytes = counted(64, 3);
  copies.to_device(bytes, there);
  EXPECT_EQ(StubDevice::log, std::vector<std::string>{"0 waits for 11"})
      << "the computing stream, 0, waits for the copy to the device";
  copies.to_host(there, bytes);
  EXPECT_EQ(StubDevice::log.back(), "12 waits for 0") << "the copy back for what has been computed";
  EXPECT_EQ(StubDevice::log.size(), 2U);
  EXPECT_EQ(StubDevice::current, 0) << "who computes keeps his stream";
}

TEST(StagedCopies, CopiesToTheHostDoNotWaitForTheRing) {
  StagedCopies copies(at::Device(at::kPrivateUse1, 0), 16);
  std::vector<at::Tensor> there;
  std::vector<std::vector<std::byte>> back(6, std::vector<std::byte>(40));
  StubDevice::busy = true;
  for (int i = 0; i < 6; ++i) {
    there.push_back(at::full({40}, i + 1, at::kByte));
    copies.to_host(there.back(), back[static_cast<std::size_t>(i)]);  // 18 pieces; the ring holds 3
  }
  EXPECT_FALSE(copies.is_idle());
  StubDevice::busy = false;
  while (!copies.is_idle()) {
  }
  copies.wait();
  for (int i = 0; i < 6; ++i)
    EXPECT_EQ(back[static_cast<std::size_t>(i)], std::vector<std::byte>(40, static_cast<std::byte>(i + 1)));
}

TEST(StagedCopies, DroppedCopiesWriteNothing) {
  StagedCopies copies(at::Device(at::kPrivateUse1, 0), 16);
  const at::Tensor there = at::ones({40}, at::kByte);
  std::vector<std::byte> bytes(40);
  copies.to_host(there, bytes);
  copies.drop();
  const std::vector<std::byte> left = bytes;
  std::vector<std::byte> next(40);
  copies.to_host(there, next);
  copies.wait();
  EXPECT_EQ(bytes, left) << "its target may be gone";
  EXPECT_EQ(next, std::vector<std::byte>(40, std::byte{1}));
}

}  // namespace
}  // namespace tessera
