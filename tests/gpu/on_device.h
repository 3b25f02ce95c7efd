#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <torch/cuda.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "workers/device/device.h"

namespace tessera::testing {

enum class DeviceKind { cpu, cuda };

/// A test that runs on the CPU at a small size, and on a CUDA device if one exists. If TESSERA_NEEDS_GPU is
/// set (scripts/gpu-check), a missing device is a failure.
class OnDevice : public ::testing::TestWithParam<DeviceKind> {
 protected:
  void SetUp() override {
    if (is_cuda() && torch::cuda::device_count() == 0) {
      if (std::getenv("TESSERA_NEEDS_GPU") != nullptr) FAIL() << "no CUDA device is visible to LibTorch";
      GTEST_SKIP() << "no CUDA device";
    }
    // As in the program; this also turns TensorFloat-32 off.
    device_ = choose_device(Communicator::alone(), true, is_cuda() ? "cuda" : "cpu", is_cuda() ? 0 : 1);
    ASSERT_EQ(device_.cuda, is_cuda());
    choose_algorithms(device_, true);
  }

  bool is_cuda() const { return GetParam() == DeviceKind::cuda; }
  const Device& device() const { return device_; }
  /// Prints a measured value to the log, to show how close it is to the limit.
  void say(const std::string& what) const {
    std::printf("  %s: %s\n", device_.text().c_str(), what.c_str());
    std::fflush(stdout);
  }

 private:
  Device device_;
};

inline std::string name_of_kind(const ::testing::TestParamInfo<DeviceKind>& info) {
  return info.param == DeviceKind::cpu ? "cpu" : "cuda";
}

}  // namespace tessera::testing

/// Instances of a test suite: one per kind of device.
#define TESSERA_ON_EVERY_DEVICE(suite)                                                          \
  INSTANTIATE_TEST_SUITE_P(                                                                     \
      Devices, suite,                                                                           \
      ::testing::Values(tessera::testing::DeviceKind::cpu, tessera::testing::DeviceKind::cuda), \
      tessera::testing::name_of_kind)
