#pragma once

namespace tessera {

/// Raw values v reach a network as (v - mean) / std, in the units of the file.
struct Normalisation {
  double mean = 0, std = 1;
};

}  // namespace tessera
