#include "pipeline/evaluate/evaluation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "io/base/error.h"
#include "pipeline/commands/verbs.h"
#include "pipeline/evaluate/evaluation_report.h"
#include "tests/unit/pipeline/evaluate/evaluation_fixture.h"
#include "workers/metrics/ignored_class.h"

namespace tessera {
namespace {

using testing::EvaluationTest;
using testing::write_volume;

TEST_F(EvaluationTest, CountsEveryPixelOfEverySectionOnce) {
  const Evaluation evaluation = evaluate();
  ASSERT_EQ(evaluation.table.sections, 7);
  ASSERT_EQ(evaluation.volume.size(), 11u);
  for (std::int64_t z = 0; z < 7; ++z) {
    for (std::size_t t = 0; t < 11; ++t) {
      ThresholdSums expected;
      for (std::size_t i = static_cast<std::size_t>(z) * 24 * 32;
           i < static_cast<std::size_t>(z + 1) * 24 * 32; ++i) {
        const bool predicted = static_cast<double>(probability_[i]) > evaluation.table.thresholds[t];
        const bool interior = labels_[i] > 0;
        (predicted  ? interior ? expected.true_positive : expected.false_positive
         : interior ? expected.false_negative
                    : expected.true_negative) += 1;
      }
      const ThresholdSums& sums = evaluation.table.section(z)[t];
      EXPECT_EQ(sums.true_positive, expected.true_positive);
      EXPECT_EQ(sums.false_positive, expected.false_positive);
      EXPECT_EQ(sums.false_negative, expected.false_negative);
      EXPECT_EQ(sums.true_negative, expected.true_negative);
    }
  }
  EXPECT_EQ(evaluation.from_worst().front(), 4);
  EXPECT_EQ(evaluation.from_worst().back(), 2);
}

TEST_F(EvaluationTest, ARangeIsASubsetOfTheVolume) {
  const Evaluation whole = evaluate();
  request_.sections = SectionRange{3, 6};
  const Evaluation part = evaluate();
  ASSERT_EQ(part.table.sections, 3);
  for (std::int64_t z = 0; z < 3; ++z) {
    for (std::size_t t = 0; t < 11; ++t)
      EXPECT_EQ(part.table.section(z)[t], whole.table.section(z + 3)[t]);
  }
}

TEST_F(EvaluationTest, IntegersAndInvertedLabelsGiveTheSame) {
  const Evaluation reference = evaluate();
  std::vector<std::uint8_t> inverted;
  for (const std::uint32_t label : labels_)
    inverted.push_back(label > 0 ? 0 : 1);
  request_.labels = write_volume(folder_ / "inverted.h5", kShape, inverted, {7, 24, 32});
  request_.invert_labels = true;
  EXPECT_EQ(evaluate().table.sums, reference.table.sums);

  std::vector<std::uint8_t> bytes;
  for (const float value : probability_)
    bytes.push_back(static_cast<std::uint8_t>(std::lround(value * 255)));
  std::vector<float> rounded;
  for (const std::uint8_t value : bytes)
    rounded.push_back(static_cast<float>(value / 255.0));
  request_.prediction = write_volume(folder_ / "bytes.h5", kShape, bytes, {2, 8, 8});
  const Evaluation from_bytes = evaluate();
  request_.prediction = write_volume(folder_ / "rounded.h5", kShape, rounded, {2, 8, 8});
  EXPECT_EQ(from_bytes.table.section(3)[5], evaluate().table.section(3)[5]);
}

TEST_F(EvaluationTest, MismatchNamesBothShapes) {
  request_.labels =
      write_volume(folder_ / "small.h5", {7, 24, 31}, std::vector<std::uint8_t>(7 * 24 * 31), {1, 24, 31});
  EXPECT_EQ(complaint(),
            "usage: the prediction " + request_.prediction.text() +
                " has the shape (7, 24, 32), but the labels " + request_.labels.text() +
                " have (7, 24, 31): they must be equal, or attributes 'offset' (in nm) must place "
                "one in the other");
}

TEST_F(EvaluationTest, RawOfAnotherShape) {
  request_.raw = write_volume(folder_ / "r.h5", {2, 2, 2}, std::vector<std::uint8_t>(8), {1, 2, 2});
  EXPECT_NE(complaint().find("usage: the raw volume " + request_.raw->text() + " has the shape (2, 2, 2)"),
            std::string::npos);
}

TEST_F(EvaluationTest, SectionsOutOfRange) {
  request_.sections = SectionRange{5, 8};
  EXPECT_EQ(complaint(),
            "usage: sections 5:8 are not in " + request_.labels.text() + ", whose sections are 0:7");
}

TEST_F(EvaluationTest, SwappedVolumes) {
  std::swap(request_.prediction, request_.labels);
  request_.kind = EvaluationKind::probability;
  EXPECT_NE(complaint().find(
                "holds uint32: a probability is float, uint8 or uint16 (are prediction and labels swapped?)"),
            std::string::npos);
  request_.prediction = request_.labels;
  EXPECT_NE(complaint().find("labels are whole numbers"), std::string::npos);
}

TEST_F(EvaluationTest, NonFiniteValuesAreReportedWithTheirPosition) {
  probability_[5 * 24 * 32 + 3 * 32 + 17] = std::numeric_limits<float>::quiet_NaN();
  request_.prediction = write_volume(folder_ / "nan.h5", kShape, probability_, {4, 24, 32});
  EXPECT_EQ(complaint(), request_.prediction.text() +
                             " at section 5, (y, x) = (3, 17) is nan, not a probability in [0, 1]");
  request_.sections = SectionRange{0, 5};
  EXPECT_EQ(complaint(), "");
  probability_[40] = -3;
  request_.prediction = write_volume(folder_ / "logit.h5", kShape, probability_, {4, 24, 32});
  EXPECT_EQ(complaint(),
            request_.prediction.text() +
                " at section 0, (y, x) = (1, 8) is -3, not a probability in [0, 1] (are these scores before "
                "the softmax?)");
}

TEST_F(EvaluationTest, TextMarksTheWorstSections) {
  const std::string text = evaluation_text(evaluate());
  std::istringstream lines(text);
  int worst = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.find("<- worst") == std::string::npos) continue;
    EXPECT_EQ(line.substr(0, 7), "      4");
    ++worst;
  }
  EXPECT_EQ(worst, 1);
  EXPECT_NE(text.find("best Rand fg micro"), std::string::npos);
}

TEST_F(EvaluationTest, JsonAndPictures) {
  request_.sections = SectionRange{1, 7};
  request_.json_file = folder_ / "out/scores.json";
  request_.picture_folder = folder_ / "pictures";
  const Evaluation evaluation = evaluate();
  std::ifstream in(*request_.json_file);
  const nlohmann::json json = nlohmann::json::parse(in);
  ASSERT_EQ(json["sections"].size(), 6u);
  EXPECT_EQ(json["sections"][0]["section"], 1);
  EXPECT_EQ(json["sections"][5]["scores"].size(), 11u);
  EXPECT_EQ(json["volume"][5]["f"].get<double>(), evaluation.volume[5].pooled.f);
  EXPECT_EQ(json["best"]["rand_f_micro"]["value"].get<double>(),
            evaluation.volume[evaluation.best.rand_f_micro].pooled.rand.f);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(*request_.picture_folder)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"section_0001_first.png", "section_0002_best.png",
                                             "section_0004_worst.png"}));
}

TEST_F(EvaluationTest, JsonHasEveryScoreOfAProbability) {
  const Evaluation evaluation = evaluate();
  const nlohmann::json json = nlohmann::json::parse(evaluation_json(evaluation));
  EXPECT_EQ(json["kind"], "probability");
  EXPECT_EQ(json["scores"],
            (std::vector<std::string>{"pixel", "rand", "thin", "warping", "objects", "calibration"}));
  for (const char* key : {"pixel_error", "f", "iou", "membrane_iou", "rand_f", "rand_f_macro", "rand_all_f",
                          "rand_thin_f_macro", "info_thin_f_macro", "warping_error", "warping_split_merge",
                          "seg", "object_f1"}) {
    EXPECT_TRUE(json["volume"][5].contains(key)) << key;
  }
  EXPECT_FALSE(json["volume"][10].contains("warping_error"))
      << "the challenge does not use the last threshold";
  EXPECT_EQ(json["volume"][5]["object_f1"].size(), 10U);
  EXPECT_EQ(json["best"]["warping_split_merge"]["value"].get<double>(),
            evaluation.volume[evaluation.best.warping_split_merge].pooled.warping_split_merge);
  EXPECT_EQ(json["precision_recall"].size(), 256U);
  EXPECT_EQ(json["precision_recall"][0]["recall"], 1);
  EXPECT_EQ(json["calibration"]["bins"].size(), 10U);
  std::int64_t pixels = 0;
  for (const auto& row : json["confusion"]["pixels"])
    pixels += row[0].get<std::int64_t>() + row[1].get<std::int64_t>();
  EXPECT_EQ(pixels, volume_of(kShape));
  pixels = 0;
  for (const auto& bin : json["calibration"]["bins"])
    pixels += bin["pixels"].get<std::int64_t>();
  EXPECT_EQ(pixels, volume_of(kShape));
  ASSERT_EQ(json["worst_sections"].size(), 1U);
  EXPECT_EQ(json["worst_sections"][0]["section"], 4);
  EXPECT_GT(json["run"]["peak_memory_bytes_per_rank"], 1 << 20);
}

TEST_F(EvaluationTest, ComputesOnlyTheRequestedScores) {
  request_.scores = evaluation_scores({"pixel", "warping"});
  const nlohmann::json json = nlohmann::json::parse(evaluation_json(evaluate()));
  EXPECT_TRUE(json["volume"][0].contains("warping_error"));
  for (const char* key : {"rand_f", "rand_thin_f", "seg"})
    EXPECT_FALSE(json["volume"][0].contains(key)) << key;
  EXPECT_FALSE(json.contains("precision_recall"));
  EXPECT_FALSE(evaluation_scores({"auto"}).has_value());
  EXPECT_TRUE(automatic_scores(1 << 28).section.warping);
  EXPECT_FALSE(automatic_scores((1 << 28) + 1).section.warping);
  try {
    evaluation_scores({"warpng"});
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'warping'?"), std::string::npos) << error.what();
  }
}

TEST_F(EvaluationTest, DegenerateVolumesHaveDefinedScores) {
  request_.sections = SectionRange{0, 1};
  for (const float said : {0.0F, 1.0F}) {
    for (const std::uint32_t truth : {0U, 9U}) {
      const auto voxels = static_cast<std::size_t>(volume_of(kShape));
      request_.prediction =
          write_volume(folder_ / "flat.h5", kShape, std::vector<float>(voxels, said), {1, 24, 32});
      request_.labels =
          write_volume(folder_ / "one.h5", kShape, std::vector<std::uint32_t>(voxels, truth), {1, 24, 32});
      const Evaluation evaluation = evaluate();
      const std::string text = evaluation_text(evaluation) + evaluation_json(evaluation);
      EXPECT_EQ(text.find("nan"), std::string::npos) << said << " " << truth;
      EXPECT_EQ(text.find("inf "), std::string::npos) << said << " " << truth;
      const ThresholdScores& s = evaluation.volume[5].pooled;
      const bool right = (said > 0.5F) == (truth > 0);
      EXPECT_EQ(s.pixel_error, right ? 0 : 1);
      EXPECT_EQ(s.warping_error, right ? 0 : truth > 0 ? 1 / (24.0 * 32) : 1);
      if (truth == 0) {
        EXPECT_TRUE(std::isnan(s.rand.f) && std::isnan(s.objects.seg)) << said;
        EXPECT_NE(evaluation_text(evaluation).find("undefined"), std::string::npos);
      } else {
        EXPECT_EQ(s.rand.f, right ? 1 : 2 / (1 + 24.0 * 32));
        EXPECT_EQ(s.objects.seg, right ? 1 : 0);
      }
      EXPECT_EQ(s.rand_all.f, 1) << "one object on either side";
    }
  }
}

/// The sums of a probability against 0, 1 or kIgnoredClass at a threshold.
ThresholdSums pixel_sums(const std::vector<float>& probability, const std::vector<std::uint8_t>& truth,
                         double threshold) {
  ThresholdSums sums;
  for (std::size_t i = 0; i < truth.size(); ++i) {
    if (truth[i] == kIgnoredClass) continue;
    const bool said = static_cast<double>(probability[i]) > threshold;
    (truth[i] != 0 ? said ? sums.true_positive : sums.false_negative
     : said        ? sums.false_positive
                   : sums.true_negative) += 1;
  }
  return sums;
}

TEST_F(EvaluationTest, ScoresTheTargetsOfTraining) {
  const std::int64_t plane = kShape.y * kShape.x;
  const LabelId unknown = 0xffffffffffffffff;
  std::vector<std::uint64_t> ids;
  for (std::int64_t i = 0; i < volume_of(kShape); ++i) {
    const std::int64_t y = i % plane / kShape.x, x = i % kShape.x;
    ids.push_back(y < 5 ? unknown : static_cast<std::uint64_t>(1 + y / 6 * 100 + x / 8));  // cells that touch
  }
  request_.labels = write_volume(folder_ / "dense.h5", kShape, ids, {1, 24, 32});
  request_.label_kind = LabelKind::instances;
  request_.ignore_label = unknown;
  request_.region = PixelBounds{2, 3, 20, 30};
  std::vector<std::uint8_t> truth;
  std::vector<float> probability;
  for (std::int64_t z = 0; z < kShape.z; ++z) {
    VoxelBuffer section(VoxelType::uint64, {1, 18, 27});
    for (std::int64_t i = 0; i < 18 * 27; ++i) {
      const auto at = static_cast<std::size_t>((z * kShape.y + 2 + i / 27) * kShape.x + 3 + i % 27);
      section.as<std::uint64_t>()[static_cast<std::size_t>(i)] = ids[at];
      probability.push_back(probability_[at]);
    }
    LabelOptions options;
    options.kind = LabelKind::instances;
    options.ignore = unknown;
    const auto classes = label_classes(section, {{z, 2, 3}, {z + 1, 20, 30}}, options, request_.labels);
    truth.insert(truth.end(), classes.begin(), classes.end());
  }
  EXPECT_EQ(std::count(truth.begin(), truth.end(), kIgnoredClass), 7 * 3 * 27);
  const Evaluation evaluation = evaluate();
  const ThresholdSums expected = pixel_sums(probability, truth, evaluation.table.thresholds[5]);
  ThresholdSums sums;
  for (std::int64_t z = 0; z < 7; ++z)
    sums += evaluation.table.section(z)[5];
  EXPECT_EQ(sums.true_positive, expected.true_positive);
  EXPECT_EQ(sums.false_positive, expected.false_positive);
  EXPECT_EQ(sums.false_negative, expected.false_negative);
  EXPECT_EQ(sums.true_negative, expected.true_negative);
  EXPECT_EQ(sums.pixels(), 7 * 15 * 27);
  const nlohmann::json json = nlohmann::json::parse(evaluation_json(evaluation));
  EXPECT_EQ(json["label_kind"], "instances");
  EXPECT_EQ(json["ignore_label"], unknown);
  EXPECT_EQ(json["region"]["end"], (std::vector<int>{20, 30}));
  EXPECT_EQ(json["confusion"]["pixels"][0][0].get<std::int64_t>() +
                json["confusion"]["pixels"][0][1].get<std::int64_t>() +
                json["confusion"]["pixels"][1][0].get<std::int64_t>() +
                json["confusion"]["pixels"][1][1].get<std::int64_t>(),
            7 * 15 * 27);
  std::int64_t pixels = 0;
  for (const auto& bin : json["calibration"]["bins"])
    pixels += bin["pixels"].get<std::int64_t>();
  EXPECT_EQ(pixels, 7 * 15 * 27);
  request_.region = PixelBounds{2, 3, 25, 30};
  EXPECT_NE(complaint().find("region: y [2, 25) x [3, 30) is not within the 24 x 32 pixels"),
            std::string::npos);
}

/// The box of a volume of shape kShape.
template <class T>
std::vector<T> cut(const std::vector<T>& volume, const Box& box) {
  constexpr std::int64_t kHeight = 24, kWidth = 32;
  std::vector<T> part;
  for (std::int64_t z = box.begin.z; z < box.end.z; ++z) {
    for (std::int64_t y = box.begin.y; y < box.end.y; ++y) {
      for (std::int64_t x = box.begin.x; x < box.end.x; ++x)
        part.push_back(volume[static_cast<std::size_t>((z * kHeight + y) * kWidth + x)]);
    }
  }
  return part;
}

TEST_F(EvaluationTest, OffsetsPlaceThePredictionInTheLabels) {
  const Box part{{2, 5, 3}, {6, 20, 30}};
  request_.prediction =
      write_volume(folder_ / "part.h5", part.shape(), cut(probability_, part), {2, 8, 8}, {2, 5, 3});
  const Evaluation placed = evaluate();
  EXPECT_EQ(placed.sections.begin, 2);
  EXPECT_EQ(placed.sections.end, 6);
  EXPECT_EQ(placed.bounds.y_begin, 5);
  request_.labels = write_volume(folder_ / "crop.h5", part.shape(), cut(labels_, part), {2, 8, 8});
  const Evaluation crop = evaluate();
  EXPECT_EQ(placed.table.sums, crop.table.sums) << "labels of the prediction's shape need no offset";
  EXPECT_GT(placed.table.section(0)[5].true_positive, 0);
  // In the coordinates of a raw volume.
  request_.labels =
      write_volume(folder_ / "inner.h5", part.shape(), cut(labels_, part), {2, 8, 8}, {2, 5, 3});
  request_.frame = VolumeInfo{};
  request_.frame->name = {"em.h5", "/raw"};
  request_.frame->shape = kShape;
  request_.sections = SectionRange{0, 5};
  const Evaluation framed = evaluate();
  EXPECT_EQ(framed.sections.begin, 2);
  EXPECT_EQ(framed.sections.end, 5);
  EXPECT_EQ(framed.table.section(1)[5], placed.table.section(1)[5]);
  request_.sections = SectionRange{0, 2};
  EXPECT_NE(complaint().find("nothing can be scored of z [0, 2)"), std::string::npos) << complaint();
  request_.sections.reset();
  request_.labels = write_volume(folder_ / "far.h5", part.shape(), cut(labels_, part), {2, 8, 8}, {20, 5, 3});
  EXPECT_NE(complaint().find("have no voxel in common"), std::string::npos) << complaint();
}

TEST_F(EvaluationTest, SectionsWithoutAnnotationAreUndefined) {
  std::vector<std::uint8_t> labels(static_cast<std::size_t>(volume_of(kShape)), 9);
  const std::size_t plane = 24 * 32;
  for (std::size_t i = 3 * plane; i < 4 * plane; ++i)
    labels[i] = i % 8 > 1 ? 1 : 0;
  request_.labels = write_volume(folder_ / "sparse.h5", kShape, labels, {1, 24, 32});
  request_.ignore_label = 9;
  request_.picture_folder = folder_ / "pictures";
  const Evaluation evaluation = evaluate();
  EXPECT_EQ(evaluation.from_worst(), (std::vector<std::int64_t>{3}));
  const nlohmann::json json = nlohmann::json::parse(evaluation_json(evaluation));
  EXPECT_TRUE(json["sections"][0]["best_f"].is_null());
  EXPECT_TRUE(json["sections"][0]["scores"][5]["pixel_error"].is_null());
  EXPECT_TRUE(json["sections"][3]["best_f"].is_number());
  EXPECT_EQ(evaluation.volume[5].pooled.pixel_error, scores_of(evaluation.table.section(3)[5]).pixel_error);
  EXPECT_NE(evaluation_text(evaluation).find("undefined"), std::string::npos);
  request_.sections = SectionRange{0, 3};
  const nlohmann::json nothing = nlohmann::json::parse(evaluation_json(evaluate()));
  EXPECT_TRUE(nothing["best"]["pixel_error"]["value"].is_null());
  EXPECT_TRUE(nothing["best"]["pixel_error"]["threshold"].is_null());
  EXPECT_TRUE(nothing["worst_sections"].empty());
}

TEST_F(EvaluationTest, TheVerbAcceptsItsOptions) {
  const std::vector<std::string> arguments{"--prediction", request_.prediction.text(),
                                           "--labels",     request_.labels.text(),
                                           "--sections",   "2:5",
                                           "--thresholds", "5",
                                           "--json",       (folder_ / "o.json").string()};
  ::testing::internal::CaptureStdout();
  EXPECT_EQ(run_verb(*find_verb("evaluate"), arguments, Communicator::alone()), 0);
  EXPECT_NE(::testing::internal::GetCapturedStdout().find("sections    2:5"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(folder_ / "o.json"));
  EXPECT_THROW(
      run_verb(*find_verb("evaluate"), {"--prediction", request_.prediction.text()}, Communicator::alone()),
      UsageError);
  EXPECT_THROW(run_verb(*find_verb("evaluate"), {"--predicton", "x"}, Communicator::alone()), UsageError);
}

}  // namespace
}  // namespace tessera
