#include "pipeline/run/bytes_pair.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "io/base/durable_file.h"

namespace tessera {

std::pair<std::string, std::string> bytes_pair(std::int64_t one, std::int64_t other) {
  std::pair<std::string, std::string> texts{bytes_text(one), bytes_text(other)};
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  double unit = 1;
  std::size_t place = 0;
  while (static_cast<double>(std::max(one, other)) / unit >= 1024 && place + 1 < units.size()) {
    unit *= 1024;
    ++place;
  }
  for (int digits = 1; digits <= 9 && one != other && texts.first == texts.second; ++digits) {
    texts = {fmt::format("{:.{}f} {}", static_cast<double>(one) / unit, digits, units[place]),
             fmt::format("{:.{}f} {}", static_cast<double>(other) / unit, digits, units[place])};
  }
  return texts;
}

}  // namespace tessera
