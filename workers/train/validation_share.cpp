#include "workers/train/validation_share.h"

#include <algorithm>
#include <cmath>

namespace tessera {
namespace {

/// A position between two rows; row `begin` of a section stands for the position before it.
struct Cut {
  std::size_t section = 0;
  std::int64_t row = 0;
};

/// A cut closer to a section's end than this part of a worker's share costs more halo than it gains.
constexpr double kWorthCutting = 0.125;

Cut cut_near(const std::vector<SectionRows>& sections, std::int64_t alignment, double pixels, double share) {
  for (std::size_t s = 0; s < sections.size(); ++s) {
    const SectionRows& rows = sections[s];
    const auto width = static_cast<double>(rows.width),
               all = width * static_cast<double>(rows.end - rows.begin);
    if (pixels >= all && s + 1 < sections.size()) {
      pixels -= all;
      continue;
    }
    const double steps = (static_cast<double>(rows.begin) + pixels / width) / static_cast<double>(alignment);
    const std::int64_t row = std::llround(steps) * alignment;
    if (pixels <= kWorthCutting * share || row <= rows.begin) return {s, rows.begin};
    if (all - pixels <= kWorthCutting * share || row >= rows.end) return {s, rows.end};
    return {s, row};
  }
  return {};
}

}  // namespace

std::vector<SectionBand> share_rows(const std::vector<SectionRows>& sections, std::int64_t alignment,
                                    int workers) {
  double total = 0;
  for (const SectionRows& one : sections)
    total += static_cast<double>(one.width) * static_cast<double>(one.end - one.begin);
  const double share = total / workers;
  std::vector<Cut> cuts;
  for (int worker = 1; worker < workers; ++worker)
    cuts.push_back(cut_near(sections, alignment, share * worker, share));
  std::vector<SectionBand> bands;
  std::size_t next = 0;
  for (std::size_t s = 0; s < sections.size(); ++s) {
    std::int64_t row = sections[s].begin;
    for (; next < cuts.size() && cuts[next].section == s; ++next) {
      if (cuts[next].row > row) bands.push_back({s, row, cuts[next].row, static_cast<int>(next)});
      row = std::max(row, cuts[next].row);
    }
    if (row < sections[s].end) bands.push_back({s, row, sections[s].end, static_cast<int>(next)});
  }
  return bands;
}

}  // namespace tessera
