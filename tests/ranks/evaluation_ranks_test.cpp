#include <nlohmann/json.hpp>

#include "io/hdf5/volume_file.h"
#include "pipeline/evaluate/evaluation.h"
#include "pipeline/evaluate/evaluation_report.h"
#include "pipeline/evaluate/label_evaluation.h"
#include "ranks.h"
#include "workers/mpi/agreement.h"

namespace tessera {
namespace {

using testing::world;

/// The evaluation without its timings.
std::string without_run(const std::string& json) {
  nlohmann::json parsed = nlohmann::json::parse(json);
  EXPECT_EQ(parsed.erase("run"), 1U);
  return parsed.dump();
}

TEST(EvaluationRanks, ScoresDoNotDependOnTheRanks) {
  const testing::SharedFolder folder;
  const Index3 shape{7, 40, 50};
  on_root(world(), [&] {
    VolumeFile out(folder / "v.h5", false);
    for (const char* path : {"/p", "/l"}) {
      VolumeSpec spec;
      spec.path = path;
      spec.shape = shape;
      spec.chunk = {2, 16, 16};
      out.add(spec, false);
      VoxelBuffer voxels(VoxelType::uint8, shape);
      std::uint32_t state = path[1];
      for (std::uint8_t& v : voxels.as<std::uint8_t>())
        v = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
      out.write_sections(path, 0, voxels);
    }
    out.commit();
  });
  EvaluationRequest request;
  request.prediction = {folder / "v.h5", "/p"};
  request.labels = {folder / "v.h5", "/l"};
  request.sections = SectionRange{1, 6};
  const Evaluation together = evaluate_volumes(request, world());
  const Evaluation alone = evaluate_volumes(request, Communicator::alone());
  EXPECT_EQ(together.table.sums, alone.table.sums);
  EXPECT_EQ(together.histogram.counts, alone.histogram.counts);
  EXPECT_EQ(without_run(evaluation_json(together)), without_run(evaluation_json(alone)));
  ASSERT_EQ(together.volume.size(), 11U);
  EXPECT_GT(together.volume[5].pooled.pixel_error, 0.1);
}

/// Labels of objects in the whole volume, with noise and ids beyond 32 bits; written by the root.
void write_labels(const std::filesystem::path& file, const Index3& shape) {
  VolumeFile out(file, false);
  for (const std::uint64_t side : {5, 7}) {
    VolumeSpec spec;
    spec.path = "/side" + std::to_string(side);
    spec.type = VoxelType::uint64;
    spec.shape = shape;
    spec.chunk = {2, 16, 16};
    out.add(spec, false);
    VoxelBuffer voxels(VoxelType::uint64, shape);
    std::uint64_t state = side, i = 0;
    for (std::uint64_t& v : voxels.as<std::uint64_t>()) {
      const std::uint64_t z = i / 2000, y = i / 50 % 40, x = i % 50;
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      v = (z / 3 * 100 + y / side * 10 + x / side) << 33;
      if (state >> 60 == 0) v = state >> 40 & 3;
      ++i;
    }
    out.write_sections(spec.path, 0, voxels);
  }
  out.commit();
}

TEST(EvaluationRanks, LabelScoresDoNotDependOnTheRanks) {
  const testing::SharedFolder folder;
  on_root(world(), [&] { write_labels(folder / "v.h5", {7, 40, 50}); });
  EvaluationRequest request;
  request.prediction = {folder / "v.h5", "/side7"};
  request.labels = {folder / "v.h5", "/side5"};
  request.sections = SectionRange{1, 7};
  const LabelEvaluation together = evaluate_labels(request, world());
  const LabelEvaluation alone = evaluate_labels(request, Communicator::alone());
  EXPECT_EQ(together.volume, alone.volume);
  EXPECT_EQ(together.section, alone.section);
  EXPECT_EQ(together.pooled, alone.pooled);
  EXPECT_GT(scores_of(together.volume).voi, 0.5);
  EXPECT_GT(together.volume.objects.truth, 100);
  EXPECT_GT(together.volume.objects.jaccard, 0);
}

TEST(EvaluationRanks, ClassScoresDoNotDependOnTheRanks) {
  const testing::SharedFolder folder;
  const Index3 shape{7, 10, 10};
  on_root(world(), [&] {
    VolumeFile out(folder / "v.h5", false);
    for (const char* path : {"/p", "/l"}) {
      VolumeSpec spec;
      spec.path = path;
      spec.shape = shape;
      spec.chunk = {1, 10, 10};
      out.add(spec, false);
      VoxelBuffer voxels(VoxelType::uint8, shape);
      std::int64_t i = 0;
      // Only the last section has class 9.
      for (std::uint8_t& v : voxels.as<std::uint8_t>()) {
        v = static_cast<std::uint8_t>(i >= 600 && path[1] == 'p' && i % 2 == 0 ? 9 : i % 3);
        ++i;
      }
      out.write_sections(path, 0, voxels);
    }
    out.commit();
  });
  EvaluationRequest request;
  request.prediction = {folder / "v.h5", "/p"};
  request.labels = {folder / "v.h5", "/l"};
  const ClassEvaluation together = evaluate_classes(request, world());
  const ClassEvaluation alone = evaluate_classes(request, Communicator::alone());
  EXPECT_EQ(together.matrix, alone.matrix);
  EXPECT_EQ(together.section, alone.section);
  EXPECT_EQ(together.matrix.classes, 10);
}

TEST(EvaluationRanks, AnErrorOfOneRankIsThrownOnEveryRank) {
  const testing::SharedFolder folder;
  on_root(world(), [&] { write_labels(folder / "v.h5", {7, 40, 50}); });
  EvaluationRequest request;
  request.prediction = request.labels = {folder / "v.h5", "/side5"};
  EXPECT_THROW(evaluate_classes(request, world()), AgreedError);
}

}  // namespace
}  // namespace tessera
