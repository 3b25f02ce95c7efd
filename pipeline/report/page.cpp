#include "pipeline/report/page.h"

#include <fmt/format.h>

#include <cstdint>

#include "io/base/sha256.h"

namespace tessera {
namespace {

/// Makes the headings of sortable tables buttons; a second press reverses the order.
constexpr const char* kScript = R"(
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement('button');
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener('click', () => {
      const up = head.ariaSort === 'descending' || !head.ariaSort;
      heads.forEach(other => other.removeAttribute('aria-sort'));
      head.ariaSort = up ? 'ascending' : 'descending';
      const value = row => {
        const cell = row.cells[column];
        return cell.dataset.v === undefined ? cell.textContent : cell.dataset.v === '' ? NaN : Number(cell.dataset.v);
      };
      const order = (a, b) => {
        const x = value(a), y = value(b);
        if (typeof x === 'string') return up ? x.localeCompare(y) : y.localeCompare(x);
        if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
        return up ? x - y : y - x;
      };
      table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
    });
  });
}
)";

/// The digest in the form of a content policy: base64 of its bytes.
std::string script_digest() {
  const std::string hex = sha256_of(kScript);
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return "sha256-" + base64(bytes);
}

}  // namespace

std::string html_page(const std::string& title, const Html& head, const std::vector<PageSection>& sections,
                      int reload_s) {
  const std::string policy = fmt::format(
      "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{}'", script_digest());
  Html contents, body = head;
  for (const PageSection& one : sections) {
    contents += element("a", {{"href", "#" + one.id}}, text(one.heading)) + Html::markup(" ");
  }
  body += tag("nav", "", contents);
  for (const PageSection& one : sections) {
    body += element("section", {{"id", one.id}}, element("h2", {}, text(one.heading)) + one.content) +
            Html::markup("\n");
  }
  const Html reload =
      reload_s > 0 ? element("meta", {{"http-equiv", "refresh"}, {"content", fmt::format("{}", reload_s)}})
                   : Html();
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n" +
         element("meta", {{"http-equiv", "Content-Security-Policy"}, {"content", policy}}).str() +
         reload.str() +
         "\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
         "<meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n" +
         element("title", {}, text(title)).str() + "\n<style>" + page_styles() +
         "</style>\n</head>\n<body>\n<main>\n" + body.str() + "</main>\n<script>" + kScript +
         "</script>\n</body>\n</html>\n";
}

Html figure_of(const Plot& plot, const std::string& caption) {
  Html content = element("figcaption", {}, text(plot.title)) + svg_of(plot);
  if (!caption.empty()) content += note(caption);
  return tag("figure", "plot", content);
}

Html figures(const std::vector<Html>& all) {
  Html content;
  for (const Html& one : all)
    content += one;
  return tag("div", "figures", content);
}

Html note(const std::string& message) {
  return tag("p", "note", text(message));
}

Html warning(const std::string& message) {
  return tag("p", "warning", text(message));
}

Html inline_png(std::span<const std::byte> png, std::int64_t width, std::int64_t height,
                const std::string& what_it_shows) {
  return element("img", {{"src", "data:image/png;base64," + base64(png)},
                         {"width", fmt::format("{}", width)},
                         {"height", fmt::format("{}", height)},
                         {"alt", what_it_shows}});
}

Html key_figure(const Html& name, const std::string& value, const std::string& remark) {
  return tag("div", "key",
             tag("span", "key-name", name) + tag("span", "key-value", text(value)) +
                 tag("span", "key-remark", text(remark)));
}

Html overlay_legend() {
  const auto entry = [](const char* css_class, const char* meaning) {
    return tag("span", "legend-entry", tag("i", css_class, {}) + text(meaning));
  };
  return tag("p", "legend",
             entry("right-membrane", "membrane, rightly predicted") +
                 entry("lost-membrane", "membrane not predicted: cells run together") +
                 entry("false-membrane", "membrane predicted inside a cell"));
}

}  // namespace tessera
