#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// A piece of HTML or SVG whose tags are all closed. Only text(), which escapes its argument, adds text, so
/// that no content of a file becomes markup.
class Html {
 public:
  Html() = default;
  /// Markup that this program wrote itself.
  static Html markup(std::string text) {
    Html html;
    html.markup_ = std::move(text);
    return html;
  }

  const std::string& str() const { return markup_; }
  bool empty() const { return markup_.empty(); }
  Html& operator+=(const Html& more) {
    markup_ += more.markup_;
    return *this;
  }
  friend Html operator+(Html a, const Html& b) { return a += b; }

 private:
  std::string markup_;
};

/// For HTML, between tags and in quoted attributes: & < > " ' are replaced. Bytes that are not UTF-8 become
/// `\xHH`, as by utf8_text; control characters other than line feed and tab become U+FFFD.
std::string escape_html(std::string_view text);
Html text(std::string_view content);

struct Attribute {
  std::string name, value;
};
/// <name a="...">content</name> with escaped values. Elements without content (img, br, meta) get no end tag.
Html element(std::string_view name, const std::vector<Attribute>& attributes, const Html& content = {});
/// <name class="css_class">content</name>; no attribute where it is empty.
Html tag(std::string_view name, std::string_view css_class, const Html& content);

/// A path or a dataset's name. A line may break after / and :.
Html path_text(std::string_view path);

std::string base64(std::span<const std::byte> bytes);

/// A cell of a table. Its column is sorted by `sort_value`, or by the content where that is empty.
struct Cell {
  Html content;
  std::string sort_value;
  std::string css_class;

  static Cell plain(std::string_view content) { return {text(content), {}, {}}; }
  /// `decimals` digits after the point, in digits of equal width; a dash for a value that is not finite.
  static Cell number(double value, int decimals);
  static Cell whole(double value);
};

/// A table with columns of text (aligned left) and of numbers (aligned right).
class HtmlTable {
 public:
  struct Column {
    std::string heading;
    bool numbers = true;
    std::string hint = {};  ///< shown when the pointer rests on the heading
  };
  explicit HtmlTable(std::vector<Column> columns, bool sortable = false)
      : columns_(std::move(columns)), sortable_(sortable) {}

  /// One cell for each column. `css_class` marks the row.
  void add(const std::vector<Cell>& cells, std::string_view css_class = {});
  bool empty() const { return rows_.empty(); }
  Html html() const;

 private:
  std::vector<Column> columns_;
  bool sortable_;
  Html rows_;
};

/// "1,234,567".
std::string with_commas(double value);
/// `decimals` digits after the point; a dash for a value that is not finite.
std::string number_text(double value, int decimals);

}  // namespace tessera
