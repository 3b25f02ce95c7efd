#include "pipeline/run/prediction_meaning.h"

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

/// A section of 40 x 40 voxels.
template <class T, class Function>
VoxelBuffer section_of(VoxelType type, Function&& value) {
  VoxelBuffer section(type, {1, 40, 40});
  for (std::size_t i = 0; i < 1600; ++i)
    section.as<T>()[i] = static_cast<T>(value(i / 40, i % 40));
  return section;
}

TEST(PredictionMeaning, IdsAreToldFromProbabilitiesByTheirLook) {
  const auto noise = [](auto y, auto x) { return (y * 7919 + x * 104729) % 251; };
  const auto cell = [](auto y, auto x) { return 1 + y / 20 + 2 * (x / 20); };
  EXPECT_TRUE(looks_like_ids(section_of<std::uint16_t>(VoxelType::uint16, cell)));
  EXPECT_TRUE(looks_like_ids(
      section_of<std::uint16_t>(VoxelType::uint16, [&](auto y, auto x) { return 9000 * cell(y, x); })));
  EXPECT_TRUE(looks_like_ids(section_of<std::uint8_t>(VoxelType::uint8, cell)));
  EXPECT_TRUE(looks_like_ids(section_of<std::uint8_t>(VoxelType::uint8, [](auto, auto x) { return x % 2; })));
  EXPECT_FALSE(looks_like_ids(section_of<std::uint8_t>(VoxelType::uint8, noise)));
  EXPECT_FALSE(looks_like_ids(
      section_of<std::uint16_t>(VoxelType::uint16, [&](auto y, auto x) { return 257 * noise(y, x); })));
  // A mask of 0 and 1 in the type's full range, and nothing but 0.
  EXPECT_FALSE(
      looks_like_ids(section_of<std::uint8_t>(VoxelType::uint8, [](auto, auto x) { return 255 * (x % 2); })));
  EXPECT_FALSE(looks_like_ids(section_of<std::uint8_t>(VoxelType::uint8, [](auto, auto) { return 0; })));
  EXPECT_FALSE(looks_like_ids(VoxelBuffer(VoxelType::float32, {1, 40, 40})));
  EXPECT_FALSE(looks_like_ids(VoxelBuffer(VoxelType::float16, {1, 40, 40})));
}

}  // namespace
}  // namespace tessera
