#include "pipeline/report/recommended_threshold.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

Json evaluation(const std::vector<double>& f) {
  Json json{{"volume", Json::array()}};
  double best = -1, at = 0;
  for (std::size_t i = 0; i < f.size(); ++i) {
    const double threshold = static_cast<double>(i) / 10;
    json["volume"].push_back({{"threshold", threshold}, {"f", f[i]}});
    if (f[i] > best) {
      best = f[i];
      at = threshold;
    }
  }
  json["best"]["f"] = {{"value", best}, {"threshold", at}};
  return json;
}

TEST(RecommendedThreshold, SaysHowFarItMayMove) {
  const auto found = recommended_threshold(evaluation({0.898, 0.1, 0.897, 0.899, 0.9, 0.896, 0.5}));
  ASSERT_TRUE(found);
  EXPECT_DOUBLE_EQ(found->threshold, 0.4);
  EXPECT_EQ(found->reason,
            "At 0.40 most pixels of the interior are right: F of the interior is highest there, 0.9000; "
            "between 0.20 "
            "and 0.50 it is lower by at most 0.005.");
}

TEST(RecommendedThreshold, PrefersSeparateCellsToPixels) {
  Json json = evaluation({0.5, 0.9, 0.5});
  json["best"]["rand_f_macro"] = {{"value", 0.8}, {"threshold", 0.2}};
  const auto found = recommended_threshold(json);
  ASSERT_TRUE(found);
  EXPECT_DOUBLE_EQ(found->threshold, 0.2);
  EXPECT_NE(found->reason.find("cells are separated best"), std::string::npos) << found->reason;
}

TEST(RecommendedThreshold, NoneWithoutScores) {
  EXPECT_FALSE(recommended_threshold(Json()));
  EXPECT_FALSE(recommended_threshold(Json{{"best", {{"f", {{"value", nullptr}, {"threshold", nullptr}}}}}}));
}

}  // namespace
}  // namespace tessera
