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

/// A whole HTML file without requests: styles and the script that sorts tables are inside, and a content
/// policy forbids every other script and every request. It follows the system's light or dark mode; on paper
/// it is dark on white.
/// `reload_s`: a browser loads the file again so often, in seconds; 0: never.
std::string html_page(const std::string& title, const Html& head, const std::vector<PageSection>& sections,
                      int reload_s = 0);

/// A plot with its title above and, if it has one, a caption beneath.
Html figure_of(const Plot& plot, const std::string& caption = {});
/// Figures side by side, as many as the width allows.
Html figures(const std::vector<Html>& all);
/// A paragraph in a pale colour.
Html note(const std::string& message);
/// A paragraph that stands out.
Html warning(const std::string& message);
/// A PNG inside the page.
Html inline_png(std::span<const std::byte> png, std::int64_t width, std::int64_t height,
                const std::string& what_it_shows);

/// One of the main numbers at the top of the page.
Html key_figure(const Html& name, const std::string& value, const std::string& remark);

/// The legend of the colours of an overlay.
Html overlay_legend();

/// The style sheet.
std::string page_styles();

}  // namespace tessera
