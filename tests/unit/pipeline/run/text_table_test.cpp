#include "pipeline/run/text_table.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

TEST(TextTable, AlignsAndMarks) {
  TextTable table({"section", "F", "IoU"});
  table.add({"4", "0.5", "0.25"}, "worst");
  table.add({"12", "0.75", "undefined"});
  EXPECT_EQ(table.text(),
            "section     F        IoU\n"
            "4         0.5       0.25  <- worst\n"
            "12       0.75  undefined\n");
}

TEST(TextTable, BecomesSeveralWhereItIsTooWide) {
  TextTable table({"at", "first", "second", "third"}, 18);
  table.add({"0.5", "1", "2", "3"});
  EXPECT_EQ(table.text(),
            "at   first  second\n"
            "0.5      1       2\n"
            "\n"
            "at   third\n"
            "0.5      3\n");
}

TEST(TextTable, AColumnWiderThanTheLineStandsAlone) {
  TextTable table({"a", "bbbbbbbbbbbbbbbb", "c"}, 10);
  table.add({"1", "2", "3"});
  EXPECT_EQ(table.text(), "a  bbbbbbbbbbbbbbbb\n1                 2\n\na  c\n1  3\n");
}

}  // namespace
}  // namespace tessera
