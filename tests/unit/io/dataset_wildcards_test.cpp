#include "io/dataset_wildcards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/error.h"
#include "io/volume_file.h"
#include "tests/unit/error_words.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::words_of;

class DatasetWildcards : public ::testing::Test {
 protected:
  DatasetWildcards() {
    VolumeFile out(file_, false);
    for (const char* path : {"/b2/raw", "/a1/raw", "/a1/labels", "/c/deep/raw", "/a10/raw", "/flat_x_raw",
                             "/flat_y_raw", "/flat_y_labels", "/odd[1]/raw", "/z/other"}) {
      VolumeSpec spec;
      spec.path = path;
      spec.shape = {1, 2, 2};
      spec.chunk = {1, 2, 2};
      out.add(spec, false);
      out.write_sections(path, 0, VoxelBuffer(VoxelType::uint8, spec.shape));
    }
    out.commit();
  }
  std::vector<std::string> found(const std::string& pattern) const {
    std::vector<std::string> paths;
    for (const WildcardMatch& one : find_datasets({file_, pattern}))
      paths.push_back(one.name.path);
    return paths;
  }

  testing::TemporaryFolder folder_;
  std::filesystem::path file_ = folder_ / "v.h5";
};

TEST(WildcardsOf, FindsThemAsTheShellDoes) {
  EXPECT_THAT(wildcards_of("/volumes/raw"), IsEmpty());
  EXPECT_THAT(wildcards_of("/[0-a]*/r?w"), ElementsAre("[0-a]", "*", "?"));
  EXPECT_THAT(wildcards_of("/[]x]/[!]]/[[:digit:]]"), ElementsAre("[]x]", "[!]]", "[[:digit:]]"));
  EXPECT_THAT(wildcards_of("/[x/y]"), IsEmpty()) << "a bracket does not reach over '/'";
  EXPECT_THAT(wildcards_of("/a\\*b\\[1]"), IsEmpty());
}

TEST_F(DatasetWildcards, MatchWholePathsInOrder) {
  EXPECT_THAT(found("/*/raw"), ElementsAre("/a1/raw", "/a10/raw", "/b2/raw", "/odd[1]/raw"));
  EXPECT_THAT(found("/[ab]?/raw"), ElementsAre("/a1/raw", "/b2/raw"));
  EXPECT_THAT(found("/[!a]*/raw"), ElementsAre("/b2/raw", "/odd[1]/raw"));
  EXPECT_THAT(found("/*/*/raw"), ElementsAre("/c/deep/raw"));
  EXPECT_THAT(found("//[b]?//raw"), ElementsAre("/b2/raw"));
  EXPECT_THAT(found("/flat_*_raw"), ElementsAre("/flat_x_raw", "/flat_y_raw"));
  EXPECT_THAT(found("/?[[:digit:]]/r*"), ElementsAre("/a1/raw", "/b2/raw"));
  EXPECT_THAT(found("/odd\\[?]/raw"), ElementsAre("/odd[1]/raw"));
}

TEST_F(DatasetWildcards, PlainAndRealNamesAreMeant) {
  EXPECT_THAT(found("/nowhere"), ElementsAre("/nowhere")) << "unseen";
  EXPECT_THAT(found("/odd[1]/raw"), ElementsAre("/odd[1]/raw"));
}

TEST_F(DatasetWildcards, TextsFillAnotherPattern) {
  const auto matches = find_datasets({file_, "/[ab]*/r?w"});
  ASSERT_EQ(matches.size(), 3U);
  EXPECT_THAT(matches[1].texts, ElementsAre("a", "10", "a"));
  EXPECT_EQ(filled_in({"l.h5", "/x[ab]/*_?.labels"}, matches[1].texts).text(), "l.h5:/xa/10_a.labels");
  const auto real = find_datasets({file_, "/odd[1]/raw"});
  EXPECT_EQ(filled_in({"l.h5", "/odd[1]/labels"}, real[0].texts).path, "/odd[1]/labels");
}

TEST_F(DatasetWildcards, NothingThatMatchesIsAnError) {
  EXPECT_THAT(words_of([&] {
                find_datasets({file_, "/q*/raw"});
              }),
              AllOf(HasSubstr("no dataset that matches /q*/raw"), HasSubstr("tessera info")));
  EXPECT_THAT(found("/*"), ElementsAre("/flat_x_raw", "/flat_y_labels", "/flat_y_raw")) << "groups are none";
  EXPECT_THAT(words_of([&] { find_datasets({folder_ / "no.h5", "/*/raw"}); }), HasSubstr("no.h5"));
}

}  // namespace
}  // namespace tessera
