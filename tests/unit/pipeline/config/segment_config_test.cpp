#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/config/experiment.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ExperimentConfig parsed_segment(const std::string& keys, const ConfigNeeds& needs = {.segmentation = true}) {
  return parse_experiment("experiment: e\nsegment: {prediction: p.h5:/p, output: s.h5:/s, " + keys + "}\n",
                          "e.yaml", {}, needs);
}

std::string problem_of_segment(const std::string& keys) {
  return testing::message_of([&] { parsed_segment(keys); });
}

TEST(SegmentConfig, ThresholdsFallToTheThreshold) {
  EXPECT_THAT(parsed_segment("threshold: 0.75").segment.thresholds, ElementsAre(0.95, 0.9, 0.85, 0.8, 0.75));
  EXPECT_THAT(parsed_segment("threshold: 0.78").segment.thresholds, ElementsAre(0.95, 0.9, 0.85, 0.8, 0.78));
  EXPECT_THAT(parsed_segment("threshold: 0.97").segment.thresholds, ElementsAre(0.97));
  EXPECT_THAT(parsed_segment("threshold: 0.5, threshold_from: 0.9, threshold_step: 0.2").segment.thresholds,
              ElementsAre(0.9, 0.7, 0.5));
  EXPECT_THAT(parsed_segment("thresholds: [0.8, 0.5]").segment.thresholds, ElementsAre(0.8, 0.5));
}

TEST(SegmentConfig, TheResolvedExperimentParsesToTheSameValues) {
  for (const char* keys :
       {"mode: volume", "mode: sections, link_below: 0.4", "thresholds: [0.8, 0.5]", "linkage: maximum",
        "choose: rand, choose_labels: l.h5:/l, choose_sections: [2, 5]",
        "method: components, connectivity: 26", "method: components, connectivity: 8, fill_holes: true",
        "ids: compact, fragment_size: 7"}) {
    const ExperimentConfig once = parsed_segment(keys);
    const ExperimentConfig twice =
        parse_experiment(once.resolved_yaml, "resolved.yaml", {}, {.segmentation = true});
    EXPECT_EQ(once.resolved_yaml, twice.resolved_yaml) << keys;
    EXPECT_EQ(once.segment.thresholds, twice.segment.thresholds);
    EXPECT_EQ(once.segment.link_below, twice.segment.link_below);
    EXPECT_EQ(once.segment.fragment_size, twice.segment.fragment_size);
    EXPECT_EQ(once.segment.linkage, twice.segment.linkage);
    EXPECT_EQ(once.segment.choose, twice.segment.choose);
  }
}

TEST(SegmentConfig, DefaultsComeFromThePrediction) {
  const ExperimentConfig config = parse_experiment(
      "experiment: e\ninfer: {raw: r.h5:/raw, output: p.h5:/p}\nsegment: {output: s.h5:/s}\n", "e.yaml", {},
      {.segmentation = true});
  ASSERT_TRUE(config.segment.prediction);
  EXPECT_EQ(config.segment.prediction->text(), "p.h5:/p");
  EXPECT_FALSE(config.segment.mode);
  EXPECT_FALSE(config.segment.fragment_size);
  // Other verbs need no segment section.
  EXPECT_FALSE(parse_experiment("experiment: e\n", "e.yaml", {}, {}).segment.output);
}

TEST(SegmentConfig, TheSectionAsksForAResultInTheRunFolder) {
  const std::string infer = "experiment: e\ninfer: {raw: r.h5:/raw}\n";
  const auto parsed = [](const std::string& text, const ConfigNeeds& needs = {}) {
    return parse_experiment(text, "e.yaml", {}, needs);
  };
  const ExperimentConfig plain = parsed(infer);
  EXPECT_FALSE(plain.segment.wanted);
  EXPECT_FALSE(plain.segment.output);
  EXPECT_THAT(plain.resolved_yaml, Not(HasSubstr("segment:\n")));
  for (const char* section : {"segment: {}\n", "segment:\n", "segment: {threshold: 0.3}\n"}) {
    const ExperimentConfig config = parsed(infer + section);
    EXPECT_TRUE(config.segment.wanted) << section;
    ASSERT_TRUE(config.segment.output) << section;
    EXPECT_EQ(config.segment.output->text(), "runs/e/segmentation.h5:/volumes/labels/neuron_ids");
    EXPECT_EQ(config.segment.prediction->text(), "runs/e/prediction.h5:/volumes/predictions/interior");
    const ExperimentConfig again = parsed(config.resolved_yaml);
    EXPECT_EQ(again.segment.output->text(), config.segment.output->text());
    EXPECT_EQ(again.resolved_yaml, config.resolved_yaml);
  }
  EXPECT_TRUE(parsed(infer, {.segmentation = true}).segment.output) << "the verb asks for it";
  const ExperimentConfig many = parsed("experiment: e\ninfer: {raw: s/*.h5:/raw}\nsegment: {}\n");
  EXPECT_TRUE(many.segment.wanted);
  EXPECT_FALSE(many.segment.output) << "each volume has its own";
  EXPECT_TRUE(parsed(many.resolved_yaml).segment.wanted);
}

TEST(SegmentConfig, LabelsThatChooseComeFromTheData) {
  const ExperimentConfig config = parse_experiment(
      "experiment: e\ndata: {raw: r.h5:/r, labels: l.h5:/l, ignore_label: 7}\nsegment: {prediction: p.h5:/p, "
      "output: s.h5:/s, "
      "choose: voi, choose_sections: [3, 9]}\n",
      "e.yaml", {}, {.segmentation = true});
  EXPECT_EQ(config.segment.choose_labels->text(), "l.h5:/l");
  EXPECT_EQ(config.segment.choose_ignored, 7u);
  EXPECT_EQ(config.segment.choose_sections->begin, 3);
  EXPECT_EQ(config.segment.linkage, MergeLinkage::rounds);
  EXPECT_EQ(parsed_segment("").segment.choose, ThresholdChoice::none);
}

TEST(SegmentConfig, SupervoxelsAreOfAWatershed) {
  EXPECT_FALSE(parsed_segment("").segment.supervoxels);
  EXPECT_TRUE(parsed_segment("supervoxels: true").segment.supervoxels);
  EXPECT_FALSE(parsed_segment("supervoxels: false, method: components").segment.supervoxels);
  EXPECT_THAT(problem_of_segment("supervoxels: true, method: components"),
              HasSubstr("supervoxels: goes with method: watershed"));
}

TEST(SegmentConfig, MistakesHaveTheirPlaceAndRemedy) {
  EXPECT_THAT(problem_of_segment("thresholds: [0.5, 0.6]"), HasSubstr("must fall: 0.6 follows 0.5"));
  EXPECT_THAT(problem_of_segment("thresholds: [0.8, 0.6]"),
              HasSubstr("must end in segment.threshold, which is 0.5"));
  EXPECT_THAT(problem_of_segment("saturated: 0"), HasSubstr("e.yaml:2:"));
  EXPECT_THAT(problem_of_segment("mode: volume, link_mutual: false"),
              HasSubstr("is used with mode: sections only"));
  EXPECT_THAT(problem_of_segment("connectivity: 7"), HasSubstr("it must be 6, 18 or 26"));
  EXPECT_THAT(problem_of_segment("smoothing: 9"), HasSubstr("segment.smoothing"));
  EXPECT_THAT(problem_of_segment("linkage: median"), HasSubstr("segment.linkage"));
  EXPECT_THAT(problem_of_segment("choose: voi, choose_labels: l.h5:/l"), HasSubstr("needs sections"));
  EXPECT_THAT(problem_of_segment("choose: voi, choose_sections: [0, 2]"), HasSubstr("needs labels"));
  EXPECT_THAT(problem_of_segment("choose: thin"), HasSubstr("vrand_thin"));
  EXPECT_THAT(problem_of_segment("treshold: 0.3"), HasSubstr("did you mean 'threshold'"));
  EXPECT_THAT(testing::message_of([] {
                parse_experiment("experiment: e\nsegment: {output: s.h5:/s}\n", "e.yaml", {},
                                 {.segmentation = true});
              }),
              HasSubstr("segment.prediction"));
}

}  // namespace
}  // namespace tessera
