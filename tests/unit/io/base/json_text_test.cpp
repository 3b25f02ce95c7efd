#include "io/base/json_text.h"

#include <gtest/gtest.h>

#include <string>

namespace tessera {
namespace {

using Json = nlohmann::ordered_json;

std::string nested(int depth) {
  return "{\"a\":" + std::string(static_cast<std::size_t>(depth), '[') +
         std::string(static_cast<std::size_t>(depth), ']') + "}";
}

TEST(JsonText, DepthIsBounded) {
  EXPECT_TRUE(parse_json<Json>(nested(90)).is_object());
  EXPECT_TRUE(parse_json<Json>(nested(110)).is_discarded());
  EXPECT_TRUE(parse_json<Json>(nested(3'000'000)).is_discarded());
  EXPECT_TRUE(parse_json<Json>("{\"a\":\"" + std::string(1000, '[') + "\"}").is_object()) << "in a text";
  EXPECT_TRUE(parse_json<Json>("{\"a\":\"\\\"" + std::string(1000, '[') + "\"}").is_object());
  EXPECT_TRUE(parse_json<Json>("no JSON").is_discarded());
  EXPECT_TRUE(parse_json<Json>("").is_discarded());
}

TEST(JsonText, TextsThatAreNotUtf8AreEscaped) {
  const Json json{{"m\xFCller", {1, "\xFF", {{"deep", "a\nb"}}}}, {"plain", "\\xFC"}};
  const Json back = parse_json<Json>(json_text(json, 2));
  EXPECT_EQ(back.at("m\\xFCller").at(1), "\\xFF");
  EXPECT_EQ(back.at("m\\xFCller").at(2).at("deep"), "a\nb");
  const Json plain{{"name", "\\xFC m\u00fcller"}};
  EXPECT_EQ(json_text(plain, 2), plain.dump(2));
}

TEST(JsonText, TextsOfKeys) {
  const Json json{{"end", "done"}, {"count", 5}};
  EXPECT_EQ(json_text_at(json, "end"), "done");
  EXPECT_EQ(json_text_at(json, "count"), "");
  EXPECT_EQ(json_text_at(json, "none"), "");
  EXPECT_EQ(json_text_at(Json(Json::value_t::discarded), "end"), "");
}

}  // namespace
}  // namespace tessera
