#pragma once

#include <string>

#include "io/volume/dataset_name.h"

namespace tessera {

/// The file and the address of a dataset, after every link: equal for two names of the same dataset. A
/// virtual dataset that shows one source of its own shape is that source. Errors: Error.
std::string dataset_identity(const DatasetName& name);

}  // namespace tessera
