#include "io/base/enum_names.h"

#include <gtest/gtest.h>

namespace tessera {
namespace {

enum class Colour { red, green, blue };
constexpr auto enum_names(Colour) {
  return std::to_array<EnumName<Colour>>(
      {{Colour::green, "green"}, {Colour::red, "red"}, {Colour::blue, "deep blue"}});
}

TEST(EnumNames, LeadToTheValueAndBack) {
  int seen = 0;
  for (const Colour colour : values_of<Colour>()) {
    EXPECT_EQ(value_named<Colour>(name_of(colour)), colour);
    ++seen;
  }
  EXPECT_EQ(seen, 3);
  EXPECT_EQ(name_of(Colour::blue), "deep blue");
}

TEST(EnumNames, KeepTheOrderOfTheTable) {
  EXPECT_EQ(names_of<Colour>(), (std::vector<std::string>{"green", "red", "deep blue"}));
  EXPECT_EQ(names_of<Colour>({Colour::blue, Colour::green}),
            (std::vector<std::string>{"deep blue", "green"}));
}

TEST(EnumNames, LackOtherNames) {
  EXPECT_EQ(value_named<Colour>("Red"), std::nullopt);
  EXPECT_EQ(value_named<Colour>(""), std::nullopt);
}

}  // namespace
}  // namespace tessera
