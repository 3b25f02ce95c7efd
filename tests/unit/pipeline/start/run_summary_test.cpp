#include "pipeline/start/run_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tessera {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

NamedScore score(const std::string& key, double value, Better better) {
  NamedScore one;
  one.key = key;
  one.value = value;
  one.better = better;
  return one;
}

TEST(Verdict, ComparesPixelsWithOneClassEverywhere) {
  // A fifth is membrane.
  const Json evaluation{{"confusion", {{"pixels", {{15, 5}, {3, 77}}}}}};
  EXPECT_THAT(verdict_on(score("pixel_error", 0.07, Better::lower), evaluation),
              StartsWith("good: 7.0 % of the pixels are wrong; one class everywhere would give 20.0 %"));
  EXPECT_THAT(verdict_on(score("pixel_error", 0.12, Better::lower), evaluation), StartsWith("fair"));
  EXPECT_THAT(verdict_on(score("pixel_error", 0.19, Better::lower), evaluation), StartsWith("poor"));
  EXPECT_THAT(verdict_on(score("f", 0.96, Better::higher), evaluation), StartsWith("good"));
  EXPECT_THAT(verdict_on(score("f", 0.89, Better::higher), evaluation), HasSubstr("0.889"));
  EXPECT_EQ(verdict_on(score("f", 0.9, Better::higher), Json::object()), "");
}

TEST(Verdict, HasLimitsForOtherScores) {
  const Json nothing = Json::object();
  EXPECT_THAT(verdict_on(score("rand_thin_f_macro", 0.96, Better::higher), nothing), StartsWith("good"));
  EXPECT_THAT(verdict_on(score("rand_thin_f_macro", 0.9, Better::higher), nothing), StartsWith("fair"));
  EXPECT_THAT(verdict_on(score("rand_thin_f_macro", 0.5, Better::higher), nothing), StartsWith("poor"));
  EXPECT_THAT(verdict_on(score("volume_3d.voi", 0.4, Better::lower), nothing), StartsWith("good"));
  EXPECT_THAT(verdict_on(score("volume_3d.voi", 2, Better::lower), nothing), StartsWith("poor"));
  EXPECT_THAT(verdict_on(score("volume_3d.voi_split", 0.2, Better::lower), nothing),
              StartsWith("good: few objects are split"));
  EXPECT_THAT(verdict_on(score("volume_3d.voi_merge", 0.8, Better::lower), nothing),
              StartsWith("poor: many objects are merged"));
  EXPECT_EQ(verdict_on(score("brier", 0.1, Better::lower), nothing), "");
}

}  // namespace
}  // namespace tessera
