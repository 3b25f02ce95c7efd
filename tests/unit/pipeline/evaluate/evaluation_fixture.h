#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "io/base/error.h"
#include "io/hdf5/volume_file.h"
#include "pipeline/evaluate/evaluation.h"
#include "tests/unit/temporary_folder.h"

namespace tessera::testing {

/// Writes `voxels` as the dataset /v of a new file.
template <class T>
DatasetName write_volume(const std::filesystem::path& file, const Index3& shape, const std::vector<T>& voxels,
                         const Index3& chunk, const std::vector<double>& offset = {}) {
  VoxelBuffer buffer(voxel_type_of<T>(), shape);
  std::copy(voxels.begin(), voxels.end(), buffer.as<T>().begin());
  VolumeFile out(file, false);
  out.add({.path = "/v",
           .type = voxel_type_of<T>(),
           .shape = shape,
           .chunk = chunk,
           .gzip = 1,
           .resolution_nm = {},
           .offset_nm = offset,
           .attributes = {}},
          false);
  out.write_sections("/v", 0, buffer);
  out.commit();
  return {file, "/v"};
}

/// A prediction of float32 and its labels, seven sections of 24 x 32.
class EvaluationTest : public ::testing::Test {
 protected:
  static constexpr Index3 kShape{7, 24, 32};

  EvaluationTest() {
    std::mt19937 random(3);
    const auto voxels = static_cast<std::size_t>(volume_of(kShape));
    for (std::size_t i = 0; i < voxels; ++i) {
      labels_.push_back(i % 8 > 1 && i / 32 % 8 > 1 ? 9 : 0);
      // Section 4 has the worst prediction, section 2 the best.
      const std::size_t z = i / (24 * 32);
      const double noise = z == 4 ? 0.7 : z == 2 ? 0.1 : 0.55;
      const double right = labels_.back() != 0 ? 1 : 0;
      probability_.push_back(
          static_cast<float>(right * (1 - noise) + noise * (static_cast<double>(random() % 1000) / 999)));
    }
    request_.prediction = write_volume(folder_ / "p.h5", kShape, probability_, {4, 24, 32});
    request_.labels = write_volume(folder_ / "l.h5", kShape, labels_, {1, 24, 32});
  }

  Evaluation evaluate() { return evaluate_volumes(request_, Communicator::alone()); }
  std::string complaint() {
    try {
      evaluate();
    } catch (const UsageError& error) {
      return std::string("usage: ") + error.what();
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  }

  TemporaryFolder folder_;
  std::vector<std::uint32_t> labels_;
  std::vector<float> probability_;
  EvaluationRequest request_;
};

}  // namespace tessera::testing
