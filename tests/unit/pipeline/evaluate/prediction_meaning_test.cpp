#include "pipeline/evaluate/prediction_meaning.h"

#include <gtest/gtest.h>

#include <string>

#include "pipeline/evaluate/evaluation_volumes.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using testing::message_of;
using Values = PredictionMeaning::Values;

VolumeInfo prediction_of(const std::string& meaning, VoxelType type = VoxelType::uint8) {
  VolumeInfo info;
  info.name = {"p.h5", "/p"};
  info.type = type;
  info.attributes = {{"meaning", meaning}, {"classes", "3"}};
  return info;
}

TEST(PredictionMeaning, IsReadFromTheAttributesOfResults) {
  EXPECT_EQ(meaning_of(prediction_of("the predicted class")).values, Values::classes);
  EXPECT_EQ(meaning_of(prediction_of("the most likely class")).values, Values::classes);
  const PredictionMeaning second = meaning_of(prediction_of("probability of class 2, 255 = 1"));
  EXPECT_EQ(second.values, Values::probability);
  EXPECT_EQ(second.output_class, 2);
  EXPECT_EQ(second.classes, 3);
  for (const char* unknown : {"", "probability of class x", "the best", "The predicted class"}) {
    EXPECT_EQ(meaning_of(prediction_of(unknown)).values, Values::unknown) << unknown;
    EXPECT_EQ(meaning_of(prediction_of(unknown)).classes, std::nullopt) << unknown;
  }
  EXPECT_EQ(meaning_of(VolumeInfo{}).values, Values::unknown);
}

TEST(PredictionMeaning, DecidesTheKindOrRejectsAnother) {
  EvaluationRequest request;
  EXPECT_EQ(kind_of(request, prediction_of("the predicted class")), EvaluationKind::classes);
  EXPECT_EQ(kind_of(request, prediction_of("probability of class 1, 255 = 1")), EvaluationKind::probability);
  EXPECT_EQ(kind_of(request, prediction_of("made by hand")), EvaluationKind::probability);
  const auto complaint = [&](EvaluationKind kind, const char* meaning) {
    request.kind = kind;
    return message_of([&] { kind_of(request, prediction_of(meaning)); });
  };
  EXPECT_EQ(complaint(EvaluationKind::classes, "the predicted class"), "no error");
  EXPECT_EQ(complaint(EvaluationKind::probability, "the predicted class"),
            "p.h5:/p says of itself 'the predicted class' (attribute 'meaning'): it cannot be scored as "
            "probability. Leave evaluate.kind (--kind) at auto, or name another prediction.");
  EXPECT_NE(complaint(EvaluationKind::labels, "the predicted class").find("cannot be scored as labels"),
            std::string::npos);
  EXPECT_NE(complaint(EvaluationKind::classes, "probability of class 1").find("cannot be scored as classes"),
            std::string::npos);
}

}  // namespace
}  // namespace tessera
