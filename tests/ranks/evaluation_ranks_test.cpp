#include "io/volume_file.h"
#include "pipeline/evaluation.h"
#include "ranks.h"
#include "workers/mpi/agree.h"

namespace tessera {
namespace {

const Communicator& world() { return *testing::world_of_tests; }

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
      for (std::uint8_t& v : voxels.as<std::uint8_t>()) v = static_cast<std::uint8_t>((state = state * 1664525U + 1013904223U) >> 24);
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
  ASSERT_EQ(together.volume.size(), 11U);
  EXPECT_GT(together.volume[5].pooled.pixel_error, 0.1);
}

}  // namespace
}  // namespace tessera
