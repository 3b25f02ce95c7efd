#include "pipeline/report/html.h"

#include <gtest/gtest.h>

#include <limits>

#include "pipeline/report/named_scores.h"
#include "pipeline/report/page.h"

namespace tessera {
namespace {

TEST(Html, TextCannotBecomeMarkup) {
  EXPECT_EQ(escape_html("a < b & \"c\" > 'd'"), "a &lt; b &amp; &quot;c&quot; &gt; &#39;d&#39;");
  EXPECT_EQ(element("p", {{"title", "\" onclick=\"x"}}, text("<script>")).str(),
            "<p title=\"&quot; onclick=&quot;x\">&lt;script&gt;</p>");
  EXPECT_EQ(path_text("a/<b>/c:/d").str(), "<span class=\"mono\">a/<wbr>&lt;b&gt;/<wbr>c:<wbr>/d</span>");
}

TEST(Html, ReplacesInvalidUtf8) {
  EXPECT_EQ(escape_html("caf\u00e9 \u03bc\u00b2 \U0001F9E0"), "caf\u00e9 \u03bc\u00b2 \U0001F9E0");
  EXPECT_EQ(escape_html("a\xFFz"), "a\\xFFz");
  EXPECT_EQ(escape_html("\xC3"), "\\xC3") << "cut short";
  EXPECT_EQ(escape_html("\xC0\xBC"), "\\xC0\\xBC") << "an overlong '<'";
  EXPECT_EQ(escape_html("\xED\xA0\x80"), "\\xED\\xA0\\x80") << "a surrogate";
  EXPECT_EQ(escape_html("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80") << "beyond U+10FFFF";
  EXPECT_EQ(escape_html(std::string_view("a\0b\x1B", 4)), "a\uFFFDb\uFFFD");
  EXPECT_EQ(escape_html("a\n\tb"), "a\n\tb");
}

TEST(Html, VoidElementsHaveNoEndTag) {
  EXPECT_EQ(element("img", {{"alt", "x"}}).str(), "<img alt=\"x\">");
  EXPECT_EQ(tag("td", "", {}).str(), "<td></td>");
}

TEST(Html, Base64OfRfc4648) {
  for (const auto& [plain, coded] : {std::pair("", ""),
                                     {"f", "Zg=="},
                                     {"fo", "Zm8="},
                                     {"foo", "Zm9v"},
                                     {"foob", "Zm9vYg=="},
                                     {"fooba", "Zm9vYmE="},
                                     {"foobar", "Zm9vYmFy"}}) {
    EXPECT_EQ(base64(std::as_bytes(std::span(plain, std::string_view(plain).size()))), coded);
  }
  EXPECT_EQ(base64(std::vector<std::byte>{std::byte{0xFF}, std::byte{0xFE}, std::byte{0xFD}}), "//79");
}

TEST(Html, Numbers) {
  EXPECT_EQ(with_commas(0), "0");
  EXPECT_EQ(with_commas(999), "999");
  EXPECT_EQ(with_commas(1234567), "1,234,567");
  EXPECT_EQ(with_commas(-1234), "\u22121,234");
  EXPECT_EQ(with_commas(-0.2), "0");
  EXPECT_EQ(number_text(-0.00001, 2), "0.00");
  EXPECT_EQ(number_text(-0.5, 1), "\u22120.5");
  EXPECT_EQ(number_text(std::numeric_limits<double>::quiet_NaN(), 2), "\u2013");
  EXPECT_EQ(with_commas(std::numeric_limits<double>::infinity()), "\u2013");
}

TEST(Html, TablesSortByNumericValue) {
  HtmlTable table({{"name", false}, {"value"}}, true);
  table.add({Cell::plain("a<b"), Cell::number(0.123456789, 2)}, "marked");
  table.add({Cell::plain("c"), Cell::number(std::numeric_limits<double>::quiet_NaN(), 2)});
  const std::string html = table.html().str();
  EXPECT_NE(
      html.find("<tr class=\"marked\"><td>a&lt;b</td><td class=\"n\" data-v=\"0.123456789\">0.12</td></tr>"),
      std::string::npos)
      << html;
  EXPECT_NE(html.find("data-v=\"\">\u2013</td>"), std::string::npos);
}

TEST(Html, APageForbidsRequestsAndForeignScripts) {
  const std::string page =
      html_page("<title>", tag("p", "", text("head")), {{"one", "First & last", note("body")}});
  EXPECT_NE(page.find("default-src &#39;none&#39;; img-src data:; style-src &#39;unsafe-inline&#39;; "
                      "script-src &#39;sha256-"),
            std::string::npos);
  EXPECT_NE(page.find("<title>&lt;title&gt;</title>"), std::string::npos);
  EXPECT_NE(page.find("<a href=\"#one\">First &amp; last</a>"), std::string::npos);
  EXPECT_NE(page.find("prefers-color-scheme: dark"), std::string::npos);
  EXPECT_NE(page.find("@media print"), std::string::npos);
  EXPECT_EQ(page.find("http:"), std::string::npos);
  EXPECT_EQ(page.find("https:"), std::string::npos);
}

TEST(ScoreName, FormatsSuperscriptsAndSubscripts) {
  EXPECT_EQ(score_name("V^Rand_thin, x").str(),
            "V<span class=\"pair\"><sup>Rand</sup><sub>thin</sub></span>, x");
  EXPECT_EQ(score_name("Pixel error").str(), "Pixel error");
}

}  // namespace
}  // namespace tessera
