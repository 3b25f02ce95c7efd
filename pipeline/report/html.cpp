#include "pipeline/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "io/base/utf8_text.h"

namespace tessera {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";
constexpr const char* kDash = "\u2013";
constexpr const char* kMinus = "\u2212";

bool has_no_content(std::string_view name) {
  constexpr std::array names{"img", "br", "meta", "link", "col", "hr", "wbr", "input"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    const char c = text[0];
    const auto code = static_cast<unsigned char>(c);
    if (length == 0)
      escaped += fmt::format("\\x{:02X}", code);  // as utf8_text does
    else if (length == 1 && ((code < 0x20 && c != '\n' && c != '\t') || code == 0x7F))
      escaped += kReplacement;
    else if (c == '&')
      escaped += "&amp;";
    else if (c == '<')
      escaped += "&lt;";
    else if (c == '>')
      escaped += "&gt;";
    else if (c == '"')
      escaped += "&quot;";
    else if (c == '\'')
      escaped += "&#39;";
    else
      escaped += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(1, length));
  }
  return escaped;
}

Html text(std::string_view content) {
  return Html::markup(escape_html(content));
}

Html element(std::string_view name, const std::vector<Attribute>& attributes, const Html& content) {
  std::string markup = fmt::format("<{}", name);
  for (const Attribute& one : attributes)
    markup += fmt::format(" {}=\"{}\"", one.name, escape_html(one.value));
  markup += ">";
  if (!has_no_content(name)) markup += content.str() + fmt::format("</{}>", name);
  return Html::markup(std::move(markup));
}

Html tag(std::string_view name, std::string_view css_class, const Html& content) {
  if (css_class.empty()) return element(name, {}, content);
  return element(name, {{"class", std::string(css_class)}}, content);
}

Html path_text(std::string_view path) {
  Html html;
  std::size_t begin = 0;
  for (std::size_t i = 0; i + 1 < path.size(); ++i) {
    const bool separates = path[i] == ':' || (path[i] == '/' && i > begin);
    if (!separates) continue;
    html += text(path.substr(begin, i + 1 - begin)) + Html::markup("<wbr>");
    begin = i + 1;
  }
  html += text(path.substr(begin));
  return tag("span", "mono", html);
}

std::string base64(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 3; ++k)
      bits = bits << 8 | (k < count ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= count ? kDigits[bits >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

std::string with_commas(double value) {
  if (!std::isfinite(value)) return kDash;
  const std::string digits = fmt::format("{:.0f}", std::abs(value));
  std::string grouped;
  for (std::size_t at = 0; at < digits.size(); ++at) {
    if (at > 0 && (digits.size() - at) % 3 == 0) grouped += ',';
    grouped += digits[at];
  }
  return value < 0 && digits != "0" ? fmt::format("{}{}", kMinus, grouped) : grouped;
}

std::string number_text(double value, int decimals) {
  if (!std::isfinite(value)) return kDash;
  const std::string digits = fmt::format("{:.{}f}", std::abs(value), decimals);
  const bool zero = digits.find_first_not_of("0.") == std::string::npos;
  return value < 0 && !zero ? fmt::format("{}{}", kMinus, digits) : digits;
}

Cell Cell::number(double value, int decimals) {
  return {text(number_text(value, decimals)), std::isfinite(value) ? fmt::format("{}", value) : "", {}};
}

Cell Cell::whole(double value) {
  return {text(with_commas(value)), std::isfinite(value) ? fmt::format("{:.0f}", value) : "", {}};
}

void HtmlTable::add(const std::vector<Cell>& cells, std::string_view css_class) {
  Html row;
  for (std::size_t i = 0; i < cells.size() && i < columns_.size(); ++i) {
    const Cell& cell = cells[i];
    std::vector<Attribute> attributes;
    std::string classes = columns_[i].numbers ? "n" : "";
    if (!cell.css_class.empty()) classes += (classes.empty() ? "" : " ") + cell.css_class;
    if (!classes.empty()) attributes.push_back({"class", classes});
    if (sortable_ && columns_[i].numbers) attributes.push_back({"data-v", cell.sort_value});
    row += element("td", attributes, cell.content);
  }
  rows_ += tag("tr", css_class, row) + Html::markup("\n");
}

Html HtmlTable::html() const {
  Html head;
  for (const Column& column : columns_) {
    std::vector<Attribute> attributes{{"scope", "col"}};
    if (column.numbers) attributes.push_back({"class", "n"});
    if (!column.hint.empty()) attributes.push_back({"title", column.hint});
    head += element("th", attributes, text(column.heading));
  }
  const Html table = element(
      "table", {{"class", sortable_ ? "sortable" : "plain"}},
      element("thead", {}, element("tr", {}, head)) + element("tbody", {}, Html::markup("\n") + rows_));
  return tag("div", "table", table);
}

}  // namespace tessera
