#pragma once

#include <cstdint>
#include <span>

#include "workers/metrics/components.h"

namespace tessera {

/// The 4-connected components of a 2-D mask, grown over its background until they meet, with dams (label 0)
/// of one pixel between them. This is the two-level Vincent-Soille watershed with which the ISBI-2012 scorer
/// thins the borders of a proposal. Pixels are queued in x-major order; the order of neighbours is W, N, E,
/// S. A pixel beside one basin and dams joins the basin; one beside dams only is a dam. A mask without a
/// component becomes one object. `mask` is (y, x), non-zero inside. Errors: as label_components.
Components thinned_components(std::span<const std::uint8_t> mask, std::int64_t height, std::int64_t width);
/// The same for components that are labelled already. They do not grow into pixels whose `truth` is
/// kIgnoredClass (empty: there are none).
Components thin(const Components& components, std::int64_t height, std::int64_t width,
                std::span<const std::uint8_t> truth = {});

}  // namespace tessera
