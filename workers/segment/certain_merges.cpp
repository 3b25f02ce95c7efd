#include "workers/segment/certain_merges.h"

#include <algorithm>
#include <numeric>

#include "workers/segment/disjoint_sets.h"

namespace tessera {

std::vector<std::uint32_t> certain_merges(std::span<const std::uint64_t> sizes, const std::vector<bool>& open,
                                          std::span<const BlockBundle> bundles,
                                          const BlockGraphOptions& options) {
  std::vector<std::uint32_t> root(sizes.size());
  std::iota(root.begin(), root.end(), 0u);
  const auto limit = static_cast<std::uint64_t>(options.fragment_size);
  if (limit == 0) return root;
  std::vector<std::uint32_t> order;
  for (std::uint32_t i = 0; i < bundles.size(); ++i) {
    if (bundles[i].saddle >= options.fragment_floor) order.push_back(i);
  }
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t x, std::uint32_t y) { return bundles[x].is_before(bundles[y]); });
  DisjointSets<std::uint32_t> sets(root);
  std::vector<std::uint64_t> size(sizes.begin(), sizes.end());
  std::vector<bool> unsettled = open;
  for (const std::uint32_t i : order) {
    const std::uint32_t x = sets.find(bundles[i].a()), y = sets.find(bundles[i].b());
    if (x == y) continue;
    const bool small_x = size[x] < limit, small_y = size[y] < limit;
    if (!small_x && !small_y) continue;
    const bool x_may = small_x && !unsettled[x], y_may = small_y && !unsettled[y];
    const bool x_takes = !small_x || !unsettled[x], y_takes = !small_y || !unsettled[y];
    if ((x_may && y_takes) || (y_may && x_takes)) {
      const std::uint32_t low = sets.unite(x, y), high = low == x ? y : x;
      size[low] += size[high];
      unsettled[low] = unsettled[low] || unsettled[high];
    } else {
      unsettled[x] = unsettled[y] = true;
    }
  }
  for (std::uint32_t i = 0; i < root.size(); ++i)
    root[i] = sets.find(i);
  return root;
}

}  // namespace tessera
