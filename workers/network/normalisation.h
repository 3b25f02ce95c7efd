#pragma once

namespace tessera {

/// A network's input is (v - mean) / std for raw values v. `mean` and `std` are in the units of the file.
struct Normalisation {
  double mean = 0, std = 1;
};

}  // namespace tessera
