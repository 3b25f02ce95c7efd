#include "io/stores/dataset_wildcards.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "io/base/error.h"
#include "io/hdf5/volume_file.h"
#include "tests/unit/error_message.h"
#include "tests/unit/temporary_folder.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::message_of;

void write_datasets(const std::filesystem::path& file, const std::vector<std::string>& paths) {
  std::filesystem::create_directories(file.parent_path());
  VolumeFile out(file, false);
  for (const std::string& path : paths) {
    VolumeSpec spec;
    spec.path = path;
    spec.shape = {1, 2, 2};
    spec.chunk = {1, 2, 2};
    out.add(spec, false);
    out.write_sections(path, 0, VoxelBuffer(VoxelType::uint8, spec.shape));
  }
  out.commit();
}

class DatasetWildcards : public ::testing::Test {
 protected:
  DatasetWildcards() {
    write_datasets(file_, {"/b2/raw", "/a1/raw", "/a1/labels", "/c/deep/raw", "/a10/raw", "/flat_x_raw",
                           "/flat_y_raw", "/flat_y_labels", "/odd[1]/raw", "/z/other"});
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
  EXPECT_THAT(message_of([&] {
                find_datasets({file_, "/q*/raw"});
              }),
              AllOf(HasSubstr("no dataset that matches /q*/raw"), HasSubstr("tessera info")));
  EXPECT_THAT(found("/*"), ElementsAre("/flat_x_raw", "/flat_y_labels", "/flat_y_raw")) << "groups are none";
  EXPECT_THAT(message_of([&] { find_datasets({folder_ / "no.h5", "/*/raw"}); }), HasSubstr("no.h5"));
}

class FileWildcards : public ::testing::Test {
 protected:
  FileWildcards() {
    for (const char* name :
         {"b/z.h5", "a/z.h5", "a/x1.h5", "a/x10.h5", "a/.hidden.h5", "a/deep/z.h5", "a/x[1].h5"})
      write_datasets(folder_ / name, {"/raw", "/one/raw"});
    write_datasets(folder_ / "b/other.h5", {"/labels"});
    write_text("b/broken.h5");
    std::filesystem::create_directories(folder_ / "a/folder.h5");
    std::filesystem::create_symlink("z.h5", folder_ / "a/link.h5");
  }
  void write_text(const std::string& name) const { std::ofstream(folder_ / name) << "no HDF5"; }
  /// The names relative to the folder.
  std::vector<std::string> found(const std::string& file, const std::string& path) const {
    std::vector<std::string> names;
    for (const WildcardMatch& one : find_datasets({folder_ / file, path}))
      names.push_back(one.name.text().substr(folder_.path().string().size() + 1));
    return names;
  }

  testing::TemporaryFolder folder_;
};

TEST_F(FileWildcards, MatchFilesAsGlobDoes) {
  EXPECT_THAT(found("a/x?.h5", "/raw"), ElementsAre("a/x1.h5:/raw"));
  EXPECT_THAT(found("a/*.h5", "/raw"),
              ElementsAre("a/link.h5:/raw", "a/x1.h5:/raw", "a/x10.h5:/raw", "a/x[1].h5:/raw", "a/z.h5:/raw"))
      << "no folder, no hidden file";
  EXPECT_THAT(found("a/.*.h5", "/raw"), ElementsAre("a/.hidden.h5:/raw"));
  EXPECT_THAT(found("*/z.h5", "/raw"), ElementsAre("a/z.h5:/raw", "b/z.h5:/raw"));
  EXPECT_THAT(found("[!b]/*/z*", "/raw"), ElementsAre("a/deep/z.h5:/raw"));
  EXPECT_THAT(found("a/x\\[?].h5", "/raw"), ElementsAre("a/x[1].h5:/raw"));
}

TEST_F(FileWildcards, NamesWithoutFolderAreOfTheWorkingFolder) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_ / "a");
  const auto matches = find_datasets({"x?.h5", "/raw"});
  std::filesystem::current_path(before);
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].name.text(), "x1.h5:/raw");
}

TEST_F(FileWildcards, BothPartsMayHaveThem) {
  const auto matches = find_datasets({folder_ / "[ab]/z.h5", "/*/r?w"});
  ASSERT_EQ(matches.size(), 2U);
  EXPECT_EQ(matches[1].name.text(), (folder_ / "b/z.h5").string() + ":/one/raw");
  EXPECT_THAT(matches[1].texts, ElementsAre("b", "one", "a"));
  EXPECT_EQ(filled_in({"p/*_p.h5", "/*/?"}, matches[1].texts).text(), "p/b_p.h5:/one/a");
  EXPECT_THAT(wildcards_of(DatasetName{"p/*_[ab].h5", "/?"}), ElementsAre("*", "[ab]", "?"));
}

TEST_F(FileWildcards, WhatIsReallyCalledSoIsMeant) {
  EXPECT_THAT(found("a/x[1].h5", "/raw"), ElementsAre("a/x[1].h5:/raw"));
  EXPECT_THAT(found("a/x[1].h5", "/*/raw"), ElementsAre("a/x[1].h5:/one/raw"));
  const auto matches = find_datasets({folder_ / "a/x[1].h5", "/raw"});
  EXPECT_EQ(filled_in({"p[1].h5", "/raw"}, matches[0].texts).text(), "p[1].h5:/raw");
  EXPECT_EQ(filled_in({"p\\[1].h5", "/r\\w"}, {}).text(), "p\\[1].h5:/r\\w") << "no wildcards: as it is";
}

TEST_F(FileWildcards, FilesAreUnseenUnlessThePathHasWildcards) {
  EXPECT_THAT(found("b/*.h5", "/raw"), ElementsAre("b/broken.h5:/raw", "b/other.h5:/raw", "b/z.h5:/raw"));
  EXPECT_THAT(message_of([&] { found("b/*.h5", "/*/raw"); }), HasSubstr("b/broken.h5"));
  std::filesystem::remove(folder_ / "b/broken.h5");
  EXPECT_THAT(found("b/*.h5", "/*/raw"), ElementsAre("b/z.h5:/one/raw")) << "another file has none: fair";
}

TEST_F(FileWildcards, NothingThatMatchesIsAnError) {
  EXPECT_THAT(message_of([&] { found("a/q*.h5", "/raw"); }),
              AllOf(HasSubstr("no file matches"), HasSubstr("a/q*.h5")));
  EXPECT_THAT(message_of([&] { found("q*/z.h5", "/raw"); }), HasSubstr("no file matches"));
  EXPECT_THAT(message_of([&] { found("?/z.h5", "/[0-9]/raw"); }),
              AllOf(HasSubstr("none of the 2 files"), HasSubstr("/[0-9]/raw")));
}

}  // namespace
}  // namespace tessera
