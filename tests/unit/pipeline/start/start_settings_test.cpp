#include "pipeline/start/start_settings.h"

#include <gtest/gtest.h>

#include <string>

namespace tessera {
namespace {

std::string text_of(const std::vector<Sections>& all) {
  std::string text;
  for (const Sections& one : all)
    text += "[" + std::to_string(one.begin) + ", " + std::to_string(one.end) + ") ";
  return text;
}

StartFacts facts_of(const Index3& shape) {
  StartFacts facts;
  facts.survey.raw.shape = shape;
  facts.survey.labels = facts.survey.raw;
  facts.survey.found.covered = Box::of_shape(shape);
  facts.machine.cores = 2;
  return facts;
}

TEST(SectionSplit, HoldsOutAFifthAtTheEnd) {
  const SectionSplit whole = split_sections({{0, 20}});
  EXPECT_EQ(text_of(whole.train), "[0, 16) ");
  EXPECT_EQ(text_of(whole.validation), "[16, 20) ");
  EXPECT_FALSE(whole.one_section);
  const SectionSplit two = split_sections({{7, 9}});
  EXPECT_EQ(text_of(two.train), "[7, 8) ");
  EXPECT_EQ(text_of(two.validation), "[8, 9) ");
  const SectionSplit runs = split_sections({{0, 4}, {10, 14}, {20, 22}, {30, 31}});
  EXPECT_EQ(text_of(runs.train), "[0, 4) [10, 14) [20, 21) ");
  EXPECT_EQ(text_of(runs.validation), "[21, 22) [30, 31) ");
  EXPECT_TRUE(split_sections({{5, 6}}).one_section);
}

TEST(StartSettings, FitTheSectionsAndTheMachine) {
  const StartSettings isbi = first_settings(facts_of({20, 512, 512}), {});
  EXPECT_EQ(isbi.tile, 476) << "as in configs/isbi2012.yaml";
  EXPECT_EQ(isbi.tile_output, 292);
  EXPECT_EQ(isbi.base_filters, 16);
  EXPECT_EQ(isbi.batch, 2);
  EXPECT_EQ(isbi.depth, 4);
  const StartSettings small = first_settings(facts_of({8, 128, 128}), {});
  EXPECT_EQ(small.depth, 3);
  EXPECT_GE(small.tile_output, 128);
  EXPECT_LT(small.tile_output, 160);
  const StartSettings paper =
      first_settings(facts_of({20, 512, 512}), {.minutes = {}, .gpu = true, .paper = true});
  EXPECT_EQ(paper.base_filters, 64);
  EXPECT_EQ(paper.tile, 572);
  EXPECT_EQ(paper.batch, 1);
  EXPECT_TRUE(paper.gpu);
}

TEST(StartSettings, IterationsFillTheMinutes) {
  StartSettings settings;
  settings.minutes = 10;
  settings.batch = 2;
  set_iterations(settings, 0.1, 3, 1);
  EXPECT_EQ(settings.expected, 2700) << "540 s of 0.2 s each, two digits that count";
  EXPECT_EQ(settings.iterations, 5400) << "the minutes end the training";
  EXPECT_EQ(settings.warm_up, 50);
  EXPECT_EQ(settings.validate_every, 450) << "six validations of 3 s are 3 % of the time";
  EXPECT_DOUBLE_EQ(settings.average_decay, 0.995);
  EXPECT_FALSE(better_filters(settings));
  set_iterations(settings, 0.1, 3, 2);
  EXPECT_EQ(settings.expected, 5400) << "two GPUs, a sample each";
  set_iterations(settings, 0.005, 3, 1);
  EXPECT_EQ(better_filters(settings), 32) << settings.expected;
  set_iterations(settings, 0.35, 1.8, 1);
  EXPECT_EQ(settings.expected, 770);
  EXPECT_EQ(settings.warm_up, 50) << "as in configs/isbi2012.yaml";
  EXPECT_EQ(settings.validate_every, 77) << "ten validations";
  set_iterations(settings, 0.035, 9, 1);
  EXPECT_EQ(settings.validate_every, 3900) << "7,700 / 2 = 3,850, rounded up to two digits";
  set_iterations(settings, 5, 300, 1);
  EXPECT_EQ(settings.expected, 54);
  EXPECT_EQ(settings.validate_every, 54);
  EXPECT_EQ(settings.warm_up, 5);
  EXPECT_EQ(better_filters(settings), 8);
  set_iterations(settings, 1e6, 1, 1);
  EXPECT_EQ(settings.expected, 1);
  EXPECT_EQ(settings.warm_up, 0);
}

}  // namespace
}  // namespace tessera
