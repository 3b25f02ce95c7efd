#include "pipeline/train/changed_settings.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

constexpr auto kThen =
    "data:\n  train_sections: [0, 4]\n  allow_one_class: false\ntrain:\n  seed: 1\n  iterations: 10\n";

TEST(ChangedSettings, NamesWhatChangesTheTraining) {
  EXPECT_EQ(changed_settings(kThen, kThen), "");
  EXPECT_EQ(changed_settings(kThen,
                             "data:\n  train_sections: [0, 3]\n  allow_one_class: true\n"
                             "train:\n  seed: 2\n  iterations: 20\ninfer:\n  tile: 5\n"),
            "data.train_sections was [0, 4], is [0, 3] now; train.seed was 1, is 2 now");
}

TEST(ChangedSettings, KeysOfOtherVersionsAreNoChange) {
  EXPECT_EQ(changed_settings(kThen, "train:\n  seed: 1\n  new_key: 3\n"), "");
  EXPECT_EQ(changed_settings("no yaml: [", kThen), "");
}

TEST(ChangedSettings, NamesVolumesThatCameOrWent) {
  EXPECT_EQ(changed_settings("data:\n  volumes:\n    - raw: a\n",
                             "data:\n  volumes:\n    - raw: a\n    - raw: b\n"),
            "data.volumes[1].raw was not set, is b now");
  EXPECT_EQ(changed_settings("data:\n  volumes:\n    - raw: a\n    - raw: b\n",
                             "data:\n  volumes:\n    - raw: a\n"),
            "data.volumes[1].raw was b, is not set now");
}

}  // namespace
}  // namespace tessera
