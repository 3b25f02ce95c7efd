#include "pipeline/evaluate/label_evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/base/error.h"
#include "pipeline/commands/verbs.h"
#include "tests/unit/pipeline/evaluate/evaluation_fixture.h"
#include "workers/metrics/ignored_class.h"

namespace tessera {
namespace {

using testing::EvaluationTest;
using testing::write_volume;

class LabelEvaluationTest : public EvaluationTest {
 protected:
  LabelEvaluationTest() {
    // Boxes of 8 x 8 as ids. The prediction merges two of them in section 3 and keeps the others.
    std::vector<std::uint64_t> ids, predicted;
    for (std::int64_t i = 0; i < volume_of(kShape); ++i) {
      const std::int64_t z = i / (24 * 32), y = i / 32 % 24, x = i % 32;
      const auto id = static_cast<std::uint64_t>(y % 8 == 0 ? 0 : 1 + y / 8 * 4 + x / 8) << 40;
      ids.push_back(id);
      predicted.push_back(z == 3 && id == std::uint64_t{2} << 40 ? std::uint64_t{1} << 40 : id);
    }
    request_.labels = write_volume(folder_ / "ids.h5", kShape, ids, {4, 16, 16});
    request_.prediction = write_volume(folder_ / "predicted.h5", kShape, predicted, {2, 8, 32});
  }
};

TEST_F(LabelEvaluationTest, IdsInTheVolumeAndInEachSection) {
  const LabelEvaluation evaluation = evaluate_labels(request_, Communicator::alone());
  ASSERT_EQ(evaluation.section.size(), 7U);
  EXPECT_EQ(evaluation.volume.voxels, 7 * 21 * 32);
  EXPECT_EQ(evaluation.pooled.voxels, evaluation.volume.voxels);
  EXPECT_EQ(evaluation.volume.objects.truth, 12);
  EXPECT_EQ(evaluation.volume.objects.predicted, 12);
  EXPECT_EQ(evaluation.pooled.objects.truth, 7 * 12);
  EXPECT_EQ(evaluation.pooled.objects.predicted, 7 * 12 - 1);
  EXPECT_EQ(scores_of(evaluation.section[0]).voi, 0);
  // Two of twelve equally large objects are merged.
  EXPECT_NEAR(scores_of(evaluation.section[3]).voi_merge, 2.0 / 12, 1e-12);
  EXPECT_EQ(scores_of(evaluation.section[3]).voi_split, 0);
  EXPECT_NEAR(scores_of(evaluation.section[3]).objects.seg, 11.0 / 12, 1e-12)
      << "both with a Jaccard index of 1/2";
  EXPECT_EQ(evaluation.from_worst().front(), 3);
  const nlohmann::json json = nlohmann::json::parse(evaluation_json(evaluation));
  EXPECT_EQ(json["worst_sections"][0]["section"], 3);
  EXPECT_EQ(json["volume_2d"]["objects_true"], 84);
  EXPECT_EQ(json["sections"].size(), 7U);
  EXPECT_NE(evaluation_text(evaluation).find("section 3"), std::string::npos);
}

TEST_F(LabelEvaluationTest, ClassesAndTheirConfusion) {
  std::vector<std::uint8_t> truth, predicted;
  for (std::int64_t i = 0; i < volume_of(kShape); ++i) {
    truth.push_back(static_cast<std::uint8_t>(i % 4));
    predicted.push_back(static_cast<std::uint8_t>(i / (24 * 32) == 5 && i % 4 == 3 ? 1 : i % 4));
  }
  request_.labels = write_volume(folder_ / "c.h5", kShape, truth, {4, 16, 16});
  request_.prediction = write_volume(folder_ / "d.h5", kShape, predicted, {1, 24, 32});
  const ClassEvaluation evaluation = evaluate_classes(request_, Communicator::alone());
  ASSERT_EQ(evaluation.matrix.classes, 4);
  EXPECT_EQ(evaluation.matrix.at(3, 1), 24 * 8);
  EXPECT_EQ(evaluation.matrix.at(3, 3), 6 * 24 * 8);
  EXPECT_EQ(evaluation.from_worst().front(), 5);
  const nlohmann::json json = nlohmann::json::parse(evaluation_json(evaluation));
  EXPECT_EQ(json["confusion"][3][1], 24 * 8);
  EXPECT_DOUBLE_EQ(json["classes"][3]["iou"].get<double>(), 6.0 / 7);
  EXPECT_DOUBLE_EQ(json["accuracy"].get<double>(), 1 - 1.0 / 28);
  EXPECT_EQ(json["sections"][5]["iou"][3], 0);
  EXPECT_NE(evaluation_text(evaluation).find("mean IoU"), std::string::npos);
}

TEST_F(LabelEvaluationTest, IgnoredIdsAndPixelsBeyondTheRegionAreNotCompared) {
  request_.ignore_label = std::uint64_t{1} << 40;  // the first box, 7 x 8 pixels
  request_.region = PixelBounds{0, 0, 16, 32};
  const LabelEvaluation evaluation = evaluate_labels(request_, Communicator::alone());
  EXPECT_EQ(evaluation.volume.voxels, 7 * (14 * 32 - 7 * 8));
  EXPECT_EQ(evaluation.volume.objects.truth, 7);
  EXPECT_EQ(scores_of(evaluation.volume).voi_merge, 0) << "the merged neighbour is not compared";
}

TEST_F(LabelEvaluationTest, ClassesOfTheNetworkAreItsTargets) {
  std::vector<std::uint8_t> predicted;
  for (std::int64_t i = 0; i < volume_of(kShape); ++i)
    predicted.push_back(i / 32 % 8 == 0 ? 0 : 1);
  request_.prediction = write_volume(folder_ / "predicted_classes.h5", kShape, predicted, {7, 8, 8});
  request_.label_kind = LabelKind::instances;
  const ClassEvaluation evaluation = evaluate_classes(request_, Communicator::alone());
  ASSERT_EQ(evaluation.matrix.classes, 2);
  // Two columns of border between each two of the four boxes of a row.
  EXPECT_EQ(evaluation.matrix.at(0, 1), 7 * 21 * 6);
  EXPECT_EQ(evaluation.matrix.at(1, 1), 7 * 21 * 26);
  EXPECT_EQ(evaluation.matrix.at(1, 0), 0);
}

TEST_F(LabelEvaluationTest, ReportsIncompatibleOptions) {
  const auto complaint_of = [&](EvaluationKind kind) -> std::string {
    try {
      if (kind == EvaluationKind::classes)
        evaluate_classes(request_, Communicator::alone());
      else
        evaluate_labels(request_, Communicator::alone());
    } catch (const Error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_NE(complaint_of(EvaluationKind::classes).find("class ids go up to 255 (are these ids of objects?"),
            std::string::npos)
      << complaint_of(EvaluationKind::classes);
  request_.invert_labels = true;
  EXPECT_NE(complaint_of(EvaluationKind::labels).find("go with a probability only"), std::string::npos);
  request_.invert_labels = false;
  request_.scores = evaluation_scores({"rand"});
  EXPECT_NE(complaint_of(EvaluationKind::labels).find("a choice of scores goes with a probability only"),
            std::string::npos);
  request_.scores.reset();
  request_.prediction = {folder_ / "p.h5", "/v"};
  EXPECT_NE(complaint_of(EvaluationKind::labels).find("holds float32: labels are integers"),
            std::string::npos);
}

TEST_F(LabelEvaluationTest, TheVerbDetectsTheKind) {
  const auto said = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments{"--prediction", request_.prediction.text(), "--labels",
                                       request_.labels.text()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    ::testing::internal::CaptureStdout();
    EXPECT_EQ(run_verb(*find_verb("evaluate"), arguments, Communicator::alone()), 0);
    return ::testing::internal::GetCapturedStdout();
  };
  EXPECT_NE(said({}).find("taken as labels"), std::string::npos) << "uint64";
  const std::vector<std::uint8_t> sevens(static_cast<std::size_t>(volume_of(kShape)), 7);
  request_.prediction = write_volume(folder_ / "small.h5", kShape, sevens, {1, 24, 32});
  request_.labels = write_volume(folder_ / "true.h5", kShape, sevens, {1, 24, 32});
  EXPECT_EQ(said({"--kind", "probability"}).find("taken as"), std::string::npos);
  EXPECT_THROW(said({}), UsageError) << "small whole numbers are hardly a probability";
  ::testing::internal::GetCapturedStdout();
  EXPECT_NE(said({"--instances"}).find("taken as labels"), std::string::npos);
  EXPECT_NE(said({"--kind", "classes"}).find("taken as classes"), std::string::npos);
  EXPECT_THROW(said({"--kind", "class"}), UsageError);
  ::testing::internal::GetCapturedStdout();
  EXPECT_THROW(said({"--kind", "labels", "--pictures", "x"}), UsageError);
  ::testing::internal::GetCapturedStdout();
}

}  // namespace
}  // namespace tessera
