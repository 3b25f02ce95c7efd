#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "pipeline/report/html.h"
#include "pipeline/report/svg_plot.h"

namespace tessera {

/// A part of a page, with a heading that the list of contents links to.
struct PageSection {
  std::string id, heading;
  Html content;
};

/// A whole HTML file that asks for nothing from anywhere: styles and the script that sorts tables are inside,
/// and a content policy forbids every other script and every request. Light or dark as the reader's system
/// is; dark on white on paper.
std::string html_page(const std::string& title, const Html& head, const std::vector<PageSection>& sections);

/// A plot with its title above and, where there are any, words beneath.
Html figure_of(const Plot& plot, const std::string& words = {});
/// Figures side by side where there is room for it.
Html figures(const std::vector<Html>& all);
/// A paragraph in a quieter tone.
Html note(const std::string& words);
/// A remark that should not be overlooked.
Html warning(const std::string& words);
/// A PNG inside the page.
Html inline_png(std::span<const std::byte> png, std::int64_t width, std::int64_t height,
                const std::string& what_it_shows);

/// A number that a reader looks for first.
Html key_figure(const Html& name, const std::string& value, const std::string& remark);

/// What the colours of an overlay mean.
Html overlay_legend();

/// The style sheet.
std::string page_styles();

}  // namespace tessera
