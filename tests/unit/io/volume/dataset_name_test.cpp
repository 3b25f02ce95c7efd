#include "io/volume/dataset_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/base/error.h"
#include "tests/unit/error_message.h"

namespace tessera {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DatasetName, IsAFileAndAPath) {
  const DatasetName name = parse_dataset_name("runs/em.h5:/volumes/raw");
  EXPECT_EQ(name.file, "runs/em.h5");
  EXPECT_EQ(name.path, "/volumes/raw");
  EXPECT_EQ(name.text(), "runs/em.h5:/volumes/raw");
}

TEST(DatasetName, ColonsOfTheFileNameStay) {
  const DatasetName name = parse_dataset_name("/data/12:30/a:b.h5:/raw");
  EXPECT_EQ(name.file, "/data/12:30/a:b.h5");
  EXPECT_EQ(name.path, "/raw");
  EXPECT_EQ(parse_dataset_name("node:/data/em.h5:/raw").file, "node:/data/em.h5");
}

TEST(DatasetName, OtherFormsAreRejectedWithAnExample) {
  for (const char* text :
       {"", "em.h5", "em.h5:", "em.h5:/", ":/volumes/raw", "em.h5:volumes/raw", "/volumes/raw"}) {
    EXPECT_THROW(parse_dataset_name(text), UsageError) << text;
    EXPECT_THAT(testing::message_of([&] { parse_dataset_name(text); }),
                AllOf(HasSubstr("'" + std::string(text) + "'"), HasSubstr("em.h5:/volumes/raw")));
  }
}

}  // namespace
}  // namespace tessera
